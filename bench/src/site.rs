//! Where one contender is measured: its host, the generator's, and the upstream's behind it.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs};

use anyhow::Result;
use sluicegate_lab::netns::{Netns, veth_pair};
use sluicegate_lab::scene::{CLIENT_V4, CLIENT_V6, LINK, SERVER_V4, SERVER_V6};
use sluicegate_lab::world::World;

use crate::data::Upstream;

/// The hosts of one contender. Each has its own, so that all can run and be measured in turn.
pub(crate) struct Site {
    /// The generator's host.
    pub(crate) client: Netns,
    /// The server's.
    pub(crate) server: Netns,
    /// Answers what the server does not know, unless a world does.
    _upstream: Option<(Upstream, Netns)>,
    /// The lines of an `unbound.conf` for a resolver in the world, if there is one.
    pub(crate) resolver_conf: Option<String>,
    /// Queues of the cable between generator and server.
    pub(crate) queues: u32,
}

/// Where the upstream listens.
pub(crate) const UPSTREAM: &str = "198.51.100.53:53";
/// The processor of the servers, with one queue.
pub(crate) const SERVER_CORE: usize = 0;
/// The processor of the generator, the clients and the upstream.
pub(crate) const CLIENT_CORE: usize = 1;

impl Site {
    /// Hosts joined by a cable with so many queues, the server's in the world if there is one.
    pub(crate) fn new(queues: u32, world: Option<&World>) -> Result<Self> {
        let [client, server] = [Netns::new()?, Netns::new()?];
        let (near, far) = veth_pair(&server, LINK, &client, LINK, queues)?;
        for (end, addresses) in [
            (&near, [SERVER_V4, SERVER_V6]),
            (&far, [CLIENT_V4, CLIENT_V6]),
        ] {
            let [v4, v6] = addresses;
            end.add_address(&format!("{v4}/24"))?;
            end.add_address(&format!("{v6}/64"))?;
        }
        // Nothing but queries and answers is on the cable.
        for (end, other, addresses) in [
            (&near, &far, [CLIENT_V4, CLIENT_V6]),
            (&far, &near, [SERVER_V4, SERVER_V6]),
        ] {
            let mac = other.mac()?;
            for address in addresses {
                end.add_neighbour(address, mac)?;
            }
        }
        let upstream = match world {
            Some(world) => {
                world.join(&server, "eth1")?;
                None
            }
            None => Some(upstream(&server)?),
        };
        Ok(Self {
            client,
            server,
            _upstream: upstream,
            resolver_conf: world.map(World::resolver_conf),
            queues,
        })
    }

    /// Where the server is asked.
    pub(crate) fn service(v6: bool) -> SocketAddr {
        SocketAddr::new(Self::address(v6), 53)
    }

    /// The server's address.
    pub(crate) fn address(v6: bool) -> IpAddr {
        if v6 { SERVER_V6 } else { SERVER_V4 }
    }

    /// The processors that the generator may use, as `taskset` takes them.
    pub(crate) fn client_cores(&self) -> String {
        if self.queues == 1 {
            CLIENT_CORE.to_string()
        } else {
            format!("{SERVER_CORE}-{CLIENT_CORE}")
        }
    }

    /// The processors that the server may use, as `taskset` takes them.
    pub(crate) fn server_cores(&self) -> String {
        if self.queues == 1 {
            SERVER_CORE.to_string()
        } else {
            format!("{SERVER_CORE}-{CLIENT_CORE}")
        }
    }
}

/// A host behind the server's with the upstream.
fn upstream(server: &Netns) -> Result<(Upstream, Netns)> {
    let behind = Netns::new()?;
    let (near, far) = veth_pair(server, "eth1", &behind, "eth0", 1)?;
    near.add_address("198.51.100.1/24")?;
    far.add_address("198.51.100.53/24")?;
    let upstream = Upstream::start(&behind, UPSTREAM.parse()?)?;
    Ok((upstream, behind))
}

/// A folder below the system's temporary one, removed with the value.
pub(crate) struct Folder {
    path: PathBuf,
}

impl Folder {
    pub(crate) fn new() -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path =
            env::temp_dir().join(format!("sluicegate-bench-{}-{number}", std::process::id()));
        fs::create_dir(&path)?;
        Ok(Self { path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}
