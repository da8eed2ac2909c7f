//! Certificates for a sink, good and bad, made when it starts.
//!
//! # Guarantees
//! A certificate has nothing to object to but what its kind says, for whoever trusts the
//! authority's own.
//!
//! # Failures
//! No key can be made; a name cannot stand in a certificate.

use std::fs;
use std::io;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::behaviour::CertificateKind;
use crate::console::naming;
use crate::tls::TlsServer;

/// The host of a certificate for another one.
const WRONG_NAME: &str = "another-host.example";

/// Signs the certificates of one sink. Its key lives as long as it does.
pub(super) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Authority").finish_non_exhaustive()
    }
}

impl Authority {
    /// A fresh one.
    ///
    /// # Errors
    /// No key can be made.
    pub(super) fn new() -> io::Result<Self> {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, "loadgen sink");
        parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let issuer = CertifiedIssuer::self_signed(parameters, key).map_err(io::Error::other)?;
        Ok(Self { issuer })
    }

    /// Writes its own certificate, for clients to trust.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        fs::write(path, self.issuer.pem()).map_err(naming(path))
    }

    /// A server called `name` with a certificate of this kind.
    ///
    /// # Errors
    /// `name` cannot stand in a certificate.
    pub(super) fn server(&self, name: &str, kind: CertificateKind) -> io::Result<TlsServer> {
        let host = if kind == CertificateKind::WrongName { WRONG_NAME } else { name };
        let mut parameters = CertificateParams::new(vec![host.to_owned()]).map_err(|error| {
            io::Error::other(format!("`{host}` cannot stand in a certificate: {error}"))
        })?;
        parameters.distinguished_name.push(DnType::CommonName, host);
        if kind == CertificateKind::Expired {
            parameters.not_before = rcgen::date_time_ymd(2001, 1, 1);
            parameters.not_after = rcgen::date_time_ymd(2002, 1, 1);
        }
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let certificate = if kind == CertificateKind::SelfSigned {
            parameters.self_signed(&key)
        } else {
            parameters.signed_by(&key, &self.issuer)
        };
        let certificate = certificate.map_err(io::Error::other)?.der().clone();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        TlsServer::new(certificate, key)
    }
}
