use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ringpost::credentials::{Credential, User, Users, make_argon2id};
use ringpost::network::Network;
use ringpost::proto::server::AuthOffer;
use ringpost::shard::Shared;
use ringpost::throttle::ThrottleLimits;

use crate::client::Client;
use crate::shard::{Running, plain};

#[test]
fn a_listener_that_is_full_says_so() {
    let mut listener = plain();
    listener.connections_max = 2;
    let shard = Running::start(vec![listener]);
    let mut kept: Vec<Client> = (0..2).map(|_| Client::connect(shard.addresses[0])).collect();
    for client in &mut kept {
        client.expect("220");
    }
    let mut refused = Client::connect(shard.addresses[0]);
    assert_eq!(refused.reply(), "421 Too many connections to this port: try again later");
    refused.expect_end();
    drop(refused);
    kept.pop().unwrap().say("QUIT", "221");
    shard.wait_for("a free place", |it| it.connections_in == 1 && it.connections_refused == 1);
    Client::connect(shard.addresses[0]).expect("220");
}

#[test]
fn the_process_has_a_bound_over_all_shards() {
    let shared = Shared::default();
    let start = |shared: &Shared| {
        let shared = shared.clone();
        Running::start_with(vec![plain()], move |settings| {
            settings.shared = shared;
            settings.connections_max = 1;
        })
    };
    let (one, two) = (start(&shared), start(&shared));
    let mut first = Client::connect(one.addresses[0]);
    first.expect("220");
    let mut second = Client::connect(two.addresses[0]);
    assert_eq!(second.reply(), "421 Too many connections to this server: try again later");
    two.wait_for("the refusal", |it| it.connections_refused_process == 1);
    // A reload makes room.
    two.reload(vec![plain()], 2);
    let gets_in = || Client::connect(two.addresses[0]).reply().starts_with("220");
    assert!((0..1_000).any(|_| gets_in()), "the new bound was never taken");
    first.say("QUIT", "221");
}

#[test]
fn an_address_has_a_bound_and_gets_its_places_back() {
    let mut listener = plain();
    listener.policy.throttle_limits =
        ThrottleLimits { connections_per_address_max: 1, ..ThrottleLimits::default() };
    listener.policy.access.xclient_from =
        vec![Network::new("127.0.0.0".parse().unwrap(), 8).unwrap()];
    let shard = Running::start(vec![listener]);
    let mut first = Client::connect(shard.addresses[0]);
    first.expect("220");
    let mut second = Client::connect(shard.addresses[0]);
    assert!(second.reply().starts_with("421 Too many connections from your address"));
    shard.wait_for("the refusal", |it| it.connections_refused_address == 1);
    // The connection counts for whom it speaks.
    first.say("EHLO proxy.example", "250");
    first.say("XCLIENT ADDR=192.0.2.7 NAME=client.example", "220");
    let mut third = Client::connect(shard.addresses[0]);
    third.expect("220");
    third.say("EHLO proxy.example", "250");
    third.say("XCLIENT ADDR=192.0.2.7 NAME=client.example", "421");
    drop((first, third));
    shard.wait_for("all gone", |it| it.connections_in == 0);
    Client::connect(shard.addresses[0]).expect("220");
}

#[test]
fn short_memory_lets_nothing_new_begin() {
    let is_short = Arc::new(AtomicBool::new(false));
    let shared = Shared::new(Arc::clone(&is_short));
    let shard = Running::start_with(vec![plain()], move |settings| settings.shared = shared);
    let mut client = Client::connect(shard.addresses[0]);
    client.expect("220");
    client.say("EHLO client.example", "250");
    client.say("MAIL FROM:<a@example.com>", "250");
    client.say("RCPT TO:<b@example.net>", "250");
    is_short.store(true, Ordering::Relaxed);
    // What runs ends.
    client.say("DATA", "354");
    client.say("Subject: one\r\n\r\ntext\r\n.", "250");
    client.say("MAIL FROM:<a@example.com>", "452");
    is_short.store(false, Ordering::Relaxed);
    client.say("MAIL FROM:<a@example.com>", "250");
}

#[test]
fn passwords_are_checked_beside_the_sessions() {
    let mut listener = plain();
    listener.policy.auth = AuthOffer::Optional { without_tls: true };
    let credential = Credential::parse(&make_argon2id("secret", [7; 16]).unwrap()).unwrap();
    listener.policy.users = Arc::new(Users::new([User {
        name: "app".into(),
        credential: Arc::new(credential),
        senders: vec!["*".parse().unwrap()],
    }]));
    let shard = Running::start(vec![listener]);
    let plain = |password: &str| STANDARD.encode(format!("\0app\0{password}"));
    let mut asking: Vec<Client> = (0..8).map(|_| Client::connect(shard.addresses[0])).collect();
    for client in &mut asking {
        client.expect("220");
        client.say("EHLO client.example", "250");
        client.send(format!("AUTH PLAIN {}\r\n", plain("secret")));
    }
    // It goes while its check runs or waits, and nobody misses it.
    drop(asking.pop());
    for client in &mut asking {
        client.expect("235");
        client.deliver("Subject: one\r\n\r\ntext\r\n");
    }
    let mut guessing = Client::connect(shard.addresses[0]);
    guessing.expect("220");
    guessing.say("EHLO client.example", "250");
    guessing.say(&format!("AUTH PLAIN {}", plain("guess")), "535");
    shard.wait_for("counts", |it| it.auth_succeeded >= 7 && it.auth_failed >= 1);
    // The shard ends in good order though a check runs, which asserts itself when it is dropped.
    let mut last = Client::connect(shard.addresses[0]);
    last.expect("220");
    last.say("EHLO client.example", "250");
    last.send(format!("AUTH PLAIN {}\r\n", plain("secret")));
}
