use std::fmt;

use serde::{Deserialize, Serialize};

/// A runtime setting, as it is and as it should be. It lasts until the machine restarts, or until it is put back.
///
/// A change is data and never a command line: what [`Undo`](crate::Undo) reads from its file can do no more than
/// these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "setting", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Change {
    /// An offload (`ethtool -K`).
    Offload {
        /// The interface.
        interface: String,
        /// ethtool's name of the offload.
        name: Offload,
        /// Whether it is on.
        from: bool,
        /// Whether it should be.
        to: bool,
    },
    /// What of UDP packets is hashed (`ethtool -N IF rx-flow-hash`).
    UdpHash {
        /// The interface.
        interface: String,
        /// Over which IP.
        flow: Flow,
        /// ethtool's letters as they are.
        from: String,
        /// As they should be.
        to: String,
    },
    /// Entries of the receiving rings (`ethtool -G`).
    RxRing {
        /// The interface.
        interface: String,
        /// As it is.
        from: u32,
        /// As it should be.
        to: u32,
    },
    /// Queues that both receive and transmit (`ethtool -L`).
    Channels {
        /// The interface.
        interface: String,
        /// As it is.
        from: u32,
        /// As it should be.
        to: u32,
    },
    /// The largest packet in bytes (`ip link set mtu`).
    Mtu {
        /// The interface.
        interface: String,
        /// As it is.
        from: u32,
        /// As it should be.
        to: u32,
    },
    /// The bridge, bond or VRF that an interface belongs to (`ip link set master`).
    Master {
        /// The interface.
        interface: String,
        /// As it is.
        from: Option<String>,
        /// As it should be.
        to: Option<String>,
    },
    /// A sysctl.
    Sysctl {
        /// Its path below `/proc/sys`, which begins with `net/`.
        key: String,
        /// As it is.
        from: String,
        /// As it should be.
        to: String,
    },
    /// Which processors handle an interrupt.
    Irq {
        /// The interrupt.
        number: u32,
        /// As it is: a list as `0-3,8`.
        from: String,
        /// As it should be.
        to: String,
    },
    /// How all processors choose their frequency.
    Governor {
        /// As it is.
        from: String,
        /// As it should be.
        to: String,
    },
}

/// An offload that may be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Offload {
    /// Tags of received packets are taken off.
    RxVlan,
    /// The same of 802.1ad's tags.
    RxServiceVlan,
    /// The device joins packets.
    Lro,
}

/// A kind of UDP packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Flow {
    /// Over IPv4.
    Udp4,
    /// Over IPv6.
    Udp6,
}

/// A command line: a program and its arguments. Shown as it can be copied into a shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command(Vec<String>);

impl Change {
    /// The command that makes the change.
    pub fn command(&self) -> Command {
        let onoff = |on: &bool| if *on { "on" } else { "off" }.to_owned();
        let words: Vec<String> = match self {
            Self::Offload {
                interface,
                name,
                to,
                ..
            } => ethtool("-K", interface, [name.word().to_owned(), onoff(to)]),
            Self::UdpHash {
                interface,
                flow,
                to,
                ..
            } => {
                let more = ["rx-flow-hash", flow.word(), to].map(str::to_owned);
                ethtool("-N", interface, more)
            }
            Self::RxRing { interface, to, .. } => {
                ethtool("-G", interface, ["rx".to_owned(), to.to_string()])
            }
            Self::Channels { interface, to, .. } => {
                ethtool("-L", interface, ["combined".to_owned(), to.to_string()])
            }
            Self::Mtu { interface, to, .. } => {
                ip_link(interface, ["mtu".to_owned(), to.to_string()])
            }
            Self::Master { interface, to, .. } => match to {
                Some(master) => ip_link(interface, ["master".to_owned(), master.clone()]),
                None => ip_link(interface, ["nomaster".to_owned()]),
            },
            Self::Sysctl { key, to, .. } => ["sysctl", "-w", &format!("{key}={to}")]
                .map(str::to_owned)
                .into(),
            Self::Irq { number, to, .. } => {
                shell(format!("echo {to} > /proc/irq/{number}/smp_affinity_list"))
            }
            Self::Governor { to, .. } => shell(format!(
                "for file in /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor; do echo {to} > \"$file\"; done"
            )),
        };
        Command(words)
    }

    /// The change that puts this one back.
    #[must_use]
    pub fn reversed(&self) -> Self {
        let mut other = self.clone();
        match &mut other {
            Self::Offload { from, to, .. } => std::mem::swap(from, to),
            Self::Master { from, to, .. } => std::mem::swap(from, to),
            Self::RxRing { from, to, .. }
            | Self::Channels { from, to, .. }
            | Self::Mtu { from, to, .. } => std::mem::swap(from, to),
            Self::UdpHash { from, to, .. }
            | Self::Sysctl { from, to, .. }
            | Self::Irq { from, to, .. }
            | Self::Governor { from, to } => std::mem::swap(from, to),
        }
        other
    }

    /// The same change with another outcome, in the words of [`values`](Self::values): what the driver made of it. `None`
    /// if the setting can't have that value.
    #[must_use]
    pub fn reaching(&self, value: &str) -> Option<Self> {
        let mut other = self.clone();
        match &mut other {
            Self::RxRing { to, .. } | Self::Channels { to, .. } | Self::Mtu { to, .. } => {
                *to = value.parse().ok()?;
            }
            Self::Offload { .. } | Self::Master { .. } => {
                return (self.values().1 == value).then_some(other);
            }
            Self::UdpHash { to, .. }
            | Self::Sysctl { to, .. }
            | Self::Irq { to, .. }
            | Self::Governor { to, .. } => value.clone_into(to),
        }
        other.is_sound().then_some(other)
    }

    /// Whether traffic stops for a moment or for good when it is made, so that it wants to be asked for by name.
    pub const fn interrupts(&self) -> bool {
        match self {
            Self::RxRing { .. }
            | Self::Channels { .. }
            | Self::Mtu { .. }
            | Self::Master { .. } => true,
            Self::Offload { .. }
            | Self::UdpHash { .. }
            | Self::Sysctl { .. }
            | Self::Irq { .. }
            | Self::Governor { .. } => false,
        }
    }

    /// The setting as it is and as it should be, for people.
    pub fn values(&self) -> (String, String) {
        let onoff = |on: &bool| if *on { "on" } else { "off" }.to_owned();
        let master = |name: &Option<String>| name.clone().unwrap_or_else(|| "none".to_owned());
        match self {
            Self::Offload { from, to, .. } => (onoff(from), onoff(to)),
            Self::Master { from, to, .. } => (master(from), master(to)),
            Self::RxRing { from, to, .. }
            | Self::Channels { from, to, .. }
            | Self::Mtu { from, to, .. } => (from.to_string(), to.to_string()),
            Self::UdpHash { from, to, .. }
            | Self::Sysctl { from, to, .. }
            | Self::Irq { from, to, .. }
            | Self::Governor { from, to } => (from.clone(), to.clone()),
        }
    }

    /// Whether its parts are what they claim to be: names that the kernel could have given, values without anything that
    /// a shell would see.
    pub fn is_sound(&self) -> bool {
        let (from, to) = self.values();
        let words = match self {
            Self::Master { .. } => is_name(&from) && is_name(&to),
            Self::Irq { .. } => is_list(&from) && is_list(&to),
            _ => is_word(&from) && is_word(&to),
        };
        words
            && match self {
                Self::Offload { interface, .. }
                | Self::UdpHash { interface, .. }
                | Self::RxRing { interface, .. }
                | Self::Channels { interface, .. }
                | Self::Mtu { interface, .. }
                | Self::Master { interface, .. } => is_name(interface),
                Self::Sysctl { key, .. } => {
                    key.starts_with("net/")
                        && key.split('/').all(|part| part != ".." && is_name(part))
                }
                Self::Irq { .. } | Self::Governor { .. } => true,
            }
    }
}

impl Command {
    /// The program.
    pub fn program(&self) -> &str {
        self.0.first().map_or("", String::as_str)
    }

    /// Its arguments.
    pub fn arguments(&self) -> &[String] {
        self.0.get(1..).unwrap_or_default()
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A script for the shell is shown bare: it is meant for one.
        if let ["sh", "-c", script] = self.0.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            return f.write_str(script);
        }
        for (i, word) in self.0.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { " " })?;
            f.write_str(&quoted(word))?;
        }
        Ok(())
    }
}

impl Offload {
    const fn word(self) -> &'static str {
        match self {
            Self::RxVlan => "rxvlan",
            Self::RxServiceVlan => "rx-vlan-stag-hw-parse",
            Self::Lro => "lro",
        }
    }
}

impl Flow {
    /// ethtool's word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Udp4 => "udp4",
            Self::Udp6 => "udp6",
        }
    }
}

/// A word as a shell takes it literally.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

fn ethtool(option: &str, interface: &str, more: impl IntoIterator<Item = String>) -> Vec<String> {
    let head = ["ethtool", option, interface].map(str::to_owned);
    head.into_iter().chain(more).collect()
}

fn ip_link(interface: &str, more: impl IntoIterator<Item = String>) -> Vec<String> {
    let head = ["ip", "link", "set", "dev", interface].map(str::to_owned);
    head.into_iter().chain(more).collect()
}

fn shell(script: String) -> Vec<String> {
    vec!["sh".to_owned(), "-c".to_owned(), script]
}

/// An interface's name as the kernel allows them (`dev_valid_name`), but none that a tool would take for an option.
fn is_name(name: &str) -> bool {
    let bytes = name.len();
    (1..16).contains(&bytes)
        && !name.starts_with('-')
        && name != "."
        && name != ".."
        && !name.contains(|c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control())
}

fn is_word(word: &str) -> bool {
    word.len() < 64 && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn is_list(list: &str) -> bool {
    !list.is_empty()
        && list.len() < 256
        && list
            .chars()
            .all(|c| c.is_ascii_digit() || c == ',' || c == '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nomaster(interface: &str) -> Change {
        Change::Master {
            interface: interface.into(),
            from: Some("vmbr0".into()),
            to: None,
        }
    }

    fn rp_filter(interface: &str) -> Change {
        Change::Sysctl {
            key: format!("net/ipv4/conf/{interface}/rp_filter"),
            from: "1".into(),
            to: "2".into(),
        }
    }

    #[test]
    fn commands_can_be_copied() {
        let shown = |change: &Change| change.command().to_string();
        assert_eq!(shown(&nomaster("bond0")), "ip link set dev bond0 nomaster");
        assert_eq!(
            shown(&nomaster("bond0").reversed()),
            "ip link set dev bond0 master vmbr0"
        );
        assert_eq!(
            shown(&rp_filter("eth0.10")),
            "sysctl -w net/ipv4/conf/eth0.10/rp_filter=2"
        );
        let hash = Change::UdpHash {
            interface: "eth0".into(),
            flow: Flow::Udp6,
            from: "sd".into(),
            to: "sdfn".into(),
        };
        assert_eq!(shown(&hash), "ethtool -N eth0 rx-flow-hash udp6 sdfn");
        let irq = Change::Irq {
            number: 33,
            from: "0".into(),
            to: "1".into(),
        };
        assert_eq!(shown(&irq), "echo 1 > /proc/irq/33/smp_affinity_list");
    }

    #[test]
    fn names_that_a_shell_would_read_are_quoted() {
        let odd = nomaster("a;b$(c)");
        assert_eq!(
            odd.command().to_string(),
            "ip link set dev 'a;b$(c)' nomaster"
        );
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn what_could_be_something_else_is_unsound() {
        assert!(nomaster("bond0").is_sound() && rp_filter("eth0.10").is_sound());
        for interface in ["", "-h", "a b", "a/b", "..", "a-name-of-sixteen"] {
            assert!(!nomaster(interface).is_sound(), "{interface}");
        }
        let key = |key: &str, to: &str| Change::Sysctl {
            key: key.into(),
            from: "0".into(),
            to: to.into(),
        };
        assert!(!key("kernel/core_pattern", "1").is_sound());
        assert!(!key("net/../kernel/core_pattern", "1").is_sound());
        assert!(!key("net/ipv4/ip_forward", "1 2").is_sound());
        let governor = |to: &str| Change::Governor {
            from: "powersave".into(),
            to: to.into(),
        };
        assert!(governor("performance").is_sound());
        assert!(!governor("a; reboot").is_sound());
    }

    #[test]
    fn drivers_round_what_they_are_given() {
        let ring = |to| Change::RxRing {
            interface: "eth0".into(),
            from: 256,
            to,
        };
        assert_eq!(ring(2000).reaching("1992"), Some(ring(1992)));
        assert_eq!(ring(2000).reaching("many"), None);
        assert_eq!(nomaster("eth0").reaching("vmbr1"), None);
        assert_eq!(nomaster("eth0").reaching("none"), Some(nomaster("eth0")));
        assert_eq!(rp_filter("eth0").reaching("1; reboot"), None);
    }

    #[test]
    fn reversed_twice_is_the_same() {
        for change in [nomaster("bond0"), rp_filter("eth0")] {
            assert_ne!(change, change.reversed());
            assert_eq!(change, change.reversed().reversed());
        }
    }
}
