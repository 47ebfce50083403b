//! Whether generic mode does on an interface what it should, found out before it is used there.
//!
//! A frame is received on the interface by [`Program::inject`], as if it had come from outside, so that it goes the whole
//! way: the generic hook, VLANs, bonds and bridges above, firewall, socket. Three times: without a program, to know that
//! it gets through at all; with the program, which has to pass it on; and as a query that the program redirects, which
//! has to reach an AF_XDP socket. All of it by the first queue, since the kernel keeps no other in such a frame.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use sluicegate_bpf::{self as bpf, Exit, Link, ListenKey, Owner, QueueEntry};
use sluicegate_places::Place;
use sluicegate_xsk::nic::{Address, Nic, NicError, addresses};
use sluicegate_xsk::prog::{LoadError, LoadOptions, MapError, Program, TestError};
use sluicegate_xsk::{BindError, Mode, Queue, QueueBuilder, QueueError};

use super::probe::{Probe, neighbour};

/// A test that has come as far as it can without the program.
#[derive(Debug)]
pub(super) struct SelfTest<'a> {
    nic: &'a Nic,
    pass: Program,
    probe: Probe,
    socket: UdpSocket,
}

/// Why generic mode is not used on an interface.
#[derive(Debug, thiserror::Error)]
pub(super) enum SelfTestError {
    #[error("it has no address now that a test packet could be sent to")]
    NoAddress,
    #[error("{0}")]
    Load(#[from] LoadError),
    #[error("the kernel takes no test packets: {0}")]
    Inject(#[from] TestError),
    #[error(
        "can't be made: a test packet to UDP port {} of {} gets lost even without an XDP program (a firewall, a tc filter, \
         rp_filter?)",
        .0.port(), .0.ip()
    )]
    Blocked(SocketAddr),
    #[error("a packet that is not for us gets lost once the program is attached")]
    Swallowed,
    #[error("a redirected packet does not reach its AF_XDP socket")]
    Lost,
    #[error("{0}")]
    Bind(#[from] BindError),
    #[error("{0}")]
    Queue(#[from] QueueError),
    #[error("{0}")]
    Map(#[from] MapError),
    #[error("{0}")]
    Nic(#[from] NicError),
    #[error("a UDP socket: {0}")]
    Socket(#[from] io::Error),
}

/// Packets of one kind that are tried: one may get lost in a full backlog.
const TRIES: u8 = 4;
/// How long each may take. It takes microseconds, but somebody else may have the processor.
const PATIENCE: Duration = Duration::from_millis(500);
/// Frames of the test's own socket.
const FRAMES: u32 = 64;
/// The port that the neighbour seems to send from. No kernel hands it out, and firewalls leave it alone.
const SOURCE_PORT: u16 = 5353;
/// The key of the map with one entry, and of the first queue.
const FIRST: [u8; 4] = 0u32.to_ne_bytes();

impl<'a> SelfTest<'a> {
    /// Makes ready, and sees that a packet gets through without a program.
    ///
    /// # Errors
    /// The test can't be made.
    pub(super) fn prepare(nic: &'a Nic, place: &Place) -> Result<Self, SelfTestError> {
        let (key, owner) = choose(place).ok_or(SelfTestError::NoAddress)?;
        let ip = key.local.ip();
        let socket = UdpSocket::bind((ip, 0))?;
        let to = SocketAddr::new(ip, socket.local_addr()?.port());
        let all = addresses()?;
        let probe = Probe {
            to,
            mac: owner.mac,
            vlans: key.vlans,
            from: SocketAddr::new(source(ip, &all), SOURCE_PORT),
        };
        let pass = Program::load(bpf::STEER, bpf::PROGRAM_PASS, &LoadOptions::new())?;
        let test = Self {
            nic,
            pass,
            probe,
            socket,
        };
        if test.gets_through()? {
            Ok(test)
        } else {
            Err(SelfTestError::Blocked(to))
        }
    }

    /// Makes the test, with the program attached and nothing in its maps. They are left so.
    ///
    /// # Errors
    /// It failed, or could not be made.
    pub(super) fn run(&self, program: &Program) -> Result<(), SelfTestError> {
        self.switch(program, true)?;
        let outcome = self.both(program);
        self.switch(program, false)?;
        // The test's packets are none of the server's.
        let counters = program.map(bpf::MAP_COUNTERS)?;
        let zero = vec![0; counters.value_bytes()];
        for exit in Exit::ALL {
            counters.set(&(*exit as u32).to_ne_bytes(), &zero)?;
        }
        outcome
    }

    fn both(&self, program: &Program) -> Result<(), SelfTestError> {
        // All is as when it serves, but nothing is listened on yet.
        if !self.gets_through()? {
            return Err(SelfTestError::Swallowed);
        }
        let xsks = program.xskmap(bpf::MAP_XSKS)?;
        let builder = QueueBuilder::new(self.nic, 0);
        let builder = builder.frames(FRAMES).rings(FRAMES, FRAMES);
        let (mut queue, _) = builder.mode(Mode::Copy).open(&xsks)?;
        let key = ListenKey {
            local: self.probe.to,
            vlans: self.probe.vlans,
        };
        let owner = Owner {
            mac: self.probe.mac,
            reply_ifindex: 0,
        };
        let listen = program.map(bpf::MAP_LISTEN)?;
        listen.set(&key.to_bytes(), &owner.to_bytes())?;
        let arrived = self.is_redirected(&mut queue);
        listen.remove(&key.to_bytes())?;
        queue.retire();
        if arrived? {
            Ok(())
        } else {
            Err(SelfTestError::Lost)
        }
    }

    fn switch(&self, program: &Program, on: bool) -> Result<(), MapError> {
        let ready = Link {
            max_frame_bytes: self.nic.caps().mtu_bytes.saturating_add(22),
        };
        let link = if on {
            ready.to_bytes()
        } else {
            Link::NOT_READY
        };
        program.map(bpf::MAP_LINK)?.set(&FIRST, &link)?;
        let queues = program.map(bpf::MAP_QUEUES)?;
        queues.set(&FIRST, &QueueEntry::switched(on))
    }

    /// Whether a packet that is no query reaches its socket.
    fn gets_through(&self) -> Result<bool, SelfTestError> {
        for number in 0..TRIES {
            let payload = [&b"sluicegate self-test "[..], &[number]].concat();
            self.inject(&payload)?;
            let until = Instant::now() + PATIENCE;
            let mut buf = [0; 64];
            while let Some(left) = left(until) {
                self.socket.set_read_timeout(Some(left))?;
                match self.socket.recv(&mut buf) {
                    Ok(len) if buf[..len] == payload => return Ok(true),
                    Ok(_) => {}
                    Err(error) if is_late(&error) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(false)
    }

    /// Whether a query comes to the AF_XDP socket.
    fn is_redirected(&self, queue: &mut Queue) -> Result<bool, SelfTestError> {
        for number in 0..TRIES {
            // A header that says "query", one question: ". NS".
            let query = [
                &[0, number, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0][..],
                &[0, 0, 2, 0, 1],
            ]
            .concat();
            let frame = self.inject(&query)?;
            let until = Instant::now() + PATIENCE;
            while let Some(left) = left(until) {
                let mut seen = false;
                let mut look = |packet: sluicegate_xsk::RxPacket<'_>| {
                    seen |= packet.bytes() == frame;
                };
                if queue.turn(&mut look)? == 0 {
                    queue.idle(left, None)?;
                }
                if seen {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn inject(&self, payload: &[u8]) -> Result<Vec<u8>, TestError> {
        let frame = self.probe.frame(payload);
        self.pass.inject(&frame, (self.nic.index(), 0))?;
        Ok(frame)
    }
}

/// What is left until then, if something is.
fn left(until: Instant) -> Option<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    (left > Duration::ZERO).then_some(left)
}

fn is_late(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), WouldBlock | TimedOut | Interrupted)
}

/// An address whose packets come in there; not one that is the link's own if there is another.
fn choose(place: &Place) -> Option<(&ListenKey, &Owner)> {
    let link_local = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    let mut keys = place.listen.iter();
    keys.find(|(key, _)| !link_local(key.local.ip()))
}

/// Where a packet to `ip` may come from.
fn source(ip: IpAddr, all: &[Address]) -> IpAddr {
    let own: Vec<IpAddr> = all.iter().map(|address| address.ip).collect();
    let prefix_len = all.iter().find(|address| address.ip == ip);
    let host = if ip.is_ipv4() { 32 } else { 128 };
    neighbour(
        ip,
        prefix_len.map_or(host, |address| address.prefix_len),
        &own,
    )
}
