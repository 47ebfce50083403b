use std::ffi::c_int;
use std::fmt::Write as _;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::rc::Rc;
use std::thread;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use tokio::task::LocalSet;

use super::gate;
use super::plan::{BadTarget, Plan, Settings, Target};
use super::trust::{Tls, Trust, TrustError};
use super::upstream::{MAX_QUERIES, MAX_SESSIONS, Upstream};
use crate::ffi;

/// A relay with its ports bound and its certificates read, before it runs.
pub(crate) struct Relay {
    address: IpAddr,
    settings: Settings,
    upstreams: Vec<Bound>,
    /// The configuration for libunbound: its upstreams over TLS are the relay's ports.
    pub(crate) conf_text: String,
}

struct Bound {
    listener: TcpListener,
    local: SocketAddr,
    target: Target,
    tls: Tls,
}

/// Why a relay can't be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RelayError {
    #[error(transparent)]
    Target(#[from] BadTarget),
    #[error(transparent)]
    Trust(#[from] TrustError),
    #[error("no port for upstreams over TLS: {0}")]
    Port(#[from] io::Error),
}

impl RelayError {
    /// The line of the configuration that is at fault; 0 if it is not just one.
    pub(crate) fn line(&self) -> u32 {
        match self {
            Self::Target(bad) => bad.line,
            Self::Trust(_) | Self::Port(_) => 0,
        }
    }
}

impl Relay {
    /// Reads the certificates and binds the ports for the upstreams over TLS that a configuration names. `None` if it
    /// names none.
    pub(crate) fn open(conf_text: &str) -> Result<Option<Self>, RelayError> {
        let Some(plan) = Plan::read(conf_text)? else {
            return Ok(None);
        };
        let trust = Trust::new(&plan.settings, &plan.targets)?;
        let address = address(&plan.settings)?;
        let mut upstreams = Vec::with_capacity(plan.targets.len());
        for target in &plan.targets {
            let listener = TcpListener::bind((address, 0))?;
            listener.set_nonblocking(true)?;
            upstreams.push(Bound {
                local: listener.local_addr()?,
                listener,
                target: target.clone(),
                tls: trust.of(target)?,
            });
        }
        let locals: Vec<SocketAddr> = upstreams.iter().map(|bound| bound.local).collect();
        Ok(Some(Self {
            address,
            conf_text: plan.rewritten(&locals),
            settings: plan.settings,
            upstreams,
        }))
    }

    /// How many descriptors it needs: for each upstream a port and some connections. (Its ends of libunbound's
    /// connections wait when there are none left.)
    pub(crate) fn files(&self) -> u64 {
        (self.upstreams.len() * (1 + MAX_SESSIONS)) as u64 + OTHER_FILES
    }

    /// How much memory it may come to need: a query or answer in every place, buffers of connections.
    pub(crate) fn memory_bytes(&self) -> u64 {
        let upstream = MAX_QUERIES * QUERY_BYTES + MAX_SESSIONS * SESSION_BYTES;
        (self.upstreams.len() * upstream) as u64 + THREAD_BYTES
    }

    /// Configuration that leaves libunbound the relay's address, and closes what was closed before: this host, if
    /// `do-not-query-localhost` is on; all others too, if nothing may be asked without TLS.
    pub(crate) fn closing_conf(&self, localhost_is_closed: bool) -> String {
        let closed: &[IpNet] = match (self.settings.only_tls, localhost_is_closed) {
            (true, _) => &[EVERYTHING_4, EVERYTHING_6],
            (false, true) => &[LOCALHOST_4, LOCALHOST_6],
            (false, false) => &[],
        };
        let mut conf = "server:\n    do-not-query-localhost: no\n".to_owned();
        for network in closed
            .iter()
            .flat_map(|network| without(*network, self.address))
        {
            // Writing to a string cannot fail.
            let _ = writeln!(conf, "    do-not-query-address: {network}");
        }
        conf
    }

    /// Starts the relay's thread. Descriptors of this process are below `files`.
    pub(crate) fn start(self, files: u64) -> io::Result<()> {
        let files = c_int::try_from(files).unwrap_or(c_int::MAX);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()?;
        let run = move || {
            let _end = EndProcess;
            let local = LocalSet::new();
            local.block_on(&runtime, self.run(files))
        };
        thread::Builder::new()
            .name("engine-relay".to_owned())
            .spawn(run)?;
        Ok(())
    }

    async fn run(self, files: c_int) -> io::Result<()> {
        for bound in self.upstreams {
            let listener = tokio::net::TcpListener::from_std(bound.listener)?;
            let upstream = Rc::new(Upstream::new(bound.target, &self.settings, bound.tls));
            tokio::task::spawn_local(gate::admit(listener, bound.local, upstream, files));
        }
        // It lives as long as the process.
        std::future::pending().await
    }
}

/// The runtime's own, and some of libunbound's connections.
const OTHER_FILES: u64 = 32;

/// A thread that ends, by an error or a panic, ends the process: the parent starts a whole one.
struct EndProcess;

impl Drop for EndProcess {
    fn drop(&mut self) {
        ffi::exit_at_once(2)
    }
}

/// A query and its answer on their way; few answers are longer.
const QUERY_BYTES: usize = 16 << 10;
/// A TLS connection with its buffers.
const SESSION_BYTES: usize = 1 << 20;
/// Stack, runtime, the certificates that are trusted.
const THREAD_BYTES: u64 = 16 << 20;

/// Where the ports are: on an address of this host that nobody can guess, so that no zone's data can lead libunbound
/// to it; on `::1` if libunbound may use IPv6 only.
fn address(settings: &Settings) -> io::Result<IpAddr> {
    let sources = &settings.sources;
    let no_source4 = !sources.is_empty() && !sources.iter().any(IpAddr::is_ipv4);
    if !settings.ip4 || (settings.ip6 && no_source4) {
        return Ok(Ipv6Addr::LOCALHOST.into());
    }
    let mut bytes = [0; 3];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    // Neither 127.0.0.0/24, where others are, nor what looks like a broadcast address.
    let [a, b, c] = bytes.map(|byte| byte.clamp(1, 254));
    Ok(Ipv4Addr::new(127, a, b, c).into())
}

const EVERYTHING_4: IpNet = IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0));
const EVERYTHING_6: IpNet = IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0));
const LOCALHOST_4: IpNet = IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8));
const LOCALHOST_6: IpNet = IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128));

/// The networks that are all of `network` but `address`.
fn without(network: IpNet, address: IpAddr) -> Vec<IpNet> {
    if !network.contains(&address) {
        return vec![network];
    }
    (network.prefix_len()..network.max_prefix_len())
        .map(|bit| beside(address, bit))
        .collect()
}

/// The network that has the first `bit` bits of `address`, and not the next one.
fn beside(address: IpAddr, bit: u8) -> IpNet {
    let (address, whole): (IpAddr, _) = match address {
        IpAddr::V4(address) => (
            Ipv4Addr::from_bits(address.to_bits() ^ (1 << (31 - bit))).into(),
            32,
        ),
        IpAddr::V6(address) => (
            Ipv6Addr::from_bits(address.to_bits() ^ (1 << (127 - bit))).into(),
            128,
        ),
    };
    debug_assert!(bit < whole);
    IpNet::new_assert(address, bit + 1).trunc()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relay(address: &str, only_tls: bool) -> Relay {
        Relay {
            address: address.parse().unwrap(),
            settings: Settings {
                only_tls,
                ..Settings::default()
            },
            upstreams: Vec::new(),
            conf_text: String::new(),
        }
    }

    /// Whether libunbound may ask `address` with this configuration.
    fn may_ask(conf: &str, address: &str) -> bool {
        let address: IpAddr = address.parse().unwrap();
        let closed = conf
            .lines()
            .filter_map(|line| line.trim().strip_prefix("do-not-query-address: "));
        !closed
            .map(|network| network.parse::<IpNet>().unwrap())
            .any(|network| network.contains(&address))
    }

    #[test]
    fn localhost_stays_closed_but_for_the_relay() {
        let conf = relay("127.9.8.7", false).closing_conf(true);
        for (address, open) in [
            ("127.9.8.7", true),
            ("127.9.8.6", false),
            ("127.9.8.135", false),
            ("127.0.0.1", false),
            ("127.255.255.255", false),
            ("::1", false),
            ("126.255.255.255", true),
            ("128.0.0.0", true),
            ("2001:db8::1", true),
        ] {
            assert_eq!(may_ask(&conf, address), open, "{address}");
        }
        let conf = relay("::1", false).closing_conf(true);
        assert!(may_ask(&conf, "::1") && !may_ask(&conf, "127.0.0.1"));
        let conf = relay("127.9.8.7", false).closing_conf(false);
        assert!(may_ask(&conf, "127.0.0.1") && may_ask(&conf, "::1"));
    }

    #[test]
    fn with_tls_upstream_nothing_else_is_asked() {
        for localhost in [true, false] {
            let conf = relay("127.9.8.7", true).closing_conf(localhost);
            assert!(may_ask(&conf, "127.9.8.7"));
            for address in [
                "127.9.8.6",
                "192.0.2.1",
                "255.255.255.255",
                "::1",
                "2001:db8::1",
            ] {
                assert!(!may_ask(&conf, address), "{address}");
            }
        }
    }

    #[test]
    fn the_address_is_hard_to_guess_and_of_a_family_in_use() {
        let four = address(&Settings::default()).unwrap();
        assert!(four.is_loopback() && four.is_ipv4());
        assert_ne!(four, address(&Settings::default()).unwrap());
        let no_ip4 = Settings {
            ip4: false,
            ..Settings::default()
        };
        assert_eq!(address(&no_ip4).unwrap(), Ipv6Addr::LOCALHOST);
        let from_6 = Settings {
            sources: vec!["2001:db8::1".parse().unwrap()],
            ..Settings::default()
        };
        assert_eq!(address(&from_6).unwrap(), Ipv6Addr::LOCALHOST);
    }
}
