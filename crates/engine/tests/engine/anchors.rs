//! Trust anchors that follow a key rollover (RFC 5011), and files of them that can't be kept.
//!
//! `roll.example` was given two ECDSA P-256 keys (algorithm 13), which were thrown away after they had signed
//! the key set before the rollover and during it. The tests switch the validator's calendar off.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use libtest_mimic::Trial;
use sluicegate_engine::{EngineOptions, ROOT_ANCHORS, Security};

use crate::rig::{Lines, Rig, options, question};
use crate::trial;
use crate::upstream::Upstream;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a_rollover_is_followed", a_rollover_is_followed),
        trial(
            "an_engine_that_fails_after_a_rollover_is_told",
            an_engine_that_fails_after_a_rollover_is_told,
        ),
        trial(
            "a_missing_anchor_file_is_made",
            a_missing_anchor_file_is_made,
        ),
        trial(
            "a_folder_that_cannot_be_written_is_told",
            a_folder_that_cannot_be_written_is_told,
        ),
        trial(
            "a_folder_that_goes_away_costs_one_restart",
            a_folder_that_goes_away_costs_one_restart,
        ),
        trial("other_anchors_work_too", other_anchors_work_too),
    ]
}

/// The old key's DS record, the keys, and the signatures over the set of one and of both; TTL 1 s.
const OLD_DS: &str =
    "roll.example. DS 6141 13 2 01cd616e22f6116c3b891ce398b91617597714467c55344a2e6db5539ccb6c3a";
const OLD: &str = "04726f6c6c076578616d706c6500003000010000000100440101030de5098283ce8a48796636819cf4cc1151ee096cc166cc2765e031955f5fabee863d1e741baff35d3b4720af965eeaa1a71e3f969465574c3adeb2741cbae2d0e2";
const NEW: &str = "04726f6c6c076578616d706c6500003000010000000100440101030d18d103bc77d30a83131b4d7aafe3eafd7d3a672776749e21c9c868b46e97c77e89faaba76d9c542f5a5c9cf381f823735d20d31a4a6c78eb90b9564ab34454eb";
const OLD_ALONE_RRSIG: &str = "04726f6c6c076578616d706c6500002e000100000001006000300d02000000017c245eff6774858017fd04726f6c6c076578616d706c6500b5cd27da44eca19a00120d47e691ae42c66bef46c71c4734f21a98937fdd348bdd736fe3b5db4c5e3d031f986f5b375cc038c71b76c92aa7922a622547acb0e4";
const BOTH_RRSIG_BY_OLD: &str = "04726f6c6c076578616d706c6500002e000100000001006000300d02000000017c245eff6774858017fd04726f6c6c076578616d706c6500549f6bba7ac59b5bd2b8b046cbda3213fd601f8796aad44d6dcb100f1182c44b4be7230fd0d3fc4017a5774785c5f53c80a6f72b439767b3868b5b0499fbe010";
const BOTH_RRSIG_BY_NEW: &str = "04726f6c6c076578616d706c6500002e000100000001006000300d02000000017c245eff6774858076e404726f6c6c076578616d706c65003def8fcdedd394f71c75c27985a50b6ed56f046bd2708484244db972cd2f692ba390ff9d6555c9aa2191772b19ef097357912ee67ca4e54e795cdb5cce547e50";

fn bytes(hex: &str) -> Vec<u8> {
    let pairs = hex.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// A folder with an anchor file, and an upstream that has the zone.
struct Site {
    folder: PathBuf,
    upstream: Upstream,
}

impl Site {
    fn new(name: &str, file: Option<&str>) -> Self {
        let name = format!("sluicegate-anchors-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir(&folder).unwrap();
        if let Some(text) = file {
            std::fs::write(folder.join("root.key"), text).unwrap();
        }
        let upstream = Upstream::start([192, 0, 2, 53].into());
        let set = [bytes(OLD), bytes(OLD_ALONE_RRSIG)];
        upstream.answer("roll.example", 48, &set);
        Self { folder, upstream }
    }

    fn file(&self) -> String {
        std::fs::read_to_string(self.folder.join("root.key")).unwrap_or_default()
    }

    fn start(&self) -> Rig {
        Rig::start(self.options())
    }

    fn options(&self) -> EngineOptions {
        let file = self.folder.join("root.key");
        let conf = format!(
            "server:\n  auto-trust-anchor-file: \"{}\"\n  val-override-date: -1\n  add-holddown: 1\n{}",
            file.display(),
            self.upstream.conf()
        );
        let mut options = options(&conf);
        options.threads = 2;
        options.anchor_interval = Duration::from_millis(200);
        options.heartbeat.interval = Duration::from_millis(100);
        options
    }

    /// Gives the zone another key and waits until it is trusted.
    fn roll_over(&self, rig: &mut Rig) {
        let valid = |text: &str| text.matches(";;state=2").count();
        // Nobody has asked for anything.
        rig.run_until("the first look", |_| valid(&self.file()) == 1);
        let both = [NEW, OLD, BOTH_RRSIG_BY_OLD, BOTH_RRSIG_BY_NEW].map(bytes);
        self.upstream.answer("roll.example", 48, &both);
        rig.run_until("the pending key", |_| self.file().contains(";;state=1"));
        rig.run_until("the trusted key", |_| valid(&self.file()) == 2);
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn a_rollover_is_followed() {
    let site = Site::new("rollover", Some(OLD_DS));
    let mut rig = site.start();
    let pid = rig.client.pid();
    site.roll_over(&mut rig);
    // The other contexts get it from a new engine.
    rig.run_until("the new engine", |rig| rig.client.pid() != pid);
    // Whoever tells clients of the anchors learns it, once.
    let mut told = None;
    rig.run_until("the anchors to be told", |rig| {
        told = rig.client.renewed_anchors().or(told.take());
        told.as_deref() == Some(&["roll.example. 6141 30436".to_owned()])
    });
    assert_eq!(rig.client.renewed_anchors(), None);
    assert_eq!(rig.client.stats().restarts, 0);
    assert_eq!(rig.resolve(&question("www.example")).rcode, 0);
}

fn an_engine_that_fails_after_a_rollover_is_told() {
    let site = Site::new("failing", Some(OLD_DS));
    let program = site.folder.join("program");
    let link_to = |target: &Path| {
        let _ = std::fs::remove_file(&program);
        symlink(target, &program).unwrap();
    };
    let mut options = site.options();
    let engine = std::mem::replace(&mut options.program, program.clone());
    link_to(&engine);
    let lines = Lines::default();
    lines.logged_by(|| {
        let mut rig = Rig::start(options);
        let pid = rig.client.pid();
        link_to(Path::new("/bin/false"));
        site.roll_over(&mut rig);
        rig.run_until("the warning", |_| {
            lines.text().contains("new trust anchors did not")
        });
        // No caller has asked for that engine, none is told; the old one still serves.
        assert!(rig.client.reconfigured().is_none());
        assert_eq!(rig.resolve(&question("www.example")).rcode, 0);
        assert_eq!((rig.client.pid(), rig.client.stats().restarts), (pid, 0));
        // It is tried again.
        link_to(&engine);
        rig.run_until("the new engine", |rig| rig.client.pid() != pid);
        assert!(rig.client.reconfigured().is_none());
    });
    let text = lines.text();
    let warning = text.lines().find(|line| line.contains("did not get ready"));
    let warning = warning.unwrap();
    assert!(
        warning.contains("WARN") && warning.contains("exit status: 1"),
        "{warning}"
    );
}

fn a_missing_anchor_file_is_made() {
    let site = Site::new("missing", None);
    let mut rig = site.start();
    assert!(
        rig.client
            .summary()
            .notes
            .contains("made with the root's keys")
    );
    // Without a signed root nothing is believed: the validator is at work.
    let answer = rig.resolve(&question("www.example"));
    assert_eq!(
        (answer.security, answer.ede().is_some()),
        (Security::Bogus, true)
    );
    let made = site.file();
    for anchor in ROOT_ANCHORS {
        let digest = anchor.rsplit(' ').next().unwrap();
        assert!(
            made.to_uppercase().contains(digest) || made.contains("DNSKEY"),
            "{made}"
        );
    }
    assert_eq!(rig.client.stats().restarts, 0);
}

fn a_folder_that_cannot_be_written_is_told() {
    let site = Site::new("fixed", Some(OLD_DS));
    let permissions = std::fs::Permissions::from_mode(0o500);
    std::fs::set_permissions(&site.folder, permissions).unwrap();
    let mut rig = site.start();
    assert!(
        rig.client
            .summary()
            .notes
            .contains("rollovers are not followed")
    );
    let unsigned = rig.resolve(&question("www.roll.example"));
    assert_eq!(unsigned.security, Security::Bogus, "its keys are trusted");
    assert_eq!(
        rig.resolve(&question("www.example")).security,
        Security::Insecure
    );
    assert_eq!(
        (site.file(), rig.client.stats().restarts),
        (OLD_DS.to_owned(), 0)
    );
}

/// libunbound ends the process when it can't write: the next one only reads.
fn a_folder_that_goes_away_costs_one_restart() {
    let site = Site::new("gone", Some(OLD_DS));
    let mut rig = site.start();
    rig.run_until("the first look", |_| site.file().contains(";;state=2"));
    std::fs::remove_dir_all(&site.folder).unwrap();
    rig.run_until("the loss", |rig| rig.client.stats().restarts == 1);
    rig.run_until("the next engine", |rig| rig.client.is_ready());
    assert_eq!(rig.resolve(&question("www.example")).rcode, 0);
    assert_eq!(rig.client.stats().restarts, 1);
}

fn other_anchors_work_too() {
    let site = Site::new("plain", Some(OLD_DS));
    let conf = |options: &str| {
        format!(
            "server:\n  val-override-date: -1\n  {options}\n{}",
            site.upstream.conf()
        )
    };
    let verdict = |options_text: &str| {
        let mut rig = Rig::start(options(&conf(options_text)));
        rig.resolve(&question("www.roll.example")).security
    };
    let file = site.folder.join("root.key");
    let by_file = format!("trust-anchor-file: \"{}\"", file.display());
    assert_eq!(verdict(&by_file), Security::Bogus);
    assert_eq!(
        verdict(&format!("trust-anchor: \"{OLD_DS}\"")),
        Security::Bogus
    );
    let open = format!("{by_file}\n  domain-insecure: \"www.roll.example\"");
    assert_eq!(verdict(&open), Security::Insecure);
    // Unbound without any anchor validates nothing.
    assert_eq!(verdict(""), Security::Insecure);
}
