use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

/// So many sockets are waited for by `poll`; more by epoll.
pub(super) const POLLED: usize = 32;

/// Most marks that one wait tells.
pub(super) const MARKS: usize = POLLED + 1;

/// What can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// The worker's waker.
    Waker,
    /// The socket in this slot.
    Socket(usize),
}

/// Waits until one of a worker's sockets, or its waker, can be read.
///
/// A socket in an epoll set is waited for all the time: the kernel calls on the set for every datagram that comes and for
/// every reply that has left, though the worker is busy and would look anyway. `poll` waits only while it waits; but it
/// looks at every socket each time. So few sockets are polled, and many are in an epoll set, from then on for good.
#[derive(Debug)]
pub(super) struct Readiness {
    epoll: Epoll,
    /// Whether the sockets are in the set.
    many: bool,
}

/// The epoll mark of the waker; sockets are marked with their slots.
const WAKER: u64 = u64::MAX;

impl Readiness {
    /// Of a waker and no socket yet.
    ///
    /// # Errors
    /// No epoll could be made (the process's limit of open files).
    pub(super) fn new(waker: impl AsFd) -> nix::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(waker, EpollEvent::new(EpollFlags::EPOLLIN, WAKER))?;
        Ok(Self { epoll, many: false })
    }

    /// Says that there will be a socket beside those that are there. Each comes with its slot.
    ///
    /// # Errors
    /// The kernel's (`max_user_watches`, memory); the socket is not waited for, the others are.
    pub(super) fn add<'a>(
        &mut self,
        sockets: impl Iterator<Item = (usize, BorrowedFd<'a>)> + Clone,
        (slot, socket): (usize, BorrowedFd<'a>),
    ) -> nix::Result<()> {
        if self.many {
            return self.enlist(slot, socket);
        }
        if sockets.clone().count() < POLLED {
            return Ok(());
        }
        let all = sockets.chain([(slot, socket)]);
        for (slot, socket) in all.clone() {
            if let Err(error) = self.enlist(slot, socket) {
                all.for_each(|(_, socket)| self.delist(socket));
                return Err(error);
            }
        }
        self.many = true;
        Ok(())
    }

    /// Says that a socket is waited for no more.
    pub(super) fn remove(&self, socket: BorrowedFd<'_>) {
        if self.many {
            self.delist(socket);
        }
    }

    /// Waits until something can be read or the time is over (`None`: for ever); how many of `marks` were written.
    ///
    /// # Errors
    /// The kernel's; `EINTR` when a signal came.
    pub(super) fn wait<'a>(
        &self,
        waker: BorrowedFd<'a>,
        sockets: impl Iterator<Item = (usize, BorrowedFd<'a>)>,
        time: Option<Duration>,
        marks: &mut [Mark; MARKS],
    ) -> nix::Result<usize> {
        if self.many {
            self.wait_by_epoll(time, marks)
        } else {
            wait_by_poll(waker, sockets, time, marks)
        }
    }

    fn wait_by_epoll(
        &self,
        time: Option<Duration>,
        marks: &mut [Mark; MARKS],
    ) -> nix::Result<usize> {
        let mut events = [EpollEvent::empty(); MARKS];
        let time = time.map_or(EpollTimeout::NONE, |time| {
            EpollTimeout::try_from(millis(time)).unwrap_or(EpollTimeout::MAX)
        });
        let count = self.epoll.wait(&mut events, time)?;
        for (mark, event) in marks.iter_mut().zip(&events[..count]) {
            *mark = match event.data() {
                WAKER => Mark::Waker,
                slot => Mark::Socket(slot as usize),
            };
        }
        Ok(count)
    }

    fn enlist(&self, slot: usize, socket: BorrowedFd<'_>) -> nix::Result<()> {
        let event = EpollEvent::new(EpollFlags::EPOLLIN, slot as u64);
        self.epoll.add(socket, event)
    }

    /// A socket that isn't in the set may be taken out of it.
    fn delist(&self, socket: BorrowedFd<'_>) {
        let _ = self.epoll.delete(socket);
    }
}

fn wait_by_poll<'a>(
    waker: BorrowedFd<'a>,
    sockets: impl Iterator<Item = (usize, BorrowedFd<'a>)>,
    time: Option<Duration>,
    marks: &mut [Mark; MARKS],
) -> nix::Result<usize> {
    // What lies past `count` stays the waker, and is not asked for.
    let mut polled: [PollFd<'_>; MARKS] = std::array::from_fn(|_| readable(waker));
    let mut asked = [Mark::Waker; MARKS];
    let mut count = 1;
    for (slot, socket) in sockets.take(POLLED) {
        polled[count] = readable(socket);
        asked[count] = Mark::Socket(slot);
        count += 1;
    }
    let time = time.map_or(PollTimeout::NONE, |time| {
        PollTimeout::try_from(millis(time)).unwrap_or(PollTimeout::MAX)
    });
    if poll(&mut polled[..count], time)? == 0 {
        return Ok(0);
    }
    let is_ready = |polled: &PollFd<'_>| polled.revents().is_some_and(|events| !events.is_empty());
    let ready = polled[..count].iter().zip(asked);
    let ready = ready.filter_map(|(polled, mark)| is_ready(polled).then_some(mark));
    let mut told = 0;
    for (to, mark) in marks.iter_mut().zip(ready) {
        *to = mark;
        told += 1;
    }
    Ok(told)
}

fn readable(fd: BorrowedFd<'_>) -> PollFd<'_> {
    PollFd::new(fd, PollFlags::POLLIN)
}

/// Rounded up: a wait that ends a little early would be followed by a spin.
fn millis(time: Duration) -> u128 {
    time.as_millis() + 1
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;
    use crate::Waker;

    struct Fixture {
        waker: Waker,
        sockets: Vec<UdpSocket>,
        readiness: Readiness,
    }

    impl Fixture {
        fn with(count: usize) -> Self {
            let waker = Waker::new().unwrap();
            let mut readiness = Readiness::new(&waker).unwrap();
            let mut sockets = Vec::new();
            for slot in 0..count {
                let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
                readiness
                    .add(each(&sockets), (slot, socket.as_fd()))
                    .unwrap();
                sockets.push(socket);
            }
            Self {
                waker,
                sockets,
                readiness,
            }
        }

        fn wait(&self, time: Option<Duration>) -> Vec<Mark> {
            let mut marks = [Mark::Waker; MARKS];
            let sockets = each(&self.sockets);
            let count = self
                .readiness
                .wait(self.waker.as_fd(), sockets, time, &mut marks);
            marks[..count.unwrap()].to_vec()
        }

        fn send_to(&self, slot: usize) {
            let to = self.sockets[slot].local_addr().unwrap();
            self.sockets[0].send_to(b"x", to).unwrap();
        }
    }

    fn each(sockets: &[UdpSocket]) -> impl Iterator<Item = (usize, BorrowedFd<'_>)> + Clone {
        let slots = sockets.iter().enumerate();
        slots.map(|(slot, socket)| (slot, socket.as_fd()))
    }

    #[test]
    fn whoever_can_be_read_is_told_be_they_few_or_many() {
        for count in [1, POLLED, POLLED + 1, 3 * POLLED] {
            let fixture = Fixture::with(count);
            assert_eq!(fixture.readiness.many, count > POLLED);
            assert!(fixture.wait(Some(Duration::ZERO)).is_empty());
            let last = count - 1;
            fixture.send_to(last);
            assert_eq!(fixture.wait(None), [Mark::Socket(last)]);
            fixture.send_to(0);
            fixture.waker.wake();
            let told = fixture.wait(None);
            for mark in [Mark::Waker, Mark::Socket(0), Mark::Socket(last)] {
                assert!(told.contains(&mark), "{count} sockets: {told:?}");
            }
            fixture.waker.clear();
            assert!(!fixture.wait(None).contains(&Mark::Waker));
        }
    }

    #[test]
    fn more_than_can_be_told_at_once_are_told_in_turn() {
        let fixture = Fixture::with(2 * MARKS);
        (0..2 * MARKS).for_each(|slot| fixture.send_to(slot));
        let mut left: Vec<_> = (0..2 * MARKS).map(Mark::Socket).collect();
        let mut buf = [0; 1];
        while !left.is_empty() {
            for mark in fixture.wait(None) {
                let Mark::Socket(slot) = mark else {
                    panic!("nobody woke it");
                };
                fixture.sockets[slot].recv(&mut buf).unwrap();
                left.retain(|one| *one != mark);
            }
        }
    }

    #[test]
    fn whom_it_was_told_to_forget_is_not_told() {
        for count in [2, POLLED + 2] {
            let mut fixture = Fixture::with(count);
            let gone = fixture.sockets.pop().unwrap();
            fixture.readiness.remove(gone.as_fd());
            fixture.sockets[0]
                .send_to(b"x", gone.local_addr().unwrap())
                .unwrap();
            fixture.send_to(0);
            assert_eq!(fixture.wait(None), [Mark::Socket(0)]);
        }
    }
}
