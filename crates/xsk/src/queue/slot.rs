use std::os::fd::{AsFd, AsRawFd};

use crate::sys::{BpfMap, Errno, MapUpdate};

/// A socket's place in an XSKMAP. The kernel empties it when the socket is closed; [`MapSlot::release`] does before.
#[derive(Debug)]
pub(crate) struct MapSlot {
    map: BpfMap,
    queue: u32,
}

impl MapSlot {
    /// Enters `socket` into the slot of its queue. Fails with `EEXIST` if another socket is there; entering the same one
    /// twice is fine, and repairs a slot that somebody emptied.
    pub(crate) fn claim(map: BpfMap, queue: u32, socket: &impl AsFd) -> Result<Self, Errno> {
        insert(&map, queue, socket)?;
        Ok(Self { map, queue })
    }

    /// Enters `socket` again.
    pub(crate) fn reclaim(&self, socket: &impl AsFd) -> Result<(), Errno> {
        insert(&self.map, self.queue, socket)
    }

    /// Empties the slot, unless another socket has taken it.
    pub(crate) fn release(self, socket: &impl AsFd) {
        if self.reclaim(socket).is_ok() {
            // An empty slot is what is wanted, so a failure to find something there is none.
            let _ = self.map.delete(&self.queue.to_ne_bytes());
        }
    }
}

fn insert(map: &BpfMap, queue: u32, socket: &impl AsFd) -> Result<(), Errno> {
    let fd = socket.as_fd().as_raw_fd();
    map.update(&queue.to_ne_bytes(), &fd.to_ne_bytes(), MapUpdate::IfAbsent)
}
