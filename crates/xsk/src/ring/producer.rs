#![allow(unsafe_code)]

use std::marker::PhantomData;

use super::{Memory, Ordering, fence};

/// The filling end of a ring: ours of the fill and TX rings.
#[derive(Debug)]
pub(crate) struct Producer<T, M> {
    memory: M,
    /// The next slot to write; slots from `published` up to here are written but not yet the consumer's.
    next: u32,
    published: u32,
    /// The consumer's index when it was last looked at and believed.
    consumed: u32,
    corrupt: u64,
    values: PhantomData<T>,
}

/// `XDP_RING_NEED_WAKEUP`, `linux/if_xdp.h`.
pub(crate) const NEED_WAKEUP: u32 = 1;

impl<T: Copy, M: Memory<T>> Producer<T, M> {
    /// Takes the producing end of `memory`, of which there must be only one.
    pub(crate) fn new(memory: M) -> Self {
        let published = memory.producer().load(Ordering::Relaxed);
        let consumed = memory.consumer().load(Ordering::Acquire);
        Self {
            memory,
            next: published,
            published,
            consumed,
            corrupt: 0,
            values: PhantomData,
        }
    }

    /// Slots that can be written now. Looks at the consumer's index only if fewer than `wanted` are known to be free.
    pub(crate) fn free(&mut self, wanted: u32) -> u32 {
        let known = self.known_free();
        if known >= wanted {
            return known;
        }
        self.refresh();
        self.known_free()
    }

    /// Writes one slot; `false` if the ring is full. The consumer sees it after [`Producer::publish`].
    pub(crate) fn push(&mut self, value: T) -> bool {
        if self.free(1) == 0 {
            return false;
        }
        // SAFETY: `next - consumed < size`, so by the protocol this slot has been given back by the consumer and is
        // ours until it is published; there is one producer.
        unsafe { self.memory.write(self.next, value) };
        self.next = self.next.wrapping_add(1);
        true
    }

    /// Hands what was pushed to the consumer.
    pub(crate) fn publish(&mut self) {
        if self.next != self.published {
            self.memory.producer().store(self.next, Ordering::Release);
            self.published = self.next;
        }
    }

    /// Slots published and not yet taken.
    pub(crate) fn outstanding(&mut self) -> u32 {
        self.refresh();
        self.published.wrapping_sub(self.consumed)
    }

    /// Whether the consumer sleeps until it is woken. To be asked after [`Producer::publish`].
    ///
    /// The fence pairs with the one that the consumer has between raising its flag and looking at the ring: one of the
    /// two sees what the other wrote. Release and acquire alone don't order a store before a load.
    pub(crate) fn needs_wakeup(&self) -> bool {
        fence(Ordering::SeqCst);
        self.wakeup_flag()
    }

    /// The flag alone, without the fence.
    pub(crate) fn wakeup_flag(&self) -> bool {
        self.memory.flags().load(Ordering::Relaxed) & NEED_WAKEUP != 0
    }

    /// How often the consumer's index was not believed.
    pub(crate) fn corrupt(&self) -> u64 {
        self.corrupt
    }

    /// Slots pushed and not yet published.
    #[cfg(all(not(loom), test))]
    pub(crate) fn unpublished(&self) -> u32 {
        self.next.wrapping_sub(self.published)
    }

    /// The memory that the ring lies in.
    #[cfg(all(not(loom), any(test, feature = "testing")))]
    pub(crate) fn memory(&self) -> &M {
        &self.memory
    }

    fn known_free(&self) -> u32 {
        self.memory.size() - self.next.wrapping_sub(self.consumed)
    }

    fn refresh(&mut self) {
        let consumed = self.memory.consumer().load(Ordering::Acquire);
        // It may only move forward, and not past what was published.
        if consumed.wrapping_sub(self.consumed) <= self.published.wrapping_sub(self.consumed) {
            self.consumed = consumed;
        } else {
            self.corrupt += 1;
        }
    }
}
