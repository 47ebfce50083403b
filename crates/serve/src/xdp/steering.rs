use std::net::Ipv4Addr;

use sluicegate_bpf::{self as bpf, Exit};
use sluicegate_xsk::prog::{Map, MapError, Program, XskMap};

use super::facts::Target;

/// One interface's program and its maps.
pub(super) struct Steering {
    program: Program,
    link: Map,
    listen: Map,
    broadcast: Map,
    queues: Map,
    counters: Map,
}

/// The key of the only entry.
const ONLY: [u8; 4] = 0u32.to_ne_bytes();
/// Values of the sets: what counts is the key.
const PRESENT: [u8; 4] = 1u32.to_ne_bytes();
const OFF: [u8; 4] = 0u32.to_ne_bytes();
const ON: [u8; 4] = 1u32.to_ne_bytes();

impl Steering {
    /// Takes a loaded program; it passes everything until [`open`](Self::open).
    ///
    /// # Errors
    /// It lacks a map, or there are too many open files.
    pub(super) fn new(program: Program) -> Result<Self, MapError> {
        Ok(Self {
            link: program.map(bpf::MAP_LINK)?,
            listen: program.map(bpf::MAP_LISTEN)?,
            broadcast: program.map(bpf::MAP_BROADCAST)?,
            queues: program.map(bpf::MAP_QUEUES)?,
            counters: program.map(bpf::MAP_COUNTERS)?,
            program,
        })
    }

    /// The map that queues enter their sockets into.
    ///
    /// # Errors
    /// Too many open files.
    pub(super) fn sockets(&self) -> Result<XskMap, MapError> {
        self.program.xskmap(bpf::MAP_XSKS)
    }

    /// Fills in what is taken, then enables the queues: from here on packets come.
    ///
    /// # Errors
    /// The kernel's; some queues may be enabled.
    pub(super) fn open(&self, target: &Target, queues: u32) -> Result<(), MapError> {
        for (key, owner) in &target.listen {
            self.listen.set(&key.to_bytes(), &owner.to_bytes())?;
        }
        for address in &target.broadcast {
            self.broadcast.set(&address.octets(), &PRESENT)?;
        }
        let link = bpf::Link {
            max_frame_bytes: super::opening::MAX_FRAME_BYTES,
        };
        self.link.set(&ONLY, &link.to_bytes())?;
        (0..queues).try_for_each(|queue| self.queues.set(&queue.to_ne_bytes(), &ON))
    }

    /// Disables the queues: from here on all packets go to the kernel.
    pub(super) fn disable(&self, queues: u32) {
        for queue in 0..queues {
            // It can't fail: the map is an array. If it did, packets would reach sockets that are still read.
            let _ = self.queues.set(&queue.to_ne_bytes(), &OFF);
        }
    }

    /// Goes over from what was wanted to what is.
    ///
    /// # Errors
    /// The kernel's, such as a full map; part of it may be done.
    pub(super) fn follow(&self, before: &Target, now: &Target) -> Result<(), MapError> {
        for key in before.listen.keys() {
            if !now.listen.contains_key(key) {
                self.listen.remove(&key.to_bytes())?;
            }
        }
        for (key, owner) in &now.listen {
            if before.listen.get(key) != Some(owner) {
                self.listen.set(&key.to_bytes(), &owner.to_bytes())?;
            }
        }
        for address in before.broadcast.difference(&now.broadcast) {
            self.broadcast.remove(&Ipv4Addr::octets(address))?;
        }
        for address in now.broadcast.difference(&before.broadcast) {
            self.broadcast.set(&address.octets(), &PRESENT)?;
        }
        Ok(())
    }

    /// The program's exit counters, summed over all CPUs, in the order of [`Exit::ALL`].
    pub(super) fn exits(&self) -> Option<Vec<u64>> {
        let count = |exit: &Exit| {
            self.counters
                .sum_per_cpu(&(*exit as u32).to_ne_bytes())
                .ok()
        };
        Exit::ALL.iter().map(count).collect()
    }
}
