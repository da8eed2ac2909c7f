//! What ends a session early, what bounds it, and what it writes into a message.

use std::rc::Rc;
use std::time::Duration;

use super::TRANSCRIPTS;
use super::parties::{conditions, converse, peer};
use super::script::{Commit, Driver, Script};
use crate::clock::Now;
use crate::ids::MessageId;
use crate::limits::{
    COMMAND_LINE_BYTES_MAX, ENVELOPE_BYTES_MAX, ORIGINAL_RECIPIENT_BYTES_MAX, REPLIES_BYTES_MAX,
    SESSION_CLOSE_S, SESSION_IDLE_S, SESSION_S,
};
use crate::network::Network;
use crate::proto::server::{
    Conditions, Event, Peer, ServerLimits, ServerPolicy, ServerSession, Stored,
};

fn session(peer: Peer, conditions: &Conditions) -> ServerSession {
    let limits = ServerLimits::default();
    let policy = ServerPolicy::plain("mx.example.net", limits);
    ServerSession::new(Rc::new(policy), peer, 1, conditions)
}

const ENVELOPE: &[u8] =
    b"EHLO client.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\n";

/// After every prefix of every transcript, with the message before waiting for its commit or not.
fn after_every_prefix(what: impl Fn(&mut Driver)) {
    for text in TRANSCRIPTS {
        let script = Script::parse(text);
        let bytes = script.client_bytes();
        for length in 0..=bytes.len() {
            for commit in [Commit::AtOnce, Commit::Late] {
                let mut driver = Driver::new(&script, commit);
                driver.feed(&bytes[..length]);
                what(&mut driver);
                let count =
                    |name| driver.events.iter().filter(|event| event.starts_with(name)).count();
                assert_eq!(count("begin"), count("end") + count("abandoned"));
                assert_eq!(count("close"), 1);
            }
        }
    }
}

#[test]
fn a_peer_may_close_its_side_in_every_state() {
    after_every_prefix(|driver| {
        driver.session.handle_eof();
        driver.feed(b"");
        driver.settle();
        assert!(driver.session.wants_close());
        // Each message that ended was answered.
        let text = String::from_utf8_lossy(&driver.out);
        let ended = driver.events.iter().filter(|event| event.starts_with("end")).count();
        assert_eq!(text.matches("queued as").count(), ended);
    });
}

/// The second of two messages ended while the first was not answered, and then the peer closed its
/// side: both are complete.
#[test]
fn what_ended_before_the_peer_closed_is_taken() {
    let at = conditions(0);
    let mut session = session(peer("192.0.2.7"), &at);
    converse(&mut session, &at, ENVELOPE);
    converse(&mut session, &at, b"DATA\r\n");
    assert_eq!(session.advance(&at, b".\r\n").event, Event::MessageEnd);
    converse(&mut session, &at, &ENVELOPE[b"EHLO client.example\r\n".len()..]);
    converse(&mut session, &at, b"DATA\r\n");
    assert_eq!(session.advance(&at, b".\r\n").event, Event::Blocked);
    session.handle_eof();
    assert_eq!(session.advance(&at, b"").event, Event::Blocked);
    session.handle_stored(&at, Stored::Committed(MessageId(1)));
    assert_eq!(session.advance(&at, b"").event, Event::MessageEnd);
    assert_eq!(session.envelope().sender, b"a@b.example");
    assert_eq!(
        session.envelope().recipients.map(|one| one.address).collect::<Vec<_>>(),
        [b"c@d.example"]
    );
    assert!(!session.wants_close());
    session.handle_stored(&at, Stored::Committed(MessageId(2)));
    assert_eq!(session.advance(&at, b"").event, Event::Close);
    let mut out = Vec::new();
    session.transmit(&mut out);
    assert_eq!(String::from_utf8_lossy(&out).matches("queued as").count(), 2);
    assert!(session.wants_close());
}

#[test]
fn a_session_may_time_out_in_every_state() {
    after_every_prefix(|driver| {
        let (deadline, _) = driver.session.poll_timeout();
        let was_closing = driver.events.iter().any(|event| event == "close");
        // Nothing can be said in the middle of a handshake.
        let in_handshake = driver.session.tls_is_wanted();
        driver.conditions.now = Now::from_us(deadline.as_us() - 1);
        driver.session.handle_timeout(&driver.conditions);
        driver.feed(b"");
        assert_eq!(driver.events.iter().any(|event| event == "close"), was_closing);
        driver.conditions.now = deadline;
        driver.session.handle_timeout(&driver.conditions);
        driver.feed(b"more that is ignored\r\n");
        driver.settle();
        assert!(driver.session.wants_close());
        let replies = String::from_utf8_lossy(&driver.out).into_owned();
        assert_eq!(
            replies.ends_with("421 4.4.2 Session took too long: closing, connect again\r\n"),
            !was_closing && !in_handshake
        );
    });
}

#[test]
fn a_peer_that_does_not_take_its_last_reply_is_left() {
    let at = conditions(0);
    let mut session = session(peer("192.0.2.7"), &at);
    let late = conditions(SESSION_IDLE_S);
    session.handle_timeout(&late);
    assert_eq!(session.advance(&late, b"x").event, Event::Close);
    assert!(!session.wants_close());
    assert_eq!(session.poll_timeout().0, late.now + Duration::from_secs(SESSION_CLOSE_S));
    let later = conditions(SESSION_IDLE_S + SESSION_CLOSE_S);
    session.handle_timeout(&later);
    assert!(session.wants_close());
    assert!(!session.transmit(&mut Vec::new()));
}

#[test]
fn only_what_is_whole_keeps_a_session_alive() {
    let at = conditions(0);
    let mut session = session(peer("192.0.2.7"), &at);
    let idle = |now_s: u64| conditions(now_s + SESSION_IDLE_S).now;
    converse(&mut session, &conditions(1), b"NOO");
    assert_eq!(session.poll_timeout(), (idle(0), "a command"));
    converse(&mut session, &conditions(2), b"P\r\n");
    assert_eq!(session.poll_timeout(), (idle(2), "a command"));
    converse(&mut session, &conditions(3), ENVELOPE);
    converse(&mut session, &conditions(4), b"DATA\r\n");
    assert_eq!(session.poll_timeout(), (idle(4), "a piece of content"));
    // A byte a minute does not go on for ever.
    let mut ends = None;
    for now_s in (60..100_000).step_by(60) {
        converse(&mut session, &conditions(now_s), b"x");
        let (deadline, why) = session.poll_timeout();
        if deadline <= conditions(now_s).now {
            ends = Some((now_s, why));
            break;
        }
    }
    assert_eq!(ends, Some((3_660, "the end of the content")));
}

#[test]
fn a_peer_is_not_cut_off_while_it_waits_for_the_commit() {
    let at = conditions(0);
    let mut session = session(peer("192.0.2.7"), &at);
    converse(&mut session, &at, ENVELOPE);
    converse(&mut session, &at, b"DATA\r\n");
    assert_eq!(session.advance(&at, b".\r\n").event, Event::MessageEnd);
    assert_eq!(session.poll_timeout(), (conditions(SESSION_S).now, "the end of the session"));
    session.handle_stored(&conditions(400), Stored::Failed);
    assert_eq!(session.poll_timeout().0, conditions(400 + SESSION_IDLE_S).now);
}

#[test]
fn a_peer_that_sends_without_reading_is_stopped() {
    let at = conditions(0);
    let mut session = session(peer("192.0.2.7"), &at);
    let flood = b"HELP\r\n".repeat(10_000);
    let mut rest = &flood[..];
    let mut blocked = 0;
    let mut out = Vec::new();
    loop {
        let step = session.advance(&at, rest);
        rest = &rest[step.consumed..];
        if step.event == Event::NeedInput {
            break;
        }
        assert_eq!(step.event, Event::Blocked);
        assert!(session.is_blocked());
        assert_eq!(session.advance(&at, rest).consumed, 0);
        blocked += 1;
        let before = out.len();
        assert!(session.transmit(&mut out));
        assert!(out.len() - before <= REPLIES_BYTES_MAX + 512);
        assert!(!session.is_blocked());
    }
    assert!(blocked > 10);
    session.transmit(&mut out);
    assert_eq!(String::from_utf8_lossy(&out).matches("214 2.0.0").count(), 10_000);
}

#[test]
fn held_replies_are_bounded_too() {
    let at = conditions(0);
    let mut session = session(peer("192.0.2.7"), &at);
    converse(&mut session, &at, ENVELOPE);
    converse(&mut session, &at, b"DATA\r\n");
    assert_eq!(session.advance(&at, b".\r\n").event, Event::MessageEnd);
    let flood = b"NOOP\r\n".repeat(10_000);
    let step = session.advance(&at, &flood);
    assert_eq!(step.event, Event::Blocked);
    assert!(!session.transmit(&mut Vec::new()), "nothing may overtake the reply to the message");
    assert!(session.is_blocked());
    session.handle_stored(&at, Stored::Committed(MessageId(0xab)));
    let mut out = Vec::new();
    assert!(session.transmit(&mut out));
    assert!(out.starts_with(b"250 2.0.0 Ok: queued as 00000000000000ab\r\n250 2.0.0 Ok\r\n"));
    assert!(!session.is_blocked());
}

#[test]
fn the_received_field_tells_who_and_when_and_nothing_else() {
    let at = conditions(0);
    let header = |address: &str, hello: &str| {
        let mut session = session(peer(address), &at);
        converse(&mut session, &at, hello.as_bytes());
        let mut out = b"before".to_vec();
        session.write_received_header(MessageId(0x1234), &at, &mut out);
        String::from_utf8(out).expect("ASCII")
    };
    assert_eq!(
        header("192.0.2.7", "EHLO client.example\r\n"),
        "beforeReceived: from client.example ([192.0.2.7])\r\n\
         \tby mx.example.net (Ringpost) with ESMTP id 0000000000001234;\r\n\
         \tTue, 24 Nov 2026 04:01:33 +0000\r\n"
    );
    assert!(header("::ffff:192.0.2.7", "HELO [192.0.2.1]\r\n").starts_with(
        "beforeReceived: from [192.0.2.1] ([192.0.2.7])\r\n\
         \tby mx.example.net (Ringpost) with SMTP id"
    ));
    let odd = header("2001:db8::7", "EHLO a_b(c);d\"<e>\\@f\r\n");
    assert!(odd.contains("from a_b?c??d??e???f ([IPv6:2001:db8::7])\r\n"), "{odd}");
    let longest = header("192.0.2.7", &format!("EHLO {}\r\n", "h".repeat(255)));
    assert!(longest.lines().all(|line| line.len() <= 600));
    assert_eq!(longest.lines().count(), 3);
}

#[test]
fn a_session_does_not_begin_while_the_server_stops() {
    let at = Conditions { draining: true, ..conditions(0) };
    let mut session = session(peer("192.0.2.7"), &at);
    let mut out = Vec::new();
    assert_eq!(session.advance(&at, b"EHLO x\r\n").event, Event::Close);
    session.transmit(&mut out);
    assert_eq!(out, b"421 Server is stopping: connect again\r\n");
    assert!(session.wants_close());
}

#[test]
fn an_idle_session_ends_when_the_server_stops() {
    let at = conditions(0);
    let mut session = session(peer("192.0.2.7"), &at);
    converse(&mut session, &at, b"EHLO x\r\nNOO");
    session.handle_drain(&at);
    let mut out = Vec::new();
    session.transmit(&mut out);
    assert_eq!(out, b"421 4.3.2 Server is stopping: connect again\r\n");
    assert!(session.wants_close());
}

#[test]
fn what_is_asked_for_counts_towards_the_envelope() {
    let at = conditions(0);
    let limits = ServerLimits { recipients_max: usize::MAX, ..ServerLimits::default() };
    let policy = ServerPolicy::plain("mx.example.net", limits);
    let mut session = ServerSession::new(Rc::new(policy), peer("192.0.2.7"), 1, &at);
    converse(&mut session, &at, b"EHLO x\r\nMAIL FROM:<a@b.example> ENVID=id\r\n");
    let original = "o".repeat(ORIGINAL_RECIPIENT_BYTES_MAX - "rfc822;".len());
    let rcpt = format!("RCPT TO:<c@d.example> ORCPT=rfc822;{original}\r\n");
    let mut accepted = 0;
    while converse(&mut session, &at, rcpt.as_bytes()) == "250 2.1.5 Recipient ok\r\n" {
        accepted += 1;
    }
    let bytes = accepted * (ORIGINAL_RECIPIENT_BYTES_MAX + "c@d.example".len());
    assert!(bytes <= ENVELOPE_BYTES_MAX, "{bytes} bytes");
    assert!(bytes >= ENVELOPE_BYTES_MAX * 9 / 10, "{bytes} bytes");
    let refusal = converse(&mut session, &at, rcpt.as_bytes());
    assert!(refusal.starts_with("452 4.5.3"), "{refusal}");
    assert_eq!(session.envelope().recipients.len(), accepted);
    assert_eq!(converse(&mut session, &at, b"RSET\r\n"), "250 2.0.0 Ok\r\n");
    assert!(session.heap_bytes() <= 1_024, "{} bytes", session.heap_bytes());
}

#[test]
fn a_client_that_sends_too_much_in_a_minute_is_told_what() {
    let mut policy = ServerPolicy::plain("mx.example.net", ServerLimits::default());
    policy.throttle_limits.address_messages_per_minute_max = 2;
    policy.throttle_limits.address_recipients_per_minute_max = 3;
    let policy = Rc::new(policy);
    let at = conditions(0);
    let mut session = ServerSession::new(Rc::clone(&policy), peer("192.0.2.7"), 1, &at);
    converse(&mut session, &at, b"EHLO x\r\n");
    let mail = b"MAIL FROM:<a@b.example>\r\n";
    let rcpt = b"RCPT TO:<c@d.example>\r\n";
    let sender_ok = "250 2.1.0 Sender ok\r\n";
    assert_eq!(converse(&mut session, &at, mail), sender_ok);
    for _ in 0..3 {
        assert_eq!(converse(&mut session, &at, rcpt), "250 2.1.5 Recipient ok\r\n");
    }
    assert_eq!(
        converse(&mut session, &at, rcpt),
        "452 4.7.0 Too many recipients from your address in a minute: try later\r\n"
    );
    // What was accepted goes on.
    assert_eq!(session.envelope().recipients.len(), 3);
    converse(&mut session, &at, b"DATA\r\n");
    converse(&mut session, &at, b".\r\nEHLO x\r\n");
    // A refused MAIL costs nothing of what is allowed.
    for _ in 0..5 {
        converse(&mut session, &at, b"MAIL FROM:<a@b.example> SIZE=99999999999\r\n");
    }
    assert_eq!(converse(&mut session, &at, mail), sender_ok);
    converse(&mut session, &at, b"RSET\r\n");
    assert_eq!(
        converse(&mut session, &at, mail),
        "450 4.7.0 Too many messages from your address in a minute: try again later\r\n"
    );
    // Another address has counts of its own, and a minute later there is room again.
    let mut other = ServerSession::new(policy, peer("192.0.2.8"), 2, &at);
    converse(&mut other, &at, b"EHLO x\r\n");
    assert_eq!(converse(&mut other, &at, mail), sender_ok);
    assert_eq!(converse(&mut session, &conditions(61), mail), sender_ok);
}

/// A proxy is told that it may speak for others, and nobody else is.
#[test]
fn xclient_is_offered_to_those_who_are_listed() {
    let at = conditions(0);
    let mut policy = ServerPolicy::plain("mx.example.net", ServerLimits::default());
    policy.access.xclient_from = Network::LOOPBACK.to_vec();
    let policy = Rc::new(policy);
    for (address, is_listed) in [("127.0.0.1", true), ("192.0.2.7", false)] {
        let mut session = ServerSession::new(Rc::clone(&policy), peer(address), 1, &at);
        let answer = converse(&mut session, &at, b"EHLO x\r\n");
        let line = "250 XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT\r\n";
        assert_eq!(answer.ends_with(line), is_listed, "{answer}");
        assert_eq!(answer.lines().filter(|line| line.starts_with("250 ")).count(), 1, "{answer}");
    }
}

#[test]
fn more_than_can_be_told_is_told_as_the_most() {
    let at = conditions(0);
    let limits = ServerLimits {
        recipients_max: 1_000_000,
        messages_max: u32::MAX,
        hold_time_max: Duration::MAX,
        ..ServerLimits::default()
    };
    let policy = ServerPolicy::plain("mx.example.net", limits);
    let mut session = ServerSession::new(Rc::new(policy), peer("192.0.2.7"), 1, &at);
    let answer = converse(&mut session, &at, b"EHLO x\r\n");
    assert!(answer.contains("\r\n250-LIMITS RCPTMAX=999999 MAILMAX=999999\r\n"), "{answer}");
    assert!(answer.contains("\r\n250-FUTURERELEASE 999999999 2058-08-"), "{answer}");
}

#[test]
fn an_idle_session_owns_next_to_nothing() {
    let at = conditions(0);
    let mut session = session(peer("192.0.2.7"), &at);
    converse(&mut session, &at, &b"HELP\r\n".repeat(50));
    converse(&mut session, &at, &vec![b'x'; COMMAND_LINE_BYTES_MAX - 100]);
    converse(&mut session, &at, b"\r\n");
    converse(&mut session, &at, ENVELOPE);
    for number in 1..1_000 {
        let rcpt = format!("RCPT TO:<recipient-{number}@example.com>\r\n");
        assert_eq!(converse(&mut session, &at, rcpt.as_bytes()), "250 2.1.5 Recipient ok\r\n");
    }
    assert_eq!(session.envelope().recipients.len(), 1_000);
    converse(&mut session, &at, b"DATA\r\nx\r\n.\r\n");
    converse(&mut session, &at, b"NOOP\r\n");
    assert_eq!(session.envelope().recipients.len(), 0);
    assert!(session.heap_bytes() <= 1_024, "{} bytes", session.heap_bytes());
}
