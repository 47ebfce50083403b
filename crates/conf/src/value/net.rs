use std::fmt::Write;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

use ipnet::IpNet;

use super::{Wrong, name, port};
use crate::config::Listen;

/// An address, with nothing else.
pub(super) fn address(text: &str) -> Result<IpAddr, Wrong> {
    text.parse()
        .map_err(|_| Wrong::new("expected an IP address"))
}

/// Whether `text` begins as an address, rather than as the name of something.
pub(crate) fn is_address(text: &str) -> bool {
    let host = text.split(['@', '#']).next().unwrap_or(text);
    socket(host, 0).is_some()
}

/// An address with `@port` or none.
pub(super) fn address_port(text: &str) -> Result<SocketAddr, Wrong> {
    let (host, port) = at_port(text, 0)?;
    socket(host, port).ok_or_else(|| Wrong::new("expected an IP address"))
}

/// What an `interface:` line means.
pub(crate) fn interface(text: &str, default_port: u16) -> Result<Listen, Wrong> {
    let (host, port) = at_port(text, default_port)?;
    if let Some(socket) = socket(host, port) {
        return Ok(Listen::Address(socket));
    }
    let wrong = || Wrong::new("expected an IP address or the name of an interface");
    if host.contains('/') {
        return Err(
            wrong().help("a netblock cannot be listened on; `0.0.0.0` and `::` mean every address")
        );
    }
    let hexadecimal = host
        .chars()
        .all(|c| c.is_ascii_hexdigit() || c == '.' || c == ':');
    let broken_address = host.contains("::") || (hexadecimal && host.contains(['.', ':']));
    if broken_address || host.contains('%') {
        return Err(Wrong::new("this is not an IP address"));
    }
    if host.is_empty() || host.len() > MAX_INTERFACE_NAME || host.contains(char::is_whitespace) {
        return Err(wrong());
    }
    if host.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong().help(format!(
            "for a port write `port: {host}`, or `address@{host}`"
        )));
    }
    Ok(Listen::Interface {
        name: host.to_owned(),
        port,
    })
}

/// The kernel's bound for an alternative name (`ALTIFNAMSIZ` in linux/if.h, less its end).
const MAX_INTERFACE_NAME: usize = 127;

/// `address[@port][#name]`.
pub(super) fn upstream(text: &str) -> Result<(), Wrong> {
    let host = upstream_parts(text)?;
    if socket(host, 0).is_some() {
        return Ok(());
    }
    let wrong = Wrong::new("expected an IP address");
    Err(
        if name::check(host).is_ok() && host.contains(|c: char| c.is_ascii_alphabetic()) {
            wrong.help("for a name use the keyword that ends in `-host:`")
        } else {
            wrong
        },
    )
}

/// `name[@port][#name]`.
pub(super) fn upstream_host(text: &str) -> Result<(), Wrong> {
    name::check(upstream_parts(text)?)
}

/// Checks the port and the name for authentication; returns what stands before them.
fn upstream_parts(text: &str) -> Result<&str, Wrong> {
    let (text, auth) = text
        .split_once('#')
        .map_or((text, None), |(text, auth)| (text, Some(auth)));
    if let Some(auth) = auth {
        name::check(auth)?;
    }
    Ok(at_port(text, 53)?.0)
}

/// A netblock; bits behind the length are cleared. A lone address is a block of one.
pub(crate) fn netblock(text: &str) -> Result<IpNet, Wrong> {
    let wrong = || Wrong::new("expected a netblock").help("such as 192.0.2.0/24 or 2001:db8::/32");
    let (address, length) = text
        .split_once('/')
        .map_or((text, None), |(address, length)| (address, Some(length)));
    let address: IpAddr = address.parse().map_err(|_| wrong())?;
    let whole = if address.is_ipv4() { 32 } else { 128 };
    let length = match length {
        None => whole,
        Some(length) => length
            .parse::<u8>()
            .ok()
            .filter(|_| !length.starts_with('+'))
            .ok_or_else(wrong)?,
    };
    let block = IpNet::new(address, length);
    block
        .map(|block| block.trunc())
        .map_err(|_| Wrong::new(format!("the length goes up to {whole} here")))
}

/// `local-data-ptr`: `address [TTL [class]] name`, as the PTR record it stands for.
pub(crate) fn reverse(text: &str) -> Result<String, Wrong> {
    let wrong = || {
        Wrong::new("expected an IP address and a host name")
            .help("such as \"192.0.2.1 3600 www.example.org\"")
    };
    let text = text.trim();
    let (address, rest) = text.split_once(char::is_whitespace).ok_or_else(wrong)?;
    let (between, host) = rest
        .trim_start()
        .rsplit_once(char::is_whitespace)
        .unwrap_or(("", rest.trim_start()));
    let address: IpAddr = address.parse().map_err(|_| wrong())?;
    name::check(host)?;
    let mut record = reverse_name(address);
    // Writing to a string cannot fail.
    let _ = write!(
        record,
        " {}{}PTR {host}",
        between.trim(),
        if between.trim().is_empty() { "" } else { " " }
    );
    Ok(record)
}

/// The name under in-addr.arpa or ip6.arpa (RFC 1035 section 3.5, RFC 3596 section 2.5).
fn reverse_name(address: IpAddr) -> String {
    match address {
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa.")
        }
        IpAddr::V6(ip) => {
            let mut name = String::with_capacity(73);
            for octet in ip.octets().iter().rev() {
                // Writing to a string cannot fail.
                let _ = write!(name, "{:x}.{:x}.", octet & 15, octet >> 4);
            }
            name + "ip6.arpa."
        }
    }
}

/// Splits `@port` off.
fn at_port(text: &str, default_port: u16) -> Result<(&str, u16), Wrong> {
    match text.split_once('@') {
        None => Ok((text, default_port)),
        Some((host, number)) => Ok((host, port(number)?)),
    }
}

/// An address, which may have a scope: `fe80::1%eth0` or `fe80::1%2`.
fn socket(text: &str, port: u16) -> Option<SocketAddr> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(SocketAddr::new(ip, port));
    }
    let (ip, scope) = text.split_once('%')?;
    let ip: Ipv6Addr = ip.parse().ok()?;
    let scope = scope.parse().ok().or_else(|| interface_index(scope))?;
    Some(SocketAddrV6::new(ip, port, 0, scope).into())
}

/// The index of an interface by its kernel name.
fn interface_index(name: &str) -> Option<u32> {
    let plain = !name.is_empty() && !name.contains('/') && !name.starts_with('.');
    let text =
        plain.then(|| std::fs::read_to_string(format!("/sys/class/net/{name}/ifindex")).ok())?;
    text?.trim().parse().ok()
}
