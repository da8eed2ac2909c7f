use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use ringpost::proto::server::TlsOffer;

use crate::client::{Client, config};
use crate::shard::{Certificate, Running, plain};

const STARTTLS: TlsOffer = TlsOffer::StartTls { required: false };

#[test]
fn a_message_comes_in_over_implicit_tls() {
    let certificate = Certificate::new();
    let shard = Running::start(vec![certificate.listener(TlsOffer::Implicit)]);
    let mut client = Client::connect(shard.addresses[0]);
    client.begin_tls(&certificate.root);
    client.expect("220 mx.example");
    client.say("EHLO client.example", "250");
    // Content of many records and receive buffers.
    client.deliver(&format!("\r\n{}", "0123456789abcdef\r\n".repeat(100_000)));
    client.deliver("Subject: two\r\n\r\nshort\r\n");
    client.say("QUIT", "221");
    client.expect_end();
    shard.wait_for("both messages", |it| it.messages_received == 2 && it.tls_handshakes == 1);
}

#[test]
fn starttls_begins_the_session_anew() {
    let certificate = Certificate::new();
    let shard = Running::start(vec![certificate.listener(STARTTLS)]);
    let mut client = Client::connect(shard.addresses[0]);
    client.expect("220");
    client.say("EHLO client.example", "250");
    client.say("MAIL FROM:<a@example.com>", "250");
    client.say("STARTTLS", "220");
    client.begin_tls(&certificate.root);
    // What was said before is forgotten (RFC 3207 §4.2).
    client.say("RCPT TO:<b@example.net>", "503");
    client.say("MAIL FROM:<a@example.com>", "503");
    client.say("EHLO client.example", "250");
    client.say("STARTTLS", "503");
    client.deliver("Subject: one\r\n\r\ntext\r\n");
    client.say("QUIT", "221");
    client.expect_end();
    shard.wait_for("the message", |it| it.messages_received == 1);
}

#[test]
fn what_is_injected_behind_starttls_is_never_obeyed() {
    let certificate = Certificate::new();
    let shard = Running::start(vec![certificate.listener(STARTTLS)]);
    let mut client = Client::connect(shard.addresses[0]);
    client.expect("220");
    client.say("EHLO client.example", "250");
    // In the same packet: dropped.
    client.send("STARTTLS\r\nEHLO evil.example\r\nMAIL FROM:<evil@example.com>\r\n");
    client.expect("220");
    client.begin_tls(&certificate.root);
    client.say("NOOP", "250");
    client.say("MAIL FROM:<a@example.com>", "503");
    // In a later one: no record of TLS, so that the handshake fails.
    let mut client = Client::connect(shard.addresses[0]);
    client.expect("220");
    client.say("EHLO client.example", "250");
    client.say("STARTTLS", "220");
    client.send("NOOP\r\n");
    let mut rest = Vec::new();
    client.socket().read_to_end(&mut rest).unwrap();
    assert_eq!(rest.first(), Some(&21), "an alert: {rest:?}");
    shard.wait_for("one failure", |it| it.tls_handshakes == 1 && it.tls_handshakes_failed == 1);
}

#[test]
fn a_failed_handshake_ends_one_connection() {
    let certificate = Certificate::new();
    let shard = Running::start(vec![certificate.listener(TlsOffer::Implicit)]);
    let mut good = Client::connect(shard.addresses[0]);
    good.begin_tls(&certificate.root);
    good.expect("220");
    let stranger = Certificate::new();
    for number in 1..=20 {
        let mut bad = Client::connect(shard.addresses[0]);
        if number % 2 == 0 {
            bad.send(vec![u8::try_from(number).unwrap(); 100]);
            let mut rest = Vec::new();
            bad.socket().read_to_end(&mut rest).unwrap();
        } else {
            // It does not believe the certificate, and says so.
            bad.begin_tls(&stranger.root);
            let refused = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| bad.reply()));
            assert!(refused.is_err());
        }
    }
    shard.wait_for("twenty failures", |it| it.tls_handshakes_failed == 20);
    good.say("EHLO client.example", "250");
    good.deliver("Subject: one\r\n\r\ntext\r\n");
}

#[test]
fn a_session_is_resumed_after_a_reload() {
    let certificate = Certificate::new();
    let listener = certificate.listener(TlsOffer::Implicit);
    let shard = Running::start(vec![listener.clone()]);
    let config = config(&certificate.root);
    for round in 0..2 {
        let mut client = Client::connect(shard.addresses[0]);
        client.begin_tls_as(&config);
        client.expect("220");
        client.say("QUIT", "221");
        client.expect_end();
        let resumed = client.tls().handshake_kind() == Some(rustls::HandshakeKind::Resumed);
        assert_eq!(resumed, round == 1);
        shard.reload(vec![listener.clone()], 10_000);
    }
    shard.wait_for("both", |it| it.tls_handshakes == 2 && it.tls_handshakes_resumed == 1);
}

#[test]
fn a_reload_changes_the_certificate_and_drops_no_connection() {
    let (old, new) = (Certificate::new(), Certificate::new());
    let shard = Running::start(vec![old.listener(TlsOffer::Implicit)]);
    let mut before = Client::connect(shard.addresses[0]);
    before.begin_tls(&old.root);
    before.expect("220");
    // It connects under the old settings, and its handshake comes under the new.
    let mut between = Client::connect(shard.addresses[0]);
    shard.wait_for("both connections", |it| it.connections_in == 2);
    shard.reload(vec![new.listener(TlsOffer::Implicit)], 10_000);
    // Nothing tells when the reload was taken but what a new connection sees.
    let shows_new = || {
        let mut client = Client::connect(shard.addresses[0]);
        client.begin_tls(&new.root);
        let seen = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| client.reply()));
        seen.is_ok()
    };
    let tries = (0..100).take_while(|_| !shows_new()).count();
    assert!(tries < 100, "the new certificate was never shown");
    before.say("EHLO client.example", "250");
    before.deliver("Subject: one\r\n\r\ntext\r\n");
    between.begin_tls(&old.root);
    between.expect("220");
}

#[test]
fn a_client_that_only_half_closes_is_answered() {
    let certificate = Certificate::new();
    let shard = Running::start(vec![certificate.listener(TlsOffer::Implicit)]);
    let mut client = Client::connect(shard.addresses[0]);
    client.begin_tls(&certificate.root);
    client.expect("220");
    client.send("EHLO client.example\r\nNOOP\r\n");
    client.socket().shutdown(std::net::Shutdown::Write).unwrap();
    client.expect("250");
    client.expect("250");
    client.expect_end();
}

#[test]
fn openssl_agrees() {
    let certificate = Certificate::new();
    let listeners = vec![certificate.listener(TlsOffer::Implicit), certificate.listener(STARTTLS)];
    let shard = Running::start(listeners);
    for version in ["-tls1_2", "-tls1_3"] {
        let implicit = openssl(shard.addresses[0], &certificate.root_path(), &[version]);
        assert!(implicit.contains("Verify return code: 0 (ok)"), "{implicit}");
        assert!(implicit.contains("221 2.0.0"), "{implicit}");
        let starttls = [version, "-starttls", "smtp"];
        let started = openssl(shard.addresses[1], &certificate.root_path(), &starttls);
        assert!(started.contains("Verify return code: 0 (ok)"), "{started}");
        assert!(started.contains("221 2.0.0"), "{started}");
    }
    for version in ["-tls1", "-tls1_1"] {
        let refused = openssl(shard.addresses[0], &certificate.root_path(), &[version]);
        assert!(!refused.contains("220 "), "{refused}");
    }
}

/// What `openssl s_client` prints of a session that only says goodbye.
fn openssl(address: SocketAddr, root: &Path, arguments: &[&str]) -> String {
    let mut child = Command::new("openssl")
        .args(["s_client", "-connect", &address.to_string(), "-servername", "mx.example"])
        .args(["-verify_hostname", "mx.example", "-crlf", "-ign_eof", "-CAfile"])
        .arg(root)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // A program that failed reads nothing.
    let _ = child.stdin.as_mut().unwrap().write_all(b"EHLO client.example\nQUIT\n");
    String::from_utf8_lossy(&child.wait_with_output().unwrap().stdout).into_owned()
}

#[test]
fn without_tls_nothing_is_different() {
    let shard = Running::start(vec![plain()]);
    let mut client = Client::connect(shard.addresses[0]);
    client.expect("220");
    client.say("EHLO client.example", "250");
    client.say("STARTTLS", "502");
    client.deliver("Subject: one\r\n\r\ntext\r\n");
}

#[test]
fn a_storm_of_handshakes_lets_other_sessions_go_on() {
    const CLIENTS: usize = 150;
    let certificate = Certificate::new();
    let shard = Running::start(vec![certificate.listener(TlsOffer::Implicit), plain()]);
    let mut calm = Client::connect(shard.addresses[1]);
    calm.expect("220");
    calm.say("EHLO client.example", "250");
    let config = config(&certificate.root);
    let mut storm: Vec<Client> = (0..CLIENTS)
        .map(|_| {
            let mut client = Client::connect(shard.addresses[0]);
            client.begin_tls_as(&config);
            client.send_hello();
            client
        })
        .collect();
    calm.deliver("Subject: one\r\n\r\ntext\r\n");
    for client in &mut storm {
        client.expect("220");
    }
    calm.say("QUIT", "221");
    shard
        .wait_for("all", |it| it.tls_handshakes == CLIENTS as u64 && it.tls_handshakes_failed == 0);
}
