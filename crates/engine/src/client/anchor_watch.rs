//! Looks whether the trust anchors that one context keeps have changed: the others must get them too.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::anchors::{Anchors, KeyId, files_in};
use crate::wire::KeepAnchors;

/// The files, and the keys that the serving engine was given.
#[derive(Debug, Default)]
pub(super) struct AnchorWatch {
    files: Vec<(PathBuf, Vec<KeyId>)>,
    next: Option<Instant>,
    /// The last engine that was started because the keys had changed.
    renewal: Option<u32>,
    /// An engine ended because it could not write one.
    unwritable: bool,
}

/// Looked at no less often than this.
const LONGEST_INTERVAL: Duration = Duration::from_mins(1);
/// What libunbound says when it ends the process because it can't write a file of trust anchors.
const LAST_WORDS: [&str; 4] = [
    "could not open autotrust file for writing",
    "could not completely write",
    "could not complete write",
    "fatal error: rename(",
];

impl AnchorWatch {
    /// An engine with this configuration serves.
    pub(super) fn begin(&mut self, conf_text: &str) {
        self.files = files_in(conf_text)
            .into_iter()
            .map(|path| {
                let keys = keys(&path).unwrap_or_default();
                (path, keys)
            })
            .collect();
        self.next = None;
    }

    /// Whether there are other keys in a file now. A file that can't be read says nothing.
    pub(super) fn has_changed(&mut self, now: Instant, interval: Duration) -> bool {
        if self.files.is_empty() {
            return false;
        }
        let interval = interval.min(LONGEST_INTERVAL);
        let next = *self.next.get_or_insert(now + interval);
        if now < next {
            return false;
        }
        self.next = Some(now + interval);
        let known = self.files.iter();
        known
            .filter_map(|(path, before)| Some((keys(path)?, before)))
            .any(|(now, before)| now != *before)
    }

    /// Takes note that an engine starts because the keys have changed.
    pub(super) fn renew_by(&mut self, engine: u32) {
        self.renewal = Some(engine);
    }

    /// Whether that is why this engine was started: no caller has asked for it.
    pub(super) fn has_started(&self, engine: u32) -> bool {
        self.renewal == Some(engine)
    }

    /// Takes note when an engine's last words are that it could not write a file: the next ones shall not try.
    pub(super) fn learn_from(&mut self, last_words: &str) {
        if LAST_WORDS.iter().any(|words| last_words.contains(words)) && !self.unwritable {
            self.unwritable = true;
            tracing::error!(
                "auto-trust-anchor-file can't be written: its keys are trusted, but rollovers are not followed \
                 until the server is started again"
            );
        }
    }

    /// Whether the next engine shall write the files.
    pub(super) fn keep(&self) -> KeepAnchors {
        if self.unwritable {
            KeepAnchors::No
        } else {
            KeepAnchors::Yes
        }
    }
}

fn keys(path: &std::path::Path) -> Option<Vec<KeyId>> {
    Anchors::read(path).ok().map(|anchors| anchors.keys())
}
