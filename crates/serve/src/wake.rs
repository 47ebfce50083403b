use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::AcqRel};

use nix::sys::eventfd::{EfdFlags, EventFd};

/// Wakes one thread that polls an eventfd.
///
/// Writers first publish (a ring, a channel), then call [`wake`](Self::wake). The reader first calls
/// [`clear`](Self::clear), then looks at what was published. A flag beside the eventfd saves the system
/// call while a wake-up is already on its way, so a burst costs one write.
#[derive(Clone, Debug)]
pub struct Waker(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    event: EventFd,
    signalled: AtomicBool,
}

impl Waker {
    /// A new eventfd, non-blocking and closed on exec.
    pub fn new() -> std::io::Result<Self> {
        let event = EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?;
        Ok(Self(Arc::new(Inner {
            event,
            signalled: AtomicBool::new(false),
        })))
    }

    /// Makes the file descriptor readable, unless it is already.
    pub fn wake(&self) {
        if !self.0.signalled.swap(true, AcqRel) {
            // It can only fail when the counter is at its limit: then it is readable anyway.
            let _ = self.0.event.write(1);
        }
    }

    /// Makes the file descriptor unreadable again. Call it *before* looking at what was published.
    ///
    /// The swap reads what the last `wake` wrote, so everything published before that is visible here;
    /// whoever publishes later sees the flag down and writes again.
    pub fn clear(&self) {
        let _ = self.0.event.read();
        self.0.signalled.swap(false, AcqRel);
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.event.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use super::*;

    fn readable(waker: &Waker) -> bool {
        let mut fds = [PollFd::new(waker.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::ZERO).unwrap() == 1
    }

    #[test]
    fn wakes_once_until_cleared() {
        let waker = Waker::new().unwrap();
        assert!(!readable(&waker));
        waker.wake();
        waker.wake();
        assert!(readable(&waker));
        waker.clear();
        assert!(!readable(&waker));
        waker.wake();
        assert!(readable(&waker));
    }

    #[test]
    fn no_wake_up_is_lost_between_two_threads() {
        let (mut tx, mut rx) = rtrb::RingBuffer::<u32>::new(4096);
        let waker = Waker::new().unwrap();
        let writer = waker.clone();
        let thread = std::thread::spawn(move || {
            for i in 0..2000 {
                tx.push(i).unwrap();
                writer.wake();
            }
        });
        let mut next = 0;
        while next < 2000 {
            let mut fds = [PollFd::new(waker.as_fd(), PollFlags::POLLIN)];
            let ready = poll(&mut fds, 5000u16).unwrap();
            assert_eq!(ready, 1, "a wake-up was lost after {next}");
            waker.clear();
            while let Ok(value) = rx.pop() {
                assert_eq!(value, next);
                next += 1;
            }
        }
        thread.join().unwrap();
    }
}
