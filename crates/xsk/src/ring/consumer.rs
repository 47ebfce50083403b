#![allow(unsafe_code)]

use std::marker::PhantomData;

use super::{Memory, Ordering};

/// The emptying end of a ring: ours of the RX and completion rings.
#[derive(Debug)]
pub(crate) struct Consumer<T, M> {
    memory: M,
    /// The next slot to read; slots from `released` up to here are read but not yet given back.
    next: u32,
    released: u32,
    /// The producer's index when it was last looked at and believed.
    produced: u32,
    corrupt: u64,
    values: PhantomData<T>,
}

impl<T: Copy, M: Memory<T>> Consumer<T, M> {
    /// Takes the consuming end of `memory`, of which there must be only one.
    pub(crate) fn new(memory: M) -> Self {
        let next = memory.consumer().load(Ordering::Relaxed);
        Self {
            memory,
            next,
            released: next,
            produced: next,
            corrupt: 0,
            values: PhantomData,
        }
    }

    /// Slots that can be read now. Looks at the producer's index only if fewer than `wanted` are known to be filled.
    pub(crate) fn available(&mut self, wanted: u32) -> u32 {
        let known = self.produced.wrapping_sub(self.next);
        if known >= wanted {
            return known;
        }
        self.refresh();
        self.produced.wrapping_sub(self.next)
    }

    /// Reads the next slot, if it is filled. The producer gets it back after [`Consumer::release`].
    pub(crate) fn pop(&mut self) -> Option<T> {
        if self.available(1) == 0 {
            return None;
        }
        // SAFETY: the slot lies before the producer's index, which was loaded with Acquire, and has not been released:
        // by the protocol it is filled and ours; there is one consumer.
        let value = unsafe { self.memory.read(self.next) };
        self.next = self.next.wrapping_add(1);
        Some(value)
    }

    /// The slot `ahead` of the next one, if it is filled, without taking it.
    pub(crate) fn peek(&mut self, ahead: u32) -> Option<T> {
        if self.available(ahead.checked_add(1)?) <= ahead {
            return None;
        }
        // SAFETY: as in `pop`, for a slot that lies before the producer's index as well.
        Some(unsafe { self.memory.read(self.next.wrapping_add(ahead)) })
    }

    /// The memory that the ring lies in.
    #[cfg(all(not(loom), any(test, feature = "testing")))]
    pub(crate) fn memory(&self) -> &M {
        &self.memory
    }

    /// Gives the slots that were read back to the producer.
    pub(crate) fn release(&mut self) {
        if self.next != self.released {
            self.memory.consumer().store(self.next, Ordering::Release);
            self.released = self.next;
        }
    }

    /// How often the producer's index was not believed.
    pub(crate) fn corrupt(&self) -> u64 {
        self.corrupt
    }

    fn refresh(&mut self) {
        let produced = self.memory.producer().load(Ordering::Acquire);
        // It may only move forward, and not by more than the slots that it has back.
        let backwards =
            produced.wrapping_sub(self.released) < self.produced.wrapping_sub(self.released);
        if backwards || produced.wrapping_sub(self.released) > self.memory.size() {
            self.corrupt += 1;
        } else {
            self.produced = produced;
        }
    }
}
