//! What the server asks of the privileged process, and what that answers: one datagram each, on a socket pair of
//! type `SOCK_SEQPACKET`, descriptors beside it by `SCM_RIGHTS`. There are two such pairs, one for each [`Subject`].
//!
//! A request is 32 bytes, all of which mean something or are zero:
//!
//! | bytes | what |
//! |---|---|
//! | 0 | what is asked: 1 UDP sockets, 2 a TCP listener, 3 an AF_XDP socket, 4 a program, 5 read the configuration |
//! | 1 | UDP: how many sockets, 1 to 64. Program: 0 native, 1 generic, 2 generic after a self-test |
//! | 2 | UDP, TCP: 1 if nobody else may have the port, 0 if the server's own sockets may |
//! | 3 | UDP, TCP: 4 or 6, the family |
//! | 4-5 | UDP, TCP: the port, big-endian |
//! | 8-11 | UDP, TCP: the scope (IPv6). Program: the interface's index. Big-endian |
//! | 12-27 | UDP, TCP: the address, IPv4 in the first four bytes |
//!
//! A reply is a byte (0 done, 1 refused) and what follows from it, at most [`MAX_REPLY_BYTES`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// Length of every request, in bytes.
pub const REQUEST_BYTES: usize = 32;
/// The longest reply, in bytes.
pub const MAX_REPLY_BYTES: usize = 2048;
/// The most UDP sockets in one request.
pub const MAX_SOCKETS: u8 = 64;
/// The most names in a reply, and the most descriptors beside it but the program and its link.
pub const MAX_NAMES: usize = 32;
/// The longest name of a map, in bytes (`BPF_OBJ_NAME_LEN` of `linux/bpf.h`, and some room).
pub const MAX_NAME_BYTES: usize = 32;
/// The name that stands in the reply for an AF_XDP socket which polls the device (`busy-poll`).
pub const BUSY_POLL: &str = "busy-poll";
/// The longest text in a refusal, in bytes; longer ones lose their end.
pub const MAX_TEXT_BYTES: usize = 1500;

/// What the server asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// UDP sockets of one address, all members of one `SO_REUSEPORT` group.
    Udp {
        /// The address.
        address: SocketAddr,
        /// How many: 1 to [`MAX_SOCKETS`].
        count: u8,
        /// Whether others may have the port.
        company: Company,
    },
    /// A listening TCP socket.
    Tcp {
        /// The address.
        address: SocketAddr,
        /// Whether others may have the port.
        company: Company,
    },
    /// An AF_XDP socket, not bound.
    XdpSocket,
    /// The XDP program, loaded and attached.
    Program {
        /// The interface.
        ifindex: u32,
        /// In the driver, or in the kernel's generic hook.
        hook: Hook,
    },
    /// To read the configuration again.
    Configuration,
}

/// Who may have a port when it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Company {
    /// Nobody.
    Alone,
    /// The server itself, which has looked: a wildcard beside an address.
    Own,
}

/// Where a program is to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// In the driver.
    Native = 0,
    /// In the kernel's generic hook, come what may.
    Generic = 1,
    /// There, if a self-test shows that it works on this interface.
    Proven = 2,
}

impl Hook {
    const ALL: [Self; 3] = [Self::Native, Self::Generic, Self::Proven];
}

/// Why a request is none. Its sender is not the server any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a request")]
pub struct Malformed;

/// Which of the two sockets a request goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Listening sockets, and the configuration: answered at once.
    Sockets,
    /// XDP: attaching may take seconds.
    Programs,
}

impl Request {
    /// Which socket it goes by. It is none on the other.
    pub const fn subject(&self) -> Subject {
        match self {
            Self::Udp { .. } | Self::Tcp { .. } | Self::Configuration => Subject::Sockets,
            Self::XdpSocket | Self::Program { .. } => Subject::Programs,
        }
    }

    /// As it is sent.
    pub fn to_bytes(&self) -> [u8; REQUEST_BYTES] {
        let mut bytes = [0; REQUEST_BYTES];
        match *self {
            Self::Udp {
                address,
                count,
                company,
            } => {
                bytes[0] = UDP;
                bytes[1] = count;
                put_address(&mut bytes, address, company);
            }
            Self::Tcp { address, company } => {
                bytes[0] = TCP;
                put_address(&mut bytes, address, company);
            }
            Self::XdpSocket => bytes[0] = XDP_SOCKET,
            Self::Program { ifindex, hook } => {
                bytes[0] = PROGRAM;
                bytes[1] = hook as u8;
                bytes[8..12].copy_from_slice(&ifindex.to_be_bytes());
            }
            Self::Configuration => bytes[0] = CONFIGURATION,
        }
        bytes
    }

    /// Reads a request. There is one way to write each, and all others are refused.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let bytes: &[u8; REQUEST_BYTES] = bytes.try_into().map_err(|_| Malformed)?;
        let request = match bytes[0] {
            UDP => {
                let (address, company) = take_address(bytes)?;
                let count = bytes[1];
                Self::Udp {
                    address,
                    count,
                    company,
                }
            }
            TCP => {
                let (address, company) = take_address(bytes)?;
                Self::Tcp { address, company }
            }
            XDP_SOCKET => Self::XdpSocket,
            PROGRAM => {
                let ifindex = word(bytes, 8);
                let hook = Hook::ALL.get(usize::from(bytes[1])).ok_or(Malformed)?;
                let hook = *hook;
                Self::Program { ifindex, hook }
            }
            CONFIGURATION => Self::Configuration,
            _ => return Err(Malformed),
        };
        let counts =
            !matches!(request, Self::Udp { count, .. } if count == 0 || count > MAX_SOCKETS);
        // Whatever is not as it would have been written: bytes that must be zero, flags that are neither.
        if counts && request.to_bytes() == *bytes {
            Ok(request)
        } else {
            Err(Malformed)
        }
    }
}

const UDP: u8 = 1;
const TCP: u8 = 2;
const XDP_SOCKET: u8 = 3;
const PROGRAM: u8 = 4;
const CONFIGURATION: u8 = 5;

fn put_address(bytes: &mut [u8; REQUEST_BYTES], address: SocketAddr, company: Company) {
    bytes[2] = u8::from(company == Company::Alone);
    bytes[4..6].copy_from_slice(&address.port().to_be_bytes());
    match address {
        SocketAddr::V4(v4) => {
            bytes[3] = 4;
            bytes[12..16].copy_from_slice(&v4.ip().octets());
        }
        SocketAddr::V6(v6) => {
            bytes[3] = 6;
            bytes[8..12].copy_from_slice(&v6.scope_id().to_be_bytes());
            bytes[12..28].copy_from_slice(&v6.ip().octets());
        }
    }
}

fn take_address(bytes: &[u8; REQUEST_BYTES]) -> Result<(SocketAddr, Company), Malformed> {
    let port = u16::from_be_bytes([bytes[4], bytes[5]]);
    let octets: [u8; 16] = bytes[12..28].try_into().map_err(|_| Malformed)?;
    let address = match bytes[3] {
        4 => {
            let [a, b, c, d, ..] = octets;
            SocketAddr::new(IpAddr::V4(Ipv4Addr::new(a, b, c, d)), port)
        }
        6 => SocketAddrV6::new(Ipv6Addr::from(octets), port, 0, word(bytes, 8)).into(),
        _ => return Err(Malformed),
    };
    let company = if bytes[2] == 0 {
        Company::Own
    } else {
        Company::Alone
    };
    Ok((address, company))
}

fn word(bytes: &[u8; REQUEST_BYTES], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// What the privileged process answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Done. With a program, the descriptors are: the program, its link, and one map for each name.
    Done {
        /// The names of the maps; for an AF_XDP socket [`BUSY_POLL`], if so; empty for all else.
        names: Vec<String>,
    },
    /// Not done; there are no descriptors.
    Refused(Refusal),
}

/// Why something was not opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What kind of reason.
    pub kind: RefusalKind,
    /// The error number, or the number of the foreign program; 0 if there is none.
    pub number: u32,
    /// The system call, the name of the foreign program, or the whole reason.
    pub text: String,
}

/// Kinds of reasons, and what text and number are with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// The configuration doesn't list it.
    NotConfigured,
    /// Another process has the port.
    InUse,
    /// The address is not on this machine.
    NotHere,
    /// Not permitted; the whole reason if it is about XDP.
    NotPermitted,
    /// Another XDP program is there: its number and name.
    Foreign,
    /// The interface is gone.
    Gone,
    /// A system call failed: its name and its error number.
    Os,
    /// Something else: the whole reason.
    Other,
}

const KINDS: [RefusalKind; 8] = [
    RefusalKind::NotConfigured,
    RefusalKind::InUse,
    RefusalKind::NotHere,
    RefusalKind::NotPermitted,
    RefusalKind::Foreign,
    RefusalKind::Gone,
    RefusalKind::Os,
    RefusalKind::Other,
];

impl Reply {
    /// As it is sent. Names and texts beyond their limits are cut.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(64);
        match self {
            Self::Done { names } => {
                let names = &names[..names.len().min(MAX_NAMES)];
                bytes.extend([0, names.len() as u8]);
                for name in names {
                    let name = cut(name, MAX_NAME_BYTES);
                    bytes.push(name.len() as u8);
                    bytes.extend(name.as_bytes());
                }
            }
            Self::Refused(refusal) => {
                let kind = KINDS.iter().position(|kind| *kind == refusal.kind);
                bytes.extend([1, kind.unwrap_or(KINDS.len() - 1) as u8]);
                bytes.extend(refusal.number.to_be_bytes());
                bytes.extend(cut(&refusal.text, MAX_TEXT_BYTES).as_bytes());
            }
        }
        bytes
    }

    /// Reads a reply.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        match bytes {
            [0, count, names @ ..] => take_names(names, usize::from(*count)),
            [1, kind, a, b, c, d, text @ ..] if text.len() <= MAX_TEXT_BYTES => {
                Ok(Self::Refused(Refusal {
                    kind: *KINDS.get(usize::from(*kind)).ok_or(Malformed)?,
                    number: u32::from_be_bytes([*a, *b, *c, *d]),
                    text: string(text)?,
                }))
            }
            _ => Err(Malformed),
        }
    }
}

fn take_names(mut bytes: &[u8], count: usize) -> Result<Reply, Malformed> {
    if count > MAX_NAMES {
        return Err(Malformed);
    }
    let mut names = Vec::with_capacity(count);
    for _ in 0..count {
        let (len, rest) = bytes.split_first().ok_or(Malformed)?;
        let (name, rest) = rest.split_at_checked(usize::from(*len)).ok_or(Malformed)?;
        if name.len() > MAX_NAME_BYTES {
            return Err(Malformed);
        }
        names.push(string(name)?);
        bytes = rest;
    }
    if bytes.is_empty() {
        Ok(Reply::Done { names })
    } else {
        Err(Malformed)
    }
}

fn string(bytes: &[u8]) -> Result<String, Malformed> {
    std::str::from_utf8(bytes)
        .map(str::to_owned)
        .map_err(|_| Malformed)
}

fn cut(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_is_read_as_it_was_written() {
        let v4 = "192.0.2.1:53".parse().unwrap();
        let v6 = SocketAddrV6::new("fe80::1".parse().unwrap(), 5353, 0, 7).into();
        let requests = [
            Request::Udp {
                address: v4,
                count: MAX_SOCKETS,
                company: Company::Alone,
            },
            Request::Tcp {
                address: v6,
                company: Company::Own,
            },
            Request::XdpSocket,
            Request::Program {
                ifindex: 0x0102_0304,
                hook: Hook::Generic,
            },
            Request::Program {
                ifindex: 1,
                hook: Hook::Proven,
            },
            Request::Configuration,
        ];
        for request in requests {
            assert_eq!(Request::read(&request.to_bytes()), Ok(request));
        }
    }

    #[test]
    fn what_must_be_zero_and_is_not_makes_it_none() {
        let good = Request::XdpSocket.to_bytes();
        for at in 1..REQUEST_BYTES {
            let mut bad = good;
            bad[at] = 1;
            assert_eq!(Request::read(&bad), Err(Malformed), "byte {at}");
        }
        for count in [0, MAX_SOCKETS + 1, 255] {
            let mut none = Request::Udp {
                address: "[::1]:53".parse().unwrap(),
                count: 1,
                company: Company::Alone,
            }
            .to_bytes();
            none[1] = count;
            assert_eq!(Request::read(&none), Err(Malformed), "{count} sockets");
        }
        assert_eq!(Request::read(&good[1..]), Err(Malformed));
    }

    #[test]
    fn replies_are_cut_and_read() {
        let names = vec!["xsks".to_owned(), "listen".to_owned()];
        let done = Reply::Done { names };
        assert_eq!(Reply::read(&done.to_bytes()), Ok(done));
        let refused = |text: String| {
            Reply::Refused(Refusal {
                kind: RefusalKind::Foreign,
                number: 7,
                text,
            })
        };
        let long = refused("ä".repeat(MAX_TEXT_BYTES)).to_bytes();
        assert!(long.len() <= MAX_REPLY_BYTES);
        assert_eq!(
            Reply::read(&long),
            Ok(refused("ä".repeat(MAX_TEXT_BYTES / 2)))
        );
    }
}
