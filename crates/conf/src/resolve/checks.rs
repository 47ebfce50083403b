use super::{Resolver, secure};
use crate::parse::MAX_ERRORS;
use crate::table::{Arg, Clause};
use crate::tree::ClauseNode;
use crate::value::check;
use crate::{Config, Diagnostic};

/// Checks each value by its type, in all clauses.
pub(super) fn values(resolver: &mut Resolver<'_>) {
    let tree = resolver.tree;
    for clause in &tree.clauses {
        for option in &clause.options {
            for (arg, value) in option.keyword.args.iter().zip(option.values()) {
                // Views are named by any text.
                let arg = if clause.clause == Clause::View && option.keyword.name == "name" {
                    Arg::Text
                } else {
                    *arg
                };
                let text = resolver.sources.text(value.span);
                let name = option.keyword.written();
                let found = match check(arg, text) {
                    Ok(None) => continue,
                    Ok(Some(remark)) => Diagnostic::warning(
                        value.span,
                        format!("`{text}` is not wholly understood"),
                    )
                    .label(remark),
                    Err(wrong) => {
                        Diagnostic::error(value.span, format!("{name} has an invalid value"))
                            .label(wrong.label)
                            .maybe_help(wrong.help)
                    }
                };
                resolver.report(found);
                if resolver.diagnostics.len() > MAX_ERRORS {
                    return;
                }
            }
        }
    }
}

/// Checks what clauses need: one name each.
pub(super) fn clauses(resolver: &mut Resolver<'_>) {
    let tree = resolver.tree;
    for clause in &tree.clauses {
        let named = matches!(
            clause.clause,
            Clause::StubZone | Clause::ForwardZone | Clause::View
        );
        let names: Vec<_> = clause
            .options
            .iter()
            .filter(|option| option.keyword.name == "name")
            .collect();
        let opener = clause.keyword.written();
        if let [first, second, ..] = names[..] {
            let error = Diagnostic::error(
                second.whole(),
                format!("{opener} has more than one `name:`"),
            )
            .related(first.whole(), "the first is here")
            .help(format!("begin another {opener}"));
            resolver.report(error);
        }
        if named && names.is_empty() {
            let example = if clause.clause == Clause::ForwardZone {
                "; `name: \".\"` forwards everything"
            } else {
                ""
            };
            let error = Diagnostic::error(clause.at, format!("{opener} has no `name:`"))
                .help(format!("say which one it is by `name:`{example}"));
            resolver.report(error);
        }
        upstreams(resolver, clause);
    }
}

/// A zone that leads nowhere is most often a slip.
fn upstreams(resolver: &mut Resolver<'_>, clause: &ClauseNode) {
    let wanted: &[&str] = match clause.clause {
        Clause::StubZone => &["stub-addr", "stub-host"],
        Clause::ForwardZone => &["forward-addr", "forward-host"],
        _ => return,
    };
    let has = clause
        .options
        .iter()
        .any(|option| wanted.contains(&option.keyword.name));
    if !has
        && clause
            .options
            .iter()
            .any(|option| option.keyword.name == "name")
    {
        let message = format!("{} names no server", clause.keyword.written());
        let help = format!(
            "add `{}:`, unless the zone is meant to be resolved as usual",
            wanted[0]
        );
        resolver.report(Diagnostic::warning(clause.at, message).help(help));
    }
}

/// Checks what makes no sense together, as Unbound does.
pub(super) fn sense(resolver: &mut Resolver<'_>, config: &Config) {
    pins(resolver, config);
    if !config.do_ip4 && !config.do_ip6 {
        both_off(resolver, ["do-ip4", "do-ip6"]);
    }
    if !config.do_udp && !config.do_tcp {
        both_off(resolver, ["do-udp", "do-tcp"]);
    }
    for (prefer, family, on) in [
        ("prefer-ip4", "do-ip4", config.do_ip4),
        ("prefer-ip6", "do-ip6", config.do_ip6),
    ] {
        if on {
            continue;
        }
        let chosen = resolver
            .tree
            .options(Clause::Server)
            .filter(|option| option.keyword.name == prefer)
            .last();
        if let Some(option) = chosen.filter(|option| resolver.text(option, 0) == "yes") {
            let message = format!("`{prefer}: yes` and `{family}: no` contradict each other");
            resolver.report(Diagnostic::error(option.whole(), message).help("remove one of them"));
        }
    }
    modules(resolver);
    respip(resolver);
    secure::check(resolver);
}

/// To make maps takes a privilege, and a BPF file system is mostly root's alone: both are gone by then.
fn pins(resolver: &mut Resolver<'_>, config: &Config) {
    let user = config
        .username
        .as_ref()
        .filter(|user| !user.value.is_empty());
    let (Some(user), Some(directory)) = (user, &config.xdp.pinned_maps) else {
        return;
    };
    let (name, directory) = (&user.value, directory.display());
    let warning = Diagnostic::warning(user.at, "no maps are made for `pinned-maps:` as another user")
        .label("the server becomes this user before it opens maps")
        .help(format!(
            "write `username: \"\"`; or make `xsks`, `queues` and `listen` in {directory}/INTERFACE/ before each start, and \
             give them and all of that path to {name} (README, pinned-maps)"
        ));
    resolver.report(warning);
}

fn both_off(resolver: &mut Resolver<'_>, names: [&str; 2]) {
    let mut last = |name| {
        resolver
            .tree
            .options(Clause::Server)
            .filter(|option| option.keyword.name == name)
            .last()
    };
    if let [Some(first), Some(second)] = names.map(&mut last) {
        let (first, second) = if first.at < second.at {
            (first, second)
        } else {
            (second, first)
        };
        let error = Diagnostic::error(
            second.whole(),
            format!("`{}:` and `{}:` are both off", names[0], names[1]),
        )
        .related(first.whole(), "the other is here")
        .help("turn one of them on: nothing could be asked or answered");
        resolver.report(error);
    }
}

/// The order of modules is fixed by what they do.
fn modules(resolver: &mut Resolver<'_>) {
    let last = resolver
        .tree
        .options(Clause::Server)
        .filter(|option| option.keyword.name == "module-config")
        .last();
    let Some(option) = last else { return };
    let words: Vec<&str> = resolver.text(option, 0).split_ascii_whitespace().collect();
    if words.last() != Some(&"iterator") {
        let help = "most use \"validator iterator\"";
        let error = Diagnostic::error(
            option.first(),
            "`module-config:` does not end in `iterator`",
        )
        .help(help);
        resolver.report(error);
    }
}

/// Unbound does not start with these options without the module.
fn respip(resolver: &mut Resolver<'_>) {
    let options = || resolver.tree.options(Clause::Server);
    let modules = options().filter(|option| option.keyword.name == "module-config");
    let words = modules
        .last()
        .map_or("validator iterator", |option| resolver.text(option, 0));
    let mut rules = options().filter(|option| option.keyword.canonical.starts_with("response-ip"));
    if let Some(option) = rules.next()
        && !words.split_ascii_whitespace().any(|word| word == "respip")
    {
        let name = option.keyword.written();
        let error = Diagnostic::error(option.whole(), format!("{name} needs the module `respip`"))
            .help(format!("write `module-config: \"respip {words}\"`"));
        resolver.report(error);
    }
}
