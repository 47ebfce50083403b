use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::Resolver;
use crate::config::Listen;
use crate::table::Clause;
use crate::tree::OptionNode;
use crate::value::{interface, port as port_number, yes_no};
use crate::{At, Diagnostic, Span};

/// What is listened on.
pub(super) fn listen(resolver: &mut Resolver<'_>, port: u16) -> Vec<At<Listen>> {
    if let Some(listen) = automatic(resolver, port) {
        return listen;
    }
    let closed = closed_ports(resolver);
    let tree = resolver.tree;
    let mut listen: Vec<At<Listen>> = Vec::new();
    let mut first: HashMap<Listen, Span> = HashMap::new();
    let mut written = false;
    for option in tree
        .options(Clause::Server)
        .filter(|option| option.keyword.canonical == "interface")
    {
        written = true;
        let Ok(value) = interface(resolver.text(option, 0), port) else {
            continue;
        };
        if let Some(why) = closed.get(&listen_port(&value)) {
            let warning =
                Diagnostic::warning(option.whole(), "this is not listened on").label(*why);
            resolver.report(warning);
            continue;
        }
        if let Some(earlier) = first.insert(value.clone(), option.whole()) {
            let error = Diagnostic::error(option.whole(), "the same address and port twice")
                .related(earlier, "it is listened on here already")
                .help("remove one of the two lines");
            resolver.report(error);
            continue;
        }
        listen.push(At {
            value,
            at: option.whole(),
        });
    }
    if !written {
        listen.extend(
            [
                IpAddr::V4(Ipv4Addr::LOCALHOST),
                IpAddr::V6(Ipv6Addr::LOCALHOST),
            ]
            .map(|ip| default(ip, port)),
        );
    }
    listen
}

/// `interface-automatic: yes` means every address; a reply always leaves from the one that was asked.
fn automatic(resolver: &Resolver<'_>, port: u16) -> Option<Vec<At<Listen>>> {
    let last = |name: &str| {
        resolver
            .tree
            .options(Clause::Server)
            .filter(|option| option.keyword.name == name)
            .last()
    };
    let option = last("interface-automatic")
        .filter(|option| yes_no(resolver.text(option, 0)) == Ok(true))?;
    let ports = last("interface-automatic-ports").map_or("", |option| resolver.text(option, 0));
    let mut ports: Vec<u16> = ports
        .split_ascii_whitespace()
        .filter_map(|word| port_number(word).ok())
        .collect();
    if ports.is_empty() {
        ports.push(port);
    }
    let all = |port| {
        [
            IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        ]
        .map(|ip| At {
            value: Listen::Address(SocketAddr::new(ip, port)),
            at: option.whole(),
        })
    };
    Some(ports.into_iter().flat_map(all).collect())
}

/// Ports where clients expect something other than plain DNS, with what.
fn closed_ports(resolver: &Resolver<'_>) -> HashMap<u16, &'static str> {
    let kinds = [
        (
            "tls-port",
            Some(853),
            "this is the port for DNS over TLS, which is not served yet",
        ),
        (
            "tls-additional-port",
            None,
            "this is a port for DNS over TLS, which is not served yet",
        ),
        (
            "https-port",
            Some(443),
            "this is the port for DNS over HTTPS, which is not served yet",
        ),
        (
            "quic-port",
            Some(853),
            "this is the port for DNS over QUIC, which is not served yet",
        ),
        (
            "proxy-protocol-port",
            None,
            "clients here send PROXY headers, which are not read yet",
        ),
    ];
    let mut closed = HashMap::new();
    for (name, default, why) in kinds {
        let named = |option: &&OptionNode| option.keyword.canonical == name;
        let mut ports: Vec<u16> = resolver
            .tree
            .options(Clause::Server)
            .filter(named)
            .filter_map(|option| port_number(resolver.text(option, 0)).ok())
            .collect();
        if let Some(default) = default {
            ports = vec![ports.pop().unwrap_or(default)];
        }
        for port in ports {
            closed.entry(port).or_insert(why);
        }
    }
    closed
}

fn listen_port(listen: &Listen) -> u16 {
    match listen {
        Listen::Address(address) => address.port(),
        Listen::Interface { port, .. } => *port,
    }
}

fn default(ip: IpAddr, port: u16) -> At<Listen> {
    At {
        value: Listen::Address(SocketAddr::new(ip, port)),
        at: Span::NONE,
    }
}
