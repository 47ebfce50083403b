use std::net::IpAddr;

use super::message::{attributes, read_u32};
use super::query::{Ask, Query};

// linux/rtnetlink.h
const RTM_GETROUTE: u16 = 26;
const RTA_DST: u16 = 1;
const RTA_SRC: u16 = 2;
const RTA_OIF: u16 = 4;
/// `struct rtmsg`.
const ROUTE_HEADER_BYTES: usize = 12;
/// Families, as a byte of `struct rtmsg`.
const AF_INET: u8 = libc::AF_INET.unsigned_abs() as u8;
const AF_INET6: u8 = libc::AF_INET6.unsigned_abs() as u8;

/// The number of the interface by which a packet from the local address `from` to `to` would leave, as all rules and
/// tables say; `None` if there is no route, or they are of different families.
pub fn interface_towards(to: IpAddr, from: IpAddr) -> Option<u32> {
    let (family, to, from) = match (to, from) {
        (IpAddr::V4(to), IpAddr::V4(from)) => {
            (AF_INET, to.octets().to_vec(), from.octets().to_vec())
        }
        (IpAddr::V6(to), IpAddr::V6(from)) => {
            (AF_INET6, to.octets().to_vec(), from.octets().to_vec())
        }
        _ => return None,
    };
    let bits = (to.len() * 8) as u8;
    let mut header = [0; ROUTE_HEADER_BYTES];
    header[..3].copy_from_slice(&[family, bits, bits]);
    let ask = Ask {
        kind: RTM_GETROUTE,
        header: &header,
        attributes: &[(RTA_DST, &to), (RTA_SRC, &from)],
    };
    Query::open(libc::NETLINK_ROUTE, "RTM_GETROUTE")
        .ok()?
        .get(ask, parse_route)
        .ok()
}

fn parse_route(payload: &[u8]) -> Option<u32> {
    attributes(payload.get(ROUTE_HEADER_BYTES..)?)
        .find_map(|(kind, value)| (kind == RTA_OIF).then(|| read_u32(value))?)
}
