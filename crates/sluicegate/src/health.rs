use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use nix::ifaddrs::getifaddrs;
use sluicegate_conf::Listen;

/// How long one try waits for its reply.
const TRY: Duration = Duration::from_secs(1);

/// How often each address is asked. Together with [`TRY`] and [`MOST_ADDRESSES`] it bounds the time of all.
const TRIES: usize = 2;

/// How many addresses are asked at most; one that answers is enough.
const MOST_ADDRESSES: usize = 8;

/// `version.bind. CH TXT` without an ID: answered or refused by the server itself, whatever its upstreams do.
const QUESTION: &[u8] =
    b"\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07version\x04bind\x00\x00\x10\x00\x03";

/// Asks the server that runs on this configuration as a client of this machine would: exit code 0 if one of its
/// addresses answers. Any answer will do, a refusal too.
///
/// # Errors
/// No address answers, with what each said; or the configuration can't be used.
pub(crate) fn run(config: &Path) -> anyhow::Result<ExitCode> {
    let loaded = sluicegate_serve::load(config)?;
    let addresses = addresses(loaded.config.listen.iter().map(|line| &line.value));
    let mut silent = Vec::new();
    for address in addresses.iter().take(MOST_ADDRESSES) {
        match ask(*address) {
            Ok(()) => {
                #[expect(clippy::print_stdout, reason = "this is what the command is for")]
                {
                    println!("serving: {address} answers");
                }
                return Ok(ExitCode::SUCCESS);
            }
            Err(error) => silent.push(format!("{address}: {error}")),
        }
    }
    if silent.is_empty() {
        anyhow::bail!("the configuration names no address of this machine");
    }
    anyhow::bail!("no answer: {}", silent.join("; "))
}

/// Where to ask: the loopback address for a wildcard, all addresses of an interface for its name.
fn addresses<'a>(lines: impl Iterator<Item = &'a Listen>) -> BTreeSet<SocketAddr> {
    let mut found = BTreeSet::new();
    for line in lines {
        match line {
            Listen::Address(address) => {
                found.insert(reachable(*address));
            }
            Listen::Interface { name, port } => found.extend(of_interface(name, *port)),
        }
    }
    found
}

fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

fn of_interface(name: &str, port: u16) -> Vec<SocketAddr> {
    let with_port = |storage: nix::sys::socket::SockaddrStorage| {
        let v4 = storage.as_sockaddr_in().map(|address| {
            let mut address = SocketAddrV4::from(*address);
            address.set_port(port);
            SocketAddr::from(address)
        });
        v4.or_else(|| {
            let mut address = SocketAddrV6::from(*storage.as_sockaddr_in6()?);
            address.set_port(port);
            Some(address.into())
        })
    };
    getifaddrs().map_or_else(
        |_| Vec::new(),
        |all| {
            all.filter(|one| one.interface_name == name)
                .filter_map(|one| with_port(one.address?))
                .collect()
        },
    )
}

fn ask(address: SocketAddr) -> io::Result<()> {
    let own: IpAddr = if address.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    let socket = UdpSocket::bind((own, 0))?;
    socket.connect(address)?;
    socket.set_read_timeout(Some(TRY))?;
    // The port is random and the socket connected: the ID need only tell the tries apart.
    for id in 0..TRIES {
        let mut question = QUESTION.to_vec();
        question[1] = id as u8;
        socket.send(&question)?;
        let mut reply = [0; 512];
        match socket.recv(&mut reply) {
            Ok(len) if answers(&reply[..len], &question) => return Ok(()),
            Ok(_) => {} // a late reply to an earlier try, or no reply at all
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, "silence"))
}

/// Whether this is a reply to that question: the same ID, and the bit QR (RFC 1035, section 4.1.1).
fn answers(reply: &[u8], question: &[u8]) -> bool {
    reply.len() >= 12 && reply[..2] == question[..2] && reply[2] & 0x80 != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_is_asked_by_loopback_and_an_interface_by_its_addresses() {
        let lines = [
            Listen::Address("0.0.0.0:53".parse().unwrap()),
            Listen::Address("[::]:5353".parse().unwrap()),
            Listen::Address("192.0.2.1:53".parse().unwrap()),
            Listen::Interface {
                name: "lo".into(),
                port: 54,
            },
        ];
        let found = addresses(lines.iter());
        for wanted in ["127.0.0.1:53", "[::1]:5353", "192.0.2.1:53", "127.0.0.1:54"] {
            assert!(
                found.contains(&wanted.parse().unwrap()),
                "{wanted} in {found:?}"
            );
        }
    }

    #[test]
    fn only_a_reply_to_the_question_counts() {
        let mut reply = QUESTION.to_vec();
        assert!(!answers(&reply, QUESTION), "the question itself");
        reply[2] |= 0x80;
        assert!(answers(&reply, QUESTION));
        assert!(!answers(&reply[..11], QUESTION));
        reply[0] ^= 1;
        assert!(!answers(&reply, QUESTION));
    }
}
