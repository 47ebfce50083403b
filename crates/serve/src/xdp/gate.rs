use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sluicegate_conf::{XdpConfig, XdpEnable};
use sluicegate_places::{Placed, Plan, Topology};
use sluicegate_xsk::nic::{Monitor, Port};

use super::entry::{Entry, Running, Waiting, as_before};
use super::interface::{Interface, Site};
use super::notice::Notices;
use super::pins::Pins;
use super::report::{Report, Standing};
use super::retry::Retry;
use super::route::RouteCheck;
use super::stats::Tallies;
use super::turns::Turns;
use super::{GateError, GateSettings, Reason, Target};
use crate::privileges::Opener;
use crate::{DRAIN_LIMIT, Shared, Waker};

/// The thread that attaches programs, follows the interfaces, and starts and ends the XDP workers.
pub(crate) struct Gate {
    commands: Sender<Command>,
    waker: Waker,
    queues: Arc<AtomicU32>,
    thread: Option<JoinHandle<()>>,
}

enum Command {
    Reconfigure(GateSettings),
    Stop(Duration),
}

/// How often interfaces and workers are looked at when nothing is heard of them: the number of queues
/// may change without a word from rtnetlink.
pub(super) const TICK: Duration = Duration::from_secs(1);
/// The least time between two looks, however much rtnetlink has to say.
const CALM: Duration = Duration::from_millis(50);

impl Gate {
    /// Starts the thread and waits until it has tried every interface once.
    ///
    /// # Errors
    /// The thread could not be started, or `enable: yes` and an interface could not be.
    pub(crate) fn start(
        shared: &Arc<Shared>,
        opener: Opener,
        settings: GateSettings,
    ) -> Result<Self, GateError> {
        let waker = Waker::new()?;
        let (commands, orders) = channel();
        let (ready, first) = sync_channel(1);
        let mut keeper = Keeper::new(Arc::clone(shared), opener, settings, waker.clone());
        let queues = Arc::clone(&keeper.queues);
        let run = move || keeper.run(&orders, &ready);
        let thread = Builder::new().name("gate".to_owned()).spawn(run)?;
        let gate = Self {
            commands,
            waker,
            queues,
            thread: Some(thread),
        };
        // A gate that ended without a word has panicked; the kernel serves.
        first.recv().unwrap_or(Ok(())).map(|()| gate)
    }

    /// Queues that are served now, on all interfaces.
    pub(crate) fn queues(&self) -> u32 {
        self.queues.load(Relaxed)
    }

    /// Hands over new settings. Does not wait.
    pub(crate) fn reconfigure(&self, settings: GateSettings) {
        self.order(Command::Reconfigure(settings));
    }

    /// Ends all workers, detaches all programs. Clients that wait are answered within `limit`.
    pub(crate) fn stop(mut self, limit: Duration) {
        self.end(limit);
    }

    fn order(&self, command: Command) {
        // A gate that has ended takes no orders.
        let _ = self.commands.send(command);
        self.waker.wake();
    }

    fn end(&mut self, limit: Duration) {
        self.order(Command::Stop(limit));
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the gate's thread panicked");
        }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.end(Duration::ZERO);
        }
    }
}

/// What the gate keeps in its thread.
struct Keeper {
    shared: Arc<Shared>,
    opener: Opener,
    settings: GateSettings,
    waker: Waker,
    monitor: Option<Monitor>,
    plan: Plan,
    topology: Topology,
    turns: Turns,
    interfaces: BTreeMap<u32, Entry>,
    /// Those that swallowed packets and have no listen address for now: some address managers take a card's addresses
    /// away while it resets.
    shunned: BTreeMap<u32, Box<Waiting>>,
    tallies: Tallies,
    report: Report,
    routes: RouteCheck,
    pins: Pins,
    notices: Notices,
    queues: Arc<AtomicU32>,
}

impl Keeper {
    fn new(shared: Arc<Shared>, opener: Opener, settings: GateSettings, waker: Waker) -> Self {
        Self {
            shared,
            opener,
            settings,
            waker,
            monitor: None,
            plan: Plan::default(),
            topology: Topology::default(),
            turns: Turns::default(),
            interfaces: BTreeMap::new(),
            shunned: BTreeMap::new(),
            tallies: Tallies::default(),
            report: Report::default(),
            routes: RouteCheck::default(),
            pins: Pins::default(),
            notices: Notices::default(),
            queues: Arc::default(),
        }
    }

    fn run(&mut self, orders: &Receiver<Command>, ready: &SyncSender<Result<(), GateError>>) {
        // Before the first look, so that no change falls between.
        self.monitor = Monitor::open()
            .inspect_err(|error| tracing::warn!("rtnetlink: {error}"))
            .ok();
        let mut due = self.reconcile();
        let first = self.required();
        let failed = first.is_err();
        let _ = ready.send(first);
        if failed {
            return self.stop_all(Duration::ZERO);
        }
        loop {
            self.wait(due);
            while let Ok(command) = orders.try_recv() {
                match command {
                    Command::Reconfigure(settings) => self.reconfigure(settings),
                    Command::Stop(limit) => return self.stop_all(limit),
                }
            }
            due = self.reconcile();
        }
    }

    /// Sleeps until something changes, an order comes, a worker ends, or `due`.
    fn wait(&mut self, due: Instant) {
        std::thread::sleep(CALM);
        let timeout = due.saturating_duration_since(Instant::now()).min(TICK);
        let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::ZERO);
        let fds: [Option<BorrowedFd<'_>>; 2] = [
            Some(self.waker.as_fd()),
            self.monitor.as_ref().map(AsFd::as_fd),
        ];
        let mut fds: Vec<_> = fds
            .into_iter()
            .flatten()
            .map(|fd| PollFd::new(fd, PollFlags::POLLIN))
            .collect();
        // Interrupted or not: the look that follows is what matters.
        let _ = poll(&mut fds, timeout);
        self.waker.clear();
        if let Some(monitor) = &mut self.monitor
            && let Err(error) = monitor.wait(Duration::ZERO)
        {
            tracing::warn!("rtnetlink: {error}");
            self.monitor = Monitor::open().ok();
        }
    }

    fn reconfigure(&mut self, settings: GateSettings) {
        if settings.xdp != self.settings.xdp {
            // Rings, frames and modes belong to a queue from its making on.
            let pinned = |xdp: &XdpConfig| xdp.pinned_maps.is_some();
            if pinned(&settings.xdp) || pinned(&self.settings.xdp) {
                self.stop_all(DRAIN_LIMIT);
                self.pins.keep_below(settings.xdp.pinned_maps.as_deref());
            } else {
                // The members of a bond not all at once.
                self.shunned.clear();
                self.interfaces.retain(|_, entry| entry.outdate());
            }
        }
        self.settings = settings;
    }

    /// Makes what runs agree with what is wanted; until when nothing is due.
    fn reconcile(&mut self) -> Instant {
        let due = self.follow();
        let standings = self.interfaces.iter();
        let standings = standings.map(|(index, entry)| (*index, entry.standing()));
        self.notices
            .tell(&self.shared.registry, &self.plan, standings.collect());
        let queues = self.interfaces.values().map(Entry::queues).sum();
        self.queues.store(queues, Relaxed);
        due
    }

    fn follow(&mut self) -> Instant {
        let now = Instant::now();
        self.opener.collect();
        if self.settings.xdp.enable == XdpEnable::No {
            self.stop_all(DRAIN_LIMIT);
            self.plan = Plan::default();
            self.report.overall(Some(Reason::SwitchedOff));
            return now + TICK;
        }
        let topology = match Topology::read() {
            Ok(topology) => topology,
            Err(error) => {
                self.report.overall(Some(Reason::Query(error.to_string())));
                return now + TICK;
            }
        };
        let mut plan = Plan::of(&topology, &self.settings.listen);
        let (check, facts) = (
            self.settings.xdp.route_check,
            (topology.links(), topology.addresses()),
        );
        self.routes.apply(check, facts, &mut plan.places);
        let none = plan.addresses.is_empty().then_some(Reason::NoInterface);
        self.report.overall(none);
        let exists = |index: u32| topology.link(index).is_some();
        self.give_up(&plan, exists);
        self.forget(&plan.places, exists);
        self.shunned.retain(|index, waiting| {
            let link = topology.link(*index);
            link.is_some_and(|link| !waiting.is_other_link(link))
        });
        self.turns.look(&topology, now);
        self.topology = topology;
        for index in in_turn(&plan.places) {
            self.tend(index, plan.places[&index].clone());
        }
        self.plan = plan;
        self.interfaces
            .values()
            .map(Entry::due)
            .min()
            .unwrap_or(now + TICK)
    }

    /// Says which interfaces with addresses can have no program at all, and which of these are no more.
    fn give_up(&mut self, plan: &Plan, exists: impl Fn(u32) -> bool) {
        let refused = self.plan.addresses.iter();
        for before in refused.filter(|before| before.refusal().is_some()) {
            let same = |now: &&Placed| now.ifindex == before.ifindex;
            match plan.addresses.iter().find(same) {
                None => {
                    let standing = Standing::Kernel(away(exists(before.ifindex)));
                    self.report.refused(&before.interface, standing);
                }
                Some(now) if now.refusal().is_none() => self.report.accept(&before.interface),
                Some(_) => {}
            }
        }
        for placed in &plan.addresses {
            if let Some(why) = placed.refusal() {
                let standing = Standing::Kernel(why.clone().into());
                self.report.refused(&placed.interface, standing);
            }
        }
    }

    /// Ends what is no longer wanted.
    fn forget(&mut self, wanted: &BTreeMap<u32, Target>, exists: impl Fn(u32) -> bool) {
        let unwanted: Vec<u32> = self
            .interfaces
            .keys()
            .copied()
            .filter(|index| !wanted.contains_key(index))
            .collect();
        for index in unwanted {
            let Some(entry) = self.interfaces.remove(&index) else {
                continue;
            };
            let reason = away(exists(index));
            let limit = if exists(index) {
                DRAIN_LIMIT
            } else {
                Duration::ZERO
            };
            let name = entry.name().to_owned();
            match entry {
                Entry::Waiting(waiting) if waiting.swallowed() => {
                    self.shunned.insert(index, waiting);
                }
                Entry::Waiting(_) => {}
                Entry::Running(running) => drop(running.interface.stop(Instant::now() + limit)),
            }
            self.report.interface(&name, Standing::Kernel(reason));
        }
    }

    /// Starts, updates or starts anew one interface.
    fn tend(&mut self, index: u32, target: Target) {
        let now = Instant::now();
        let shunned = || self.shunned.remove(&index).map(Entry::Waiting);
        let entry = match self.interfaces.remove(&index).or_else(shunned) {
            None => self.attempt(target, None),
            Some(Entry::Waiting(waiting)) => {
                if now < waiting.retry.due(waiting.is_news(&target)) {
                    // The old facts are kept, so that news is not forgotten before it is acted on.
                    Entry::Waiting(waiting)
                } else {
                    self.attempt(target, Some(waiting.retry))
                }
            }
            Some(Entry::Running(mut running)) => match running.update(&target) {
                Ok(()) => Entry::Running(running),
                // It goes on as it is for now: ending it may reset the card, too.
                Err(Reason::Query(_)) if self.turns.wait(index).is_some() => {
                    Entry::Running(running)
                }
                Err(change) => self.renew(*running, change, target),
            },
        };
        let standing = entry.standing();
        let foreign = standing.foreign_program();
        self.tallies
            .foreign(&self.shared.registry, entry.name(), foreign);
        self.report.interface(entry.name(), standing);
        self.interfaces.insert(index, entry);
    }

    /// Ends an interface that can't go on as it is, and starts it anew, unless that was done just now.
    fn renew(&mut self, running: Running, change: Reason, target: Target) -> Entry {
        let lived = running.started.elapsed();
        let limit = if change == Reason::Gone {
            Duration::ZERO
        } else {
            DRAIN_LIMIT
        };
        let name = running.interface.name().to_owned();
        let own_program = running.interface.has_own_program();
        let target = as_before(target, own_program);
        let fault = running.interface.stop(Instant::now() + limit);
        if own_program {
            self.turns
                .touched(&target.link, &self.topology, Instant::now());
        }
        let reason = fault.unwrap_or(change);
        tracing::info!("XDP fast path made anew interface={name} reason={reason}");
        self.report.forget(&name);
        if running.outdated {
            return self.attempt(target, None);
        }
        let now = Instant::now();
        let retry = Retry::after_end(running.before, &reason, lived, now);
        if retry.due(false) <= now {
            return self.attempt(target, Some(retry));
        }
        let touched = own_program && matches!(reason, Reason::Queue { .. });
        Entry::Waiting(Box::new(Waiting {
            target,
            reason,
            retry,
            touched,
        }))
    }

    fn attempt(&mut self, target: Target, before: Option<Retry>) -> Entry {
        if let Some(reason) = self.turns.wait(target.link.index) {
            let retry = Retry::turn(before, Instant::now());
            return Entry::Waiting(Box::new(Waiting {
                target,
                reason,
                retry,
                touched: false,
            }));
        }
        let mut site = Site {
            shared: &self.shared,
            xdp: &self.settings.xdp,
            tallies: &mut self.tallies,
            pins: &mut self.pins,
            gate: &self.waker,
            opener: &self.opener,
            attached: false,
        };
        let outcome = Interface::start(&mut site, &target);
        let touched = site.attached;
        if touched {
            self.turns
                .touched(&target.link, &self.topology, Instant::now());
        }
        match outcome {
            Ok(interface) => Entry::Running(Box::new(Running {
                interface,
                started: Instant::now(),
                before,
                outdated: false,
            })),
            Err(reason) => {
                let now = Instant::now();
                let retry = if touched {
                    Retry::after_touch(before, &reason, now)
                } else {
                    Retry::after(before, &reason, now)
                };
                Entry::Waiting(Box::new(Waiting {
                    target,
                    reason,
                    retry,
                    touched,
                }))
            }
        }
    }

    /// With `enable: yes`, whether every interface runs but those that are [excused](Reason::is_excused):
    /// loopback, those that are down, and what a wildcard alone made of interest and has no queues of its own.
    fn required(&self) -> Result<(), GateError> {
        if self.settings.xdp.enable != XdpEnable::Yes {
            return Ok(());
        }
        for entry in self.interfaces.values() {
            if let Entry::Waiting(waiting) = entry
                && let Waiting { target, reason, .. } = &**waiting
                && !reason.is_excused(target.named)
            {
                let (interface, reason) = (target.link.name.clone(), reason.clone());
                return Err(GateError::Required { interface, reason });
            }
        }
        for placed in &self.plan.addresses {
            let reason = placed.refusal().cloned().map(Reason::from);
            if let Some(reason) = reason.filter(|reason| !reason.is_excused(placed.named)) {
                let interface = placed.interface.clone();
                return Err(GateError::Required { interface, reason });
            }
        }
        Ok(())
    }

    fn stop_all(&mut self, limit: Duration) {
        self.report.reset();
        self.shunned.clear();
        self.notices.clear(&self.shared.registry);
        let running = std::mem::take(&mut self.interfaces)
            .into_values()
            .filter_map(|entry| match entry {
                Entry::Running(running) => Some(running.interface),
                Entry::Waiting(_) => None,
            })
            .collect();
        Interface::stop_all(running, Instant::now() + limit);
    }
}

/// The order in which interfaces are tended: a bond's backups first, so that one of them can take over.
fn in_turn(places: &BTreeMap<u32, Target>) -> Vec<u32> {
    let active = |target: &Target| target.link.port == Some(Port::Bond { active: true });
    let (last, mut first): (Vec<_>, Vec<_>) = places.iter().partition(|(_, target)| active(target));
    first.extend(last);
    first.into_iter().map(|(index, _)| *index).collect()
}

/// Why an interface is no longer of interest.
const fn away(exists: bool) -> Reason {
    if exists {
        Reason::NoAddress
    } else {
        Reason::Gone
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use sluicegate_conf::{LoadOptions, load_text};
    use sluicegate_places::Why;
    use sluicegate_xsk::nic::Link;

    use super::*;
    use crate::testing::shared_for;

    /// A bond with two members whose packets are taken at both.
    fn bond() -> (Topology, Plan) {
        let link = |index, name: &str| {
            let mut link = Link::default();
            (link.index, link.name, link.up) = (index, name.to_owned(), true);
            (link.running, link.carrier, link.mtu_bytes) = (true, true, 1500);
            link.mac = Some([2, 0, 0, 0, 0, 1]);
            link
        };
        let mut bond = link(1, "bond0");
        (bond.kind, bond.bond_mode) = (Some("bond".to_owned()), Some(0));
        let members = [(2, "eth0"), (3, "eth1")].map(|(index, name)| {
            let mut member = link(index, name);
            (member.master, member.bond_link_up) = (Some(1), true);
            member.port = Some(Port::Bond { active: true });
            member
        });
        let address = sluicegate_xsk::nic::Address {
            ifindex: 1,
            ip: [192, 0, 2, 1].into(),
            prefix_len: 24,
        };
        let links = [bond].into_iter().chain(members).collect();
        let topology = Topology::new(links, vec![address]);
        let plan = Plan::of(&topology, &["0.0.0.0:53".parse().unwrap()]);
        assert!(plan.places.keys().eq(&[2, 3]));
        (topology, plan)
    }

    fn keeper(topology: Topology) -> Keeper {
        let loaded = load_text(Path::new("/test.conf"), "", &LoadOptions::default());
        let config = loaded.config.unwrap();
        let settings = GateSettings {
            xdp: config.xdp.clone(),
            listen: Vec::new(),
        };
        let (shared, _end) = shared_for(&config);
        let mut keeper = Keeper::new(shared, Opener::Direct, settings, Waker::new().unwrap());
        keeper.turns.look(&topology, Instant::now());
        keeper.topology = topology;
        keeper
    }

    fn down(mut target: Target) -> Target {
        let interface = target.link.name.clone();
        target.refusal = Some(Why::Down { interface });
        target
    }

    #[test]
    fn try_that_attaches_nothing_keeps_no_other_member_waiting() {
        let (topology, plan) = bond();
        let mut keeper = keeper(topology);
        let entry = keeper.attempt(down(plan.places[&2].clone()), None);
        assert!(matches!(entry, Entry::Waiting(_)));
        assert!(keeper.turns.wait(3).is_none());
    }

    /// An address manager may take the addresses away while the card resets, and put them back.
    #[test]
    fn interface_that_swallowed_packets_is_remembered_while_it_has_no_address() {
        let (topology, plan) = bond();
        let mut keeper = keeper(topology);
        let reason = Reason::Mute { queue: 0, lost: 9 };
        let target = plan.places[&2].clone();
        let retry = Retry::after_end(None, &reason, Duration::from_secs(9), Instant::now());
        let waiting = Waiting {
            target: target.clone(),
            reason: reason.clone(),
            retry,
            touched: false,
        };
        keeper
            .interfaces
            .insert(2, Entry::Waiting(Box::new(waiting)));
        keeper.forget(&BTreeMap::new(), |_| true);
        assert!(keeper.interfaces.is_empty());
        // A try would say that it is down.
        keeper.tend(2, down(target.clone()));
        assert_eq!(keeper.interfaces[&2].standing(), Standing::Kernel(reason));
        // Other settings are worth a try.
        keeper.forget(&BTreeMap::new(), |_| true);
        let mut settings = keeper.settings.clone();
        settings.xdp.busy_poll_us += 1;
        keeper.reconfigure(settings);
        keeper.tend(2, down(target));
        let found = keeper.interfaces[&2].standing();
        assert!(
            matches!(found, Standing::Kernel(Reason::Place(Why::Down { .. }))),
            "{found:?}"
        );
    }
}
