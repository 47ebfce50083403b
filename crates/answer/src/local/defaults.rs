//! The zones that are there unless the configuration says otherwise (RFC 6303, 6761, 7686, 8375).

use sluicegate_conf::LocalZoneType;

/// One built-in zone: its name, its type and its records.
pub(super) struct DefaultZone {
    pub(super) name: String,
    pub(super) kind: LocalZoneType,
    pub(super) records: Vec<String>,
}

/// The built-in zones; without those of private address space when these are unblocked.
pub(super) fn default_zones(unblock_lan_zones: bool) -> Vec<DefaultZone> {
    let mut zones = vec![
        localhost(),
        reverse("127.in-addr.arpa.", "1.0.0.127.in-addr.arpa."),
        {
            let name = format!("1.{}ip6.arpa.", "0.".repeat(31));
            reverse(&name, &name)
        },
    ];
    zones.extend(["home.arpa.", "onion.", "test.", "invalid."].map(|name| empty(name.to_owned())));
    if !unblock_lan_zones {
        zones.extend(private_reverse_zones().into_iter().map(empty));
    }
    zones
}

/// `SOA` and `NS` of every built-in zone.
fn apex(name: &str) -> [String; 2] {
    [
        format!("{name} 10800 IN NS localhost."),
        format!("{name} 10800 IN SOA localhost. nobody.invalid. 1 3600 1200 604800 10800"),
    ]
}

fn localhost() -> DefaultZone {
    let name = "localhost.";
    let mut records = apex(name).to_vec();
    records.extend([
        format!("{name} 10800 IN A 127.0.0.1"),
        format!("{name} 10800 IN AAAA ::1"),
    ]);
    DefaultZone {
        name: name.to_owned(),
        kind: LocalZoneType::Redirect,
        records,
    }
}

fn reverse(zone: &str, name: &str) -> DefaultZone {
    let mut records = apex(zone).to_vec();
    records.push(format!("{name} 10800 IN PTR localhost."));
    DefaultZone {
        name: zone.to_owned(),
        kind: LocalZoneType::Static,
        records,
    }
}

fn empty(name: String) -> DefaultZone {
    let records = apex(&name).to_vec();
    DefaultZone {
        name,
        kind: LocalZoneType::Static,
        records,
    }
}

fn private_reverse_zones() -> Vec<String> {
    let mut zones = vec!["10.in-addr.arpa.".to_owned()];
    zones.extend((16..32).map(|n| format!("{n}.172.in-addr.arpa.")));
    zones.extend(["168.192.in-addr.arpa.", "0.in-addr.arpa."].map(str::to_owned));
    zones.extend((64..128).map(|n| format!("{n}.100.in-addr.arpa.")));
    zones.push(format!("{}ip6.arpa.", "0.".repeat(32)));
    zones.extend(
        [
            "254.169.in-addr.arpa.",
            "2.0.192.in-addr.arpa.",
            "100.51.198.in-addr.arpa.",
            "113.0.203.in-addr.arpa.",
            "255.255.255.255.in-addr.arpa.",
            "d.f.ip6.arpa.",
            "8.e.f.ip6.arpa.",
            "9.e.f.ip6.arpa.",
            "a.e.f.ip6.arpa.",
            "b.e.f.ip6.arpa.",
            "8.b.d.0.1.0.0.2.ip6.arpa.",
        ]
        .map(str::to_owned),
    );
    zones
}
