//! The table: what a frame is, in which state the maps are, and by which exit it must leave.

use sluicegate_bpf::Exit;

use crate::frame::Frame;
use crate::{ip, link, message, taken};

/// The longest frame that the table's interface takes.
pub(crate) const MAX_FRAME_BYTES: usize = 1792;
/// IPv4's own headers in front of the DNS message: Ethernet, IPv4, UDP.
pub(crate) const V4_HEADERS: usize = 14 + 20 + 8;
/// The same for IPv6.
pub(crate) const V6_HEADERS: usize = 14 + 40 + 8;

/// The state of the maps beside what is listened on.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum State {
    /// Queue 0 is enabled and has a socket.
    Serving,
    /// The interface is not filled in.
    NotReady,
    /// Queue 0 has a socket but is not enabled.
    QueueOff,
    /// Queue 0 is enabled but has no socket.
    NoSocket,
}

pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) state: State,
    pub(crate) frame: Vec<u8>,
    pub(crate) exit: Exit,
}

pub(crate) fn rows() -> Vec<Row> {
    [
        taken::taken(),
        taken::states(),
        link::link(),
        link::vlan(),
        ip::ipv4(),
        ip::ipv6(),
        ip::addresses4(),
        ip::addresses6(),
        message::udp(),
        message::dns(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A row of the state that serves.
pub(crate) fn row(name: &'static str, exit: Exit, frame: &Frame) -> Row {
    Row {
        name,
        state: State::Serving,
        frame: frame.bytes(),
        exit,
    }
}

/// Fills the payload until the frame is `beyond` bytes longer than the greatest.
pub(crate) fn fill(f: &mut Frame, headers_bytes: usize, beyond: usize) {
    f.payload
        .resize(MAX_FRAME_BYTES + beyond - headers_bytes, 0);
}
