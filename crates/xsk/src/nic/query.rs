use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use super::message::{
    DONE, DUMP, DUMP_INTERRUPTED, ERROR, Message, Request, attributes, messages, read_u16, read_u32,
};
use crate::sys::{Errno, NetlinkSocket, ready};

/// Why an interface could not be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NicError {
    /// There is no such interface in this network namespace.
    #[error("no such interface: {name}")]
    NotFound {
        /// The name or number asked for.
        name: String,
    },
    /// A system call failed.
    #[error("{call}: {errno}")]
    Os {
        /// What was tried.
        call: &'static str,
        /// What the kernel said.
        errno: Errno,
    },
}

/// A netlink socket for questions that the kernel answers at once.
#[derive(Debug)]
pub(super) struct Query {
    socket: NetlinkSocket,
    sequence: u32,
    call: &'static str,
}

/// What a request asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask<'a> {
    /// The message type.
    pub(super) kind: u16,
    /// The family's own header.
    pub(super) header: &'a [u8],
    /// Attributes.
    pub(super) attributes: &'a [(u16, &'a [u8])],
}

// linux/genetlink.h
const GENL_ID_CTRL: u16 = 16;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;
/// `struct genlmsghdr`: command, version, 2 reserved bytes.
const GENL_HEADER_BYTES: usize = 4;
const LIMIT: Duration = Duration::from_secs(2);
/// Datagrams of one answer, at most.
const DATAGRAMS: usize = 16_384;
/// The kernel's dumps use at most 32 KiB per datagram.
const BUFFER_BYTES: usize = 64 * 1024;
/// Dumps begun anew since interfaces changed meanwhile.
const DUMPS: u32 = 5;

impl Query {
    pub(super) fn open(protocol: i32, call: &'static str) -> Result<Self, NicError> {
        let socket =
            NetlinkSocket::open(protocol, 0).map_err(|errno| NicError::Os { call, errno })?;
        Ok(Self {
            socket,
            sequence: 0,
            call,
        })
    }

    /// Asks for one thing and hands the answer's payload over.
    pub(super) fn get<T>(
        &mut self,
        ask: Ask<'_>,
        read: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<T, Errno> {
        let mut found = None;
        self.exchange(ask, 0, &mut |message| {
            found = found.take().or_else(|| read(message.payload));
        })?;
        found.ok_or(Errno::new(libc::EBADMSG))
    }

    /// The number of a generic netlink family.
    pub(super) fn family(&mut self, name: &str) -> Result<u16, Errno> {
        let mut text = name.as_bytes().to_vec();
        text.push(0);
        let ask = Ask {
            kind: GENL_ID_CTRL,
            header: &[CTRL_CMD_GETFAMILY, 1, 0, 0],
            attributes: &[(CTRL_ATTR_FAMILY_NAME, &text)],
        };
        self.get(ask, |payload| {
            let mut all = attributes(payload.get(GENL_HEADER_BYTES..)?);
            all.find_map(|(kind, value)| (kind == CTRL_ATTR_FAMILY_ID).then(|| read_u16(value))?)
        })
    }

    /// Asks for all things of a kind; what `read` returns is collected.
    pub(super) fn dump<T>(
        &mut self,
        ask: Ask<'_>,
        read: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Vec<T>, NicError> {
        let call = self.call;
        for _ in 0..DUMPS {
            let mut all = Vec::new();
            let mut interrupted = false;
            self.exchange(ask, DUMP, &mut |message| {
                interrupted |= message.flags & DUMP_INTERRUPTED != 0;
                all.extend(read(message.payload));
            })
            .map_err(|errno| NicError::Os { call, errno })?;
            if !interrupted {
                return Ok(all);
            }
        }
        Err(NicError::Os {
            call,
            errno: Errno::new(libc::EINTR),
        })
    }

    fn exchange(
        &mut self,
        ask: Ask<'_>,
        flags: u16,
        each: &mut dyn FnMut(Message<'_>),
    ) -> Result<(), Errno> {
        self.sequence += 1;
        let mut request = Request::new(ask.kind, flags, self.sequence, ask.header);
        for (kind, payload) in ask.attributes {
            request = request.attribute(*kind, payload);
        }
        self.socket.send(&request.finish())?;
        let end = Instant::now() + LIMIT;
        let mut buffer = vec![0; BUFFER_BYTES];
        for _ in 0..DATAGRAMS {
            let left = end.saturating_duration_since(Instant::now());
            let (readable, _) = ready(self.socket.as_fd(), None, left)?;
            if !readable && left.is_zero() {
                return Err(Errno::new(libc::ETIMEDOUT));
            }
            let len = match self.socket.receive(&mut buffer) {
                Ok(len) => len,
                Err(errno) if matches!(errno.number(), libc::EAGAIN | libc::EINTR) => continue,
                Err(errno) => return Err(errno),
            };
            let datagram = buffer.get(..len).ok_or(Errno::new(libc::EMSGSIZE))?;
            if self.digest(datagram, flags & DUMP != 0, each)? {
                return Ok(());
            }
        }
        Err(Errno::new(libc::EMSGSIZE))
    }

    /// Hands the messages of a datagram over; tells whether the answer is complete.
    fn digest(
        &self,
        datagram: &[u8],
        dump: bool,
        each: &mut dyn FnMut(Message<'_>),
    ) -> Result<bool, Errno> {
        for message in messages(datagram).filter(|message| message.sequence == self.sequence) {
            match message.kind {
                DONE => return Ok(true),
                ERROR => {
                    let number = read_u32(message.payload).unwrap_or(0).cast_signed();
                    return if number == 0 {
                        Ok(true)
                    } else {
                        Err(Errno::new(-number))
                    };
                }
                _ => each(message),
            }
            if !dump {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
