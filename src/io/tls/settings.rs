//! From files to what a listener needs for handshakes.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::ServerConfig;
use rustls::server::danger::ClientCertVerifier;
use rustls::version::{TLS12, TLS13};

use super::certificates::{Certificates, read_certificates};
use super::clients::{self, verifier};
use super::tickets::{ScopedTickets, SharedTickets};
use super::witness::Witness;

/// Tickets that a TLS 1.3 client is given. It gets another one with every session, so one is enough
/// to resume again and again.
const TICKET_COUNT: usize = 1;

/// The files of a listener's TLS, all in PEM form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, followed by those between it and the root.
    pub certificate: PathBuf,
    /// Its private key: PKCS #8, PKCS #1 or SEC 1, not encrypted.
    pub key: PathBuf,
    /// Those whose signature makes a client's certificate good.
    pub client_ca: Option<PathBuf>,
    /// More certificates and keys: a client that asks for a name in one of these gets it.
    pub sni: Vec<(PathBuf, PathBuf)>,
}

/// Whether clients are asked for a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientCertificates {
    /// They are not.
    #[default]
    Off,
    /// They are. One without, or with one that is not good, goes on as a client without.
    Optional,
    /// They are, and the handshake of one without a good certificate fails.
    Required,
}

/// Why TLS cannot be offered: one of the files.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// It cannot be read.
    #[error("cannot read {path}: {error}{}", reading_hint(.error))]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// It is no PEM file.
    #[error("{path} is not in PEM form: {why}")]
    NotPem {
        /// Which file.
        path: PathBuf,
        /// Where it goes wrong.
        why: String,
    },
    /// It holds no certificate.
    #[error("{path} holds no certificate: a section `-----BEGIN CERTIFICATE-----` is wanted")]
    NoCertificate {
        /// Which file.
        path: PathBuf,
    },
    /// A certificate in it cannot be used.
    #[error("{path} holds a certificate that cannot be used: {why}")]
    BadCertificate {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// It holds no private key.
    #[error(
        "{path} holds no private key: a section `-----BEGIN PRIVATE KEY-----` is wanted, and \
         not an encrypted one"
    )]
    NoKey {
        /// Which file.
        path: PathBuf,
    },
    /// The key in it cannot be used.
    #[error("{path} holds a private key that cannot be used: {why}")]
    BadKey {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The key belongs to another certificate.
    #[error(
        "the private key in {key} does not belong to the first certificate in {certificate}; the \
         server's own certificate must come first in its file"
    )]
    KeyMismatch {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
    },
    /// Clients cannot be verified.
    #[error(
        "client certificates are asked for, and nothing says whose signatures make them good: set \
         client_ca"
    )]
    NoClientCa,
    /// The library refuses something that does not depend on the files.
    #[error("TLS cannot be set up: {0}")]
    Library(String),
}

fn reading_hint(error: &io::Error) -> &'static str {
    if error.kind() == io::ErrorKind::PermissionDenied {
        "; let the user that the server runs as read it"
    } else {
        ""
    }
}

impl TlsError {
    /// The file that is to be mended, if it is one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Unreadable { path, .. }
            | Self::NotPem { path, .. }
            | Self::NoCertificate { path }
            | Self::BadCertificate { path, .. }
            | Self::NoKey { path }
            | Self::BadKey { path, .. }
            | Self::KeyMismatch { key: path, .. } => Some(path),
            Self::NoClientCa | Self::Library(_) => None,
        }
    }
}

/// What a listener needs for handshakes. Cloning it copies nothing.
#[derive(Clone, Debug)]
pub struct ServerTls {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: ServerConfig,
    certificates: Arc<Certificates>,
    /// Verifies what clients show; `None` if they are not asked.
    clients: Option<Arc<dyn ClientCertVerifier>>,
    warnings: Vec<String>,
}

impl ServerTls {
    /// Reads and checks `files`. Sessions are resumed with `tickets`, which all listeners of the
    /// process share and which outlive a reload.
    ///
    /// # Errors
    /// What is wrong with the first file that cannot be used.
    pub fn load(
        files: &TlsFiles,
        clients: ClientCertificates,
        tickets: &SharedTickets,
    ) -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let certificates = Arc::new(Certificates::load(files, &provider)?);
        let authorities = match (&files.client_ca, clients) {
            (_, ClientCertificates::Off) => Vec::new(),
            (None, ClientCertificates::Optional | ClientCertificates::Required) => {
                return Err(TlsError::NoClientCa);
            }
            (Some(path), ClientCertificates::Optional | ClientCertificates::Required) => {
                read_certificates(path)?
            }
        };
        let strict = match &files.client_ca {
            Some(path) if !authorities.is_empty() => {
                Some(verifier(path, &authorities, clients, &provider)?)
            }
            Some(_) | None => None,
        };
        let scope = certificates.scope(clients, &authorities);
        let mut config = server_config(provider, &certificates, strict.clone(), clients)?;
        config.ticketer = Arc::new(ScopedTickets::new(tickets, scope));
        let warnings = certificates.warnings();
        Ok(Self { shared: Arc::new(Shared { config, certificates, clients: strict, warnings }) })
    }

    /// What is wrong without keeping the server from running: certificates that clients will not
    /// trust for their dates.
    pub fn warnings(&self) -> &[String] {
        &self.shared.warnings
    }

    /// The settings of one handshake, which `witness` sees.
    pub(super) fn config(&self, witness: &Arc<Witness>) -> Arc<ServerConfig> {
        let mut config = self.shared.config.clone();
        config.cert_resolver = Arc::<Witness>::clone(witness);
        config.key_log = Arc::<Witness>::clone(witness);
        Arc::new(config)
    }

    pub(super) fn certificates(&self) -> &Arc<Certificates> {
        &self.shared.certificates
    }

    pub(super) fn clients(&self) -> Option<&Arc<dyn ClientCertVerifier>> {
        self.shared.clients.as_ref()
    }
}

fn server_config(
    provider: Arc<CryptoProvider>,
    certificates: &Arc<Certificates>,
    strict: Option<Arc<dyn ClientCertVerifier>>,
    clients: ClientCertificates,
) -> Result<ServerConfig, TlsError> {
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(|error| TlsError::Library(error.to_string()))?;
    let builder = match (strict, clients) {
        (None, _) | (_, ClientCertificates::Off) => builder.with_no_client_auth(),
        (Some(strict), ClientCertificates::Required) => builder.with_client_cert_verifier(strict),
        (Some(strict), ClientCertificates::Optional) => {
            builder.with_client_cert_verifier(clients::lenient(strict))
        }
    };
    let witness = Arc::new(Witness::new(Arc::clone(certificates)));
    let mut config = builder.with_cert_resolver(witness);
    config.send_tls13_tickets = TICKET_COUNT;
    // What is to be known of a session lies in its ticket.
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    Ok(config)
}
