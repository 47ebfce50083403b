//! The clauses, and what stands in those other than `server:`.

use super::Arg::{
    AddressPort, Bool, Bytes, Name, Number, OneOf, Path, Port, Positive, PowerOfTwo, Text,
    Upstream, UpstreamHost, Within,
};
use super::Clause::{
    AuthZone, Cachedb, Dnscrypt, Dnstap, Dynlib, ForwardZone, Ipset, Python, RemoteControl, Rpz,
    Server, StubZone, View, Xdp,
};
use super::Status::{Engine, Honoured, NotBuilt};
use super::keyword::{Keyword, clause, engine, honoured, inert, later, partly};

const RPZ_ACTIONS: &[&str] = &[
    "nxdomain", "nodata", "passthru", "drop", "cname", "disabled",
];

const CERTIFICATES: &str = "the control socket is a file: its mode says who may use it";
const CONTROL: &str = "the control socket is a file only";
const DNSCRYPT: &str = "DNSCrypt is not served";
const DNSTAP: &str = "nothing is sent to dnstap yet";
const DYNLIB: &str = "the engine loads no libraries";
const IPSET: &str = "addresses are not put into ipsets";
const PYTHON: &str = "the engine runs no Python";
const RPZ: &str = "response policy zones are not applied yet";
const TRANSFER: &str =
    "zones are not transferred yet; the engine uses what stands in the `zonefile:`";
const VIEWS: &str = "views are not built yet: all clients see the server's own local zones";

const fn missing(instead: &'static str) -> super::Status {
    NotBuilt {
        acts_as: "",
        instead,
    }
}

/// The rows.
pub(super) const ROWS: &[Keyword] = &[
    clause(Server, "server", Honoured),
    clause(StubZone, "stub-zone", Engine),
    clause(ForwardZone, "forward-zone", Engine),
    clause(AuthZone, "auth-zone", Engine),
    clause(Cachedb, "cachedb", Engine),
    clause(RemoteControl, "remote-control", Honoured),
    clause(View, "view", missing(VIEWS)),
    clause(Rpz, "rpz", missing(RPZ)),
    clause(Python, "python", missing(PYTHON)),
    clause(Dynlib, "dynlib", missing(DYNLIB)),
    clause(Dnstap, "dnstap", missing(DNSTAP)),
    clause(Dnscrypt, "dnscrypt", missing(DNSCRYPT)),
    clause(Ipset, "ipset", missing(IPSET)),
    clause(Xdp, "xdp", Honoured),
    engine("name", &[Name], "").within(&[StubZone, ForwardZone, AuthZone, Rpz, View]),
    // Stub zones.
    engine("stub-addr", &[Upstream], "").within(&[StubZone]),
    engine("stub-host", &[UpstreamHost], "").within(&[StubZone]),
    engine("stub-prime", &[Bool], "no").within(&[StubZone]),
    engine("stub-first", &[Bool], "no").within(&[StubZone]),
    engine("stub-no-cache", &[Bool], "no").within(&[StubZone]),
    engine("stub-tls-upstream", &[Bool], "no").within(&[StubZone]),
    engine("stub-ssl-upstream", &[Bool], "no")
        .within(&[StubZone])
        .means("stub-tls-upstream"),
    engine("stub-tcp-upstream", &[Bool], "no")
        .within(&[StubZone])
        .since(15, 0),
    // Forward zones.
    engine("forward-addr", &[Upstream], "").within(&[ForwardZone]),
    engine("forward-host", &[UpstreamHost], "").within(&[ForwardZone]),
    engine("forward-first", &[Bool], "no").within(&[ForwardZone]),
    engine("forward-no-cache", &[Bool], "no").within(&[ForwardZone]),
    engine("forward-tls-upstream", &[Bool], "no").within(&[ForwardZone]),
    engine("forward-ssl-upstream", &[Bool], "no")
        .within(&[ForwardZone])
        .means("forward-tls-upstream"),
    engine("forward-tcp-upstream", &[Bool], "no")
        .within(&[ForwardZone])
        .since(15, 0),
    // Authority zones.
    engine("zonefile", &[Path], "").within(&[AuthZone, Rpz]),
    partly("primary", &[UpstreamHost], ("", ""), TRANSFER).within(&[AuthZone, Rpz]),
    partly("master", &[UpstreamHost], ("", ""), TRANSFER)
        .within(&[AuthZone, Rpz])
        .means("primary"),
    partly("url", &[Text], ("", ""), TRANSFER).within(&[AuthZone, Rpz]),
    partly("allow-notify", &[Text], ("", ""), TRANSFER).within(&[AuthZone, Rpz]),
    partly(
        "for-downstream",
        &[Bool],
        ("yes", "no"),
        "clients get the zone's data through the engine only",
    )
    .within(&[AuthZone, Rpz]),
    engine("for-upstream", &[Bool], "yes").within(&[AuthZone]),
    engine("fallback-enabled", &[Bool], "no").within(&[AuthZone]),
    engine("zonemd-check", &[Bool], "no")
        .within(&[AuthZone])
        .since(14, 0),
    engine("zonemd-reject-absence", &[Bool], "no")
        .within(&[AuthZone])
        .since(14, 0),
    // Response policy zones.
    later("tags", &[Text], ("", ""), RPZ).within(&[Rpz]),
    later("rpz-action-override", &[OneOf(RPZ_ACTIONS)], ("", ""), RPZ).within(&[Rpz]),
    later("rpz-cname-override", &[Text], ("", ""), RPZ).within(&[Rpz]),
    later("rpz-log", &[Bool], ("no", ""), RPZ).within(&[Rpz]),
    later("rpz-log-name", &[Text], ("", ""), RPZ).within(&[Rpz]),
    later("rpz-signal-nxdomain-ra", &[Bool], ("no", ""), RPZ)
        .within(&[Rpz])
        .since(14, 0),
    // Views.
    later("view-first", &[Bool], ("no", ""), VIEWS).within(&[View]),
    // The second-level cache.
    engine("backend", &[Text], "testframe").within(&[Cachedb]),
    engine("secret-seed", &[Text], "default").within(&[Cachedb]),
    engine("cachedb-no-store", &[Bool], "no")
        .within(&[Cachedb])
        .since(19, 0),
    engine("cachedb-check-when-serve-expired", &[Bool], "yes")
        .within(&[Cachedb])
        .since(20, 0),
    engine("redis-server-host", &[Text], "127.0.0.1").within(&[Cachedb]),
    engine("redis-server-port", &[Port], "6379").within(&[Cachedb]),
    engine("redis-server-path", &[Text], "")
        .within(&[Cachedb])
        .since(18, 0),
    engine("redis-server-password", &[Text], "")
        .within(&[Cachedb])
        .since(18, 0),
    engine("redis-timeout", &[Positive], "100").within(&[Cachedb]),
    engine("redis-command-timeout", &[Number], "0")
        .within(&[Cachedb])
        .since(23, 0),
    engine("redis-connect-timeout", &[Number], "0")
        .within(&[Cachedb])
        .since(23, 0),
    engine("redis-expire-records", &[Bool], "no").within(&[Cachedb]),
    engine("redis-logical-db", &[Number], "0")
        .within(&[Cachedb])
        .since(18, 0),
    engine("redis-replica-server-host", &[Text], "")
        .within(&[Cachedb])
        .since(23, 0),
    engine("redis-replica-server-port", &[Port], "6379")
        .within(&[Cachedb])
        .since(23, 0),
    engine("redis-replica-server-path", &[Text], "")
        .within(&[Cachedb])
        .since(23, 0),
    engine("redis-replica-server-password", &[Text], "")
        .within(&[Cachedb])
        .since(23, 0),
    engine("redis-replica-timeout", &[Positive], "100")
        .within(&[Cachedb])
        .since(23, 0),
    engine("redis-replica-command-timeout", &[Number], "0")
        .within(&[Cachedb])
        .since(23, 0),
    engine("redis-replica-connect-timeout", &[Number], "0")
        .within(&[Cachedb])
        .since(23, 0),
    engine("redis-replica-logical-db", &[Number], "0")
        .within(&[Cachedb])
        .since(23, 0),
    // The control socket.
    honoured("control-enable", &[Bool], "yes").within(&[RemoteControl]),
    honoured("control-interface", &[Text], "/run/sluicegate.ctl").within(&[RemoteControl]),
    later("control-port", &[Port], ("8953", "8953"), CONTROL).within(&[RemoteControl]),
    inert("control-use-cert", &[Text], "no", CERTIFICATES).within(&[RemoteControl]),
    inert("server-key-file", &[Path], "", CERTIFICATES).within(&[RemoteControl]),
    inert("server-cert-file", &[Path], "", CERTIFICATES).within(&[RemoteControl]),
    inert("control-key-file", &[Path], "", CERTIFICATES).within(&[RemoteControl]),
    inert("control-cert-file", &[Path], "", CERTIFICATES).within(&[RemoteControl]),
    // AF_XDP: ours.
    honoured("enable", &[OneOf(&["auto", "yes", "no"])], "auto").within(&[Xdp]),
    honoured(
        "mode",
        &[OneOf(&["auto", "zero-copy", "copy", "generic"])],
        "auto",
    )
    .within(&[Xdp]),
    honoured(
        "queues",
        &[Within {
            min: 1,
            max: 65_535,
        }],
        "",
    )
    .within(&[Xdp]),
    honoured(
        "frames",
        &[Within {
            min: 64,
            max: 1 << 24,
        }],
        "4096",
    )
    .within(&[Xdp]),
    honoured("rx-ring", &[PowerOfTwo], "2048").within(&[Xdp]),
    honoured("tx-ring", &[PowerOfTwo], "2048").within(&[Xdp]),
    honoured(
        "busy-poll",
        &[Within {
            min: 0,
            max: 1_000_000,
        }],
        "0",
    )
    .within(&[Xdp]),
    honoured("route-check", &[OneOf(&["auto", "yes", "no"])], "auto").within(&[Xdp]),
    honoured("pinned-maps", &[Path], "").within(&[Xdp]),
    // Clauses of which nothing is done.
    later("python-script", &[Path], ("", ""), PYTHON).within(&[Python]),
    later("dynlib-file", &[Path], ("", ""), DYNLIB).within(&[Dynlib]),
    later("name-v4", &[Text], ("", ""), IPSET).within(&[Ipset]),
    later("name-v6", &[Text], ("", ""), IPSET).within(&[Ipset]),
    later("dnscrypt-enable", &[Bool], ("no", "no"), DNSCRYPT).within(&[Dnscrypt]),
    later("dnscrypt-port", &[Port], ("", ""), DNSCRYPT).within(&[Dnscrypt]),
    later("dnscrypt-provider", &[Text], ("", ""), DNSCRYPT).within(&[Dnscrypt]),
    later("dnscrypt-secret-key", &[Path], ("", ""), DNSCRYPT).within(&[Dnscrypt]),
    later("dnscrypt-provider-cert", &[Path], ("", ""), DNSCRYPT).within(&[Dnscrypt]),
    later(
        "dnscrypt-provider-cert-rotated",
        &[Path],
        ("", ""),
        DNSCRYPT,
    )
    .within(&[Dnscrypt]),
    later(
        "dnscrypt-shared-secret-cache-size",
        &[Bytes],
        ("", ""),
        DNSCRYPT,
    )
    .within(&[Dnscrypt]),
    later(
        "dnscrypt-shared-secret-cache-slabs",
        &[PowerOfTwo],
        ("", ""),
        DNSCRYPT,
    )
    .within(&[Dnscrypt]),
    later("dnscrypt-nonce-cache-size", &[Bytes], ("", ""), DNSCRYPT).within(&[Dnscrypt]),
    later(
        "dnscrypt-nonce-cache-slabs",
        &[PowerOfTwo],
        ("", ""),
        DNSCRYPT,
    )
    .within(&[Dnscrypt]),
    later("dnstap-enable", &[Bool], ("no", "no"), DNSTAP).within(&[Dnstap]),
    later("dnstap-bidirectional", &[Bool], ("yes", ""), DNSTAP).within(&[Dnstap]),
    later("dnstap-socket-path", &[Path], ("", ""), DNSTAP).within(&[Dnstap]),
    later("dnstap-ip", &[AddressPort], ("", ""), DNSTAP).within(&[Dnstap]),
    later("dnstap-tls", &[Bool], ("yes", ""), DNSTAP).within(&[Dnstap]),
    later("dnstap-tls-server-name", &[Text], ("", ""), DNSTAP).within(&[Dnstap]),
    later("dnstap-tls-cert-bundle", &[Path], ("", ""), DNSTAP).within(&[Dnstap]),
    later("dnstap-tls-client-key-file", &[Path], ("", ""), DNSTAP).within(&[Dnstap]),
    later("dnstap-tls-client-cert-file", &[Path], ("", ""), DNSTAP).within(&[Dnstap]),
    later("dnstap-send-identity", &[Bool], ("no", ""), DNSTAP).within(&[Dnstap]),
    later("dnstap-send-version", &[Bool], ("no", ""), DNSTAP).within(&[Dnstap]),
    later("dnstap-identity", &[Text], ("", ""), DNSTAP).within(&[Dnstap]),
    later("dnstap-version", &[Text], ("", ""), DNSTAP).within(&[Dnstap]),
    later("dnstap-sample-rate", &[Number], ("0", ""), DNSTAP)
        .within(&[Dnstap])
        .since(21, 0),
    later(
        "dnstap-log-resolver-query-messages",
        &[Bool],
        ("no", ""),
        DNSTAP,
    )
    .within(&[Dnstap]),
    later(
        "dnstap-log-resolver-response-messages",
        &[Bool],
        ("no", ""),
        DNSTAP,
    )
    .within(&[Dnstap]),
    later(
        "dnstap-log-client-query-messages",
        &[Bool],
        ("no", ""),
        DNSTAP,
    )
    .within(&[Dnstap]),
    later(
        "dnstap-log-client-response-messages",
        &[Bool],
        ("no", ""),
        DNSTAP,
    )
    .within(&[Dnstap]),
    later(
        "dnstap-log-forwarder-query-messages",
        &[Bool],
        ("no", ""),
        DNSTAP,
    )
    .within(&[Dnstap]),
    later(
        "dnstap-log-forwarder-response-messages",
        &[Bool],
        ("no", ""),
        DNSTAP,
    )
    .within(&[Dnstap]),
];
