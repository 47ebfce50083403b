use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use sluicegate_answer::{self as answer, Brain};
use sluicegate_conf::{Config, Outdated};
use sluicegate_dns::Name;

use super::error::ReloadError;
use super::named_files::NamedFiles;
use super::running::{FIRST_RETRY, RunningServer, gate_settings, keep_alive};
use super::start::tcp_settings;
use crate::load::{Loaded, load, tell_refused};
use crate::tcp;

/// How often a wait for the new engine looks whether the server is to end.
const LOOK: Duration = Duration::from_millis(100);

impl RunningServer {
    /// Reads the configuration again and lets it take effect, all or nothing. The cache stays, but for answers that may
    /// be others by the new configuration; no query is lost: what is new is opened before what is old is closed, and
    /// every worker swaps one pointer.
    ///
    /// Returns the options that have changed but need a restart.
    ///
    /// # Errors
    /// See [`ReloadError`]; the old configuration goes on as it was.
    pub fn reload(&mut self) -> Result<Vec<&'static str>, ReloadError> {
        self.reload_unless(&mut || false)
    }

    /// Reloads and logs how it went.
    pub(super) fn reload_and_tell(&mut self, ending: &mut dyn FnMut() -> bool) {
        match self.reload_unless(ending) {
            Ok(restart) if restart.is_empty() => {
                tracing::info!(
                    "configuration reloaded from {}",
                    self.options.config_file.display()
                );
            }
            Ok(restart) => tracing::warn!(
                "configuration reloaded from {}; a restart is needed for: {}",
                self.options.config_file.display(),
                restart.join(", ")
            ),
            Err(error) => tracing::error!("reload failed, the old configuration stays: {error}"),
        }
    }

    fn reload_unless(
        &mut self,
        ending: &mut dyn FnMut() -> bool,
    ) -> Result<Vec<&'static str>, ReloadError> {
        let Loaded {
            config,
            mut policy,
            warnings,
        } = load(&self.options.config_file)?;
        let files = NamedFiles::now(&config.engine.text);
        let changed_files = files.changed_since(&self.engine_files);
        let outdated = config
            .engine
            .outdated_since(&self.config.engine, &changed_files);
        if config.engine != self.config.engine || !changed_files.is_empty() {
            // The only step that can still fail; the old engine serves until the new one is ready.
            let outcome = self.parts.hub.reconfigure(config.engine.text.clone());
            // It may take longer than the watchdog's patience.
            let watchdog = &mut self.watchdog;
            let started = await_engine(&outcome, &mut || {
                keep_alive(watchdog.as_mut());
                ending()
            });
            if let Err(ReloadError::Engine(error)) = &started {
                tell_refused(&config, error);
            }
            started?;
        }
        self.engine_files = files;
        let restart = needs_restart(&self.config, &config);
        (self.options.on_config)(&config);
        if !warnings.is_empty() {
            tracing::warn!("{warnings}");
        }
        keep_alive(self.watchdog.as_mut());
        self.opener.configuration_changed();
        policy.succeed(&self.shared.brain.policy.load());
        self.shared.brain.policy.store(Arc::new(policy));
        // Not before the new engine has taken over: what the old one finds since then is not stored.
        forget(&self.shared.brain, outdated);
        self.parts.tcp.send(tcp::Command::Set(tcp_settings(
            config.tcp,
            self.parts.udp.len(),
        )));
        let xdp_changed = config.xdp != self.config.xdp || config.do_udp != self.config.do_udp;
        self.config = config;
        if xdp_changed {
            self.parts.gate.reconfigure(gate_settings(
                &self.options,
                &self.config,
                &self.xdp_addresses,
            ));
        }
        self.retry_wait = FIRST_RETRY;
        self.follow_addresses();
        self.schedule_statistics();
        Ok(restart)
    }
}

/// Forgets the answers that may be others now, and says how many and why.
fn forget(brain: &Brain, outdated: Outdated) {
    let (outdated, why) = match outdated {
        Outdated::All(option) => (answer::Outdated::All, format!("{option} has changed")),
        Outdated::Below(zones) if zones.is_empty() => return,
        Outdated::Below(zones) => {
            let names = zones.iter().map(|zone| zone.parse::<Name>());
            let outdated = names
                .collect::<Result<_, _>>()
                .map_or(answer::Outdated::All, answer::Outdated::Below);
            (outdated, format!("changed for {}", in_short(&zones)))
        }
    };
    let count = brain.forget(&outdated);
    tracing::info!("cache: {count} entries forgotten: {why}");
}

/// The first few of many zones.
fn in_short(zones: &BTreeSet<String>) -> String {
    const SHOWN: usize = 5;
    let mut words: Vec<String> = zones.iter().take(SHOWN).cloned().collect();
    if zones.len() > SHOWN {
        words.push(format!("and {} more", zones.len() - SHOWN));
    }
    words.join(", ")
}

fn await_engine(
    outcome: &Receiver<Result<(), sluicegate_engine::StartError>>,
    ending: &mut dyn FnMut() -> bool,
) -> Result<(), ReloadError> {
    loop {
        match outcome.recv_timeout(LOOK) {
            Ok(result) => return Ok(result?),
            Err(RecvTimeoutError::Timeout) if !ending() => {}
            Err(_) => return Err(ReloadError::Stopping),
        }
    }
}

/// The options that have changed but take effect only at the next start.
fn needs_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    let value = |at: &Option<sluicegate_conf::At<std::path::PathBuf>>| {
        at.as_ref().map(|at| at.value.clone())
    };
    let user = |config: &Config| config.username.as_ref().map(|at| at.value.clone());
    let rows = [
        ("num-threads", old.num_threads != new.num_threads),
        (
            "msg-cache-size",
            old.cache.size_bytes != new.cache.size_bytes,
        ),
        (
            "max-udp-size",
            old.message.max_udp_bytes < new.message.max_udp_bytes
                && new.message.max_udp_bytes > 4096,
        ),
        ("username", user(old) != user(new)),
        ("directory", value(&old.directory) != value(&new.directory)),
        ("pidfile", value(&old.pidfile) != value(&new.pidfile)),
        (
            "control-enable, control-interface",
            old.control != new.control,
        ),
    ];
    rows.into_iter()
        .filter_map(|(name, changed)| changed.then_some(name))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_a_restart_is_named() {
        let old = Config::default();
        assert!(needs_restart(&old, &old).is_empty());
        let mut new = old.clone();
        new.num_threads = Some(7);
        new.cache.size_bytes *= 2;
        assert_eq!(needs_restart(&old, &new), ["num-threads", "msg-cache-size"]);
        let mut larger = old.clone();
        larger.message.max_udp_bytes = 65_535;
        assert_eq!(needs_restart(&old, &larger), ["max-udp-size"]);
    }
}
