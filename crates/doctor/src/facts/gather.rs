use std::path::Path;

use sluicegate_bpf as bpf;
use sluicegate_xsk::nic::{NicError, addresses, links};
use sluicegate_xsk::prog::{LoadError, LoadOptions, Program};
use sluicegate_xsk::{Errno, try_socket};

use super::{ClosedPath, Facts, Host, Process, Root, Serving, Unit, Wanted, interface};

/// What was tried in this process.
#[derive(Clone, Debug, Default)]
pub struct Probes {
    /// An AF_XDP socket was made; `None`: not tried.
    pub socket: Option<Result<(), Errno>>,
    /// The server's XDP program was loaded (and not attached); `None`: not tried.
    pub load: Option<Result<(), LoadRefusal>>,
}

/// Why the kernel didn't take the server's program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadRefusal {
    /// What it said.
    pub says: String,
    /// Whether it was for want of a capability.
    pub lacks_capability: bool,
}

impl Facts {
    /// Looks at this machine and changes nothing. `server` is the process of a running server, and what its `stats`
    /// prints.
    ///
    /// # Errors
    /// The interfaces could not be listed.
    pub fn gather(wanted: Wanted, server: Option<(u32, &str)>) -> Result<Self, NicError> {
        let root = Root::new(Path::new("/"));
        let (links, addresses) = (links()?, addresses()?);
        let process = server.map(|(pid, _)| pid);
        Ok(Self {
            interfaces: interface::gather(&root, &wanted, &links, &addresses),
            places: interface::places(&links, &addresses),
            server: server.map(|(_, stats)| Serving::from_stats(stats)),
            unit: Unit::gather(),
            ..Self::look(wanted, process, &root)
        })
    }

    /// What can be told without any interface, as `checkconf` does.
    pub fn gather_host(wanted: Wanted) -> Self {
        Self::look(wanted, None, &Root::new(Path::new("/")))
    }

    fn look(wanted: Wanted, server: Option<u32>, root: &Root) -> Self {
        Self {
            closed: ClosedPath::find(root, &wanted),
            wanted,
            host: Host::gather(root),
            process: Process::gather(root, server),
            probes: Probes::run(),
            ..Self::default()
        }
    }
}

impl Probes {
    fn run() -> Self {
        let load = Program::load(bpf::STEER, bpf::PROGRAM, &LoadOptions::new());
        Self {
            socket: Some(try_socket()),
            load: Some(load.map(drop).map_err(|error| LoadRefusal::of(&error))),
        }
    }
}

impl LoadRefusal {
    fn of(error: &LoadError) -> Self {
        let lacks_capability = matches!(
            error,
            LoadError::NotPermitted { missing } if !missing.as_slice().is_empty()
        );
        Self {
            says: error.to_string(),
            lacks_capability,
        }
    }
}
