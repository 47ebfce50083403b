//! A queue in its steady state allocates nothing.
#![allow(unsafe_code)] // the global allocator is an unsafe trait

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use super::MockOptions;

/// The system's allocator, counting the calls of each thread.
struct Counting;

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    // A thread that is ending has no counter left, and none is needed.
    let _ = CALLS.try_with(|calls| calls.set(calls.get() + 1));
}

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: our caller's promises are the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count();
        // SAFETY: the pointer came from `alloc` above, so from the system's allocator, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_turn_allocates_nothing() {
    let options = MockOptions {
        frames: 512,
        rx_entries: 64,
        tx_entries: 64,
        ..MockOptions::default()
    };
    let (mut queue, kernel) = options.open();
    let mut measured = 0;
    let mut packets = 0;
    for round in 0..2000u32 {
        // The mock kernel may allocate when it delivers, but has grown to its size after some rounds.
        kernel.deliver(round % 64, 60);
        let before = CALLS.get();
        packets += queue
            .turn(&mut |mut packet| {
                packet.window()[..12].rotate_left(6);
                if packet.len() == 60 && !round.is_multiple_of(3) {
                    packet.transmit(60);
                }
            })
            .expect("the queue goes on");
        queue
            .transmit_with(|room| {
                room[..60].fill(0);
                Some(60)
            })
            .expect("the queue goes on");
        queue.idle(Duration::ZERO, None).expect("the queue goes on");
        if round >= 200 {
            measured += CALLS.get() - before;
        }
    }
    assert!(packets > 50_000, "{packets} packets");
    assert_eq!(measured, 0, "allocations in the steady state");
    let counted = CALLS.get();
    drop(Box::new(1));
    assert_eq!(CALLS.get(), counted + 2, "the counter works");
}
