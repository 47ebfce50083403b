use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Root;

/// The router beyond an interface, out of the main table's routes by it: the default route's, else that of the widest
/// prefix. `None` if no route by the interface names a router.
pub(super) fn beyond(root: &Root, interface: &str, ipv4: bool) -> Option<IpAddr> {
    let (file, route): (_, fn(&str) -> Option<Hop<'_>>) = if ipv4 {
        ("proc/net/route", v4)
    } else {
        ("proc/net/ipv6_route", v6)
    };
    let text = root.text(file)?;
    let hops = text.lines().filter_map(route);
    hops.filter(|hop| hop.interface == interface)
        .min_by_key(|hop| hop.prefix_len)
        .map(|hop| hop.gateway)
}

/// A route by a router.
struct Hop<'a> {
    interface: &'a str,
    prefix_len: u32,
    gateway: IpAddr,
}

/// `RTF_UP` and `RTF_GATEWAY` of `linux/route.h`.
const BY_GATEWAY: u32 = 0x1 | 0x2;

/// A line of `/proc/net/route`: interface, destination, gateway, flags, three counts, mask... in hexadecimal, addresses as
/// they lie in memory.
fn v4(line: &str) -> Option<Hop<'_>> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let hex = |at: usize| u32::from_str_radix(fields.get(at)?, 16).ok();
    (hex(3)? & BY_GATEWAY == BY_GATEWAY).then_some(Hop {
        interface: fields.first()?,
        prefix_len: hex(7)?.count_ones(),
        gateway: Ipv4Addr::from(hex(2)?.to_ne_bytes()).into(),
    })
}

/// A line of `/proc/net/ipv6_route`: destination and length, source and length, gateway, metric, two counts, flags,
/// interface, in hexadecimal.
fn v6(line: &str) -> Option<Hop<'_>> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let hex = |at: usize| u32::from_str_radix(fields.get(at)?, 16).ok();
    let gateway = u128::from_str_radix(fields.get(4)?, 16).ok()?;
    (hex(8)? & BY_GATEWAY == BY_GATEWAY).then_some(Hop {
        interface: fields.get(9)?,
        prefix_len: hex(1)?,
        gateway: Ipv6Addr::from(gateway).into(),
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const ROUTES: &str = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
        eth1\t00000000\t02020B0A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
        eth0\t0000000A\t03010B0A\t0003\t0\t0\t0\t000000FF\t0\t0\t0\n\
        eth0\t00000000\t02010B0A\t0003\t0\t0\t500\t00000000\t0\t0\t0\n\
        eth2\t00000C0A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
    const ROUTES6: &str = "\
        fe800000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 \
        00000001 00000000 00000001     eth0\n\
        00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000001 00000400 \
        00000001 00000000 00000003     eth0\n";

    #[test]
    #[cfg(target_endian = "little")]
    fn the_default_route_counts_most() {
        let folder = std::env::temp_dir().join(format!("sluicegate-routes-{}", std::process::id()));
        let net = folder.join("proc/net");
        fs::create_dir_all(&net).unwrap();
        fs::write(net.join("route"), ROUTES).unwrap();
        fs::write(net.join("ipv6_route"), ROUTES6).unwrap();
        let root = Root::new(&folder);
        let of = |interface, ipv4| beyond(&root, interface, ipv4).map(|ip| ip.to_string());
        let found = ["eth0", "eth1", "eth2", "eth3"].map(|name| of(name, true));
        let found6 = ["eth0", "eth1"].map(|name| of(name, false));
        fs::remove_dir_all(&folder).unwrap();
        let expected = [Some("10.11.1.2"), Some("10.11.2.2"), None, None];
        assert_eq!(found, expected.map(|ip| ip.map(str::to_owned)));
        assert_eq!(found6, [Some("fe80::1".to_owned()), None]);
    }
}
