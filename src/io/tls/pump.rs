//! One connection: ciphertext in, plaintext out, and the other way round.

use std::fmt;
use std::mem;
use std::sync::Arc;

use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use rustls::{CipherSuite, HandshakeKind, ProtocolVersion};

use crate::limits::{
    TLS_HANDSHAKE_BYTES_MAX, TLS_PLAINTEXT_BYTES_MAX, TLS_RECORD_BYTES_MAX,
    TLS_RECORD_OVERHEAD_BYTES,
};
use crate::proto::server::TlsFacts;

use super::clients;
use super::settings::ServerTls;
use super::witness::Witness;

/// Length of a record's header; its last two bytes tell the length of the rest (RFC 8446 §5.1).
const RECORD_HEADER_BYTES: usize = 5;

/// Why a connection cannot go on. The alert that tells the client, if there is one, was written.
#[derive(Debug, thiserror::Error)]
pub enum TlsFailure {
    /// What the client sent, or what it would have to.
    #[error("{0}")]
    Protocol(#[from] rustls::Error),
    /// It sent more than a handshake needs.
    #[error("the client sent more than {TLS_HANDSHAKE_BYTES_MAX} bytes in its handshake")]
    TooMuch,
    /// It sent early data, though none is offered.
    #[error("the client sent early data")]
    EarlyData,
}

/// How far a handshake is.
#[derive(Debug)]
pub enum Handshake {
    /// More is to come from the client.
    Going,
    /// It is done.
    Done(Handshaken),
}

/// What a handshake came to.
#[derive(Debug)]
pub struct Handshaken {
    /// For the session.
    pub facts: TlsFacts,
    /// An earlier session was resumed, and no certificate was shown.
    pub resumed: bool,
}

/// What [`TlsPump::receive`] saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// More may come.
    Open,
    /// The client said that it sends nothing more (RFC 8446 §6.1).
    Closed,
}

/// See the head of this file.
///
/// `handshake_step` is called until it is done, then `receive`; `encrypt` and `close` come after
/// that too. What is to be sent is appended to `out` and goes out in order.
pub struct TlsPump {
    connection: UnbufferedServerConnection,
    /// Gone when the handshake is done.
    handshake: Option<Box<Going>>,
    /// Ciphertext that is no whole record yet, and before the end of the handshake whatever came.
    held: Vec<u8>,
    /// Plaintext that came with the end of the handshake.
    ahead: Vec<u8>,
    received: Received,
    /// It is not to be used any more.
    failed: bool,
}

#[derive(Debug)]
struct Going {
    tls: ServerTls,
    witness: Arc<Witness>,
}

impl TlsPump {
    /// A connection whose client is to send its hello.
    ///
    /// # Errors
    /// None is known; the library might refuse its own settings.
    pub fn new(tls: &ServerTls) -> Result<Self, TlsFailure> {
        let witness = Arc::new(Witness::new(Arc::clone(tls.certificates())));
        let connection = UnbufferedServerConnection::new(tls.config(&witness))?;
        Ok(Self {
            connection,
            handshake: Some(Box::new(Going { tls: tls.clone(), witness })),
            held: Vec::new(),
            ahead: Vec::new(),
            received: Received::Open,
            failed: false,
        })
    }

    /// Whether the handshake is not done.
    pub const fn is_handshaking(&self) -> bool {
        self.handshake.is_some()
    }

    /// Keeps what the client sent for the next [`handshake_step`](Self::handshake_step).
    ///
    /// # Errors
    /// If that is more than any handshake needs.
    pub fn hold(&mut self, input: &[u8]) -> Result<(), TlsFailure> {
        if self.held.len() + input.len() > TLS_HANDSHAKE_BYTES_MAX {
            return Err(TlsFailure::TooMuch);
        }
        self.held.extend_from_slice(input);
        Ok(())
    }

    /// Goes on with the handshake as far as what was held goes. This is where the costly
    /// operations with public keys are done: at most one signature, one key exchange, and the
    /// verification of one client.
    ///
    /// When it is done, call [`receive`](Self::receive) with no input for what came after it.
    ///
    /// # Errors
    /// Why it failed.
    pub fn handshake_step(&mut self, out: &mut Vec<u8>) -> Result<Handshake, TlsFailure> {
        let mut held = mem::take(&mut self.held);
        let mut ahead = Vec::new();
        let result = self.process(&mut held, out, &mut |plain| ahead.extend_from_slice(plain));
        self.ahead = ahead;
        self.keep(held, result.as_ref().copied().unwrap_or_default());
        result?;
        if self.connection.is_handshaking() {
            return Ok(Handshake::Going);
        }
        match self.handshake.take() {
            Some(going) => Ok(Handshake::Done(self.handshaken(&going))),
            None => Ok(Handshake::Going),
        }
    }

    /// Decrypts `input` in place and hands the plaintext to `take`, a record at a time.
    ///
    /// # Errors
    /// Why the connection cannot go on; what came before in good order was handed out.
    pub fn receive(
        &mut self,
        input: &mut [u8],
        out: &mut Vec<u8>,
        take: &mut dyn FnMut(&[u8]),
    ) -> Result<Received, TlsFailure> {
        if !self.ahead.is_empty() {
            take(&mem::take(&mut self.ahead));
        }
        self.receive_all(input, out, take)?;
        Ok(self.received)
    }

    fn receive_all(
        &mut self,
        mut input: &mut [u8],
        out: &mut Vec<u8>,
        take: &mut dyn FnMut(&[u8]),
    ) -> Result<(), TlsFailure> {
        // A record that was cut is completed with no more than it lacks, so that those behind it
        // are decrypted where they are.
        while !self.held.is_empty() {
            let lacking = lacking(&self.held).min(input.len());
            let (part, rest) = mem::take(&mut input).split_at_mut(lacking);
            self.held.extend_from_slice(part);
            input = rest;
            let before = self.held.len();
            let mut held = mem::take(&mut self.held);
            let result = self.process(&mut held, out, take);
            self.keep(held, result.as_ref().copied().unwrap_or_default());
            result?;
            if self.held.len() > TLS_HANDSHAKE_BYTES_MAX {
                return Err(TlsFailure::TooMuch);
            }
            if input.is_empty() {
                return Ok(());
            }
            if self.held.len() == before && lacking == 0 {
                // A message of several records, which rustls wants to see together.
                self.held.extend_from_slice(input);
                input = &mut [];
            }
        }
        let used = self.process(input, out, take)?;
        self.held.extend_from_slice(input.get(used..).unwrap_or_default());
        Ok(())
    }

    /// Encrypts `plaintext` onto `out`.
    ///
    /// # Errors
    /// Only if the keys are worn out, after more bytes than anybody sends.
    ///
    /// # Panics
    /// If the handshake is not done.
    pub fn encrypt(&mut self, plaintext: &[u8], out: &mut Vec<u8>) -> Result<(), TlsFailure> {
        self.write(out, |writer, out| {
            let records = plaintext.len().div_ceil(TLS_PLAINTEXT_BYTES_MAX);
            let space = plaintext.len() + records * TLS_RECORD_OVERHEAD_BYTES;
            append(out, space, |space| match writer.encrypt(plaintext, space) {
                Ok(count) => Ok(count),
                Err(EncryptError::InsufficientSize(error)) => Err(Some(error.required_size)),
                Err(EncryptError::EncryptExhausted) => Err(None),
            })
        })
    }

    /// Tells the client that nothing more will be sent (RFC 8446 §6.1).
    pub fn close(&mut self, out: &mut Vec<u8>) {
        if self.is_handshaking() || self.failed {
            return;
        }
        // The connection ends either way.
        let _ = self.write(out, |writer, out| {
            append(out, 64, |space| match writer.queue_close_notify(space) {
                Ok(count) => Ok(count),
                Err(EncryptError::InsufficientSize(error)) => Err(Some(error.required_size)),
                Err(EncryptError::EncryptExhausted) => Err(None),
            })
        });
    }

    /// Calls `write` when the connection is ready for it, after what it has to say itself.
    fn write(
        &mut self,
        out: &mut Vec<u8>,
        write: impl FnOnce(
            &mut rustls::unbuffered::WriteTraffic<'_, rustls::server::ServerConnectionData>,
            &mut Vec<u8>,
        ) -> bool,
    ) -> Result<(), TlsFailure> {
        if self.failed {
            return Err(rustls::Error::EncryptError.into());
        }
        loop {
            // Nothing in there makes a whole record, so that nothing is decrypted here.
            let UnbufferedStatus { state, .. } =
                self.connection.process_tls_records(&mut self.held);
            match state? {
                ConnectionState::EncodeTlsData(mut data) => encode(&mut data, out),
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::PeerClosed => self.received = Received::Closed,
                ConnectionState::WriteTraffic(mut writer) => {
                    let written = write(&mut writer, out);
                    return if written { Ok(()) } else { Err(rustls::Error::EncryptError.into()) };
                }
                _ => return Err(rustls::Error::HandshakeNotComplete.into()),
            }
        }
    }

    /// Lets rustls look at `buffer` until it wants more; returns how much of it is done with.
    fn process(
        &mut self,
        buffer: &mut [u8],
        out: &mut Vec<u8>,
        take: &mut dyn FnMut(&[u8]),
    ) -> Result<usize, TlsFailure> {
        let mut used = 0;
        loop {
            let rest = buffer.get_mut(used..).unwrap_or_default();
            let UnbufferedStatus { mut discard, state } = self.connection.process_tls_records(rest);
            let mut over = false;
            let state = match state {
                Ok(state) => state,
                Err(error) => {
                    self.alert(out);
                    return Err(error.into());
                }
            };
            match state {
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        discard += record.discard;
                        take(record.payload);
                    }
                }
                ConnectionState::EncodeTlsData(mut data) => encode(&mut data, out),
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::PeerClosed => self.received = Received::Closed,
                ConnectionState::ReadEarlyData(_) => return Err(TlsFailure::EarlyData),
                // Those that are left: it wants more, or is over.
                _ => over = true,
            }
            used += discard;
            if over {
                return Ok(used.min(buffer.len()));
            }
        }
    }

    /// Keeps what is left of `held` behind the first `used` bytes.
    fn keep(&mut self, mut held: Vec<u8>, used: usize) {
        held.drain(..used.min(held.len()));
        // An idle connection keeps no memory for what it may receive.
        self.held = if held.is_empty() { Vec::new() } else { held };
    }

    /// Writes the alert that rustls has made of a failure.
    fn alert(&mut self, out: &mut Vec<u8>) {
        self.failed = true;
        // While it has something to send it looks at no input, and after a failure it must not.
        while self.connection.wants_write() {
            match self.connection.process_tls_records(&mut []).state {
                Ok(ConnectionState::EncodeTlsData(mut data)) => encode(&mut data, out),
                Ok(_) | Err(_) => return,
            }
        }
    }

    fn handshaken(&self, going: &Going) -> Handshaken {
        let chain = self.connection.peer_certificates().unwrap_or_default();
        let client_names = match going.tls.clients() {
            Some(strict) => clients::names(&**strict, chain),
            None => Box::default(),
        };
        let suite = self.connection.negotiated_cipher_suite();
        let facts = TlsFacts {
            version: match self.connection.protocol_version() {
                Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
                Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
                _ => "TLS",
            },
            cipher_suite: suite.map_or("unknown", |suite| suite_name(suite.suite())),
            exporter: going.witness.exporter(),
            server_end_point: going.witness.end_point(),
            client_names,
        };
        let resumed = self.connection.handshake_kind() == Some(HandshakeKind::Resumed);
        Handshaken { facts, resumed }
    }
}

impl fmt::Debug for TlsPump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsPump")
            .field("handshaking", &self.is_handshaking())
            .field("held", &self.held.len())
            .field("received", &self.received)
            .finish_non_exhaustive()
    }
}

/// What is missing at the end of `held` to make its first record whole, or at least its header.
fn lacking(held: &[u8]) -> usize {
    let Some(&[_, _, _, high, low]) = held.first_chunk::<RECORD_HEADER_BYTES>() else {
        return RECORD_HEADER_BYTES - held.len();
    };
    let length = RECORD_HEADER_BYTES + usize::from(u16::from_be_bytes([high, low]));
    // A longer one is refused for its header.
    length.min(TLS_RECORD_BYTES_MAX).saturating_sub(held.len())
}

/// Appends up to `space` bytes that `write` makes; it says how many, or how many it needs, or that
/// it cannot.
fn append(
    out: &mut Vec<u8>,
    space: usize,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, Option<usize>>,
) -> bool {
    let start = out.len();
    let mut space = space;
    for _ in 0..2 {
        out.resize(start + space, 0);
        match write(out.get_mut(start..).unwrap_or_default()) {
            Ok(count) => {
                out.truncate(start + count);
                return true;
            }
            Err(Some(needed)) => space = needed,
            Err(None) => break,
        }
    }
    out.truncate(start);
    false
}

/// Appends what rustls has ready for the client.
fn encode<Data>(data: &mut rustls::unbuffered::EncodeTlsData<'_, Data>, out: &mut Vec<u8>) {
    let written = append(out, 1_024, |space| match data.encode(space) {
        Ok(count) => Ok(count),
        Err(EncodeError::InsufficientSize(error)) => Err(Some(error.required_size)),
        Err(EncodeError::AlreadyEncoded) => Err(None),
    });
    debug_assert!(written, "rustls asked for a size and refused it");
}

/// The name in IANA's list; that of rustls differs for TLS 1.3.
fn suite_name(suite: CipherSuite) -> &'static str {
    match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        other => other.as_str().unwrap_or("unknown"),
    }
}
