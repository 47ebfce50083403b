use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime, pem};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::plan::{Place, Settings, Target};

/// How connections are made, and to whom.
///
/// | upstream | believed if |
/// |---|---|
/// | with `#name` | its chain ends in the bundle, or the system's where none is set, and has that name |
/// | without, and a bundle is set | its chain ends in the bundle, whatever its name (as Unbound does) |
/// | without, and none is set | always: encrypted, but with whom is not known (as Unbound does) |
///
/// The first line is stricter than Unbound, which without a bundle looks at no certificate.
pub(super) struct Trust {
    named: Option<Arc<ClientConfig>>,
    nameless: Arc<ClientConfig>,
}

/// How to connect to one upstream.
#[derive(Clone)]
pub(super) struct Tls {
    pub(super) config: Arc<ClientConfig>,
    pub(super) server: ServerName<'static>,
}

/// Why certificates could not be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TrustError {
    #[error("tls-cert-bundle {}: {error}", path.display())]
    Bundle { path: PathBuf, error: pem::Error },
    #[error("tls-cert-bundle {}: no certificate that could be used", .0.display())]
    EmptyBundle(PathBuf),
    #[error(
        "no certificates of this system found: set tls-cert-bundle, to check upstreams by name"
    )]
    NoSystemBundle,
    #[error("`{0}` cannot be the name of a certificate")]
    Name(String),
    #[error(transparent)]
    Tls(#[from] rustls::Error),
}

impl Trust {
    /// Reads what files it needs; later none is read.
    pub(super) fn new(settings: &Settings, targets: &[Target]) -> Result<Self, TrustError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let has_names = targets.iter().any(|target| target.name.is_some());
        let roots = match &settings.bundle {
            Some(path) => Some(Arc::new(bundle(path)?)),
            None if settings.system_bundle || has_names => Some(Arc::new(system_bundle()?)),
            None => None,
        };
        let verifier = AnyName {
            algorithms: provider.signature_verification_algorithms,
            roots: roots
                .clone()
                .filter(|_| settings.bundle.is_some() || settings.system_bundle),
        };
        let nameless = builder(&provider)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        let named = match roots.filter(|_| has_names) {
            Some(roots) => Some(
                builder(&provider)?
                    .with_root_certificates(roots)
                    .with_no_client_auth(),
            ),
            None => None,
        };
        let finished = |mut config: ClientConfig| {
            config.alpn_protocols = vec![b"dot".to_vec()];
            config.enable_sni = settings.sni;
            Arc::new(config)
        };
        Ok(Self {
            named: named.map(finished),
            nameless: finished(nameless),
        })
    }

    /// How to connect to this upstream.
    pub(super) fn of(&self, target: &Target) -> Result<Tls, TrustError> {
        let (name, config) = match (&target.name, &self.named, &target.place) {
            (Some(name), Some(config), _) => (name, config),
            (_, _, Place::Host(host, _)) => (host, &self.nameless),
            // Without a name, none is sent.
            (_, _, Place::Address(address)) => {
                return Ok(Tls {
                    config: Arc::clone(&self.nameless),
                    server: ServerName::from(address.ip()),
                });
            }
        };
        let server =
            ServerName::try_from(name.clone()).map_err(|_| TrustError::Name(name.clone()))?;
        Ok(Tls {
            config: Arc::clone(config),
            server,
        })
    }
}

fn builder(
    provider: &Arc<CryptoProvider>,
) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, rustls::Error> {
    ClientConfig::builder_with_provider(Arc::clone(provider)).with_safe_default_protocol_versions()
}

fn bundle(path: &Path) -> Result<RootCertStore, TrustError> {
    let error = |error| TrustError::Bundle {
        path: path.to_owned(),
        error,
    };
    let certificates: Vec<CertificateDer<'_>> = CertificateDer::pem_file_iter(path)
        .map_err(error)?
        .collect::<Result<_, _>>()
        .map_err(error)?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates);
    if roots.is_empty() {
        return Err(TrustError::EmptyBundle(path.to_owned()));
    }
    Ok(roots)
}

fn system_bundle() -> Result<RootCertStore, TrustError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(TrustError::NoSystemBundle);
    }
    Ok(roots)
}

/// Looks at a chain without a name to compare, if it looks at it at all.
#[derive(Debug)]
struct AnyName {
    algorithms: WebPkiSupportedAlgorithms,
    roots: Option<Arc<RootCertStore>>,
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(roots) = &self.roots {
            let certificate = ParsedCertificate::try_from(end_entity)?;
            let algorithms = self.algorithms.all;
            verify_server_cert_signed_by_trust_anchor(
                &certificate,
                roots,
                intermediates,
                now,
                algorithms,
            )?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
