use std::net::SocketAddr;
use std::path::Path;

use sluicegate_conf::{Config, LoadOptions, XdpEnable};
use sluicegate_places::Place;

use crate::listen::{Transport, transports, wanted};
use crate::server::{Machine, UseXdp};
use crate::xdp::place_of;

/// What the configuration lets the privileged process open: of the whole configuration, what listening and XDP need.
#[derive(Debug)]
pub(super) struct Rights {
    config: Config,
}

impl Rights {
    /// Reads the configuration. `None`: it can't be used; the server will have said why.
    pub(super) fn read(file: &Path, xdp: UseXdp) -> Option<Self> {
        // What libunbound makes of its part, and whether files are there, is the server's business.
        let options = LoadOptions {
            check_files: false,
            ..LoadOptions::default()
        };
        let read = sluicegate_conf::load(file, &options).config?;
        let mut kept = Config {
            listen: read.listen,
            do_ip4: read.do_ip4,
            do_ip6: read.do_ip6,
            do_udp: read.do_udp,
            do_tcp: read.do_tcp,
            tcp: read.tcp,
            xdp: read.xdp,
            ..Config::default()
        };
        if xdp == UseXdp::Never || !kept.do_udp {
            kept.xdp.enable = XdpEnable::No;
        }
        Some(Self { config: kept })
    }

    /// Whether the configuration has the server listen there, on this machine as it is now.
    pub(super) fn may_listen(&self, address: SocketAddr, transport: Transport) -> bool {
        transports(&self.config).contains(&transport)
            && wanted(&self.config, &Machine::now())
                .addresses
                .contains(&address)
    }

    /// How long AF_XDP sockets may poll, in microseconds; `None`: there shall be none.
    pub(super) fn xdp_busy_poll_us(&self) -> Option<u32> {
        (self.config.xdp.enable != XdpEnable::No).then_some(self.config.xdp.busy_poll_us)
    }

    /// What is to be taken at the interface, if a query for one of the listen addresses may come in by it.
    pub(super) fn place(&self, ifindex: u32) -> Option<Place> {
        if self.config.xdp.enable == XdpEnable::No {
            return None;
        }
        let listen: Vec<SocketAddr> = wanted(&self.config, &Machine::now())
            .addresses
            .into_iter()
            .collect();
        place_of(ifindex, &listen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rights(text: &str, xdp: UseXdp) -> Rights {
        let name = format!(
            "sluicegate-rights-{}-{:p}",
            std::process::id(),
            text.as_ptr()
        );
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).unwrap();
        let rights = Rights::read(&path, xdp);
        std::fs::remove_file(&path).unwrap();
        rights.unwrap()
    }

    #[test]
    fn only_what_is_listed_may_be_opened() {
        let text = "server:\n interface: 192.0.2.1\n interface: lo@5353\n do-tcp: no\n";
        let rights = rights(text, UseXdp::Configured);
        let may = |address: &str, transport| rights.may_listen(address.parse().unwrap(), transport);
        assert!(may("192.0.2.1:53", Transport::Udp));
        assert!(may("127.0.0.1:5353", Transport::Udp), "lo has it");
        for other in ["192.0.2.1:54", "192.0.2.2:53", "0.0.0.0:53", "127.0.0.1:53"] {
            assert!(!may(other, Transport::Udp), "{other}");
        }
        assert!(!may("192.0.2.1:53", Transport::Tcp), "do-tcp: no");
        assert!(rights.place(u32::MAX).is_none());
    }

    #[test]
    fn without_xdp_there_is_no_xdp_socket() {
        let auto = "server:\n interface: 192.0.2.1\n";
        assert!(
            rights(auto, UseXdp::Configured)
                .xdp_busy_poll_us()
                .is_some()
        );
        assert!(rights(auto, UseXdp::Never).xdp_busy_poll_us().is_none());
        let no = "server:\n interface: 192.0.2.1\nxdp:\n enable: no\n";
        assert!(rights(no, UseXdp::Configured).xdp_busy_poll_us().is_none());
    }
}
