//! The options of `server:` that concern clients, and the process itself.

use super::Arg::{
    Bool, Bytes, Directory, Interface, Name, Netblock, Nsid, Number, NumberOrNothing, OneOf, Path,
    Port, Ports, Positive, PowerOfTwo, ReadFile, Record, Reverse, Text, Within,
};
use super::Clause::{Server, View};
use super::keyword::{Keyword, honoured, inert, later, shared};

const ACTIONS: &[&str] = &[
    "deny",
    "refuse",
    "deny_non_local",
    "refuse_non_local",
    "allow",
    "allow_setrd",
    "allow_snoop",
    "allow_cookie",
];

const ZONE_TYPES: &[&str] = &[
    "static",
    "deny",
    "refuse",
    "redirect",
    "transparent",
    "typetransparent",
    "inform",
    "inform_deny",
    "inform_redirect",
    "always_transparent",
    "block_a",
    "block_aaaa",
    "block_a_wdata",
    "block_aaaa_wdata",
    "always_refuse",
    "always_nxdomain",
    "always_nodata",
    "always_deny",
    "always_null",
    "noview",
    "nodefault",
    "ipset",
];

const RESPONSE_ACTIONS: &[&str] = &[
    "deny",
    "redirect",
    "inform",
    "inform_deny",
    "always_transparent",
    "always_refuse",
    "always_nxdomain",
];

const COUNTERS: &str = "counters never go back to zero by being read";
const DOH: &str = "DNS over HTTPS is not served yet";
const DOT: &str = "DNS over TLS is not served yet; an `interface:` at this port is left closed";
const FOREGROUND: &str = "the server stays in the foreground; the service manager keeps it";
const LOCAL: &str = "tags are not built yet: the answer is the same for all clients";
const OWN_CACHE: &str = "the answer cache takes no locks and has no slabs";
const QUERY_LOG: &str = "there is no query log yet";
const QUIC: &str = "DNS over QUIC is not served yet";
const SOCKETS: &str = "the kernel's default stays";
const VIEWS: &str = "views are not built yet: all clients see the server's own local zones";
const WAITING: &str = "waiting queries are bounded for each worker, not for each client";
const XOT_COOKIE: &str = "cookies are neither made nor checked yet";

/// The rows.
pub(super) const ROWS: &[Keyword] = &[
    // Where to listen.
    honoured("interface", &[Interface], ""),
    honoured("ip-address", &[Interface], "").means("interface"),
    honoured("port", &[Port], "53"),
    honoured("interface-automatic", &[Bool], "no"),
    honoured("interface-automatic-ports", &[Ports], ""),
    shared("do-ip4", &[Bool], "yes"),
    shared("do-ip6", &[Bool], "yes"),
    shared("do-udp", &[Bool], "yes"),
    shared("do-tcp", &[Bool], "yes"),
    honoured("incoming-num-tcp", &[Number], "10"),
    honoured("tcp-idle-timeout", &[Number], "30000"),
    honoured("edns-tcp-keepalive", &[Bool], "no"),
    later(
        "edns-tcp-keepalive-timeout",
        &[Number],
        ("120000", ""),
        "clients are told `tcp-idle-timeout:`",
    ),
    later(
        "tcp-connection-limit",
        &[Netblock, Number],
        ("", ""),
        "only `incoming-num-tcp:` bounds connections",
    ),
    later("tcp-mss", &[Number], ("0", "0"), SOCKETS),
    later(
        "stream-wait-size",
        &[Bytes],
        ("4m", ""),
        "waiting replies are bounded for each connection",
    ),
    later("so-rcvbuf", &[Bytes], ("0", "0"), SOCKETS),
    later("so-sndbuf", &[Bytes], ("0", "0"), SOCKETS),
    inert(
        "so-reuseport",
        &[Bool],
        "yes",
        "every worker always has its own socket",
    ),
    later(
        "ip-transparent",
        &[Bool],
        ("no", "no"),
        "addresses are opened once they are there",
    ),
    later(
        "ip-freebind",
        &[Bool],
        ("no", "no"),
        "addresses are opened once they are there",
    ),
    later(
        "ip-dscp",
        &[Within { min: 0, max: 63 }],
        ("0", "0"),
        SOCKETS,
    ),
    later(
        "proxy-protocol-port",
        &[Port],
        ("", ""),
        "an `interface:` at this port is left closed",
    )
    .since(17, 0),
    later(
        "sock-queue-timeout",
        &[Number],
        ("0", "0"),
        "queries are answered however long the kernel held them",
    )
    .since(18, 0),
    // Who may ask.
    honoured("access-control", &[Netblock, OneOf(ACTIONS)], ""),
    honoured("access-control-tag", &[Netblock, Text], ""),
    honoured(
        "access-control-tag-action",
        &[Netblock, Text, OneOf(ZONE_TYPES)],
        "",
    ),
    honoured("access-control-tag-data", &[Netblock, Text, Text], ""),
    later("access-control-view", &[Netblock, Text], ("", ""), VIEWS),
    later(
        "interface-action",
        &[Interface, OneOf(ACTIONS)],
        ("", ""),
        "only `access-control:` decides",
    )
    .since(17, 0),
    later("interface-tag", &[Interface, Text], ("", ""), LOCAL).since(17, 0),
    later(
        "interface-tag-action",
        &[Interface, Text, OneOf(ZONE_TYPES)],
        ("", ""),
        LOCAL,
    )
    .since(17, 0),
    later(
        "interface-tag-data",
        &[Interface, Text, Text],
        ("", ""),
        LOCAL,
    )
    .since(17, 0),
    later("interface-view", &[Interface, Text], ("", ""), VIEWS).since(17, 0),
    honoured("ip-ratelimit", &[Number], "0"),
    later("ip-ratelimit-cookie", &[Number], ("0", "0"), XOT_COOKIE).since(18, 0),
    honoured("ip-ratelimit-size", &[Bytes], "4m"),
    inert(
        "ip-ratelimit-slabs",
        &[PowerOfTwo],
        "4",
        "the table of clients takes no locks and has no slabs",
    ),
    honoured("ip-ratelimit-factor", &[Number], "10"),
    honoured("ip-ratelimit-backoff", &[Bool], "no"),
    later("discard-timeout", &[Number], ("1900", ""), WAITING).since(20, 0),
    later("wait-limit", &[Number], ("1000", ""), WAITING).since(20, 0),
    later("wait-limit-cookie", &[Number], ("10000", ""), WAITING).since(20, 0),
    later(
        "wait-limit-netblock",
        &[Netblock, Number],
        ("", ""),
        WAITING,
    )
    .since(20, 0),
    later(
        "wait-limit-cookie-netblock",
        &[Netblock, Number],
        ("", ""),
        WAITING,
    )
    .since(20, 0),
    later("answer-cookie", &[Bool], ("no", "no"), XOT_COOKIE).since(18, 0),
    later("cookie-secret", &[Text], ("", ""), XOT_COOKIE).since(18, 0),
    later("cookie-secret-file", &[Path], ("", ""), XOT_COOKIE).since(21, 0),
    // What is answered here.
    honoured("local-zone", &[Name, OneOf(ZONE_TYPES)], "").within(&[Server, View]),
    honoured("local-data", &[Record], "").within(&[Server, View]),
    honoured("local-data-ptr", &[Reverse], "").within(&[Server, View]),
    honoured("unblock-lan-zones", &[Bool], "no"),
    honoured("local-zone-tag", &[Name, Text], ""),
    honoured(
        "local-zone-override",
        &[Name, Netblock, OneOf(ZONE_TYPES)],
        "",
    ),
    honoured("define-tag", &[Text], ""),
    honoured("response-ip", &[Netblock, OneOf(RESPONSE_ACTIONS)], "").within(&[Server, View]),
    honoured("response-ip-data", &[Netblock, Text], "").within(&[Server, View]),
    honoured("response-ip-tag", &[Netblock, Text], ""),
    honoured("deny-any", &[Bool], "no"),
    honoured("identity", &[Text], ""),
    honoured("version", &[Text], ""),
    honoured("hide-identity", &[Bool], "no"),
    honoured("hide-version", &[Bool], "no"),
    honoured("hide-trustanchor", &[Bool], "no"),
    honoured("nsid", &[Nsid], ""),
    honoured("ede", &[Bool], "").since(16, 0),
    honoured("ede-serve-expired", &[Bool], "").since(16, 0),
    shared("rrset-roundrobin", &[Bool], "yes"),
    later("pad-responses", &[Bool], ("yes", ""), DOT),
    later("pad-responses-block-size", &[Positive], ("468", ""), DOT),
    later(
        "harden-large-queries",
        &[Bool],
        ("no", "no"),
        "large queries are answered",
    ),
    later(
        "harden-short-bufsize",
        &[Bool],
        ("yes", "yes"),
        "EDNS sizes below 512 always count as 512",
    ),
    // The answer cache.
    shared("msg-cache-size", &[Bytes], "4m"),
    inert("msg-cache-slabs", &[PowerOfTwo], "4", OWN_CACHE),
    shared("cache-min-ttl", &[Number], "0"),
    shared("cache-max-ttl", &[Number], "86400"),
    honoured("cache-min-negative-ttl", &[Number], "0").since(21, 0),
    shared("cache-max-negative-ttl", &[Number], "3600"),
    honoured("prefetch", &[Bool], "no"),
    // Never handed on: what libunbound gives must be fresh, or the answer cache would take the stale for the new.
    honoured("serve-expired", &[Bool], "no"),
    honoured("serve-expired-ttl", &[Number], "86400"),
    honoured("serve-expired-ttl-reset", &[Bool], "no"),
    honoured("serve-expired-reply-ttl", &[Number], "30"),
    honoured("serve-expired-client-timeout", &[Number], "1800"),
    later(
        "serve-original-ttl",
        &[Bool],
        ("no", "no"),
        "TTLs count down",
    ),
    // Sizes.
    shared(
        "edns-buffer-size",
        &[Within {
            min: 12,
            max: 65535,
        }],
        "1232",
    ),
    honoured("max-udp-size", &[NumberOrNothing], "1232"),
    // DNS over TLS, HTTPS, QUIC: downstream.
    later("tls-service-key", &[Path], ("", ""), DOT),
    later("ssl-service-key", &[Path], ("", ""), DOT).means("tls-service-key"),
    later("tls-service-pem", &[Path], ("", ""), DOT),
    later("ssl-service-pem", &[Path], ("", ""), DOT).means("tls-service-pem"),
    later("tls-port", &[Port], ("853", "853"), DOT),
    later("ssl-port", &[Port], ("853", "853"), DOT).means("tls-port"),
    later("tls-additional-port", &[Port], ("", ""), DOT),
    later("tls-additional-ports", &[Port], ("", ""), DOT).means("tls-additional-port"),
    later("additional-tls-port", &[Port], ("", ""), DOT).means("tls-additional-port"),
    later("additional-ssl-port", &[Port], ("", ""), DOT).means("tls-additional-port"),
    later("tls-session-ticket-keys", &[Path], ("", ""), DOT),
    later("tls-ciphers", &[Text], ("", ""), DOT),
    later("tls-ciphersuites", &[Text], ("", ""), DOT),
    later("tls-protocols", &[Text], ("", ""), DOT).since(25, 0),
    later("https-port", &[Port], ("443", "443"), DOH),
    later("http-endpoint", &[Text], ("/dns-query", "/dns-query"), DOH),
    later("http-max-streams", &[Number], ("100", ""), DOH),
    later("http-query-buffer-size", &[Bytes], ("4m", ""), DOH),
    later("http-response-buffer-size", &[Bytes], ("4m", ""), DOH),
    later("http-nodelay", &[Bool], ("yes", ""), DOH),
    later("http-notls-downstream", &[Bool], ("no", "no"), DOH),
    later("quic-port", &[Port], ("853", "853"), QUIC).since(22, 0),
    later("quic-size", &[Bytes], ("8m", ""), QUIC).since(22, 0),
    // The process.
    honoured("num-threads", &[Within { min: 1, max: 9999 }], ""),
    honoured("username", &[Text], ""),
    honoured("directory", &[Directory], ""),
    inert(
        "chroot",
        &[Directory],
        "",
        "the server does not change its root; file names are read as if it did",
    ),
    honoured("pidfile", &[Path], ""),
    inert("do-daemonize", &[Bool], "yes", FOREGROUND),
    inert("use-systemd", &[Bool], "no", FOREGROUND),
    // The log.
    honoured(
        "verbosity",
        &[Within {
            min: 0,
            max: i32::MAX as i64,
        }],
        "1",
    ),
    honoured("logfile", &[Path], ""),
    honoured("use-syslog", &[Bool], "no"),
    honoured("log-time-ascii", &[Bool], "no"),
    later("log-local-actions", &[Bool], ("no", "no"), QUERY_LOG),
    later(
        "log-identity",
        &[Text],
        ("", ""),
        "log lines carry our own name",
    ),
    later(
        "log-time-iso",
        &[Bool],
        ("no", "no"),
        "times have the form that `log-time-ascii:` gives",
    )
    .since(23, 0),
    later(
        "log-thread-id",
        &[Bool],
        ("no", "no"),
        "log lines carry no thread",
    )
    .since(24, 0),
    later("log-queries", &[Bool], ("no", "no"), QUERY_LOG),
    later("log-replies", &[Bool], ("no", "no"), QUERY_LOG),
    later("log-tag-queryreply", &[Bool], ("no", "no"), QUERY_LOG),
    later("log-destaddr", &[Bool], ("no", "no"), QUERY_LOG).since(20, 0),
    later(
        "log-servfail",
        &[Bool],
        ("no", "no"),
        "failures are counted, not logged one by one",
    ),
    // Statistics.
    honoured("statistics-interval", &[NumberOrNothing], "0"),
    inert("statistics-cumulative", &[Bool], "no", COUNTERS),
    inert(
        "statistics-inhibit-zero",
        &[Bool],
        "yes",
        "counters are printed whatever they are",
    ),
    later(
        "extended-statistics",
        &[Bool],
        ("no", "no"),
        "queries are not counted by type and class yet",
    ),
    later(
        "shm-enable",
        &[Bool],
        ("no", "no"),
        "statistics are not put into shared memory",
    ),
    later(
        "shm-key",
        &[NumberOrNothing],
        ("11777", ""),
        "statistics are not put into shared memory",
    ),
    // Modules that need the client, which the engine does not know.
    later(
        "send-client-subnet",
        &[Netblock],
        ("", ""),
        "upstreams are not told the client's network",
    ),
    later(
        "client-subnet-zone",
        &[Name],
        ("", ""),
        "upstreams are not told the client's network",
    ),
    later(
        "client-subnet-always-forward",
        &[Bool],
        ("no", "no"),
        "upstreams are not told the client's network",
    ),
    inert(
        "client-subnet-opcode",
        &[Text],
        "",
        "Unbound ignores it too",
    ),
    later(
        "max-client-subnet-ipv4",
        &[Number],
        ("24", ""),
        "upstreams are not told the client's network",
    ),
    later(
        "max-client-subnet-ipv6",
        &[Number],
        ("56", ""),
        "upstreams are not told the client's network",
    ),
    later(
        "min-client-subnet-ipv4",
        &[Number],
        ("0", ""),
        "upstreams are not told the client's network",
    ),
    later(
        "min-client-subnet-ipv6",
        &[Number],
        ("0", ""),
        "upstreams are not told the client's network",
    ),
    later(
        "max-ecs-tree-size-ipv4",
        &[Number],
        ("100", ""),
        "upstreams are not told the client's network",
    ),
    later(
        "max-ecs-tree-size-ipv6",
        &[Number],
        ("100", ""),
        "upstreams are not told the client's network",
    ),
    later(
        "ipsecmod-enabled",
        &[Bool],
        ("yes", "no"),
        "there is no ipsec module",
    ),
    later(
        "ipsecmod-hook",
        &[ReadFile],
        ("", ""),
        "there is no ipsec module",
    ),
    later(
        "ipsecmod-ignore-bogus",
        &[Bool],
        ("no", "no"),
        "there is no ipsec module",
    ),
    later(
        "ipsecmod-max-ttl",
        &[Number],
        ("3600", ""),
        "there is no ipsec module",
    ),
    later(
        "ipsecmod-strict",
        &[Bool],
        ("no", "no"),
        "there is no ipsec module",
    ),
    later(
        "ipsecmod-allow",
        &[Text],
        ("", ""),
        "there is no ipsec module",
    ),
    later(
        "ipsecmod-whitelist",
        &[Text],
        ("", ""),
        "there is no ipsec module",
    )
    .means("ipsecmod-allow"),
];
