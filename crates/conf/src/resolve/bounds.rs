use std::ops::RangeInclusive;

use super::Resolver;
use crate::tree::OptionNode;
use crate::value::number;
use crate::{Diagnostic, MAX_ENGINE_THREADS};

/// The least and the greatest number that an option takes.
fn bounds(option: &str) -> Option<RangeInclusive<i64>> {
    Some(match option {
        "port" => 1..=65_535,
        "num-threads" => 0..=i64::from(u16::MAX),
        "edns-buffer-size" => 12..=65_535,
        "max-udp-size" => 512..=65_535,
        "tcp-idle-timeout" => 1..=120_000,
        "statistics-interval" | "incoming-num-tcp" => 0..=i64::from(u32::MAX),
        "val-log-level" | "verbosity" => 0..=255,
        "frames" | "rx-ring" | "tx-ring" => 1..=1 << 24,
        "busy-poll" => 0..=1_000_000,
        "cache-min-ttl"
        | "cache-max-ttl"
        | "cache-min-negative-ttl"
        | "cache-max-negative-ttl"
        | "val-bogus-ttl"
        | "ip-ratelimit"
        | "ip-ratelimit-factor"
        | "serve-expired-ttl"
        | "serve-expired-reply-ttl"
        | "serve-expired-client-timeout" => 0..=i64::from(i32::MAX),
        _ => return None,
    })
}

/// What a number counts as: itself, or the bound that it is beyond.
pub(super) fn taken(option: &str, value: i64) -> i64 {
    match (option, bounds(option)) {
        // 0 is for ever, which is least of all what was meant.
        ("serve-expired-ttl", _) if value < 0 => 1,
        (_, Some(bounds)) => value.clamp(*bounds.start(), *bounds.end()),
        (_, None) => value,
    }
}

/// Warns of a number that is beyond what its option takes.
pub(super) fn report(resolver: &mut Resolver<'_>, option: &OptionNode) {
    let name = option.keyword.canonical;
    // What does not fit into 32 bits is an error.
    let value = number(resolver.text(option, 0)).filter(|value| i32::try_from(*value).is_ok());
    let Some(value) = value.filter(|_| bounds(name).is_some()) else {
        return;
    };
    let taken = taken(name, value);
    // 65536 lifts the bound in Unbound, which a datagram cannot reach anyway.
    if taken != value && (name, value) != ("max-udp-size", 65_536) {
        let message = format!("{} cannot be {value}", option.keyword.written());
        let warning = Diagnostic::warning(option.first(), message)
            .label(format!("taken as {taken}"))
            .help("write what you want it to be");
        resolver.report(warning);
    } else if name == "num-threads" && value > i64::from(MAX_ENGINE_THREADS) {
        let message = format!("the engine has at most {MAX_ENGINE_THREADS} threads");
        let warning = Diagnostic::warning(option.first(), message)
            .label(format!(
                "so many workers, {MAX_ENGINE_THREADS} threads to resolve"
            ))
            .help(
                "more than one for each core are of no use: that is what holds without this option",
            );
        resolver.report(warning);
    }
}
