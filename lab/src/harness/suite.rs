use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use libtest_mimic::{Arguments, Conclusion, Failed, Trial};

use super::{Need, all_wanted, kernel};

/// The tests of one file.
pub struct Suite {
    name: &'static str,
    arguments: Arguments,
    trials: Vec<Trial>,
    unmet: Vec<String>,
}

/// Begins a suite. The name only shows up in reasons; the tests keep the names they are given.
pub fn suite(name: &'static str) -> Suite {
    Suite {
        name,
        arguments: Arguments::from_args(),
        trials: Vec::new(),
        unmet: Vec::new(),
    }
}

impl Suite {
    /// Adds a test with its needs, see [`needs!`](crate::needs).
    #[must_use]
    pub fn test(
        mut self,
        name: &str,
        needs: &[Need],
        test: impl FnOnce() -> Result<()> + Send + 'static,
    ) -> Self {
        assert!(
            !name.starts_with('-'),
            "runners would take {name:?} for an option"
        );
        // A runner that starts a process for each test shall not have all needs looked at in each of them.
        if self.arguments.exact
            && self
                .arguments
                .filter
                .as_deref()
                .is_some_and(|wanted| wanted != name)
        {
            return self;
        }
        let silent = kernel::silent();
        let unmet = match silent {
            None => first_unmet(needs),
            Some(_) => None,
        };
        let lacking = unmet
            .as_ref()
            .is_some_and(|(need, _)| !(all_wanted() && need.is_ours()));
        let ignored = silent.is_some() || lacking;
        let reason = silent.or(unmet.map(|(_, reason)| reason));
        if let Some(reason) = &reason {
            let what = if ignored { "skipped" } else { "can't run" };
            self.unmet
                .push(format!("{what}: {}::{name}: {reason}", self.name));
        }
        let trial = Trial::test(name, move || match reason {
            Some(reason) => Err(Failed::from(reason)),
            None => test().map_err(|error| Failed::from(format!("{error:#}"))),
        });
        self.trials.push(trial.with_ignored_flag(ignored));
        self
    }

    /// Runs or lists the tests as the command line says, which is that of Rust's own test programs.
    pub fn run(self) -> ExitCode {
        // A runner that wants one test by name has heard of what is missing when it asked for the list.
        if !self.arguments.exact {
            self.say_unmet();
        }
        let mut arguments = self.arguments;
        // Namespaces, CPU load and time-outs: tests of one file run one at a time unless told otherwise.
        arguments.test_threads.get_or_insert(1);
        let conclusion: Conclusion = libtest_mimic::run(&arguments, self.trials);
        conclusion.exit_code()
    }

    fn say_unmet(&self) {
        let mut stderr = std::io::stderr().lock();
        for line in &self.unmet {
            let _ = writeln!(stderr, "{line}");
        }
    }
}

/// The need that decides: one that the project could meet comes before one that it can't.
fn first_unmet(needs: &[Need]) -> Option<(Need, String)> {
    let unmet = |need: &Need| Some((*need, need.unmet()?));
    let (ours, others): (Vec<Need>, Vec<Need>) = needs.iter().partition(|need| need.is_ours());
    ours.iter().chain(&others).find_map(unmet)
}
