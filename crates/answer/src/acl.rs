mod clients;
mod ranges;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use sluicegate_conf::{AccessAction, AccessRule};

pub(crate) use clients::{Client, Clients};
pub(crate) use ranges::{Prefixes, unmap};

/// Who may ask what: the `access-control` rules, flattened into disjoint ranges.
///
/// The most specific prefix wins; of two equal prefixes the later one does. Clients that no rule names
/// are refused, but for the loopback addresses, which are allowed: as Unbound has it. An IPv4-mapped
/// IPv6 client is the IPv4 client it stands for, and a rule for a mapped prefix is a rule for the IPv4
/// prefix. The cost of a look-up grows with the logarithm of the ranges that share an address's first
/// bits, which an index keeps few.
#[derive(Debug)]
pub struct Acl(Prefixes<AccessAction>);

impl Acl {
    /// Flattens the rules, together with Unbound's defaults for loopback clients.
    pub fn new(rules: impl IntoIterator<Item = AccessRule>, ip6: bool) -> Self {
        let rules = rules.into_iter().map(|rule| (rule.prefix, rule.action));
        Self(Prefixes::new(
            loopback(ip6).chain(rules),
            AccessAction::Refuse,
        ))
    }

    /// What happens to the queries of this client.
    #[expect(clippy::inline_always, reason = "called for each query, once")]
    #[inline(always)]
    pub fn action(&self, client: IpAddr) -> AccessAction {
        self.0.find(client)
    }
}

/// The clients that are allowed unless a rule says otherwise.
fn loopback(ip6: bool) -> impl Iterator<Item = (IpNet, AccessAction)> {
    let v4 = Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8).into();
    let v6 = Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128).into();
    [Some(v4), ip6.then_some(v6)]
        .into_iter()
        .flatten()
        .map(|net| (net, AccessAction::Allow))
}

#[cfg(test)]
mod tests;
