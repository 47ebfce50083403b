//! Every interleaving of the ring protocol, and every reordering that the memory model allows, on small rings.
#![allow(unsafe_code)]

use std::sync::Arc as StdArc;
use std::sync::atomic::{AtomicBool, Ordering as StdOrdering};

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use super::producer::NEED_WAKEUP;
use super::{AtomicU32, Consumer, Memory, Ordering, Producer, fence};

/// A ring of two slots whose accesses loom watches for races.
struct LoomRing {
    producer: AtomicU32,
    consumer: AtomicU32,
    flags: AtomicU32,
    slots: [UnsafeCell<u64>; 2],
}

impl LoomRing {
    fn starting_at(start: u32) -> Arc<Self> {
        Arc::new(Self {
            producer: AtomicU32::new(start),
            consumer: AtomicU32::new(start),
            flags: AtomicU32::new(0),
            slots: [UnsafeCell::new(0), UnsafeCell::new(0)],
        })
    }
}

// SAFETY: two slots, a power of two; everything is kept by the Arc.
unsafe impl Memory<u64> for Arc<LoomRing> {
    fn producer(&self) -> &AtomicU32 {
        &self.producer
    }
    fn consumer(&self) -> &AtomicU32 {
        &self.consumer
    }
    fn flags(&self) -> &AtomicU32 {
        &self.flags
    }
    fn size(&self) -> u32 {
        2
    }
    unsafe fn read(&self, index: u32) -> u64 {
        // SAFETY: the pointer is valid during the call; loom reports a race if the protocol lets one happen.
        self.slots[(index & 1) as usize].with(|slot| unsafe { *slot })
    }
    unsafe fn write(&self, index: u32, value: u64) {
        // SAFETY: the pointer is valid during the call; loom reports a race if the protocol lets one happen.
        self.slots[(index & 1) as usize].with_mut(|slot| unsafe { *slot = value });
    }
}

/// One thread pushes `count` numbers, one pops them; slots are reused, and the indices start at `start`.
fn transfer(start: u32, count: u64) {
    loom::model(move || {
        let ring = LoomRing::starting_at(start);
        let mut producer = Producer::new(Arc::clone(&ring));
        let sender = thread::spawn(move || {
            for value in 1..=count {
                while !producer.push(value) {
                    thread::yield_now();
                }
                producer.publish();
            }
            assert_eq!(producer.corrupt(), 0);
        });
        let mut consumer = Consumer::new(ring);
        for expected in 1..=count {
            let value = loop {
                if let Some(value) = consumer.pop() {
                    break value;
                }
                thread::yield_now();
            };
            assert_eq!(value, expected, "values arrive in order, each once");
            consumer.release();
        }
        assert!(consumer.pop().is_none());
        assert_eq!(consumer.corrupt(), 0);
        sender.join().expect("the sender ends");
    });
}

#[test]
fn loom_values_arrive_in_order_and_slots_are_reused() {
    transfer(0, 3);
}

#[test]
fn loom_indices_wrap_at_the_end_of_their_range() {
    transfer(u32::MAX - 1, 3);
}

#[test]
fn loom_a_batch_is_published_as_a_whole() {
    loom::model(|| {
        let ring = LoomRing::starting_at(u32::MAX);
        let mut producer = Producer::new(Arc::clone(&ring));
        let sender = thread::spawn(move || {
            assert!(producer.push(1));
            assert!(producer.push(2));
            assert!(!producer.push(3), "full");
            producer.publish();
        });
        let mut consumer = Consumer::new(ring);
        let seen = consumer.available(2);
        assert!(seen == 0 || seen == 2, "half a batch was seen");
        sender.join().expect("the sender ends");
        assert_eq!(
            (consumer.pop(), consumer.pop(), consumer.pop()),
            (Some(1), Some(2), None)
        );
    });
}

/// Which side of the handshake has its full fence.
#[derive(Clone, Copy)]
struct Fences {
    ours: bool,
    kernels: bool,
}

/// Runs the wake-up handshake in all orders and tells whether any of them put the kernel to sleep over an entry with
/// nobody to wake it. With `look_again`, we ask once more after the kernel has gone to sleep, as every turn does.
fn loses_wakeup(fences: Fences, look_again: bool) -> bool {
    let lost = StdArc::new(AtomicBool::new(false));
    let seen = StdArc::clone(&lost);
    loom::model(move || {
        let ring = LoomRing::starting_at(0);
        let mut producer = Producer::new(Arc::clone(&ring));
        let kernel = thread::spawn(move || {
            // The driver is about to sleep: it raises the flag, then looks at the ring once more.
            ring.flags.store(NEED_WAKEUP, Ordering::Relaxed);
            if fences.kernels {
                fence(Ordering::SeqCst);
            }
            let empty = ring.producer.load(Ordering::Acquire) == 0;
            if !empty {
                ring.flags.store(0, Ordering::Relaxed);
            }
            empty
        });
        assert!(producer.push(7));
        producer.publish();
        let mut kicked = if fences.ours {
            producer.needs_wakeup()
        } else {
            producer.wakeup_flag()
        };
        let sleeps = kernel.join().expect("the kernel ends");
        if look_again && producer.outstanding() > 0 {
            kicked |= producer.needs_wakeup();
        }
        if sleeps && !kicked {
            seen.store(true, StdOrdering::Relaxed);
        }
    });
    lost.load(StdOrdering::Relaxed)
}

#[test]
fn loom_wakeup_with_both_fences_is_never_lost() {
    assert!(!loses_wakeup(
        Fences {
            ours: true,
            kernels: true
        },
        false
    ));
}

#[test]
fn loom_wakeup_without_our_fence_gets_lost() {
    assert!(loses_wakeup(
        Fences {
            ours: false,
            kernels: true
        },
        false
    ));
}

#[test]
fn loom_wakeup_without_the_kernels_fence_gets_lost() {
    assert!(loses_wakeup(
        Fences {
            ours: true,
            kernels: false
        },
        false
    ));
}

#[test]
fn loom_wakeup_without_fences_gets_lost() {
    assert!(loses_wakeup(
        Fences {
            ours: false,
            kernels: false
        },
        false
    ));
}

#[test]
fn loom_asking_again_mends_a_lost_wakeup_whatever_the_fences() {
    for (ours, kernels) in [(true, true), (true, false), (false, true), (false, false)] {
        assert!(!loses_wakeup(Fences { ours, kernels }, true));
    }
}
