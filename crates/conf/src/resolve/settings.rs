use super::places::Places;
use super::{Resolver, access, bounds, tags};
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
            bounds::report(resolver, option);
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
    let name = option.keyword.canonical;
    match name {
        // These are taken up in a place of their own.
        "interface"
        | "interface-automatic"
        | "interface-automatic-ports"
        | "directory"
        | "access-control-tag-action"
        | "access-control-tag-data" => {}
        "port" => set_number(name, text, &mut config.port),
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
        "response-ip" | "response-ip-data" | "response-ip-tag" => {
            tags::responses(resolver, option, config);
        }
        "define-tag" => tags::define(resolver, option, config),
        "local-zone-tag" | "local-zone-override" | "access-control-tag" => {
            tags::use_tags(resolver, option, config);
        }
        "local-data-ptr" => access::local_data_ptr(resolver, option, config),
        "unblock-lan-zones" => set_bool(text, &mut config.unblock_lan_zones),
        "num-threads" => {
            let threads = number(text).map(|threads| bounds::taken(name, threads));
            config.num_threads = threads.and_then(|threads| u16::try_from(threads).ok());
        }
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
        "statistics-interval" => set_number(name, text, &mut config.statistics_interval_secs),
        _ => return answers(name, text, config) || logging(name, text, places, config),
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
    match name {
        "msg-cache-size" => cache.size_bytes = bytes(text).unwrap_or(cache.size_bytes),
        "cache-min-ttl" => set_number(name, text, &mut cache.min_ttl_secs),
        "cache-max-ttl" => set_number(name, text, &mut cache.max_ttl_secs),
        "cache-min-negative-ttl" => set_number(name, text, &mut cache.min_negative_ttl_secs),
        "cache-max-negative-ttl" => set_number(name, text, &mut cache.max_negative_ttl_secs),
        "prefetch" => set_bool(text, &mut cache.prefetch),
        "val-bogus-ttl" => set_number(name, text, &mut cache.bogus_ttl_secs),
        "edns-buffer-size" => set_number(name, text, &mut message.edns_buffer_bytes),
        "max-udp-size" => set_number(name, text, &mut message.max_udp_bytes),
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
        "incoming-num-tcp" => set_number(name, text, &mut tcp.connections_per_thread),
        "tcp-idle-timeout" => set_number(name, text, &mut tcp.idle_timeout_ms),
        _ => {
            return rate_limit(name, text, &mut config.rate_limit)
                || expired(name, text, &mut config.cache.expired);
        }
    }
    true
}

fn rate_limit(name: &str, text: &str, limit: &mut RateLimitConfig) -> bool {
    match name {
        "ip-ratelimit" => set_number(name, text, &mut limit.queries_per_sec),
        "ip-ratelimit-size" => limit.size_bytes = bytes(text).unwrap_or(limit.size_bytes),
        "ip-ratelimit-factor" => set_number(name, text, &mut limit.factor),
        "ip-ratelimit-backoff" => set_bool(text, &mut limit.backoff),
        _ => return false,
    }
    true
}

fn expired(name: &str, text: &str, expired: &mut ExpiredConfig) -> bool {
    match name {
        "serve-expired" => set_bool(text, &mut expired.serve),
        "serve-expired-ttl" => set_number(name, text, &mut expired.ttl_secs),
        "serve-expired-ttl-reset" => set_bool(text, &mut expired.ttl_reset),
        "serve-expired-reply-ttl" => set_number(name, text, &mut expired.reply_ttl_secs),
        "serve-expired-client-timeout" => {
            set_number(name, text, &mut expired.client_timeout_ms);
        }
        _ => return false,
    }
    true
}

fn logging(name: &str, text: &str, places: &Places, config: &mut Config) -> bool {
    let log = &mut config.log;
    match name {
        "val-log-level" => set_number(name, text, &mut log.val_log_level),
        "verbosity" => set_number(name, text, &mut log.verbosity),
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
    let (name, xdp) = (option.keyword.canonical, &mut config.xdp);
    match (name, text) {
        ("enable", "auto") => xdp.enable = XdpEnable::Auto,
        ("enable", "yes") => xdp.enable = XdpEnable::Yes,
        ("enable", "no") => xdp.enable = XdpEnable::No,
        ("mode", "auto") => xdp.mode = XdpMode::Auto,
        ("mode", "zero-copy") => xdp.mode = XdpMode::ZeroCopy,
        ("mode", "copy") => xdp.mode = XdpMode::Copy,
        ("mode", "generic") => xdp.mode = XdpMode::Generic,
        ("queues", _) => xdp.queues = number(text).and_then(|n| u32::try_from(n).ok()),
        ("frames", _) => set_number(name, text, &mut xdp.frames),
        ("rx-ring", _) => set_number(name, text, &mut xdp.rx_ring),
        ("tx-ring", _) => set_number(name, text, &mut xdp.tx_ring),
        ("busy-poll", _) => set_number(name, text, &mut xdp.busy_poll_us),
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

/// A number out of its option's bounds counts as the bound.
fn set_number<T: TryFrom<i64>>(name: &str, text: &str, target: &mut T) {
    if let Some(value) = number(text)
        && let Ok(value) = T::try_from(bounds::taken(name, value))
    {
        *target = value;
    }
}
