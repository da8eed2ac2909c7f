//! A client that says what it is told to.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::shard::PATIENCE;

/// A connection, under TLS or not.
pub(crate) struct Client {
    wire: Option<Wire>,
    /// What came and was not read.
    held: Vec<u8>,
}

enum Wire {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { wire: Some(Wire::Plain(stream)), held: Vec::new() }
    }

    /// Begins TLS as a client that believes `root`.
    pub(crate) fn begin_tls(&mut self, root: &CertificateDer<'static>) {
        self.begin_tls_as(&config(root));
    }

    pub(crate) fn begin_tls_as(&mut self, config: &Arc<ClientConfig>) {
        let Some(Wire::Plain(stream)) = self.wire.take() else { panic!("no plain connection") };
        let name = "mx.example".try_into().unwrap();
        let connection = ClientConnection::new(Arc::clone(config), name).unwrap();
        self.wire = Some(Wire::Tls(Box::new(StreamOwned::new(connection, stream))));
    }

    /// Sends the first message of the handshake and does not wait for the answer.
    pub(crate) fn send_hello(&mut self) {
        let Some(Wire::Tls(stream)) = &mut self.wire else { panic!("no TLS") };
        while stream.conn.wants_write() {
            stream.conn.write_tls(&mut stream.sock).unwrap();
        }
    }

    pub(crate) fn tls(&self) -> &ClientConnection {
        match &self.wire {
            Some(Wire::Tls(stream)) => &stream.conn,
            _ => panic!("no TLS"),
        }
    }

    /// The socket below TLS.
    pub(crate) fn socket(&mut self) -> &mut TcpStream {
        match self.wire.as_mut().unwrap() {
            Wire::Plain(stream) => stream,
            Wire::Tls(stream) => &mut stream.sock,
        }
    }

    pub(crate) fn send(&mut self, text: impl AsRef<[u8]>) {
        match self.wire.as_mut().unwrap() {
            Wire::Plain(stream) => stream.write_all(text.as_ref()).unwrap(),
            Wire::Tls(stream) => {
                stream.write_all(text.as_ref()).unwrap();
                stream.flush().unwrap();
            }
        }
    }

    /// Reads one reply and returns its last line.
    pub(crate) fn reply(&mut self) -> String {
        loop {
            let line = self.line();
            if line.as_bytes().get(3) != Some(&b'-') {
                return line;
            }
        }
    }

    pub(crate) fn expect(&mut self, code: &str) {
        let reply = self.reply();
        assert!(reply.starts_with(code), "wanted {code}: {reply}");
    }

    pub(crate) fn say(&mut self, text: &str, code: &str) {
        self.send(format!("{text}\r\n"));
        self.expect(code);
    }

    fn line(&mut self) -> String {
        loop {
            if let Some(at) = self.held.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.held.drain(..=at).collect();
                return String::from_utf8_lossy(&line).trim_end().to_owned();
            }
            let mut buffer = [0; 4_096];
            let count = self.read(&mut buffer).unwrap();
            assert!(count > 0, "the server closed the connection");
            self.held.extend_from_slice(&buffer[..count]);
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self.wire.as_mut().unwrap() {
            Wire::Plain(stream) => stream.read(buffer),
            Wire::Tls(stream) => stream.read(buffer),
        }
    }

    /// Reads until the server closes, and asserts that under TLS it said so.
    pub(crate) fn expect_end(&mut self) {
        let mut buffer = [0; 4_096];
        assert_eq!(self.read(&mut buffer).unwrap(), 0);
    }

    /// Sends a message of `content` and waits for its 250.
    pub(crate) fn deliver(&mut self, content: &str) {
        self.say("MAIL FROM:<a@example.com>", "250");
        self.say("RCPT TO:<b@example.net>", "250");
        self.say("DATA", "354");
        self.send(content);
        self.say(".", "250");
    }
}

pub(crate) fn config(root: &CertificateDer<'static>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}
