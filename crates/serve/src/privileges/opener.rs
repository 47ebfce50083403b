use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use nix::errno::Errno;
use sluicegate_places::Place;
use sluicegate_xsk::nic::Nic;
use sluicegate_xsk::prog::{AttachedLink, Program};
use sluicegate_xsk::{BindError as XdpBindError, BusyPoll, UnboundSocket};
use socket2::Socket;

use super::Broker;
use super::broker::BrokerError;
use super::program::{ProgramError, from_files, load_and_attach};
use super::protocol::{BUSY_POLL, Company, Hook, MAX_SOCKETS, Refusal, RefusalKind, Request};
use crate::listen::{BindError, Transport, is_ours, open_tcp, open_udp};

/// Opens what may need privileges.
#[derive(Clone, Debug)]
pub(crate) enum Opener {
    /// With the server's own.
    Direct,
    /// With those of the process beside it.
    Broker(Arc<Broker>),
}

impl Opener {
    /// Opens the UDP sockets of one address: `count` members of one `SO_REUSEPORT` group.
    ///
    /// # Errors
    /// None is left open then.
    pub(crate) fn udp(&self, address: SocketAddr, count: usize) -> Result<Vec<Socket>, BindError> {
        let Self::Broker(broker) = self else {
            return open_udp(address, count);
        };
        let mut sockets = Vec::with_capacity(count);
        let mut company = Company::Alone;
        while sockets.len() < count {
            let some = (count - sockets.len()).min(MAX_SOCKETS.into());
            let ask = |company| Request::Udp {
                address,
                count: some as u8, // MAX_SOCKETS at most
                company,
            };
            let about = (address, Transport::Udp);
            let opened = listen(broker, about, company, ask)?;
            if opened.is_empty() {
                return Err(BindError::from_broker(about, BrokerError::Garbled));
            }
            sockets.extend(opened);
            // The others join those that are there.
            company = Company::Own;
        }
        Ok(sockets)
    }

    /// Opens the TCP listener of one address.
    ///
    /// # Errors
    /// Nothing is left open then.
    pub(crate) fn tcp(&self, address: SocketAddr) -> Result<Socket, BindError> {
        let Self::Broker(broker) = self else {
            return open_tcp(address);
        };
        let about = (address, Transport::Tcp);
        let ask = |company| Request::Tcp { address, company };
        let opened = listen(broker, about, Company::Alone, ask)?.pop();
        opened.ok_or_else(|| BindError::from_broker(about, BrokerError::Garbled))
    }

    /// Makes an AF_XDP socket. The privileged process goes by the busy polling of its own configuration.
    ///
    /// # Errors
    /// [`XdpBindError`].
    pub(crate) fn xdp_socket(&self, busy_poll: BusyPoll) -> Result<UnboundSocket, XdpBindError> {
        let Self::Broker(broker) = self else {
            return UnboundSocket::create(busy_poll);
        };
        let (files, names) = broker.ask(&Request::XdpSocket).map_err(xdp_refusal)?;
        let file = files.into_iter().next();
        let file = file.ok_or_else(|| xdp_refusal(BrokerError::Garbled))?;
        let polls = names.iter().any(|name| name == BUSY_POLL);
        let polls = (busy_poll != BusyPoll::Off).then_some(polls);
        Ok(UnboundSocket::from_fd(file, polls))
    }

    /// Loads the XDP program and attaches it. It passes everything until its maps say otherwise.
    ///
    /// # Errors
    /// [`ProgramError`]; nothing is left behind.
    pub(crate) fn program(
        &self,
        nic: &Nic,
        hook: Hook,
        place: &Place,
    ) -> Result<(Program, AttachedLink), ProgramError> {
        let Self::Broker(broker) = self else {
            return load_and_attach(nic, hook, place).map_err(|failed| failed.why);
        };
        let ifindex = nic.index();
        match broker.ask(&Request::Program { ifindex, hook }) {
            Ok(given) => from_files(given, nic, hook.mode()),
            Err(BrokerError::Refused(refusal)) => Err(ProgramError::from_refusal(refusal)),
            Err(error) => Err(ProgramError::Other(error.to_string())),
        }
    }

    /// Has a new configuration read by whoever opens.
    pub(crate) fn configuration_changed(&self) {
        if let Self::Broker(broker) = self
            && let Err(error) = broker.ask(&Request::Configuration)
        {
            tracing::warn!(
                "the privileged process goes by the configuration it had: {error}; what is new in it is not opened"
            );
        }
    }

    /// Closes what was opened too late for who had asked. Does not wait.
    pub(crate) fn collect(&self) {
        if let Self::Broker(broker) = self {
            broker.collect();
        }
    }

    /// The process that opens, if there is one.
    pub(crate) const fn broker(&self) -> Option<&Arc<Broker>> {
        match self {
            Self::Direct => None,
            Self::Broker(broker) => Some(broker),
        }
    }
}

/// Asks for sockets bound to an address. One that is in use may be so by the server alone, which only the server can
/// see.
fn listen(
    broker: &Broker,
    (address, transport): (SocketAddr, Transport),
    company: Company,
    ask: impl Fn(Company) -> Request,
) -> Result<Vec<Socket>, BindError> {
    let mut answer = broker.ask(&ask(company));
    if matches!(&answer, Err(BrokerError::Refused(refusal)) if refusal.kind == RefusalKind::InUse)
        && company == Company::Alone
        && is_ours(transport, address)
    {
        answer = broker.ask(&ask(Company::Own));
    }
    let (files, _) = answer.map_err(|e| BindError::from_broker((address, transport), e))?;
    Ok(files.into_iter().map(Socket::from).collect::<Vec<_>>())
}

/// What the privileged process said of an AF_XDP socket.
fn xdp_refusal(error: BrokerError) -> XdpBindError {
    let own = |errno| XdpBindError::Os {
        call: "the privileged process",
        errno: sluicegate_xsk::Errno::new(errno),
    };
    match error {
        BrokerError::Refused(refusal) if refusal.kind == RefusalKind::Os => {
            UnboundSocket::refusal(sluicegate_xsk::Errno::new(refusal.number.cast_signed()))
        }
        BrokerError::Refused(_) => own(nix::libc::EPERM),
        BrokerError::Garbled => own(nix::libc::EPROTO),
        BrokerError::TooManyFiles => own(nix::libc::EMFILE),
        BrokerError::Gone => own(nix::libc::EPIPE),
        BrokerError::Late => own(nix::libc::ETIMEDOUT),
    }
}

impl BindError {
    /// What the privileged process said of a listen address.
    fn from_broker((address, transport): (SocketAddr, Transport), error: BrokerError) -> Self {
        let call = "the privileged process";
        let refusal = match error {
            BrokerError::Refused(refusal) => refusal,
            source => {
                let source = std::io::Error::other(source);
                return Self::Os {
                    address,
                    transport,
                    call,
                    source,
                };
            }
        };
        let Refusal { kind, number, text } = refusal;
        match kind {
            RefusalKind::NotConfigured => Self::NotListed { address, transport },
            RefusalKind::InUse => Self::InUse {
                address,
                transport,
                holder: None,
            },
            RefusalKind::NotHere => Self::NotHere { address, transport },
            RefusalKind::NotPermitted => Self::Denied { address, transport },
            _ => {
                let errno = Errno::from_raw(number.cast_signed());
                let source = std::io::Error::other(format!("{text}: {errno}"));
                Self::Os {
                    address,
                    transport,
                    call,
                    source,
                }
            }
        }
    }

    /// The same, to be told to the server.
    pub(super) fn to_refusal(&self) -> Refusal {
        let (kind, number, text) = match self {
            Self::InUse { .. } => (RefusalKind::InUse, 0, String::new()),
            Self::NotHere { .. } => (RefusalKind::NotHere, 0, String::new()),
            Self::Denied { .. } => (RefusalKind::NotPermitted, 0, String::new()),
            Self::NotListed { .. } => (RefusalKind::NotConfigured, 0, String::new()),
            Self::Os { call, source, .. } => {
                let number = source.raw_os_error().unwrap_or(0).cast_unsigned();
                (RefusalKind::Os, number, (*call).to_owned())
            }
        };
        Refusal { kind, number, text }
    }
}

/// What a request gave: descriptors, and the names that go with them.
pub(super) type Given = (Vec<OwnedFd>, Vec<String>);
