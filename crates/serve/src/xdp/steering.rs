use std::net::Ipv4Addr;

use sluicegate_bpf::{self as bpf, Exit, QueueEntry};
use sluicegate_xsk::prog::{Map, MapError, Program, SharedMaps, XskMap};

use super::Target;

/// The maps that decide what of an interface's packets comes to our sockets, and their program if it is ours.
pub(super) struct Steering {
    own: Option<Own>,
    sockets: XskMap,
    listen: Map,
    queues: Map,
}

/// What only a program of our own has.
struct Own {
    link: Map,
    broadcast: Map,
    counters: Map,
}

/// The key of the only entry.
const ONLY: [u8; 4] = 0u32.to_ne_bytes();
/// Values of the sets: what counts is the key.
const PRESENT: [u8; 4] = 1u32.to_ne_bytes();

impl Steering {
    /// Takes a loaded program; it passes everything until [`open`](Self::open).
    ///
    /// # Errors
    /// It lacks a map, or there are too many open files.
    pub(super) fn new(program: &Program) -> Result<Self, MapError> {
        Ok(Self {
            sockets: program.xskmap(bpf::MAP_XSKS)?,
            listen: program.map(bpf::MAP_LISTEN)?,
            queues: program.map(bpf::MAP_QUEUES)?,
            own: Some(Own {
                link: program.map(bpf::MAP_LINK)?,
                broadcast: program.map(bpf::MAP_BROADCAST)?,
                counters: program.map(bpf::MAP_COUNTERS)?,
            }),
        })
    }

    /// The maps that a program of somebody else's uses, without what an earlier server has left in them.
    ///
    /// # Errors
    /// The kernel's.
    pub(super) fn shared(maps: &SharedMaps) -> Result<Self, MapError> {
        let steering = Self {
            own: None,
            sockets: maps.xskmap(bpf::MAP_XSKS)?,
            listen: maps.map(bpf::MAP_LISTEN)?,
            queues: maps.map(bpf::MAP_QUEUES)?,
        };
        // A server that was killed leaves its queues on, maybe more than we'll have: off before anything is taken away.
        for queue in 0..steering.queues.max_entries() {
            steering.switch(queue, false)?;
        }
        for key in steering.listen.keys()? {
            steering.listen.remove(&key)?;
        }
        Ok(steering)
    }

    /// The map that queues enter their sockets into, once more.
    ///
    /// # Errors
    /// Too many open files.
    pub(super) fn sockets(&self) -> Result<XskMap, MapError> {
        XskMap::from_fd(&self.sockets, bpf::MAP_XSKS)
    }

    /// Fills in what is taken, then enables the queues: from here on packets come.
    ///
    /// # Errors
    /// The kernel's; some queues may be enabled.
    pub(super) fn open(&self, target: &Target, queues: u32) -> Result<(), MapError> {
        for (key, owner) in &target.listen {
            self.listen.set(&key.to_bytes(), &owner.to_bytes())?;
        }
        if let Some(own) = &self.own {
            for address in &target.broadcast {
                own.broadcast.set(&address.octets(), &PRESENT)?;
            }
            let link = bpf::Link {
                max_frame_bytes: super::opening::MAX_FRAME_BYTES,
            };
            own.link.set(&ONLY, &link.to_bytes())?;
        }
        (0..queues).try_for_each(|queue| self.switch(queue, true))
    }

    /// Disables the queues: from here on all packets go to the kernel.
    pub(super) fn disable(&self, queues: u32) {
        for queue in 0..queues {
            // It can't fail: the map is an array. If it did, packets would reach sockets that are still read.
            let _ = self.switch(queue, false);
        }
    }

    fn switch(&self, queue: u32, on: bool) -> Result<(), MapError> {
        let value = QueueEntry::switched(on);
        // Maps for programs of somebody else's hold less than our own.
        let value = &value[..self.queues.value_bytes().min(value.len())];
        self.queues.set(&queue.to_ne_bytes(), value)
    }

    /// Packets that our own program has redirected to a queue since it was switched on; wraps.
    pub(super) fn redirected(&self, queue: u32) -> Option<u32> {
        self.own.as_ref()?;
        let value = self.queues.get(&queue.to_ne_bytes()).ok()??;
        QueueEntry::read(&value).map(|entry| entry.redirected)
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
        let Some(own) = &self.own else {
            return Ok(());
        };
        for address in before.broadcast.difference(&now.broadcast) {
            own.broadcast.remove(&Ipv4Addr::octets(address))?;
        }
        for address in now.broadcast.difference(&before.broadcast) {
            own.broadcast.set(&address.octets(), &PRESENT)?;
        }
        Ok(())
    }

    /// The exit counters of our own program, summed over all CPUs, in the order of [`Exit::ALL`].
    pub(super) fn exits(&self) -> Option<Vec<u64>> {
        let counters = &self.own.as_ref()?.counters;
        let count = |exit: &Exit| counters.sum_per_cpu(&(*exit as u32).to_ne_bytes()).ok();
        Exit::ALL.iter().map(count).collect()
    }
}
