//! Certificates that clients show.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};
use webpki::EndEntityCert;

use super::settings::{ClientCertificates, TlsError};

/// Verifies that a certificate is signed by one of `authorities`, read from `path`.
pub(super) fn verifier(
    path: &Path,
    authorities: &[CertificateDer<'static>],
    clients: ClientCertificates,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let bad = |why: String| TlsError::BadCertificate { path: path.into(), why };
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority.clone()).map_err(|error| bad(error.to_string()))?;
    }
    let builder =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let builder = match clients {
        ClientCertificates::Off | ClientCertificates::Optional => builder.allow_unauthenticated(),
        ClientCertificates::Required => builder,
    };
    builder.build().map_err(|error| bad(error.to_string()))
}

/// Lets a client go on whose certificate `strict` does not take, because many servers show one of
/// their own making to whoever asks. [`names`] says later that it is not known.
pub(super) fn lenient(strict: Arc<dyn ClientCertVerifier>) -> Arc<dyn ClientCertVerifier> {
    Arc::new(Lenient { strict })
}

#[derive(Debug)]
struct Lenient {
    strict: Arc<dyn ClientCertVerifier>,
}

impl ClientCertVerifier for Lenient {
    fn offer_client_auth(&self) -> bool {
        true
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.strict.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.strict.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.strict.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.strict.supported_verify_schemes()
    }
}

/// The DNS names in the certificate at the head of `chain`, in lower case, if `strict` takes it
/// now. A client that resumed a session proved long ago that it has the key, so the certificate is
/// looked at again.
pub(super) fn names(
    strict: &dyn ClientCertVerifier,
    chain: &[CertificateDer<'_>],
) -> Box<[Box<str>]> {
    let Some((first, rest)) = chain.split_first() else { return Box::default() };
    if strict.verify_client_cert(first, rest, UnixTime::now()).is_err() {
        return Box::default();
    }
    let Ok(certificate) = EndEntityCert::try_from(first) else { return Box::default() };
    certificate.valid_dns_names().map(|name| name.to_ascii_lowercase().into()).collect()
}
