//! A server with queues on one end of a veth pair, a client on the other.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sluicegate_lab::netns::{Netns, VethEnd, veth_pair};
use sluicegate_xsk::nic::Nic;
use sluicegate_xsk::prog::{AttachMode, AttachedLink, LoadOptions, Program, XskMap};
use sluicegate_xsk::{BindError, Queue, QueueBuilder, QueueError, RxPacket};

/// The XDP program of these tests.
pub(crate) static REDIRECT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/redirect.o"));
/// The interface of the server, and that of the client.
pub(crate) const SERVER: &str = "sluice0";
pub(crate) const CLIENT: &str = "client0";
/// Where the server is; the port is the program's.
pub(crate) const SERVICE: &str = "10.11.9.1:4053";
const SERVER_ADDRESS: &str = "10.11.9.1/24";
const CLIENT_ADDRESS: &str = "10.11.9.2/24";
/// Frames of each queue.
pub(crate) const FRAMES: u32 = 1024;
/// The longest that anything may take that should take no time, on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// Two hosts.
pub(crate) struct Hosts {
    pub(crate) server: Netns,
    pub(crate) client: Netns,
}

impl Hosts {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            server: Netns::new()?,
            client: Netns::new()?,
        })
    }

    /// Joins them by a cable with `queues` queues.
    pub(crate) fn join(&self, queues: u32) -> Result<(VethEnd<'_>, VethEnd<'_>)> {
        let (server, client) = veth_pair(&self.server, SERVER, &self.client, CLIENT, queues)?;
        server.add_address(SERVER_ADDRESS)?;
        client.add_address(CLIENT_ADDRESS)?;
        // Who is who is known: nothing but the packets of the test is on the cable.
        server.add_neighbour("10.11.9.2".parse()?, client.mac()?)?;
        client.add_neighbour("10.11.9.1".parse()?, server.mac()?)?;
        Ok((server, client))
    }

    pub(crate) fn nic(&self) -> Result<Nic> {
        Ok(self.server.enter(|| Nic::by_name(SERVER))?)
    }

    /// Opens a queue beside what a server has open.
    pub(crate) fn open(
        &self,
        xsks: &XskMap,
        queue: u32,
        adjust: impl Fn(QueueBuilder) -> QueueBuilder + Sync,
    ) -> Result<Queue, BindError> {
        self.server.enter(|| {
            let nic = Nic::by_name(SERVER).map_err(|_| BindError::Gone {
                interface: SERVER.to_owned(),
            })?;
            let builder = adjust(QueueBuilder::new(&nic, queue).frames(FRAMES));
            Ok(builder.open(xsks)?.0)
        })
    }

    /// A client's socket, connected to the service.
    pub(crate) fn connect(&self) -> Result<UdpSocket> {
        let socket = self.client.enter(|| UdpSocket::bind("10.11.9.2:0"))?;
        socket.connect(SERVICE)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(socket)
    }

    /// A socket of the kernel's own at the service's address.
    pub(crate) fn listen(&self) -> Result<UdpSocket> {
        let socket = self.server.enter(|| UdpSocket::bind(SERVICE))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(socket)
    }

    /// Loads and attaches the program, and opens the first `queues` queues, as `adjust` says.
    pub(crate) fn serve(
        &self,
        queues: u32,
        adjust: impl Fn(QueueBuilder) -> QueueBuilder + Sync,
    ) -> Result<Server> {
        self.serve_in(AttachMode::Native, queues, adjust)
    }

    /// As [`Self::serve`], in generic mode too.
    pub(crate) fn serve_in(
        &self,
        mode: AttachMode,
        queues: u32,
        adjust: impl Fn(QueueBuilder) -> QueueBuilder + Sync,
    ) -> Result<Server> {
        self.server.enter(|| {
            let nic = Nic::by_name(SERVER)?;
            let program = load()?;
            let link = program.attach(&nic, mode)?;
            let xsks = program.xskmap("xsks")?;
            let open = |queue| {
                let builder = adjust(QueueBuilder::new(&nic, queue).frames(FRAMES));
                anyhow::Ok(builder.open(&xsks)?.0)
            };
            let opened = (0..queues).map(open).collect::<Result<Vec<_>>>()?;
            let server = Server {
                queues: opened,
                link,
                program,
                xsks,
            };
            for queue in 0..queues {
                server.enable(queue, true)?;
            }
            Ok(server)
        })
    }
}

/// The program in the kernel, in this thread's namespace.
pub(crate) fn load() -> Result<Program> {
    Ok(Program::load(REDIRECT, "redirect", &LoadOptions::new())?)
}

/// An attached program and its queues. Dropped in this order.
pub(crate) struct Server {
    pub(crate) queues: Vec<Queue>,
    pub(crate) link: AttachedLink,
    pub(crate) program: Program,
    pub(crate) xsks: XskMap,
}

impl Server {
    /// Whether packets of a queue are redirected.
    pub(crate) fn enable(&self, queue: u32, enable: bool) -> Result<()> {
        let map = self.program.map("queues")?;
        Ok(map.set(&queue.to_ne_bytes(), &u32::from(enable).to_ne_bytes())?)
    }

    /// How many packets for the service the program has seen.
    pub(crate) fn seen(&self) -> Result<u64> {
        let map = self.program.map("seen")?;
        let each = (0..8u32).map(|queue| map.sum_per_cpu(&queue.to_ne_bytes()));
        Ok(each.sum::<Result<u64, _>>()?)
    }

    /// Reflects packets on all queues until `enough` says so.
    pub(crate) fn reflect_until(&mut self, mut enough: impl FnMut(&[Queue]) -> bool) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        while !enough(&self.queues) {
            ensure!(Instant::now() < end, "not enough after {PATIENCE:?}");
            for queue in &mut self.queues {
                if queue.turn(&mut reflect)? == 0 {
                    queue.idle(Duration::from_millis(1), None)?;
                }
            }
        }
        Ok(())
    }

    /// Sends packets from `client`, again and again, until an echo is back: the cable may just have come up.
    pub(crate) fn echo_soon(&mut self, client: &UdpSocket) -> Result<()> {
        client.set_nonblocking(true)?;
        let mut buffer = [0; 64];
        while client.recv(&mut buffer).is_ok() {}
        self.reflect_until(|_| {
            let _ = client.send(b"soon");
            client.recv(&mut buffer).is_ok()
        })?;
        // Echoes of the other packets may still come.
        self.reflect_until(|queues| queues.iter().all(|queue| queue.census().tx == 0))?;
        client.set_nonblocking(false)?;
        Ok(())
    }

    /// Whether the books are in order, and nothing has happened that never should.
    pub(crate) fn check(&self) -> Result<()> {
        for queue in &self.queues {
            let (census, counters) = (queue.census(), queue.counters());
            ensure!(census.total() == FRAMES && census.user == 0, "{census:?}");
            ensure!(counters.anomalies() == 0, "{counters:?}");
        }
        Ok(())
    }

    /// Sends `payload` from `client` and reflects until its echo is back.
    pub(crate) fn echo_once(&mut self, client: &UdpSocket, payload: &[u8]) -> Result<()> {
        client.send(payload)?;
        client.set_nonblocking(true)?;
        let mut answer = vec![0; payload.len() + 1];
        let mut echoed = None;
        self.reflect_until(|_| {
            echoed = client.recv(&mut answer).ok();
            echoed.is_some()
        })?;
        client.set_nonblocking(false)?;
        let len = echoed.context("an echo")?;
        ensure!(
            &answer[..len] == payload,
            "another echo: {:?}",
            &answer[..len]
        );
        Ok(())
    }
}

/// Sends a packet back to where it came from.
pub(crate) fn reflect(mut packet: RxPacket<'_>) {
    let len = packet.len();
    let Some(headers) = packet.window().first_chunk_mut::<42>() else {
        return;
    };
    headers[..12].rotate_left(6);
    headers[26..34].rotate_left(4);
    headers[34..38].rotate_left(2);
    // A local sender leaves its checksum unfinished; none is as good over IPv4.
    headers[40..42].fill(0);
    packet.transmit(len);
}

/// Runs `queue` until it fails.
pub(crate) fn run_to_failure(mut queue: Queue) -> (QueueError, Queue) {
    loop {
        let outcome = match queue.turn(&mut reflect) {
            Ok(0) => queue.idle(Duration::from_secs(1), None).map(drop),
            other => other.map(drop),
        };
        if let Err(error) = outcome {
            return (error, queue);
        }
    }
}
