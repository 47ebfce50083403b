//! What the configuration says of some clients only: tags, and what hangs on them.

use ipnet::IpNet;

use crate::At;
use crate::config::LocalZoneType;

/// A set of tags, by their numbers: the first that `define-tag` names is 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagSet(Vec<u64>);

/// The options that have to do with tags, and with zones that are not the same for all clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagConfig {
    /// `define-tag`: the tags' names, by their numbers.
    pub names: Vec<String>,
    /// `access-control-tag`, `access-control-tag-action` and `access-control-tag-data`, in order.
    pub clients: Vec<At<ClientRule>>,
    /// `local-zone-tag`: the zone's name, and the tags of those who see it.
    pub zones: Vec<At<(String, TagSet)>>,
    /// `local-zone-override`.
    pub overrides: Vec<At<ZoneOverride>>,
}

/// One line that tells something of the clients of a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientRule {
    /// The clients meant.
    pub prefix: IpNet,
    /// What is told.
    pub says: ClientTrait,
}

/// What is told of clients. A tag is named by its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientTrait {
    /// `access-control-tag`: they have these tags.
    Tags(TagSet),
    /// `access-control-tag-action`: what they share this tag with is of this type for them.
    Action(usize, LocalZoneType),
    /// `access-control-tag-data`: where they are redirected by this tag, to this record, in presentation format and
    /// without owner.
    Data(usize, String),
}

/// One `local-zone-override:` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneOverride {
    /// The zone's name in presentation format.
    pub zone: String,
    /// The clients meant,
    pub prefix: IpNet,
    /// and the type that the zone has for them.
    pub kind: LocalZoneType,
}

impl TagSet {
    /// Puts a tag in.
    pub fn insert(&mut self, tag: usize) {
        let word = tag / BITS;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (tag % BITS);
    }

    /// The lowest number that is in both.
    pub fn first_shared(&self, other: &Self) -> Option<usize> {
        let shared = self.0.iter().zip(&other.0).map(|(a, b)| a & b);
        let (word, bits) = shared.enumerate().find(|(_, bits)| *bits != 0)?;
        Some(word * BITS + bits.trailing_zeros() as usize)
    }
}

impl FromIterator<usize> for TagSet {
    fn from_iter<I: IntoIterator<Item = usize>>(tags: I) -> Self {
        let mut set = Self::default();
        tags.into_iter().for_each(|tag| set.insert(tag));
        set
    }
}

const BITS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_shared_tag_is_the_one_defined_first() {
        let set = |tags: &[usize]| tags.iter().copied().collect::<TagSet>();
        assert_eq!(set(&[3, 70, 200]).first_shared(&set(&[200, 70])), Some(70));
        assert_eq!(set(&[3]).first_shared(&set(&[4, 67])), None);
        assert_eq!(set(&[]).first_shared(&set(&[0])), None);
        assert_eq!(set(&[0]).first_shared(&set(&[0])), Some(0));
    }
}
