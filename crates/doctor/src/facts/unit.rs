use std::collections::BTreeMap;
use std::process::{Command, Stdio};

/// What systemd says of the service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unit {
    /// Properties by name, as `systemctl show` prints them.
    properties: BTreeMap<String, String>,
}

const NAME: &str = "sluicegate.service";
const ASKED: &str = "LoadState,AmbientCapabilities,CapabilityBoundingSet,RestrictAddressFamilies,\
    SystemCallFilter,LimitMEMLOCK,User,ExecStart,DropInPaths";

impl Unit {
    /// Asks systemd, if it runs here and knows the service.
    pub(super) fn gather() -> Option<Self> {
        let output = Command::new("systemctl")
            .args(["show", NAME, "--property", ASKED])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output()
            .ok()?;
        Self::parse(&String::from_utf8_lossy(&output.stdout))
    }

    /// Of the lines of `systemctl show`; `None` if the service is not known.
    pub fn parse(shown: &str) -> Option<Self> {
        let properties: BTreeMap<String, String> = shown
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect();
        let unit = Self { properties };
        (unit.text("LoadState") == "loaded").then_some(unit)
    }

    /// A property; empty if it isn't told.
    pub fn text(&self, name: &str) -> &str {
        self.properties.get(name).map_or("", String::as_str)
    }

    /// Whether the service may use an address family.
    pub fn allows_family(&self, family: &str) -> bool {
        self.allows("RestrictAddressFamilies", family)
    }

    /// Whether the service may make a system call; systemd tells groups by their members.
    pub fn allows_call(&self, call: &str) -> bool {
        self.allows("SystemCallFilter", call)
    }

    /// Those that are allowed are listed; those that are forbidden stand behind a `~`, perhaps each with what it returns;
    /// nothing is listed if all are allowed.
    fn allows(&self, list: &str, wanted: &str) -> bool {
        let listed = self.text(list);
        let names = |list: &str| {
            let mut words = list.split_whitespace();
            words.any(|word| word.split(':').next() == Some(wanted))
        };
        match listed.strip_prefix('~') {
            Some(forbidden) => !names(forbidden),
            None => listed.is_empty() || names(listed),
        }
    }

    /// Whether the service is told not to use AF_XDP.
    pub fn forgoes_xdp(&self) -> bool {
        let words = self.text("ExecStart");
        words.split_whitespace().any(|word| word == "--no-xdp")
    }

    /// The drop-in `no-xdp.conf` that comes with the server, where it is in place.
    pub fn drop_in_no_xdp(&self) -> Option<&str> {
        let mut paths = self.text("DropInPaths").split_whitespace();
        paths.find(|path| path.ends_with("/no-xdp.conf"))
    }

    /// Whether the service begins with a capability.
    pub fn has_capability(&self, name: &str) -> bool {
        let names = |property| {
            self.text(property)
                .split_whitespace()
                .any(|one| one.eq_ignore_ascii_case(name))
        };
        let root = matches!(self.text("User"), "" | "root" | "0");
        if root {
            // A root service has what its bounding set leaves; not told: everything.
            self.text("CapabilityBoundingSet").is_empty() || names("CapabilityBoundingSet")
        } else {
            names("AmbientCapabilities")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_loaded_unit_counts() {
        assert_eq!(Unit::parse("LoadState=not-found\n"), None);
        assert_eq!(Unit::parse(""), None);
        assert!(Unit::parse("LoadState=loaded\n").is_some());
    }

    #[test]
    fn families_and_capabilities() {
        let unit = |more: &str| Unit::parse(&format!("LoadState=loaded\n{more}")).unwrap();
        let families =
            |list| unit(&format!("RestrictAddressFamilies={list}")).allows_family("AF_XDP");
        assert!(families("") && families("AF_INET AF_XDP") && families("~AF_PACKET"));
        assert!(!families("AF_INET AF_UNIX") && !families("~AF_XDP AF_PACKET"));
        let calls = |list| unit(&format!("SystemCallFilter={list}")).allows_call("bpf");
        assert!(calls("") && calls("accept bpf brk") && calls("~reboot:EPERM mount"));
        assert!(!calls("accept brk") && !calls("~bpf:EPERM reboot"));
        let ambient = unit("User=sluicegate\nAmbientCapabilities=cap_net_raw cap_bpf\n");
        assert!(ambient.has_capability("CAP_BPF") && !ambient.has_capability("CAP_NET_ADMIN"));
        assert!(unit("User=\n").has_capability("CAP_NET_ADMIN"));
    }
}
