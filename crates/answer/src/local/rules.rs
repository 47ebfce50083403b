use ipnet::IpNet;
use sluicegate_conf::{LocalZoneType, TagSet};

use crate::acl::{Client, Prefixes};

/// What makes a zone another one for some clients.
#[derive(Debug, Default)]
pub(super) struct Rules {
    /// Only clients that share one of these see the zone at all; `None`: all do.
    pub(super) tags: Option<TagSet>,
    /// `local-zone-override`.
    pub(super) overrides: Vec<(IpNet, LocalZoneType)>,
}

/// The same, for look-ups.
#[derive(Debug)]
pub(super) struct CompiledRules {
    tags: Option<TagSet>,
    overrides: Option<Prefixes<Option<LocalZoneType>>>,
}

/// What a zone is for one client.
#[derive(Clone, Copy)]
pub(super) enum Sight {
    /// Not there.
    Hidden,
    /// Of this type, by this tag if one has a say.
    As(LocalZoneType, Option<usize>),
}

impl Rules {
    pub(super) fn compile(&self) -> CompiledRules {
        let overrides = self.overrides.iter().map(|(net, kind)| (*net, Some(*kind)));
        CompiledRules {
            tags: self.tags.clone(),
            overrides: (!self.overrides.is_empty()).then(|| Prefixes::new(overrides, None)),
        }
    }
}

impl CompiledRules {
    /// What a zone that is otherwise of the type `usual` is for this client: an override goes before tags.
    pub(super) fn sight(&self, usual: LocalZoneType, client: Client<'_>) -> Sight {
        let profile = client.profile();
        let told = self.tags.as_ref().map(|tags| match profile {
            Some(profile) => profile.action(tags, usual),
            None => (usual, None),
        });
        if let Some((_, None)) = told {
            return Sight::Hidden;
        }
        let overrides = self.overrides.as_ref();
        if let Some(kind) = overrides.and_then(|all| all.find(client.address.ip())) {
            return Sight::As(kind, None);
        }
        let (kind, tag) = told.unwrap_or((usual, None));
        Sight::As(kind, tag)
    }
}
