//! What the tests of the listeners share: a brain with a little local data, and a stand-in for the engine.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, poll};
use sluicegate_answer::{Brain, Findings, Limits, Policy, Question, Resolution, Security};
use sluicegate_conf::{At, Config, Span};
use sluicegate_dns::Name;

use crate::handoff::{Ask, HubEnd, PortEnd, PortFactory};
use crate::{Failure, Shared};

/// How long any test waits for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// `hit.example` is local data; everything else is a miss.
pub(crate) fn config() -> Config {
    let local_data = vec![At {
        value: "hit.example. 60 IN A 192.0.2.1".to_owned(),
        at: Span::NONE,
    }];
    Config {
        local_data,
        ..Config::default()
    }
}

/// A server's shared part, and the other end of its hand-off.
pub(crate) fn shared() -> (Arc<Shared>, HubEnd) {
    shared_for(&config())
}

/// The same with a configuration of the test's own.
pub(crate) fn shared_for(config: &Config) -> (Arc<Shared>, HubEnd) {
    let policy = Policy::build(config).unwrap();
    let (ports, end) = PortFactory::new().unwrap();
    let brain = Arc::new(Brain::new(policy, config.cache.size_bytes));
    (Arc::new(Shared::new(brain, ports)), end)
}

/// Puts an address for this name into the answer cache, as if the engine had found it.
pub(crate) fn remember(shared: &Shared, name: &str) {
    let question = Question {
        name: Name::from_text(name).unwrap(),
        qtype: 1,
        qclass: 1,
        dnssec_ok: false,
        cd: false,
        stale: false,
    };
    let policy = shared.brain.policy.load();
    let resolution = resolution(&question, policy.limits());
    let cache = &shared.brain.cache;
    cache.insert(&resolution, policy.limits(), shared.now());
}

/// An address, as if the engine had found it.
fn resolution(question: &Question, limits: &Limits) -> Resolution {
    let mut wire = vec![0, 0, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
    wire.extend(question.name.as_bytes());
    wire.extend([0, 1, 0, 1]);
    wire.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 14, 16, 0, 4, 192, 0, 2, 9]);
    let found = Findings {
        rcode: 0,
        security: Security::Insecure,
        wire: &wire,
        ede: None,
    };
    Resolution::new(question, &found, limits)
}

/// A query of type A with RD=1 and no EDNS.
pub(crate) fn query(id: u16, name: &str) -> Vec<u8> {
    let mut bytes = id.to_be_bytes().to_vec();
    bytes.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        bytes.push(label.len() as u8);
        bytes.extend(label.as_bytes());
    }
    bytes.extend([0, 0, 1, 0, 1]);
    bytes
}

/// ID and RCODE of a reply.
pub(crate) fn reply(bytes: &[u8]) -> (u16, u8) {
    assert!(
        bytes.len() >= 12 && bytes[2] & 0x80 != 0,
        "no reply: {bytes:?}"
    );
    (u16::from_be_bytes([bytes[0], bytes[1]]), bytes[3] & 15)
}

/// A UDP socket connected to `server`: it takes only what comes from the very address it asked.
pub(crate) fn udp_client(server: SocketAddr) -> UdpSocket {
    let any = if server.is_ipv4() {
        "0.0.0.0:0"
    } else {
        "[::]:0"
    };
    let socket = UdpSocket::bind(any).unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// An address with a port that was free a moment ago, for UDP and TCP.
pub(crate) fn free(ip: IpAddr) -> SocketAddr {
    loop {
        let udp = UdpSocket::bind((ip, 0)).unwrap();
        let address = udp.local_addr().unwrap();
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

/// What the stand-in does with a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// SERVFAIL at once.
    Fail,
    /// Keeps it until [`FakeEngine::release`].
    Hold,
    /// Says that it is late, then answers.
    Late,
}

/// A stand-in for the hand-off thread and the engine. Names that begin with `hold` are kept until they are
/// released, those that begin with `late` are answered late, all others fail at once.
pub(crate) struct FakeEngine {
    release: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    waker: crate::Waker,
    thread: Option<JoinHandle<()>>,
}

impl FakeEngine {
    pub(crate) fn start(end: HubEnd) -> Self {
        let (release, stop) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicBool::new(false)),
        );
        let waker = end.waker.clone();
        let (released, stopped) = (Arc::clone(&release), Arc::clone(&stop));
        let thread = Some(std::thread::spawn(move || {
            answer(&end, &released, &stopped);
        }));
        Self {
            release,
            stop,
            waker,
            thread,
        }
    }

    /// Fails what was held.
    pub(crate) fn release(&self) {
        self.release.store(true, Relaxed);
        self.waker.wake();
    }
}

impl Drop for FakeEngine {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        self.waker.wake();
        self.thread.take().unwrap().join().unwrap();
    }
}

fn answer(end: &HubEnd, release: &AtomicBool, stop: &AtomicBool) {
    let mut ports: BTreeMap<u64, PortEnd> = BTreeMap::new();
    let mut held = Vec::new();
    let policy = Policy::build(&config()).unwrap();
    while !stop.load(Relaxed) {
        let mut fds = [PollFd::new(end.waker.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, 1000u16).unwrap();
        end.waker.clear();
        ports.extend(end.new_ports.try_iter().map(|port| (port.id, port)));
        for (id, port) in &mut ports {
            while let Ok(Ask { question, token }) = port.asked.pop() {
                match plan(question.name.as_bytes()) {
                    Plan::Fail => assert!(port.settle(token, Err(Failure::Engine))),
                    Plan::Hold => held.push((*id, token)),
                    Plan::Late => {
                        assert!(port.settle(token, Err(Failure::Late)));
                        let resolution = resolution(&question, policy.limits());
                        assert!(port.settle(token, Ok(Arc::new(resolution))));
                    }
                }
            }
        }
        if release.load(Relaxed) {
            for (id, token) in held.drain(..) {
                assert!(
                    ports
                        .get_mut(&id)
                        .unwrap()
                        .settle(token, Err(Failure::Engine))
                );
            }
        }
    }
}

fn plan(name: &[u8]) -> Plan {
    if name[1..].starts_with(b"hold") {
        Plan::Hold
    } else if name[1..].starts_with(b"late") {
        Plan::Late
    } else {
        Plan::Fail
    }
}
