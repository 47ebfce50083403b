use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use sluicegate_bpf as bpf;
use sluicegate_conf::{XdpConfig, XdpMode};
use sluicegate_xsk::nic::{AttachedMode, Nic, NicError};
use sluicegate_xsk::prog::{AttachMode, AttachedLink, MapError};
use sluicegate_xsk::{
    BindError, BusyPoll, Climbed, Fall, Footing, QueueBuilder, QueueError, Setback,
};

use super::opening::{CHUNK_BYTES, Opening};
use super::pins::Pins;
use super::reason::{Failures, Reason, ladder};
use super::report::Standing;
use super::stats::{ARRIVED, COMPLETED, SENT, Tallies, Tally};
use super::steering::Steering;
use super::watch::{QueueCounts, QueueWatch};
use super::worker::{Ended, Identity, WorkerHandle};
use super::{Rung, Target};
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
    /// Whether a program was attached on the way, whatever has become of it.
    pub(super) attached: bool,
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
enum Trouble {
    /// The next one may.
    Rung(String),
    /// No other will.
    Final(Reason),
}

/// As the ladder takes it, with the program if it stays for the next rung.
type Fallen = (Setback<String, Reason>, Option<Box<Foothold>>);

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
        let climbed = ladder(site.xdp.mode).climb(|rung, kept| match opening.unfit(rung) {
            Some(why) => Err((Setback::Rung(why.to_owned()), kept)),
            None => Self::climb(site, target, &nic, (&opening, rung), kept),
        });
        match climbed {
            Ok(Climbed { top, failed, .. }) => {
                let stands_by = false;
                tell_failures(
                    target,
                    &Failures {
                        rungs: failed,
                        stands_by,
                    },
                );
                Ok(top)
            }
            Err(Fall {
                last: Some((_, why)),
                ..
            }) => Err(why),
            Err(Fall { failed, .. }) => Err(Reason::Rungs(Failures {
                rungs: failed,
                stands_by: opening.stands_by(),
            })),
        }
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
        kept: Option<Box<Foothold>>,
    ) -> Result<Self, Fallen> {
        let foothold = match kept {
            Some(foothold) => *foothold,
            None => Foothold::find(site, nic, target, rung.attach_mode())
                .map_err(|trouble| (trouble.into(), None))?,
        };
        let steering = &foothold.steering;
        let mut workers = Vec::new();
        let started = start_workers(site, target, nic, (steering, opening, rung), &mut workers)
            .and_then(|()| {
                steering
                    .open(target, opening.served_queues)
                    .map_err(Trouble::from)
            });
        if let Err(trouble) = started {
            steering.disable(opening.served_queues);
            let ended = end(workers, Instant::now());
            if ended.iter().flatten().all(|ended| ended.queue.is_none()) {
                return Err((trouble.into(), Some(Box::new(foothold))));
            }
            // Some NICs hang if bound sockets are closed before the program has been detached.
            drop(foothold);
            close(ended);
            return Err((trouble.into(), None));
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
        let batch = opening.tx_batch(rung);
        let watches = (0..).zip(&queue_tallies);
        let watches =
            watches.map(|(queue, tally)| QueueWatch::new(now, queue, batch, counts(None, tally)));
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
        match target.link.xdp {
            None => return changed("its program was taken off"),
            // Its own program isn't among what was seen before it was attached.
            now if self.link.is_none() && now != self.target.link.xdp => {
                return changed("its program is another one, or runs in another mode");
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

impl From<Trouble> for Setback<String, Reason> {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Rung(why) => Self::Rung(why),
            Trouble::Final(why) => Self::Final(why),
        }
    }
}

impl Footing for Box<Foothold> {
    fn mode(&self) -> AttachMode {
        self.mode
    }
}

impl Foothold {
    /// A program of ours, or what somebody else's leaves us.
    fn find(
        site: &mut Site<'_>,
        nic: &Nic,
        target: &Target,
        mode: AttachMode,
    ) -> Result<Self, Trouble> {
        match &site.xdp.pinned_maps {
            Some(directory) => Self::share(site, directory, target, mode),
            None => Self::gain(site, nic, target, mode),
        }
    }

    fn gain(
        site: &mut Site<'_>,
        nic: &Nic,
        target: &Target,
        mode: AttachMode,
    ) -> Result<Self, Trouble> {
        let hook = match mode {
            AttachMode::Native => Hook::Native,
            // Who asks for it by name gets it.
            AttachMode::Generic if site.xdp.mode == XdpMode::Generic => Hook::Generic,
            AttachMode::Generic => Hook::Proven,
        };
        // Some cards reset with a program: not for one whose sockets can't be had.
        drop(site.opener.xdp_socket(BusyPoll::Off)?);
        let opened = site.opener.program(nic, hook, target);
        let (program, link) = opened.map_err(|error| refused(error, nic))?;
        site.attached = true;
        Ok(Self {
            steering: Steering::new(&program)?,
            mode,
            link: Some(link),
        })
    }

    /// Puts up with the program that is there, if it runs in this mode.
    fn share(
        site: &mut Site<'_>,
        directory: &Path,
        target: &Target,
        mode: AttachMode,
    ) -> Result<Self, Trouble> {
        let maps = site
            .pins
            .of(directory, &target.link.name)
            .map_err(|error| Trouble::Final(Reason::Pins(error)))?;
        let Some(attached) = target.link.xdp else {
            let directory = maps.directory().to_owned();
            return Err(Trouble::Final(Reason::NoProgram { directory }));
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
            return Err(Trouble::Rung(why));
        }
        // A dispatcher's other programs don't show up there, so this is no reason to do without.
        let program = attached.program_id;
        if let Ok(false) = maps.is_used_by(bpf::MAP_XSKS, program) {
            tracing::warn!(
                "interface {}: the XDP program {program} does not use the map {} of {} itself; unless a program that it calls \
                 does, it redirects nothing here",
                target.link.name,
                bpf::MAP_XSKS,
                maps.directory().display(),
            );
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
    if !failures.rungs.is_empty() {
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
) -> Result<(), Trouble> {
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
    QueueBuilder::new(nic, queue)
        .chunk(CHUNK_BYTES)
        .frames(xdp.frames)
        .rings(xdp.rx_ring, xdp.tx_ring)
        .busy_poll(busy_poll(xdp.busy_poll_us))
        .mode(rung.mode())
}

fn all_open(opened: &Receiver<Result<(), BindError>>, count: usize) -> Result<(), Trouble> {
    let until = Instant::now() + OPEN_LIMIT;
    for _ in 0..count {
        let left = until.saturating_duration_since(Instant::now());
        match opened.recv_timeout(left) {
            Ok(outcome) => outcome?,
            Err(_) => return Err(Trouble::Rung("a worker did not open its queue".to_owned())),
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

/// Why there is no program of ours. Where a foreign one runs, everybody may know.
fn refused(error: ProgramError, nic: &Nic) -> Trouble {
    match error {
        ProgramError::Foreign { id, name } => {
            let now = Nic::by_index(nic.index()).ok();
            let attached = now.and_then(|nic| nic.link().xdp);
            let mode = attached.map(|attached| attached.mode);
            Trouble::Final(Reason::Foreign { id, name, mode })
        }
        ProgramError::NotPermitted(why) => Trouble::Final(Reason::NotPermitted(why)),
        ProgramError::Gone => Trouble::Final(Reason::Gone),
        ProgramError::Other(why) => Trouble::Rung(why),
    }
}

impl From<BindError> for Trouble {
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

impl From<MapError> for Trouble {
    fn from(error: MapError) -> Self {
        Self::Rung(error.to_string())
    }
}

impl From<std::io::Error> for Trouble {
    fn from(error: std::io::Error) -> Self {
        Self::Rung(error.to_string())
    }
}
