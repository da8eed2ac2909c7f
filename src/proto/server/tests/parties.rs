//! Clients, users and proxies for the tests of the session.

use std::net::IpAddr;
use std::sync::Arc;

use crate::clock::{Now, WallTime};
use crate::credentials::{Credential, User, Users};
use crate::ids::MessageId;
use crate::network::Network;
use crate::proto::server::{Conditions, Event, Peer, ServerSession, Storage, Stored, TlsFacts};

/// Alice with an argon2id string and bob with a SCRAM verifier, whose passwords are "password".
/// The string costs as little as one can, because transcripts are replayed many times.
pub(super) fn users(names: &[&str]) -> Users {
    Users::new(names.iter().map(|&name| {
        let (credential, sender) = match name {
            "alice" => ("$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$9zpz0nGFnSHvRUZdoSvfhg", "*"),
            "bob" => (
                "SCRAM-SHA-256$4096:c29tZXNhbHQ=$PBAa8IXW7zZJ1Jz2pQelH6cUeFjW7XGgV0ajw+VvFk4=:\
                 kK3Z9LLhoKGUd7h01BEW65Z9PsXgBe2OkGDqhSou2vM=",
                "bob@b.example",
            ),
            _ => panic!("nobody: {name}"),
        };
        User {
            name: name.into(),
            credential: Arc::new(Credential::parse(credential).expect("a credential")),
            senders: vec![sender.parse().expect("a sender")],
        }
    }))
}

pub(super) fn network(text: &str) -> Network {
    let (address, bits) = text.split_once('/').expect("address/bits");
    let address = address.parse().expect("an address");
    Network::new(address, bits.parse().expect("a number")).expect("a network")
}

/// What a handshake with a client came to that has a certificate with these names.
pub(super) fn tls_facts(client_names: &[&str]) -> TlsFacts {
    TlsFacts {
        version: "TLSv1.3",
        cipher_suite: "TLS_AES_128_GCM_SHA256",
        exporter: Some([5; 32]),
        server_end_point: Some([6; 32].into()),
        client_names: client_names.iter().map(|&name| name.into()).collect(),
    }
}

pub(super) fn peer(address: &str) -> Peer {
    Peer { address: address.parse::<IpAddr>().expect("an address"), port: 40_000 }
}

pub(super) fn conditions(now_s: u64) -> Conditions {
    Conditions {
        now: Now::from_us(now_s * 1_000_000),
        wall: WallTime::from_unix_ms(1_795_492_893_000),
        storage: Storage::Ready,
        memory_is_short: false,
        draining: false,
    }
}

/// Feeds all of `input`, which must neither block nor close the session; returns what it sends.
pub(super) fn converse(
    session: &mut ServerSession,
    conditions: &Conditions,
    input: &[u8],
) -> String {
    let mut rest = input;
    loop {
        let step = session.advance(conditions, rest);
        rest = &rest[step.consumed..];
        match step.event {
            Event::NeedInput => break,
            Event::MessageEnd => session.handle_stored(conditions, Stored::Committed(MessageId(1))),
            Event::MessageBegin | Event::Content(_) | Event::Inserted | Event::MessageAbandoned => {
            }
            Event::Blocked
            | Event::Close
            | Event::StartTls
            | Event::CheckPassword
            | Event::PeerChanged => panic!("{:?}", step.event),
        }
    }
    let mut out = Vec::new();
    session.transmit(&mut out);
    String::from_utf8(out).expect("ASCII")
}
