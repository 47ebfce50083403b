use std::collections::VecDeque;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::queue::{Kernel, XdpStatistics};
use crate::ring::{AtomicU32, Consumer, Memory, Ordering, Producer, SharedRing};
use crate::sys::{Descriptor, Errno};
use crate::umem::Geometry;

/// The kernel's side of a queue, driven by a test. Clones are the same kernel.
#[derive(Clone, Debug)]
pub struct MockKernel {
    state: Arc<Mutex<State>>,
    /// A queue has a file descriptor; this one never becomes readable.
    fd: Arc<File>,
}

#[derive(Debug)]
struct State {
    geometry: Geometry,
    rx: Producer<Descriptor, SharedRing<Descriptor>>,
    tx: Consumer<Descriptor, SharedRing<Descriptor>>,
    fill: Consumer<u64, SharedRing<u64>>,
    completion: Producer<u64, SharedRing<u64>>,
    /// Taken from the fill ring, not yet used: real kernels have such a cache too.
    fill_cache: VecDeque<u64>,
    /// Taken from the TX ring, not yet completed.
    in_flight: VecDeque<u64>,
    /// Never to be completed.
    lost: Vec<u64>,
    /// For each entry still in the RX and completion rings, whether it is a right one.
    rx_right: VecDeque<bool>,
    completion_right: VecDeque<bool>,
    /// What the next calls answer, instead of doing something.
    answers: VecDeque<Errno>,
    complete_at_once: bool,
    bound: bool,
    paused: bool,
    complaints: Vec<String>,
}

/// Frames that the kernel has, by its own record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// In the fill ring, taken from it, or in the RX ring.
    pub fill: u32,
    /// In the TX ring, taken from it, lost, or in the completion ring.
    pub tx: u32,
}

/// Packets that one `sendto` takes, as in copy mode.
const BUDGET: usize = 32;

impl MockKernel {
    pub(super) fn new(
        geometry: Geometry,
        rx: Producer<Descriptor, SharedRing<Descriptor>>,
        tx: Consumer<Descriptor, SharedRing<Descriptor>>,
        fill: Consumer<u64, SharedRing<u64>>,
        completion: Producer<u64, SharedRing<u64>>,
    ) -> Self {
        // As a copy-mode socket with XDP_USE_NEED_WAKEUP: always to be woken for transmission.
        tx.memory().flags().store(1, Ordering::Relaxed);
        let state = State {
            geometry,
            rx,
            tx,
            fill,
            completion,
            fill_cache: VecDeque::new(),
            in_flight: VecDeque::new(),
            lost: Vec::new(),
            rx_right: VecDeque::new(),
            completion_right: VecDeque::new(),
            answers: VecDeque::new(),
            complete_at_once: true,
            bound: true,
            paused: false,
            complaints: Vec::new(),
        };
        let null = File::open("/dev/null").expect("/dev/null can be opened");
        Self {
            state: Arc::new(Mutex::new(state)),
            fd: Arc::new(null),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Receives up to `packets` packets of `len` bytes; returns how many found a frame and room in the RX ring.
    pub fn deliver(&self, packets: u32, len: u32) -> u32 {
        let mut state = self.state();
        state.take_fill();
        for done in 0..packets {
            if state.rx.free(1) == 0 {
                return done;
            }
            let Some(chunk) = state.fill_cache.pop_front() else {
                return done;
            };
            let address = chunk + u64::from(state.geometry.rx_offset());
            state.push_rx(address, len, true);
        }
        packets
    }

    /// Puts a made-up descriptor into the RX ring; `false` if it is full.
    pub fn forge_rx(&self, address: u64, len: u32) -> bool {
        let mut state = self.state();
        state.take_fill();
        if state.rx.free(1) == 0 {
            return false;
        }
        let chunk = address & !u64::from(state.geometry.chunk_bytes() - 1);
        state.fill_cache.retain(|&held| held != chunk);
        state.push_rx(address, len, false);
        true
    }

    /// Whether packets are completed as soon as they are taken; otherwise [`MockKernel::complete`] does it.
    pub fn complete_at_once(&self, at_once: bool) {
        self.state().complete_at_once = at_once;
    }

    /// Packets taken from the TX ring and not completed.
    pub fn in_flight(&self) -> usize {
        self.state().in_flight.len()
    }

    /// Packets whose completion never comes.
    pub fn lost(&self) -> usize {
        self.state().lost.len()
    }

    /// Completes the packet at place `index` (modulo their number) of those in flight; `false` if there is none, or the
    /// completion ring is full.
    pub fn complete(&self, index: usize) -> bool {
        self.state().complete(index)
    }

    /// Forgets the packet at place `index` (modulo their number) of those in flight: its completion never comes.
    pub fn lose(&self, index: usize) -> bool {
        let mut state = self.state();
        let Some(index) = index.checked_rem(state.in_flight.len()) else {
            return false;
        };
        let lost = state.in_flight.remove(index);
        state.lost.extend(lost);
        lost.is_some()
    }

    /// Completes the lost packet at place `index` (modulo their number) after all.
    pub fn find_lost(&self, index: usize) -> bool {
        let mut state = self.state();
        let Some(index) = index.checked_rem(state.lost.len()) else {
            return false;
        };
        if state.completion.free(1) == 0 {
            return false;
        }
        let address = state.lost.swap_remove(index);
        state.push_completion(address, true);
        true
    }

    /// Puts a made-up address into the completion ring; `false` if it is full, or names a frame that waits in the TX ring
    /// (nobody could tell that such a completion is forged).
    pub fn forge_completion(&self, address: u64) -> bool {
        let mut state = self.state();
        let geometry = state.geometry;
        let frame = geometry.locate(address).map(|(frame, _)| frame);
        let is_same =
            |other: u64| frame.is_some() && geometry.locate(other).map(|(frame, _)| frame) == frame;
        let waits = state.tx_waiting().any(|waiting| is_same(waiting.address));
        if waits || state.completion.free(1) == 0 {
            return false;
        }
        state.in_flight.retain(|&held| !is_same(held));
        state.lost.retain(|&held| !is_same(held));
        state.push_completion(address, false);
        true
    }

    /// Completes a frame that the queue has not in transmission, as if once more; `false` if it has, or the completion
    /// ring is full.
    pub fn forge_completion_of_idle(&self, frame: u32) -> bool {
        let address = {
            let mut state = self.state();
            let geometry = state.geometry;
            let is_it = |address: u64| {
                geometry
                    .locate(address)
                    .is_some_and(|(other, _)| other == frame)
            };
            // A completion on its way may be this frame's.
            let busy = state.completion.outstanding() > 0
                || state
                    .in_flight
                    .iter()
                    .chain(&state.lost)
                    .any(|&held| is_it(held))
                || state.tx_waiting().any(|waiting| is_it(waiting.address));
            if busy {
                return false;
            }
            geometry.address(frame, 0)
        };
        self.forge_completion(address)
    }

    /// Whether the kernel says that it must be woken for transmission; it does at first. It never transmits unwoken, so
    /// that saying no is a lost wake-up.
    pub fn need_wakeup(&self, needed: bool) {
        let state = self.state();
        let flags = state.tx.memory().flags();
        flags.store(u32::from(needed), Ordering::Relaxed);
    }

    /// While paused, calls answer that the interface is down.
    pub fn pause(&self, paused: bool) {
        self.state().paused = paused;
    }

    /// The next calls of `sendto` and `recvfrom` answer `errno`, one each, and do nothing.
    pub fn answer(&self, errnos: impl IntoIterator<Item = i32>) {
        self.state()
            .answers
            .extend(errnos.into_iter().map(Errno::new));
    }

    /// Calls do again what they should.
    pub fn answer_nothing(&self) {
        self.state().answers.clear();
    }

    /// Unbinds the socket, as the end of its interface does.
    pub fn unbind(&self) {
        self.state().bound = false;
    }

    /// Adds `by` to the kernel's index of a ring (0 RX, 1 TX, 2 fill, 3 completion) and returns what it was.
    pub fn corrupt_index(&self, ring: u8, by: u32) -> u32 {
        self.state().index(ring).fetch_add(by, Ordering::Release)
    }

    /// Sets the kernel's index of a ring.
    pub fn set_index(&self, ring: u8, value: u32) {
        self.state().index(ring).store(value, Ordering::Release);
    }

    /// Counts the frames that the kernel has.
    pub fn held(&self) -> Held {
        let mut state = self.state();
        state.take_fill();
        let tx_waiting = state.tx_waiting().count() as u32;
        let rx_waiting = state.rx.outstanding();
        let rx_waiting = right(&mut state.rx_right, rx_waiting);
        let completions_waiting = state.completion.outstanding();
        let completions_waiting = right(&mut state.completion_right, completions_waiting);
        Held {
            fill: state.fill_cache.len() as u32 + rx_waiting,
            tx: tx_waiting
                + state.in_flight.len() as u32
                + state.lost.len() as u32
                + completions_waiting,
        }
    }

    /// What the queue did wrong so far: frames given twice, or descriptors out of bounds.
    pub fn complaints(&self) -> Vec<String> {
        self.state().complaints.clone()
    }
}

impl State {
    fn index(&self, ring: u8) -> &AtomicU32 {
        match ring % 4 {
            0 => self.rx.memory().producer(),
            1 => self.tx.memory().consumer(),
            2 => self.fill.memory().consumer(),
            _ => self.completion.memory().producer(),
        }
    }

    /// What waits in the TX ring.
    fn tx_waiting(&mut self) -> impl Iterator<Item = Descriptor> + '_ {
        (0..).map_while(|ahead| self.tx.peek(ahead))
    }

    /// Moves everything from the fill ring into the cache.
    fn take_fill(&mut self) {
        while let Some(address) = self.fill.pop() {
            self.check_new(address, "fill");
            if address % u64::from(self.geometry.chunk_bytes()) != 0 {
                self.complaints
                    .push(format!("fill: {address:#x} is no start of a chunk"));
            }
            self.fill_cache.push_back(address);
        }
        self.fill.release();
    }

    fn push_rx(&mut self, address: u64, len: u32, right: bool) {
        let waiting = self.rx.outstanding();
        forget_taken(&mut self.rx_right, waiting);
        self.rx_right.push_back(right);
        self.rx.push(Descriptor {
            address,
            len,
            options: 0,
        });
        self.rx.publish();
    }

    fn push_completion(&mut self, address: u64, right: bool) {
        let waiting = self.completion.outstanding();
        forget_taken(&mut self.completion_right, waiting);
        self.completion_right.push_back(right);
        self.completion.push(address);
        self.completion.publish();
    }

    fn complete(&mut self, index: usize) -> bool {
        let Some(index) = index.checked_rem(self.in_flight.len()) else {
            return false;
        };
        if self.completion.free(1) == 0 {
            return false;
        }
        if let Some(address) = self.in_flight.remove(index) {
            self.push_completion(address, true);
        }
        true
    }

    /// Takes a budget of packets from the TX ring.
    fn transmit(&mut self) -> Result<(), Errno> {
        for _ in 0..BUDGET {
            // A packet is taken only if its completion will find room.
            let room = self.completion.free(self.in_flight.len() as u32 + 1);
            if room <= self.in_flight.len() as u32 {
                return Err(Errno::new(libc::EAGAIN));
            }
            let Some(descriptor) = self.tx.pop() else {
                return Ok(());
            };
            self.tx.release();
            self.check_packet(descriptor);
            self.in_flight.push_back(descriptor.address);
            if self.complete_at_once {
                self.complete(self.in_flight.len() - 1);
            }
        }
        if self.tx.available(1) > 0 {
            return Err(Errno::new(libc::EAGAIN));
        }
        Ok(())
    }

    fn check_packet(&mut self, descriptor: Descriptor) {
        self.check_new(descriptor.address, "tx");
        let end = |offset: u32| u64::from(offset) + u64::from(descriptor.len);
        let fits = self
            .geometry
            .locate(descriptor.address)
            .is_some_and(|(_, offset)| end(offset) <= u64::from(self.geometry.chunk_bytes()));
        if !fits || descriptor.len < 14 || descriptor.options != 0 {
            self.complaints
                .push(format!("tx: bad descriptor {descriptor:?}"));
        }
    }

    /// Complains if the kernel has the frame of `address` already.
    fn check_new(&mut self, address: u64, ring: &str) {
        let frame = |address| self.geometry.locate(address).map(|(frame, _)| frame);
        let wanted = frame(address);
        let held = self
            .fill_cache
            .iter()
            .chain(&self.in_flight)
            .chain(&self.lost);
        if wanted.is_none() || held.copied().any(|other| frame(other) == wanted) {
            self.complaints
                .push(format!("{ring}: {address:#x} is not the queue's to give"));
        }
    }

    fn next_answer(&mut self) -> Result<(), Errno> {
        if !self.bound {
            return Err(Errno::new(libc::ENXIO));
        }
        if self.paused {
            return Err(Errno::new(libc::ENETDOWN));
        }
        self.answers.pop_front().map_or(Ok(()), Err)
    }
}

/// How many of the `waiting` entries last put into a ring are right ones.
fn right(entries: &mut VecDeque<bool>, waiting: u32) -> u32 {
    forget_taken(entries, waiting);
    entries.iter().filter(|right| **right).count() as u32
}

fn forget_taken(entries: &mut VecDeque<bool>, waiting: u32) {
    let taken = entries.len().saturating_sub(waiting as usize);
    entries.drain(..taken);
}

impl Kernel for MockKernel {
    fn kick_tx(&mut self) -> Result<(), Errno> {
        let mut state = self.state();
        state.next_answer()?;
        state.transmit()
    }

    fn kick_rx(&mut self) -> Result<(), Errno> {
        self.state().next_answer()
    }

    fn wait(
        &mut self,
        _wake: Option<BorrowedFd<'_>>,
        _timeout: Duration,
    ) -> Result<(bool, bool), Errno> {
        Ok((self.state().rx.outstanding() > 0, false))
    }

    fn statistics(&self) -> Result<XdpStatistics, Errno> {
        Ok(XdpStatistics::default())
    }

    fn napi_id(&self) -> u32 {
        0
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
