use super::{interface, name, net, netblock, number, port, reverse, yes_no};
use crate::suggest::closest;
use crate::table::Arg;

/// Why a value is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// What was expected, or what is wrong, in a few words.
    pub(crate) label: String,
    /// What to write instead.
    pub(crate) help: Option<String>,
}

impl Wrong {
    pub(crate) fn new(label: impl Into<String>) -> Self {
        Self {
            label: label.into(),
            help: None,
        }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// A value that is taken, but not wholly as it is written.
pub(crate) type Remark = &'static str;

/// Whether `text` is an `arg`.
pub(crate) fn check(arg: Arg, text: &str) -> Result<Option<Remark>, Wrong> {
    if text.contains('\0') {
        return Err(Wrong::new("a value cannot hold a zero byte"));
    }
    if text.contains('\u{fffd}') {
        return Err(Wrong::new("this is not UTF-8").help("save the file in UTF-8"));
    }
    match arg {
        Arg::Bool => yes_no(text).map(|_| None),
        Arg::NumberOrNothing | Arg::Date if text.is_empty() => Ok(None),
        Arg::Date if text.len() == 14 && text.bytes().all(|b| b.is_ascii_digit()) => Ok(None),
        Arg::Number | Arg::NumberOrNothing | Arg::Date => number::check(text, |_| true, arg),
        Arg::Positive => number::check(text, |n| n > 0, arg),
        Arg::Within { min, max } => number::check(text, |n| (min..=max).contains(&n), arg),
        Arg::PowerOfTwo => number::check(
            text,
            |n| u64::try_from(n).is_ok_and(u64::is_power_of_two),
            arg,
        ),
        Arg::Bytes => number::bytes(text).map(|_| None),
        Arg::Port => number::check(text, |n| (1..=65_535).contains(&n), arg),
        Arg::PortRange => number::port_range(text).map(|()| None),
        Arg::Ports => text
            .split_ascii_whitespace()
            .try_for_each(|word| port(word).map(|_| ()))
            .map(|()| None),
        Arg::Text | Arg::Path | Arg::ReadFile | Arg::ReadFiles | Arg::Directory => Ok(None),
        Arg::Name => name::check(text).map(|()| None),
        Arg::Address => net::address(text).map(|_| None),
        Arg::AddressPort => net::address_port(text).map(|_| None),
        Arg::Interface => interface(text, 53).map(|_| None),
        Arg::Upstream => net::upstream(text).map(|()| None),
        Arg::UpstreamHost => net::upstream_host(text).map(|()| None),
        Arg::Netblock => netblock(text).map(|_| None),
        Arg::OneOf(words) => one_of(words, text).map(|()| None),
        Arg::WordsOf(words) => text
            .split_ascii_whitespace()
            .try_for_each(|word| one_of(words, word))
            .map(|()| None),
        Arg::Record => record(text).map(|()| None),
        Arg::Reverse => reverse(text).map(|_| None),
        Arg::Nsid => nsid(text).map(|()| None),
    }
}

fn one_of(words: &[&str], text: &str) -> Result<(), Wrong> {
    if words.contains(&text) {
        return Ok(());
    }
    let wrong = Wrong::new("none of the words that may stand here");
    Err(match closest(text, words.iter().copied()) {
        Some(near) => wrong.help(format!("did you mean `{near}`?")),
        None => wrong.help(format!("use one of {}", words.join(", "))),
    })
}

/// Only what can be seen without knowing the types; the zones' own check reads it whole.
fn record(text: &str) -> Result<(), Wrong> {
    if text.split_ascii_whitespace().count() < 2 {
        return Err(Wrong::new("expected a resource record")
            .help("such as \"www.example.org. 3600 IN A 192.0.2.1\""));
    }
    Ok(())
}

fn nsid(text: &str) -> Result<(), Wrong> {
    let hex = text.len().is_multiple_of(2) && text.bytes().all(|b| b.is_ascii_hexdigit());
    if hex || text.starts_with("ascii_") {
        return Ok(());
    }
    Err(Wrong::new("expected hexadecimal digits in pairs")
        .help(format!("for text write `ascii_{text}`")))
}
