//! What is known of the machine: plain data, gathered in one go and never changed.

mod gateway;
mod gather;
mod host;
mod interface;
mod pins;
mod process;
mod root;
mod serving;
mod unit;
mod wanted;

pub use gather::{LoadRefusal, Probes};
pub use host::{Conf, Host};
pub use interface::{Interface, Interrupt, Master, Place, Program, Role, Route};
pub use pins::ClosedPath;
pub use process::{Limit, Process, ProcessKind};
pub(crate) use root::Root;
pub use serving::{Served, Serving};
pub use unit::Unit;
pub use wanted::{Wanted, WantedListen};

/// Everything that checks look at.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// What the configuration asks for.
    pub wanted: Wanted,
    /// The kernel and its settings.
    pub host: Host,
    /// The server's process, or this one.
    pub process: Process,
    /// What was tried.
    pub probes: Probes,
    /// What keeps the server from the pinned maps once it is another user; `None`: nothing that is known.
    pub closed: Option<ClosedPath>,
    /// The interfaces that matter, in the order of their numbers.
    pub interfaces: Vec<Interface>,
    /// All addresses of all interfaces that are up.
    pub places: Vec<Place>,
    /// What a running server tells of itself; `None`: none answers.
    pub server: Option<Serving>,
    /// What systemd says of the service; `None`: there is none, or no systemd.
    pub unit: Option<Unit>,
}
