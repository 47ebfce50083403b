//! Whether generic mode does on an interface what it should, found out before it is used there.
//!
//! A frame is received on the interface by [`Program::inject`], as if it had come from outside, so that it goes the whole
//! way: the generic hook, VLANs, bonds and bridges above, firewall, socket. Three times: without a program, to know that
//! it gets through at all; with the program, which has to pass it on; and as a query that the program redirects, which
//! has to reach an AF_XDP socket. All of it by the first queue, since the kernel keeps no other in such a frame.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6, UdpSocket};
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
        "can't be made: a test packet to UDP port {} of {} (one of net.ipv4.ip_local_port_range) gets lost even without an XDP \
         program: a firewall, a tc filter, rp_filter?",
        .0.port(), .0.ip()
    )]
    Blocked(SocketAddr),
    #[error("a packet that is not for us gets lost once the program is attached")]
    Swallowed,
    #[error("a packet that is redirected at queue 0 does not reach its AF_XDP socket")]
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
        let (key, owner) = choose(&place.listen).ok_or(SelfTestError::NoAddress)?;
        let ip = key.local.ip();
        let all = addresses()?;
        let scope = carrier(key, nic.index(), &all).unwrap_or(0);
        let socket = UdpSocket::bind(bindable(ip, scope))?;
        let to = SocketAddr::new(ip, socket.local_addr()?.port());
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

/// An address whose packets come in there; one that is the link's own only if there is no other.
fn choose(listen: &BTreeMap<ListenKey, Owner>) -> Option<(&ListenKey, &Owner)> {
    let mut keys = listen.iter();
    let wider = keys.find(|(key, _)| !is_link_local(key.local.ip()));
    wider.or_else(|| listen.first_key_value())
}

const fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

/// The interface that has the address: several may have the same one of their link's.
fn carrier(key: &ListenKey, base: u32, all: &[Address]) -> Option<u32> {
    let tagged = !key.vlans.outer.is_none();
    let same = all.iter().filter(|address| address.ip == key.local.ip());
    let same = same.map(|address| address.ifindex);
    // What is tagged is for one above.
    same.min_by_key(|ifindex| (*ifindex == base) == tagged)
}

/// Any port of an address of the interface's, which an IPv6 address of a link alone doesn't name.
fn bindable(ip: IpAddr, ifindex: u32) -> SocketAddr {
    match ip {
        IpAddr::V6(v6) if is_link_local(ip) => SocketAddrV6::new(v6, 0, 0, ifindex).into(),
        _ => SocketAddr::new(ip, 0),
    }
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

#[cfg(test)]
mod tests {
    use sluicegate_bpf::{Tag, Vlans};

    use super::*;

    const NO_TAGS: Vlans = Vlans {
        outer: Tag::NONE,
        inner: Tag::NONE,
    };

    fn chosen(addresses: &[&str]) -> Option<IpAddr> {
        let owner = Owner {
            mac: [2, 0, 0, 0, 0, 1],
            reply_ifindex: 2,
        };
        let key = |text: &&str| ListenKey {
            local: SocketAddr::new(text.parse().unwrap(), 53),
            vlans: NO_TAGS,
        };
        let listen = addresses.iter().map(|text| (key(text), owner)).collect();
        choose(&listen).map(|(key, _)| key.local.ip())
    }

    #[test]
    fn an_address_of_the_link_alone_is_tested_if_there_is_no_other() {
        for own in ["169.254.1.2", "fe80::2"] {
            assert_eq!(chosen(&[own]), Some(own.parse().unwrap()));
            for wider in ["192.0.2.1", "2001:db8::1"] {
                assert_eq!(chosen(&[own, wider]), Some(wider.parse().unwrap()));
            }
        }
        assert_eq!(chosen(&[]), None);
    }

    /// A VLAN has the MAC address, and so the addresses of the link, of the card below.
    #[test]
    fn an_address_that_many_have_is_looked_for_by_its_tag() {
        let with = |ifindex| Address {
            ifindex,
            ip: "fe80::2".parse().unwrap(),
            prefix_len: 64,
        };
        let mut key = ListenKey {
            local: "[fe80::2]:53".parse().unwrap(),
            vlans: NO_TAGS,
        };
        assert_eq!(carrier(&key, 2, &[with(3), with(2)]), Some(2));
        assert_eq!(carrier(&key, 2, &[with(3)]), Some(3), "a bridge's");
        key.vlans.outer = Tag::customer(5);
        assert_eq!(carrier(&key, 2, &[with(2), with(3)]), Some(3));
    }

    #[test]
    fn only_addresses_of_a_link_need_its_number() {
        let bound = |text: &str| bindable(text.parse().unwrap(), 2).to_string();
        assert_eq!(bound("fe80::2"), "[fe80::2%2]:0");
        assert_eq!(bound("2001:db8::1"), "[2001:db8::1]:0");
        assert_eq!(bound("169.254.1.2"), "169.254.1.2:0");
    }
}
