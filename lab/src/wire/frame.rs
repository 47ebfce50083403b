use std::net::{IpAddr, SocketAddr};

use anyhow::{Result, bail};

/// A VLAN tag: its ethertype (0x8100 or 0x88a8) and its ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    /// The tag protocol.
    pub ethertype: u16,
    /// The VLAN ID, 0 to 4095.
    pub id: u16,
}

/// Link addresses and IP addresses of a crafted frame.
#[derive(Clone, Debug)]
pub struct FrameSpec {
    /// The sender's MAC address.
    pub source_mac: [u8; 6],
    /// The receiver's MAC address.
    pub destination_mac: [u8; 6],
    /// VLAN tags, the outer one first.
    pub tags: Vec<Tag>,
    /// The sender's address and port.
    pub source: SocketAddr,
    /// The receiver's address and port.
    pub destination: SocketAddr,
    /// Time to live or hop limit.
    pub hop_limit: u8,
}

/// A right Ethernet frame with a UDP datagram: lengths and checksums as they should be, no padding. Tests spoil it.
///
/// # Panics
/// If the addresses are of different families.
pub fn udp_frame(spec: &FrameSpec, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(payload.len() + 70);
    frame.extend_from_slice(&spec.destination_mac);
    frame.extend_from_slice(&spec.source_mac);
    for tag in &spec.tags {
        frame.extend_from_slice(&tag.ethertype.to_be_bytes());
        frame.extend_from_slice(&tag.id.to_be_bytes());
    }
    let udp_length = u16::try_from(payload.len() + 8).expect("a frame's payload is short");
    let pseudo = match (spec.source.ip(), spec.destination.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            frame.extend_from_slice(&0x0800_u16.to_be_bytes());
            let mut header = [0x45, 0, 0, 0, 0, 0, 0x40, 0, spec.hop_limit, 17, 0, 0].to_vec();
            header[2..4].copy_from_slice(&(udp_length + 20).to_be_bytes());
            header.extend_from_slice(&source.octets());
            header.extend_from_slice(&destination.octets());
            let sum = internet_checksum(&[&header]);
            header[10..12].copy_from_slice(&sum.to_be_bytes());
            frame.extend_from_slice(&header);
            [&source.octets()[..], &destination.octets()].concat()
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            frame.extend_from_slice(&0x86dd_u16.to_be_bytes());
            frame.extend_from_slice(&[0x60, 0, 0, 0]);
            frame.extend_from_slice(&udp_length.to_be_bytes());
            frame.extend_from_slice(&[17, spec.hop_limit]);
            frame.extend_from_slice(&source.octets());
            frame.extend_from_slice(&destination.octets());
            [&source.octets()[..], &destination.octets()].concat()
        }
        _ => panic!("addresses of different families"),
    };
    let mut udp = Vec::with_capacity(payload.len() + 8);
    udp.extend_from_slice(&spec.source.port().to_be_bytes());
    udp.extend_from_slice(&spec.destination.port().to_be_bytes());
    udp.extend_from_slice(&udp_length.to_be_bytes());
    udp.extend_from_slice(&[0, 0]);
    udp.extend_from_slice(payload);
    let [high, low] = udp_length.to_be_bytes();
    let sum = match internet_checksum(&[&pseudo, &[0, 17, high, low], &udp]) {
        0 => 0xffff, // zero would mean "no checksum" (RFC 768)
        sum => sum,
    };
    udp[6..8].copy_from_slice(&sum.to_be_bytes());
    frame.extend_from_slice(&udp);
    frame
}

/// The payload of a UDP frame with at most two VLAN tags, the IP lengths trusted over the frame's, if the frame's
/// checksums are right; `None` for frames of other kinds.
///
/// # Errors
/// When a length or a checksum is wrong: the receiver's kernel would drop the frame.
pub fn udp_payload(frame: &[u8]) -> Result<Option<(SocketAddr, SocketAddr, Vec<u8>)>> {
    let mut at = 12;
    while at < 20 && matches!(frame.get(at..at + 2), Some([0x81, 0x00] | [0x88, 0xa8])) {
        at += 4;
    }
    let (source, destination, pseudo, udp) = match frame.get(at..at + 2) {
        Some([0x08, 0x00]) => {
            let ip = &frame[at + 2..];
            if ip.len() < 20 || ip[0] != 0x45 || ip[9] != 17 {
                return Ok(None);
            }
            if internet_checksum(&[&ip[..20]]) != 0 {
                bail!("wrong IPv4 header checksum");
            }
            let total = usize::from(u16::from_be_bytes([ip[2], ip[3]]));
            if total > ip.len() || total < 28 {
                bail!(
                    "IPv4 length {total} in a frame with {} bytes of IP",
                    ip.len()
                );
            }
            let source: [u8; 4] = ip[12..16].try_into()?;
            let destination: [u8; 4] = ip[16..20].try_into()?;
            (
                IpAddr::from(source),
                IpAddr::from(destination),
                &ip[12..20],
                &ip[20..total],
            )
        }
        Some([0x86, 0xdd]) => {
            let ip = &frame[at + 2..];
            if ip.len() < 48 || ip[6] != 17 {
                return Ok(None);
            }
            let length = usize::from(u16::from_be_bytes([ip[4], ip[5]]));
            if length + 40 > ip.len() || length < 8 {
                bail!(
                    "IPv6 length {length} in a frame with {} bytes of IP",
                    ip.len()
                );
            }
            let source: [u8; 16] = ip[8..24].try_into()?;
            let destination: [u8; 16] = ip[24..40].try_into()?;
            (
                IpAddr::from(source),
                IpAddr::from(destination),
                &ip[8..40],
                &ip[40..40 + length],
            )
        }
        _ => return Ok(None),
    };
    let length = u16::from_be_bytes([udp[4], udp[5]]);
    if usize::from(length) != udp.len() {
        bail!("UDP length {length} where IP says {}", udp.len());
    }
    let sum_is_absent = udp[6..8] == [0, 0];
    if sum_is_absent && source.is_ipv6() {
        bail!("UDP checksum 0 over IPv6");
    }
    if !sum_is_absent && internet_checksum(&[pseudo, &[0, 17, udp[4], udp[5]], udp]) != 0 {
        bail!("wrong UDP checksum");
    }
    let port = |at: usize| u16::from_be_bytes([udp[at], udp[at + 1]]);
    Ok(Some((
        SocketAddr::new(source, port(0)),
        SocketAddr::new(destination, port(2)),
        udp[8..].to_vec(),
    )))
}

/// The internet checksum (RFC 1071) over the parts, of which all but the last have an even length.
pub fn internet_checksum(parts: &[&[u8]]) -> u16 {
    let mut sum: u64 = 0;
    for part in parts {
        for pair in part.chunks(2) {
            let low = pair.get(1).copied().unwrap_or(0);
            sum += u64::from(u16::from_be_bytes([pair[0], low]));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(source: &str, destination: &str) -> FrameSpec {
        FrameSpec {
            source_mac: [2, 0, 0, 0, 0, 1],
            destination_mac: [2, 0, 0, 0, 0, 2],
            tags: Vec::new(),
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
            hop_limit: 64,
        }
    }

    #[test]
    fn what_is_built_is_read_back() {
        for spec in [
            spec("10.0.0.1:1000", "10.0.0.2:53"),
            spec("[fc00::1]:1000", "[fc00::2]:53"),
        ] {
            for payload in [&b"odd"[..], b"even"] {
                let frame = udp_frame(&spec, payload);
                let read = udp_payload(&frame).unwrap().unwrap();
                assert_eq!(read, (spec.source, spec.destination, payload.to_vec()));
                let mut tagged = spec.clone();
                tagged.tags = vec![Tag {
                    ethertype: 0x8100,
                    id: 7,
                }];
                let mut frame = udp_frame(&tagged, payload);
                frame.extend_from_slice(&[0; 9]); // padding doesn't count
                assert_eq!(udp_payload(&frame).unwrap().unwrap().2, payload);
            }
        }
    }

    #[test]
    fn a_spoilt_frame_is_an_error() {
        let right = udp_frame(&spec("10.0.0.1:1000", "10.0.0.2:53"), b"payload");
        for at in [22, 30, 38, 45] {
            let mut frame = right.clone();
            frame[at] ^= 0x55;
            assert!(udp_payload(&frame).is_err(), "byte {at}");
        }
        let mut frame = udp_frame(&spec("[fc00::1]:1000", "[fc00::2]:53"), b"payload");
        frame[60..62].copy_from_slice(&[0, 0]);
        assert!(udp_payload(&frame).is_err(), "checksum 0 over IPv6");
    }
}
