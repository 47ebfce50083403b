use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use nix::libc::{ENOMEM, ENOSPC};
use sluicegate_bpf as bpf;
use sluicegate_places::Place;
use sluicegate_xsk::BindError;
use sluicegate_xsk::nic::Nic;
use sluicegate_xsk::prog::{
    AttachError, AttachMode, AttachedLink, LoadError, LoadOptions, Program,
};

use super::opener::Given;
use super::protocol::{Hook, Refusal, RefusalKind};
use super::self_test::{SelfTest, SelfTestError};
use crate::xdp::takes_frags;

/// Why the XDP program is not on an interface. Nothing is left behind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProgramError {
    /// Capabilities are missing, or something else forbids it.
    #[error("{0}")]
    NotPermitted(String),
    /// Another program is there.
    #[error("another XDP program is attached")]
    Foreign {
        /// Its number.
        id: Option<u32>,
        /// Its name.
        name: Option<String>,
    },
    /// The interface is gone.
    #[error("the interface is gone")]
    Gone,
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// Why an attempt to attach failed.
#[derive(Debug)]
pub(super) struct NotAttached {
    pub(super) why: ProgramError,
    /// Whether the interface may have felt it: a program was on it for a moment, or the driver gave up half-way.
    pub(super) touched: bool,
}

impl Hook {
    /// Where the program is to run.
    pub(super) const fn mode(self) -> AttachMode {
        match self {
            Self::Native => AttachMode::Native,
            Self::Generic | Self::Proven => AttachMode::Generic,
        }
    }
}

/// Loads the program and attaches it; the one for frames in several pieces where the interface takes no other. It passes
/// everything until its maps say otherwise.
///
/// # Errors
/// [`NotAttached`]; nothing is left behind.
pub(super) fn load_and_attach(
    nic: &Nic,
    hook: Hook,
    place: &Place,
) -> Result<(Program, AttachedLink), NotAttached> {
    let mode = hook.mode();
    if hook == Hook::Proven {
        let test = SelfTest::prepare(nic, place).map_err(|error| NotAttached {
            why: error.into(),
            touched: false,
        })?;
        let (program, link) = load_one(bpf::PROGRAM, nic, mode)?;
        test.run(&program).map_err(|error| NotAttached {
            why: error.into(),
            touched: true,
        })?;
        return Ok((program, link));
    }
    match load_one(bpf::PROGRAM, nic, mode) {
        // An MTU whose frames are longer than one of the driver's buffers, for one.
        Err(Refused::Attach(AttachError::Unsupported { .. }))
            if mode == AttachMode::Native && takes_frags(nic.caps()) =>
        {
            load_one(bpf::PROGRAM_FRAGS, nic, mode).map_err(NotAttached::from)
        }
        done => done.map_err(NotAttached::from),
    }
}

enum Refused {
    Load(LoadError),
    Attach(AttachError),
}

fn load_one(name: &str, nic: &Nic, mode: AttachMode) -> Result<(Program, AttachedLink), Refused> {
    let program = Program::load(bpf::STEER, name, &LoadOptions::new()).map_err(Refused::Load)?;
    let link = program.attach(nic, mode).map_err(Refused::Attach)?;
    Ok((program, link))
}

impl From<Refused> for NotAttached {
    fn from(refused: Refused) -> Self {
        let touched = match &refused {
            Refused::Load(_) => false,
            Refused::Attach(error) => touches(error),
        };
        let why = match refused {
            Refused::Load(error) => error.into(),
            Refused::Attach(error) => error.into(),
        };
        Self { why, touched }
    }
}

/// Whether a driver may have reset the interface before the attempt failed. What it can't do it says beforehand.
fn touches(error: &AttachError) -> bool {
    match error {
        AttachError::Foreign { .. } | AttachError::NotPermitted { .. } | AttachError::Gone => false,
        AttachError::Unsupported { errno } => matches!(errno.number(), ENOMEM | ENOSPC),
        _ => true,
    }
}

/// The descriptors of a program and its link, in the order in which [`from_files`] takes them.
pub(super) fn into_files((program, link): (Program, AttachedLink)) -> Given {
    let (program, maps) = program.into_parts();
    let (names, maps): (Vec<_>, Vec<_>) = maps.into_iter().unzip();
    let files = [program, link.into()].into_iter().chain(maps).collect();
    (files, names)
}

/// A program and its link, as the privileged process handed them over.
///
/// # Errors
/// [`ProgramError::Gone`] if the interface went away meanwhile.
pub(super) fn from_files(
    (files, names): Given,
    nic: &Nic,
    mode: AttachMode,
) -> Result<(Program, AttachedLink), ProgramError> {
    let mut files = files.into_iter();
    let (Some(program), Some(link)) = (files.next(), files.next()) else {
        let what = "the privileged process handed over no program";
        return Err(ProgramError::Other(what.to_owned()));
    };
    let maps: BTreeMap<String, OwnedFd> = names.into_iter().zip(files).collect();
    let link = AttachedLink::from_fd(link, nic, mode)?;
    Ok((Program::from_parts(bpf::PROGRAM, program, maps), link))
}

impl ProgramError {
    /// What the privileged process said.
    pub(super) fn from_refusal(refusal: Refusal) -> Self {
        let Refusal { kind, number, text } = refusal;
        match kind {
            RefusalKind::NotPermitted => Self::NotPermitted(text),
            RefusalKind::Foreign => Self::Foreign {
                id: (number != 0).then_some(number),
                name: (!text.is_empty()).then_some(text),
            },
            RefusalKind::Gone => Self::Gone,
            RefusalKind::NotConfigured => Self::Other(
                "the privileged process doesn't find the interface's addresses in the configuration file".to_owned(),
            ),
            _ => Self::Other(text),
        }
    }

    /// The same, to be told to the server.
    pub(super) fn into_refusal(self) -> Refusal {
        let (kind, number, text) = match self {
            Self::NotPermitted(text) => (RefusalKind::NotPermitted, 0, text),
            Self::Foreign { id, name } => (
                RefusalKind::Foreign,
                id.unwrap_or(0),
                name.unwrap_or_default(),
            ),
            Self::Gone => (RefusalKind::Gone, 0, String::new()),
            Self::Other(text) => (RefusalKind::Other, 0, text),
        };
        Refusal { kind, number, text }
    }
}

impl From<LoadError> for ProgramError {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::NotPermitted { .. } => Self::NotPermitted(error.to_string()),
            other => Self::Other(other.to_string()),
        }
    }
}

impl From<SelfTestError> for ProgramError {
    fn from(error: SelfTestError) -> Self {
        match error {
            SelfTestError::Load(error) => error.into(),
            SelfTestError::Bind(BindError::NotPermitted { .. }) => {
                Self::NotPermitted(error.to_string())
            }
            error => Self::Other(format!(
                "self-test: {error}; `mode: generic` goes without it"
            )),
        }
    }
}

impl From<AttachError> for ProgramError {
    fn from(error: AttachError) -> Self {
        match error {
            AttachError::Foreign { id, name, .. } => Self::Foreign { id, name },
            AttachError::NotPermitted { .. } => Self::NotPermitted(error.to_string()),
            AttachError::Gone => Self::Gone,
            other => Self::Other(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each try without an effect is free (`AttachPace`).
    #[test]
    fn only_what_may_have_reset_the_interface_counts() {
        let unsupported = |errno| AttachError::Unsupported {
            errno: sluicegate_xsk::Errno::new(errno),
        };
        let foreign = AttachError::Foreign {
            id: None,
            name: None,
            mode: None,
        };
        for error in [foreign, AttachError::Gone, unsupported(nix::libc::EINVAL)] {
            assert!(!NotAttached::from(Refused::Attach(error)).touched);
        }
        for error in [unsupported(ENOMEM), AttachError::NotALink] {
            assert!(NotAttached::from(Refused::Attach(error)).touched);
        }
    }

    #[test]
    fn reasons_survive_the_way_to_the_server() {
        for error in [
            ProgramError::NotPermitted("missing CAP_BPF".into()),
            ProgramError::Foreign {
                id: Some(7),
                name: Some("theirs".into()),
            },
            ProgramError::Foreign {
                id: None,
                name: None,
            },
            ProgramError::Gone,
            ProgramError::Other("no room".into()),
        ] {
            let there = error.clone().into_refusal();
            assert_eq!(ProgramError::from_refusal(there), error);
        }
    }
}
