use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

use ipnet::IpNet;
use sluicegate_conf::{AccessAction, AccessRule, At, ClientTrait, Config, LocalZoneType, TagSet};

use super::ranges::{Prefixes, unmap};
use super::{Acl, loopback};
use crate::local::{LocalError, TagData};

/// What is told of some clients beyond what they may ask: their tags.
///
/// As in Unbound, a client has what is told of the most specific prefix that any `access-control` option names, and
/// nothing of what is told of wider ones.
#[derive(Debug)]
pub(crate) struct Clients {
    /// The number of the profile; the first tells nothing.
    numbers: Prefixes<u32>,
    profiles: Vec<Profile>,
}

/// What is told of the clients of one prefix.
#[derive(Debug, Default)]
pub(crate) struct Profile {
    pub(crate) tags: Option<TagSet>,
    actions: HashMap<usize, LocalZoneType>,
    data: HashMap<usize, TagData>,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client<'a> {
    pub(crate) address: &'a SocketAddr,
    pub(crate) known: Option<&'a Clients>,
}

impl Acl {
    /// The rules of a configuration. Prefixes of which something is told, but not what they may ask, may ask all.
    pub(crate) fn of(config: &Config) -> Self {
        let told = config.tags.clients.iter().map(|rule| AccessRule {
            prefix: rule.value.prefix,
            action: AccessAction::Allow,
        });
        let rules = config.access_control.iter().map(|rule| rule.value);
        // Then no reply can be told without a look at its addresses.
        let watched = !config.responses.is_empty();
        let rules =
            loopback(config.do_ip6).chain(told.chain(rules).map(|rule| (rule.prefix, rule.action)));
        let rules = rules.map(|(prefix, action)| match action {
            AccessAction::Allow if watched => (prefix, AccessAction::AllowWatched),
            action => (prefix, action),
        });
        Self(Prefixes::new(rules, AccessAction::Refuse))
    }
}

impl Clients {
    /// What a configuration tells of clients; `None`: nothing.
    pub(crate) fn build(config: &Config) -> (Option<Self>, Vec<At<LocalError>>) {
        let mut errors = Vec::new();
        if config.tags.clients.is_empty() {
            return (None, errors);
        }
        let mut numbers: HashMap<IpNet, usize> = HashMap::new();
        let mut profiles = vec![Profile::default()];
        for rule in &config.tags.clients {
            let number = *numbers.entry(unmap(rule.value.prefix)).or_insert_with(|| {
                profiles.push(Profile::default());
                profiles.len() - 1
            });
            if let Err(value) = profiles[number].enter(&rule.value.says) {
                errors.push(At { value, at: rule.at });
            }
        }
        let others = config.access_control.iter().map(|rule| rule.value.prefix);
        let silent: HashSet<IpNet> = loopback(config.do_ip6)
            .map(|(prefix, _)| prefix)
            .chain(others)
            .map(unmap)
            .filter(|prefix| !numbers.contains_key(prefix))
            .collect();
        let silent = silent.into_iter().map(|prefix| (prefix, NOTHING));
        let told = numbers
            .into_iter()
            .map(|(prefix, number)| (prefix, number as u32));
        let clients = Self {
            numbers: Prefixes::new(silent.chain(told), NOTHING),
            profiles,
        };
        (Some(clients), errors)
    }
}

impl Profile {
    /// Of two lines that say the same of one prefix the first holds; data is added.
    fn enter(&mut self, says: &ClientTrait) -> Result<(), LocalError> {
        match says {
            ClientTrait::Tags(tags) => _ = self.tags.get_or_insert_with(|| tags.clone()),
            ClientTrait::Action(tag, kind) => _ = self.actions.entry(*tag).or_insert(*kind),
            ClientTrait::Data(tag, text) => self.data.entry(*tag).or_default().enter(text)?,
        }
        Ok(())
    }

    /// The first tag that the clients share with something, and what they are to get of it; `usual` unless the tag has
    /// an action of its own.
    pub(crate) fn action<K: From<LocalZoneType>>(
        &self,
        tags: &TagSet,
        usual: K,
    ) -> (K, Option<usize>) {
        let shared = self.tags.as_ref().and_then(|ours| ours.first_shared(tags));
        let action = shared.and_then(|tag| self.actions.get(&tag));
        (action.map_or(usual, |kind| K::from(*kind)), shared)
    }

    /// Where this tag redirects to.
    pub(crate) fn data(&self, tag: usize) -> Option<&TagData> {
        self.data.get(&tag)
    }
}

impl<'a> Client<'a> {
    /// What is told of the client.
    pub(crate) fn profile(self) -> Option<&'a Profile> {
        let known = self.known?;
        let number = known.numbers.find(self.address.ip());
        known.profiles.get(number as usize)
    }
}

/// The number of the profile that tells nothing.
const NOTHING: u32 = 0;
