use std::io::{Read, Write};

use proptest::prelude::*;
use rustls::version::{TLS12, TLS13};

use super::*;

/// Bytes that show where they come from.
fn content(length: usize) -> Vec<u8> {
    (0..=250).cycle().take(length).collect()
}

#[test]
fn every_cut_of_the_records_gives_the_same_bytes() {
    let authority = Authority::new();
    let server = load(&authority.files(&["mx.example"]));
    let sent = content(40_000);
    for version in [&TLS13, &TLS12] {
        let client = Arc::new(authority.client(&[version]));
        for cut in [1, 2, 5, 6, 21, 100, 1_000, 16_384, 16_405, 20_000, usize::MAX] {
            let mut pair = Pair::new(&client, "mx.example", &server, cut);
            pair.run().unwrap();
            assert!(!pair.server.is_handshaking());
            for part in [&sent[..10], &sent[10..30_000], &sent[30_000..]] {
                pair.client.writer().write_all(part).unwrap();
                pair.run().unwrap();
            }
            assert_eq!(pair.taken, sent, "{version:?} cut at {cut}");
        }
    }
}

#[test]
fn what_comes_with_the_end_of_the_handshake_is_not_lost() {
    let authority = Authority::new();
    let server = load(&authority.files(&["mx.example"]));
    for version in [&TLS13, &TLS12] {
        let client = Arc::new(authority.client(&[version]));
        for cut in [1, 50, usize::MAX] {
            let mut pair = Pair::new(&client, "mx.example", &server, cut);
            pair.client.writer().write_all(b"EHLO client.example\r\n").unwrap();
            pair.run().unwrap();
            assert_eq!(pair.taken, b"EHLO client.example\r\n");
        }
    }
}

#[test]
fn replies_reach_the_client_in_order() {
    let authority = Authority::new();
    let server = load(&authority.files(&["mx.example"]));
    let client = Arc::new(authority.client(&[&TLS13]));
    let mut pair = Pair::new(&client, "mx.example", &server, usize::MAX);
    pair.run().unwrap();
    let replies = content(70_000);
    let mut out = Vec::new();
    pair.server.encrypt(b"220 first\r\n", &mut out).unwrap();
    pair.server.encrypt(&replies, &mut out).unwrap();
    let mut read = Vec::new();
    let mut wire = &out[..];
    while !wire.is_empty() {
        pair.client.read_tls(&mut wire).unwrap();
        pair.client.process_new_packets().unwrap();
        let mut buffer = [0; 16_384];
        while let Ok(count) = pair.client.reader().read(&mut buffer) {
            read.extend_from_slice(&buffer[..count]);
        }
    }
    assert_eq!(read, [&b"220 first\r\n"[..], &replies].concat());
}

#[test]
fn both_ends_say_that_they_close() {
    let authority = Authority::new();
    let server = load(&authority.files(&["mx.example"]));
    let client = Arc::new(authority.client(&[&TLS13]));
    let mut pair = Pair::new(&client, "mx.example", &server, 7);
    pair.run().unwrap();
    pair.client.writer().write_all(b"QUIT\r\n").unwrap();
    pair.client.send_close_notify();
    let mut sent = Vec::new();
    while pair.client.wants_write() {
        pair.client.write_tls(&mut sent).unwrap();
    }
    let (mut out, mut taken) = (Vec::new(), Vec::new());
    let received =
        pair.server.receive(&mut sent, &mut out, &mut |bytes| taken.extend_from_slice(bytes));
    assert_eq!(received.unwrap(), Received::Closed);
    assert_eq!(taken, b"QUIT\r\n");
    // It may still answer, and then close its own side.
    pair.server.encrypt(b"221 Goodbye\r\n", &mut out).unwrap();
    pair.server.close(&mut out);
    let mut wire = &out[..];
    pair.client.read_tls(&mut wire).unwrap();
    let state = pair.client.process_new_packets().unwrap();
    assert!(state.peer_has_closed());
    assert_eq!(state.plaintext_bytes_to_read(), b"221 Goodbye\r\n".len());
}

#[test]
fn a_forged_record_ends_the_connection_with_an_alert() {
    let authority = Authority::new();
    let server = load(&authority.files(&["mx.example"]));
    let client = Arc::new(authority.client(&[&TLS13]));
    let mut pair = Pair::new(&client, "mx.example", &server, usize::MAX);
    pair.run().unwrap();
    pair.client.writer().write_all(b"NOOP\r\n").unwrap();
    pair.client.writer().write_all(b"NOOP\r\n").unwrap();
    let mut sent = Vec::new();
    while pair.client.wants_write() {
        pair.client.write_tls(&mut sent).unwrap();
    }
    *sent.last_mut().unwrap() ^= 1;
    let mut out = Vec::new();
    pair.give(&mut sent, &mut out).unwrap_err();
    assert_eq!(pair.taken, b"NOOP\r\n", "the record before was good");
    let mut wire = &out[..];
    pair.client.read_tls(&mut wire).unwrap();
    let told = pair.client.process_new_packets().unwrap_err();
    assert_eq!(told, rustls::Error::AlertReceived(rustls::AlertDescription::BadRecordMac));
}

proptest! {
    #[test]
    fn no_bytes_of_a_stranger_panic(
        pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..200), 1..8),
        hello in any::<bool>(),
        flip in any::<proptest::sample::Index>(),
    ) {
        thread_local! {
            static SERVER: (Authority, ServerTls) = {
                let authority = Authority::new();
                let server = load(&authority.files(&["mx.example"]));
                (authority, server)
            };
        }
        SERVER.with(|(authority, server)| {
            let mut out = Vec::new();
            let mut pump = TlsPump::new(server).unwrap();
            let mut pieces = pieces;
            if hello {
                // A true hello with one byte changed.
                let client = Arc::new(authority.client(&[&TLS13]));
                let name = "mx.example".try_into().unwrap();
                let mut client = ClientConnection::new(client, name).unwrap();
                let mut sent = Vec::new();
                client.write_tls(&mut sent).unwrap();
                let at = flip.index(sent.len());
                sent[at] = sent[at].wrapping_add(1);
                pieces.insert(0, sent);
            }
            let mut failed = false;
            for piece in &pieces {
                let result = pump.hold(piece).and_then(|()| pump.handshake_step(&mut out));
                assert!(!matches!(result, Ok(Handshake::Done(_))), "a stranger got through");
                if result.is_err() {
                    failed = true;
                    break;
                }
            }
            // Whatever was held is bounded by what is missing of a record or a hello.
            assert!(failed || pump.is_handshaking());
        });
    }
}

#[test]
fn a_handshake_that_never_ends_is_bounded() {
    let authority = Authority::new();
    let server = load(&authority.files(&["mx.example"]));
    let mut pump = TlsPump::new(&server).unwrap();
    let mut out = Vec::new();
    // A hello of 64 KiB that comes in records of one byte each.
    let mut record: Vec<u8> = vec![22, 3, 1, 0, 4, 1, 0, 255, 255];
    let mut sent = 0;
    let failure = loop {
        let step = pump.hold(&record).and_then(|()| pump.handshake_step(&mut out));
        sent += record.len();
        if let Err(failure) = step {
            break failure;
        }
        assert!(sent <= 2 * crate::limits::TLS_HANDSHAKE_BYTES_MAX);
        record = vec![22, 3, 1, 0, 1, 0];
    };
    assert!(matches!(failure, TlsFailure::TooMuch | TlsFailure::Protocol(_)), "{failure}");
}
