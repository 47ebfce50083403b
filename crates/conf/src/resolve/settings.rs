use super::places::Places;
use super::{Resolver, access, tags};
use crate::config::{ExpiredConfig, RateLimitConfig, XdpEnable, XdpMode, XdpRouteCheck};
use crate::table::{Clause, Status};
use crate::tree::OptionNode;
use crate::value::{bytes, is_address, number, yes_no};
use crate::{At, Config, Diagnostic};

/// Sets all that is honoured, in the order of the file: the last one of an option wins. Values that are not
/// valid were reported before, and leave the default.
pub(super) fn settings(resolver: &mut Resolver<'_>, places: &Places) -> Config {
    let mut config = Config {
        directory: places.directory(),
        ..Config::default()
    };
    let tree = resolver.tree;
    for clause in &tree.clauses {
        for option in &clause.options {
            if !matches!(option.keyword.status, Status::Honoured | Status::Shared) {
                continue;
            }
            let known = match clause.clause {
                Clause::Server => server(resolver, places, option, &mut config),
                Clause::RemoteControl => control(resolver, places, option, &mut config),
                Clause::Xdp => xdp(resolver, option, &mut config),
                // Views are not built; their local zones are not the server's.
                _ => true,
            };
            debug_assert!(known, "no code honours {}", option.keyword.name);
        }
    }
    tags::use_tags_defined_anywhere(resolver, &mut config);
    config
}

/// Whether the option is one of those here.
fn server(
    resolver: &mut Resolver<'_>,
    places: &Places,
    option: &OptionNode,
    config: &mut Config,
) -> bool {
    let text = resolver.text(option, 0);
    match option.keyword.canonical {
        // These are taken up in a place of their own.
        "interface"
        | "interface-automatic"
        | "interface-automatic-ports"
        | "directory"
        | "access-control-tag-action"
        | "access-control-tag-data" => {}
        "port" => set_number(text, 1..=65_535, &mut config.port),
        "do-ip4" => set_bool(text, &mut config.do_ip4),
        "do-ip6" => set_bool(text, &mut config.do_ip6),
        "do-udp" => set_bool(text, &mut config.do_udp),
        "do-tcp" => set_bool(text, &mut config.do_tcp),
        "access-control" => access::access_control(resolver, option, config),
        "local-zone" => access::local_zone(resolver, option, config),
        "local-data" => config.local_data.push(At {
            value: text.to_owned(),
            at: option.first(),
        }),
        "define-tag" => tags::define(resolver, option, config),
        "local-zone-tag" | "local-zone-override" | "access-control-tag" => {
            tags::use_tags(resolver, option, config);
        }
        "local-data-ptr" => access::local_data_ptr(resolver, option, config),
        "unblock-lan-zones" => set_bool(text, &mut config.unblock_lan_zones),
        "num-threads" => config.num_threads = number(text).and_then(|n| u16::try_from(n).ok()),
        "username" => {
            config.username = Some(At {
                value: text.to_owned(),
                at: option.first(),
            });
        }
        "pidfile" => {
            config.pidfile = (!text.is_empty()).then(|| At {
                value: places.locate(text),
                at: option.first(),
            });
        }
        "statistics-interval" if text.is_empty() => config.statistics_interval_secs = 0,
        "statistics-interval" => set_number(
            text,
            0..=i64::from(u32::MAX),
            &mut config.statistics_interval_secs,
        ),
        name => return answers(name, text, config) || logging(name, text, places, config),
    }
    true
}

fn answers(name: &str, text: &str, config: &mut Config) -> bool {
    let (cache, message, chaos, tcp) = (
        &mut config.cache,
        &mut config.message,
        &mut config.chaos,
        &mut config.tcp,
    );
    let ttl = 0..=i64::from(i32::MAX);
    match name {
        "msg-cache-size" => cache.size_bytes = bytes(text).unwrap_or(cache.size_bytes),
        "cache-min-ttl" => set_number(text, ttl, &mut cache.min_ttl_secs),
        "cache-max-ttl" => set_number(text, ttl, &mut cache.max_ttl_secs),
        "cache-min-negative-ttl" => set_number(text, ttl, &mut cache.min_negative_ttl_secs),
        "cache-max-negative-ttl" => set_number(text, ttl, &mut cache.max_negative_ttl_secs),
        "prefetch" => set_bool(text, &mut cache.prefetch),
        "val-bogus-ttl" => set_number(text, ttl, &mut cache.bogus_ttl_secs),
        "edns-buffer-size" => set_number(text, 12..=65_535, &mut message.edns_buffer_bytes),
        // 65536 lifts the bound in Unbound, which a datagram cannot reach anyway.
        "max-udp-size" => set_number(text, 512..=65_535, &mut message.max_udp_bytes),
        "deny-any" => set_bool(text, &mut message.deny_any),
        "edns-tcp-keepalive" => set_bool(text, &mut message.edns_tcp_keepalive),
        "ede" => message.ede = yes_no(text).ok().or(message.ede),
        "ede-serve-expired" => {
            message.ede_serve_expired = yes_no(text).ok().or(message.ede_serve_expired);
        }
        "rrset-roundrobin" => set_bool(text, &mut message.rrset_roundrobin),
        "identity" => chaos.identity = (!text.is_empty()).then(|| text.to_owned()),
        "version" => chaos.version = (!text.is_empty()).then(|| text.to_owned()),
        "hide-identity" => set_bool(text, &mut chaos.hide_identity),
        "hide-version" => set_bool(text, &mut chaos.hide_version),
        "hide-trustanchor" => set_bool(text, &mut chaos.hide_trustanchor),
        "nsid" => chaos.nsid = nsid(text),
        "incoming-num-tcp" => set_number(
            text,
            0..=i64::from(u32::MAX),
            &mut tcp.connections_per_thread,
        ),
        "tcp-idle-timeout" => set_number(text, 1..=120_000, &mut tcp.idle_timeout_ms),
        _ => {
            return rate_limit(name, text, &mut config.rate_limit)
                || expired(name, text, &mut config.cache.expired);
        }
    }
    true
}

fn rate_limit(name: &str, text: &str, limit: &mut RateLimitConfig) -> bool {
    let number = 0..=i64::from(i32::MAX);
    match name {
        "ip-ratelimit" => set_number(text, number, &mut limit.queries_per_sec),
        "ip-ratelimit-size" => limit.size_bytes = bytes(text).unwrap_or(limit.size_bytes),
        "ip-ratelimit-factor" => set_number(text, number, &mut limit.factor),
        "ip-ratelimit-backoff" => set_bool(text, &mut limit.backoff),
        _ => return false,
    }
    true
}

fn expired(name: &str, text: &str, expired: &mut ExpiredConfig) -> bool {
    let number = 0..=i64::from(i32::MAX);
    match name {
        "serve-expired" => set_bool(text, &mut expired.serve),
        "serve-expired-ttl" => set_number(text, number, &mut expired.ttl_secs),
        "serve-expired-ttl-reset" => set_bool(text, &mut expired.ttl_reset),
        "serve-expired-reply-ttl" => set_number(text, number, &mut expired.reply_ttl_secs),
        "serve-expired-client-timeout" => {
            set_number(text, number, &mut expired.client_timeout_ms);
        }
        _ => return false,
    }
    true
}

fn logging(name: &str, text: &str, places: &Places, config: &mut Config) -> bool {
    let log = &mut config.log;
    match name {
        "val-log-level" => set_number(text, 0..=255, &mut log.val_log_level),
        "verbosity" => set_number(text, 0..=255, &mut log.verbosity),
        "logfile" => {
            log.logfile = (!text.is_empty()).then(|| places.locate(text));
            // A file named later than `use-syslog: yes` wins over it, as in Unbound.
            log.use_syslog = false;
        }
        "use-syslog" => set_bool(text, &mut log.use_syslog),
        "log-time-ascii" => set_bool(text, &mut log.time_ascii),
        _ => return false,
    }
    true
}

fn control(
    resolver: &mut Resolver<'_>,
    places: &Places,
    option: &OptionNode,
    config: &mut Config,
) -> bool {
    let text = resolver.text(option, 0);
    match option.keyword.canonical {
        "control-enable" => config.control.enable = yes_no(text).ok().or(config.control.enable),
        "control-interface" if text.starts_with('/') => {
            config.control.socket = Some(places.locate(text));
        }
        "control-interface" => {
            let warning = Diagnostic::warning(
                option.whole(),
                "the control socket does not listen on addresses yet",
            )
            .label(if is_address(text) {
                "this address is left closed"
            } else {
                "this is left closed"
            })
            .help("name a file, such as `control-interface: /run/sluicegate.ctl`");
            resolver.report(warning);
        }
        _ => return false,
    }
    true
}

fn xdp(resolver: &Resolver<'_>, option: &OptionNode, config: &mut Config) -> bool {
    let text = resolver.text(option, 0);
    let xdp = &mut config.xdp;
    match (option.keyword.canonical, text) {
        ("enable", "auto") => xdp.enable = XdpEnable::Auto,
        ("enable", "yes") => xdp.enable = XdpEnable::Yes,
        ("enable", "no") => xdp.enable = XdpEnable::No,
        ("mode", "auto") => xdp.mode = XdpMode::Auto,
        ("mode", "zero-copy") => xdp.mode = XdpMode::ZeroCopy,
        ("mode", "copy") => xdp.mode = XdpMode::Copy,
        ("mode", "generic") => xdp.mode = XdpMode::Generic,
        ("queues", _) => xdp.queues = number(text).and_then(|n| u32::try_from(n).ok()),
        ("frames", _) => set_number(text, 1..=1 << 24, &mut xdp.frames),
        ("rx-ring", _) => set_number(text, 1..=1 << 24, &mut xdp.rx_ring),
        ("tx-ring", _) => set_number(text, 1..=1 << 24, &mut xdp.tx_ring),
        ("busy-poll", _) => set_number(text, 0..=1_000_000, &mut xdp.busy_poll_us),
        ("route-check", "auto") => xdp.route_check = XdpRouteCheck::Auto,
        ("route-check", "yes") => xdp.route_check = XdpRouteCheck::Yes,
        ("route-check", "no") => xdp.route_check = XdpRouteCheck::No,
        ("pinned-maps", _) => xdp.pinned_maps = (!text.is_empty()).then(|| text.into()),
        // A word that is none of these was reported before.
        ("enable" | "mode" | "route-check", _) => {}
        _ => return false,
    }
    true
}

/// `ascii_` and a text, or hexadecimal digits in pairs, which was checked before; nothing of an empty one.
fn nsid(text: &str) -> Option<Vec<u8>> {
    let octets = match text.strip_prefix("ascii_") {
        Some(text) => text.as_bytes().to_vec(),
        None => text
            .as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok())
            .collect::<Option<_>>()?,
    };
    (!octets.is_empty()).then_some(octets)
}

fn set_bool(text: &str, target: &mut bool) {
    *target = yes_no(text).unwrap_or(*target);
}

/// A number out of bounds counts as the bound.
fn set_number<T: TryFrom<i64>>(text: &str, bounds: std::ops::RangeInclusive<i64>, target: &mut T) {
    if let Some(value) = number(text)
        && let Ok(value) = T::try_from(value.clamp(*bounds.start(), *bounds.end()))
    {
        *target = value;
    }
}
