use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use socket2::Socket;

use super::{BindError, Inherited, Spread, Transport, adopt_udp};
use crate::privileges::Opener;

/// The sockets of one new listen address.
#[derive(Debug)]
pub(crate) struct Sockets {
    /// The address.
    pub(crate) address: SocketAddr,
    /// One for each UDP worker; empty with `do-udp: no`.
    pub(crate) udp: Vec<Socket>,
    /// The TCP listener; `None` with `do-tcp: no`.
    pub(crate) tcp: Option<Socket>,
}

/// What to tell the workers.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// New sockets.
    pub(crate) opened: Vec<Sockets>,
    /// Addresses whose sockets are to be closed.
    pub(crate) closed: Vec<(SocketAddr, Transport)>,
    /// Failures that have not been told before.
    pub(crate) failed: Vec<BindError>,
}

/// Which addresses have sockets. The sockets themselves belong to the workers.
#[derive(Debug)]
pub(crate) struct ListenSet {
    opener: Opener,
    udp_workers: usize,
    spread: Spread,
    inherited: Inherited,
    bound: BTreeSet<(SocketAddr, Transport)>,
    failed: BTreeMap<(SocketAddr, Transport), String>,
}

impl ListenSet {
    /// An empty set for so many UDP workers, which prefers sockets that are there already.
    pub(crate) const fn new(
        opener: Opener,
        udp_workers: usize,
        spread: Spread,
        inherited: Inherited,
    ) -> Self {
        Self {
            opener,
            udp_workers,
            spread,
            inherited,
            bound: BTreeSet::new(),
            failed: BTreeMap::new(),
        }
    }

    /// Opens what is wanted and not there, forgets what is no longer wanted, tries again what failed. Calls `alive` before
    /// each that it opens: one may take seconds.
    pub(crate) fn update(
        &mut self,
        addresses: &BTreeSet<SocketAddr>,
        transports: &[Transport],
        alive: &mut dyn FnMut(),
    ) -> Changes {
        let wanted: BTreeSet<_> = addresses
            .iter()
            .flat_map(|address| transports.iter().map(|transport| (*address, *transport)))
            .collect();
        let mut changes = Changes {
            closed: self.bound.difference(&wanted).copied().collect(),
            ..Changes::default()
        };
        self.bound.retain(|key| wanted.contains(key));
        self.failed.retain(|key, _| wanted.contains(key));
        for address in addresses {
            let mut sockets = Sockets {
                address: *address,
                udp: Vec::new(),
                tcp: None,
            };
            for transport in transports {
                if !self.bound.contains(&(*address, *transport)) {
                    alive();
                    self.open(*transport, &mut sockets, &mut changes.failed);
                }
            }
            if !sockets.udp.is_empty() || sockets.tcp.is_some() {
                changes.opened.push(sockets);
            }
        }
        changes
    }

    /// Warns of sockets of the service manager that no configured address wanted.
    pub(crate) fn tell_uninvited(&self) {
        self.inherited
            .tell_unused(|address, transport| self.bound.contains(&(address, transport)));
    }

    /// Addresses with UDP sockets of ours: no other may be served by AF_XDP, since its queries could be for
    /// another server, which holds the port.
    pub(crate) fn udp_addresses(&self) -> BTreeSet<SocketAddr> {
        let udp = self
            .bound
            .iter()
            .filter(|(_, transport)| *transport == Transport::Udp);
        udp.map(|(address, _)| *address).collect()
    }

    /// Everything that has sockets.
    pub(crate) fn bound(&self) -> impl Iterator<Item = (SocketAddr, Transport)> {
        self.bound.iter().copied()
    }

    /// Whether something wanted could not be opened.
    pub(crate) fn has_failures(&self) -> bool {
        !self.failed.is_empty()
    }

    /// New sockets, or copies of those that were there from the start.
    fn sockets_of(
        &self,
        address: SocketAddr,
        transport: Transport,
    ) -> Result<Vec<Socket>, BindError> {
        let mut inherited = self
            .inherited
            .copies(address, transport)
            .map_err(|source| BindError::Os {
                address,
                transport,
                call: "dup",
                source,
            })?;
        match transport {
            Transport::Udp if inherited.is_empty() => {
                let opened = self.opener.udp(address, self.udp_workers);
                opened.inspect(|udp| self.spread.apply(udp))
            }
            Transport::Udp => adopt_udp(address, inherited, self.udp_workers),
            Transport::Tcp => {
                let tcp = inherited.pop();
                let tcp = tcp.map_or_else(|| self.opener.tcp(address), Ok);
                tcp.map(|tcp| vec![tcp])
            }
        }
    }

    fn open(&mut self, transport: Transport, sockets: &mut Sockets, failed: &mut Vec<BindError>) {
        let key = (sockets.address, transport);
        let opened = self.sockets_of(sockets.address, transport);
        let opened = opened.map(|mut opened| match transport {
            Transport::Udp => sockets.udp = opened,
            Transport::Tcp => sockets.tcp = opened.pop(),
        });
        match opened {
            Ok(()) => {
                self.bound.insert(key);
                self.failed.remove(&key);
            }
            Err(mut error) => {
                // Told once, and again when the reason changes; not with each try.
                let text = error.to_string();
                if self
                    .failed
                    .insert(key, text.clone())
                    .is_none_or(|before| before != text)
                {
                    error.find_holder();
                    failed.push(error);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    const BOTH: [Transport; 2] = [Transport::Udp, Transport::Tcp];

    fn free_port() -> SocketAddr {
        UdpSocket::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
    }

    #[test]
    fn only_differences_are_opened_and_closed() {
        let (a, b) = (free_port(), free_port());
        let mut set = ListenSet::new(Opener::Direct, 2, Spread::ByHash, Inherited::default());
        let first = set.update(&[a].into(), &BOTH, &mut || ());
        assert_eq!((first.opened.len(), first.opened[0].udp.len()), (1, 2));
        let second = set.update(&[a, b].into(), &BOTH, &mut || ());
        assert_eq!(second.opened.len(), 1);
        assert_eq!(second.opened[0].address, b);
        let third = set.update(&[b].into(), &[Transport::Udp], &mut || ());
        assert!(third.opened.is_empty());
        assert_eq!(third.closed.len(), 3, "{third:?}");
        assert_eq!(set.bound().collect::<Vec<_>>(), [(b, Transport::Udp)]);
    }

    #[test]
    fn a_failure_is_told_once_and_tried_again() {
        let address = free_port();
        // Without SO_REUSEPORT: stands in the way even within this process.
        let blocker = UdpSocket::bind(address).unwrap();
        let mut set = ListenSet::new(Opener::Direct, 1, Spread::ByHash, Inherited::default());
        let first = set.update(&[address].into(), &[Transport::Udp], &mut || ());
        assert!(
            matches!(first.failed[..], [BindError::InUse { .. }]),
            "{first:?}"
        );
        let again = set.update(&[address].into(), &[Transport::Udp], &mut || ());
        assert!(
            again.failed.is_empty() && again.opened.is_empty(),
            "{again:?}"
        );
        assert!(set.has_failures());
        drop(blocker);
        assert_eq!(
            set.update(&[address].into(), &[Transport::Udp], &mut || ())
                .opened
                .len(),
            1
        );
        assert!(!set.has_failures());
    }
}
