use std::fmt;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use super::Transport;

/// The process that has a port, as `/proc` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its process ID.
    pub pid: u32,
    /// Its command name.
    pub command: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (process {})", self.command, self.pid)
    }
}

impl Holder {
    /// Finds who has a socket that stands in the way of `address`. `None` if nobody does, or if `/proc`
    /// does not show it to us.
    pub(crate) fn find(transport: Transport, address: SocketAddr) -> Option<Self> {
        let inodes = inodes(transport, address);
        let own = std::process::id();
        let pids = fs::read_dir("/proc")
            .ok()?
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        // Ourselves last: a foreign holder is the news.
        let mut pids: Vec<u32> = pids.collect();
        pids.sort_unstable_by_key(|pid| (*pid == own, *pid));
        let pid = pids.into_iter().find(|pid| holds(*pid, &inodes))?;
        let command = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        Some(Self {
            pid,
            command: command.trim_end().to_owned(),
        })
    }
}

/// Whether every socket that stands in the way of `address` is this process's own (and there is one).
pub(crate) fn is_ours(transport: Transport, address: SocketAddr) -> bool {
    let inodes = inodes(transport, address);
    let own = std::process::id();
    !inodes.is_empty()
        && inodes
            .iter()
            .all(|inode| holds(own, std::slice::from_ref(inode)))
}

/// Whether the process has one of these sockets open.
fn holds(pid: u32, inodes: &[u64]) -> bool {
    let Ok(entries) = fs::read_dir(Path::new("/proc").join(pid.to_string()).join("fd")) else {
        return false;
    };
    entries
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .any(|target| {
            let target = target.to_string_lossy();
            let inode = target
                .strip_prefix("socket:[")
                .and_then(|rest| rest.strip_suffix(']'));
            inode
                .and_then(|inode| inode.parse().ok())
                .is_some_and(|inode: u64| inodes.contains(&inode))
        })
}

/// The inodes of all sockets bound to `address`, to a wildcard over it, or under it if it is a wildcard.
fn inodes(transport: Transport, address: SocketAddr) -> Vec<u64> {
    let table = match (transport, address.is_ipv4()) {
        (Transport::Udp, true) => "/proc/net/udp",
        (Transport::Udp, false) => "/proc/net/udp6",
        (Transport::Tcp, true) => "/proc/net/tcp",
        (Transport::Tcp, false) => "/proc/net/tcp6",
    };
    let text = fs::read_to_string(table).unwrap_or_default();
    text.lines()
        .skip(1)
        .filter_map(|line| parse_row(line, transport))
        .filter(|row| row.blocks(address))
        .map(|row| row.inode)
        .collect()
}

struct Row {
    local: SocketAddr,
    inode: u64,
}

impl Row {
    fn blocks(&self, address: SocketAddr) -> bool {
        let (mine, theirs) = (self.local.ip(), address.ip());
        self.local.port() == address.port()
            && (mine == theirs || mine.is_unspecified() || theirs.is_unspecified())
    }
}

/// One row of `/proc/net/udp` and its kin: `sl local_address rem_address st ... inode ...`, the address as
/// hexadecimal 32-bit words in the machine's byte order.
fn parse_row(line: &str, transport: Transport) -> Option<Row> {
    const LISTENING: &str = "0A";
    let mut fields = line.split_ascii_whitespace();
    let (ip, port) = fields.nth(1)?.split_once(':')?;
    let state = fields.nth(1)?;
    let inode = fields.nth(5)?.parse().ok()?;
    if transport == Transport::Tcp && state != LISTENING {
        return None;
    }
    let ip = match ip.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(ip)?)),
        32 => {
            let mut bytes = [0; 16];
            for (i, out) in bytes.chunks_exact_mut(4).enumerate() {
                out.copy_from_slice(&word(ip.get(i * 8..i * 8 + 8)?)?);
            }
            IpAddr::V6(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some(Row {
        local: SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?),
        inode,
    })
}

fn word(hex: &str) -> Option<[u8; 4]> {
    Some(u32::from_str_radix(hex, 16).ok()?.to_ne_bytes())
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::*;

    #[test]
    fn finds_this_process() {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let tcp = TcpListener::bind("[::1]:0").unwrap();
        for (transport, address) in [
            (Transport::Udp, udp.local_addr().unwrap()),
            (Transport::Tcp, tcp.local_addr().unwrap()),
        ] {
            assert!(is_ours(transport, address));
            assert_eq!(
                Holder::find(transport, address).unwrap().pid,
                std::process::id()
            );
        }
    }

    #[test]
    fn a_free_port_has_no_holder() {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = udp.local_addr().unwrap();
        drop(udp);
        assert!(!is_ours(Transport::Udp, address));
        assert_eq!(Holder::find(Transport::Udp, address), None);
    }

    #[test]
    fn connections_are_no_holders() {
        let line = "   1: 0100007F:0035 0100007F:A000 01 00000000:00000000 00:00000000 00000000     0        0 4711 1";
        assert!(parse_row(line, Transport::Tcp).is_none());
        assert_eq!(parse_row(line, Transport::Udp).unwrap().inode, 4711);
    }
}
