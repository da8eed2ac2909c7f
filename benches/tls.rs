//! What TLS costs a shard: the steps of handshakes, which stand between its other sessions and
//! their turn, and content.

#![allow(clippy::unwrap_used, reason = "a bench that cannot begin has nothing to say")]

use std::hint::black_box;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use rcgen::{KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use ringpost::io::tls::{Handshake, ServerTls, TlsPump};
use rustls::{ClientConfig, ClientConnection};

#[path = "common/tls_server.rs"]
mod tls_server;

use tls_server::Server;

/// Runs a handshake; returns both ends, and how long the longest step of the server took and all.
fn handshake(
    server: &ServerTls,
    client: &Arc<ClientConfig>,
) -> (ClientConnection, TlsPump, Duration, Duration) {
    let name = "mx.example".try_into().unwrap();
    let mut client = ClientConnection::new(Arc::clone(client), name).unwrap();
    let began = Instant::now();
    let mut pump = TlsPump::new(server).unwrap();
    let (mut longest, mut all) = (Duration::ZERO, began.elapsed());
    loop {
        let mut sent = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut sent).unwrap();
        }
        let mut out = Vec::new();
        let began = Instant::now();
        pump.hold(&sent).unwrap();
        let step = pump.handshake_step(&mut out).unwrap();
        let took = began.elapsed();
        longest = longest.max(took);
        all += took;
        let mut wire = &out[..];
        while !wire.is_empty() {
            client.read_tls(&mut wire).unwrap();
            client.process_new_packets().unwrap();
        }
        if let Handshake::Done(_) = step {
            return (client, pump, longest, all);
        }
    }
}

fn handshakes(criterion: &mut Criterion) {
    let keys = [
        ("ecdsa p-256", KeyPair::generate().unwrap()),
        ("rsa 2048", KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap()),
        ("rsa 4096", KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_4096).unwrap()),
    ];
    let mut group = criterion.benchmark_group("handshake");
    for (name, key) in &keys {
        let server = Server::new(key);
        for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
            let label = format!("{name}, {:?}", version.version);
            group.bench_function(format!("{label}, longest step"), |bencher| {
                bencher.iter_custom(|count| {
                    let fresh = || handshake(&server.tls, &server.client(version)).2;
                    (0..count).map(|_| fresh()).sum()
                });
            });
            group.bench_function(format!("{label}, whole"), |bencher| {
                bencher.iter_custom(|count| {
                    let fresh = || handshake(&server.tls, &server.client(version)).3;
                    (0..count).map(|_| fresh()).sum()
                });
            });
            let client = server.client(version);
            group.bench_function(format!("{label}, resumed, whole"), |bencher| {
                bencher.iter_custom(|count| {
                    (0..count).map(|_| handshake(&server.tls, &client).3).sum()
                });
            });
        }
    }
    group.finish();
}

fn content(criterion: &mut Criterion) {
    const CONTENT_BYTES: usize = 1 << 20;
    let server = Server::new(&KeyPair::generate().unwrap());
    let client = server.client(&rustls::version::TLS13);
    let mut group = criterion.benchmark_group("content");
    group.throughput(Throughput::Bytes(CONTENT_BYTES as u64));
    // The second cuts every record, as receive buffers do that are as long as records.
    for (name, piece) in [("whole records", 16_384 + 22), ("receive buffers", 16_384)] {
        group.bench_function(name, |bencher| {
            let (mut client, mut pump, ..) = handshake(&server.tls, &client);
            client.set_buffer_limit(None);
            let bytes = vec![b'x'; CONTENT_BYTES];
            bencher.iter_custom(|count| {
                let mut took = Duration::ZERO;
                for _ in 0..count {
                    client.writer().write_all(&bytes).unwrap();
                    let mut sent = Vec::new();
                    while client.wants_write() {
                        client.write_tls(&mut sent).unwrap();
                    }
                    let mut out = Vec::new();
                    let mut taken = 0;
                    let began = Instant::now();
                    for piece in sent.chunks_mut(piece) {
                        let mut take = |plain: &[u8]| taken += black_box(plain).len();
                        pump.receive(piece, &mut out, &mut take).unwrap();
                    }
                    took += began.elapsed();
                    assert_eq!(taken, CONTENT_BYTES);
                }
                took
            });
        });
    }
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    handshakes(&mut criterion);
    content(&mut criterion);
    criterion.final_summary();
}
