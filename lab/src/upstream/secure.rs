use std::collections::BinaryHeap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{HandshakeKind, ServerConfig, ServerConnection};

use super::script::{Play, play};
use crate::netns::Netns;

/// A certificate authority of the test's own.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate for one name, and its key.
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

/// A running upstream over TLS that plays the script; it ends when the value is dropped.
pub struct SecureUpstream {
    address: SocketAddr,
    state: Arc<State>,
    listener: Option<JoinHandle<()>>,
}

/// What can be turned while it runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct SecureKnobs {
    /// Closes each connection, without a word, when it has sent this many answers on it.
    pub close_after: Option<u64>,
    /// Closes each new connection as soon as it is secured.
    pub turn_away: bool,
    /// Reads, and answers nothing.
    pub silent: bool,
}

/// What it has seen so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecureCounts {
    /// Connections on which the handshake was finished.
    pub connections: u64,
    /// Those among them that went on with an earlier session.
    pub resumed: u64,
    /// Handshakes that failed.
    pub refused: u64,
    /// Those that agreed on the protocol `dot`.
    pub dot: u64,
    /// Queries.
    pub queries: u64,
    /// Those whose length is not a multiple of 128 octets.
    pub unpadded: u64,
}

#[derive(Default)]
struct State {
    stop: AtomicBool,
    connections: AtomicU64,
    resumed: AtomicU64,
    refused: AtomicU64,
    dot: AtomicU64,
    queries: AtomicU64,
    unpadded: AtomicU64,
    knobs: Mutex<SecureKnobs>,
}

/// How soon connections see that there is something to do.
const TICK: Duration = Duration::from_millis(2);
/// RFC 8467, 4.1.
const PADDING_BYTES: usize = 128;

impl Authority {
    /// A new one.
    pub fn new() -> Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        // Without a name of its own its certificates could not be told from another's.
        let number = key.serialize_der().iter().fold(0_u64, |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(u64::from(*byte))
        });
        params
            .distinguished_name
            .push(DnType::CommonName, format!("authority {number:x}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key)?.pem();
        Ok(Self {
            issuer: Issuer::new(params, key),
            pem,
        })
    }

    /// Its own certificate, for those who are to trust it.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for a name, for servers of others.
    pub fn pem_identity(&self, name: &str) -> Result<PemIdentity> {
        let key = KeyPair::generate()?;
        let params = CertificateParams::new(vec![name.to_owned()])?;
        Ok(PemIdentity {
            certificate: params.signed_by(&key, &self.issuer)?.pem(),
            key: key.serialize_pem(),
        })
    }

    /// A certificate for a name.
    pub fn identity(&self, name: &str) -> Result<Identity> {
        let key = KeyPair::generate()?;
        let params = CertificateParams::new(vec![name.to_owned()])?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Identity {
            chain: vec![certificate.der().clone()],
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        })
    }
}

/// A certificate and its key as files hold them.
pub struct PemIdentity {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

impl SecureUpstream {
    /// Starts an upstream on `address` of the namespace.
    pub fn start(netns: &Netns, address: SocketAddr, identity: Identity) -> Result<Self> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(identity.chain, identity.key)?;
        config.alpn_protocols = vec![b"dot".to_vec()];
        let config = Arc::new(config);
        let listener = netns
            .enter(|| TcpListener::bind(address))
            .context("DoT port")?;
        listener.set_nonblocking(true)?;
        let state = Arc::new(State::default());
        let seen = Arc::clone(&state);
        let listener = netns.spawn_thread("upstream-dot", move || {
            while !seen.stop.load(Ordering::Relaxed) {
                let Ok((stream, _)) = listener.accept() else {
                    thread::sleep(TICK);
                    continue;
                };
                let (config, seen) = (Arc::clone(&config), Arc::clone(&seen));
                thread::spawn(move || serve(stream, &config, &seen));
            }
        })?;
        Ok(Self {
            address,
            state,
            listener: Some(listener),
        })
    }

    /// The address it answers on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Turns the knobs.
    pub fn set(&self, knobs: SecureKnobs) {
        *self
            .state
            .knobs
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = knobs;
    }

    /// What it has seen so far.
    pub fn counts(&self) -> SecureCounts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        SecureCounts {
            connections: read(&self.state.connections),
            resumed: read(&self.state.resumed),
            refused: read(&self.state.refused),
            dot: read(&self.state.dot),
            queries: read(&self.state.queries),
            unpadded: read(&self.state.unpadded),
        }
    }
}

impl Drop for SecureUpstream {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::Relaxed);
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
    }
}

/// One connection. Answers leave in the order in which they are due, so that a slow one holds up no other.
fn serve(mut stream: TcpStream, config: &Arc<ServerConfig>, state: &State) {
    let ready = stream
        .set_nonblocking(false)
        .and_then(|()| stream.set_nodelay(true));
    let Ok(mut tls) = ServerConnection::new(Arc::clone(config)) else {
        return;
    };
    if ready.is_err() || tls.complete_io(&mut stream).is_err() || tls.is_handshaking() {
        count(&state.refused);
        return;
    }
    count(&state.connections);
    if tls.handshake_kind() == Some(HandshakeKind::Resumed) {
        count(&state.resumed);
    }
    if tls.alpn_protocol() == Some(b"dot") {
        count(&state.dot);
    }
    if state.knobs().turn_away || stream.set_read_timeout(Some(TICK)).is_err() {
        return;
    }
    let mut line = Line::default();
    while !state.stop.load(Ordering::Relaxed) {
        let open = read(&mut tls, &mut stream);
        line.play(&mut tls, state);
        if !line.write(&mut tls, &mut stream, state.knobs().close_after) || !open {
            return;
        }
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl State {
    fn knobs(&self) -> SecureKnobs {
        *self.knobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads what is there, or waits a little. False at the end.
fn read(tls: &mut ServerConnection, stream: &mut TcpStream) -> bool {
    match tls.read_tls(stream) {
        Ok(0) => return false,
        Ok(_) => {}
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            return true;
        }
        Err(_) => return false,
    }
    tls.process_new_packets().is_ok()
}

/// What has come on a connection and is not answered yet.
#[derive(Default)]
struct Line {
    input: Vec<u8>,
    /// The next one due is the greatest.
    due: BinaryHeap<(std::cmp::Reverse<Instant>, Vec<u8>)>,
    answers: u64,
}

impl Line {
    /// Takes the queries that have come, some of them perhaps with the end of the handshake.
    fn play(&mut self, tls: &mut ServerConnection, state: &State) {
        let mut part = [0; 4096];
        while let Ok(length @ 1..) = tls.reader().read(&mut part) {
            self.input.extend(&part[..length]);
        }
        while let Some(length) = self
            .input
            .first_chunk()
            .map(|bytes| u16::from_be_bytes(*bytes))
        {
            let end = 2 + usize::from(length);
            let Some(query) = self.input.get(2..end) else {
                return;
            };
            count(&state.queries);
            if query.len() % PADDING_BYTES != 0 {
                count(&state.unpadded);
            }
            if let Some(Play::Answer { message, delay }) = play(query, true)
                && !state.knobs().silent
            {
                let at = Instant::now() + delay;
                self.due.push((std::cmp::Reverse(at), message));
            }
            self.input.drain(..end);
        }
    }

    /// Writes what is due. False when the connection is to be closed.
    fn write(
        &mut self,
        tls: &mut ServerConnection,
        stream: &mut TcpStream,
        close_after: Option<u64>,
    ) -> bool {
        while self
            .due
            .peek()
            .is_some_and(|(at, _)| at.0 <= Instant::now())
        {
            let Some((_, message)) = self.due.pop() else {
                break;
            };
            let length = u16::try_from(message.len()).expect("the script's answers fit a message");
            let frame = [&length.to_be_bytes()[..], &message].concat();
            if tls.writer().write_all(&frame).is_err() {
                return false;
            }
            while tls.wants_write() {
                if tls.write_tls(stream).is_err() {
                    return false;
                }
            }
            self.answers += 1;
            if close_after.is_some_and(|limit| self.answers >= limit) {
                return false;
            }
        }
        true
    }
}
