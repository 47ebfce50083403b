use std::time::Instant;

use sluicegate_xsk::nic::{Link, Port};

use super::gate::TICK;
use super::interface::Interface;
use super::report::Standing;
use super::retry::{Retry, swallows};
use super::{Reason, Target};

/// One interface that is wanted.
pub(super) enum Entry {
    /// Served by the kernel; tried again in time.
    Waiting(Box<Waiting>),
    /// Served by AF_XDP.
    Running(Box<Running>),
}

/// An interface that could not be started, or not go on.
pub(super) struct Waiting {
    /// What it was like then.
    pub(super) target: Target,
    /// Why.
    pub(super) reason: Reason,
    /// When it is tried again.
    pub(super) retry: Retry,
    /// Whether a program was attached for nothing and is off again: many cards reset with that, each time.
    pub(super) touched: bool,
}

/// An interface that was started.
pub(super) struct Running {
    /// Its workers and its program.
    pub(super) interface: Interface,
    /// When.
    pub(super) started: Instant,
    /// What came before the start.
    pub(super) before: Option<Retry>,
    /// Whether it was started with other settings than hold now.
    pub(super) outdated: bool,
}

impl Entry {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Waiting(waiting) => &waiting.target.link.name,
            Self::Running(running) => running.interface.name(),
        }
    }

    pub(super) fn standing(&self) -> Standing {
        match self {
            Self::Waiting(waiting) => Standing::Kernel(waiting.reason.clone()),
            Self::Running(running) => running.interface.standing(),
        }
    }

    pub(super) fn queues(&self) -> u32 {
        match self {
            Self::Waiting(_) => 0,
            Self::Running(running) => running.interface.queues(),
        }
    }

    pub(super) fn due(&self) -> Instant {
        match self {
            Self::Waiting(waiting) => waiting.retry.due(false),
            Self::Running(_) => Instant::now() + TICK,
        }
    }
    /// The settings have changed: whether there is anything to be made anew by and by.
    pub(super) fn outdate(&mut self) -> bool {
        match self {
            Self::Waiting(_) => false,
            Self::Running(running) => {
                running.outdated = true;
                true
            }
        }
    }
}

impl Running {
    /// Follows its addresses, and publishes its counts.
    ///
    /// # Errors
    /// Why it must be started anew.
    pub(super) fn update(&mut self, target: &Target) -> Result<(), Reason> {
        self.interface.update(target)?;
        if self.outdated {
            return Err(Reason::Query("the clause xdp: changed".to_owned()));
        }
        Ok(())
    }
}

impl Waiting {
    /// Whether queries were lost on it when it ran.
    pub(super) const fn swallowed(&self) -> bool {
        swallows(&self.reason)
    }

    /// Whether something has changed that makes another try worth its while. If it swallowed packets, or a program was
    /// attached for nothing, that is only what no reset of the card brings about: each try loses queries, and its own
    /// reset would allow the next.
    pub(super) fn is_news(&self, now: &Target) -> bool {
        if self.touched || self.swallowed() {
            self.is_other_link(&now.link)
        } else {
            self.target != *now
        }
    }

    /// Whether the interface itself is another one, or set up in another way.
    pub(super) fn is_other_link(&self, now: &Link) -> bool {
        lasting(&self.target.link) != lasting(now)
    }
}

/// An interface without what comes and goes as its carrier does. A bond may give its members other MAC addresses then.
fn lasting(link: &Link) -> Link {
    let mut link = link.clone();
    (link.running, link.carrier, link.bond_link_up) = (false, false, false);
    link.mac = None;
    match &mut link.port {
        Some(Port::Bond { active }) => *active = false,
        Some(Port::Bridge { forwarding }) => *forwarding = false,
        _ => {}
    }
    link
}

/// What an interface looks like once our program, if it is ours, is off: that it goes is no news.
pub(super) fn as_before(mut target: Target, own_program: bool) -> Target {
    if own_program {
        target.link.xdp = None;
    }
    target
}

#[cfg(test)]
mod tests {
    use sluicegate_places::{Plan, Topology};
    use sluicegate_xsk::nic::{Address, Attached, AttachedMode};

    use super::*;

    fn target(xdp: Option<Attached>) -> Target {
        let mut link = Link::default();
        (link.index, link.name, link.up, link.xdp) = (2, "eth0".to_owned(), true, xdp);
        link.mac = Some([2, 0, 0, 0, 0, 1]);
        let address = Address {
            ifindex: 2,
            ip: [192, 0, 2, 1].into(),
            prefix_len: 24,
        };
        let topology = Topology::new(vec![link], vec![address]);
        let mut plan = Plan::of(&topology, &["0.0.0.0:53".parse().unwrap()]);
        plan.places.remove(&2).unwrap()
    }

    /// An interface that swallows packets waits for news.
    #[test]
    fn our_own_program_going_is_no_news() {
        let attached = Some(Attached {
            program_id: 7,
            mode: AttachedMode::Native,
        });
        assert_ne!(target(attached), target(None));
        assert_eq!(as_before(target(attached), true), target(None));
        // Somebody else's stays on.
        assert_eq!(as_before(target(attached), false), target(attached));
    }
    /// A member of a bond on eth0, with a link or without.
    fn member(linked: bool) -> Target {
        let mut target = target(None);
        let link = &mut target.link;
        (link.running, link.carrier, link.bond_link_up) = (linked, linked, linked);
        (link.master, link.port) = (Some(9), Some(Port::Bond { active: linked }));
        if !linked {
            target.listen.clear();
            target.broadcast.clear();
        }
        target
    }

    fn waiting(target: Target, reason: Reason) -> Waiting {
        let retry = Retry::after(None, &reason, Instant::now());
        Waiting {
            target,
            reason,
            retry,
            touched: false,
        }
    }

    /// Detaching resets some cards; were that news, queries would be swallowed for seconds again and again.
    #[test]
    fn reset_of_a_card_is_no_news_if_it_swallowed_packets() {
        for reason in [
            Reason::Mute { queue: 0, lost: 9 },
            Reason::Stuck { queue: 0, stuck: 9 },
        ] {
            for before in [true, false] {
                let waiting = waiting(member(before), reason.clone());
                assert!(!waiting.is_news(&member(!before)), "{reason}");
            }
        }
        let mut other = waiting(member(true), Reason::NotPermitted(String::new()));
        assert!(other.is_news(&member(false)));
        // A program was attached and taken off, and that was the reset.
        other.touched = true;
        assert!(!other.is_news(&member(false)));
    }

    #[test]
    fn what_was_done_to_a_card_that_swallowed_packets_is_news() {
        let mut touched = waiting(member(true), Reason::NotPermitted(String::new()));
        touched.touched = true;
        let waiting = waiting(member(true), Reason::Mute { queue: 0, lost: 9 });
        let changes: [fn(&mut Link); 6] = [
            |link| link.up = false,
            |link| link.mtu_bytes = 1400,
            |link| link.name = "eth1".to_owned(),
            |link| link.rx_queues_made = 7,
            |link| (link.master, link.port) = (None, None),
            |link| {
                let (program_id, mode) = (7, AttachedMode::Generic);
                link.xdp = Some(Attached { program_id, mode });
            },
        ];
        for (i, change) in changes.into_iter().enumerate() {
            let mut target = member(true);
            change(&mut target.link);
            assert!(waiting.is_news(&target), "change {i}");
            assert!(touched.is_news(&target), "change {i}");
        }
    }
}
