use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use signal_hook::SigId;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::{flag, low_level};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// SIGHUP: read the configuration again.
    Reload,
    /// SIGTERM, SIGINT or SIGQUIT: answer who waits, then end. A second one ends the process at once.
    Stop(&'static str),
}

/// The signals the server heeds: SIGHUP, SIGTERM, SIGINT, SIGQUIT.
///
/// Register them first thing: until then any of them ends the process on the spot. What comes before
/// [`RunningServer::run`](crate::RunningServer::run) is carried out there.
#[derive(Debug)]
pub struct Signals {
    pipe: UnixStream,
    reload: Arc<AtomicBool>,
    stop: Arc<AtomicUsize>,
    registered: Vec<SigId>,
}

const STOPPING: [(i32, &str); 3] = [
    (SIGTERM, "SIGTERM"),
    (SIGINT, "SIGINT"),
    (SIGQUIT, "SIGQUIT"),
];

impl Signals {
    /// Begins to heed them.
    ///
    /// # Errors
    /// The system's; nothing is heeded then.
    pub fn register() -> io::Result<Self> {
        let (pipe, write) = UnixStream::pair()?;
        pipe.set_nonblocking(true)?;
        write.set_nonblocking(true)?;
        let (reload, stop) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicUsize::new(0)),
        );
        let mut signals = Self {
            pipe,
            reload,
            stop,
            registered: Vec::new(),
        };
        signals
            .registered
            .push(flag::register(SIGHUP, Arc::clone(&signals.reload))?);
        signals
            .registered
            .push(low_level::pipe::register(SIGHUP, write.try_clone()?)?);
        let stopping = Arc::new(AtomicBool::new(false));
        for (number, (signal, _)) in STOPPING.into_iter().enumerate() {
            // In this order: the first signal arms what the second one finds.
            let ids = [
                flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&stopping))?,
                flag::register(signal, Arc::clone(&stopping))?,
                flag::register_usize(signal, Arc::clone(&signals.stop), number + 1)?,
                low_level::pipe::register(signal, write.try_clone()?)?,
            ];
            signals.registered.extend(ids);
        }
        Ok(signals)
    }

    /// What has been asked for since the last call. Stopping comes before all else.
    pub(crate) fn take(&mut self) -> Option<Order> {
        let mut waste = [0; 64];
        while matches!(self.pipe.read(&mut waste), Ok(count) if count == waste.len()) {}
        if let Some(number) = self.stop.load(SeqCst).checked_sub(1) {
            return STOPPING.get(number).map(|(_, name)| Order::Stop(name));
        }
        self.reload.swap(false, SeqCst).then_some(Order::Reload)
    }

    /// Whether a signal to stop has come.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stop.load(SeqCst) != 0
    }
}

/// Readable when a signal has come.
impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for id in self.registered.drain(..) {
            low_level::unregister(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::{Signal, raise};

    use super::*;

    #[test]
    fn hup_asks_for_one_reload() {
        let mut signals = Signals::register().unwrap();
        assert_eq!(signals.take(), None);
        raise(Signal::SIGHUP).unwrap();
        raise(Signal::SIGHUP).unwrap();
        assert_eq!(signals.take(), Some(Order::Reload));
        assert_eq!(signals.take(), None);
        assert!(!signals.is_stopping());
    }
}
