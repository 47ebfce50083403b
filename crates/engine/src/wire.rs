//! What parent and child say to each other.
//!
//! Packets on `SOCK_SEQPACKET` sockets, so that each arrives whole or not at all. On a thread socket a
//! packet is one or more records, packed so that a burst costs one system call. Numbers are little-endian.
//!
//! ```text
//! to the engine     1 question  token:u64 qtype:u16 qclass:u16 name_len:u8 name
//!                   2 ping      nonce:u64
//! from the engine   1 answer    token:u64 rcode:u8 security:u8 ratelimited:u8 why_len:u16 wire_len:u32 why wire
//!                   2 pong      nonce:u64 relay:[u64; 5]
//!                   3 shed      token:u64 reason:u8
//! control, down     START       version:u16 questions_per_thread:u32 threads:u32 probe_interval_ms:u32
//!                             keep_anchors:u8, with descriptors: configuration, thread sockets
//! control, up       1 READY     a Summary
//!                   2 REFUSED   line:u32 message (UTF-8, to the end)
//! ```

use crate::{RelayCounts, Security};

/// Both ends come from the same build but for a replaced file on disk: the version guards that case.
pub(crate) const PROTOCOL: u16 = 4;
/// The largest packet: the largest answer with its reason, or many small records.
pub(crate) const MAX_PACKET_BYTES: usize = 128 * 1024;
/// A packet is sent once it is this full; what is added after that still fits, see [`MAX_RECORD_BYTES`].
pub(crate) const FULL_PACKET_BYTES: usize = 32 * 1024;
/// `why_bogus` is cut here.
pub(crate) const MAX_WHY_BYTES: usize = 1024;
/// An answer record at its largest.
pub(crate) const MAX_RECORD_BYTES: usize = 18 + MAX_WHY_BYTES + 65_535;

const _: () = assert!(FULL_PACKET_BYTES + MAX_RECORD_BYTES <= MAX_PACKET_BYTES);

/// A record for the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request<'a> {
    Question {
        token: u64,
        qtype: u16,
        qclass: u16,
        name: &'a [u8],
    },
    Ping {
        nonce: u64,
    },
}

/// A record from the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply<'a> {
    Answer {
        token: u64,
        rcode: u8,
        security: Security,
        ratelimited: bool,
        why: &'a [u8],
        wire: &'a [u8],
    },
    Pong {
        nonce: u64,
        relay: RelayCounts,
    },
    Shed {
        token: u64,
        reason: ShedReason,
    },
}

/// Why the engine did not take a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ShedReason {
    Full,
    Refused,
}

/// What a started engine says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Threads that questions are spread over, each with a context of its own. With one, there is another
    /// for refreshes, an eighth of its size.
    pub threads: u32,
    /// `msg-cache-size` of each thread in bytes.
    pub message_cache_bytes: u64,
    /// `rrset-cache-size` of each thread in bytes.
    pub rrset_cache_bytes: u64,
    /// `key-cache-size` of each thread in bytes.
    pub key_cache_bytes: u64,
    /// `neg-cache-size` of each thread in bytes.
    pub negative_cache_bytes: u64,
    /// `infra-cache-numhosts` of each thread.
    pub infra_hosts: u64,
    /// `outgoing-range` of each thread: UDP sockets to upstreams that may be open at once.
    pub outgoing_range: u64,
    /// Descriptors the process may open.
    pub open_files: u64,
    /// The limit of the process's private memory, in bytes.
    pub memory_bytes: u64,
    /// `val-log-level`.
    pub val_log_level: u64,
    /// What libunbound said while it read the configuration: warnings, one to a line.
    pub notes: String,
}

/// The child's word on the control socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Ready(Summary),
    Refused { line: u32, message: String },
}

/// A packet or record that makes no sense: the other end is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a packet that makes no sense")]
pub(crate) struct Garbled;

impl<'a> Request<'a> {
    pub(crate) fn write(&self, packet: &mut Vec<u8>) {
        match *self {
            Self::Question {
                token,
                qtype,
                qclass,
                name,
            } => {
                packet.push(1);
                packet.extend(token.to_le_bytes());
                packet.extend(qtype.to_le_bytes());
                packet.extend(qclass.to_le_bytes());
                packet.push(name.len() as u8); // 255 at most, see `Question`
                packet.extend(name);
            }
            Self::Ping { nonce } => {
                packet.push(2);
                packet.extend(nonce.to_le_bytes());
            }
        }
    }

    /// The next record, taken off the front; `None` at the end of the packet.
    pub(crate) fn read(packet: &mut &'a [u8]) -> Result<Option<Self>, Garbled> {
        let Some(kind) = take(packet, 1) else {
            return Ok(None);
        };
        let record = match kind[0] {
            1 => {
                let (token, qtype, qclass) =
                    (take_u64(packet)?, take_u16(packet)?, take_u16(packet)?);
                let length = usize::from(take_u8(packet)?);
                Self::Question {
                    token,
                    qtype,
                    qclass,
                    name: take(packet, length).ok_or(Garbled)?,
                }
            }
            2 => Self::Ping {
                nonce: take_u64(packet)?,
            },
            _ => return Err(Garbled),
        };
        Ok(Some(record))
    }
}

impl<'a> Reply<'a> {
    pub(crate) fn write(&self, packet: &mut Vec<u8>) {
        match *self {
            Self::Answer {
                token,
                rcode,
                security,
                ratelimited,
                why,
                wire,
            } => {
                let why = &why[..why.len().min(MAX_WHY_BYTES)];
                packet.push(1);
                packet.extend(token.to_le_bytes());
                packet.extend([rcode, security_code(security), u8::from(ratelimited)]);
                packet.extend((why.len() as u16).to_le_bytes());
                packet.extend((wire.len() as u32).to_le_bytes());
                packet.extend(why);
                packet.extend(wire);
            }
            Self::Pong { nonce, relay } => {
                packet.push(2);
                packet.extend(nonce.to_le_bytes());
                packet.extend(relay.numbers().into_iter().flat_map(u64::to_le_bytes));
            }
            Self::Shed { token, reason } => {
                packet.push(3);
                packet.extend(token.to_le_bytes());
                packet.push(match reason {
                    ShedReason::Full => 0,
                    ShedReason::Refused => 1,
                });
            }
        }
    }

    /// The next record, taken off the front; `None` at the end of the packet.
    pub(crate) fn read(packet: &mut &'a [u8]) -> Result<Option<Self>, Garbled> {
        let Some(kind) = take(packet, 1) else {
            return Ok(None);
        };
        let record = match kind[0] {
            1 => {
                let token = take_u64(packet)?;
                let rcode = take_u8(packet)?;
                let security = security_from(take_u8(packet)?)?;
                let ratelimited = take_u8(packet)? != 0;
                let why_len = usize::from(take_u16(packet)?);
                let wire_len = take_u32(packet)? as usize;
                let why = take(packet, why_len).ok_or(Garbled)?;
                let wire = take(packet, wire_len).ok_or(Garbled)?;
                Self::Answer {
                    token,
                    rcode,
                    security,
                    ratelimited,
                    why,
                    wire,
                }
            }
            2 => {
                let nonce = take_u64(packet)?;
                let mut relay = [0; RelayCounts::NUMBERS];
                for number in &mut relay {
                    *number = take_u64(packet)?;
                }
                Self::Pong {
                    nonce,
                    relay: RelayCounts::from_numbers(relay),
                }
            }
            3 => {
                let token = take_u64(packet)?;
                let reason = match take_u8(packet)? {
                    0 => ShedReason::Full,
                    1 => ShedReason::Refused,
                    _ => return Err(Garbled),
                };
                Self::Shed { token, reason }
            }
            _ => return Err(Garbled),
        };
        Ok(Some(record))
    }
}

impl Verdict {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut packet = Vec::new();
        match self {
            Self::Ready(summary) => {
                packet.push(1);
                packet.extend(summary.threads.to_le_bytes());
                for number in summary.numbers() {
                    packet.extend(number.to_le_bytes());
                }
                packet.extend(cut(&summary.notes));
            }
            Self::Refused { line, message } => {
                packet.push(2);
                packet.extend(line.to_le_bytes());
                packet.extend(cut(message));
            }
        }
        packet
    }

    pub(crate) fn read(mut packet: &[u8]) -> Result<Self, Garbled> {
        let packet = &mut packet;
        match take_u8(packet)? {
            1 => {
                let mut summary = Summary {
                    threads: take_u32(packet)?,
                    ..Summary::default()
                };
                for number in summary.numbers_mut() {
                    *number = take_u64(packet)?;
                }
                summary.notes = String::from_utf8_lossy(packet).into_owned();
                Ok(Self::Ready(summary))
            }
            2 => Ok(Self::Refused {
                line: take_u32(packet)?,
                message: String::from_utf8_lossy(packet).into_owned(),
            }),
            _ => Err(Garbled),
        }
    }
}

impl Summary {
    /// Adds to what is told.
    pub(crate) fn add_notes<'a>(&mut self, notes: impl IntoIterator<Item = &'a str>) {
        for note in notes {
            if !self.notes.is_empty() {
                self.notes.push('\n');
            }
            self.notes.push_str(note);
        }
    }

    fn numbers(&self) -> [u64; 9] {
        let mut copy = self.clone();
        copy.numbers_mut().map(|number| *number)
    }

    fn numbers_mut(&mut self) -> [&mut u64; 9] {
        [
            &mut self.message_cache_bytes,
            &mut self.rrset_cache_bytes,
            &mut self.key_cache_bytes,
            &mut self.negative_cache_bytes,
            &mut self.infra_hosts,
            &mut self.outgoing_range,
            &mut self.open_files,
            &mut self.val_log_level,
            &mut self.memory_bytes,
        ]
    }
}

/// START, which goes with the descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Start {
    /// The questions each thread may have in flight.
    pub(crate) questions_per_thread: u32,
    /// The threads that questions are spread over. There may be a socket more: for a small context that is
    /// asked for refreshes only.
    pub(crate) threads: u32,
    /// How often kept trust anchors are asked for.
    pub(crate) probe_interval_ms: u32,
    pub(crate) keep_anchors: KeepAnchors,
}

/// Whether the files of `auto-trust-anchor-file` are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeepAnchors {
    Yes,
    /// It failed, which ends the process: only their keys are used.
    No,
}

impl Start {
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let mut packet = PROTOCOL.to_le_bytes().to_vec();
        packet.extend(self.questions_per_thread.to_le_bytes());
        packet.extend(self.threads.to_le_bytes());
        packet.extend(self.probe_interval_ms.to_le_bytes());
        packet.push(u8::from(self.keep_anchors == KeepAnchors::Yes));
        packet
    }

    pub(crate) fn read(mut packet: &[u8]) -> Result<Self, Garbled> {
        let packet = &mut packet;
        if take_u16(packet)? != PROTOCOL {
            return Err(Garbled);
        }
        Ok(Self {
            questions_per_thread: take_u32(packet)?,
            threads: take_u32(packet)?,
            probe_interval_ms: take_u32(packet)?,
            keep_anchors: match take_u8(packet)? {
                0 => KeepAnchors::No,
                _ => KeepAnchors::Yes,
            },
        })
    }
}

/// Text on the control socket is cut to what surely fits one packet.
fn cut(text: &str) -> &[u8] {
    &text.as_bytes()[..text.len().min(FULL_PACKET_BYTES)]
}

fn security_code(security: Security) -> u8 {
    match security {
        Security::Insecure => 0,
        Security::Bogus => 1,
        Security::Secure => 2,
    }
}

fn security_from(code: u8) -> Result<Security, Garbled> {
    match code {
        0 => Ok(Security::Insecure),
        1 => Ok(Security::Bogus),
        2 => Ok(Security::Secure),
        _ => Err(Garbled),
    }
}

fn take<'a>(packet: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (head, tail) = packet.split_at_checked(length)?;
    *packet = tail;
    Some(head)
}

fn take_array<const N: usize>(packet: &mut &[u8]) -> Result<[u8; N], Garbled> {
    let (head, tail) = packet.split_first_chunk().ok_or(Garbled)?;
    *packet = tail;
    Ok(*head)
}

fn take_u8(packet: &mut &[u8]) -> Result<u8, Garbled> {
    take_array::<1>(packet).map(|[byte]| byte)
}

fn take_u16(packet: &mut &[u8]) -> Result<u16, Garbled> {
    take_array(packet).map(u16::from_le_bytes)
}

fn take_u32(packet: &mut &[u8]) -> Result<u32, Garbled> {
    take_array(packet).map(u32::from_le_bytes)
}

fn take_u64(packet: &mut &[u8]) -> Result<u64, Garbled> {
    take_array(packet).map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_as_they_went() {
        let requests = [
            Request::Question {
                token: 7,
                qtype: 28,
                qclass: 1,
                name: b"\x01a\0",
            },
            Request::Ping { nonce: u64::MAX },
            Request::Question {
                token: 8,
                qtype: 65535,
                qclass: 255,
                name: b"\0",
            },
        ];
        let mut packet = Vec::new();
        for request in requests {
            request.write(&mut packet);
        }
        let mut rest = &packet[..];
        for request in requests {
            assert_eq!(Request::read(&mut rest), Ok(Some(request)));
        }
        assert_eq!(Request::read(&mut rest), Ok(None));
    }

    #[test]
    fn replies_come_back_as_they_went_and_fit() {
        let wire = vec![3; 65_535];
        let why = vec![b'w'; MAX_WHY_BYTES];
        let replies = [
            Reply::Pong {
                nonce: 5,
                relay: RelayCounts::from_numbers([1, 2, 3, 4, u64::MAX]),
            },
            Reply::Shed {
                token: 9,
                reason: ShedReason::Full,
            },
            Reply::Shed {
                token: 10,
                reason: ShedReason::Refused,
            },
            Reply::Answer {
                token: 1,
                rcode: 3,
                security: Security::Bogus,
                ratelimited: true,
                why: &why,
                wire: &wire,
            },
        ];
        let mut packet = Vec::new();
        for reply in replies {
            reply.write(&mut packet);
        }
        assert!(packet.len() <= MAX_PACKET_BYTES);
        let mut rest = &packet[..];
        for reply in replies {
            assert_eq!(Reply::read(&mut rest), Ok(Some(reply)));
        }
        assert_eq!(Reply::read(&mut rest), Ok(None));
    }

    #[test]
    fn cut_packets_are_garbled_at_every_length() {
        let mut packet = Vec::new();
        Reply::Answer {
            token: 1,
            rcode: 0,
            security: Security::Secure,
            ratelimited: false,
            why: b"why",
            wire: b"wire",
        }
        .write(&mut packet);
        for length in 1..packet.len() {
            assert_eq!(
                Reply::read(&mut &packet[..length]),
                Err(Garbled),
                "{length}"
            );
        }
        let mut packet = Vec::new();
        Request::Question {
            token: 7,
            qtype: 28,
            qclass: 1,
            name: b"\x01a\0",
        }
        .write(&mut packet);
        for length in 1..packet.len() {
            assert_eq!(
                Request::read(&mut &packet[..length]),
                Err(Garbled),
                "{length}"
            );
        }
    }

    #[test]
    fn verdicts_come_back_as_they_went() {
        let summary = Summary {
            threads: 2,
            infra_hosts: 5,
            open_files: 9,
            notes: "note".into(),
            ..Summary::default()
        };
        let refused = Verdict::Refused {
            line: 12,
            message: "syntax error".into(),
        };
        for verdict in [Verdict::Ready(summary), refused] {
            assert_eq!(Verdict::read(&verdict.to_bytes()), Ok(verdict));
        }
        assert_eq!(Verdict::read(&[9]), Err(Garbled));
        let start = Start {
            questions_per_thread: 77,
            threads: 3,
            probe_interval_ms: 9,
            keep_anchors: KeepAnchors::No,
        };
        assert_eq!(Start::read(&start.to_bytes()), Ok(start));
        assert_eq!(Start::read(&[9; 10]), Err(Garbled));
    }
}
