//! The scene of most tests: one server, one client, one upstream.
//!
//! ```text
//!  client                      server                         upstream's host
//!  10.11.1.2/24          eth0  10.11.1.1/24        eth1       198.51.100.53/24
//!  fc00:dead:cafe:1::2  ------ fc00:dead:cafe:1::1 ---------- answers by its script
//! ```

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::Result;

use crate::netns::{Netns, VethEnd, veth_pair};
use crate::server::{Server, server};
use crate::upstream::{Identity, SecureUpstream, Upstream};
use crate::wire::{FrameSpec, RawSocket, ask_tcp, ask_udp};

/// The server's address on the client's link.
pub const SERVER_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 11, 1, 1));
/// The server's address on the client's link.
pub const SERVER_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfc00, 0xdead, 0xcafe, 1, 0, 0, 0, 1));
/// The client's address.
pub const CLIENT_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 11, 1, 2));
/// The client's address.
pub const CLIENT_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfc00, 0xdead, 0xcafe, 1, 0, 0, 0, 2));

/// The interface between server and client, on both.
pub const LINK: &str = "eth0";

/// How long an answer may take before it counts as none.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// How long a test waits where it expects no answer. Long enough for one that comes after all.
pub const SILENCE: Duration = Duration::from_millis(250);

/// Server, client and upstream, joined and addressed; the server itself is started by the test.
pub struct Scene {
    /// The client's host.
    pub client: Netns,
    /// The server's host.
    pub server: Netns,
    /// What the server forwards to.
    pub upstream: Upstream,
    behind: Netns,
}

/// A way to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// UDP over the link that AF_XDP serves.
    Xdp,
    /// UDP to the server's loopback address, which only the kernel serves.
    Udp,
    /// TCP over the link.
    Tcp,
}

impl Path {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Xdp, Self::Udp, Self::Tcp];

    /// How the names of this path's counters start.
    pub fn counters(self) -> &'static str {
        match self {
            Self::Xdp => "xdp.eth0.",
            Self::Udp => "udp.",
            Self::Tcp => "tcp.",
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Xdp => "AF_XDP",
            Self::Udp => "kernel UDP",
            Self::Tcp => "TCP",
        })
    }
}

/// A client's host beside the server's, joined by [`LINK`] with `queues` RX and TX queues, both addressed.
pub fn client_beside(server: &Netns, queues: u32) -> Result<Netns> {
    let client = Netns::new()?;
    let (near, far) = veth_pair(server, LINK, &client, LINK, queues)?;
    near.add_address(&format!("{SERVER_V4}/24"))?;
    near.add_address(&format!("{SERVER_V6}/64"))?;
    far.add_address(&format!("{CLIENT_V4}/24"))?;
    far.add_address(&format!("{CLIENT_V6}/64"))?;
    Ok(client)
}

impl Scene {
    /// Builds the scene with `queues` RX and TX queues on the client's link.
    pub fn new(queues: u32) -> Result<Self> {
        let [server, behind] = [Netns::new()?, Netns::new()?];
        let client = client_beside(&server, queues)?;
        let (near, far) = veth_pair(&server, "eth1", &behind, "eth0", 1)?;
        near.add_address("198.51.100.1/24")?;
        far.add_address("198.51.100.53/24")?;
        let upstream = Upstream::start(&behind, "198.51.100.53:53".parse()?)?;
        Ok(Self {
            client,
            server,
            upstream,
            behind,
        })
    }

    /// One more upstream, on another address of the same host.
    pub fn other_upstream(&self) -> Result<Upstream> {
        let end = VethEnd {
            netns: &self.behind,
            name: "eth0".to_owned(),
        };
        end.add_address("198.51.100.54/24")?;
        Upstream::start(&self.behind, "198.51.100.54:53".parse()?)
    }

    /// An upstream over TLS, on an address of its own of the same host.
    pub fn secure_upstream(&self, identity: Identity) -> Result<SecureUpstream> {
        let end = VethEnd {
            netns: &self.behind,
            name: "eth0".to_owned(),
        };
        end.add_address("198.51.100.55/24")?;
        SecureUpstream::start(&self.behind, "198.51.100.55:853".parse()?, identity)
    }

    /// The same on an IPv6 address.
    pub fn secure_upstream_v6(&self, identity: Identity) -> Result<SecureUpstream> {
        let end = |netns, name: &str| VethEnd {
            netns,
            name: name.to_owned(),
        };
        end(&self.server, "eth1").add_address("2001:db8:53::1/64")?;
        end(&self.behind, "eth0").add_address("2001:db8:53::55/64")?;
        SecureUpstream::start(&self.behind, "[2001:db8:53::55]:853".parse()?, identity)
    }

    /// A configuration: both addresses of the link and loopback, the link's clients allowed, everything forwarded to
    /// the upstream; then `more`, which begins inside the `server:` clause.
    pub fn config(&self, more: &str) -> String {
        self.config_with(
            &format!(
                "forward-zone:\n  name: \".\"\n  forward-addr: {}",
                self.upstream
            ),
            more,
        )
    }

    /// The same with other zones than the one that forwards everything.
    pub fn config_with(&self, zones: &str, more: &str) -> String {
        format!(
            "server:
  interface: {SERVER_V4}
  interface: {SERVER_V6}
  interface: 127.0.0.1
  access-control: 10.11.1.0/24 allow
  access-control: fc00:dead:cafe:1::/64 allow
  num-threads: 2
{zones}
server:
{more}
"
        )
    }

    /// Starts a server on [`Self::config`] and waits until AF_XDP serves the link.
    pub fn start(&self, more: &str) -> Result<Server> {
        let server = server(&self.config(more)).start(&self.server)?;
        server.wait_for_line(&format!("XDP fast path active interface={LINK}"), PATIENCE)?;
        Ok(server)
    }

    /// Asks over `path` and waits for at most `limit`; `None` without an answer.
    pub fn ask(&self, path: Path, message: &[u8], limit: Duration) -> Result<Option<Vec<u8>>> {
        let link = SocketAddr::new(SERVER_V4, 53);
        let loopback = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 53);
        match path {
            Path::Xdp => self.client.enter(|| ask_udp(link, message, limit)),
            Path::Udp => self.server.enter(|| ask_udp(loopback, message, limit)),
            Path::Tcp => self.client.enter(|| ask_tcp(link, message, limit)),
        }
    }

    /// The server's end of the client's link.
    pub fn server_end(&self) -> VethEnd<'_> {
        VethEnd {
            netns: &self.server,
            name: LINK.to_owned(),
        }
    }

    /// The client's end.
    pub fn client_end(&self) -> VethEnd<'_> {
        VethEnd {
            netns: &self.client,
            name: LINK.to_owned(),
        }
    }

    /// A raw socket on the client's end, and the frame of a client that asks over IPv4 (`v6` false) or IPv6 from
    /// `port`.
    ///
    /// Neighbours are pinned on the server, so that answers by the kernel don't wait for the resolution of an address.
    pub fn raw(&self, v6: bool, port: u16) -> Result<(RawSocket, FrameSpec)> {
        let raw = RawSocket::open(&self.client, LINK)?;
        let (server, client) = if v6 {
            (SERVER_V6, CLIENT_V6)
        } else {
            (SERVER_V4, CLIENT_V4)
        };
        self.server_end().add_neighbour(client, raw.mac())?;
        let spec = FrameSpec {
            source_mac: raw.mac(),
            destination_mac: self.server_end().mac()?,
            tags: Vec::new(),
            source: SocketAddr::new(client, port),
            destination: SocketAddr::new(server, 53),
            hop_limit: 17,
        };
        Ok((raw, spec))
    }
}
