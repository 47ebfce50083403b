use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::Result;

use super::{Name, ORIGIN};

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
    for name in names {
        writeln!(out, "{name}. {}", name.record())?;
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
