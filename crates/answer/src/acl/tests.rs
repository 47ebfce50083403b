use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use proptest::prelude::*;
use sluicegate_conf::{AccessAction, AccessRule};

use super::Acl;

const ACTIONS: [AccessAction; 7] = [
    AccessAction::Deny,
    AccessAction::Refuse,
    AccessAction::Allow,
    AccessAction::AllowSetrd,
    AccessAction::AllowSnoop,
    AccessAction::DenyNonLocal,
    AccessAction::RefuseNonLocal,
];

fn rule(prefix: &str, action: AccessAction) -> AccessRule {
    AccessRule {
        prefix: prefix.parse().unwrap(),
        action,
    }
}

fn action(acl: &Acl, client: &str) -> AccessAction {
    acl.action(client.parse().unwrap())
}

/// The most specific rule, found by looking at each; the later of two equal ones.
fn slowly(rules: &[AccessRule], client: IpAddr) -> AccessAction {
    let mut best = (None, AccessAction::Refuse);
    let loopback = [
        rule("127.0.0.0/8", AccessAction::Allow),
        rule("::1/128", AccessAction::Allow),
    ];
    for rule in loopback.iter().chain(rules) {
        if rule.prefix.contains(&client) && Some(rule.prefix.prefix_len()) >= best.0 {
            best = (Some(rule.prefix.prefix_len()), rule.action);
        }
    }
    best.1
}

#[test]
fn loopback_is_allowed_and_all_else_refused_by_default() {
    let acl = Acl::new([], true);
    assert_eq!(action(&acl, "127.0.0.1"), AccessAction::Allow);
    assert_eq!(action(&acl, "127.255.255.255"), AccessAction::Allow);
    assert_eq!(action(&acl, "::1"), AccessAction::Allow);
    assert_eq!(action(&acl, "::ffff:127.0.0.1"), AccessAction::Allow);
    for other in [
        "0.0.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "255.255.255.255",
        "::",
        "::2",
        "2001:db8::1",
    ] {
        assert_eq!(action(&acl, other), AccessAction::Refuse, "{other}");
    }
}

#[test]
fn most_specific_prefix_wins_in_any_order() {
    let mut rules = [
        rule("10.0.0.0/8", AccessAction::Allow),
        rule("10.1.0.0/16", AccessAction::Deny),
        rule("10.1.2.0/24", AccessAction::AllowSnoop),
        rule("10.1.2.3/32", AccessAction::Refuse),
        rule("0.0.0.0/0", AccessAction::RefuseNonLocal),
        rule("::/0", AccessAction::AllowSetrd),
        rule("2001:db8::/32", AccessAction::Deny),
    ];
    for _ in 0..2 {
        let acl = Acl::new(rules.iter().copied(), true);
        assert_eq!(action(&acl, "10.200.0.1"), AccessAction::Allow);
        assert_eq!(action(&acl, "10.1.9.9"), AccessAction::Deny);
        assert_eq!(action(&acl, "10.1.2.2"), AccessAction::AllowSnoop);
        assert_eq!(action(&acl, "10.1.2.3"), AccessAction::Refuse);
        assert_eq!(action(&acl, "10.1.2.4"), AccessAction::AllowSnoop);
        assert_eq!(action(&acl, "10.1.3.0"), AccessAction::Deny);
        assert_eq!(action(&acl, "11.0.0.0"), AccessAction::RefuseNonLocal);
        assert_eq!(action(&acl, "127.0.0.1"), AccessAction::Allow);
        assert_eq!(
            action(&acl, "255.255.255.255"),
            AccessAction::RefuseNonLocal
        );
        assert_eq!(action(&acl, "2001:db8:ffff::"), AccessAction::Deny);
        assert_eq!(action(&acl, "2001:db9::"), AccessAction::AllowSetrd);
        rules.reverse();
    }
}

#[test]
fn of_equal_prefixes_the_later_wins_also_over_the_defaults() {
    let acl = Acl::new(
        [
            rule("127.0.0.0/8", AccessAction::Deny),
            rule("127.0.0.0/8", AccessAction::Refuse),
        ],
        true,
    );
    assert_eq!(action(&acl, "127.0.0.1"), AccessAction::Refuse);
}

#[test]
fn mapped_clients_and_rules_are_ipv4() {
    let acl = Acl::new(
        [
            rule("::/0", AccessAction::Allow),
            rule("192.0.2.0/24", AccessAction::Deny),
            rule("::ffff:198.51.100.0/120", AccessAction::Allow),
        ],
        true,
    );
    assert_eq!(action(&acl, "::ffff:192.0.2.9"), AccessAction::Deny);
    assert_eq!(action(&acl, "198.51.100.255"), AccessAction::Allow);
    assert_eq!(action(&acl, "::ffff:203.0.113.1"), AccessAction::Refuse);
    assert_eq!(action(&acl, "2001:db8::"), AccessAction::Allow);
}

#[test]
fn host_bits_of_a_prefix_are_ignored() {
    let acl = Acl::new([rule("10.9.8.7/8", AccessAction::Allow)], true);
    assert_eq!(action(&acl, "10.0.0.0"), AccessAction::Allow);
}

fn any_rule() -> impl Strategy<Value = AccessRule> {
    // Few distinct bytes, so that prefixes nest and touch.
    let byte = prop_oneof![
        Just(0u8),
        Just(1),
        Just(10),
        Just(127),
        Just(128),
        Just(255)
    ];
    let v4 = (prop::array::uniform4(byte.clone()), 0u8..=32)
        .prop_map(|(ip, bits)| IpNet::V4(Ipv4Net::new_assert(ip.into(), bits)));
    let v6 = (prop::array::uniform16(byte), 0u8..=128)
        .prop_map(|(ip, bits)| IpNet::V6(Ipv6Net::new_assert(ip.into(), bits)));
    (prop_oneof![v4, v6], 0..ACTIONS.len()).prop_map(|(prefix, action)| AccessRule {
        prefix,
        action: ACTIONS[action],
    })
}

proptest! {
    #[test]
    fn flattened_ranges_agree_with_looking_at_every_rule(rules in prop::collection::vec(any_rule(), 0..60)) {
        let acl = Acl::new(rules.iter().copied(), true);
        let edges = rules.iter().flat_map(|r| [r.prefix.network(), r.prefix.broadcast()]);
        for edge in edges {
            for ip in neighbours(edge) {
                prop_assert_eq!(acl.action(ip), slowly(&rules, ip), "{}", ip);
            }
        }
    }
}

fn neighbours(ip: IpAddr) -> Vec<IpAddr> {
    match ip {
        IpAddr::V4(ip) => {
            let n = u32::from(ip);
            [n.wrapping_sub(1), n, n.wrapping_add(1)]
                .map(|n| IpAddr::V4(n.into()))
                .to_vec()
        }
        IpAddr::V6(ip) => {
            let n = u128::from(ip);
            [n.wrapping_sub(1), n, n.wrapping_add(1)]
                .into_iter()
                .map(|n| IpAddr::V6(n.into()))
                .filter(|ip| matches!(ip, IpAddr::V6(ip) if ip.to_ipv4_mapped().is_none()))
                .collect()
        }
    }
}
