use std::fmt;

use super::builder::{BindReport, Mode, QueueBuilder};
use super::error::BindError;
use crate::nic::Nic;
use crate::prog::{AttachError, AttachMode, AttachedLink, Program, XskMap};
use crate::queue::Queue;

/// A way to get packets, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rung {
    /// Program in the driver; the device reads and writes the frames itself.
    ZeroCopy,
    /// Program in the driver; the kernel copies.
    NativeCopy,
    /// Program in the generic hook; the kernel copies.
    GenericCopy,
}

impl Rung {
    /// All, the best first.
    pub const ALL: [Self; 3] = [Self::ZeroCopy, Self::NativeCopy, Self::GenericCopy];

    const fn attach_mode(self) -> AttachMode {
        match self {
            Self::ZeroCopy | Self::NativeCopy => AttachMode::Native,
            Self::GenericCopy => AttachMode::Generic,
        }
    }

    const fn mode(self) -> Mode {
        match self {
            Self::ZeroCopy => Mode::ZeroCopy,
            Self::NativeCopy | Self::GenericCopy => Mode::Copy,
        }
    }
}

impl fmt::Display for Rung {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ZeroCopy => "zero-copy",
            Self::NativeCopy => "native copy",
            Self::GenericCopy => "generic copy",
        })
    }
}

/// Which rungs are tried: from `top` down to `bottom`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ladder {
    /// The best rung to try.
    pub top: Rung,
    /// The worst that is acceptable.
    pub bottom: Rung,
}

impl Default for Ladder {
    /// All rungs.
    fn default() -> Self {
        Self {
            top: Rung::ZeroCopy,
            bottom: Rung::GenericCopy,
        }
    }
}

/// Why a rung didn't hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RungFailure {
    /// The program could not be attached.
    #[error("attaching: {0}")]
    Attach(#[from] AttachError),
    /// A queue could not be opened; those opened before it were closed again.
    #[error("queue {queue}: {error}")]
    Bind {
        /// The queue.
        queue: u32,
        /// Why.
        error: BindError,
    },
}

/// The program is attached, and all queues are open on one rung.
#[derive(Debug)]
pub struct Negotiated {
    /// The queues, in the order asked for. To be retired before `link` is dropped, and dropped after it.
    pub queues: Vec<Queue>,
    /// The program on the interface.
    pub link: AttachedLink,
    /// The rung.
    pub rung: Rung,
    /// One report for each queue.
    pub reports: Vec<BindReport>,
    /// The rungs above, each with its reason.
    pub failed: Vec<(Rung, RungFailure)>,
}

/// No rung held. Nothing is attached or open.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", reasons(.failed))]
pub struct NegotiateError {
    /// The rungs tried, each with its reason.
    pub failed: Vec<(Rung, RungFailure)>,
}

fn reasons(failed: &[(Rung, RungFailure)]) -> String {
    let each: Vec<String> = failed
        .iter()
        .map(|(rung, why)| format!("{rung}: {why}"))
        .collect();
    if each.is_empty() {
        return "no mode to try".to_owned();
    }
    each.join("; ")
}

/// Attaches `program` to `nic` and opens all `queues` on the best rung of `ladder` that holds for all of them. Each rung
/// starts afresh, with new sockets and new memory, and with the program attached anew where that must be different.
///
/// `options` gives the builder for a queue; its mode is replaced. `xskmap` is a map of the program.
///
/// # Errors
/// [`NegotiateError`] with a reason for each rung. A rung is not tried where the reason of the one above holds for it
/// just as well: another program on the interface, a missing capability, a busy queue...
pub fn negotiate(
    program: &Program,
    xskmap: &XskMap,
    nic: &Nic,
    ladder: Ladder,
    options: &[QueueBuilder],
) -> Result<Negotiated, NegotiateError> {
    let mut failed = Vec::new();
    let mut link: Option<AttachedLink> = None;
    for rung in Rung::ALL {
        if !(ladder.top..=ladder.bottom).contains(&rung) {
            continue;
        }
        // The link of the rung above stays if this one wants the same: attaching makes some devices flap.
        let kept = link.take().filter(|link| link.mode() == rung.attach_mode());
        let attached = match kept.map_or_else(|| program.attach(nic, rung.attach_mode()), Ok) {
            Ok(attached) => attached,
            Err(error) => {
                let last = is_final_attach(&error);
                failed.push((rung, error.into()));
                if last {
                    break;
                }
                continue;
            }
        };
        match open_all(xskmap, rung, options) {
            Ok((queues, reports)) => {
                return Ok(Negotiated {
                    queues,
                    link: attached,
                    rung,
                    reports,
                    failed,
                });
            }
            Err((queue, error)) => {
                let last = !matches!(error, BindError::ModeUnsupported { .. });
                failed.push((rung, RungFailure::Bind { queue, error }));
                if last {
                    break;
                }
            }
        }
        link = Some(attached);
    }
    Err(NegotiateError { failed })
}

/// Opens all queues, or none.
fn open_all(
    xskmap: &XskMap,
    rung: Rung,
    options: &[QueueBuilder],
) -> Result<(Vec<Queue>, Vec<BindReport>), (u32, BindError)> {
    let mut queues = Vec::with_capacity(options.len());
    let mut reports = Vec::with_capacity(options.len());
    for builder in options {
        let builder = builder.clone().mode(rung.mode());
        let (queue, report) = builder
            .open(xskmap)
            .map_err(|error| (builder.queue(), error))?;
        queues.push(queue);
        reports.push(report);
    }
    Ok((queues, reports))
}

/// Whether the reason holds for every rung.
const fn is_final_attach(error: &AttachError) -> bool {
    matches!(
        error,
        AttachError::Foreign { .. } | AttachError::NotPermitted { .. } | AttachError::Gone
    )
}
