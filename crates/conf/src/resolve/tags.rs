use super::Resolver;
use crate::config::LocalZoneType;
use crate::responses::{ResponseRule, ResponseTrait};
use crate::table::Clause;
use crate::tags::{ClientRule, ClientTrait, TagSet, ZoneOverride};
use crate::tree::OptionNode;
use crate::value::netblock;
use crate::{At, Config, Diagnostic};

/// `define-tag: "<names>"`: one that is there already keeps its number.
pub(super) fn define(resolver: &Resolver<'_>, option: &OptionNode, config: &mut Config) {
    let names = &mut config.tags.names;
    for name in resolver.text(option, 0).split_ascii_whitespace() {
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
}

/// The options that use tags, but those whose tags may be defined below them. Values that are not valid were reported before.
pub(super) fn use_tags(resolver: &mut Resolver<'_>, option: &OptionNode, config: &mut Config) {
    let at = option.whole();
    match option.keyword.canonical {
        "local-zone-tag" => {
            let zone = resolver.text(option, 0).to_owned();
            if let Some(tags) = tag_list(resolver, option, config) {
                let value = (zone, tags);
                config.tags.zones.push(At { value, at });
            }
        }
        "local-zone-override" => {
            let kind = kind(resolver, option, 2);
            if let (Ok(prefix), Some(kind)) = (netblock(resolver.text(option, 1)), kind) {
                let zone = resolver.text(option, 0).to_owned();
                let value = ZoneOverride { zone, prefix, kind };
                config.tags.overrides.push(At { value, at });
            }
        }
        _ => {
            if let Some(tags) = tag_list(resolver, option, config) {
                enter(resolver, option, ClientTrait::Tags(tags), config);
            }
        }
    }
}

/// `access-control-tag-action` and `access-control-tag-data`, which name a tag that is defined above or below.
pub(super) fn use_tags_defined_anywhere(resolver: &mut Resolver<'_>, config: &mut Config) {
    let tree = resolver.tree;
    for option in tree.options(Clause::Server) {
        if let "access-control-tag-action" | "access-control-tag-data" = option.keyword.canonical
            && let Some(says) = client_trait(resolver, option, config)
        {
            enter(resolver, option, says, config);
        }
    }
}

fn enter(resolver: &Resolver<'_>, option: &OptionNode, says: ClientTrait, config: &mut Config) {
    if let Ok(prefix) = netblock(resolver.text(option, 0)) {
        config.tags.clients.push(At {
            value: ClientRule { prefix, says },
            at: option.whole(),
        });
    }
}

fn client_trait(
    resolver: &mut Resolver<'_>,
    option: &OptionNode,
    config: &Config,
) -> Option<ClientTrait> {
    let name = resolver.text(option, 1);
    let Some(tag) = number(name, config) else {
        undefined(resolver, option, 1, name, config);
        return None;
    };
    if option.keyword.canonical == "access-control-tag-action" {
        return kind(resolver, option, 2).map(|kind| ClientTrait::Action(tag, kind));
    }
    let data = resolver.text(option, 2).to_owned();
    Some(ClientTrait::Data(tag, data))
}

/// What becomes of answers by their addresses.
pub(super) fn responses(resolver: &mut Resolver<'_>, option: &OptionNode, config: &mut Config) {
    let text = resolver.text(option, 1);
    let says = match option.keyword.canonical {
        "response-ip" => LocalZoneType::from_word(text).map(ResponseTrait::Action),
        "response-ip-data" => Some(ResponseTrait::Data(text.to_owned())),
        _ => tag_list(resolver, option, config).map(ResponseTrait::Tags),
    };
    if let (Ok(prefix), Some(says)) = (netblock(resolver.text(option, 0)), says) {
        config.responses.push(At {
            value: ResponseRule { prefix, says },
            at: option.whole(),
        });
    }
}

/// The tags that the second value lists. `None`: one of them is unknown, which is reported.
fn tag_list(resolver: &mut Resolver<'_>, option: &OptionNode, config: &Config) -> Option<TagSet> {
    let mut tags = TagSet::default();
    for name in resolver.text(option, 1).split_ascii_whitespace() {
        let Some(tag) = number(name, config) else {
            undefined(resolver, option, 1, name, config);
            return None;
        };
        tags.insert(tag);
    }
    Some(tags)
}

fn number(name: &str, config: &Config) -> Option<usize> {
    config.tags.names.iter().position(|known| known == name)
}

fn undefined(
    resolver: &mut Resolver<'_>,
    option: &OptionNode,
    index: usize,
    name: &str,
    config: &Config,
) {
    let at = option
        .values()
        .get(index)
        .map_or(option.whole(), |value| value.span);
    let near = crate::suggest::closest(name, config.tags.names.iter().map(String::as_str));
    let help = match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("write `define-tag: \"{name}\"` above this line"),
    };
    let error = Diagnostic::error(at, format!("the tag `{name}` is not defined")).help(help);
    resolver.report(error);
}

/// The type that a value names.
fn kind(resolver: &mut Resolver<'_>, option: &OptionNode, index: usize) -> Option<LocalZoneType> {
    let word = resolver.text(option, index);
    if word == "ipset" {
        let at = option
            .values()
            .get(index)
            .map_or(option.whole(), |value| value.span);
        let warning = Diagnostic::warning(at, "local zones of type `ipset` are not built yet");
        resolver.report(warning.label("the zone is taken as `transparent`"));
        return Some(LocalZoneType::Transparent);
    }
    LocalZoneType::from_word(word)
}
