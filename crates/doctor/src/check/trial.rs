use std::time::Duration;

use crate::known::NEEDED;
use crate::{Finding, Group, Verdict};

impl Finding {
    /// What became of a query sent to a server of doctor's own: AF_XDP answered it, or why not.
    pub fn trial(took: Duration, outcome: Result<(), String>) -> Self {
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let finding = Self::new("trial", Group::Kernel).probed("took_ms", took_ms);
        match outcome {
            Ok(()) => finding.is(
                Verdict::Ok,
                "a server of its own, on a veth pair, answered a query by AF_XDP",
            ),
            Err(reason) => finding
                .probed("reason", reason.as_str())
                .is(Verdict::Fail, format!("on a veth pair of its own AF_XDP did not answer: {reason}"))
                .why(format!(
                    "it works there on any kernel since {NEEDED} whatever the hardware: what keeps it from that is this \
                     kernel or what this process may do, see above"
                ))
                .by_hand("sluicegate demo    # shows the same at length"),
        }
    }

    /// No query could be sent.
    pub fn trial_skipped(reason: &str) -> Self {
        Self::new("trial", Group::Kernel).is(Verdict::Skipped, format!("no trial: {reason}"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::verdict;
    use super::*;

    #[test]
    fn outcomes_of_a_trial() {
        let of = |outcome| {
            verdict(
                &[Finding::trial(Duration::from_millis(7), outcome)],
                "trial",
            )
            .0
        };
        assert_eq!(of(Ok(())), Verdict::Ok);
        assert_eq!(of(Err("not permitted".into())), Verdict::Fail);
        assert_eq!(Finding::trial_skipped("no root").verdict, Verdict::Skipped);
    }
}
