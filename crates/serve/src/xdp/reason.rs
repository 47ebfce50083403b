use std::fmt::{self, Display, Formatter};
use std::path::PathBuf;

use sluicegate_conf::XdpMode;
use sluicegate_places::Why;
use sluicegate_xsk::nic::AttachedMode;
use sluicegate_xsk::prog::ShareError;
use sluicegate_xsk::{Ladder, Rung};

/// Why an interface is served by the kernel alone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// The configuration says so.
    #[error("switched off (xdp: enable: no, or --no-xdp)")]
    SwitchedOff,
    /// There is nothing to attach to.
    #[error("no interface carries a listen address")]
    NoInterface,
    /// What the interface is, or what it stands on.
    #[error("{0}")]
    Place(#[from] Why),
    /// It no longer exists in this network namespace.
    #[error("it is gone")]
    Gone,
    /// Its last listen address went away.
    #[error("it carries no listen address any more")]
    NoAddress,
    /// A full-size frame does not fit a frame of the UMEM.
    #[error(
        "its MTU of {mtu_bytes} makes frames of {frame_bytes} bytes, and a UMEM frame holds {max_bytes}"
    )]
    Mtu {
        /// The interface's MTU.
        mtu_bytes: u32,
        /// The longest frame with that MTU, a VLAN tag included.
        frame_bytes: u32,
        /// What the UMEM's frames hold.
        max_bytes: u32,
    },
    /// More addresses than the program's maps hold.
    #[error("it carries {count} listen addresses, and its program's map holds {max}")]
    TooManyAddresses {
        /// Addresses and ports.
        count: usize,
        /// The map's capacity.
        max: usize,
    },
    /// Somebody else's XDP program is there; it is never replaced.
    #[error("another XDP program is attached{}; remove it, or serve by another interface", named(*.id, .name.as_deref(), *.mode))]
    Foreign {
        /// Its number, if the kernel tells.
        id: Option<u32>,
        /// Its name, if the kernel tells; it does so only to processes with `CAP_SYS_ADMIN`.
        name: Option<String>,
        /// Where it runs, if the kernel tells.
        mode: Option<AttachedMode>,
    },
    /// `pinned-maps:`, and nobody's program is there that could redirect.
    #[error("no XDP program is attached that would redirect by the maps in {}", .directory.display())]
    NoProgram {
        /// Where the maps are pinned.
        directory: PathBuf,
    },
    /// `pinned-maps:`, and the maps can't be had.
    #[error("pinned-maps: {0}")]
    Pins(ShareError),
    /// Capabilities are missing.
    #[error("{0}")]
    NotPermitted(String),
    /// No rung of the ladder held.
    #[error("{0}")]
    Rungs(Failures),
    /// A worker's thread ended on an error.
    #[error("queue {queue}: {what}")]
    Queue {
        /// The queue.
        queue: u32,
        /// What happened.
        what: String,
    },
    /// The program's redirects to a queue lead nowhere.
    #[error(
        "its program redirected {lost} packets to queue {queue}, and none reached the socket; it is tried again when \
         something about it changes"
    )]
    Mute {
        /// The queue.
        queue: u32,
        /// Packets that were lost until it was noticed.
        lost: u64,
    },
    /// Members of a bond are attached to one after the other.
    #[error("{member}, of {bond} too, comes first: attaching interrupts some cards")]
    Turn {
        /// The bond.
        bond: String,
        /// The member that is waited for.
        member: String,
    },
    /// A queue takes packets to be sent, and sends none.
    #[error(
        "queue {queue} was given {stuck} packets to send, and none has left; it is tried again when something about it \
         changes"
    )]
    Stuck {
        /// The queue.
        queue: u32,
        /// Packets that wait.
        stuck: u64,
    },
    /// The interface could not be asked.
    #[error("{0}")]
    Query(String),
}

impl Reason {
    /// Whether it lies in what the interface is, so that nobody can call it a fault.
    pub(super) const fn is_natural(&self) -> bool {
        matches!(
            self,
            Self::SwitchedOff
                | Self::NoInterface
                | Self::Place(Why::Loopback)
                | Self::Gone
                | Self::NoAddress
                | Self::Turn { .. }
        ) || matches!(self, Self::Rungs(failures) if failures.stands_by)
    }

    /// Whether `enable: yes` puts up with it, on an interface that carries an address that is listened on by
    /// itself (`named`) or by a wildcard alone. A wildcard takes in bridges and tunnels that nobody had in mind.
    pub(super) const fn is_excused(&self, named: bool) -> bool {
        match self {
            Self::Place(why) => !named || why.is_passing() || matches!(why, Why::Loopback),
            Self::Turn { .. } => true,
            Self::Rungs(failures) => failures.stands_by,
            _ => false,
        }
    }
}

fn named(id: Option<u32>, name: Option<&str>, mode: Option<AttachedMode>) -> String {
    let words = [
        id.map(|id| format!("id {id}")),
        name.map(|name| format!("name '{name}'")),
        mode.map(|mode| format!("mode {mode}")),
        (name.is_none())
            .then_some(id)
            .flatten()
            .map(|id| format!("see `bpftool prog show id {id}`")),
    ];
    let words: Vec<String> = words.into_iter().flatten().collect();
    if words.is_empty() {
        String::new()
    } else {
        format!(": {}", words.join(", "))
    }
}

/// What is tried.
pub(super) fn ladder(mode: XdpMode) -> Ladder {
    match mode {
        XdpMode::Auto => Ladder::default(),
        XdpMode::ZeroCopy => Ladder::only(Rung::ZeroCopy),
        XdpMode::Copy => Ladder::only(Rung::Copy),
        XdpMode::Generic => Ladder::only(Rung::Generic),
    }
}

/// Each rung that was tried, and why it did not hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failures {
    pub(super) rungs: Vec<(Rung, String)>,
    /// Whether the last one may hold as soon as packets for us come in by the interface, and nobody need do anything.
    pub(super) stands_by: bool,
}

impl Display for Failures {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (i, (rung, why)) in self.rungs.iter().enumerate() {
            let separator = if i == 0 { "" } else { "; " };
            write!(f, "{separator}{rung}: {why}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use sluicegate_places::Kind;

    use super::*;

    #[test]
    fn reasons_name_what_an_operator_needs() {
        let mtu = Reason::Mtu {
            mtu_bytes: 9000,
            frame_bytes: 9018,
            max_bytes: 1792,
        };
        assert!(mtu.to_string().contains("9000") && mtu.to_string().contains("1792"));
        let rungs = vec![(Rung::ZeroCopy, "a".into()), (Rung::Copy, "b".into())];
        let rungs = Failures {
            rungs,
            stands_by: false,
        };
        assert_eq!(Reason::Rungs(rungs).to_string(), "zero-copy: a; copy: b");
    }

    #[test]
    fn foreign_programs_are_named_as_far_as_they_are_known() {
        let told = |id, name: Option<&str>, mode| {
            let name = name.map(str::to_owned);
            Reason::Foreign { id, name, mode }.to_string()
        };
        let whole = told(Some(7), Some("xdp_pass"), Some(AttachedMode::Generic));
        assert!(
            whole.contains(": id 7, name 'xdp_pass', mode generic;"),
            "{whole}"
        );
        let nameless = told(Some(7), None, Some(AttachedMode::Native));
        assert!(nameless.contains("`bpftool prog show id 7`;"), "{nameless}");
        assert!(told(None, None, None).contains("attached; remove"));
    }

    #[test]
    fn wildcard_excuses_what_can_have_no_queues() {
        let name = || "x".to_owned();
        let (kind, interface) = (Kind::Macvlan, name());
        for why in [
            Why::Stacked { kind },
            Why::Port { master: name() },
            Why::NoUplink { bridge: name() },
            Why::NotEthernet { interface },
        ] {
            let reason = Reason::from(why);
            assert!(reason.is_excused(false) && !reason.is_excused(true));
        }
        let down = Why::Down { interface: name() };
        let backup = Why::Backup { bond: name() };
        for reason in [Why::Loopback, down, backup].map(Reason::from) {
            assert!(reason.is_excused(false) && reason.is_excused(true));
        }
        let (bond, member) = (name(), name());
        assert!(Reason::Turn { bond, member }.is_excused(true));
        let stands_by = |stands_by| {
            let rungs = vec![(Rung::Generic, name())];
            Reason::Rungs(Failures { rungs, stands_by })
        };
        assert!(stands_by(true).is_excused(true) && stands_by(true).is_natural());
        assert!(!stands_by(false).is_excused(false) && !stands_by(false).is_natural());
        assert!(!Reason::NotPermitted(String::new()).is_excused(false));
    }

    #[test]
    fn only_auto_has_more_than_one_rung() {
        for mode in [XdpMode::ZeroCopy, XdpMode::Copy, XdpMode::Generic] {
            assert_eq!(ladder(mode).rungs().count(), 1);
        }
        assert!(ladder(XdpMode::Auto).rungs().eq(Rung::ALL));
    }
}
