//! The server's side against rustls' client, over bytes in memory.

mod bytes;
mod handshakes;
mod loading;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::client::{ClientConnection, Resumption};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

use super::*;

/// A certificate authority with a directory for what it makes.
struct Authority {
    directory: tempfile::TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { directory: tempfile::tempdir().unwrap(), issuer }
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn root(&self) -> PathBuf {
        self.write("ca.pem", &self.issuer.pem())
    }

    /// A certificate for `names`, changed by `change`, and its key.
    fn issue_with(
        &self,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> (PathBuf, PathBuf) {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(names.clone()).unwrap();
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let name = names.first().map_or("none", String::as_str).replace('*', "any");
        (
            self.write(&format!("{name}.pem"), &certificate.pem()),
            self.write(&format!("{name}.key"), &key.serialize_pem()),
        )
    }

    fn issue(&self, names: &[&str]) -> (PathBuf, PathBuf) {
        self.issue_with(names, |_| {})
    }

    fn files(&self, names: &[&str]) -> TlsFiles {
        let (certificate, key) = self.issue(names);
        TlsFiles { certificate, key, client_ca: None, sni: Vec::new() }
    }

    fn client(&self, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
        let mut config = self.client_builder(versions).with_no_client_auth();
        config.resumption = Resumption::disabled();
        config
    }

    fn client_builder(
        &self,
        versions: &[&'static SupportedProtocolVersion],
    ) -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
    }

    /// A client with a certificate for `names` that `signer` made.
    fn client_as(&self, signer: &Self, names: &[&str]) -> ClientConfig {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let certificate =
            CertificateParams::new(names).unwrap().signed_by(&key, &signer.issuer).unwrap();
        let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone()];
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        self.client_builder(rustls::DEFAULT_VERSIONS).with_client_auth_cert(chain, key).unwrap()
    }
}

/// A client and a server with a wire between them.
struct Pair {
    client: ClientConnection,
    server: TlsPump,
    /// What the server took.
    taken: Vec<u8>,
    handshaken: Option<Handshaken>,
    /// Most bytes that the server is given at a time.
    cut: usize,
}

impl Pair {
    fn new(client: &Arc<ClientConfig>, name: &str, server: &ServerTls, cut: usize) -> Self {
        let name = name.to_owned().try_into().unwrap();
        Self {
            client: ClientConnection::new(Arc::clone(client), name).unwrap(),
            server: TlsPump::new(server).unwrap(),
            taken: Vec::new(),
            handshaken: None,
            cut,
        }
    }

    /// Moves bytes until neither has more to say. Fails with what the server says.
    fn run(&mut self) -> Result<(), TlsFailure> {
        loop {
            let mut sent = Vec::new();
            while self.client.wants_write() {
                self.client.write_tls(&mut sent).unwrap();
            }
            let mut out = Vec::new();
            let mut result = Ok(());
            for piece in sent.chunks_mut(self.cut) {
                result = self.give(piece, &mut out);
                if result.is_err() {
                    break;
                }
            }
            let quiet = sent.is_empty() && out.is_empty();
            self.tell_client(&out);
            result?;
            if quiet {
                return Ok(());
            }
        }
    }

    fn give(&mut self, piece: &mut [u8], out: &mut Vec<u8>) -> Result<(), TlsFailure> {
        let taken = &mut self.taken;
        let mut take = |bytes: &[u8]| taken.extend_from_slice(bytes);
        if self.server.is_handshaking() {
            self.server.hold(piece)?;
            if let Handshake::Done(handshaken) = self.server.handshake_step(out)? {
                self.handshaken = Some(handshaken);
                self.server.receive(&mut [], out, &mut take)?;
            }
            return Ok(());
        }
        self.server.receive(piece, out, &mut take).map(drop)
    }

    /// Lets the client read; its own opinion of that shows in its state.
    fn tell_client(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            self.client.read_tls(&mut bytes).unwrap();
            if self.client.process_new_packets().is_err() {
                return;
            }
        }
    }

    fn handshaken(self) -> Handshaken {
        self.handshaken.unwrap()
    }
}

fn tickets() -> SharedTickets {
    SharedTickets::new().unwrap()
}

fn load(files: &TlsFiles) -> ServerTls {
    ServerTls::load(files, ClientCertificates::Off, &tickets()).unwrap()
}
