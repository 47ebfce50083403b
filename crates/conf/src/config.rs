//! The resolved configuration: immutable, complete, with Unbound's defaults filled in.

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;

use crate::{At, ResponseRule, TagConfig};

/// Everything the server needs to know, resolved.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option that is yes or no"
)]
pub struct Config {
    /// `interface`/`ip-address`, in order. Empty in the file means 127.0.0.1 and `::1`, filled in here.
    pub listen: Vec<At<Listen>>,
    /// `port`: used where `interface` names none. Default 53.
    pub port: u16,
    /// `do-ip4`, default yes.
    pub do_ip4: bool,
    /// `do-ip6`, default yes.
    pub do_ip6: bool,
    /// `do-udp`, default yes.
    pub do_udp: bool,
    /// `do-tcp`, default yes.
    pub do_tcp: bool,
    /// `access-control`, as written; the defaults (localhost only) are not in it.
    pub access_control: Vec<At<AccessRule>>,
    /// `local-zone` of the server clause, as written; the built-in zones are not in it.
    pub local_zones: Vec<At<LocalZone>>,
    /// `local-data`: one resource record in presentation format each.
    pub local_data: Vec<At<String>>,
    /// `local-data-ptr`, already turned into the PTR record's presentation format.
    pub local_data_ptr: Vec<At<String>>,
    /// Tags, and what hangs on them.
    pub tags: TagConfig,
    /// `response-ip`, `response-ip-data` and `response-ip-tag` of the server clause, in order.
    pub responses: Vec<At<ResponseRule>>,
    /// `unblock-lan-zones`, default no.
    pub unblock_lan_zones: bool,
    /// Answer cache.
    pub cache: CacheConfig,
    /// Limits of messages.
    pub message: MessageConfig,
    /// What clients are told of the server itself, by CHAOS queries and by NSID.
    pub chaos: ChaosConfig,
    /// TCP service.
    pub tcp: TcpConfig,
    /// How often a client may ask.
    pub rate_limit: RateLimitConfig,
    /// `num-threads`; `None` when the file does not say (then one for each core).
    pub num_threads: Option<u16>,
    /// `username`; `None` or empty: stay who we are.
    pub username: Option<At<String>>,
    /// `directory`; `None`: stay where we are.
    pub directory: Option<At<PathBuf>>,
    /// `pidfile`; `None`: write none.
    pub pidfile: Option<At<PathBuf>>,
    /// Logging.
    pub log: LogConfig,
    /// `statistics-interval` in seconds; 0: never.
    pub statistics_interval_secs: u32,
    /// The control socket.
    pub control: ControlConfig,
    /// Our clause `xdp:`.
    pub xdp: XdpConfig,
    /// What is handed to libunbound.
    pub engine: EngineConfig,
}

/// One `interface:` line.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Listen {
    /// `address` or `address@port`; may be the wildcard.
    Address(SocketAddr),
    /// An interface name, with `@port` or the default port: all its addresses.
    Interface {
        /// Kernel name or altname.
        name: String,
        /// The port.
        port: u16,
    },
}

/// One `access-control:` line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessRule {
    /// The clients meant.
    pub prefix: IpNet,
    /// What happens to their queries.
    pub action: AccessAction,
}

/// Unbound's access-control actions; see unbound.conf(5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants are the keywords")]
pub enum AccessAction {
    Deny,
    Refuse,
    Allow,
    AllowSetrd,
    AllowSnoop,
    AllowCookie,
    DenyNonLocal,
    RefuseNonLocal,
    /// No keyword: `allow`, for a client whose replies are looked at one by one. A policy puts it in the place of
    /// `Allow` where something beyond access control and the cache has a say in every answer.
    AllowWatched,
}

/// One `local-zone:` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalZone {
    /// Apex in presentation format.
    pub name: String,
    /// Its type.
    pub kind: LocalZoneType,
}

/// Unbound's local-zone types; see unbound.conf(5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants are the keywords")]
pub enum LocalZoneType {
    Deny,
    Refuse,
    Static,
    Transparent,
    TypeTransparent,
    Redirect,
    Inform,
    InformDeny,
    InformRedirect,
    AlwaysTransparent,
    BlockA,
    BlockAaaa,
    BlockAWdata,
    BlockAaaaWdata,
    AlwaysRefuse,
    AlwaysNxdomain,
    AlwaysNodata,
    AlwaysDeny,
    AlwaysNull,
    Noview,
    Nodefault,
}

/// The answer cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheConfig {
    /// `msg-cache-size` in bytes; default 4 MiB. Here it bounds the whole answer cache.
    pub size_bytes: u64,
    /// `cache-min-ttl` in seconds; default 0.
    pub min_ttl_secs: u32,
    /// `cache-max-ttl` in seconds; default 86400.
    pub max_ttl_secs: u32,
    /// `cache-min-negative-ttl` in seconds; default 0.
    pub min_negative_ttl_secs: u32,
    /// `cache-max-negative-ttl` in seconds; default 3600.
    pub max_negative_ttl_secs: u32,
    /// `prefetch`, default no.
    pub prefetch: bool,
    /// `val-bogus-ttl` in seconds; default 60.
    pub bogus_ttl_secs: u32,
    /// What becomes of answers that have expired.
    pub expired: ExpiredConfig,
}

/// The `serve-expired` options (RFC 8767).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpiredConfig {
    /// `serve-expired`, default no.
    pub serve: bool,
    /// `serve-expired-ttl`: for how many seconds after its end an answer may be served; 0: for ever; default 86400.
    pub ttl_secs: u32,
    /// `serve-expired-ttl-reset`: a failed attempt to refresh starts that time again; default no.
    pub ttl_reset: bool,
    /// `serve-expired-reply-ttl`: the TTL of such answers in seconds; default 30.
    pub reply_ttl_secs: u32,
    /// `serve-expired-client-timeout`: for how many milliseconds a client waits for a fresh answer first; 0: not
    /// at all; default 1800.
    pub client_timeout_ms: u32,
}

/// Limits of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageConfig {
    /// `edns-buffer-size`: the size our OPT announces; default 1232.
    pub edns_buffer_bytes: u16,
    /// `max-udp-size`: the largest UDP reply, whatever the client says; default 1232
    /// (4096 before Unbound 1.18).
    pub max_udp_bytes: u16,
    /// `deny-any`, default no.
    pub deny_any: bool,
    /// `edns-tcp-keepalive`, default no.
    pub edns_tcp_keepalive: bool,
    /// `ede`; `None`: not written, so that only failures of resolution are explained.
    pub ede: Option<bool>,
    /// `ede-serve-expired`; `None`: not written, which counts as yes unless `ede` is no.
    pub ede_serve_expired: Option<bool>,
    /// `rrset-roundrobin`, default yes.
    pub rrset_roundrobin: bool,
}

/// What CHAOS queries are told.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ChaosConfig {
    /// `hide-identity`.
    pub hide_identity: bool,
    /// `identity`; `None`: the host name.
    pub identity: Option<String>,
    /// `hide-version`.
    pub hide_version: bool,
    /// `version`; `None`: ours.
    pub version: Option<String>,
    /// `hide-trustanchor`.
    pub hide_trustanchor: bool,
    /// What is told of each trust anchor: its name, and the tags of its keys. Empty here: they may stand in files, which
    /// the server looks at.
    pub trust_anchors: Vec<String>,
    /// `nsid` (RFC 5001): what it says in octets; `None`: nothing is told.
    pub nsid: Option<Vec<u8>>,
}

/// TCP service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpConfig {
    /// `incoming-num-tcp`: connections for each thread; default 10.
    pub connections_per_thread: u32,
    /// `tcp-idle-timeout` in milliseconds; default 30000.
    pub idle_timeout_ms: u32,
}

/// The `ip-ratelimit` options: how often a client may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimitConfig {
    /// `ip-ratelimit`: queries per second of one address; 0, the default: no limit. At most about four million.
    pub queries_per_sec: u32,
    /// `ip-ratelimit-size` in bytes: bounds the table in which clients are counted; default 4 MiB. In a table of a few KiB
    /// clients who ask too much may push each other out, and so escape their limit.
    pub size_bytes: u64,
    /// `ip-ratelimit-factor`: beyond the limit, one query in so many is answered; 0: none; default 10.
    pub factor: u32,
    /// `ip-ratelimit-backoff`: whether a client that exceeds the limit waits until it has asked less for two seconds;
    /// default no.
    pub backoff: bool,
}

/// Logging.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// `verbosity`, 0 to 5; default 1.
    pub verbosity: u8,
    /// `logfile`; `None` or empty: standard error.
    pub logfile: Option<PathBuf>,
    /// `use-syslog`; as in Unbound it wins over `logfile` when yes. Default here: no unless written.
    pub use_syslog: bool,
    /// `log-time-ascii`.
    pub time_ascii: bool,
    /// `val-log-level`, default 0.
    pub val_log_level: u8,
}

/// The control socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlConfig {
    /// `control-enable`; `None` when the file does not say.
    pub enable: Option<bool>,
    /// A `control-interface` that is a path; `None`: the default path.
    pub socket: Option<PathBuf>,
}

/// Our clause `xdp:`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XdpConfig {
    /// `enable`: whether AF_XDP is used.
    pub enable: XdpEnable,
    /// `mode`: the highest rung tried, or the only one.
    pub mode: XdpMode,
    /// `queues`: serve only the first N queues; `None`: all.
    pub queues: Option<u32>,
    /// `frames`: UMEM frames for each queue; default 4096.
    pub frames: u32,
    /// `rx-ring`, `tx-ring`: entries; power of two; default 2048.
    pub rx_ring: u32,
    /// See `rx_ring`.
    pub tx_ring: u32,
    /// `busy-poll`: microseconds; 0: off.
    pub busy_poll_us: u32,
    /// `route-check`: whether a query is left to the kernel when the route of its reply takes another way.
    pub route_check: XdpRouteCheck,
    /// `pinned-maps`: a directory of a BPF file system, below which the maps of each interface are pinned for a program
    /// of somebody else's; `None`: Sluicegate attaches its own.
    pub pinned_maps: Option<PathBuf>,
}

/// `xdp: enable:`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XdpEnable {
    /// Where it works; a clear line where it does not.
    Auto,
    /// It must work on every interface with a listen address, but for bridges and the like that only a wildcard
    /// takes in; starting fails otherwise.
    Yes,
    /// Never.
    No,
}

/// `xdp: mode:`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XdpMode {
    /// Zero-copy, else native copy, else generic copy.
    Auto,
    /// Zero-copy or nothing.
    ZeroCopy,
    /// Native copy or nothing.
    Copy,
    /// Generic copy or nothing.
    Generic,
}

/// `xdp: route-check:`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XdpRouteCheck {
    /// Where two interfaces or more have addresses, and the kernel looks up routes for the program.
    Auto,
    /// Always.
    Yes,
    /// Never: a reply leaves by the interface that its query came by, to the neighbour that sent it.
    No,
}

/// What is handed to libunbound, as `unbound.conf` text without our own clauses and options.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EngineConfig {
    /// A whole configuration file: the `server:` options that belong to the resolver, and the
    /// `forward-zone:`, `stub-zone:`, `auth-zone:` ... clauses, unchanged and in order.
    pub text: String,
}

/// The most threads that the engine can have.
pub const MAX_ENGINE_THREADS: u16 = 128;

impl LocalZoneType {
    /// The type that a word of the configuration names. `ipset` names none of these.
    pub fn from_word(word: &str) -> Option<Self> {
        Some(match word {
            "deny" => Self::Deny,
            "refuse" => Self::Refuse,
            "static" => Self::Static,
            "transparent" => Self::Transparent,
            "typetransparent" => Self::TypeTransparent,
            "redirect" => Self::Redirect,
            "inform" => Self::Inform,
            "inform_deny" => Self::InformDeny,
            "inform_redirect" => Self::InformRedirect,
            "always_transparent" => Self::AlwaysTransparent,
            "block_a" => Self::BlockA,
            "block_aaaa" => Self::BlockAaaa,
            "block_a_wdata" => Self::BlockAWdata,
            "block_aaaa_wdata" => Self::BlockAaaaWdata,
            "always_refuse" => Self::AlwaysRefuse,
            "always_nxdomain" => Self::AlwaysNxdomain,
            "always_nodata" => Self::AlwaysNodata,
            "always_deny" => Self::AlwaysDeny,
            "always_null" => Self::AlwaysNull,
            "noview" => Self::Noview,
            "nodefault" => Self::Nodefault,
            _ => return None,
        })
    }
}
