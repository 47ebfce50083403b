use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use allocation_counter::measure;
use sluicegate_conf::{LoadOptions, load_text};
use sluicegate_telemetry::Counter;
use sluicegate_xsk::RxPacket;
use sluicegate_xsk::testing::{MockKernel, MockOptions};

use super::service::Service;
use super::stats::Tallies;
use super::worker::{Control, Worker};
use crate::handoff::HubEnd;
use crate::testing::{FakeEngine, PATIENCE, query, remember, shared_for};
use crate::{PENDING_PER_WORKER, Registry};

const OPTIONS: MockOptions = MockOptions {
    frames: 128,
    tx_reserve: 32,
    rx_entries: 64,
    tx_entries: 64,
    start_index: 0,
};

/// The client is no local one.
const CONFIGURATION: &str = "server:
  access-control: 203.0.113.0/24 allow
  local-data: \"hit.example. 60 IN A 192.0.2.1\"
";

/// Packets of one turn.
const BATCH: u32 = 64;

/// A worker over a kernel made of plain memory, and the other end of its hand-off.
fn worker() -> (Worker, MockKernel, HubEnd) {
    let loaded = load_text(
        Path::new("/test.conf"),
        CONFIGURATION,
        &LoadOptions::default(),
    );
    let (shared, end) = shared_for(&loaded.config.unwrap());
    remember(&shared, "cached.example");
    let counters = shared.registry.counters("xdp.test.0");
    let port = shared.handoff_port(PENDING_PER_WORKER as usize).unwrap();
    let (queue, kernel) = OPTIONS.open();
    let tally = Tallies::default().queue(&Registry::new(), "xdp.test.0");
    let worker = Worker {
        service: Service::new(Arc::clone(&counters), port, 1500),
        control: Arc::new(Control::default()),
        busy_poll: Duration::ZERO,
        shared,
        counters,
        tally,
        queue,
    };
    (worker, kernel, end)
}

/// An Ethernet frame of a query over IPv4, without checksums but the header's.
fn frame(name: &str) -> Vec<u8> {
    let query = query(7, name);
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
    let ip_len = (28 + query.len()) as u16;
    frame.extend([0x45, 0]);
    frame.extend(ip_len.to_be_bytes());
    frame.extend([0, 0, 0, 0, 64, 17, 0, 0, 203, 0, 113, 7, 192, 0, 2, 1]);
    let sum: u32 = frame[14..34]
        .chunks(2)
        .map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])))
        .sum();
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    frame.extend(40_000_u16.to_be_bytes());
    frame.extend(53_u16.to_be_bytes());
    frame.extend((8 + query.len() as u16).to_be_bytes());
    frame.extend([0, 0]);
    frame.extend(query);
    frame
}

/// Writes a query into the frames of the next turns: what is dropped lies there when the frame is received into again.
fn lay_out(worker: &mut Worker, kernel: &MockKernel, frame: &[u8]) {
    let mut write = |mut packet: RxPacket<'_>| {
        packet.window()[..frame.len()].copy_from_slice(frame);
    };
    for _ in 0..OPTIONS.frames.div_ceil(BATCH) {
        assert_eq!(kernel.deliver(BATCH, frame.len() as u32), BATCH);
        assert_eq!(worker.queue.turn(&mut write), Ok(BATCH as usize));
    }
}

#[test]
fn a_hit_allocates_nothing_on_its_way_through_the_worker() {
    let (mut worker, kernel, _end) = worker();
    for (name, counter) in [
        ("cached.example", Counter::CacheHits),
        ("hit.example", Counter::LocalAnswers),
    ] {
        let frame = frame(name);
        let before = worker.counters.snapshot();
        // The first round finds the thread's own memory, and the mock kernel's, at its full size.
        for round in 0..3 {
            lay_out(&mut worker, &kernel, &frame);
            assert_eq!(kernel.deliver(BATCH, frame.len() as u32), BATCH);
            let mut turned = None;
            let made = measure(|| turned = Some(worker.turn()));
            assert_eq!(turned, Some(Ok(true)));
            assert!(round == 0 || made.count_total == 0, "{name}: {made:?}");
        }
        let after = worker.counters.snapshot();
        for counter in [Counter::Received, Counter::Replied, counter] {
            let counted = after.value(counter) - before.value(counter);
            assert_eq!(counted, 3 * u64::from(BATCH), "{name}: {}", counter.label());
        }
    }
    assert!(worker.queue.is_consistent());
}

#[test]
fn who_could_be_told_what_has_expired_waits_on_when_it_is_gone() {
    let (mut worker, kernel, end) = worker();
    let _engine = FakeEngine::start(end);
    let frame = frame("late.example");
    // The first lays the query out; the others are it, each told that it is late and then what was asked for.
    lay_out(&mut worker, &kernel, &frame);
    assert_eq!(kernel.deliver(BATCH, frame.len() as u32), BATCH);
    let until = Instant::now() + PATIENCE;
    let counted = |worker: &Worker, counter| worker.counters.snapshot().value(counter);
    while counted(&worker, Counter::Replied) < u64::from(BATCH) {
        worker.turn().unwrap();
        let sent = counted(&worker, Counter::Replied);
        assert!(Instant::now() < until, "{sent} of {BATCH} are answered");
    }
    for (counter, count) in [
        (Counter::HandedOff, BATCH),
        (Counter::Resolved, BATCH),
        (Counter::Failed, 0),
    ] {
        let found = counted(&worker, counter);
        assert_eq!(found, u64::from(count), "{}", counter.label());
    }
    assert!(worker.service.is_idle() && worker.queue.is_consistent());
}
