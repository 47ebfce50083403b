//! What the service manager is told, if there is one that wants to hear (`NOTIFY_SOCKET`, `sd_notify(3)`).
//!
//! Nothing here can stop the server: what can't be told is not told.

use std::time::{Duration, Instant};

use sd_notify::NotifyState;

/// Serving, and how.
pub(crate) fn tell_ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Reading the configuration again; [`tell_ready`] ends it.
pub(crate) fn tell_reloading() {
    // The time tells this reload from an earlier one (Type=notify-reload).
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        tell(&[NotifyState::Reloading, now]);
    }
}

/// Ending.
pub(crate) fn tell_stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Signs of life for a service manager that restarts who gives none (`WATCHDOG_USEC`).
#[derive(Debug)]
pub(crate) struct Watchdog {
    /// Half of its patience, as `sd_watchdog_enabled(3)` advises.
    every: Duration,
    due: Instant,
}

impl Watchdog {
    /// `None`: nobody waits for signs of life.
    pub(crate) fn from_env() -> Option<Self> {
        let patience = sd_notify::watchdog_enabled()?;
        Some(Self {
            every: patience / 2,
            due: Instant::now(),
        })
    }

    /// Gives a sign of life when one is due. Only a server whose threads all live may call it.
    pub(crate) fn keep_alive(&mut self, now: Instant) {
        if self.due <= now {
            tell(&[NotifyState::Watchdog]);
            self.due = now + self.every;
        }
    }

    /// When the next sign of life is due.
    pub(crate) const fn next_due(&self) -> Instant {
        self.due
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!("the service manager can't be told: {error}");
    }
}
