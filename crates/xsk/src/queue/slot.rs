use std::os::fd::{AsFd, AsRawFd};

use crate::sys::{BpfMap, Errno, MapUpdate};

/// A socket's place in an XSKMAP, emptied on drop.
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
}

fn insert(map: &BpfMap, queue: u32, socket: &impl AsFd) -> Result<(), Errno> {
    let fd = socket.as_fd().as_raw_fd();
    map.update(&queue.to_ne_bytes(), &fd.to_ne_bytes(), MapUpdate::IfAbsent)
}

impl Drop for MapSlot {
    fn drop(&mut self) {
        // An empty slot is what is wanted; and closing the socket would empty it as well.
        let _ = self.map.delete(&self.queue.to_ne_bytes());
    }
}
