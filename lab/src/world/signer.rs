use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::zone::{Algorithm, Denial, Ds, Period, Signing, Zone};
use crate::peers;

/// Makes keys and signs zones with BIND's tools, all in one folder.
pub(super) struct Signer<'d> {
    dir: &'d Path,
}

impl<'d> Signer<'d> {
    pub(super) fn new(dir: &'d Path) -> Self {
        Self { dir }
    }

    /// Writes the zone file `text`, signed if the zone is, and then tampers with it, if the zone wants that. Returns the
    /// file of the zone's key.
    pub(super) fn write(&self, zone: &Zone, text: &str) -> Result<Option<PathBuf>> {
        let file = self.dir.join(file_name(&zone.name));
        let Some(signing) = zone.signing else {
            fs::write(&file, text)?;
            return Ok(None);
        };
        let key = self.key(zone, signing)?;
        let key_file = self.dir.join(format!("{key}.key"));
        let unsigned = self.dir.join(format!("{}.in", file_name(&zone.name)));
        fs::write(
            &unsigned,
            format!("{text}$INCLUDE {}\n", key_file.display()),
        )?;
        self.sign(zone, signing, &unsigned, &key)?;
        if let Some((from, to)) = &zone.tampering {
            let text = fs::read_to_string(&file)?;
            ensure!(text.contains(from), "no {from:?} to be tampered with");
            fs::write(&file, text.replace(from, to))?;
        }
        Ok(Some(key_file))
    }

    /// What the parent of a zone that has been written says of its keys.
    pub(super) fn ds(&self, zone: &Zone) -> Result<String> {
        if zone.signing.is_none() || zone.ds == Ds::Missing {
            return Ok(String::new());
        }
        let file = self.dir.join(format!("dsset-{}", zone.name));
        let right =
            fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        let fields: Vec<&str> = right.split_whitespace().collect();
        let [owner, "IN", "DS", tag, algorithm, kind, digest @ ..] = &fields[..] else {
            bail!("no DS record: {right}");
        };
        let digest = digest.concat();
        Ok(match zone.ds {
            Ds::Wrong => {
                let digest = digest.replace(['0', '1'], "2");
                format!("{owner} 3600 DS {tag} {algorithm} {kind} {digest}\n")
            }
            Ds::Unknown => format!("{owner} 3600 DS {tag} {PRIVATE_ALGORITHM} {kind} {digest}\n"),
            _ => format!("{owner} 3600 DS {tag} {algorithm} {kind} {digest}\n"),
        })
    }

    fn key(&self, zone: &Zone, signing: Signing) -> Result<String> {
        let mut command = self.command("dnssec-keygen")?;
        command.args(["-q", "-f", "KSK", "-a", algorithm(signing.algorithm)]);
        if signing.algorithm == Algorithm::RsaSha256 {
            command.args(["-b", "2048"]);
        }
        command.arg(&zone.name);
        Ok(run(&mut command)?.trim().to_owned())
    }

    fn sign(&self, zone: &Zone, signing: Signing, unsigned: &Path, key: &str) -> Result<()> {
        let mut command = self.command("dnssec-signzone")?;
        // One key signs everything; no check afterwards, since some zones are meant to be wrong.
        command.args(["-q", "-P", "-z", "-n", "1", "-o", &zone.name, "-f"]);
        command.arg(file_name(&zone.name));
        let (start, end) = match signing.period {
            Period::Now => ("now-3600", "now+2592000"),
            Period::Past => ("now-2592000", "now-604800"),
            Period::Future => ("now+864000", "now+2592000"),
        };
        command.args(["-s", start, "-e", end]);
        match signing.denial {
            Denial::Nsec => {}
            Denial::Nsec3(iterations) => {
                command.args(["-3", "5347", "-H", &iterations.to_string()]);
            }
            Denial::OptOut => {
                command.args(["-3", "-", "-A"]);
            }
        }
        command.arg(unsigned).arg(key);
        run(&mut command).map(drop)
    }

    fn command(&self, name: &str) -> Result<Command> {
        let mut command = peers::command(name)?;
        command.current_dir(self.dir);
        Ok(command)
    }
}

/// Nobody's algorithm: private use is 253 and 254, 252 is reserved (IANA registry of DNSSEC algorithms).
const PRIVATE_ALGORITHM: u8 = 252;

/// The name of a zone's file.
pub(super) fn file_name(zone: &str) -> String {
    format!("{}zone", if zone == "." { "root." } else { zone })
}

fn algorithm(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::RsaSha256 => "RSASHA256",
        Algorithm::EcdsaP256 => "ECDSAP256SHA256",
        Algorithm::EcdsaP384 => "ECDSAP384SHA384",
        Algorithm::Ed25519 => "ED25519",
    }
}

fn run(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("starting {}", command.get_program().display()))?;
    ensure!(
        output.status.success(),
        "{command:?}: {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8(output.stdout)?)
}
