//! The certificates of a listener, and which of them a client is shown.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use rustls::Error;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};
use webpki::EndEntityCert;

use super::der;
use super::settings::{ClientCertificates, TlsError, TlsFiles};

/// See the [module](self). The first certificate is for clients that ask for none of the names.
#[derive(Debug)]
pub(super) struct Certificates {
    all: Vec<Certificate>,
    /// Which certificate has which name, in lower case; of two that have it, the first.
    by_name: BTreeMap<Box<str>, usize>,
}

#[derive(Debug)]
struct Certificate {
    key: Arc<CertifiedKey>,
    end_point: Option<Box<[u8]>>,
    /// What is wrong with its dates.
    warning: Option<String>,
}

impl Certificates {
    pub(super) fn load(files: &TlsFiles, provider: &CryptoProvider) -> Result<Self, TlsError> {
        let mut certificates = Self { all: Vec::new(), by_name: BTreeMap::new() };
        certificates.add(&files.certificate, &files.key, provider)?;
        for (certificate, key) in &files.sni {
            certificates.add(certificate, key, provider)?;
        }
        Ok(certificates)
    }

    fn add(
        &mut self,
        certificate_path: &Path,
        key_path: &Path,
        provider: &CryptoProvider,
    ) -> Result<(), TlsError> {
        let chain = read_certificates(certificate_path)?;
        let key = read_key(key_path)?;
        let Some(first) = chain.first().cloned() else {
            return Err(TlsError::NoCertificate { path: certificate_path.into() });
        };
        let bad_certificate = |why: &dyn std::fmt::Display| TlsError::BadCertificate {
            path: certificate_path.into(),
            why: why.to_string(),
        };
        let parsed = EndEntityCert::try_from(&first).map_err(|error| bad_certificate(&error))?;
        let index = self.all.len();
        for name in parsed.valid_dns_names() {
            self.by_name.entry(name.to_ascii_lowercase().into()).or_insert(index);
        }
        let warning = date_fault(&parsed, provider)
            .map(|fault| format!("the certificate in {} {fault}", certificate_path.display()));
        let key = CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
            Error::InconsistentKeys(_) => {
                TlsError::KeyMismatch { certificate: certificate_path.into(), key: key_path.into() }
            }
            Error::InvalidCertificate(error) => bad_certificate(&format!("{error:?}")),
            error => TlsError::BadKey { path: key_path.into(), why: error.to_string() },
        })?;
        self.all.push(Certificate {
            key: Arc::new(key),
            end_point: der::server_end_point(&first),
            warning,
        });
        Ok(())
    }

    /// The number of the certificate for a client that asked for `name`: that with this very name,
    /// or with a wildcard in the place of its first label (RFC 9525 §6.3), or else the first.
    pub(super) fn choose(&self, name: Option<&str>) -> usize {
        let Some(name) = name else { return 0 };
        let name = name.to_ascii_lowercase();
        if let Some(&index) = self.by_name.get(name.as_str()) {
            return index;
        }
        let wildcard = name.split_once('.').map(|(_, parent)| format!("*.{parent}"));
        wildcard.and_then(|name| self.by_name.get(name.as_str())).copied().unwrap_or(0)
    }

    pub(super) fn key(&self, index: usize) -> Option<Arc<CertifiedKey>> {
        self.all.get(index).map(|certificate| Arc::clone(&certificate.key))
    }

    /// `tls-server-end-point` of a certificate.
    pub(super) fn end_point(&self, index: usize) -> Option<Box<[u8]>> {
        self.all.get(index)?.end_point.clone()
    }

    pub(super) fn warnings(&self) -> Vec<String> {
        self.all.iter().filter_map(|certificate| certificate.warning.clone()).collect()
    }

    /// A name for everything that makes a session of one listener unfit for another.
    pub(super) fn scope(
        &self,
        clients: ClientCertificates,
        authorities: &[CertificateDer<'_>],
    ) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update([match clients {
            ClientCertificates::Off => 0,
            ClientCertificates::Optional => 1,
            ClientCertificates::Required => 2,
        }]);
        let own = self.all.iter().filter_map(|certificate| certificate.key.cert.first());
        for certificate in own.chain(authorities) {
            hash.update((certificate.len() as u64).to_be_bytes());
            hash.update(certificate);
        }
        hash.finalize().into()
    }
}

/// All certificates in the file at `path`, at least one.
pub(super) fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let found = found.map_err(|error| not_pem(path, &error))?;
    if found.is_empty() {
        return Err(TlsError::NoCertificate { path: path.into() });
    }
    Ok(found)
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let bytes = zeroize::Zeroizing::new(read(path)?);
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| match error {
        pem::Error::NoItemsFound => TlsError::NoKey { path: path.into() },
        error => not_pem(path, &error),
    })
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|error| TlsError::Unreadable { path: path.into(), error })
}

fn not_pem(path: &Path, error: &pem::Error) -> TlsError {
    TlsError::NotPem { path: path.into(), why: error.to_string() }
}

/// What clients will say to the dates of a certificate.
fn date_fault(certificate: &EndEntityCert<'_>, provider: &CryptoProvider) -> Option<String> {
    // Without a trust anchor no certificate is good; its dates are looked at first.
    let checked = certificate.verify_for_usage(
        provider.signature_verification_algorithms.all,
        &[],
        &[],
        UnixTime::now(),
        webpki::KeyUsage::server_auth(),
        None,
        None,
    );
    let date = |at: UnixTime| {
        let ms = at.as_secs().saturating_mul(1_000);
        crate::clock::WallTime::from_unix_ms(ms).to_rfc3339()
    };
    match checked.err()? {
        webpki::Error::CertExpired { not_after, .. } => {
            Some(format!("expired at {}; clients that verify it will not connect", date(not_after)))
        }
        webpki::Error::CertNotValidYet { not_before, .. } => Some(format!(
            "is not valid before {}; clients that verify it will not connect",
            date(not_before)
        )),
        _ => None,
    }
}
