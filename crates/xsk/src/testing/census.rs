//! Whatever the kernel does and answers, and whatever the handler does, every frame is in exactly one place.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::{Held, MockKernel, MockOptions};
use crate::{Queue, QueueError, RxPacket};

/// What a handler does with a packet.
#[derive(Clone, Copy, Debug)]
enum Handling {
    Reply(usize),
    Drop,
    Panic,
}

/// One step of either side.
#[derive(Clone, Debug)]
enum Step {
    Deliver(u32, u32),
    Turn(Vec<Handling>),
    TransmitWith(Option<usize>),
    TransmitPanic,
    Flush,
    Idle,
    Retire,
    Age,
    Answers(Vec<i32>),
    CompleteAtOnce(bool),
    Complete(usize),
    Lose(usize),
    FindLost(usize),
    CompletionOfNothing(u64),
    CompletionAgain(u32),
    PacketOfNothing(u64, u32),
    /// An index that can't be true, for the length of some steps.
    Corrupt(u8, u32, Vec<Step>),
}

const FRAMES: u32 = 64;

fn handling() -> impl Strategy<Value = Handling> {
    prop_oneof![
        8 => (0..1900usize).prop_map(Handling::Reply),
        4 => Just(Handling::Drop),
        1 => Just(Handling::Panic),
    ]
}

/// Steps of both sides, and all answers that `sendto` and `recvfrom` have been seen to give but for the final ones.
fn plain_step() -> impl Strategy<Value = Step> {
    let errno = prop::sample::select(vec![
        libc::EAGAIN,
        libc::ENOBUFS,
        libc::EBUSY,
        libc::EINTR,
        libc::ENETDOWN,
    ]);
    prop_oneof![
        6 => (0..20u32, 1..1792u32).prop_map(|(packets, len)| Step::Deliver(packets, len)),
        8 => vec(handling(), 1..8).prop_map(Step::Turn),
        4 => proptest::option::of(0..2100usize).prop_map(Step::TransmitWith),
        1 => Just(Step::TransmitPanic),
        3 => Just(Step::Flush),
        2 => Just(Step::Idle),
        1 => Just(Step::Retire),
        1 => Just(Step::Age),
        2 => vec(errno, 0..40).prop_map(Step::Answers),
        2 => any::<bool>().prop_map(Step::CompleteAtOnce),
        6 => any::<usize>().prop_map(Step::Complete),
        1 => any::<usize>().prop_map(Step::Lose),
        1 => any::<usize>().prop_map(Step::FindLost),
        1 => any::<u64>().prop_map(Step::CompletionOfNothing),
        2 => (0..FRAMES).prop_map(Step::CompletionAgain),
        1 => (any::<u64>(), any::<u32>()).prop_map(|(address, len)| Step::PacketOfNothing(address, len)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    // Between 17 (more than a ring of 16 can hold) and 2³² - 1 (one backwards).
    let corrupt = (0..4u8, 17..=u32::MAX, vec(plain_step(), 0..4))
        .prop_map(|(ring, by, steps)| Step::Corrupt(ring, by, steps));
    prop_oneof![20 => plain_step(), 1 => corrupt]
}

/// Queue and kernel, and what must always hold of them.
struct World {
    queue: Queue,
    kernel: MockKernel,
}

impl World {
    fn take(&mut self, step: &Step) -> Result<(), TestCaseError> {
        let (queue, kernel) = (&mut self.queue, &self.kernel);
        match step {
            Step::Deliver(packets, len) => {
                let _ = kernel.deliver(*packets, *len);
            }
            Step::Turn(handlings) => turn(queue, handlings)?,
            Step::TransmitWith(len) => drop(goes_on(queue.transmit_with(|room| {
                room.fill(0x5a);
                *len
            }))?),
            Step::TransmitPanic => {
                let outcome = catch_unwind(AssertUnwindSafe(|| {
                    queue.transmit_with(|_| std::panic::resume_unwind(Box::new(ON_PURPOSE)))
                }));
                prop_assert!(outcome.is_err() || matches!(outcome, Ok(Ok(false) | Err(_))));
            }
            Step::Flush => drop(goes_on(queue.flush())?),
            Step::Idle => drop(goes_on(queue.idle(Duration::ZERO, None))?),
            Step::Retire => queue.retire(),
            Step::Age => drop(goes_on(queue.age_frames())?),
            Step::Answers(errnos) => kernel.answer(errnos.iter().copied()),
            Step::CompleteAtOnce(at_once) => kernel.complete_at_once(*at_once),
            Step::Complete(index) => {
                let _ = kernel.complete(*index);
            }
            Step::Lose(index) => {
                let _ = kernel.lose(*index);
            }
            Step::FindLost(index) => {
                let _ = kernel.find_lost(*index);
            }
            Step::CompletionOfNothing(address) => {
                let _ = kernel.forge_completion(address | u64::from(FRAMES) << 11);
            }
            Step::CompletionAgain(frame) => {
                // The queue sees it before it can send the frame again: later nobody could tell the difference.
                goes_on(queue.flush())?;
                let _ = kernel.forge_completion_of_idle(*frame);
                goes_on(queue.flush())?;
            }
            Step::PacketOfNothing(address, len) => {
                let _ = kernel.forge_rx(address | u64::from(FRAMES) << 11, *len);
            }
            Step::Corrupt(ring, by, steps) => {
                // Only the queue acts meanwhile: a kernel that goes on from a wrong index is another story.
                let good = kernel.corrupt_index(*ring, *by);
                for step in steps.iter().filter(|step| step.is_the_queues()) {
                    self.take_quietly(step)?;
                }
                self.kernel.set_index(*ring, good);
            }
        }
        self.check()
    }

    /// A step of the queue while an index is wrong and so the kernel must not look at its rings.
    fn take_quietly(&mut self, step: &Step) -> Result<(), TestCaseError> {
        self.kernel.pause(true);
        let queue = &mut self.queue;
        match step {
            Step::Turn(handlings) => turn(queue, handlings)?,
            Step::TransmitWith(len) => drop(goes_on(queue.transmit_with(|_| *len))?),
            Step::Flush => drop(goes_on(queue.flush())?),
            _ => {}
        }
        self.kernel.pause(false);
        prop_assert!(self.queue.is_consistent(), "{:?}", self.queue.census());
        Ok(())
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let census = self.queue.census();
        prop_assert!(self.queue.is_consistent(), "{census:?}");
        prop_assert_eq!(census.total(), FRAMES);
        prop_assert_eq!(census.user, 0, "no packet is held outside of a turn");
        prop_assert_eq!(self.kernel.complaints(), Vec::<String>::new());
        let expected = Held {
            fill: census.fill,
            tx: census.tx + census.quarantine - self.queue.unpublished(),
        };
        prop_assert_eq!(self.kernel.held(), expected, "queue and kernel disagree");
        Ok(())
    }
}

impl Step {
    fn is_the_queues(&self) -> bool {
        matches!(self, Self::Turn(_) | Self::TransmitWith(_) | Self::Flush)
    }
}

const ON_PURPOSE: &str = "on purpose";

fn turn(queue: &mut Queue, handlings: &[Handling]) -> Result<(), TestCaseError> {
    let mut next = handlings.iter().cycle();
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        queue.turn(&mut |packet| handle(packet, *next.next().unwrap_or(&Handling::Drop)))
    }));
    match outcome {
        Ok(outcome) => goes_on(outcome).map(drop),
        Err(panic) => {
            prop_assert_eq!(panic.downcast_ref::<&str>(), Some(&ON_PURPOSE));
            Ok(())
        }
    }
}

fn handle(mut packet: RxPacket<'_>, handling: Handling) {
    packet.window().fill(0xa5);
    match handling {
        Handling::Reply(len) => drop(packet.transmit(len)),
        Handling::Drop => drop(packet),
        // Not `panic!`: its message would fill the output.
        Handling::Panic => std::panic::resume_unwind(Box::new(ON_PURPOSE)),
    }
}

/// A queue may end as poisoned here (most frames lost), never in another way.
fn goes_on<T>(outcome: Result<T, QueueError>) -> Result<Option<T>, TestCaseError> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(QueueError::Poisoned) => Ok(None),
        Err(other) => Err(TestCaseError::fail(format!("{other}"))),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn every_frame_is_in_exactly_one_place(steps in vec(step(), 1..150)) {
        let (queue, kernel) = MockOptions { frames: FRAMES, ..MockOptions::default() }.open();
        let mut world = World { queue, kernel };
        for step in &steps {
            world.take(step)?;
        }
        // And once the kernel behaves again, all frames but the lost ones come home.
        world.kernel.answer_nothing();
        world.kernel.complete_at_once(true);
        for _ in 0..64 {
            while world.kernel.complete(0) {}
            world.queue.retire();
            if world.queue.flush().is_err() {
                return Ok(());
            }
        }
        world.check()?;
        prop_assert_eq!(world.kernel.in_flight(), 0);
        prop_assert_eq!(world.queue.census().tx + world.queue.census().quarantine, world.kernel.lost() as u32);
    }

    /// Faults that can't be told from right behaviour (a completion of a frame that is still in transmission, an index
    /// that is wrong but possible) may cost packets, but neither memory safety nor the books.
    #[test]
    fn faults_that_nobody_can_tell_leave_the_books_right(
        steps in vec(step(), 1..100),
        wild in vec((0..4u8, 0..20u32, any::<u64>(), any::<u32>()), 1..20),
    ) {
        let (queue, kernel) = MockOptions { frames: FRAMES, ..MockOptions::default() }.open();
        let mut world = World { queue, kernel };
        for (i, step) in steps.iter().enumerate() {
            let (ring, by, address, len) = wild[i % wild.len()];
            match i % 5 {
                0 => drop(world.kernel.corrupt_index(ring, by)),
                1 => drop(world.kernel.forge_completion(address % (u64::from(FRAMES) * 2048))),
                2 => drop(world.kernel.forge_rx(address % (u64::from(FRAMES) * 2048), len % 4096)),
                _ => {}
            }
            world.take_quietly(step)?;
            prop_assert_eq!(world.queue.census().total(), FRAMES);
        }
    }
}
