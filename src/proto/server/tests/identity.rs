//! What a client may do because of its user, its certificate and TLS.

use std::rc::Rc;
use std::sync::Arc;

use super::parties::{conditions, peer};
use crate::credentials::{Credential, User, Users, make_scram};
use crate::message::ReturnedContent;
use crate::network::Network;
use crate::proto::server::{
    AuthOffer, Event, ServerLimits, ServerPolicy, ServerSession, TlsFacts, TlsOffer,
};

/// A listener that relays for nobody because of an address.
fn policy() -> ServerPolicy {
    let mut policy = ServerPolicy::plain("mx.example.net", ServerLimits::default());
    policy.access.relay_from.clear();
    policy
}

fn users(senders: &[&str]) -> Arc<Users> {
    let verifier = make_scram("secret", [7; 16]).expect("a password");
    let credential = Arc::new(Credential::parse(&verifier).expect("a verifier"));
    let senders = senders.iter().map(|one| one.parse().expect("a sender")).collect();
    Arc::new(Users::new([User { name: "app1".into(), credential, senders }]))
}

/// The replies to `input`, which begins and ends no message.
fn converse(session: &mut ServerSession, input: &str) -> String {
    let at = conditions(0);
    let mut rest = input.as_bytes();
    while !rest.is_empty() {
        let step = session.advance(&at, rest);
        assert!(matches!(step.event, Event::NeedInput | Event::PeerChanged), "{:?}", step.event);
        rest = &rest[step.consumed..];
    }
    let mut out = Vec::new();
    session.transmit(&mut out);
    String::from_utf8(out).expect("ASCII")
}

/// A session of a client that a proxy speaks for, authenticated as `login` unless that is empty.
fn proxied(mut policy: ServerPolicy, login: &str) -> ServerSession {
    policy.access.xclient_from = Network::LOOPBACK.to_vec();
    let at = conditions(0);
    let mut session = ServerSession::new(Rc::new(policy), peer("127.0.0.1"), 1, &at);
    let login = if login.is_empty() { String::new() } else { format!(" LOGIN={login}") };
    converse(&mut session, &format!("EHLO proxy.example\r\nXCLIENT ADDR=192.0.2.7{login}\r\n"));
    let greeting = converse(&mut session, "EHLO client.example\r\n");
    assert!(greeting.contains("250-PIPELINING"), "{greeting}");
    session
}

/// A session over TLS, of a client whose certificate has `client_names`.
fn protected(mut policy: ServerPolicy, client_names: &[&str]) -> ServerSession {
    policy.tls = TlsOffer::Implicit;
    let at = conditions(0);
    let mut session = ServerSession::new(Rc::new(policy), peer("192.0.2.7"), 1, &at);
    let client_names = client_names.iter().map(|&name| name.into()).collect();
    session.handle_tls(&at, TlsFacts { client_names, ..TlsFacts::default() });
    session
}

const SENDER_OK: &str = "250 2.1.0 Sender ok\r\n";
const SENDER_DENIED: &str = "550 5.7.1 Sender denied: your user may not send from this address\r\n";

#[test]
fn a_user_sends_from_the_addresses_that_are_theirs() {
    let with_users =
        || ServerPolicy { users: users(&["example.com", "*.example.org"]), ..policy() };
    let cases = [
        ("a@example.com", SENDER_OK),
        ("a@EXAMPLE.com", SENDER_OK),
        ("a@mail.example.org", SENDER_OK),
        // RFC 5321 §4.5.5: who answers automatically must not cause another answer.
        ("", SENDER_OK),
        ("a@other.example", SENDER_DENIED),
        ("a@sub.example.com", SENDER_DENIED),
        ("a@example.org", SENDER_DENIED),
        ("\"a@example.com\"@other.example", SENDER_DENIED),
        ("@example.com:a@other.example", SENDER_DENIED),
        ("a%other.example@example.com", SENDER_OK),
    ];
    let mut session = proxied(with_users(), "app1");
    for (sender, reply) in cases {
        let got = converse(&mut session, &format!("MAIL FROM:<{sender}>\r\n"));
        assert_eq!(got, reply, "{sender}");
        converse(&mut session, "RSET\r\n");
    }
    // A user relays, and is trusted with a priority.
    assert_eq!(converse(&mut session, "MAIL FROM:<a@example.com> MT-PRIORITY=5\r\n"), SENDER_OK);
    let anywhere = "RCPT TO:<\"x@y\"@other.example>\r\nRCPT TO:<x%y@[192.0.2.1]>\r\n";
    assert_eq!(converse(&mut session, anywhere), "250 2.1.5 Recipient ok\r\n".repeat(2));
    assert_eq!(session.envelope().wishes.and_then(|wishes| wishes.priority), Some(5));
    // A user whom the configuration does not know has no address at all.
    let mut session = proxied(with_users(), "app2");
    assert_eq!(converse(&mut session, "MAIL FROM:<a@example.com>\r\n"), SENDER_DENIED);
    // Without a user nobody's addresses are looked at.
    let mut session = proxied(with_users(), "");
    assert_eq!(converse(&mut session, "MAIL FROM:<a@other.example>\r\n"), SENDER_OK);
}

#[test]
fn what_authentication_offers_stays_known_after_it() {
    let auth = AuthOffer::Required { without_tls: true };
    let mut session = proxied(ServerPolicy { users: users(&["*"]), auth, ..policy() }, "app1");
    let mail = "MAIL FROM:<a@example.com> AUTH=<>\r\n";
    assert_eq!(converse(&mut session, mail), SENDER_OK);
    let mut session = proxied(ServerPolicy { users: users(&["*"]), auth, ..policy() }, "");
    let answer = converse(&mut session, "EHLO client.example\r\n");
    let line = answer.lines().find(|line| line.contains("AUTH")).unwrap_or_default();
    assert!(line.starts_with("250-AUTH ") && line.contains(" SCRAM-SHA-256"), "{answer}");
    assert!(!line.contains("-PLUS"), "{line}");
    let needed = "530 5.7.0 Authentication required: send AUTH first\r\n";
    assert_eq!(converse(&mut session, mail), needed);
}

#[test]
fn over_tls_a_message_may_ask_for_it_all_the_way() {
    let mut session = protected(policy(), &[]);
    let answer = converse(&mut session, "EHLO client.example\r\n");
    assert!(answer.contains("\r\n250-REQUIRETLS\r\n"), "{answer}");
    assert!(!answer.contains("STARTTLS"), "{answer}");
    assert_eq!(
        converse(&mut session, "MAIL FROM:<a@b.example> REQUIRETLS RET=FULL\r\n"),
        SENDER_OK
    );
    let wishes = session.envelope().wishes.expect("a wish");
    assert!(wishes.require_tls);
    // RFC 8689 §5.
    assert_eq!(wishes.returned_content, Some(ReturnedContent::Headers));
    let valued = converse(&mut session, "RSET\r\nMAIL FROM:<a@b.example> REQUIRETLS=1\r\n");
    assert!(valued.ends_with("501 5.5.4 Send SMTPUTF8 and REQUIRETLS without a value\r\n"));
}

#[test]
fn a_certificate_that_is_listed_may_relay() {
    let mut policy = policy();
    policy.access.relay_certificates = vec!["relay.example".into()];
    for (names, may_relay) in [
        (&["Relay.example"][..], true),
        (&["other.example", "relay.example"], true),
        (&["x.relay.example"], false),
        (&[], false),
    ] {
        let mut session = protected(policy.clone(), names);
        converse(&mut session, "EHLO client.example\r\nMAIL FROM:<a@b.example>\r\n");
        let reply = converse(&mut session, "RCPT TO:<c@d.example>\r\n");
        assert_eq!(reply.starts_with("250 2.1.5"), may_relay, "{names:?}: {reply}");
    }
}
