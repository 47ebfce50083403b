use super::Resolver;
use crate::config::{AccessAction, AccessRule, LocalZone, LocalZoneType};
use crate::tree::OptionNode;
use crate::value::{netblock, reverse};
use crate::{At, Config, Diagnostic};

/// `access-control: <netblock> <action>`.
pub(super) fn access_control(resolver: &Resolver<'_>, option: &OptionNode, config: &mut Config) {
    let action = match resolver.text(option, 1) {
        "deny" => AccessAction::Deny,
        "refuse" => AccessAction::Refuse,
        "allow" => AccessAction::Allow,
        "allow_setrd" => AccessAction::AllowSetrd,
        "allow_snoop" => AccessAction::AllowSnoop,
        "allow_cookie" => AccessAction::AllowCookie,
        "deny_non_local" => AccessAction::DenyNonLocal,
        "refuse_non_local" => AccessAction::RefuseNonLocal,
        _ => return,
    };
    if let Ok(prefix) = netblock(resolver.text(option, 0)) {
        config.access_control.push(At {
            value: AccessRule { prefix, action },
            at: option.whole(),
        });
    }
}

/// `local-zone: <name> <type>`.
pub(super) fn local_zone(resolver: &mut Resolver<'_>, option: &OptionNode, config: &mut Config) {
    let kind = match resolver.text(option, 1) {
        "ipset" => {
            let warning = Diagnostic::warning(
                option.values()[1].span,
                "local zones of type `ipset` are not built yet",
            );
            resolver.report(warning.label("the zone is taken as `transparent`"));
            Some(LocalZoneType::Transparent)
        }
        word => LocalZoneType::from_word(word),
    };
    if let Some(kind) = kind {
        let name = resolver.text(option, 0).to_owned();
        config.local_zones.push(At {
            value: LocalZone { name, kind },
            at: option.whole(),
        });
    }
}

/// `local-data-ptr: "<address> [TTL] <name>"`.
pub(super) fn local_data_ptr(resolver: &Resolver<'_>, option: &OptionNode, config: &mut Config) {
    if let Ok(value) = reverse(resolver.text(option, 0)) {
        config.local_data_ptr.push(At {
            value,
            at: option.first(),
        });
    }
}
