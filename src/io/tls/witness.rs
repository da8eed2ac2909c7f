//! What a handshake comes to that rustls tells only while it goes on: which certificate was shown,
//! and the exporter of TLS 1.3.

use std::sync::{Arc, OnceLock};

use rustls::crypto::aws_lc_rs::cipher_suite::{TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384};
use rustls::crypto::tls13::OkmBlock;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{KeyLog, Tls13CipherSuite};

use super::certificates::Certificates;

/// The label under which the exporter's secret is told (draft-ietf-tls-keylogfile).
const EXPORTER_SECRET: &str = "EXPORTER_SECRET";

/// The label of `tls-exporter` (RFC 9266 §4.2).
const CHANNEL_BINDING: &[u8] = b"EXPORTER-Channel-Binding";

/// The witness of one handshake.
#[derive(Debug)]
pub(super) struct Witness {
    certificates: Arc<Certificates>,
    shown: OnceLock<usize>,
    exporter: OnceLock<[u8; 32]>,
}

impl Witness {
    pub(super) const fn new(certificates: Arc<Certificates>) -> Self {
        Self { certificates, shown: OnceLock::new(), exporter: OnceLock::new() }
    }

    /// `tls-server-end-point` of the certificate that was shown (RFC 5929 §4).
    pub(super) fn end_point(&self) -> Option<Box<[u8]>> {
        self.certificates.end_point(*self.shown.get()?)
    }

    /// `tls-exporter` (RFC 9266), with TLS 1.3 only.
    pub(super) fn exporter(&self) -> Option<[u8; 32]> {
        self.exporter.get().copied()
    }
}

impl ResolvesServerCert for Witness {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let index = self.certificates.choose(hello.server_name());
        // A client that is told to retry its hello asks for the same name again.
        let index = *self.shown.get_or_init(|| index);
        self.certificates.key(index)
    }
}

/// rustls exports keys only for connections with buffers of its own, so the exporter is made here
/// from the secret that it tells those who log keys. Nothing else is asked for, and the secret
/// itself is not kept.
impl KeyLog for Witness {
    fn log(&self, label: &str, _client_random: &[u8], secret: &[u8]) {
        if label == EXPORTER_SECRET
            && let Some(exporter) = channel_binding(secret)
        {
            // A handshake has one exporter.
            let _ = self.exporter.set(exporter);
        }
    }

    fn will_log(&self, label: &str) -> bool {
        label == EXPORTER_SECRET
    }
}

/// RFC 8446 §7.5 with the label of RFC 9266 and no context. The length of the secret tells the hash
/// of the cipher suite: all of TLS 1.3 have SHA-256 or SHA-384 (RFC 8446 §B.4).
fn channel_binding(secret: &[u8]) -> Option<[u8; 32]> {
    let suite = match secret.len() {
        32 => TLS13_AES_128_GCM_SHA256,
        48 => TLS13_AES_256_GCM_SHA384,
        _ => return None,
    };
    let suite = suite.tls13()?;
    let empty = suite.common.hash_provider.hash(b"");
    let mut derived = zeroize::Zeroizing::new([0; 48]);
    let derived = derived.get_mut(..secret.len())?;
    expand_label(suite, secret, CHANNEL_BINDING, empty.as_ref(), derived)?;
    let mut exporter = [0; 32];
    expand_label(suite, derived, b"exporter", empty.as_ref(), &mut exporter)?;
    Some(exporter)
}

/// HKDF-Expand-Label (RFC 8446 §7.1) into `output`.
fn expand_label(
    suite: &Tls13CipherSuite,
    secret: &[u8],
    label: &[u8],
    context: &[u8],
    output: &mut [u8],
) -> Option<()> {
    const PREFIX: &[u8] = b"tls13 ";
    let length = u16::try_from(output.len()).ok()?.to_be_bytes();
    let label_length = [u8::try_from(PREFIX.len() + label.len()).ok()?];
    let context_length = [u8::try_from(context.len()).ok()?];
    let info: [&[u8]; 6] = [&length, &label_length, PREFIX, label, &context_length, context];
    let expander = suite.hkdf_provider.expander_for_okm(&OkmBlock::new(secret));
    expander.expand_slice(&info, output).ok()
}
