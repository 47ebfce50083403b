use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sluicegate_places::Topology;
use sluicegate_xsk::nic::{Link, Port};

use super::Reason;

/// Attaching a program resets many cards: the link is gone for seconds. So that a bond always has a member that carries
/// its packets, those of one bond are touched one after the other, each when the one before is back.
#[derive(Debug, Default)]
pub(super) struct Turns {
    members: BTreeMap<u32, Member>,
    /// By the bond's number: who was touched last.
    held: BTreeMap<u32, Turn>,
}

/// A member of a bond, as it was at the last look.
#[derive(Clone, Copy, Debug)]
struct Member {
    bond: u32,
    linked: bool,
    well: bool,
}

/// A member that the others of its bond wait for.
#[derive(Debug)]
struct Turn {
    member: u32,
    name: String,
    bond: String,
    since: Instant,
    well_since: Option<Instant>,
}

/// How long a member must have been well before the next one is touched: partners, too, take their time to see that a
/// link came and went.
const SETTLE: Duration = Duration::from_secs(1);
/// A member that isn't back by then may not come back at all.
const LIMIT: Duration = Duration::from_secs(30);
/// `BOND_MODE_8023AD` of `linux/if_bonding.h`.
const LACP: u8 = 4;

impl Turns {
    /// Takes in how the members are now, and lets go of those that are back.
    pub(super) fn look(&mut self, topology: &Topology, now: Instant) {
        let links = topology.links().iter();
        self.members = links
            .filter_map(|link| Some((link.index, member(topology, link)?)))
            .collect();
        let members = &self.members;
        self.held.retain(|bond, turn| {
            let member = members.get(&turn.member);
            match member.filter(|member| member.bond == *bond) {
                None => false,
                Some(_) if now.duration_since(turn.since) >= LIMIT => false,
                Some(Member { well: false, .. }) => {
                    turn.well_since = None;
                    true
                }
                Some(_) => now.duration_since(*turn.well_since.get_or_insert(now)) < SETTLE,
            }
        });
    }

    /// Why this interface has to wait; `None` if it may be touched.
    pub(super) fn wait(&self, index: u32) -> Option<Reason> {
        let turn = self.held.get(&self.members.get(&index)?.bond)?;
        (turn.member != index).then(|| Reason::Turn {
            bond: turn.bond.clone(),
            member: turn.name.clone(),
        })
    }

    /// A program was attached to this interface or detached just now. One without a link wasn't about to carry anything.
    /// Whoever has the turn has it no longer for that: one that is tried again and again would keep the others waiting.
    pub(super) fn touched(&mut self, link: &Link, topology: &Topology, now: Instant) {
        let member = self.members.get(&link.index);
        let Some(member) = member.filter(|member| member.linked) else {
            return;
        };
        let held = self.held.get(&member.bond);
        let held = held.filter(|turn| turn.member == link.index);
        let turn = Turn {
            member: link.index,
            name: link.name.clone(),
            bond: topology.name(member.bond),
            since: held.map_or(now, |turn| turn.since),
            well_since: None,
        };
        self.held.insert(member.bond, turn);
    }
}

/// What a link is to its bond. A backup is well when it could take over.
fn member(topology: &Topology, link: &Link) -> Option<Member> {
    let Some(Port::Bond { active }) = link.port else {
        return None;
    };
    let bond = topology.link(link.master?)?;
    let joined = active || bond.bond_mode != Some(LACP);
    let linked = link.up && link.carrier;
    Some(Member {
        bond: bond.index,
        linked,
        well: linked && link.bond_link_up && joined,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOND: u32 = 1;
    const MODE_ACTIVE_BACKUP: u8 = 1;

    /// A bond with members 2 and 3; for each whether it has a link, whether the bond sees it, whether it is active.
    fn bond(mode: u8, members: [[bool; 3]; 2]) -> Topology {
        let mut bond = Link::default();
        (bond.index, bond.name, bond.kind) = (BOND, "bond0".to_owned(), Some("bond".to_owned()));
        (bond.bond_mode, bond.up) = (Some(mode), true);
        let members = (2..)
            .zip(members)
            .map(|(index, [carrier, bond_link_up, active])| {
                let mut link = Link::default();
                (link.index, link.name, link.up) = (index, format!("eth{index}"), true);
                (link.carrier, link.bond_link_up) = (carrier, bond_link_up);
                (link.master, link.port) = (Some(BOND), Some(Port::Bond { active }));
                link
            });
        Topology::new([bond].into_iter().chain(members).collect(), Vec::new())
    }

    fn touch(turns: &mut Turns, topology: &Topology, index: u32, now: Instant) {
        turns.touched(topology.link(index).unwrap(), topology, now);
    }

    const WELL: [bool; 3] = [true; 3];

    #[test]
    fn next_member_waits_until_the_one_before_is_back() {
        let start = Instant::now();
        let mut turns = Turns::default();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let whole = bond(LACP, [WELL, WELL]);
        turns.look(&whole, at(0));
        assert!(turns.wait(2).is_none() && turns.wait(3).is_none());
        touch(&mut turns, &whole, 2, at(0));
        assert!(turns.wait(3).is_some(), "before anything is known of it");
        assert!(turns.wait(2).is_none(), "itself need not wait");
        // No link; a link that the bond doesn't use yet; one that LACP hasn't joined yet.
        for (ms, member) in [
            (50, [false, true, true]),
            (2000, [false, false, false]),
            (3000, [true, false, false]),
            (4000, [true, true, false]),
        ] {
            turns.look(&bond(LACP, [member, WELL]), at(ms));
            assert!(turns.wait(3).is_some(), "{member:?}");
        }
        turns.look(&whole, at(5000));
        assert!(turns.wait(3).is_some(), "just back");
        turns.look(&whole, at(5000) + SETTLE);
        assert!(turns.wait(3).is_none());
    }

    #[test]
    fn backup_is_well_when_it_could_take_over() {
        let start = Instant::now();
        let mut turns = Turns::default();
        let topology = bond(MODE_ACTIVE_BACKUP, [WELL, [true, true, false]]);
        turns.look(&topology, start);
        touch(&mut turns, &topology, 3, start);
        assert!(turns.wait(2).is_some());
        turns.look(&topology, start + SETTLE);
        assert!(turns.wait(2).is_some(), "well since this look");
        turns.look(&topology, start + SETTLE * 2);
        assert!(turns.wait(2).is_none());
    }

    #[test]
    fn member_that_is_touched_again_and_again_keeps_nobody_waiting_for_longer() {
        let start = Instant::now();
        let mut turns = Turns::default();
        let whole = bond(LACP, [WELL, WELL]);
        let half = bond(LACP, [[false; 3], WELL]);
        turns.look(&whole, start);
        touch(&mut turns, &whole, 2, start);
        for tenths in 1..10 {
            let now = start + LIMIT * tenths / 10;
            turns.look(&half, now);
            assert!(turns.wait(3).is_some());
            turns.look(&whole, now);
            touch(&mut turns, &whole, 2, now);
        }
        turns.look(&half, start + LIMIT);
        assert!(turns.wait(3).is_none());
    }

    /// It was detached, had a link still at the next look, and is attached to.
    #[test]
    fn member_that_is_touched_twice_must_be_well_after_the_second() {
        let start = Instant::now();
        let mut turns = Turns::default();
        let whole = bond(LACP, [WELL, WELL]);
        turns.look(&whole, start);
        touch(&mut turns, &whole, 2, start);
        turns.look(&whole, start);
        touch(&mut turns, &whole, 2, start + SETTLE / 2);
        turns.look(&whole, start + SETTLE);
        assert!(turns.wait(3).is_some());
        turns.look(&whole, start + SETTLE * 2);
        assert!(turns.wait(3).is_none());
    }

    /// The bond is just being assembled: the only member that carries packets waits for the one that will.
    #[test]
    fn member_that_has_not_joined_yet_is_waited_for() {
        let start = Instant::now();
        let mut turns = Turns::default();
        let half = bond(LACP, [WELL, [true, true, false]]);
        turns.look(&half, start);
        touch(&mut turns, &half, 3, start);
        assert!(turns.wait(2).is_some());
        turns.look(&half, start + LIMIT / 2);
        assert!(turns.wait(2).is_some());
        turns.look(&half, start + LIMIT);
        assert!(turns.wait(2).is_none(), "it may never join");
    }

    #[test]
    fn nobody_waits_for_a_member_that_was_down_or_is_gone_or_stays_away() {
        let start = Instant::now();
        let down = [false; 3];
        let half = bond(LACP, [down, WELL]);
        let mut turns = Turns::default();
        turns.look(&half, start);
        touch(&mut turns, &half, 2, start);
        assert!(turns.wait(3).is_none(), "it had no link");

        let whole = bond(LACP, [WELL, WELL]);
        turns.look(&whole, start);
        touch(&mut turns, &whole, 2, start);
        let left = Topology::new(whole.links()[..1].to_vec(), Vec::new());
        turns.look(&left, start);
        turns.look(&whole, start);
        assert!(turns.wait(3).is_none(), "it had left");

        touch(&mut turns, &whole, 2, start);
        turns.look(&half, start + LIMIT / 2);
        assert!(turns.wait(3).is_some());
        turns.look(&half, start + LIMIT);
        assert!(turns.wait(3).is_none(), "it stays away");
    }
}
