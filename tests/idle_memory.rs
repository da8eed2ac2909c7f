//! What a connection costs in memory while nothing happens on it, and while a message comes in.
//!
//! Run it with `--nocapture` to see the figures.

#![cfg(feature = "runtime")]
#![allow(clippy::unwrap_used, reason = "all of it is test code")]

use std::net::{IpAddr, Ipv6Addr};
use std::rc::Rc;

use allocation_counter::measure;
use rcgen::KeyPair;
use ringpost::clock::{Now, WallTime};
use ringpost::io::memory::MemorySource;
use ringpost::io::tls::{Handshake, TlsPump};
use ringpost::proto::server::{
    Conditions, Event, Peer, ServerLimits, ServerPolicy, ServerSession, Storage,
};
use rustls::{ClientConnection, SupportedProtocolVersion};

#[path = "../benches/common/tls_server.rs"]
mod tls_server;

use tls_server::Server;

/// What an idle connection may take besides what lies in the shard's tables.
const PLAIN_BYTES_MAX: u64 = 1_024;
const TLS_BYTES_MAX: u64 = 8_192;

/// Connections that are measured together.
const COUNT: u64 = 1_000;

const CONDITIONS: Conditions = Conditions {
    now: Now::from_us(1_000_000),
    wall: WallTime::from_unix_ms(1_795_492_893_000),
    storage: Storage::Ready,
    memory_is_short: false,
    draining: false,
};

/// Says `lines` to a session, and throws the replies away.
fn say(session: &mut ServerSession, lines: &[u8]) {
    let mut rest = lines;
    loop {
        let step = session.advance(&CONDITIONS, rest);
        rest = &rest[step.consumed..];
        session.transmit(&mut Vec::new());
        if step.event == Event::NeedInput {
            return;
        }
    }
}

/// Bytes that `make` leaves allocated.
fn kept_bytes<T>(make: impl FnOnce() -> T) -> (u64, T) {
    let mut made = None;
    let info = measure(|| made = Some(make()));
    (u64::try_from(info.bytes_current).unwrap(), made.unwrap())
}

#[test]
fn a_plain_connection_keeps_little() {
    let policy = ServerPolicy::plain("mx.example.net", ServerLimits::default());
    let policy = Rc::new(policy);
    let peer = Peer { address: IpAddr::V6(Ipv6Addr::LOCALHOST), port: 50_000 };
    let (idle, mut session) = kept_bytes(|| {
        let mut session = ServerSession::new(Rc::clone(&policy), peer, 1, &CONDITIONS);
        say(&mut session, b"EHLO client.example\r\n");
        session
    });
    let (content, ()) = kept_bytes(|| {
        say(&mut session, b"MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n");
        say(&mut session, &b"A line of a message, one of many.\r\n".repeat(1_000));
    });
    println!("idle session: {} + {idle} bytes; in DATA: {content} more", size_of_val(&session));
    assert!(idle <= PLAIN_BYTES_MAX);
    assert!(content <= 2 * PLAIN_BYTES_MAX);
}

#[test]
fn a_connection_under_tls_keeps_little_more() {
    let server = Server::new(&KeyPair::generate().unwrap());
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        // Once for what the library makes only once.
        drop(handshake(&server, version));
        let (idle, _connection) = kept_bytes(|| handshake(&server, version));
        // What the cryptography allocates by itself shows only in what the process has.
        let before = resident_bytes();
        let many: Vec<_> = (0..COUNT).map(|_| handshake(&server, version)).collect();
        let resident = resident_bytes().saturating_sub(before) / COUNT;
        drop(many);
        println!("idle under {version:?}: {idle} bytes in Rust, {resident} of the process");
        assert!(idle <= TLS_BYTES_MAX, "{version:?}: {idle}");
        assert!(resident <= 2 * TLS_BYTES_MAX, "{version:?}: {resident}");
    }
}

fn resident_bytes() -> u64 {
    MemorySource::host().resident_bytes().unwrap()
}

/// The server's side of a connection whose handshake is done.
fn handshake(server: &Server, version: &'static SupportedProtocolVersion) -> Box<TlsPump> {
    let name = "mx.example".try_into().unwrap();
    let mut client = ClientConnection::new(server.client(version), name).unwrap();
    let mut pump = Box::new(TlsPump::new(&server.tls).unwrap());
    loop {
        let mut sent = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut sent).unwrap();
        }
        let mut out = Vec::new();
        pump.hold(&sent).unwrap();
        let step = pump.handshake_step(&mut out).unwrap();
        let mut wire = &out[..];
        while !wire.is_empty() {
            client.read_tls(&mut wire).unwrap();
            client.process_new_packets().unwrap();
        }
        if let Handshake::Done(_) = step {
            return pump;
        }
    }
}
