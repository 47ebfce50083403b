//! The index protocol of the four rings: `net/xdp/xsk_queue.h`.
//!
//! Each ring has one producer and one consumer, one of them the kernel. Both own a free-running 32-bit index; slot
//! `index & (size - 1)` is meant. The producer writes slots and then stores its index with `Release`; the consumer loads
//! it with `Acquire`, reads the slots, and stores its own index with `Release`, which gives them back.
//!
//! - Indices wrap at 2³²: only differences are compared.
//! - A peer's index that claims more than there can be is not believed: the last good one is kept, and the event counted.
//! - Whether the kernel must be woken is asked with a full fence between publishing and the question, as the kernel has
//!   one between raising its flag and looking at the ring. With either fence missing wake-ups get lost (see `loom.rs`).
//!
//! Nothing here knows of frames. This is one of the modules where unsafe code is allowed.

mod consumer;
mod memory;
mod producer;

#[cfg(all(test, loom))]
mod loom;

pub(crate) use consumer::Consumer;
pub(crate) use memory::Memory;
#[cfg(not(loom))]
pub(crate) use memory::SharedRing;
pub(crate) use producer::Producer;

#[cfg(loom)]
pub(crate) use ::loom::sync::atomic::{AtomicU32, Ordering, fence};
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicU32, Ordering, fence};
