use std::fmt;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::path::PathBuf;
use std::time::Duration;

/// What the configuration says of upstreams over TLS.
///
/// In its text they stand as `forward-addr: tls:192.0.2.1@853#name` or `stub-addr: tls:...`; options that concern the
/// relay only are comments, `#tls-cert-bundle: "path"`, so that libunbound does not see them.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Each upstream once.
    pub(crate) targets: Vec<Target>,
    pub(crate) settings: Settings,
    /// The text's lines, each with the number of its upstream.
    lines: Vec<(String, Option<usize>)>,
}

/// An upstream, and the name that its certificate must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) place: Place,
    pub(crate) name: Option<String>,
}

/// Where an upstream is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Address(SocketAddr),
    /// The name of a host, and a port. Its address is not known.
    Host(String, u16),
}

/// What holds for all upstreams over TLS; the names are those of unbound.conf.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option that is yes or no"
)]
pub(crate) struct Settings {
    /// `tls-cert-bundle`.
    pub(crate) bundle: Option<PathBuf>,
    /// `tls-system-cert`.
    pub(crate) system_bundle: bool,
    /// `tls-use-sni`.
    pub(crate) sni: bool,
    /// `pad-queries`.
    pub(crate) pads: bool,
    /// `pad-queries-block-size`.
    pub(crate) block_bytes: usize,
    /// `tcp-reuse-timeout`: how long a connection is kept that nothing is asked on.
    pub(crate) idle_limit: Duration,
    /// `outgoing-interface`, those that are addresses.
    pub(crate) sources: Vec<IpAddr>,
    /// `do-ip4`.
    pub(crate) ip4: bool,
    /// `do-ip6`.
    pub(crate) ip6: bool,
    /// `tls-upstream`: nothing is asked otherwise.
    pub(crate) only_tls: bool,
}

/// A marked upstream that is none: the configuration's text comes from `sluicegate-conf`, which checked it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no upstream")]
pub(crate) struct BadTarget {
    pub(crate) line: u32,
    text: String,
}

/// Marks an upstream that is asked over TLS.
const MARK: &str = "tls:";

impl Plan {
    /// Reads the text. `None` if it says nothing of TLS.
    pub(crate) fn read(text: &str) -> Result<Option<Self>, BadTarget> {
        let mut plan = Self {
            targets: Vec::new(),
            settings: Settings::default(),
            lines: Vec::new(),
        };
        for (index, line) in text.lines().enumerate() {
            let marked = match Entry::read(line) {
                Some(entry) if entry.is_upstream() => {
                    plan.target(entry.value).map_err(|text| BadTarget {
                        line: index as u32 + 1,
                        text,
                    })?
                }
                Some(entry) => {
                    plan.settings.take(&entry);
                    None
                }
                None => None,
            };
            plan.lines.push((line.to_owned(), marked));
        }
        let is_empty = plan.targets.is_empty() && !plan.settings.only_tls;
        Ok((!is_empty).then_some(plan))
    }

    /// The text for libunbound, line by line as it was, with these addresses instead of the upstreams'.
    pub(crate) fn rewritten(&self, addresses: &[SocketAddr]) -> String {
        let mut text = String::new();
        for (line, marked) in &self.lines {
            let entry = Entry::read(line).map(|entry| entry.value);
            match marked.and_then(|number| addresses.get(number)).zip(entry) {
                Some((address, value)) => {
                    let written = format!("{}@{}", address.ip(), address.port());
                    text.push_str(&line.replace(value, &written));
                }
                None => text.push_str(line),
            }
            text.push('\n');
        }
        text
    }

    /// The number of the upstream that `value` names; `None` if it isn't marked.
    fn target(&mut self, value: &str) -> Result<Option<usize>, String> {
        let Some(written) = value.strip_prefix(MARK) else {
            return Ok(None);
        };
        let target = Target::read(written).ok_or_else(|| written.to_owned())?;
        let known = self.targets.iter().position(|known| *known == target);
        Ok(Some(known.unwrap_or_else(|| {
            self.targets.push(target);
            self.targets.len() - 1
        })))
    }
}

impl Target {
    /// `address@port` with `#name` or without.
    fn read(text: &str) -> Option<Self> {
        let (place, name) = match text.split_once('#') {
            Some((place, name)) => (place, Some(name.trim_end_matches('.').to_owned())),
            None => (text, None),
        };
        let (host, port) = place.split_once('@')?;
        let port = port.parse().ok()?;
        let place = match host.split_once('%') {
            // A scope is a number, or the name of an interface, which the standard library does not know.
            Some((ip, scope)) => Place::Address(
                SocketAddrV6::new(ip.parse().ok()?, port, 0, scope_id(scope)?).into(),
            ),
            None => match host.parse::<IpAddr>() {
                Ok(ip) => Place::Address(SocketAddr::new(ip, port)),
                Err(_) if host.is_empty() => return None,
                Err(_) => Place::Host(host.to_owned(), port),
            },
        };
        Some(Self { place, name })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Address(address) => write!(f, "{}@{}", address.ip(), address.port())?,
            Place::Host(host, port) => write!(f, "{host}@{port}")?,
        }
        match &self.name {
            Some(name) => write!(f, "#{name}"),
            None => Ok(()),
        }
    }
}

fn scope_id(scope: &str) -> Option<u32> {
    if let Ok(number) = scope.parse() {
        return Some(number);
    }
    let socket = rustix::net::socket(
        rustix::net::AddressFamily::INET6,
        rustix::net::SocketType::DGRAM,
        None,
    );
    rustix::net::netdevice::name_to_index(socket.ok()?, scope).ok()
}

impl Settings {
    fn take(&mut self, entry: &Entry<'_>) {
        let yes = entry.value == "yes";
        match entry.key {
            "tls-cert-bundle" => {
                self.bundle = Some(entry.value)
                    .filter(|path| !path.is_empty())
                    .map(PathBuf::from);
            }
            "tls-system-cert" => self.system_bundle = yes,
            "tls-use-sni" => self.sni = yes,
            "pad-queries" => self.pads = yes,
            "pad-queries-block-size" => {
                self.block_bytes = entry.value.parse().unwrap_or(DEFAULT_PADDING_BYTES).max(1);
            }
            "tcp-reuse-timeout" => {
                if let Ok(milliseconds) = entry.value.parse() {
                    self.idle_limit = Duration::from_millis(milliseconds);
                }
            }
            "outgoing-interface" => self.sources.extend(entry.value.parse::<IpAddr>()),
            "do-ip4" => self.ip4 = yes,
            "do-ip6" => self.ip6 = yes,
            "tls-upstream" => self.only_tls = yes,
            _ => {}
        }
    }

    /// Queries are padded to multiples of this.
    pub(crate) fn padding_bytes(&self) -> usize {
        if self.pads { self.block_bytes } else { 1 }
    }

    /// Whether this address may be asked.
    pub(crate) fn allows(&self, address: SocketAddr) -> bool {
        if address.is_ipv4() {
            self.ip4
        } else {
            self.ip6
        }
    }
}

/// Unbound's `pad-queries-block-size`.
const DEFAULT_PADDING_BYTES: usize = 128;

impl Default for Settings {
    fn default() -> Self {
        Self {
            bundle: None,
            system_bundle: false,
            sni: true,
            pads: true,
            block_bytes: DEFAULT_PADDING_BYTES,
            idle_limit: Duration::from_mins(1),
            sources: Vec::new(),
            ip4: true,
            ip6: true,
            only_tls: false,
        }
    }
}

/// A line with an option and its value, which may be quoted and be followed by the place it comes from.
struct Entry<'a> {
    key: &'a str,
    value: &'a str,
}

impl<'a> Entry<'a> {
    fn read(line: &'a str) -> Option<Self> {
        let line = line.trim();
        let (key, rest) = line.strip_prefix('#').unwrap_or(line).split_once(": ")?;
        let rest = rest.trim();
        let value = match rest.chars().next() {
            Some(quote @ ('"' | '\'')) => rest[1..].split(quote).next()?,
            _ => rest.split_whitespace().next()?,
        };
        Some(Self { key, value })
    }

    fn is_upstream(&self) -> bool {
        matches!(self.key, "forward-addr" | "stub-addr")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
server: # line 1
    do-ip6: no # line 2
    #tls-cert-bundle: \"/etc/a # line 7.pem\" # line 3
    tcp-reuse-timeout: 5000 # line 4
forward-zone: # line 5
    name: \".\" # line 6
    forward-addr: tls:192.0.2.1@853#dns.example. # line 7
    forward-addr: tls:2001:db8::1@853 # line 8
    forward-addr: 192.0.2.9 # line 9
stub-zone: # line 10
    stub-addr: tls:192.0.2.1@853#dns.example # line 11
";

    #[test]
    fn upstreams_are_found_once_and_replaced_everywhere() {
        let plan = Plan::read(TEXT).unwrap().unwrap();
        let named: Vec<String> = plan.targets.iter().map(ToString::to_string).collect();
        assert_eq!(named, ["192.0.2.1@853#dns.example", "2001:db8::1@853"]);
        let ports = [1001, 1002].map(|port| SocketAddr::new([127, 1, 2, 3].into(), port));
        let expected = TEXT
            .replace("tls:192.0.2.1@853#dns.example.", "127.1.2.3@1001")
            .replace("tls:192.0.2.1@853#dns.example", "127.1.2.3@1001")
            .replace("tls:2001:db8::1@853", "127.1.2.3@1002");
        assert_eq!(plan.rewritten(&ports), expected);
    }

    #[test]
    fn options_are_read_whoever_they_are_for() {
        let settings = Plan::read(TEXT).unwrap().unwrap().settings;
        let expected = Settings {
            bundle: Some("/etc/a # line 7.pem".into()),
            idle_limit: Duration::from_secs(5),
            ip6: false,
            ..Settings::default()
        };
        assert_eq!(settings, expected);
        assert!(!settings.allows("[2001:db8::1]:853".parse().unwrap()));
    }

    #[test]
    fn texts_without_tls_are_left_alone() {
        assert!(
            Plan::read("server:\n  tls-cert-bundle: x\n")
                .unwrap()
                .is_none()
        );
        let only = Plan::read("    #tls-upstream: yes # line 2\n")
            .unwrap()
            .unwrap();
        assert!(only.settings.only_tls && only.targets.is_empty());
    }

    #[test]
    fn what_is_no_upstream_is_named_with_its_line() {
        for wrong in ["tls:192.0.2.1", "tls:@853", "tls:", "tls:1.2.3.4@70000"] {
            let error = Plan::read(&format!("\n stub-addr: {wrong}\n")).unwrap_err();
            assert_eq!(error.line, 2, "{wrong}");
        }
    }

    #[test]
    fn the_size_of_padding_may_stand_before_its_switch() {
        for lines in [
            ["pad-queries: yes", "pad-queries-block-size: 64"],
            ["pad-queries-block-size: 64", "pad-queries: yes"],
        ] {
            let text = TEXT.replace("    do-ip6: no", &lines.join("\n"));
            let plan = Plan::read(&text).unwrap().unwrap();
            assert_eq!(plan.settings.padding_bytes(), 64, "{lines:?}");
        }
    }
}
