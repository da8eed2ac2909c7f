//! Clients that take their time, and clients that take none: slow ones in every state, and floods.

use std::rc::Rc;
use std::time::Duration;

use super::parties::{conditions, converse, peer, tls_facts};
use super::script::Script;
use crate::limits::{
    ENVELOPE_BYTES_MAX, RECIPIENTS_MAX, SESSION_CLOSE_S, SESSION_ERRORS_MAX, SESSION_IDLE_S,
    SESSION_S, TLS_HANDSHAKE_S,
};
use crate::proto::server::{Conditions, Event, ServerSession};

fn session(options: &str, at: &Conditions) -> ServerSession {
    let policy = Script::parse(options).policy;
    ServerSession::new(Rc::new(policy), peer("192.0.2.7"), 1, at)
}

/// Sends `piece` every `every_s` seconds and lets the deadlines pass as the shard does; after how
/// many seconds the session closes.
fn lifetime_s(mut session: ServerSession, piece: &[u8], every_s: u64) -> u64 {
    let mut at = conditions(0);
    let mut next_piece = at.now + Duration::from_secs(every_s);
    loop {
        let deadline = session.poll_timeout().0;
        at.now = deadline.min(next_piece);
        if deadline <= at.now {
            session.handle_timeout(&at);
        }
        let input: &[u8] = if at.now == next_piece { piece } else { b"" };
        if at.now == next_piece {
            next_piece = next_piece + Duration::from_secs(every_s);
        }
        let mut rest = input;
        loop {
            let step = session.advance(&at, rest);
            rest = &rest[step.consumed..];
            match step.event {
                Event::NeedInput | Event::Blocked => break,
                Event::Close => return at.now.as_us() / 1_000_000,
                Event::MessageBegin
                | Event::Content(_)
                | Event::MessageAbandoned
                | Event::CheckPassword => {}
                Event::Inserted | Event::MessageEnd | Event::StartTls | Event::PeerChanged => {
                    panic!("{:?}", step.event)
                }
            }
        }
        session.transmit(&mut Vec::new());
    }
}

#[test]
fn a_byte_now_and_then_keeps_no_session_alive() {
    let at = conditions(0);
    let after = |options: &str, before: &[u8]| {
        let mut session = session(options, &at);
        converse(&mut session, &at, before);
        session
    };
    let exchange = "O: auth=without_tls users=alice";
    let cases: [(&str, ServerSession, u64); 7] = [
        ("a handshake", session("O: tls=implicit", &at), TLS_HANDSHAKE_S),
        ("a command", after("", b""), SESSION_IDLE_S),
        ("a begun command", after("", b"EHL"), SESSION_IDLE_S),
        ("a recipient", after("", b"HELO x\r\nMAIL FROM:<>\r\nRC"), SESSION_IDLE_S),
        ("a response", after(exchange, b"EHLO x\r\nAUTH PLAIN\r\n"), SESSION_IDLE_S),
        ("a begun response", after(exchange, b"EHLO x\r\nAUTH LOGIN\r\nQUJ"), SESSION_IDLE_S),
        (
            "the leave of one who was refused",
            after("O: deny_from=0.0.0.0/0", b"Q"),
            SESSION_CLOSE_S,
        ),
    ];
    for (state, session, bound_s) in cases {
        assert_eq!(lifetime_s(session, b"x", 7), bound_s, "in {state}");
    }
}

#[test]
fn a_handshake_after_starttls_is_not_waited_for_either() {
    let at = conditions(0);
    let mut session = session("O: starttls=optional", &at);
    assert_eq!(session.advance(&at, b"STARTTLS\r\n").event, Event::StartTls);
    assert_eq!(lifetime_s(session, b"\x16", 7), TLS_HANDSHAKE_S);
}

#[test]
fn a_refused_client_gains_no_time_by_talking() {
    let at = conditions(0);
    let denied = session("O: deny_from=0.0.0.0/0", &at);
    assert_eq!(lifetime_s(denied, b"NOOP\r\nbare\n", 7), SESSION_CLOSE_S);
}

/// Whole commands, each just in time, and messages without end: only the session's time bounds
/// them, and the errors that they make.
#[test]
fn whole_commands_keep_a_session_alive_for_a_bounded_time() {
    let at = conditions(0);
    let every_s = SESSION_IDLE_S - 1;
    assert_eq!(lifetime_s(session("", &at), b"NOOP\r\n", every_s), SESSION_S);
    let errors = u64::from(SESSION_ERRORS_MAX) + 1;
    assert_eq!(lifetime_s(session("", &at), b"what\r\n", every_s), errors * every_s);
    let mut exchange = session("O: auth=without_tls users=alice", &at);
    converse(&mut exchange, &at, b"EHLO x\r\n");
    let cancelled = b"AUTH PLAIN\r\n*\r\n";
    assert_eq!(lifetime_s(exchange, cancelled, every_s), errors * every_s);
}

#[test]
fn content_is_not_waited_for_longer_than_its_time() {
    let at = conditions(0);
    let mut session = session("", &at);
    converse(&mut session, &at, b"HELO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\nDATA\r\n");
    let content_s = crate::limits::CONTENT_S;
    assert_eq!(lifetime_s(session, b"x", SESSION_IDLE_S - 1), content_s);
}

#[test]
fn a_hundred_thousand_recipients_take_no_more_room_than_a_transaction_may() {
    let at = conditions(0);
    let mut session = session("", &at);
    converse(&mut session, &at, b"EHLO x\r\nMAIL FROM:<a@b.example>\r\n");
    let (mut taken, mut refused) = (0, 0);
    for number in 0..100_000 {
        let rcpt = format!("RCPT TO:<{number}{}@c.example>\r\n", "x".repeat(200));
        let reply = converse(&mut session, &at, rcpt.as_bytes());
        match &reply[..4] {
            "250 " => taken += 1,
            "452 " => refused += 1,
            _ => panic!("{reply}"),
        }
        assert!(session.heap_bytes() <= 2 * ENVELOPE_BYTES_MAX);
    }
    assert_eq!(taken, RECIPIENTS_MAX);
    assert_eq!(taken + refused, 100_000);
    // It is no reason to end the session: the client sends the rest in another transaction.
    assert_eq!(converse(&mut session, &at, b"RSET\r\n"), "250 2.0.0 Ok\r\n");
    assert!(session.heap_bytes() <= 2_048, "{} bytes", session.heap_bytes());
}

/// Commands that come in one piece without waiting, authentication among them: each is answered or
/// the session ends, and never more is held than may be.
#[test]
fn a_flood_of_authentications_ends_the_session() {
    let mut at = conditions(0);
    let mut session = session("O: auth=without_tls users=alice", &at);
    converse(&mut session, &at, b"EHLO x\r\n");
    let flood = b"AUTH PLAIN AGFsaWNlAHdyb25n\r\n".repeat(10_000);
    let mut rest = &flood[..];
    let mut checks = 0;
    loop {
        let step = session.advance(&at, rest);
        rest = &rest[step.consumed..];
        match step.event {
            Event::CheckPassword => {
                checks += 1;
                let check = session.take_password_check().expect("a check");
                session.handle_password(&at, check.run());
            }
            Event::Blocked => {
                at.now = session.poll_timeout().0;
                session.handle_timeout(&at);
            }
            Event::Close => break,
            Event::NeedInput
            | Event::MessageBegin
            | Event::Content(_)
            | Event::Inserted
            | Event::MessageEnd
            | Event::MessageAbandoned
            | Event::StartTls
            | Event::PeerChanged => panic!("{:?}", step.event),
        }
    }
    assert_eq!(checks, crate::limits::AUTH_FAILURES_MAX);
}

#[test]
fn an_idle_session_over_tls_owns_little() {
    let at = conditions(0);
    let mut session = session("O: tls=implicit auth=with_tls users=alice", &at);
    session.handle_tls(&at, tls_facts(&[]));
    converse(&mut session, &at, b"EHLO client.example\r\n");
    assert_eq!(
        session.advance(&at, b"AUTH PLAIN AGFsaWNlAHBhc3N3b3Jk\r\n").event,
        Event::CheckPassword
    );
    let check = session.take_password_check().expect("a check");
    session.handle_password(&at, check.run());
    assert_eq!(converse(&mut session, &at, b""), "235 2.7.0 Authentication succeeded\r\n");
    assert!(session.heap_bytes() <= 1_024, "{} bytes", session.heap_bytes());
}

#[test]
fn an_idle_client_is_told_when_the_server_stops_whatever_it_is_about() {
    let at = conditions(0);
    let options = "O: auth=without_tls users=alice";
    for before in ["", "EHLO x\r\nAUTH PLAIN\r\n"] {
        let mut session = session(options, &at);
        converse(&mut session, &at, before.as_bytes());
        session.handle_drain(&at);
        let mut out = Vec::new();
        session.transmit(&mut out);
        assert_eq!(out, b"421 4.3.2 Server is stopping: connect again\r\n", "{before}");
        assert!(session.wants_close());
    }
    // One that has not begun is not begun.
    let stopping = Conditions { draining: true, ..at };
    assert!(session("O: tls=implicit", &stopping).wants_close());
    // A handshake is ended first, because nothing can be said within.
    let mut session = session("O: tls=implicit", &at);
    session.handle_drain(&at);
    assert!(!session.wants_close());
    session.handle_tls(&stopping, tls_facts(&[]));
    assert_eq!(session.advance(&stopping, b"").event, Event::Close);
    let mut out = Vec::new();
    session.transmit(&mut out);
    assert_eq!(out, b"421 Server is stopping: connect again\r\n");
}
