use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::Result;

use super::names::signature_text;
use super::{Kind, Name, ORIGIN};

/// Writes the names as a zone, for servers that know nothing but zones.
pub(crate) fn zone_file(path: &Path, names: impl Iterator<Item = Name>) -> Result<()> {
    let mut out = BufWriter::new(fs::File::create(path)?);
    writeln!(
        out,
        "{ORIGIN}. 3600 IN SOA ns.{ORIGIN}. hostmaster.{ORIGIN}. 1 3600 900 86400 60"
    )?;
    writeln!(
        out,
        "{ORIGIN}. 3600 IN NS ns.{ORIGIN}.\nns.{ORIGIN}. 3600 IN A 192.0.2.53"
    )?;
    let mut names = names.peekable();
    // A server takes a zone for signed if its SOA record is.
    if names.peek().is_some_and(|name| name.kind == Kind::Sealed) {
        writeln!(out, "{ORIGIN}. {}", signature_text("SOA", 2, 3600))?;
    }
    for name in names {
        for record in name.records() {
            writeln!(out, "{name}. {record}")?;
        }
    }
    out.flush()?;
    Ok(())
}

/// The names as local data of an `unbound.conf`.
pub(crate) fn local_data(names: impl Iterator<Item = Name>) -> String {
    let lines = names.map(|name| format!("  local-data: '{name}. {}'\n", name.record()));
    format!(
        "  local-zone: \"{ORIGIN}.\" static\n{}",
        lines.collect::<String>()
    )
}
