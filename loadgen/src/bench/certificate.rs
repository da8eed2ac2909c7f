//! A certificate of the bench's own for the servers that it starts, for as long as it runs.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256};

/// The key of the certificate: what a server signs each full handshake with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum KeyKind {
    /// ECDSA over P-256.
    #[default]
    Ecdsa,
    /// RSA of 2,048 bits, which costs a server some twenty times as much.
    Rsa,
}

/// Where the two PEM files lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CertificateFiles {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

impl CertificateFiles {
    /// Copies both to where a server looks for them.
    ///
    /// # Errors
    /// A file cannot be read or written.
    pub(super) fn copy_to(&self, certificate: &Path, key: &Path) -> io::Result<()> {
        fs::copy(&self.certificate, certificate)?;
        fs::copy(&self.key, key).map(drop)
    }
}

/// Makes a certificate for `bench.example` and 127.0.0.1 that signs itself, in `directory`.
///
/// # Errors
/// No key can be made, or a file cannot be written.
pub(super) fn make(kind: KeyKind, directory: &Path) -> io::Result<CertificateFiles> {
    let algorithm = match kind {
        KeyKind::Ecdsa => &PKCS_ECDSA_P256_SHA256,
        KeyKind::Rsa => &PKCS_RSA_SHA256,
    };
    let key = KeyPair::generate_for(algorithm).map_err(io::Error::other)?;
    let names = vec!["bench.example".to_owned(), "127.0.0.1".to_owned()];
    let parameters = CertificateParams::new(names).map_err(io::Error::other)?;
    let certificate = parameters.self_signed(&key).map_err(io::Error::other)?;
    let files = CertificateFiles {
        certificate: directory.join("certificate.pem"),
        key: directory.join("key.pem"),
    };
    fs::write(&files.certificate, certificate.pem())?;
    fs::write(&files.key, key.serialize_pem())?;
    Ok(files)
}
