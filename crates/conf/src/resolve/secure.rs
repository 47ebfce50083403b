//! Upstreams that are asked over TLS: they are marked for the engine, which has a relay of its own for them.

use super::Resolver;
use crate::table::Clause;
use crate::tree::{ClauseNode, OptionNode};
use crate::{Diagnostic, Span};

/// Options that are the relay's, not libunbound's.
const RELAYS: &[&str] = &[
    "pad-queries",
    "pad-queries-block-size",
    "tls-cert-bundle",
    "tls-system-cert",
    "tls-upstream",
    "tls-use-sni",
];

/// Unbound's `tls-port`.
const DEFAULT_TLS_PORT: &str = "853";

/// What is asked over TLS.
pub(super) struct Secure {
    /// `tls-upstream`: everything.
    everything: bool,
    /// `tls-port`: where an upstream with a name and without a port is.
    port: String,
}

impl Secure {
    pub(super) fn of(resolver: &Resolver<'_>) -> Self {
        let last = |name| {
            let options = resolver.tree.options(Clause::Server);
            let option = options.filter(|option| option.keyword.canonical == name);
            option.last().map(|option| resolver.text(option, 0))
        };
        Self {
            everything: last("tls-upstream") == Some("yes"),
            port: last("tls-port").unwrap_or(DEFAULT_TLS_PORT).to_owned(),
        }
    }

    /// Whether a zone's upstreams are asked over TLS.
    pub(super) fn has(&self, resolver: &Resolver<'_>, zone: &ClauseNode) -> bool {
        let name = match zone.clause {
            Clause::ForwardZone => "forward-tls-upstream",
            Clause::StubZone => "stub-tls-upstream",
            _ => return false,
        };
        let mut options = zone.options.iter();
        let last = options.rfind(|option| option.keyword.canonical == name);
        self.everything || last.is_some_and(|option| resolver.text(option, 0) == "yes")
    }

    /// An upstream as the engine knows it: marked, and with its port.
    pub(super) fn upstream(&self, text: &str) -> String {
        let (place, name) = text
            .split_once('#')
            .map_or((text, None), |(place, name)| (place, Some(name)));
        let port = match (place.contains('@'), name) {
            (true, _) => String::new(),
            (false, Some(_)) => format!("@{}", self.port),
            (false, None) => "@53".to_owned(),
        };
        let name = name.map_or(String::new(), |name| format!("#{name}"));
        format!("tls:{place}{port}{name}")
    }
}

/// What the options of a zone's clause begin with.
pub(super) fn prefix(clause: Clause) -> &'static str {
    if clause == Clause::StubZone {
        "stub"
    } else {
        "forward"
    }
}

/// Whether an option is for the relay only.
pub(super) fn is_relays(option: &OptionNode) -> bool {
    RELAYS.contains(&option.keyword.canonical)
}

/// Whether an option names an upstream by its address.
fn is_address(option: &OptionNode) -> bool {
    matches!(option.keyword.name, "forward-addr" | "stub-addr")
}

/// Whether an option names an upstream by its name.
fn is_host(option: &OptionNode) -> bool {
    matches!(option.keyword.name, "forward-host" | "stub-host")
}

/// How the engine names an upstream: the option for addresses, since the address is the relay's. `None` for other
/// options.
pub(super) fn upstream_option(option: &OptionNode) -> Option<&'static str> {
    match option.keyword.name {
        "forward-addr" | "forward-host" => Some("forward-addr"),
        "stub-addr" | "stub-host" => Some("stub-addr"),
        _ => None,
    }
}

/// Whether an option of a zone with TLS is replaced by what the engine makes of that.
pub(super) fn is_replaced(option: &OptionNode) -> bool {
    matches!(
        option.keyword.canonical,
        "forward-tls-upstream" | "forward-tcp-upstream" | "stub-tls-upstream" | "stub-tcp-upstream"
    )
}

/// Warns of what will fail for want of TLS.
pub(super) fn check(resolver: &mut Resolver<'_>) {
    let secure = Secure::of(resolver);
    let tree = resolver.tree;
    let mut warnings = Vec::new();
    for zone in tree
        .clauses
        .iter()
        .filter(|zone| secure.has(resolver, zone))
    {
        for option in &zone.options {
            let text = resolver.text(option, 0);
            if is_host(option) {
                let prefix = prefix(zone.clause);
                let message = format!("a server over TLS needs an address, not the name `{text}`");
                let warning = Diagnostic::warning(option.first(), message)
                    .label("it is not asked")
                    .help(format!("write `{prefix}-addr: ADDRESS@853#NAME`"));
                warnings.push(warning);
            } else if is_address(option)
                && secure.upstream(text).ends_with("@53")
                && !text.contains('@')
            {
                let warning = Diagnostic::warning(option.first(), "TLS on port 53").help(format!(
                    "write `{text}@853`, or `{text}#NAME` to have it checked"
                ));
                warnings.push(warning);
            } else if is_address(option) && !has_name(text) {
                let message = "a server over TLS without a name";
                let warning = Diagnostic::warning(option.first(), message)
                    .label("its certificate may be anybody's")
                    .help(format!("write `{text}#NAME` to have it checked"));
                warnings.push(warning);
            }
        }
    }
    if let Some(at) = secure.everything.then(|| written_at(resolver)).flatten()
        && !forwards_everything(resolver)
    {
        let warning = Diagnostic::warning(at, "no zone for all that is to be asked over TLS")
            .label("questions outside of forward and stub zones will fail")
            .help("forward `name: \".\"`");
        warnings.push(warning);
    }
    for warning in warnings {
        resolver.report(warning);
    }
}

/// Whether an upstream says whose certificate it must have.
fn has_name(text: &str) -> bool {
    text.split_once('#')
        .is_some_and(|(_, name)| !name.is_empty())
}

/// Where `tls-upstream` is.
fn written_at(resolver: &Resolver<'_>) -> Option<Span> {
    let options = resolver.tree.options(Clause::Server);
    let option = options.filter(|option| option.keyword.canonical == "tls-upstream");
    option.last().map(OptionNode::whole)
}

fn forwards_everything(resolver: &Resolver<'_>) -> bool {
    let mut options = resolver.tree.options(Clause::ForwardZone);
    options.any(|option| option.keyword.name == "name" && resolver.text(option, 0) == ".")
}
