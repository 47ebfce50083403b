use std::ops::Range;

use super::counters::QueueCounters;
use super::kernel::Kernel;
use crate::ring::{Consumer, Producer, SharedRing};
use crate::sys::Descriptor;
use crate::umem::{Completed, Frame, Umem};

/// The transmitting half of a queue, with the frames: what a packet needs while a handler holds it.
///
/// Fields are dropped in this order: the rings, then the socket, and the memory last.
pub(super) struct Outlet {
    pub(super) tx: Producer<Descriptor, SharedRing<Descriptor>>,
    pub(super) completion: Consumer<u64, SharedRing<u64>>,
    pub(super) kernel: Box<dyn Kernel>,
    pub(super) umem: Umem,
    pub(super) counters: QueueCounters,
    pub(super) max_frame_bytes: u32,
    /// Counts seconds in which the TX ring was seen empty, wrapping; frames sent in an old epoch are overdue.
    pub(super) epoch: u8,
}

/// The shortest thing that drivers take: an Ethernet header.
pub(super) const MIN_FRAME_BYTES: u32 = 14;

impl Outlet {
    /// Puts the first `len` bytes from `offset` on into the TX ring, or frees the frame and counts why not.
    pub(super) fn transmit(&mut self, frame: Frame, offset: u32, len: usize) -> bool {
        let room = self.umem.geometry().chunk_bytes() - offset;
        let limit = self.max_frame_bytes.min(room);
        let Some(len) = u32::try_from(len)
            .ok()
            .filter(|len| (MIN_FRAME_BYTES..=limit).contains(len))
        else {
            self.counters.tx_bad_length += 1;
            self.umem.put_back(frame);
            return false;
        };
        if self.tx.free(1) == 0 {
            self.counters.tx_full += 1;
            self.umem.put_back(frame);
            return false;
        }
        let address = self.umem.give_to_tx(frame, offset, self.epoch);
        let pushed = self.tx.push(Descriptor {
            address,
            len,
            options: 0,
        });
        debug_assert!(pushed, "there was room, and we are the only producer");
        self.counters.tx_packets += 1;
        self.counters.tx_bytes += u64::from(len);
        true
    }

    /// Frees the frame of a packet that nobody answers.
    pub(super) fn recycle(&mut self, frame: Frame) {
        self.counters.rx_recycled += 1;
        self.umem.put_back(frame);
    }

    /// Takes all frames back that the kernel has transmitted; returns how many.
    pub(super) fn harvest(&mut self) -> u32 {
        let mut taken = 0;
        // Bounded by the ring's size: an index that claims more is not believed.
        while let Some(address) = self.completion.pop() {
            match self.umem.complete(address) {
                Completed::Expected => self.counters.tx_completed += 1,
                Completed::Late => self.counters.tx_late += 1,
                Completed::Unexpected => self.counters.tx_unexpected += 1,
            }
            taken += 1;
            if taken == COMPLETIONS_AT_ONCE {
                break;
            }
        }
        self.completion.release();
        taken
    }

    /// The room for a packet that starts at `offset`.
    pub(super) fn window(&mut self, frame: &mut Frame, offset: u32) -> &mut [u8] {
        let end = self.umem.geometry().chunk_bytes();
        self.umem.bytes_mut(frame, offset..end)
    }

    pub(super) fn bytes(&self, frame: &Frame, range: Range<u32>) -> &[u8] {
        self.umem.bytes(frame, range)
    }
}

/// A kernel that fills the ring as fast as it is emptied must not keep us; what is left comes with the next turn.
const COMPLETIONS_AT_ONCE: u32 = 4096;

impl std::fmt::Debug for Outlet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outlet")
            .field("counters", &self.counters)
            .field("max_frame_bytes", &self.max_frame_bytes)
            .finish_non_exhaustive()
    }
}
