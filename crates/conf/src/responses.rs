//! What becomes of answers by the addresses in them.

use ipnet::IpNet;

use crate::config::LocalZoneType;
use crate::tags::TagSet;

/// One line that tells something of answers with addresses of a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseRule {
    /// The addresses meant.
    pub prefix: IpNet,
    /// What is told.
    pub says: ResponseTrait,
}

/// What is told of addresses in answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResponseTrait {
    /// `response-ip`: what becomes of the answer.
    Action(LocalZoneType),
    /// `response-ip-data`: a record that takes their place, in presentation format and without owner.
    Data(String),
    /// `response-ip-tag`: what becomes of the answer is for clients with these tags to say.
    Tags(TagSet),
}
