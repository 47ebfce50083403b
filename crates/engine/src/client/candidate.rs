//! The engine that is to take over from the serving one, once it is ready.

use std::io;
use std::time::Instant;

use super::front::Client;
use super::process::StartError;

impl<W> Client<W> {
    /// Starts a candidate in place of an earlier one; returns its number.
    pub(super) fn start_candidate(&mut self, conf_text: String) -> io::Result<u32> {
        if let Some((process, _)) = self.engines.candidate.take() {
            self.engines.ending.push(process.kill());
        }
        let process = self.spawn(&conf_text)?;
        let id = process.id;
        self.engines.candidate = Some((process, conf_text));
        self.set_timer(Instant::now());
        Ok(id)
    }

    /// Starts one when the trust anchors have changed: each context must get them.
    pub(super) fn renew_if_anchors_changed(&mut self, now: Instant) {
        let busy = self.engines.candidate.is_some() || !self.is_ready();
        if busy || !self.watch.has_changed(now, self.options.anchor_interval) {
            return;
        }
        tracing::info!("the trust anchors have changed: a new engine takes over");
        match self.start_candidate(self.options.conf_text.clone()) {
            Ok(id) => self.watch.renew_by(id),
            Err(error) => tracing::error!(%error, "can't start the engine process"),
        }
    }

    /// How a candidate's start ended is for whoever asked for it; nobody asked for one with new trust anchors.
    pub(super) fn tell(&mut self, id: u32, result: Result<(), StartError>) {
        if !self.watch.has_started(id) {
            self.reconfigured = Some(result);
        } else if let Err(error) = result {
            tracing::warn!(%error, "the engine with the new trust anchors did not get ready: the old one goes on");
        }
    }
}
