use std::time::Duration;

use ringpost::network::Network;
use ringpost::proto::server::TlsOffer;
use ringpost::shard::ListenerReload;

use crate::client::Client;
use crate::shard::{Certificate, Running, plain};

fn behind_proxy(mut listener: ListenerReload) -> ListenerReload {
    listener.proxy_from = vec![Network::new("127.0.0.0".parse().unwrap(), 8).unwrap()];
    // Who the client is shows in whether it may relay.
    listener.policy.access.relay_from =
        vec![Network::new("192.0.2.0".parse().unwrap(), 24).unwrap()];
    listener
}

fn may_relay(client: &mut Client) -> bool {
    client.say("EHLO client.example", "250");
    client.say("MAIL FROM:<a@example.com>", "250");
    client.send("RCPT TO:<b@example.net>\r\n");
    client.reply().starts_with("250")
}

#[test]
fn a_proxy_speaks_for_its_client() {
    let shard = Running::start(vec![behind_proxy(plain())]);
    let v2 = [
        &b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c"[..],
        &[192, 0, 2, 7, 127, 0, 0, 1, 0x12, 0x67, 0, 25],
    ]
    .concat();
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";
    let cases: [(&[u8], bool); 5] = [
        (b"PROXY TCP4 192.0.2.7 127.0.0.1 4711 25\r\n", true),
        (b"PROXY TCP4 198.51.100.7 127.0.0.1 4711 25\r\n", false),
        (b"PROXY UNKNOWN\r\n", false),
        (&v2, true),
        (local, false),
    ];
    for (header, relays) in cases {
        let mut client = Client::connect(shard.addresses[0]);
        client.send(header);
        client.expect("220");
        assert_eq!(may_relay(&mut client), relays, "{}", header.escape_ascii());
        // The header in pieces, and commands in its last packet.
        let mut client = Client::connect(shard.addresses[0]);
        let (last, first) = header.split_last().unwrap();
        for byte in first {
            client.send([*byte]);
        }
        client.send([&[*last][..], b"NOOP\r\n"].concat());
        client.expect("220");
        client.expect("250");
    }
}

#[test]
fn nothing_else_is_taken_from_a_proxy() {
    let shard = Running::start(vec![behind_proxy(plain())]);
    for bad in ["EHLO client.example\r\n", "PROXY TCP4 nonsense\r\n", "PROXY UNKNOWN\nEHLO a\r\n"] {
        let mut client = Client::connect(shard.addresses[0]);
        client.send(bad);
        // Closed without a word.
        client.expect_end();
    }
    shard.wait_for("three refusals", |it| it.proxy_headers_refused == 3 && it.connections_in == 0);
}

#[test]
fn a_proxy_that_sends_no_header_is_not_waited_for() {
    let mut listener = behind_proxy(plain());
    listener.policy.limits.idle_time = Duration::from_millis(200);
    let shard = Running::start(vec![listener]);
    let mut slow = Client::connect(shard.addresses[0]);
    slow.send("PROXY TCP4 ");
    slow.expect_end();
    shard.wait_for("the refusal", |it| it.proxy_headers_refused == 1 && it.connections_in == 0);
}

#[test]
fn a_header_comes_before_tls() {
    let certificate = Certificate::new();
    let shard = Running::start(vec![behind_proxy(certificate.listener(TlsOffer::Implicit))]);
    let mut client = Client::connect(shard.addresses[0]);
    client.send("PROXY TCP4 192.0.2.7 127.0.0.1 4711 465\r\n");
    client.begin_tls(&certificate.root);
    client.expect("220");
    assert!(may_relay(&mut client));
}

#[test]
fn a_header_of_a_stranger_is_no_command() {
    let mut listener = plain();
    listener.proxy_from = vec![Network::new("192.0.2.0".parse().unwrap(), 24).unwrap()];
    let shard = Running::start(vec![listener]);
    let mut client = Client::connect(shard.addresses[0]);
    client.expect("220");
    client.say("PROXY TCP4 192.0.2.7 127.0.0.1 4711 25", "500");
}
