use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use sluicegate_conf::{At, Config, LocalZone, LocalZoneType, Span};
use sluicegate_dns::{Name, Query, Stored, class, rcode, rtype};

use super::super::defaults::default_zones;
use super::super::record::Record;
use super::{Client, LocalAnswer, LocalZones};

const ANYBODY: Client<'_> = Client {
    address: &SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 53),
    known: None,
};

fn at<T>(value: T) -> At<T> {
    At {
        value,
        at: Span::NONE,
    }
}

fn zones(zones: &[(&str, LocalZoneType)], data: &[&str]) -> LocalZones {
    let zone = |(name, kind): &(&str, LocalZoneType)| {
        at(LocalZone {
            name: (*name).to_owned(),
            kind: *kind,
        })
    };
    let config = Config {
        local_zones: zones.iter().map(zone).collect(),
        local_data: data.iter().map(|line| at((*line).to_owned())).collect(),
        ..Config::default()
    };
    let (zones, errors) = LocalZones::build(&config);
    assert!(errors.is_empty(), "{errors:?}");
    zones
}

/// What local data say, to those who know the name's place and to those who don't.
fn found<'z>(zones: &'z LocalZones, name: &Name, qtype: u16) -> LocalAnswer<'z> {
    let mut msg = vec![0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    msg.extend_from_slice(name.as_bytes());
    msg.extend([qtype, class::IN].map(u16::to_be_bytes).as_flattened());
    let place = zones.place(&Query::parse(&msg).unwrap());
    let [placed, walked] =
        [place, None].map(|place| zones.find(name.as_bytes(), [qtype, class::IN], place, ANYBODY));
    assert_eq!(format!("{placed:?}"), format!("{walked:?}"), "{name}");
    placed
}

/// The answer in short: response code, records in the answer section, records in the authority section.
fn find(zones: &LocalZones, name: &str, qtype: u16) -> Option<(u16, u16, u16)> {
    let name = Name::from_text(name).unwrap();
    match found(zones, &name, qtype) {
        LocalAnswer::Records(stored) | LocalAnswer::Negative { stored, .. } => {
            let stored = Stored::new(stored).unwrap();
            let [answers, authority, _] = stored.counts();
            Some((stored.rcode(), answers, authority))
        }
        LocalAnswer::Empty(code) => Some((code, 0, 0)),
        LocalAnswer::None => None,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_record_of_the_built_in_zones_is_answered() {
    let zones = zones(&[], &[]);
    let defaults = default_zones(false);
    assert_eq!(defaults.len(), 102);
    for record in defaults.iter().flat_map(|zone| &zone.records) {
        let record = Record::parse(record).unwrap();
        let owner = Name::from_wire(&record.owner).unwrap().to_string();
        assert_eq!(
            find(&zones, &owner, record.rtype),
            Some((0, 1, 0)),
            "{owner}"
        );
    }
    assert_eq!(default_zones(true).len(), 7);
}

#[test]
fn many_names_are_all_found_and_no_others() {
    let data: Vec<_> = (0..20_000)
        .map(|n| format!("h{n}.z{}.lab A 192.0.2.1", n % 100))
        .collect();
    let data: Vec<_> = data.iter().map(String::as_str).collect();
    let zones = zones(&[("lab", LocalZoneType::Static)], &data);
    for n in 0..20_000 {
        assert_eq!(
            find(&zones, &format!("h{n}.z{}.lab", n % 100), rtype::A),
            Some((0, 1, 0))
        );
        let stranger = format!("h{n}.z{}.lab", (n + 1) % 100);
        assert_eq!(
            find(&zones, &stranger, rtype::A),
            Some((rcode::NXDOMAIN, 0, 0))
        );
    }
    assert_eq!(
        find(&zones, "z7.lab", rtype::A),
        Some((0, 0, 0)),
        "an empty name between"
    );
    assert_eq!(find(&zones, "lab", rtype::A), Some((0, 0, 0)));
    assert_eq!(find(&zones, "xlab", rtype::A), None);
}

#[test]
fn the_blocking_types_of_later_versions_hide_one_type() {
    use LocalZoneType::{BlockA, BlockAWdata, BlockAaaa, BlockAaaaWdata};
    let kinds = [
        ("a", BlockA),
        ("b", BlockAaaa),
        ("c", BlockAWdata),
        ("d", BlockAaaaWdata),
    ];
    let zones = zones(
        &kinds,
        &[
            "h.a A 192.0.2.1",
            "h.b AAAA ::1",
            "h.c A 192.0.2.1",
            "h.d AAAA ::1",
        ],
    );
    for (zone, blocked, data_first) in [
        ("a", rtype::A, false),
        ("b", rtype::AAAA, false),
        ("c", rtype::A, true),
        ("d", rtype::AAAA, true),
    ] {
        let host = format!("h.{zone}");
        assert_eq!(
            find(&zones, &host, blocked),
            Some((0, u16::from(data_first), 0))
        );
        assert_eq!(find(&zones, &format!("x.{zone}"), blocked), Some((0, 0, 0)));
        let other = if blocked == rtype::A {
            rtype::AAAA
        } else {
            rtype::A
        };
        assert_eq!(find(&zones, &host, other), None);
        assert_eq!(find(&zones, &format!("x.{zone}"), rtype::MX), None);
    }
}

#[test]
fn errors_are_told_in_the_order_of_the_file() {
    let span = |start| Span {
        source: 0,
        start,
        end: start + 1,
    };
    let line = |start, text: &str| At {
        value: text.to_owned(),
        at: span(start),
    };
    let config = Config {
        local_data: vec![
            line(30, "x.lab NOSUCH 1"),
            line(10, "x..lab A 192.0.2.1"),
            line(20, "x.lab A 192.0.2.1"),
        ],
        ..Config::default()
    };
    let (_, errors) = LocalZones::build(&config);
    assert_eq!(
        errors
            .iter()
            .map(|error| error.at.start)
            .collect::<Vec<_>>(),
        [10, 30]
    );
}
