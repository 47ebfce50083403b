//! The event loop under libunbound: epoll for descriptors, an ordered set for timers.
//!
//! Timers are kept in nanoseconds, and short ones are waited for in nanoseconds: libunbound starts each
//! upstream query by a timer of zero or a few microseconds, and a loop that rounds up to milliseconds adds
//! one to each miss.
//!
//! A source is inserted once and armed many times. Each arming has an epoch; what epoll reported for an
//! earlier arming (its callback ran in the same batch and disarmed or freed the source) is skipped.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, epoll};
use rustix::io::Errno;

/// The time set for the source has passed. The bits are those of `unbound-event.h` (`UB_EV_*`).
pub(crate) const TIMEOUT: i16 = 0x01;
/// The descriptor can be read.
pub(crate) const READ: i16 = 0x02;
/// The descriptor can be written.
pub(crate) const WRITE: i16 = 0x04;
/// The source stays armed after it fired.
pub(crate) const PERSIST: i16 = 0x10;

/// Waits shorter than this are made to the nanosecond, by ppoll(2), for one more system call. `epoll::wait`
/// rounds up to milliseconds unless the kernel is known to have `epoll_pwait2(2)` (Linux 5.11).
const PRECISE_BELOW: Duration = Duration::from_millis(20);
/// Events taken from the kernel at once; more wait for the next turn.
const BATCH: usize = 256;

/// A source's place in the reactor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key(u32);

/// An event: what was inserted, and the bits that came true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fired<T> {
    pub(crate) payload: T,
    pub(crate) bits: i16,
}

/// Sources with descriptors and timeouts. Bounded by what libunbound creates: its `outgoing-range` and
/// `outgoing-num-tcp`, and a few timers for each question.
pub(crate) struct Reactor<T> {
    epoll: OwnedFd,
    slots: Vec<Slot<T>>,
    vacant: Vec<u32>,
    timers: BTreeSet<(Instant, u32)>,
    batch: Vec<epoll::Event>,
    next_in_batch: usize,
}

#[derive(Debug)]
struct Slot<T> {
    payload: T,
    epoch: u32,
    armed: Option<Armed>,
}

#[derive(Clone, Copy, Debug)]
struct Armed {
    bits: i16,
    timeout: Option<Duration>,
    due: Option<Instant>,
}

impl<T: Copy> Reactor<T> {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            slots: Vec::new(),
            vacant: Vec::new(),
            timers: BTreeSet::new(),
            batch: Vec::with_capacity(BATCH),
            next_in_batch: 0,
        })
    }

    /// A place for a source; it is not armed yet.
    pub(crate) fn insert(&mut self, payload: T) -> Key {
        if let Some(index) = self.vacant.pop() {
            self.slots[index as usize].payload = payload;
            return Key(index);
        }
        self.slots.push(Slot {
            payload,
            epoch: 0,
            armed: None,
        });
        Key((self.slots.len() - 1) as u32)
    }

    /// Gives another payload to a source.
    pub(crate) fn set_payload(&mut self, key: Key, payload: T) {
        self.slots[key.0 as usize].payload = payload;
    }

    /// Starts waiting for `bits` on `fd` (`READ`, `WRITE`), and for `timeout`; either may be missing. A
    /// source that is armed already is disarmed first. Without [`PERSIST`] it is disarmed when it fires;
    /// with it, its timeout starts again each time it fires.
    pub(crate) fn arm(
        &mut self,
        key: Key,
        fd: Option<BorrowedFd<'_>>,
        bits: i16,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        self.disarm(key, fd);
        let slot = &mut self.slots[key.0 as usize];
        slot.epoch = slot.epoch.wrapping_add(1);
        if let Some(fd) = fd
            && bits & (READ | WRITE) != 0
        {
            let data = epoll::EventData::new_u64(u64::from(slot.epoch) << 32 | u64::from(key.0));
            let flags = epoll_flags(bits);
            match epoll::add(&self.epoll, fd, data, flags) {
                // It fired without PERSIST and is still in the set, but asleep.
                Err(Errno::EXIST) => epoll::modify(&self.epoll, fd, data, flags)?,
                other => other?,
            }
        }
        let due = timeout.map(|timeout| Instant::now() + timeout);
        if let Some(due) = due {
            self.timers.insert((due, key.0));
        }
        slot.armed = Some(Armed { bits, timeout, due });
        Ok(())
    }

    /// Stops waiting. `fd` is the descriptor given to [`Reactor::arm`]; it may be closed by now.
    pub(crate) fn disarm(&mut self, key: Key, fd: Option<BorrowedFd<'_>>) {
        let slot = &mut self.slots[key.0 as usize];
        let Some(armed) = slot.armed.take() else {
            return;
        };
        slot.epoch = slot.epoch.wrapping_add(1);
        if let Some(due) = armed.due {
            self.timers.remove(&(due, key.0));
        }
        if let Some(fd) = fd
            && armed.bits & (READ | WRITE) != 0
        {
            // A closed descriptor has left the set by itself.
            let _ = epoll::delete(&self.epoll, fd);
        }
    }

    /// Gives the place back.
    pub(crate) fn remove(&mut self, key: Key, fd: Option<BorrowedFd<'_>>) {
        self.disarm(key, fd);
        self.vacant.push(key.0);
    }

    /// Waits until a descriptor is ready, the next timer is due, or `limit` has passed. What came is then
    /// fetched with [`Reactor::next_ready`] and [`Reactor::next_due`].
    pub(crate) fn wait(&mut self, limit: Option<Duration>) -> io::Result<()> {
        let until_timer = self
            .timers
            .first()
            .map(|(due, _)| due.saturating_duration_since(Instant::now()));
        let timeout = [until_timer, limit].into_iter().flatten().min();
        let mut timespec = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        if timeout.is_some_and(|timeout| !timeout.is_zero() && timeout < PRECISE_BELOW) {
            let mut poll = [PollFd::new(&self.epoll, PollFlags::IN)];
            match rustix::event::poll(&mut poll, timespec.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            timespec = Some(Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            });
        }
        self.batch.clear();
        self.next_in_batch = 0;
        match epoll::wait(
            &self.epoll,
            rustix::buffer::spare_capacity(&mut self.batch),
            timespec.as_ref(),
        ) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// The next event of the last [`Reactor::wait`] whose source is still armed as it was then.
    pub(crate) fn next_ready(&mut self) -> Option<Fired<T>> {
        loop {
            let event = *self.batch.get(self.next_in_batch)?;
            self.next_in_batch += 1;
            let (data, flags) = (event.data.u64(), event.flags);
            let (index, epoch) = (data as u32, (data >> 32) as u32);
            let Some(slot) = self.slots.get(index as usize) else {
                continue;
            };
            let Some(armed) = slot.armed.filter(|_| slot.epoch == epoch) else {
                continue;
            };
            let bits = ready_bits(flags) & armed.bits;
            if bits != 0 {
                return Some(self.fire(index, armed, bits));
            }
        }
    }

    /// The earliest source whose timeout is over at `now`.
    pub(crate) fn next_due(&mut self, now: Instant) -> Option<Fired<T>> {
        let &(due, index) = self.timers.first()?;
        if due > now {
            return None;
        }
        let armed = self.slots[index as usize].armed;
        let armed = armed.expect("a source with a timer is armed: disarm() removes both");
        Some(self.fire(index, armed, TIMEOUT))
    }

    fn fire(&mut self, index: u32, mut armed: Armed, bits: i16) -> Fired<T> {
        let slot = &mut self.slots[index as usize];
        if let Some(due) = armed.due.take() {
            self.timers.remove(&(due, index));
        }
        if armed.bits & PERSIST == 0 {
            // Its descriptor sleeps in the epoll set (ONESHOT) until it is armed again or closed.
            slot.armed = None;
            slot.epoch = slot.epoch.wrapping_add(1);
        } else {
            armed.due = armed.timeout.map(|timeout| Instant::now() + timeout);
            if let Some(due) = armed.due {
                self.timers.insert((due, index));
            }
            slot.armed = Some(armed);
        }
        Fired {
            payload: slot.payload,
            bits,
        }
    }
}

impl<T> AsFd for Reactor<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

fn epoll_flags(bits: i16) -> epoll::EventFlags {
    let mut flags = epoll::EventFlags::empty();
    flags.set(epoll::EventFlags::IN, bits & READ != 0);
    flags.set(epoll::EventFlags::OUT, bits & WRITE != 0);
    flags.set(epoll::EventFlags::ONESHOT, bits & PERSIST == 0);
    flags
}

/// Errors and hang-ups count as both, so that whoever reads or writes finds out (as libevent has it).
fn ready_bits(flags: epoll::EventFlags) -> i16 {
    let broken = flags.intersects(epoll::EventFlags::ERR | epoll::EventFlags::HUP);
    let readable = broken || flags.contains(epoll::EventFlags::IN);
    let writable = broken || flags.contains(epoll::EventFlags::OUT);
    (if readable { READ } else { 0 }) | (if writable { WRITE } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (OwnedFd, OwnedFd) {
        rustix::pipe::pipe().unwrap()
    }

    fn ready(reactor: &mut Reactor<u8>) -> Vec<(u8, i16)> {
        reactor.wait(Some(Duration::ZERO)).unwrap();
        std::iter::from_fn(|| reactor.next_ready())
            .map(|fired| (fired.payload, fired.bits))
            .collect()
    }

    #[test]
    fn persistent_sources_fire_again_and_others_once() {
        let mut reactor = Reactor::new().unwrap();
        let ((reader, writer), (once_reader, once_writer)) = (pair(), pair());
        let (kept, once) = (reactor.insert(1), reactor.insert(2));
        reactor
            .arm(kept, Some(reader.as_fd()), READ | PERSIST, None)
            .unwrap();
        reactor
            .arm(once, Some(once_reader.as_fd()), READ, None)
            .unwrap();
        rustix::io::write(&writer, b"x").unwrap();
        rustix::io::write(&once_writer, b"x").unwrap();
        let mut first = ready(&mut reactor);
        first.sort_unstable();
        assert_eq!(first, [(1, READ), (2, READ)]);
        assert_eq!(ready(&mut reactor), [(1, READ)]);
        reactor
            .arm(once, Some(once_reader.as_fd()), READ, None)
            .unwrap();
        let mut again = ready(&mut reactor);
        again.sort_unstable();
        assert_eq!(again, [(1, READ), (2, READ)]);
        reactor.disarm(kept, Some(reader.as_fd()));
        assert_eq!(ready(&mut reactor), []);
    }

    #[test]
    fn a_source_removed_within_the_batch_does_not_fire() {
        let mut reactor = Reactor::new().unwrap();
        let (a, b) = (pair(), pair());
        let first = reactor.insert(1);
        let second = reactor.insert(2);
        reactor
            .arm(first, Some(a.0.as_fd()), READ | PERSIST, None)
            .unwrap();
        reactor
            .arm(second, Some(b.0.as_fd()), READ | PERSIST, None)
            .unwrap();
        rustix::io::write(&a.1, b"x").unwrap();
        rustix::io::write(&b.1, b"x").unwrap();
        reactor.wait(Some(Duration::ZERO)).unwrap();
        let fired = reactor.next_ready().unwrap().payload;
        let (other, fd) = if fired == 1 {
            (second, &b.0)
        } else {
            (first, &a.0)
        };
        reactor.remove(other, Some(fd.as_fd()));
        // The place is taken by a new source on the same descriptor: the old report is not for it.
        let reused = reactor.insert(3);
        assert_eq!(reused, other);
        reactor
            .arm(reused, Some(fd.as_fd()), READ | PERSIST, None)
            .unwrap();
        assert_eq!(reactor.next_ready(), None);
        assert!(ready(&mut reactor).contains(&(3, READ)));
    }

    #[test]
    fn timers_fire_in_order_and_to_the_microsecond() {
        let mut reactor = Reactor::new().unwrap();
        let (late, soon, never) = (reactor.insert(1), reactor.insert(2), reactor.insert(3));
        let start = Instant::now();
        reactor
            .arm(late, None, TIMEOUT, Some(Duration::from_micros(400)))
            .unwrap();
        reactor
            .arm(soon, None, TIMEOUT, Some(Duration::from_micros(200)))
            .unwrap();
        reactor
            .arm(never, None, TIMEOUT, Some(Duration::from_hours(1)))
            .unwrap();
        let mut fired = Vec::new();
        while fired.len() < 2 {
            reactor.wait(None).unwrap();
            while let Some(event) = reactor.next_due(Instant::now()) {
                assert_eq!(event.bits, TIMEOUT);
                fired.push((event.payload, start.elapsed()));
            }
        }
        assert_eq!((fired[0].0, fired[1].0), (2, 1));
        assert!(
            fired[0].1 >= Duration::from_micros(200) && fired[1].1 >= Duration::from_micros(400)
        );
        reactor.disarm(never, None);
        assert_eq!(reactor.next_due(start + Duration::from_hours(2)), None);
    }

    #[test]
    fn short_timers_are_not_rounded_up_to_a_millisecond() {
        let mut reactor = Reactor::new().unwrap();
        let key = reactor.insert(1);
        // The best of many: the machine may be busy.
        let best = (0..50).map(|_| {
            let start = Instant::now();
            reactor
                .arm(key, None, TIMEOUT, Some(Duration::from_micros(100)))
                .unwrap();
            while reactor.next_due(Instant::now()).is_none() {
                reactor.wait(None).unwrap();
            }
            start.elapsed()
        });
        assert!(best.min().unwrap() < Duration::from_micros(900));
    }

    #[test]
    fn a_persistent_source_with_a_timeout_starts_it_again() {
        let mut reactor = Reactor::new().unwrap();
        let (reader, writer) = pair();
        let key = reactor.insert(1);
        let hour = Duration::from_hours(1);
        reactor
            .arm(key, Some(reader.as_fd()), READ | PERSIST, Some(hour))
            .unwrap();
        let first_due = reactor.timers.first().unwrap().0;
        rustix::io::write(&writer, b"x").unwrap();
        assert_eq!(ready(&mut reactor), [(1, READ)]);
        let second_due = reactor.timers.first().unwrap().0;
        assert!(second_due > first_due && reactor.timers.len() == 1);
        assert_eq!(reactor.next_due(second_due).unwrap().bits, TIMEOUT);
        assert_eq!(reactor.timers.len(), 1);
    }

    #[test]
    fn hang_up_reaches_readers_and_writers() {
        let mut reactor = Reactor::new().unwrap();
        let (reader, writer) = pair();
        let key = reactor.insert(1);
        reactor
            .arm(key, Some(writer.as_fd()), WRITE | PERSIST, None)
            .unwrap();
        drop(reader);
        assert_eq!(ready(&mut reactor), [(1, WRITE)]);
    }
}
