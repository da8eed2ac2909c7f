//! A server's side of TLS with a certificate of its own, and clients that trust it.

use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use ringpost::io::tls::{ClientCertificates, ServerTls, SharedTickets, TlsFiles};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

/// Serves `mx.example`.
pub(crate) struct Server {
    pub(crate) tls: ServerTls,
    roots: RootCertStore,
    _directory: tempfile::TempDir,
}

impl Server {
    /// With a certificate that `key` signs for itself.
    pub(crate) fn new(key: &KeyPair) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let params = CertificateParams::new(vec!["mx.example".to_owned()]).unwrap();
        let certificate = params.self_signed(key).unwrap();
        let files = TlsFiles {
            certificate: directory.path().join("cert.pem"),
            key: directory.path().join("key.pem"),
            ..TlsFiles::default()
        };
        std::fs::write(&files.certificate, certificate.pem()).unwrap();
        std::fs::write(&files.key, key.serialize_pem()).unwrap();
        let tickets = SharedTickets::new().unwrap();
        let tls = ServerTls::load(&files, ClientCertificates::Off, &tickets).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate.der().clone()).unwrap();
        Self { tls, roots, _directory: directory }
    }

    /// Clients that speak `version` alone.
    pub(crate) fn client(&self, version: &'static SupportedProtocolVersion) -> Arc<ClientConfig> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth();
        Arc::new(config)
    }
}
