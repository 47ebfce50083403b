//! The program, loaded once, with its maps filled for the table.

use std::os::fd::{AsFd, AsRawFd};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use anyhow::{Context, Result, bail};
use aya::maps::{Array, HashMap, MapData, MapError, PerCpuArray, XskMap};
use aya::programs::Xdp;
use aya::{Ebpf, TestRun, TestRunOptions};
use sluicegate_bpf::{self as bpf, Exit, Link, ListenKey, Owner, QueueEntry, Tag, Vlans};
use sluicegate_lab::netns::Netns;
use sluicegate_xsk::nic::Nic;
use sluicegate_xsk::{Mode, Queue, QueueBuilder};

use crate::frame::{BRIDGE_MAC, OWN_MAC};
use crate::rows::{MAX_FRAME_BYTES, State};

/// What the program returned; numbers of `enum xdp_action` in linux/bpf.h.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Action {
    Pass,
    Redirect,
    Other(u32),
}

/// What one frame did.
pub(crate) struct Seen {
    pub(crate) action: Action,
    /// The exits whose counters went up, each as often as it did.
    pub(crate) exits: Vec<Exit>,
    pub(crate) frame: Vec<u8>,
}

pub(crate) struct Steer {
    ebpf: Ebpf,
    socket: Queue,
    counters: PerCpuArray<MapData, u64>,
}

impl Steer {
    /// The one program of this test, loaded at the first call.
    pub(crate) fn shared() -> MutexGuard<'static, Self> {
        static STEER: OnceLock<Mutex<Steer>> = OnceLock::new();
        let steer =
            STEER.get_or_init(|| Mutex::new(Self::load().expect("root can load the program")));
        steer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A program of one's own, with the listen addresses of the table.
    pub(crate) fn load() -> Result<Self> {
        let mut ebpf = load()?;
        let socket = bound(map(&mut ebpf, bpf::MAP_XSKS)?)?;
        let counters = ebpf
            .take_map(bpf::MAP_COUNTERS)
            .context("no map of counters")?
            .try_into()?;
        let mut steer = Self {
            ebpf,
            socket,
            counters,
        };
        steer.listen(0)?;
        Ok(steer)
    }

    /// Fills in what is listened on, and by which interface replies have to leave (0: no matter).
    pub(crate) fn listen(&mut self, reply_ifindex: u32) -> Result<()> {
        let mut listen: HashMap<_, [u8; ListenKey::BYTES], [u8; Owner::BYTES]> =
            map(&mut self.ebpf, bpf::MAP_LISTEN)?.try_into()?;
        let (none, five) = (Tag::NONE, Tag::customer(5));
        let (outer, inner) = (Tag::service(100), Tag::customer(200));
        let bridge = Tag::customer(300);
        for (local, outer, inner) in [
            ("192.0.2.1:53", none, none),
            ("192.0.2.1:5353", none, none),
            ("[2001:db8::1]:53", none, none),
            ("[fe80::1]:53", none, none),
            ("192.0.2.1:53", five, none),
            ("192.0.2.5:53", five, none),
            ("[2001:db8::1]:53", five, none),
            ("192.0.2.1:53", outer, inner),
            ("[2001:db8::1]:53", outer, inner),
            ("192.0.2.1:53", bridge, none),
            ("192.0.2.1:53", Tag::service(7), none),
            ("[2001:db8::1]:53", Tag::service(7), none),
        ] {
            let key = ListenKey {
                local: local.parse()?,
                vlans: Vlans { outer, inner },
            };
            let owner = Owner {
                mac: if outer == bridge { BRIDGE_MAC } else { OWN_MAC },
                reply_ifindex,
            };
            listen.insert(key.to_bytes(), owner.to_bytes(), 0)?;
        }
        let mut broadcast: HashMap<_, [u8; 4], u32> =
            map(&mut self.ebpf, bpf::MAP_BROADCAST)?.try_into()?;
        broadcast.insert([192, 0, 2, 255], 0, 0)?;
        Ok(())
    }

    /// Brings the maps into a state.
    pub(crate) fn enter(&mut self, state: State) -> Result<()> {
        let own = Link {
            max_frame_bytes: MAX_FRAME_BYTES as u32,
        };
        let own = if state == State::NotReady {
            Link::NOT_READY
        } else {
            own.to_bytes()
        };
        let mut link: Array<_, [u8; Link::BYTES]> =
            map(&mut self.ebpf, bpf::MAP_LINK)?.try_into()?;
        link.set(0, own, 0)?;
        let mut queues: Array<_, [u8; QueueEntry::BYTES]> =
            map(&mut self.ebpf, bpf::MAP_QUEUES)?.try_into()?;
        queues.set(0, QueueEntry::switched(state != State::QueueOff), 0)?;
        let mut xsks: XskMap<_> = map(&mut self.ebpf, bpf::MAP_XSKS)?.try_into()?;
        if state == State::NoSocket {
            xsks.unset(0).or_else(absent)?;
        } else {
            xsks.set(0, self.socket.as_fd().as_raw_fd(), 0)?;
        }
        Ok(())
    }

    /// Runs one frame. The facility pretends that it came in on queue 0 of the loopback interface.
    pub(crate) fn run(&mut self, frame: &[u8]) -> Result<Seen> {
        let before = self.counts()?;
        let mut out = vec![0; frame.len() + 256];
        let options = TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut out),
            ..TestRunOptions::default()
        };
        let result = program(&mut self.ebpf)?.test_run(options)?;
        let action = match result.return_value {
            2 => Action::Pass,
            4 => Action::Redirect,
            other => Action::Other(other),
        };
        let after = self.counts()?;
        let exits = Exit::ALL
            .iter()
            .zip(before.iter().zip(&after))
            .flat_map(|(exit, (before, after))| (*before..*after).map(|_| *exit))
            .collect();
        out.truncate(result.data_size_out as usize);
        Ok(Seen {
            action,
            exits,
            frame: out,
        })
    }

    fn counts(&self) -> Result<Vec<u64>> {
        Exit::ALL
            .iter()
            .map(|exit| Ok(self.counters.get(&(*exit as u32), 0)?.iter().sum()))
            .collect()
    }
}

/// A socket for the map. Newer kernels (7.3) take none that isn't bound.
fn bound(xsks: &aya::maps::Map) -> Result<Queue> {
    let aya::maps::Map::XskMap(xsks) = xsks else {
        bail!("{} is no XSKMAP", bpf::MAP_XSKS);
    };
    let host = Netns::new()?;
    host.enter(|| {
        let builder = QueueBuilder::new(&Nic::by_name("lo")?, 0);
        let builder = builder.mode(Mode::Copy).frames(64).rings(64, 64);
        Ok(builder.open(xsks.fd().as_fd())?.0)
    })
}

/// Loads the object and has the verifier look at the program.
pub(crate) fn load() -> Result<Ebpf> {
    let mut ebpf = Ebpf::load(bpf::STEER).context("the object does not load")?;
    program(&mut ebpf)?
        .load()
        .context("the verifier refuses the program")?;
    Ok(ebpf)
}

/// The program inside the object.
pub(crate) fn program(ebpf: &mut Ebpf) -> Result<&mut Xdp> {
    Ok(ebpf
        .program_mut(bpf::PROGRAM)
        .context("no such program")?
        .try_into()?)
}

fn map<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut aya::maps::Map> {
    ebpf.map_mut(name).with_context(|| format!("no map {name}"))
}

/// An empty slot may be emptied again.
fn absent(error: MapError) -> Result<(), MapError> {
    match &error {
        MapError::SyscallError(call) if call.io_error.kind() == std::io::ErrorKind::NotFound => {
            Ok(())
        }
        _ => Err(error),
    }
}
