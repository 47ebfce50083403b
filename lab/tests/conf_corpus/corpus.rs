use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use sluicegate_conf::{LoadOptions, load, load_text, table};
use sluicegate_lab::shared_data;

use crate::peer::{VERSION, judge, written};

/// Files on which we differ from the peer on purpose, or that it cannot judge, with the reason.
const DIFFERENT: &[(&str, &str)] = &[
    (
        "061",
        "an interface that is not there may come later; the peer wants it now",
    ),
    ("069", "the peer is built without the module cachedb"),
    ("073", "the peer's Python module is not there"),
    ("095", "the peer's Python module is not there"),
    ("099", "the peer is built without the module cachedb"),
];

/// The configurations, in order; none when they are not there.
pub(crate) fn files(folder: Option<&Path>) -> Vec<PathBuf> {
    let entries = folder
        .and_then(|folder| fs::read_dir(folder).ok())
        .into_iter()
        .flatten();
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut files: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|ext| ext == "conf"))
        .collect();
    files.sort();
    files
}

pub(crate) fn name(file: &Path) -> String {
    file.file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

pub(crate) fn every_directive_is_known() -> Result<()> {
    let list = shared_data("confs/DIRECTIVES.md").context("DIRECTIVES.md is missing")?;
    let list = fs::read_to_string(list)?;
    let seen = list
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" |").next());
    let unseen = list
        .lines()
        .find_map(|line| line.strip_prefix("Never seen here: "))
        .unwrap_or_default();
    let names: BTreeSet<&str> = seen
        .filter(|name| *name != "directive")
        .chain(unseen.split(", "))
        .collect();
    ensure!(names.len() > 380, "only {} names were found", names.len());
    let missing: Vec<&&str> = names
        .iter()
        .filter(|name| !name.starts_with("include") && table::keyword(name).is_none())
        .collect();
    ensure!(missing.is_empty(), "not in the table: {missing:?}");
    Ok(())
}

/// The paths and the user of somebody else's machine, replaced: the last of an option wins.
fn moved(text: &str) -> String {
    let folder = env!("CARGO_TARGET_TMPDIR");
    format!(
        "{text}\nserver:\n chroot: \"\"\n directory: \"{folder}\"\n username: \"\"\n logfile: \"\"\n pidfile: \"\"\n\
         remote-control:\n control-enable: no\n"
    )
}

/// Without the lines of keywords that are newer than the peer.
fn without(text: &str, keywords: &BTreeSet<&str>) -> String {
    let is_new = |line: &&str| {
        line.trim_start()
            .split(':')
            .next()
            .is_some_and(|name| keywords.contains(name))
    };
    text.lines()
        .filter(|line| !is_new(line))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Options that name files of somebody else's machine, which make both of us fail.
const NAMING_FILES: &[&str] = &[
    "include",
    "include-toplevel",
    "root-hints",
    "tls-cert-bundle",
    "trust-anchor-file",
    "auto-trust-anchor-file",
    "trusted-keys-file",
    "zonefile",
];

pub(crate) fn same_verdict(file: &Path) -> Result<()> {
    let text = fs::read_to_string(file)?;
    let name = name(file);
    let first = judge(&written(&format!("{name}.first.conf"), &moved(&text))?)?;
    let peer_version = VERSION.parse()?;
    let is_newer = |name: &&str| table::keyword(name).is_some_and(|row| row.since > peer_version);
    let newer: BTreeSet<&str> = first.unknown().filter(is_newer).collect();
    // One that is missing is made by us.
    let known = newer.iter().chain(&["auto-trust-anchor-file"]).copied();
    let whole = differs(&name, &without(&text, &known.collect()))?;
    let dropped = newer.iter().chain(NAMING_FILES).copied().collect();
    let lone = differs(&format!("{name}.lone"), &without(&text, &dropped))?;
    let expected = DIFFERENT
        .iter()
        .find(|(file, _)| *file == name)
        .map(|(_, why)| *why);
    match (whole.or(lone), expected) {
        (Some(difference), None) => bail!("{difference}"),
        (None, Some(why)) => bail!("we agree, but were not to: {why}"),
        _ => Ok(()),
    }
}

/// What both say of a text, if that is not the same.
fn differs(name: &str, text: &str) -> Result<Option<String>> {
    let path = written(&format!("{name}.conf"), &moved(text))?;
    let theirs = judge(&path)?;
    let ours = load(&path, &LoadOptions::default());
    let same = ours.config.is_some() == theirs.ok;
    Ok((!same).then(|| {
        format!(
            "unbound-checkconf: {}\n{}\nwe:\n{}",
            theirs.ok,
            theirs.output,
            ours.render(false)
        )
    }))
}

pub(crate) fn engine_part(file: &Path) -> Result<()> {
    let options = LoadOptions {
        check_files: false,
        engine_version: Some(VERSION.parse()?),
        ..LoadOptions::default()
    };
    // What includes files that are not here, or holds placeholders, has no configuration to hand over.
    let Some(config) = load_text(file, fs::read(file)?, &options).config else {
        return Ok(());
    };
    let path = written(&format!("{}.engine.conf", name(file)), &config.engine.text)?;
    let judgement = judge(&path)?;
    let errors: Vec<_> = judgement.parse_errors().collect();
    ensure!(errors.is_empty(), "{}\n{errors:?}", config.engine.text);
    Ok(())
}
