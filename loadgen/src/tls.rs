//! TLS of the source and of the sink: the connection with or without it behind one face.
//!
//! # Guarantees
//! What was written leaves in order, encrypted from the moment that TLS was asked for.
//!
//! # Never
//! Trusts or distrusts a certificate: what is measured is a server that the user named, and its
//! certificate is often one of its own making. Signatures of the handshake are checked all the
//! same, because their cost belongs to a client.
//!
//! # Bounds
//! A TLS connection holds at most [`UNSENT_BYTES_MAX`] of what the socket has not taken, and one
//! record of what it has received.

use std::io::{self, IoSlice, Read, Write};
use std::sync::Arc;
use std::time::Instant;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, Connection, DigitallySignedStruct, ServerConfig,
    ServerConnection, SignatureScheme,
};

/// Bytes that wait for the socket before nothing more is taken.
const UNSENT_BYTES_MAX: usize = 256 << 10;

/// Whether a connection is protected, and from when on.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    clap::ValueEnum,
    serde::Deserialize,
    serde::Serialize,
)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum TlsMode {
    /// Not at all.
    #[default]
    None,
    /// After STARTTLS (RFC 3207).
    Starttls,
    /// From the first byte on (RFC 8314 §3.3).
    Implicit,
}

/// What all TLS connections of a source share.
#[derive(Clone, Debug)]
pub(crate) struct TlsClient {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl TlsClient {
    /// For a server called `name`, which is sent as SNI if it is a name. With `resume`, a
    /// connection goes on with the session of an earlier one where the server lets it.
    ///
    /// # Errors
    /// `name` is neither a host name nor an address.
    pub(crate) fn new(name: &str, resume: bool) -> io::Result<Self> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = Arc::new(AnyCertificate { provider: Arc::clone(&provider) });
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        if !resume {
            config.resumption = Resumption::disabled();
        }
        let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        Ok(Self { config: Arc::new(config), name })
    }

    /// The client's side of a new TLS connection.
    ///
    /// # Errors
    /// The settings do not go together.
    pub(crate) fn connection(&self) -> io::Result<ClientConnection> {
        let mut connection = ClientConnection::new(Arc::clone(&self.config), self.name.clone())
            .map_err(io::Error::other)?;
        connection.set_buffer_limit(Some(UNSENT_BYTES_MAX));
        Ok(connection)
    }
}

/// What all TLS connections of a listening address share.
#[derive(Clone, Debug)]
pub(crate) struct TlsServer {
    config: Arc<ServerConfig>,
}

impl TlsServer {
    /// That shows `certificate`, whose key is `key`.
    ///
    /// # Errors
    /// They do not go together.
    pub(crate) fn new(
        certificate: CertificateDer<'static>,
        key: PrivateKeyDer<'static>,
    ) -> io::Result<Self> {
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .map_err(io::Error::other)?;
        Ok(Self { config: Arc::new(config) })
    }

    /// The server's side of a new TLS connection.
    ///
    /// # Errors
    /// The settings do not go together.
    pub(crate) fn connection(&self) -> io::Result<ServerConnection> {
        let mut connection =
            ServerConnection::new(Arc::clone(&self.config)).map_err(io::Error::other)?;
        connection.set_buffer_limit(Some(UNSENT_BYTES_MAX));
        Ok(connection)
    }
}

/// A socket, with TLS over it or without.
#[derive(Debug)]
pub(crate) struct Wire<S> {
    socket: S,
    tls: Option<Box<Connection>>,
    handshake_ended_at: Option<Instant>,
}

impl<S: Read + Write> Wire<S> {
    /// Without TLS.
    pub(crate) const fn plain(socket: S) -> Self {
        Self { socket, tls: None, handshake_ended_at: None }
    }

    /// The socket itself.
    pub(crate) const fn socket(&mut self) -> &mut S {
        &mut self.socket
    }

    /// From here on all is encrypted.
    pub(crate) fn protect(&mut self, tls: impl Into<Connection>) {
        self.tls = Some(Box::new(tls.into()));
    }

    /// Whether TLS has begun, and nothing can be said in it yet.
    pub(crate) fn is_handshaking(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.is_handshaking())
    }

    /// When the handshake ended, if it has since the last call.
    pub(crate) const fn take_handshake_end(&mut self) -> Option<Instant> {
        self.handshake_ended_at.take()
    }

    /// Says close_notify where there is TLS (RFC 8446 §6.1), as far as the socket takes it.
    pub(crate) fn say_goodbye(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
        }
        // The connection is closed next, whatever comes of this.
        let _ = self.push();
    }

    /// Hands to the socket what was encrypted before.
    ///
    /// # Errors
    /// The socket's, `WouldBlock` among them if something is left.
    pub(crate) fn push(&mut self) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            while tls.wants_write() {
                if tls.write_tls(&mut self.socket)? == 0 {
                    return Err(io::ErrorKind::WriteZero.into());
                }
            }
        }
        Ok(())
    }
}

impl<S: Read + Write> Read for Wire<S> {
    /// Plaintext. In the middle of a handshake it also sends what the handshake wants to say.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some(tls) = &mut self.tls else {
                return self.socket.read(buffer);
            };
            match tls.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // A peer that closes without close_notify is common; what counts is the dialogue.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                read => return read,
            }
            if tls.read_tls(&mut self.socket)? == 0 {
                return Ok(0);
            }
            let was_handshaking = tls.is_handshaking();
            let processed = tls.process_new_packets();
            if was_handshaking && !tls.is_handshaking() {
                self.handshake_ended_at = Some(Instant::now());
            }
            // An alert says more to the server than a reset.
            match self.push() {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                Ok(()) | Err(_) => {}
            }
            processed.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        }
    }
}

impl<S: Read + Write> Write for Wire<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    /// With TLS, what is taken may still wait for the socket: [`Wire::push`] goes on with it.
    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else {
            return self.socket.write_vectored(parts);
        };
        let taken = tls.writer().write_vectored(parts)?;
        match self.push() {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            Err(error) if taken == 0 => return Err(error),
            Ok(()) | Err(_) => {}
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.push()
    }
}

/// Takes every certificate, but checks that the server has the key of the one it shows.
#[derive(Debug)]
struct AnyCertificate {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
