use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use sluicegate_conf::{XdpConfig, XdpMode};
use sluicegate_xsk::nic::{AttachedMode, Nic, NicError};
use sluicegate_xsk::prog::{AttachMode, AttachedLink, MapError};
use sluicegate_xsk::{BindError, BusyPoll, Mode, QueueBuilder, QueueError};

use super::Target;
use super::opening::{CHUNK_BYTES, Opening};
use super::pins::Pins;
use super::reason::{Failures, Reason, Rung};
use super::report::Standing;
use super::stats::{ARRIVED, COMPLETED, SENT, Tallies, Tally};
use super::steering::Steering;
use super::watch::{QueueCounts, QueueWatch};
use super::worker::{Ended, Identity, WorkerHandle};
use crate::privileges::protocol::Hook;
use crate::privileges::{Opener, ProgramError};
use crate::{Shared, Waker};

/// What every interface needs of the gate.
pub(super) struct Site<'a> {
    /// For the workers.
    pub(super) shared: &'a Arc<Shared>,
    /// The clause `xdp:`.
    pub(super) xdp: &'a XdpConfig,
    /// Where counts are published.
    pub(super) tallies: &'a mut Tallies,
    /// The maps for programs of somebody else's.
    pub(super) pins: &'a mut Pins,
    /// Woken when a worker ends.
    pub(super) gate: &'a Waker,
    /// Loads and attaches programs, makes AF_XDP sockets.
    pub(super) opener: &'a Opener,
}

/// An interface that AF_XDP serves.
pub(super) struct Interface {
    target: Target,
    rung: Rung,
    opening: Opening,
    steering: Steering,
    link: Option<AttachedLink>,
    workers: Vec<WorkerHandle>,
    tally: Arc<Tally>,
    queue_tallies: Vec<Arc<Tally>>,
    watches: Vec<QueueWatch>,
}

/// A program on an interface, all queues disabled.
struct Foothold {
    steering: Steering,
    mode: AttachMode,
    /// `None`: the program is somebody else's.
    link: Option<AttachedLink>,
}

/// Why a rung did not hold.
enum Setback {
    /// The next one may.
    Rung(String),
    /// No other will.
    Final(Reason),
}

/// Packets that one busy poll takes: a turn's batch.
const BUSY_POLL_BUDGET: u32 = 64;
/// How long the kernel may still deliver what it redirected before the queues were disabled.
const LAST_BATCH: Duration = Duration::from_millis(2);
/// The longest that the queues of one rung may take to open; each tries for about 2 s.
const OPEN_LIMIT: Duration = Duration::from_mins(1);

impl Interface {
    /// Starts the fast path on an interface, on the best rung that holds.
    ///
    /// # Errors
    /// Why not; the interface is as it was.
    pub(super) fn start(site: &mut Site<'_>, target: &Target) -> Result<Self, Reason> {
        if let Some(refusal) = &target.refusal {
            return Err(refusal.clone().into());
        }
        let nic = ask(target)?;
        let opening = Opening::plan(&nic, site.xdp, target)?;
        let mut failures = Failures::default();
        let mut kept = None;
        for rung in Rung::ladder(site.xdp.mode).iter().copied() {
            let why = match opening.unfit(rung) {
                Some(why) => why.to_owned(),
                None => match Self::climb(site, target, &nic, (&opening, rung), &mut kept) {
                    Ok(interface) => {
                        tell_failures(target, &failures);
                        return Ok(interface);
                    }
                    Err(Setback::Final(reason)) => return Err(reason),
                    Err(Setback::Rung(why)) => why,
                },
            };
            failures.0.push((rung, why));
        }
        Err(Reason::Rungs(failures))
    }

    /// Its name, as it was at the start.
    pub(super) fn name(&self) -> &str {
        &self.target.link.name
    }

    /// Whether the program is ours.
    pub(super) const fn has_own_program(&self) -> bool {
        self.link.is_some()
    }

    /// Queues with a worker.
    pub(super) const fn queues(&self) -> u32 {
        self.opening.served_queues
    }

    /// For the log.
    pub(super) fn standing(&self) -> Standing {
        Standing::Active {
            rung: self.rung,
            queues: self.opening.served_queues,
        }
    }

    /// Follows its addresses, and publishes its counts. One that is down waits: sockets and program stay.
    ///
    /// # Errors
    /// What has changed so that it must be started anew.
    pub(super) fn update(&mut self, target: &Target) -> Result<(), Reason> {
        if let Some(queue) = self.workers.iter().position(WorkerHandle::has_ended) {
            return Err(Reason::Queue {
                queue: queue as u32,
                what: "its worker has ended".to_owned(),
            });
        }
        self.compare(target)?;
        self.steering
            .follow(&self.target, target)
            .map_err(|error| Reason::Query(error.to_string()))?;
        self.target = target.clone();
        self.publish();
        self.check_queues()
    }

    /// Whether each queue gets what is redirected to it, and sends what it is given.
    fn check_queues(&mut self) -> Result<(), Reason> {
        let now = Instant::now();
        let queues = (0..).zip(&self.queue_tallies).zip(&mut self.watches);
        for ((queue, tally), watch) in queues {
            let redirected = self.steering.redirected(queue);
            watch.look(now, counts(redirected, tally))?;
        }
        Ok(())
    }

    /// Ends one. Clients that wait are answered until `until` at the latest. Returns what had ended a worker
    /// before, if something had.
    pub(super) fn stop(self, until: Instant) -> Option<Reason> {
        self.disable();
        thread::sleep(LAST_BATCH);
        self.finish(until)
    }

    /// Ends many, side by side.
    pub(super) fn stop_all(interfaces: Vec<Self>, until: Instant) {
        if interfaces.is_empty() {
            return;
        }
        interfaces.iter().for_each(Self::disable);
        thread::sleep(LAST_BATCH);
        // All drain at the same time.
        for worker in interfaces.iter().flat_map(|interface| &interface.workers) {
            worker.stop(until);
        }
        for interface in interfaces {
            interface.finish(until);
        }
    }

    /// Gives its packets to the kernel. What a processor had redirected before it saw the flag reaches the
    /// ring within its current batch: a worker that is told to end before [`LAST_BATCH`] is over may find
    /// itself idle, and drop what is still to come.
    fn disable(&self) {
        self.steering.disable(self.opening.served_queues);
    }

    /// The rest of an end: workers drained, program detached, sockets closed. Returns what had ended a worker.
    fn finish(mut self, until: Instant) -> Option<Reason> {
        let ended = end(std::mem::take(&mut self.workers), until);
        let name = self.name();
        let mut reason = None;
        for (queue, ended) in (0..).zip(&ended) {
            let fault = match ended {
                None => {
                    tracing::error!("{name}: queue {queue}: its worker panicked");
                    let what = "its worker panicked".to_owned();
                    Reason::Queue { queue, what }
                }
                Some(Ended { fault: None, .. }) => continue,
                // The gate says so in a line of its own.
                Some(Ended {
                    fault: Some(QueueError::Gone),
                    ..
                }) => Reason::Gone,
                Some(Ended {
                    fault: Some(fault), ..
                }) => {
                    tracing::warn!("{name}: queue {queue}: {fault}");
                    let what = fault.to_string();
                    Reason::Queue { queue, what }
                }
            };
            reason.get_or_insert(fault);
        }
        self.publish();
        self.tally.close();
        drop(self.link.take());
        close(ended);
        reason
    }

    /// Tries one rung: all queues or none. The program of the rung before stays where it is if this one wants
    /// it there too: attaching resets some NICs.
    fn climb(
        site: &mut Site<'_>,
        target: &Target,
        nic: &Nic,
        (opening, rung): (&Opening, Rung),
        kept: &mut Option<Foothold>,
    ) -> Result<Self, Setback> {
        let mode = attach_mode(rung);
        let foothold = match kept.take().filter(|kept| kept.mode == mode) {
            Some(foothold) => foothold,
            None => match &site.xdp.pinned_maps {
                Some(directory) => Foothold::share(site.pins, directory, target, mode)?,
                None => Foothold::gain(site, nic, target, mode)?,
            },
        };
        let steering = &foothold.steering;
        let mut workers = Vec::new();
        let started = start_workers(site, target, nic, (steering, opening, rung), &mut workers)
            .and_then(|()| {
                steering
                    .open(target, opening.served_queues)
                    .map_err(Setback::from)
            });
        if let Err(setback) = started {
            steering.disable(opening.served_queues);
            let ended = end(workers, Instant::now());
            if ended.iter().flatten().all(|ended| ended.queue.is_none()) {
                *kept = Some(foothold);
            } else {
                // Some NICs hang if bound sockets are closed before the program has been detached.
                drop(foothold);
                close(ended);
            }
            return Err(setback);
        }
        let Foothold { steering, link, .. } = foothold;
        let tally = site
            .tallies
            .program(&site.shared.registry, &target.link.name);
        let queue_tallies: Vec<_> = (0..opening.served_queues)
            .map(|queue| {
                let name = worker_name(target, queue);
                site.tallies.queue(&site.shared.registry, &name)
            })
            .collect();
        let (target, opening) = (target.clone(), opening.clone());
        let now = Instant::now();
        let watches = (0..).zip(&queue_tallies);
        let watches =
            watches.map(|(queue, tally)| QueueWatch::new(now, queue, counts(None, tally)));
        Ok(Self {
            watches: watches.collect(),
            queue_tallies,
            target,
            rung,
            opening,
            steering,
            link,
            workers,
            tally,
        })
    }

    /// What can only be changed by starting anew.
    fn compare(&self, target: &Target) -> Result<(), Reason> {
        let changed = |what: &str| Err(Reason::Query(what.to_owned()));
        if target.link.name != self.target.link.name {
            return changed("its name changed");
        }
        if target.mtu_bytes != self.target.mtu_bytes
            || target.link.mtu_bytes != self.target.link.mtu_bytes
        {
            return changed("its MTU changed");
        }
        let mode = |target: &Target| target.link.xdp.map(|attached| attached.mode);
        match mode(target) {
            None => return changed("its program was taken off"),
            // Its own program isn't among what was seen before it was attached.
            now if self.link.is_none() && now != mode(&self.target) => {
                return changed("its program runs in another mode");
            }
            Some(_) => {}
        }
        let nic = ask(target)?;
        if Opening::queues(nic.caps()) != self.opening.queues {
            return changed("its number of queues changed");
        }
        Ok(())
    }

    fn publish(&self) {
        if let Some(counts) = self.steering.exits() {
            self.tally.publish(&counts);
        }
    }
}

impl Foothold {
    fn gain(
        site: &Site<'_>,
        nic: &Nic,
        target: &Target,
        mode: AttachMode,
    ) -> Result<Self, Setback> {
        let hook = match mode {
            AttachMode::Native => Hook::Native,
            // Who asks for it by name gets it.
            AttachMode::Generic if site.xdp.mode == XdpMode::Generic => Hook::Generic,
            AttachMode::Generic => Hook::Proven,
        };
        let opened = site.opener.program(nic, hook, target);
        let (program, link) = opened.map_err(|error| refused(error, nic))?;
        Ok(Self {
            steering: Steering::new(&program)?,
            mode,
            link: Some(link),
        })
    }

    /// Puts up with the program that is there, if it runs in this mode.
    fn share(
        pins: &mut Pins,
        directory: &Path,
        target: &Target,
        mode: AttachMode,
    ) -> Result<Self, Setback> {
        let maps = pins
            .of(directory, &target.link.name)
            .map_err(|error| Setback::Final(Reason::Pins(error)))?;
        let Some(attached) = target.link.xdp else {
            let directory = maps.directory().to_owned();
            return Err(Setback::Final(Reason::NoProgram { directory }));
        };
        let same = match mode {
            AttachMode::Native => attached.mode == AttachedMode::Native,
            AttachMode::Generic => attached.mode == AttachedMode::Generic,
        };
        if !same {
            let why = format!(
                "the program there is attached in another mode: {}",
                attached.mode
            );
            return Err(Setback::Rung(why));
        }
        Ok(Self {
            steering: Steering::shared(maps)?,
            mode,
            link: None,
        })
    }
}

/// What a queue's worker has published last.
fn counts(redirected: Option<u32>, tally: &Tally) -> QueueCounts {
    let arrived = ARRIVED.map(|range| tally.sum(range)).into_iter();
    QueueCounts {
        redirected,
        arrived: arrived.fold(0, u64::wrapping_add),
        sent: tally.sum(SENT),
        completed: tally.sum(COMPLETED),
    }
}

/// The interface as it is now.
fn ask(target: &Target) -> Result<Nic, Reason> {
    Nic::by_index(target.link.index).map_err(|error| match error {
        NicError::NotFound { .. } => Reason::Gone,
        other => Reason::Query(other.to_string()),
    })
}

/// Why the mode that was reached is not a better one.
fn tell_failures(target: &Target, failures: &Failures) {
    if !failures.0.is_empty() {
        tracing::info!(
            "XDP modes not available interface={} {failures}",
            target.link.name
        );
    }
}

/// Of a queue's worker: of its thread, its counters and its statistics.
fn worker_name(target: &Target, queue: u32) -> String {
    format!("xdp.{}.{queue}", target.link.name)
}

/// Starts a worker for each queue and waits until all have opened theirs, or one could not.
fn start_workers(
    site: &mut Site<'_>,
    target: &Target,
    nic: &Nic,
    (steering, opening, rung): (&Steering, &Opening, Rung),
    workers: &mut Vec<WorkerHandle>,
) -> Result<(), Setback> {
    let (told, opened) = channel();
    for queue in 0..opening.served_queues {
        let name = worker_name(target, queue);
        let tally = site.tallies.queue(&site.shared.registry, &name);
        let identity = Identity {
            name,
            mtu_bytes: target.mtu_bytes,
            gate: site.gate.clone(),
            tally,
            busy_poll: Duration::from_micros(site.xdp.busy_poll_us.into()),
        };
        let (builder, sockets, told) = (
            builder(nic, queue, rung, site.xdp),
            steering.sockets()?,
            told.clone(),
        );
        let (opener, polls) = (site.opener.clone(), busy_poll(site.xdp.busy_poll_us));
        let open = move || match builder.open_with(&sockets, || opener.xdp_socket(polls)) {
            Ok((queue, _report)) => {
                // Without a listener the start was given up, and the order to stop is on its way.
                let _ = told.send(Ok(()));
                Some(queue)
            }
            Err(error) => {
                let _ = told.send(Err(error));
                None
            }
        };
        workers.push(WorkerHandle::start(site.shared, identity, open)?);
    }
    drop(told);
    all_open(&opened, workers.len())
}

fn builder(nic: &Nic, queue: u32, rung: Rung, xdp: &XdpConfig) -> QueueBuilder {
    let mode = if rung == Rung::ZeroCopy {
        Mode::ZeroCopy
    } else {
        Mode::Copy
    };
    QueueBuilder::new(nic, queue)
        .chunk(CHUNK_BYTES)
        .frames(xdp.frames)
        .rings(xdp.rx_ring, xdp.tx_ring)
        .busy_poll(busy_poll(xdp.busy_poll_us))
        .mode(mode)
}

fn all_open(opened: &Receiver<Result<(), BindError>>, count: usize) -> Result<(), Setback> {
    let until = Instant::now() + OPEN_LIMIT;
    for _ in 0..count {
        let left = until.saturating_duration_since(Instant::now());
        match opened.recv_timeout(left) {
            Ok(outcome) => outcome?,
            Err(_) => return Err(Setback::Rung("a worker did not open its queue".to_owned())),
        }
    }
    Ok(())
}

/// Tells workers to end and waits for them; `None` stands for one that panicked.
fn end(workers: Vec<WorkerHandle>, until: Instant) -> Vec<Option<Ended>> {
    for worker in &workers {
        worker.stop(until);
    }
    workers.into_iter().map(WorkerHandle::join).collect()
}

/// Closes the workers' sockets side by side: each close waits for the kernel's readers, 10 to 30 ms.
fn close(ended: Vec<Option<Ended>>) {
    thread::scope(|scope| {
        for queue in ended.into_iter().flatten().filter_map(|ended| ended.queue) {
            scope.spawn(move || drop(queue));
        }
    });
}

/// The clause's `busy-poll`, in microseconds.
pub(crate) const fn busy_poll(usecs: u32) -> BusyPoll {
    match usecs {
        0 => BusyPoll::Off,
        usecs => BusyPoll::On {
            usecs,
            budget: BUSY_POLL_BUDGET,
        },
    }
}

const fn attach_mode(rung: Rung) -> AttachMode {
    match rung {
        Rung::ZeroCopy | Rung::Copy => AttachMode::Native,
        Rung::Generic => AttachMode::Generic,
    }
}

/// Why there is no program of ours. Where a foreign one runs, everybody may know.
fn refused(error: ProgramError, nic: &Nic) -> Setback {
    match error {
        ProgramError::Foreign { id, name } => {
            let now = Nic::by_index(nic.index()).ok();
            let attached = now.and_then(|nic| nic.link().xdp);
            let mode = attached.map(|attached| attached.mode);
            Setback::Final(Reason::Foreign { id, name, mode })
        }
        ProgramError::NotPermitted(why) => Setback::Final(Reason::NotPermitted(why)),
        ProgramError::Gone => Setback::Final(Reason::Gone),
        ProgramError::Other(why) => Setback::Rung(why),
    }
}

impl From<BindError> for Setback {
    fn from(error: BindError) -> Self {
        match error {
            BindError::NotPermitted { .. } | BindError::MemLock { .. } => {
                Self::Final(Reason::NotPermitted(error.to_string()))
            }
            BindError::Gone { .. } => Self::Final(Reason::Gone),
            other => Self::Rung(other.to_string()),
        }
    }
}

impl From<MapError> for Setback {
    fn from(error: MapError) -> Self {
        Self::Rung(error.to_string())
    }
}

impl From<std::io::Error> for Setback {
    fn from(error: std::io::Error) -> Self {
        Self::Rung(error.to_string())
    }
}
