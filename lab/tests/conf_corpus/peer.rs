use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sluicegate_lab::peers;

/// The version of the peer, and of the libunbound that comes with it.
pub(crate) const VERSION: &str = "1.17.1";

/// What `unbound-checkconf` says of a file.
pub(crate) struct Judgement {
    pub(crate) ok: bool,
    pub(crate) output: String,
}

impl Judgement {
    /// The lines that its parser finds wrong, from 1, with what it says of them.
    pub(crate) fn parse_errors(&self) -> impl Iterator<Item = (usize, &str)> {
        self.output.lines().filter_map(|line| {
            let (place, what) = line.split_once(": error: ")?;
            Some((place.rsplit_once(':')?.1.parse().ok()?, what))
        })
    }

    /// The keywords that it does not know.
    pub(crate) fn unknown(&self) -> impl Iterator<Item = &str> {
        self.parse_errors()
            .filter_map(|(_, what)| what.strip_prefix("unknown keyword '")?.strip_suffix('\''))
    }
}

/// Asks the peer.
pub(crate) fn judge(file: &Path) -> Result<Judgement> {
    let run = peers::command("unbound-checkconf")?
        .arg(file)
        .output()
        .context("cannot run unbound-checkconf")?;
    let output = [run.stdout, run.stderr].concat();
    Ok(Judgement {
        ok: run.status.success(),
        output: String::from_utf8_lossy(&output).into_owned(),
    })
}

/// A file of the test's own, with this text.
pub(crate) fn written(name: &str, text: &str) -> Result<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("conf_corpus");
    fs::create_dir_all(&folder)?;
    let path = folder.join(name);
    fs::write(&path, text)?;
    Ok(path)
}
