use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sluicegate_conf::{Config, XdpEnable};
use sluicegate_xsk::nic::Monitor;

use super::announce::announce_exceeded;
use super::machine::Machine;
use super::named_files::NamedFiles;
use super::options::{ServerOptions, UseXdp};
use crate::control::ControlHandle;
use crate::handoff::HubHandle;
use crate::listen::{Changes, ListenSet, Sockets, Transport, Wanted, transports, wanted};
use crate::privileges::Opener;
use crate::process::manager::{self, Watchdog};
use crate::process::{Order, PidFile, Signals};
use crate::stats::Statistics;
use crate::tcp::TcpHandle;
use crate::udp::{Endpoint, WorkerHandle};
use crate::xdp::{Gate, GateSettings};
use crate::{DRAIN_LIMIT, Shared, tcp, udp};

/// When listen addresses that could not be opened are tried again. The wait doubles with each try, up to
/// [`LONGEST_RETRY`], and starts anew when the machine's addresses change.
pub(super) const FIRST_RETRY: Duration = Duration::from_secs(1);

/// A port that another server has becomes free without a word: so long may it take to be noticed.
const LONGEST_RETRY: Duration = Duration::from_secs(8);

/// How often the threads are looked after.
const LOOK_AFTER: Duration = Duration::from_secs(10);

/// A server that serves. Dropping it without [`stop`](Self::stop) also ends it, only less gently.
pub struct RunningServer {
    pub(super) options: ServerOptions,
    pub(super) opener: Opener,
    pub(super) config: Config,
    pub(super) shared: Arc<Shared>,
    pub(super) listen: ListenSet,
    pub(super) xdp_addresses: BTreeSet<SocketAddr>,
    /// What the engine's configuration names, as the engine has read it.
    pub(super) engine_files: NamedFiles,
    pub(super) told_missing: Vec<String>,
    pub(super) parts: Parts,
    pub(super) statistics: Arc<Statistics>,
    pub(super) monitor: Option<Monitor>,
    pub(super) next_retry: Option<Instant>,
    pub(super) retry_wait: Duration,
    pub(super) next_statistics: Option<Instant>,
    pub(super) watchdog: Option<Watchdog>,
}

/// The threads, in no order that matters.
pub(super) struct Parts {
    pub(super) udp: Vec<WorkerHandle>,
    pub(super) tcp: TcpHandle,
    pub(super) hub: HubHandle,
    pub(super) gate: Gate,
    pub(super) control: Option<ControlHandle>,
    pub(super) pid_file: Option<PidFile>,
}

/// Why [`RunningServer::run`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// A signal asked for it.
    Asked,
    /// A thread ended that must not; the log tells more.
    Broken,
}

impl RunningServer {
    /// Serves until a signal says to end, then ends. SIGHUP reloads.
    ///
    /// A service manager that asked for it (`NOTIFY_SOCKET`, `WATCHDOG_USEC`) is told of each step.
    pub fn run(mut self, mut signals: Signals) -> Ended {
        manager::tell_ready(&self.in_short());
        loop {
            match signals.take() {
                Some(Order::Stop(name)) => {
                    tracing::info!("{name}: answering those who wait, then ending");
                    manager::tell_stopping();
                    self.stop();
                    return Ended::Asked;
                }
                Some(Order::Reload) => {
                    manager::tell_reloading();
                    self.reload_and_tell(&mut || signals.is_stopping());
                    manager::tell_ready(&self.in_short());
                }
                None => {}
            }
            if !self.tend() {
                manager::tell_stopping();
                self.stop();
                return Ended::Broken;
            }
            keep_alive(self.watchdog.as_mut());
            self.wait(&signals);
        }
    }

    /// Everything that `sluicegate stats` would print.
    pub fn statistics(&self) -> String {
        self.statistics.text(&self.shared)
    }

    /// The addresses that are served, and how.
    pub fn listening(&self) -> Vec<(SocketAddr, Transport)> {
        self.listen.bound().collect()
    }

    /// The engine's process ID, while it runs.
    pub fn engine_pid(&self) -> Option<u32> {
        self.parts.hub.engine_pid()
    }

    /// Does what has become due: addresses that came or went, retries, statistics. `false`: a thread has
    /// ended that must not. [`run`](Self::run) calls it; whoever does without `run` calls it now and then.
    pub fn tend(&mut self) -> bool {
        let now = Instant::now();
        let moved = self
            .monitor
            .as_mut()
            .is_some_and(|monitor| matches!(monitor.wait(Duration::ZERO), Ok(true)));
        if moved {
            self.retry_wait = FIRST_RETRY;
        }
        if moved || self.next_retry.is_some_and(|at| at <= now) {
            self.follow_addresses();
        }
        if let Some(broker) = self.opener.broker()
            && let Some(how) = broker.has_just_ended()
        {
            tracing::error!(
                "the privileged process (process {}) has ended ({how}): what runs goes on, but listen addresses and \
                 interfaces that come later can't be opened until the server is restarted",
                broker.pid()
            );
        }
        announce_exceeded(&self.shared.brain.policy.load());
        if self.next_statistics.is_some_and(|at| at <= now) {
            self.statistics.log(&self.shared);
            self.schedule_statistics();
        }
        self.parts.all_alive()
    }

    /// Ends: nothing new is taken, those who wait are answered for at most [`DRAIN_LIMIT`], XDP programs
    /// are detached, threads joined, the engine ended, pid file and control socket removed.
    pub fn stop(self) {
        let Self { shared, parts, .. } = self;
        let Parts {
            udp,
            tcp,
            hub,
            gate,
            control,
            pid_file,
        } = parts;
        shared.start_draining();
        for worker in &udp {
            worker.wake();
        }
        tcp.send(tcp::Command::Drain);
        gate.stop(DRAIN_LIMIT);
        let mut sound = tcp.join();
        for worker in udp {
            sound &= worker.join();
        }
        sound &= hub.stop();
        // Last: a slow client of the control socket must not hold up those who wait for answers.
        drop(control);
        drop(pid_file);
        tracing::info!(
            "ended{}",
            if sound {
                ""
            } else {
                ", with a thread that had panicked"
            }
        );
    }

    /// Opens and closes listen addresses as the configuration and the machine's addresses want it.
    pub(super) fn follow_addresses(&mut self) {
        let wanted = wanted(&self.config, &Machine::now());
        // The privileged process may take its time over each address.
        let watchdog = &mut self.watchdog;
        let changes = self
            .listen
            .update(&wanted.addresses, &transports(&self.config), &mut || {
                keep_alive(watchdog.as_mut());
            });
        let incomplete = self.listen.has_failures() || !wanted.missing_interfaces.is_empty();
        self.next_retry = incomplete.then(|| Instant::now() + self.retry_wait);
        self.retry_wait = (self.retry_wait * 2).min(LONGEST_RETRY);
        tell_missing(&wanted, &mut self.told_missing);
        tell_failures(&changes, &wanted);
        for sockets in &changes.opened {
            tracing::info!("listening on {}", describe(sockets));
        }
        self.parts.apply(changes);
        let served = self.listen.udp_addresses();
        if self.xdp_addresses != served {
            self.xdp_addresses = served;
            self.parts.gate.reconfigure(gate_settings(
                &self.options,
                &self.config,
                &self.xdp_addresses,
            ));
        }
    }

    pub(super) fn schedule_statistics(&mut self) {
        let interval = u64::from(self.config.statistics_interval_secs);
        self.next_statistics =
            (interval > 0).then(|| Instant::now() + Duration::from_secs(interval));
    }

    /// A line for `systemctl status`.
    fn in_short(&self) -> String {
        let addresses: BTreeSet<_> = self.listen.bound().map(|(address, _)| address).collect();
        match addresses.len() {
            1 => "Serving on 1 address".to_owned(),
            n => format!("Serving on {n} addresses"),
        }
    }

    /// Waits for a signal, a change of the machine's addresses, or the next thing that is due.
    fn wait(&self, signals: &Signals) {
        let sign_of_life = self.watchdog.as_ref().map(Watchdog::next_due);
        let due = [self.next_retry, self.next_statistics, sign_of_life]
            .into_iter()
            .flatten()
            .min();
        let until = due.map_or(LOOK_AFTER, |due| {
            due.saturating_duration_since(Instant::now())
                .min(LOOK_AFTER)
        });
        let timeout = PollTimeout::try_from(until.as_millis() + 1).unwrap_or(PollTimeout::MAX);
        let mut fds = vec![PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        fds.extend(
            self.monitor
                .as_ref()
                .map(|monitor| PollFd::new(monitor.as_fd(), PollFlags::POLLIN)),
        );
        let end = self.opener.broker().and_then(|broker| broker.end());
        // To hang up needs no asking for; answers are others' to read.
        fds.extend(end.map(|end| PollFd::new(end, PollFlags::empty())));
        // Interrupted by a signal: that is what we wait for.
        let _ = poll(&mut fds, timeout);
    }
}

impl Parts {
    /// Hands new sockets to the workers, and tells them what to close.
    pub(super) fn apply(&self, changes: Changes) {
        for (address, transport) in changes.closed {
            tracing::info!("no longer listening on {transport} {address}");
            match transport {
                Transport::Udp => self
                    .udp
                    .iter()
                    .for_each(|worker| worker.send(udp::Command::Close(address))),
                Transport::Tcp => self.tcp.send(tcp::Command::Close(address)),
            }
        }
        for Sockets { address, udp, tcp } in changes.opened {
            for (worker, socket) in self.udp.iter().zip(udp) {
                worker.send(udp::Command::Open(Endpoint::new(address, socket)));
            }
            if let Some(socket) = tcp {
                self.tcp.send(tcp::Command::Open(address, socket));
            }
        }
    }

    fn all_alive(&self) -> bool {
        let dead = self
            .udp
            .iter()
            .any(WorkerHandle::is_finished)
            .then_some("a UDP worker");
        let dead = dead.or(self.tcp.is_finished().then_some("the TCP thread"));
        let dead = dead.or(self.hub.is_finished().then_some("the hand-off thread"));
        if let Some(dead) = dead {
            tracing::error!("{dead} has ended; the server ends, so that it can be started afresh");
        }
        dead.is_none()
    }
}

/// What the gate is to do.
pub(super) fn gate_settings(
    options: &ServerOptions,
    config: &Config,
    addresses: &BTreeSet<SocketAddr>,
) -> GateSettings {
    let mut xdp = config.xdp.clone();
    if options.xdp == UseXdp::Never || !config.do_udp {
        xdp.enable = XdpEnable::No;
    }
    GateSettings {
        xdp,
        listen: addresses.iter().copied().collect(),
    }
}

/// Warns of interfaces that are not there, when their list has changed.
pub(super) fn tell_missing(wanted: &Wanted, told: &mut Vec<String>) {
    if *told != wanted.missing_interfaces {
        for name in &wanted.missing_interfaces {
            tracing::warn!(
                "interface {name}: not on this machine, or without an address; waiting for it"
            );
        }
        told.clone_from(&wanted.missing_interfaces);
    }
}

/// Warns of addresses that could not be opened.
///
/// One that an interface stands for has it, but an IPv6 address can't be bound until the kernel has seen
/// that nobody else has it (a second or two): that is no news.
pub(super) fn tell_failures(changes: &Changes, wanted: &Wanted) {
    for error in &changes.failed {
        if error.is_not_here() && wanted.by_interface.contains(&error.address()) {
            tracing::debug!("{error}");
        } else {
            tracing::warn!("{error}");
        }
    }
}

pub(super) fn keep_alive(watchdog: Option<&mut Watchdog>) {
    if let Some(watchdog) = watchdog {
        watchdog.keep_alive(Instant::now());
    }
}

/// `address (UDP, TCP)`.
fn describe(sockets: &Sockets) -> String {
    let udp = (!sockets.udp.is_empty()).then_some("UDP");
    let tcp = sockets.tcp.is_some().then_some("TCP");
    let transports: Vec<_> = udp.into_iter().chain(tcp).collect();
    format!("{} ({})", sockets.address, transports.join(", "))
}
