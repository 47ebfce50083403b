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
    Copy,
    /// Program in the generic hook; the kernel copies.
    Generic,
}

impl Rung {
    /// All, the best first.
    pub const ALL: [Self; 3] = [Self::ZeroCopy, Self::Copy, Self::Generic];

    /// Where the program runs.
    pub const fn attach_mode(self) -> AttachMode {
        match self {
            Self::ZeroCopy | Self::Copy => AttachMode::Native,
            Self::Generic => AttachMode::Generic,
        }
    }

    /// How the socket is bound.
    pub const fn mode(self) -> Mode {
        match self {
            Self::ZeroCopy => Mode::ZeroCopy,
            Self::Copy | Self::Generic => Mode::Copy,
        }
    }
}

impl fmt::Display for Rung {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ZeroCopy => "zero-copy",
            Self::Copy => "copy",
            Self::Generic => "generic",
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
            bottom: Rung::Generic,
        }
    }
}

impl Ladder {
    /// A single rung.
    pub const fn only(rung: Rung) -> Self {
        Self {
            top: rung,
            bottom: rung,
        }
    }

    /// Its rungs, the best first.
    pub fn rungs(self) -> impl Iterator<Item = Rung> {
        let wanted = self.top..=self.bottom;
        Rung::ALL
            .into_iter()
            .filter(move |rung| wanted.contains(rung))
    }

    /// Tries the rungs from the top until one holds.
    ///
    /// `step` is given a rung and what the one above has left standing, if that was attached in the same way: attaching
    /// makes some devices flap, so it is used again. A step that fails says whether the next rung may hold, and gives back
    /// what it leaves standing.
    ///
    /// # Errors
    /// [`Fall`]: why none holds. Nothing is left standing.
    pub fn climb<T, F: Footing, E, X>(
        self,
        mut step: impl FnMut(Rung, Option<F>) -> Result<T, (Setback<E, X>, Option<F>)>,
    ) -> Result<Climbed<T, E>, Fall<E, X>> {
        let mut failed = Vec::new();
        let mut kept: Option<F> = None;
        for rung in self.rungs() {
            let footing = kept.take().filter(|kept| kept.mode() == rung.attach_mode());
            match step(rung, footing) {
                Ok(top) => return Ok(Climbed { rung, top, failed }),
                Err((Setback::Rung(why), left)) => {
                    failed.push((rung, why));
                    kept = left;
                }
                Err((Setback::Final(why), _)) => {
                    let last = Some((rung, why));
                    return Err(Fall { failed, last });
                }
            }
        }
        let last = None;
        Err(Fall { failed, last })
    }
}

/// What a rung stands on: a program on an interface.
pub trait Footing {
    /// Where it runs.
    fn mode(&self) -> AttachMode;
}

impl Footing for AttachedLink {
    fn mode(&self) -> AttachMode {
        Self::mode(self)
    }
}

/// Why a step up a ladder failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setback<E, X> {
    /// The next rung may hold.
    Rung(E),
    /// None will.
    Final(X),
}

/// The rung that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Climbed<T, E> {
    /// Which one it is.
    pub rung: Rung,
    /// What was gained.
    pub top: T,
    /// The rungs above, each with its reason.
    pub failed: Vec<(Rung, E)>,
}

/// No rung holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fall<E, X> {
    /// The rungs that were tried, each with its reason.
    pub failed: Vec<(Rung, E)>,
    /// The one that ended it, if one did.
    pub last: Option<(Rung, X)>,
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
    let climbed = ladder.climb(|rung, kept: Option<AttachedLink>| {
        let attached = match kept.map_or_else(|| program.attach(nic, rung.attach_mode()), Ok) {
            Ok(attached) => attached,
            Err(error) if is_final_attach(&error) => {
                return Err((Setback::Final(error.into()), None));
            }
            Err(error) => return Err((Setback::Rung(error.into()), None)),
        };
        match open_all(xskmap, rung, options) {
            Ok((queues, reports)) => Ok((queues, reports, attached)),
            Err((queue, error)) => {
                let next = matches!(error, BindError::ModeUnsupported { .. });
                let failure = RungFailure::Bind { queue, error };
                Err(if next {
                    (Setback::Rung(failure), Some(attached))
                } else {
                    (Setback::Final(failure), None)
                })
            }
        }
    });
    match climbed {
        Ok(Climbed { rung, top, failed }) => {
            let (queues, reports, link) = top;
            Ok(Negotiated {
                queues,
                link,
                rung,
                reports,
                failed,
            })
        }
        Err(Fall { mut failed, last }) => {
            failed.extend(last);
            Err(NegotiateError { failed })
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Standing(AttachMode);

    impl Footing for Standing {
        fn mode(&self) -> AttachMode {
            self.0
        }
    }

    type Outcome = Result<Climbed<(), &'static str>, Fall<&'static str, &'static str>>;
    type Step = Result<(), (Setback<&'static str, &'static str>, Option<Standing>)>;

    /// The rungs that were tried, whether each had something to stand on, and the outcome.
    fn climb(ladder: Ladder, step: impl Fn(Rung) -> Step) -> (Vec<(Rung, bool)>, Outcome) {
        let mut tried = Vec::new();
        let outcome = ladder.climb(|rung, kept| {
            tried.push((rung, kept.is_some()));
            step(rung)
        });
        (tried, outcome)
    }

    #[test]
    fn a_program_stays_for_the_next_rung_that_wants_it_there() {
        let fails = |rung: Rung| Err((Setback::Rung("no"), Some(Standing(rung.attach_mode()))));
        let (tried, outcome) = climb(Ladder::default(), fails);
        let expected = [
            (Rung::ZeroCopy, false),
            (Rung::Copy, true),
            (Rung::Generic, false),
        ];
        assert_eq!(tried, expected);
        let fall = outcome.unwrap_err();
        assert_eq!((fall.failed.len(), fall.last), (3, None));
    }

    #[test]
    fn a_final_reason_ends_it_and_a_rung_that_holds_too() {
        let never = |_| Err((Setback::Final("another program"), None));
        let (tried, outcome) = climb(Ladder::default(), never);
        assert_eq!(tried.len(), 1);
        let last = outcome.unwrap_err().last;
        assert_eq!(last, Some((Rung::ZeroCopy, "another program")));
        let second = |rung| match rung {
            Rung::ZeroCopy => Err((Setback::Rung("no"), None)),
            _ => Ok(()),
        };
        let (tried, outcome) = climb(Ladder::default(), second);
        assert_eq!(tried.len(), 2);
        let climbed = outcome.unwrap();
        assert_eq!(climbed.rung, Rung::Copy);
        assert_eq!(climbed.failed, [(Rung::ZeroCopy, "no")]);
        let (tried, _) = climb(Ladder::only(Rung::Generic), never);
        assert_eq!(tried, [(Rung::Generic, false)]);
    }
}
