use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::EngineConfig;

/// Which answers may be others by one configuration of the resolver than by another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outdated {
    /// Those of names in or below these zones (as they are written); none, if there are none.
    Below(BTreeSet<String>),
    /// All, because of this option or clause.
    All(String),
}

impl EngineConfig {
    /// Which answers, found when `former` held, may be others now. `changed` are the files whose content is another too.
    pub fn outdated_since(&self, former: &Self, changed: &BTreeSet<PathBuf>) -> Outdated {
        let (now, then) = (Parts::of(&self.text), Parts::of(&former.text));
        let mut zones = BTreeSet::new();
        for name in now.options.keys().chain(then.options.keys()) {
            let [now, then] = [&now, &then].map(|parts| parts.values(name));
            if now == then && !mentions(&now, changed) || NO_MATTER.contains(name) {
                continue;
            }
            if !OF_ONE_ZONE.contains(name) {
                return Outdated::All((*name).to_owned());
            }
            let [now, then]: [BTreeSet<_>; 2] =
                [now, then].map(|values| values.into_iter().collect());
            zones.extend(now.symmetric_difference(&then).map(|zone| plain(zone)));
        }
        for place in now.clauses.keys().chain(then.clauses.keys()) {
            let [now, then] = [&now, &then].map(|parts| parts.clauses.get(place));
            if now == then && !now.into_iter().flatten().any(|one| mentions(one, changed)) {
                continue;
            }
            match place {
                (kind, Some(zone)) if ZONES.contains(kind) => drop(zones.insert(zone.clone())),
                (kind, _) => return Outdated::All((*kind).to_owned()),
            }
        }
        Outdated::Below(zones)
    }
}

/// A text for the engine, without that which tells only where it comes from.
#[derive(Default)]
struct Parts<'a> {
    /// The options of the server clause, with their values in order.
    options: BTreeMap<&'a str, Vec<&'a str>>,
    /// The other clauses with their options: all of one kind and, if they have it, name.
    clauses: BTreeMap<(&'a str, Option<String>), Vec<Vec<&'a str>>>,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Self {
        let mut parts = Self::default();
        let mut clause = ("", Vec::new());
        for line in text.lines() {
            let line = line.rsplit_once(" # line ").map_or(line, |(line, _)| line);
            match line.strip_prefix("    ") {
                // A comment says from which file the next lines are.
                None if line.starts_with('#') => {}
                None => {
                    parts.end(std::mem::take(&mut clause));
                    clause.0 = line.trim_end_matches(':');
                }
                Some(option) => clause.1.push(option),
            }
        }
        parts.end(clause);
        parts
    }

    fn end(&mut self, (kind, options): (&'a str, Vec<&'a str>)) {
        let split = |option: &'a str| option.split_once(": ").unwrap_or((option, ""));
        if matches!(kind, "" | "server") {
            for (name, value) in options.into_iter().map(split) {
                self.options.entry(name).or_default().push(value);
            }
            return;
        }
        let names = options.iter().map(|option| split(option));
        let name = names
            .filter(|(name, _)| *name == "name")
            .map(|(_, value)| plain(value))
            .next_back();
        self.clauses.entry((kind, name)).or_default().push(options);
    }

    fn values(&self, option: &str) -> Vec<&'a str> {
        self.options.get(option).cloned().unwrap_or_default()
    }
}

/// A value without its quotes.
fn plain(value: &str) -> String {
    value.trim_matches(['"', '\'']).to_owned()
}

/// Whether any of these names one of the files.
fn mentions(values: &[&str], files: &BTreeSet<PathBuf>) -> bool {
    let mut words = values
        .iter()
        .flat_map(|value| value.split(|c: char| c.is_whitespace() || matches!(c, '"' | '\'')));
    words.any(|word| files.contains(Path::new(word)))
}

/// Clauses that concern what is in and below one zone.
const ZONES: &[&str] = &["auth-zone", "forward-zone", "stub-zone"];

/// Options of the server clause of which each line concerns what is in and below one zone.
const OF_ONE_ZONE: &[&str] = &["domain-insecure", "private-domain"];

/// Options of the server clause that say how and when questions are asked, not what is made of the answers. All that are
/// not known to be so outdate every answer.
const NO_MATTER: &[&str] = &[
    "delay-close",
    "do-ip4",
    "do-ip6",
    "do-tcp",
    "do-udp",
    "fast-server-num",
    "fast-server-permil",
    "infra-cache-max-rtt",
    "infra-cache-min-rtt",
    "infra-cache-numhosts",
    "infra-host-ttl",
    "infra-keep-probing",
    "jostle-timeout",
    "key-cache-size",
    "max-reuse-tcp-queries",
    "msg-buffer-size",
    "msg-cache-size",
    "neg-cache-size",
    "num-queries-per-thread",
    "outbound-msg-retry",
    "outgoing-num-tcp",
    "outgoing-port-avoid",
    "outgoing-port-permit",
    "outgoing-range",
    "outgoing-tcp-mss",
    "prefer-ip4",
    "prefer-ip6",
    "prefetch-key",
    "ratelimit",
    "ratelimit-backoff",
    "ratelimit-below-domain",
    "ratelimit-factor",
    "ratelimit-for-domain",
    "ratelimit-size",
    "rrset-cache-size",
    "rrset-roundrobin",
    "target-fetch-policy",
    "tcp-auth-query-timeout",
    "tcp-reuse-timeout",
    "tcp-upstream",
    "trust-anchor-signaling",
    "udp-connect",
    "udp-upstream-without-downstream",
    "unknown-server-time-limit",
    "val-log-level",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LoadOptions, load_text, table};

    fn engine(text: &str) -> EngineConfig {
        let text = format!("server:\n  chroot: \"\"\n{text}");
        let loaded = load_text(Path::new("test.conf"), &text, &LoadOptions::default());
        loaded.config.expect("it is well-formed").engine
    }

    fn outdated(then: &str, now: &str) -> Outdated {
        engine(now).outdated_since(&engine(then), &BTreeSet::new())
    }

    fn below(zones: &[&str]) -> Outdated {
        Outdated::Below(zones.iter().map(|&zone| zone.to_owned()).collect())
    }

    const ZONE: &str =
        "forward-zone:\n  name: \"corp.example\"\n  forward-addr: 192.0.2.1\nserver:\n";

    #[test]
    fn where_a_line_stands_outdates_nothing() {
        let options = "  harden-glue: yes\n  private-address: 10.0.0.0/8\n";
        let moved = format!("# more\n\n  num-threads: 3\n{ZONE}{options}");
        assert_eq!(outdated(&format!("{ZONE}{options}"), &moved), below(&[]));
        assert_eq!(
            outdated("  outgoing-range: 100\n", "  infra-host-ttl: 9\n"),
            below(&[])
        );
    }

    #[test]
    fn what_is_believed_outdates_everything() {
        for option in [
            "private-address: 10.0.0.0/8",
            "trust-anchor: \"example. DS 1 8 2 00\"",
            "harden-dnssec-stripped: no",
            "harden-below-nxdomain: no",
            "module-config: \"iterator\"",
            "val-permissive-mode: yes",
            "val-override-date: -1",
            "do-not-query-address: 192.0.2.0/24",
            "cache-max-ttl: 60",
            "dns64-prefix: 64:ff9b::/96",
        ] {
            let name = option.split(':').next().unwrap();
            let (with, without) = (format!("  {option}\n"), "");
            let all = Outdated::All(name.to_owned());
            assert_eq!(outdated(without, &with), all, "{option}");
            assert_eq!(outdated(&with, without), all, "{option}");
        }
        // Of two that contradict each other the last one counts.
        assert_eq!(
            outdated(
                "  harden-glue: yes\n  harden-glue: no\n",
                "  harden-glue: no\n  harden-glue: yes\n"
            ),
            Outdated::All("harden-glue".to_owned())
        );
    }

    #[test]
    fn what_concerns_a_zone_outdates_that_zone() {
        let other = ZONE.replace("192.0.2.1", "192.0.2.2");
        assert_eq!(outdated(ZONE, &other), below(&["corp.example"]));
        assert_eq!(outdated(ZONE, ""), below(&["corp.example"]));
        assert_eq!(outdated("", ZONE), below(&["corp.example"]));
        let stub = "stub-zone:\n  name: stub.example\n  stub-addr: 192.0.2.1\nserver:\n";
        assert_eq!(
            outdated(&format!("{ZONE}{stub}"), &other),
            below(&["corp.example", "stub.example"])
        );
        assert_eq!(
            outdated(
                "  domain-insecure: a.example\n  domain-insecure: b.example\n",
                "  domain-insecure: b.example\n  private-domain: \"c.example\"\n"
            ),
            below(&["a.example", "c.example"])
        );
    }

    #[test]
    fn a_changed_file_outdates_what_it_is_for() {
        let files = BTreeSet::from([PathBuf::from("/etc/changed")]);
        let since = |text: &str| {
            let text = text.to_owned();
            let engine = EngineConfig { text };
            engine.outdated_since(&engine, &files)
        };
        let zone = |file| {
            format!(
                "auth-zone: # line 1\n    name: a.example # line 2\n    zonefile: \"{file}\" # line 3\n"
            )
        };
        assert_eq!(since(&zone("/etc/changed")), below(&["a.example"]));
        assert_eq!(since(&zone("/etc/same")), below(&[]));
        assert_eq!(
            since("server:\n    trust-anchor-file: \"/etc/changed\" # line 7\n"),
            Outdated::All("trust-anchor-file".to_owned())
        );
    }

    #[test]
    fn the_lists_name_options_that_reach_the_engine() {
        for name in NO_MATTER.iter().chain(OF_ONE_ZONE) {
            let keyword = table::keywords().find(|keyword| keyword.name == *name);
            assert!(
                keyword.is_some_and(|keyword| keyword.status.reaches_engine()),
                "{name}"
            );
        }
    }
}
