use super::packet::RxPacket;
use super::turn::Queue;
use crate::umem::RxFault;

/// What is done with received packets: each is looked at, then each is taken.
///
/// The packets that are looked at together are numbered from 0; all numbers are less than [`Queue::LOOK_AHEAD`].
pub trait Handler {
    /// Looks at a packet that is taken a little later. Not each is: one whose descriptor names another's frame is not, and
    /// none is after a panic.
    fn look(&mut self, number: usize, packet: &[u8]);

    /// All packets with numbers below `count` were looked at, and the first is taken next: the moment to fetch from
    /// memory what they need, so that the fetches overlap.
    fn gather(&mut self, count: usize);

    /// Takes a packet that was looked at under the same number. Its bytes have not changed since.
    fn take(&mut self, number: usize, packet: RxPacket<'_>);
}

/// A handler that looks at a packet only when it has it.
pub(super) struct Each<'h, F>(pub(super) &'h mut F);

impl<F: FnMut(RxPacket<'_>)> Handler for Each<'_, F> {
    fn look(&mut self, _: usize, _: &[u8]) {}

    fn gather(&mut self, _: usize) {}

    fn take(&mut self, _: usize, packet: RxPacket<'_>) {
        (self.0)(packet);
    }
}

impl Queue {
    /// Packets that [`Queue::turn_ahead`] looks at before it takes the first of them: more than a processor can fetch from
    /// memory at a time, few enough for a first-level cache.
    pub const LOOK_AHEAD: usize = 32;
}

/// Packets that one turn takes from the RX ring.
const RX_BATCH: u32 = 64;

/// Hands the packets that have been received to `handler`, at most [`RX_BATCH`]; how many they were.
pub(super) fn receive(queue: &mut Queue, handler: &mut impl Handler) -> usize {
    let mut batch = Batch { queue, received: 0 };
    let mut left = batch.queue.rx.available(RX_BATCH).min(RX_BATCH);
    while left > 0 {
        let together = left.min(Queue::LOOK_AHEAD as u32);
        for number in 0..together {
            batch.look(number, handler);
        }
        handler.gather(together as usize);
        for number in 0..together {
            batch.take(number, handler);
        }
        left -= together;
    }
    batch.received
}

/// The packets of one turn. Gives their slots back and publishes the replies, also while a panic goes by.
struct Batch<'q> {
    queue: &'q mut Queue,
    received: usize,
}

impl Batch<'_> {
    /// Looks at the packet that is `number` slots ahead; it stays in the ring.
    fn look(&mut self, number: u32, handler: &mut impl Handler) {
        let umem = &self.queue.outlet.umem;
        let packet = self.queue.rx.peek(number);
        if let Some(packet) = packet.and_then(|d| umem.received(d.address, d.len)) {
            handler.look(number as usize, packet);
        }
    }

    fn take(&mut self, number: u32, handler: &mut impl Handler) {
        let Some(descriptor) = self.queue.rx.pop() else {
            return;
        };
        let outlet = &mut self.queue.outlet;
        match outlet.umem.receive(descriptor.address, descriptor.len) {
            Ok((frame, offset)) => {
                outlet.counters.rx_packets += 1;
                outlet.counters.rx_bytes += u64::from(descriptor.len);
                self.received += 1;
                let packet = RxPacket::new(outlet, frame, offset, descriptor.len);
                handler.take(number as usize, packet);
            }
            Err(RxFault::Foreign) => outlet.counters.rx_foreign += 1,
            Err(RxFault::Malformed) => outlet.counters.rx_malformed += 1,
        }
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        self.queue.rx.release();
        self.queue.outlet.tx.publish();
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::testing::MockOptions;

    /// Keeps a record, and sends back what it takes.
    #[derive(Default)]
    struct Recorder {
        looked: Vec<(usize, usize)>,
        gathered: Vec<usize>,
        taken: Vec<(usize, usize)>,
        panic_at: Option<usize>,
    }

    impl Handler for Recorder {
        fn look(&mut self, number: usize, packet: &[u8]) {
            self.looked.push((number, packet.len()));
        }

        fn gather(&mut self, count: usize) {
            assert_eq!(self.gathered.iter().sum::<usize>(), self.taken.len());
            self.gathered.push(count);
        }

        fn take(&mut self, number: usize, packet: RxPacket<'_>) {
            self.taken.push((number, packet.len()));
            assert_ne!(Some(number), self.panic_at, "on purpose");
            let len = packet.len();
            packet.transmit(len);
        }
    }

    fn options() -> MockOptions {
        MockOptions {
            frames: 512,
            rx_entries: 128,
            tx_entries: 128,
            ..MockOptions::default()
        }
    }

    #[test]
    fn all_are_looked_at_before_the_first_is_taken() {
        let (mut queue, kernel) = options().open();
        for len in 60..130 {
            assert_eq!(kernel.deliver(1, len), 1);
        }
        let mut recorder = Recorder::default();
        assert_eq!(queue.turn_ahead(&mut recorder), Ok(64));
        assert_eq!(recorder.gathered, [32, 32]);
        assert_eq!(queue.turn_ahead(&mut recorder), Ok(6));
        assert_eq!(recorder.gathered, [32, 32, 6]);
        let expected: Vec<_> = (0..70).map(|i| ((i % 64) % 32, 60 + i)).collect();
        assert_eq!(recorder.looked, expected);
        assert_eq!(recorder.taken, expected);
        assert!(queue.is_consistent());
    }

    #[test]
    fn what_is_not_ours_is_neither_looked_at_nor_taken() {
        let (mut queue, kernel) = options().open();
        assert_eq!(kernel.deliver(1, 60), 1);
        assert!(kernel.forge_rx(1 << 40, 60), "no frame");
        assert!(kernel.forge_rx(256, 0), "empty");
        assert!(
            kernel.forge_rx(2048 + 256, 1 << 20),
            "longer than its frame"
        );
        assert_eq!(kernel.deliver(1, 61), 1);
        let mut recorder = Recorder::default();
        assert_eq!(queue.turn_ahead(&mut recorder), Ok(2));
        assert_eq!(recorder.looked, [(0, 60), (4, 61)]);
        assert_eq!(recorder.taken, [(0, 60), (4, 61)]);
        assert_eq!(recorder.gathered, [5]);
    }

    #[test]
    fn a_panic_leaves_those_behind_in_the_ring() {
        let (mut queue, kernel) = options().open();
        assert_eq!(kernel.deliver(8, 60), 8);
        let mut recorder = Recorder {
            panic_at: Some(3),
            ..Recorder::default()
        };
        let panicked = catch_unwind(AssertUnwindSafe(|| queue.turn_ahead(&mut recorder)));
        assert!(panicked.is_err());
        assert_eq!(queue.census().user, 0);
        let mut recorder = Recorder::default();
        assert_eq!(queue.turn_ahead(&mut recorder), Ok(4));
        assert!(queue.is_consistent());
        assert_eq!(kernel.complaints(), Vec::<String>::new());
    }
}
