//! The pump of TLS records: with whatever comes instead of a handshake, and with an honest client
//! whose records somebody changes on their way.

use std::fs;
use std::sync::{Arc, OnceLock};

use ringpost::io::tls::{
    ClientCertificates, Handshake, Received, ServerTls, SharedTickets, TlsFailure, TlsFiles,
    TlsPump,
};
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::pieces::{Lengths, WAYS};

const NAME: &str = "mx.example.net";

/// Plaintext comes out only as the client sent it, up to the first change, however the records are
/// cut; and without a handshake none comes out at all. The first byte picks which of both, then the
/// version, and how many changes follow, at most three: where, and what.
pub fn run(input: &[u8]) {
    let (&choice, rest) = input.split_first().unwrap_or((&0, &[]));
    if choice & 1 == 0 {
        garble_handshake(rest);
        return;
    }
    let (changes, rest) = rest.split_at((usize::from(choice >> 2 & 3) * 3).min(rest.len()));
    let (lengths, plaintext) = Lengths::of(rest);
    for way in WAYS {
        let mut pair = Pair::new(choice & 2 != 0);
        let mut wire = pair.send(plaintext);
        let mut is_changed = false;
        for change in changes.chunks_exact(3) {
            let at = usize::from(u16::from_be_bytes([change[0], change[1]])) % wire.len();
            wire[at] ^= change[2];
            is_changed |= change[2] != 0;
        }
        let mut taken = Vec::new();
        let mut result = Ok(Received::Open);
        for piece in lengths.cut(way, &wire) {
            result = pair.server.receive(&mut piece.to_vec(), &mut pair.out, &mut |plain| {
                taken.extend_from_slice(plain);
            });
            if result.is_err() {
                break;
            }
        }
        assert!(plaintext.starts_with(&taken), "{way:?}: what the client did not send");
        if !is_changed {
            assert_eq!(result.expect("records are in order"), Received::Closed, "{way:?}");
            assert_eq!(taken, plaintext, "{way:?}");
            pair.answer(plaintext);
        }
        // Whatever came, it can be ended.
        pair.server.close(&mut pair.out);
    }
}

fn garble_handshake(input: &[u8]) {
    let (lengths, stream) = Lengths::of(input);
    let mut expected = None;
    for way in WAYS {
        let mut server = TlsPump::new(&setup().server).expect("a pump");
        let mut out = Vec::new();
        let mut is_failed = false;
        for piece in lengths.cut(way, stream) {
            match server.hold(piece).and_then(|()| server.handshake_step(&mut out)) {
                Ok(Handshake::Going) => {}
                Ok(Handshake::Done(_)) => panic!("a handshake without a client"),
                Err(_) => {
                    is_failed = true;
                    break;
                }
            }
        }
        assert!(server.is_handshaking());
        assert_eq!(is_failed, *expected.get_or_insert(is_failed), "{way:?}");
    }
}

struct Setup {
    server: ServerTls,
    clients: [Arc<ClientConfig>; 2],
}

fn setup() -> &'static Setup {
    static SETUP: OnceLock<Setup> = OnceLock::new();
    SETUP.get_or_init(|| {
        let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).expect("a certificate");
        let directory = tempfile::tempdir().expect("a directory");
        let certificate = directory.path().join("certificate.pem");
        let key = directory.path().join("key.pem");
        fs::write(&certificate, made.cert.pem()).expect("a file");
        fs::write(&key, made.signing_key.serialize_pem()).expect("a file");
        let files = TlsFiles { certificate, key, client_ca: None, sni: Vec::new() };
        let tickets = SharedTickets::new().expect("tickets");
        let server = ServerTls::load(&files, ClientCertificates::Off, &tickets);
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).expect("a root");
        let clients = [&rustls::version::TLS12, &rustls::version::TLS13].map(|version| {
            let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
                .with_protocol_versions(&[version])
                .expect("a version")
                .with_root_certificates(roots.clone())
                .with_no_client_auth();
            config.resumption = Resumption::disabled();
            Arc::new(config)
        });
        Setup { server: server.expect("a server"), clients }
    })
}

/// A client and a server that are done with their handshake.
struct Pair {
    client: ClientConnection,
    server: TlsPump,
    out: Vec<u8>,
}

impl Pair {
    fn new(is_newest: bool) -> Self {
        let setup = setup();
        let config = Arc::clone(&setup.clients[usize::from(is_newest)]);
        let name = NAME.try_into().expect("a name");
        let mut pair = Self {
            client: ClientConnection::new(config, name).expect("a client"),
            server: TlsPump::new(&setup.server).expect("a pump"),
            out: Vec::new(),
        };
        while pair.server.is_handshaking() {
            let wire = pair.wire();
            assert!(!wire.is_empty(), "nobody says anything");
            pair.server.hold(&wire).expect("room");
            pair.server.handshake_step(&mut pair.out).expect("a handshake");
            pair.tell_client();
        }
        assert!(!pair.client.is_handshaking());
        pair
    }

    /// What the client sends.
    fn wire(&mut self) -> Vec<u8> {
        let mut wire = Vec::new();
        while self.client.wants_write() {
            self.client.write_tls(&mut wire).expect("memory");
        }
        wire
    }

    /// `plaintext` as the client sends it, in records of a line, and its farewell.
    fn send(&mut self, plaintext: &[u8]) -> Vec<u8> {
        let mut wire = self.wire();
        for line in plaintext.split_inclusive(|&byte| byte == b'\n') {
            std::io::Write::write_all(&mut self.client.writer(), line).expect("memory");
            wire.append(&mut self.wire());
        }
        self.client.send_close_notify();
        wire.append(&mut self.wire());
        wire
    }

    /// The client reads what the server says.
    fn answer(&mut self, plaintext: &[u8]) {
        let encrypted: Result<(), TlsFailure> = self.server.encrypt(plaintext, &mut self.out);
        encrypted.expect("keys");
        self.tell_client();
        let mut read = vec![0; plaintext.len()];
        std::io::Read::read_exact(&mut self.client.reader(), &mut read).expect("an answer");
        assert_eq!(read, plaintext);
    }

    fn tell_client(&mut self) {
        let out = std::mem::take(&mut self.out);
        let mut rest = &out[..];
        while !rest.is_empty() {
            self.client.read_tls(&mut rest).expect("memory");
            self.client.process_new_packets().expect("an honest server");
        }
    }
}
