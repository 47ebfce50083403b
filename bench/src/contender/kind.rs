use anyhow::Result;

use super::{Running, knot, limits, powerdns, unbound};
use crate::plan::Case;
use crate::site::Site;

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contender {
    /// `XDP_TX` in the driver: what the testbed can do.
    Reflector,
    /// `crates/xsk` alone: what `AF_XDP` can do.
    Echo,
    SluicegateXdp,
    /// With `busy-poll: 50`.
    SluicegateBusyPoll,
    /// With `--no-xdp`.
    SluicegateKernel,
    KnotXdp,
    KnotUdp,
    Unbound,
    Dnsdist,
    Recursor,
}

/// A server's address on disk and in the case that it is started for.
pub(super) struct Setup<'a> {
    pub(super) case: &'a Case,
    pub(super) site: &'a Site,
    /// Its own folder.
    pub(super) dir: &'a std::path::Path,
}

impl Contender {
    /// How it is called in results.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Reflector => "XDP_TX reflector",
            Self::Echo => "xsk echo",
            Self::SluicegateXdp => "Sluicegate AF_XDP",
            Self::SluicegateBusyPoll => "Sluicegate AF_XDP, busy poll",
            Self::SluicegateKernel => "Sluicegate kernel path",
            Self::KnotXdp => "knotd XDP",
            Self::KnotUdp => "knotd UDP",
            Self::Unbound => "unbound",
            Self::Dnsdist => "dnsdist",
            Self::Recursor => "pdns-recursor",
        }
    }

    /// Whether it answers rightly, or only sends back what came.
    pub(crate) fn is_limit(self) -> bool {
        matches!(self, Self::Reflector | Self::Echo)
    }

    /// Whether it must ask the upstream before it knows anything.
    pub(crate) fn is_cache(self) -> bool {
        !self.is_limit() && !matches!(self, Self::KnotXdp | Self::KnotUdp)
    }

    /// Starts it and waits until it is ready.
    pub(crate) fn start(self, case: &Case, site: &Site) -> Result<Running> {
        let dir = crate::site::Folder::new()?;
        let setup = Setup {
            case,
            site,
            dir: dir.path(),
        };
        let started = match self {
            Self::Reflector => limits::reflector(&setup),
            Self::Echo => limits::start_echo(&setup),
            Self::SluicegateXdp => unbound::sluicegate(&setup, ""),
            Self::SluicegateBusyPoll => unbound::sluicegate(&setup, "xdp:\n  busy-poll: 50\n"),
            Self::SluicegateKernel => unbound::sluicegate_kernel(&setup),
            Self::KnotXdp => knot::start(&setup, true),
            Self::KnotUdp => knot::start(&setup, false),
            Self::Unbound => unbound::unbound(&setup),
            Self::Dnsdist => powerdns::dnsdist(&setup),
            Self::Recursor => powerdns::recursor(&setup),
        };
        started.map(|running| running.in_folder(dir))
    }
}
