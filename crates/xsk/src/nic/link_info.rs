use super::link::{Link, Port, Tap};
use super::message::{attributes, read_text, read_u16, read_u32};

// linux/if_link.h
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const IFLA_INFO_SLAVE_KIND: u16 = 4;
const IFLA_INFO_SLAVE_DATA: u16 = 5;
const IFLA_VLAN_ID: u16 = 1;
const IFLA_VLAN_PROTOCOL: u16 = 5;
const IFLA_BOND_MODE: u16 = 1;
const IFLA_BOND_SLAVE_STATE: u16 = 1;
const IFLA_BOND_SLAVE_MII_STATUS: u16 = 2;
const IFLA_BR_VLAN_FILTERING: u16 = 7;
const IFLA_BRPORT_STATE: u16 = 1;
const IFLA_TUN_TYPE: u16 = 3;
const IFLA_TUN_NUM_QUEUES: u16 = 8;
/// `BOND_STATE_ACTIVE` of `linux/if_bonding.h`.
const BOND_STATE_ACTIVE: u8 = 0;
/// `BOND_LINK_UP` of the same.
const BOND_LINK_UP: u8 = 0;
/// `BR_STATE_FORWARDING` of `linux/if_bridge.h`.
const BR_STATE_FORWARDING: u8 = 3;
/// `IFF_TAP` of `linux/if_tun.h`.
const IFF_TAP: u8 = 2;

/// Reads `IFLA_LINKINFO`: what made an interface, and what it is to its master.
pub(super) fn parse(nested: &[u8], link: &mut Link) {
    let (mut data, mut port_kind, mut port_data): (&[u8], _, &[u8]) = (&[], String::new(), &[]);
    for (kind, value) in attributes(nested) {
        match kind {
            IFLA_INFO_KIND => link.kind = Some(read_text(value)),
            IFLA_INFO_DATA => data = value,
            IFLA_INFO_SLAVE_KIND => port_kind = read_text(value),
            IFLA_INFO_SLAVE_DATA => port_data = value,
            _ => {}
        }
    }
    match link.kind.as_deref() {
        Some("vlan") => {
            link.vlan_id = number(data, IFLA_VLAN_ID, read_u16);
            // In network byte order.
            link.vlan_protocol = number(data, IFLA_VLAN_PROTOCOL, read_u16).map(u16::from_be);
        }
        Some("bond") => link.bond_mode = number(data, IFLA_BOND_MODE, first),
        Some("bridge") => {
            link.vlan_filtering = number(data, IFLA_BR_VLAN_FILTERING, first).unwrap_or(0) != 0;
        }
        Some("tun") => {
            link.tap = Some(Tap {
                ethernet: number(data, IFLA_TUN_TYPE, first) == Some(IFF_TAP),
                queues: number(data, IFLA_TUN_NUM_QUEUES, read_u32).unwrap_or(0),
            });
        }
        _ => {}
    }
    link.bond_link_up = port_kind == "bond"
        && number(port_data, IFLA_BOND_SLAVE_MII_STATUS, first) == Some(BOND_LINK_UP);
    link.port = match port_kind.as_str() {
        "" => None,
        "bond" => Some(Port::Bond {
            active: number(port_data, IFLA_BOND_SLAVE_STATE, first) == Some(BOND_STATE_ACTIVE),
        }),
        "bridge" => Some(Port::Bridge {
            forwarding: number(port_data, IFLA_BRPORT_STATE, first) == Some(BR_STATE_FORWARDING),
        }),
        _ => Some(Port::Other),
    };
}

/// The number in an attribute of a nested one.
fn number<T>(nested: &[u8], wanted: u16, read: impl Fn(&[u8]) -> Option<T>) -> Option<T> {
    attributes(nested).find_map(|(kind, value)| (kind == wanted).then(|| read(value))?)
}

fn first(bytes: &[u8]) -> Option<u8> {
    bytes.first().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = (4 + value.len() as u16).to_ne_bytes().to_vec();
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn parsed(attributes: &[Vec<u8>]) -> Link {
        let mut link = Link::default();
        parse(&attributes.concat(), &mut link);
        link
    }

    #[test]
    fn vlans_tell_identifier_and_protocol() {
        let data = [
            attribute(IFLA_VLAN_ID, &10u16.to_ne_bytes()),
            attribute(IFLA_VLAN_PROTOCOL, &0x88a8u16.to_be_bytes()),
        ];
        let link = parsed(&[
            attribute(IFLA_INFO_KIND, b"vlan\0"),
            attribute(IFLA_INFO_DATA, &data.concat()),
        ]);
        assert_eq!((link.vlan_id, link.vlan_protocol), (Some(10), Some(0x88a8)));
    }

    #[test]
    fn ports_tell_whether_they_carry_packets() {
        for (kind, wanted, state, port) in [
            (
                "bond",
                IFLA_BOND_SLAVE_STATE,
                0,
                Port::Bond { active: true },
            ),
            (
                "bond",
                IFLA_BOND_SLAVE_STATE,
                1,
                Port::Bond { active: false },
            ),
            (
                "bridge",
                IFLA_BRPORT_STATE,
                3,
                Port::Bridge { forwarding: true },
            ),
            (
                "bridge",
                IFLA_BRPORT_STATE,
                4,
                Port::Bridge { forwarding: false },
            ),
            ("vrf", 1, 0, Port::Other),
        ] {
            let link = parsed(&[
                attribute(IFLA_INFO_SLAVE_KIND, kind.as_bytes()),
                attribute(IFLA_INFO_SLAVE_DATA, &attribute(wanted, &[state])),
            ]);
            assert_eq!(link.port, Some(port), "{kind} {state}");
            assert_eq!(link.kind, None);
        }
    }

    #[test]
    fn members_tell_whether_their_bond_sees_a_link() {
        for (kind, mii, seen) in [("bond", 0, true), ("bond", 2, false), ("bridge", 0, false)] {
            let data = [
                attribute(IFLA_BOND_SLAVE_STATE, &[0]),
                attribute(IFLA_BOND_SLAVE_MII_STATUS, &[mii]),
            ];
            let link = parsed(&[
                attribute(IFLA_INFO_SLAVE_KIND, kind.as_bytes()),
                attribute(IFLA_INFO_SLAVE_DATA, &data.concat()),
            ]);
            assert_eq!(link.bond_link_up, seen, "{kind} {mii}");
        }
    }

    #[test]
    fn masters_and_taps_tell_their_ways() {
        let of = |kind: &str, data: Vec<u8>| {
            parsed(&[
                attribute(IFLA_INFO_KIND, kind.as_bytes()),
                attribute(IFLA_INFO_DATA, &data),
            ])
        };
        assert_eq!(
            of("bond", attribute(IFLA_BOND_MODE, &[4])).bond_mode,
            Some(4)
        );
        assert!(of("bridge", attribute(IFLA_BR_VLAN_FILTERING, &[1])).vlan_filtering);
        assert!(!of("bridge", attribute(IFLA_BR_VLAN_FILTERING, &[0])).vlan_filtering);
        let tap = [
            attribute(IFLA_TUN_TYPE, &[2]),
            attribute(IFLA_TUN_NUM_QUEUES, &3u32.to_ne_bytes()),
        ];
        let ethernet = true;
        assert_eq!(
            of("tun", tap.concat()).tap,
            Some(Tap {
                ethernet,
                queues: 3
            })
        );
        assert!(
            !of("tun", attribute(IFLA_TUN_TYPE, &[1]))
                .tap
                .is_some_and(|tap| tap.ethernet)
        );
    }
}
