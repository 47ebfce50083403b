macro_rules! exits {
    ($($(#[$doc:meta])* $variant:ident => $label:literal,)*) => {
        /// Why a packet left the XDP program: the index into its counters, `enum exit` in `steer.bpf.c`.
        ///
        /// All but [`Exit::Redirected`] give the packet to the kernel (`XDP_PASS`).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u32)]
        pub enum Exit { $($(#[$doc])* $variant,)* }

        impl Exit {
            /// Every exit, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name under which it is shown.
            pub const fn label(self) -> &'static str {
                match self { $(Self::$variant => $label,)* }
            }
        }
    };
}

exits! {
    /// To the AF_XDP socket of its queue.
    Redirected => "redirected",
    /// A query for us, but no socket in the queue's slot.
    NoSocket => "pass.no-socket",
    /// A query for us, but the queue is not enabled.
    QueueOff => "pass.queue-off",
    /// The program has not been told its interface yet.
    NotReady => "pass.not-ready",
    /// Shorter than an Ethernet header.
    EthernetShort => "pass.ethernet-short",
    /// Longer than a UMEM frame can hold.
    Oversize => "pass.oversize",
    /// To a group's MAC address, or to a listed place but not to the MAC address of its [`Owner`](crate::Owner).
    OtherMac => "pass.other-mac",
    /// From a group address.
    SourceMac => "pass.source-mac",
    /// A VLAN tag that is cut off, or one without an identifier.
    Vlan => "pass.vlan",
    /// Neither IPv4 nor IPv6 behind at most two VLAN tags.
    Ethertype => "pass.ethertype",
    /// An IPv4 header that is cut off, of the wrong version, or shorter than it may be.
    Ipv4Header => "pass.ipv4-header",
    /// IPv4 options.
    Ipv4Options => "pass.ipv4-options",
    /// A fragment of an IPv4 packet, or the reserved flag.
    Ipv4Fragment => "pass.ipv4-fragment",
    /// An IPv4 length that the frame does not hold.
    Ipv4Length => "pass.ipv4-length",
    /// An IPv6 header that is cut off or of the wrong version.
    Ipv6Header => "pass.ipv6-header",
    /// An IPv6 payload length that the frame does not hold.
    Ipv6Length => "pass.ipv6-length",
    /// Not UDP: another protocol, or an IPv6 extension header.
    Protocol => "pass.protocol",
    /// From an address that can't be answered: multicast, broadcast, loopback, unspecified, or our own.
    SourceAddress => "pass.source-address",
    /// From UDP port 0.
    SourcePort => "pass.source-port",
    /// A UDP length that disagrees with IP's.
    UdpLength => "pass.udp-length",
    /// For us, but shorter than a DNS header.
    DnsShort => "pass.dns-short",
    /// For us, but a response.
    NotQuery => "pass.not-query",
    /// To an address and port, or in a VLAN, that is not listened on.
    NotListening => "pass.not-listening",
    /// The reply's route could not be looked up: `forwarding` is off for the loopback interface.
    RouteForwarding => "pass.route-forwarding-off",
    /// There is no route for the reply, or one that sends it nowhere.
    RouteNone => "pass.route-none",
    /// The neighbour that the reply would go to is not known.
    RouteNeighbour => "pass.route-no-neighbour",
    /// The reply's route leaves by another interface.
    RouteInterface => "pass.route-other-interface",
    /// The reply's next hop is not the one that the query came from.
    RouteNextHop => "pass.route-other-next-hop",
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The C source as the one truth: its enumerators, in order, name ours.
    #[test]
    fn agrees_with_the_program() {
        let source = include_str!("../steer.bpf.c");
        let body = source
            .split("enum exit {")
            .nth(1)
            .unwrap()
            .split('}')
            .next()
            .unwrap();
        let theirs: Vec<String> = body
            .split(',')
            .filter_map(|name| name.trim().strip_prefix("EXIT_"))
            .filter(|name| *name != "COUNT")
            .map(|name| name.replace('_', "").to_lowercase())
            .collect();
        let ours: Vec<String> = Exit::ALL
            .iter()
            .map(|exit| format!("{exit:?}").to_lowercase())
            .collect();
        assert_eq!(ours, theirs);
        assert!(
            Exit::ALL
                .iter()
                .enumerate()
                .all(|(i, exit)| *exit as usize == i)
        );
    }

    #[test]
    fn every_label_is_unique() {
        let mut labels: Vec<_> = Exit::ALL.iter().map(|exit| exit.label()).collect();
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels.len(), Exit::ALL.len());
    }
}
