use anyhow::{Context, Result};
use sluicegate_lab::netns::{Netns, veth_pair};
use sluicegate_lab::scene::{CLIENT_V4, LINK, PATIENCE, Path, SERVER_V4};
use sluicegate_lab::server::{Server, server};
use sluicegate_lab::wire::{Message, QuerySpec, ask_tcp, ask_udp};
use sluicegate_lab::world::{World, zones};

/// A client, a Sluicegate on AF_XDP, and the world behind it.
pub(crate) struct Site {
    // Fields are dropped in this order: the server before its namespace.
    _server: Server,
    host: Netns,
    client: Netns,
    _world: World,
}

impl Site {
    pub(crate) fn new() -> Result<Self> {
        let world = World::start(zones())?;
        let [host, client] = [Netns::new()?, Netns::new()?];
        let (near, far) = veth_pair(&host, LINK, &client, LINK, 1)?;
        near.add_address(&format!("{SERVER_V4}/24"))?;
        far.add_address(&format!("{CLIENT_V4}/24"))?;
        world.join(&host, "eth1")?;
        let conf = format!(
            "server:\n  interface: {SERVER_V4}\n  interface: 127.0.0.1\n  access-control: 10.11.1.0/24 allow\n  \
             num-threads: 1\n{}",
            world.resolver_conf()
        );
        let server = server(&conf).start(&host)?;
        server.wait_for_line(&format!("XDP fast path active interface={LINK}"), PATIENCE)?;
        Ok(Self {
            _server: server,
            host,
            client,
            _world: world,
        })
    }

    pub(crate) fn ask(&self, path: Path, query: &QuerySpec) -> Result<Message> {
        let message = query.build();
        let link = (SERVER_V4, 53).into();
        let answer = match path {
            Path::Xdp => self.client.enter(|| ask_udp(link, &message, PATIENCE)),
            Path::Udp => self
                .host
                .enter(|| ask_udp(([127, 0, 0, 1], 53).into(), &message, PATIENCE)),
            Path::Tcp => self.client.enter(|| ask_tcp(link, &message, PATIENCE)),
        };
        Message::parse(&answer?.with_context(|| format!("{path}: no answer"))?)
    }
}
