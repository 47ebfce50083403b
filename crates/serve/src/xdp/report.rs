use std::collections::BTreeMap;

use super::{Reason, Rung};

/// Says in the log how each interface is served: one line for each change, none for what stays.
#[derive(Debug, Default)]
pub(super) struct Report {
    said: BTreeMap<String, Standing>,
    /// The same of interfaces that can have no program, whatever is said of those below: a bridge's port may have
    /// an address of its own, and be where the bridge's packets are taken.
    refused: BTreeMap<String, Standing>,
    /// What was said of the server as a whole.
    overall: Option<Reason>,
}

/// How an interface is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// By AF_XDP.
    Active {
        /// How.
        rung: Rung,
        /// By how many workers.
        queues: u32,
    },
    /// By the kernel alone.
    Kernel(Reason),
}

impl Standing {
    /// The number of the program of somebody else's that is in the way.
    pub(super) const fn foreign_program(&self) -> Option<u32> {
        match self {
            Self::Kernel(Reason::Foreign { id, .. }) => *id,
            _ => None,
        }
    }
}

impl Report {
    /// Says how `interface` is served, if that is news; whether it was.
    pub(super) fn interface(&mut self, interface: &str, standing: Standing) -> bool {
        say(&mut self.said, interface, standing)
    }

    /// Says why packets for the addresses of `interface` can't be taken anywhere, if that is news; whether it was.
    pub(super) fn refused(&mut self, interface: &str, standing: Standing) -> bool {
        say(&mut self.refused, interface, standing)
    }

    /// Packets for the addresses of `interface` can be taken somewhere: should that end, it is news.
    pub(super) fn accept(&mut self, interface: &str) {
        self.refused.remove(interface);
    }

    /// Whatever is said next of `interface` is news.
    pub(super) fn forget(&mut self, interface: &str) {
        self.said.remove(interface);
    }

    /// Everything about interfaces is news again.
    pub(super) fn reset(&mut self) {
        self.said.clear();
        self.refused.clear();
    }

    /// Says that no interface at all is served by AF_XDP, and why; `None` when that has changed.
    pub(super) fn overall(&mut self, reason: Option<Reason>) {
        if let Some(reason) = reason
            .as_ref()
            .filter(|reason| self.overall.as_ref() != Some(reason))
        {
            tracing::info!("{UNAVAILABLE} reason={reason}");
        }
        self.overall = reason;
    }
}

fn say(said: &mut BTreeMap<String, Standing>, interface: &str, standing: Standing) -> bool {
    if said.get(interface) == Some(&standing) {
        return false;
    }
    match &standing {
        Standing::Active { rung, queues } => {
            tracing::info!(
                "XDP fast path active interface={interface} mode={rung} queues={queues}"
            );
        }
        Standing::Kernel(reason) if reason.is_natural() => {
            tracing::info!("{UNAVAILABLE} interface={interface} reason={reason}");
        }
        Standing::Kernel(reason) => {
            tracing::warn!("{UNAVAILABLE} interface={interface} reason={reason}");
        }
    }
    match standing {
        // It has said its last: should it come back, that is news again.
        Standing::Kernel(Reason::Gone | Reason::NoAddress) => drop(said.remove(interface)),
        standing => drop(said.insert(interface.to_owned(), standing)),
    }
    true
}

const UNAVAILABLE: &str = "XDP not available, serving through the kernel:";

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting() -> Reason {
        Reason::Query("waiting".to_owned())
    }

    #[test]
    fn says_each_change_once() {
        let mut report = Report::default();
        let active = || Standing::Active {
            rung: Rung::Copy,
            queues: 2,
        };
        let kernel = |reason| Standing::Kernel(reason);
        assert!(report.interface("eth0", active()));
        assert!(!report.interface("eth0", active()));
        assert!(report.interface(
            "eth0",
            Standing::Active {
                rung: Rung::Copy,
                queues: 4
            }
        ));
        assert!(report.interface("eth0", kernel(waiting())));
        assert!(!report.interface("eth0", kernel(waiting())));
        assert!(report.interface("eth1", kernel(waiting())));
        assert!(report.interface("eth0", active()));
    }

    #[test]
    fn an_interface_that_comes_back_is_news() {
        let mut report = Report::default();
        assert!(report.interface("eth0", Standing::Kernel(waiting())));
        assert!(report.interface("eth0", Standing::Kernel(Reason::Gone)));
        assert!(report.interface("eth0", Standing::Kernel(waiting())));
    }
}
