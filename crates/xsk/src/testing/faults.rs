//! Single faults that no kernel on veth shows, each by its row in the fault list where it has one.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::{MockKernel, MockOptions};
use crate::{Queue, QueueError, RxPacket};

const TICK: Duration = Duration::from_millis(1);

fn reply(packet: RxPacket<'_>) {
    let len = packet.len();
    packet.transmit(len);
}

fn turn(queue: &mut Queue) -> usize {
    queue.turn(&mut reply).expect("the queue goes on")
}

fn assert_sound(queue: &Queue, kernel: &MockKernel) {
    assert!(queue.is_consistent(), "{:?}", queue.census());
    assert_eq!(kernel.complaints(), Vec::<String>::new());
}

#[test]
fn row_11_a_full_completion_ring_stops_nothing_for_long() {
    let (mut queue, kernel) = MockOptions::default().open();
    kernel.complete_at_once(false);
    for _ in 0..100 {
        kernel.deliver(8, 60);
        turn(&mut queue);
    }
    assert!(
        queue.counters().tx_full > 0,
        "the TX ring must have been full"
    );
    assert!(kernel.in_flight() <= 16);
    // Completions come again: everything recovers, without a packet being received.
    kernel.complete_at_once(true);
    for _ in 0..16 {
        while kernel.complete(0) {}
        queue.flush().expect("the queue goes on");
    }
    assert_eq!(queue.census().tx, 0);
    let before = queue.counters().tx_completed;
    assert_eq!(kernel.deliver(8, 60), 8);
    turn(&mut queue);
    queue.flush().expect("the queue goes on");
    assert_eq!(queue.counters().tx_completed, before + 8);
    assert_sound(&queue, &kernel);
}

#[test]
fn row_11_completions_are_taken_while_the_kernel_is_woken() {
    let (mut queue, kernel) = MockOptions::default().open();
    kernel.complete_at_once(false);
    assert_eq!(kernel.deliver(10, 60), 10);
    turn(&mut queue);
    // Ten completions that nobody has looked at leave room for six.
    while kernel.complete(0) {}
    queue.flush().expect("the queue goes on");
    assert_eq!(kernel.deliver(10, 60), 10);
    turn(&mut queue);
    while kernel.complete(0) {}
    assert_eq!(kernel.deliver(16, 60), 16);
    turn(&mut queue);
    assert_eq!(kernel.in_flight(), 16, "all left within one turn");
    assert_sound(&queue, &kernel);
}

#[test]
fn row_20_a_completion_that_comes_twice_is_an_anomaly_and_nothing_else() {
    let (mut queue, kernel) = MockOptions::default().open();
    kernel.deliver(1, 60);
    turn(&mut queue);
    queue.flush().expect("the queue goes on");
    assert_eq!(queue.counters().tx_completed, 1);
    let census = queue.census();
    // Which frame it was does not matter: now none is in transmission.
    for address in [256, 2048 + 256, 63 * 2048 + 256] {
        assert!(kernel.forge_completion(address));
    }
    queue.flush().expect("the queue goes on");
    assert_eq!(queue.counters().tx_unexpected, 3);
    assert_eq!(queue.counters().anomalies(), 3);
    assert_eq!(queue.census(), census);
    assert_sound(&queue, &kernel);
}

#[test]
fn row_20_a_completion_of_no_frame_is_an_anomaly_and_nothing_else() {
    let (mut queue, kernel) = MockOptions::default().open();
    for address in [64 * 2048, u64::MAX, 1 << 48] {
        assert!(kernel.forge_completion(address));
    }
    queue.flush().expect("the queue goes on");
    assert_eq!(queue.counters().tx_unexpected, 3);
    assert_sound(&queue, &kernel);
}

#[test]
fn forged_packets_are_not_handed_over() {
    let (mut queue, kernel) = MockOptions::default().open();
    // Out of range; the kernel's no longer; over the end of its chunk; empty.
    assert_eq!(kernel.deliver(1, 60), 1);
    let mut held = Vec::new();
    queue
        .turn(&mut |packet| held.push(packet.len()))
        .expect("the queue goes on");
    assert_eq!(held, [60]);
    assert!(kernel.forge_rx(64 * 2048, 60));
    assert!(kernel.forge_rx(63 * 2048 + 256, 60));
    assert!(kernel.forge_rx(5 * 2048 + 256, 1793));
    assert!(kernel.forge_rx(6 * 2048 + 256, 0));
    let received = queue
        .turn(&mut |_| panic!("nothing was received"))
        .expect("the queue goes on");
    assert_eq!(received, 0);
    assert_eq!(
        (queue.counters().rx_foreign, queue.counters().rx_malformed),
        (2, 2)
    );
    assert_sound(&queue, &kernel);
}

#[test]
fn lost_completions_are_quarantined_and_welcome_when_late() {
    let (mut queue, kernel) = MockOptions::default().open();
    kernel.complete_at_once(false);
    kernel.deliver(4, 60);
    turn(&mut queue);
    for _ in 0..3 {
        assert!(kernel.lose(0));
    }
    for _ in 0..4 {
        queue.age_frames().expect("the queue goes on");
        assert_eq!(queue.census().quarantine, 0, "not yet overdue");
    }
    assert!(kernel.complete(0), "the fourth is slow, not lost");
    queue.flush().expect("the queue goes on");
    queue.age_frames().expect("the queue goes on");
    let census = queue.census();
    assert_eq!((census.tx, census.quarantine, census.total()), (0, 3, 64));
    assert_eq!(queue.counters().tx_quarantined, 3);
    assert!(kernel.find_lost(1));
    queue.flush().expect("the queue goes on");
    assert_eq!(
        (queue.census().quarantine, queue.counters().tx_late),
        (2, 1)
    );
    assert_sound(&queue, &kernel);
}

#[test]
fn a_kernel_that_keeps_most_frames_ends_the_queue() {
    let (mut queue, kernel) = MockOptions::default().open();
    kernel.complete_at_once(false);
    let mut ended = None;
    for _ in 0..20 {
        kernel.deliver(16, 60);
        ended = ended.or(queue.turn(&mut reply).err());
        while kernel.lose(0) {}
        for _ in 0..5 {
            ended = ended.or(queue.age_frames().err());
        }
    }
    assert_eq!(ended, Some(QueueError::Poisoned));
    assert!(queue.census().quarantine > 32, "{:?}", queue.census());
    assert_eq!(queue.turn(&mut reply), Err(QueueError::Poisoned));
    assert_sound(&queue, &kernel);
}

#[test]
fn packets_that_wait_for_an_interface_to_come_up_are_not_overdue() {
    let (mut queue, kernel) = MockOptions::default().open();
    kernel.deliver(4, 60);
    kernel.answer([libc::ENETDOWN]);
    turn(&mut queue);
    for _ in 0..300 {
        queue.age_frames().expect("the queue goes on");
    }
    assert_eq!((queue.census().tx, queue.census().quarantine), (4, 0));
    queue.flush().expect("the queue goes on");
    queue.flush().expect("the queue goes on");
    assert_eq!(queue.census().tx, 0);
    assert_eq!(queue.counters().kicks_down, 1);
}

#[test]
fn transmission_goes_on_without_new_packets() {
    let (mut queue, kernel) = MockOptions::default().open();
    kernel.deliver(4, 60);
    kernel.answer([libc::EAGAIN]);
    turn(&mut queue);
    assert_eq!(queue.census().tx, 4, "the first kick did nothing");
    queue.idle(TICK, None).expect("the queue goes on");
    assert_eq!(queue.counters().tx_completed, 4);
}

#[test]
fn a_wake_up_that_the_driver_lost_is_mended_by_waiting() {
    let (mut queue, kernel) = MockOptions::default().open();
    kernel.need_wakeup(false);
    kernel.deliver(4, 60);
    turn(&mut queue);
    assert_eq!(queue.counters().kicks_tx, 0, "nobody asked to be woken");
    assert_eq!(queue.census().tx, 4);
    queue.idle(TICK, None).expect("the queue goes on");
    assert_eq!((queue.census().tx, queue.counters().kicks_tx), (0, 1));
    assert_sound(&queue, &kernel);
}

#[test]
fn kicks_are_bounded_whatever_the_kernel_answers() {
    let (mut queue, kernel) = MockOptions::default().open();
    for errno in [
        libc::EAGAIN,
        libc::ENOBUFS,
        libc::EBUSY,
        libc::EINTR,
        libc::ENETDOWN,
    ] {
        kernel.deliver(4, 60);
        kernel.answer(std::iter::repeat_n(errno, 10_000));
        let before = queue.counters().kicks_tx;
        turn(&mut queue);
        assert!(queue.counters().kicks_tx - before <= 16, "errno {errno}");
        kernel.answer_nothing();
        queue.flush().expect("the queue goes on");
        queue.flush().expect("the queue goes on");
        assert_eq!(queue.census().tx, 0, "errno {errno}");
    }
    assert_sound(&queue, &kernel);
}

#[test]
fn final_errors_stay() {
    let cases = [
        (libc::ENXIO, QueueError::Gone),
        (libc::EINVAL, QueueError::Poisoned),
    ];
    for (errno, expected) in cases {
        let (mut queue, kernel) = MockOptions::default().open();
        kernel.deliver(1, 60);
        kernel.answer([errno]);
        assert_eq!(queue.turn(&mut reply), Err(expected));
        assert_eq!(queue.turn(&mut reply), Err(expected));
        assert_eq!(queue.flush(), Err(expected));
        assert_eq!(queue.transmit_with(|_| Some(60)), Err(expected));
        assert_eq!(queue.idle(TICK, None), Err(expected));
        assert!(queue.is_consistent());
    }
}

#[test]
fn an_unbound_socket_is_found_out_by_waiting_and_by_turning() {
    let (mut queue, kernel) = MockOptions::default().open();
    kernel.unbind();
    assert_eq!(queue.idle(TICK, None), Err(QueueError::Gone));

    let (mut queue, kernel) = MockOptions::default().open();
    kernel.unbind();
    let turns = (0..10_000)
        .take_while(|_| queue.turn(&mut reply).is_ok())
        .count();
    assert!(turns < 5_000, "{turns} turns");
}

#[test]
fn impossible_indices_are_not_believed_and_end_the_queue_in_the_end() {
    for ring in 0..4 {
        for by in [17, 1000, 1 << 31, u32::MAX] {
            let (mut queue, kernel) = MockOptions::default().open();
            kernel.deliver(4, 60);
            turn(&mut queue);
            let good = kernel.corrupt_index(ring, by);
            for _ in 0..3 {
                turn(&mut queue);
                queue.idle(TICK, None).expect("the queue goes on");
            }
            assert!(queue.counters().ring_corrupt > 0, "ring {ring} by {by}");
            kernel.set_index(ring, good);
            kernel.deliver(4, 60);
            assert_eq!(turn(&mut queue), 4, "ring {ring} by {by}");
            assert_sound(&queue, &kernel);

            kernel.corrupt_index(ring, by);
            let ended = (0..10_000).find_map(|_| queue.turn(&mut reply).err());
            assert_eq!(ended, Some(QueueError::Poisoned), "ring {ring} by {by}");
            assert!(queue.is_consistent());
        }
    }
}

#[test]
fn a_panic_in_the_handler_loses_no_frame() {
    let (mut queue, kernel) = MockOptions::default().open();
    kernel.deliver(8, 60);
    let mut count = 0;
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        queue.turn(&mut |packet| {
            count += 1;
            assert!(count < 4, "the fourth packet is too much");
            reply(packet);
        })
    }));
    assert!(panicked.is_err());
    assert_eq!(queue.census().user, 0);
    assert_eq!(
        queue.census().tx,
        3,
        "the replies before it are on their way"
    );
    assert_eq!(turn(&mut queue), 4, "the packets behind it are still there");
    queue.flush().expect("the queue goes on");
    assert_eq!(queue.counters().tx_completed, 7);
    assert_sound(&queue, &kernel);
}

#[test]
fn a_panic_while_a_packet_is_made_loses_no_frame() {
    let (mut queue, kernel) = MockOptions::default().open();
    let census = queue.census();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        queue.transmit_with(|_| panic!("no packet today"))
    }));
    assert!(panicked.is_err());
    assert_eq!(queue.census(), census);
    assert_eq!(queue.transmit_with(|_| None), Ok(false));
    assert_eq!(queue.census(), census);
    assert_sound(&queue, &kernel);
}

#[test]
fn lengths_that_are_no_packets_are_refused() {
    let (mut queue, kernel) = MockOptions::default().open();
    let limit = queue.max_frame_bytes();
    assert_eq!(limit, 2048 - 256);
    for len in [0, 13, limit + 1, usize::MAX, u32::MAX as usize + 61] {
        assert_eq!(queue.transmit_with(|_| Some(len)), Ok(false), "{len} bytes");
    }
    for len in [14, limit] {
        assert_eq!(
            queue.transmit_with(|room| room.get(..len).map(<[u8]>::len)),
            Ok(true),
            "{len} bytes"
        );
    }
    assert_eq!(queue.counters().tx_bad_length, 5);
    queue.flush().expect("the queue goes on");
    assert_sound(&queue, &kernel);
}

#[test]
fn the_reserve_is_never_given_away() {
    let options = MockOptions {
        tx_reserve: 40,
        ..MockOptions::default()
    };
    let (mut queue, kernel) = options.open();
    for _ in 0..50 {
        kernel.deliver(16, 60);
        // With what was received still in the RX ring, the fill ring alone would take more.
        queue.flush().expect("the queue goes on");
        assert_eq!((queue.census().free, queue.census().fill), (40, 24));
        queue
            .turn(&mut |packet| drop(packet))
            .expect("the queue goes on");
    }
    kernel.deliver(16, 60);
    queue.flush().expect("the queue goes on");
    // And it is what lets local packets out while everything else is with the kernel.
    let sent = (0..16)
        .filter(|_| queue.transmit_with(|_| Some(60)) == Ok(true))
        .count();
    assert_eq!(sent, 16);
    assert_sound(&queue, &kernel);
}

#[test]
fn a_queue_without_free_frames_counts_it() {
    let options = MockOptions {
        frames: 8,
        tx_reserve: 0,
        ..MockOptions::default()
    };
    let (mut queue, kernel) = options.open();
    assert_eq!(queue.census().fill, 8);
    assert_eq!(queue.transmit_with(|_| Some(60)), Ok(false));
    assert_eq!(queue.counters().tx_no_frame, 1);
    turn(&mut queue);
    assert!(queue.counters().fill_starved > 0);
    assert_sound(&queue, &kernel);
}

#[test]
fn bytes_written_are_bytes_sent_and_windows_reach_the_chunks_end() {
    let (mut queue, kernel) = MockOptions::default().open();
    kernel.deliver(2, 60);
    queue
        .turn(&mut |mut packet| {
            assert_eq!((packet.len(), packet.bytes().len()), (60, 60));
            assert_eq!(packet.window().len(), 2048 - 256);
            packet.window().fill(0xab);
            assert!(packet.bytes().iter().all(|&byte| byte == 0xab));
            assert!(packet.transmit(1792));
        })
        .expect("the queue goes on");
    assert_eq!(queue.counters().tx_bytes, 2 * 1792);
    assert_sound(&queue, &kernel);
}
