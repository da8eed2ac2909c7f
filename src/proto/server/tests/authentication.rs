//! Who a client is: handshakes, passwords and proxies, and what goes wrong with them.

use std::rc::Rc;
use std::time::Duration;

use super::parties::{conditions, converse, peer, tls_facts};
use super::script::Script;
use crate::limits::AUTH_LINE_BYTES_MAX;
use crate::proto::fault::{BoundFault, Fault};
use crate::proto::server::{Conditions, Event, ServerPolicy, ServerSession};
use crate::throttle::Over;

/// `\0alice\0password` and `\0alice\0wrong`.
const RIGHT: &str = "AUTH PLAIN AGFsaWNlAHBhc3N3b3Jk\r\n";
const WRONG: &str = "AUTH PLAIN AGFsaWNlAHdyb25n\r\n";

const FAILED: &str = "535 5.7.8 Authentication failed: check user, password and mechanism\r\n";
const BLOCKED: &str = "421 4.7.0 Too many failed authentications from your address: \
    try again in a minute\r\n";

fn policy(options: &str) -> Rc<ServerPolicy> {
    Rc::new(Script::parse(options).policy)
}

fn session(policy: &Rc<ServerPolicy>, at: &Conditions) -> ServerSession {
    ServerSession::new(Rc::clone(policy), peer("192.0.2.7"), 1, at)
}

fn sent(session: &mut ServerSession) -> String {
    let mut out = Vec::new();
    session.transmit(&mut out);
    String::from_utf8(out).expect("ASCII")
}

/// A session that waits for the check of what `command` presents.
fn checking(policy: &Rc<ServerPolicy>, at: &Conditions, command: &str) -> ServerSession {
    let mut session = session(policy, at);
    converse(&mut session, at, b"EHLO client.example\r\n");
    assert_eq!(session.advance(at, command.as_bytes()).event, Event::CheckPassword);
    session
}

fn run_check(session: &mut ServerSession, at: &Conditions) {
    let check = session.take_password_check().expect("a check");
    session.handle_password(at, check.run());
}

#[test]
fn the_answer_to_a_failure_waits_longer_each_time() {
    let policy = policy("O: auth=without_tls users=alice");
    let mut at = conditions(0);
    let mut session = session(&policy, &at);
    converse(&mut session, &at, b"EHLO client.example\r\n");
    for (delay_s, answer) in [
        (1, FAILED),
        (2, FAILED),
        (4, "421 4.7.0 Too many failed authentications in this session: closing\r\n"),
    ] {
        let stream = format!("{WRONG}NOOP\r\n");
        let step = session.advance(&at, stream.as_bytes());
        assert_eq!((step.event, step.consumed), (Event::CheckPassword, WRONG.len()));
        assert_eq!(session.advance(&at, b"NOOP\r\n").event, Event::Blocked);
        run_check(&mut session, &at);
        let due = at.now + Duration::from_secs(delay_s);
        assert_eq!(session.poll_timeout(), (due, "the answer to a failed authentication"));
        at.now = at.now + Duration::from_millis(1_000 * delay_s - 1);
        session.handle_timeout(&at);
        let step = session.advance(&at, b"NOOP\r\n");
        assert_eq!((step.event, step.consumed), (Event::Blocked, 0));
        assert_eq!(sent(&mut session), "");
        at.now = due;
        session.handle_timeout(&at);
        assert_eq!(sent(&mut session), answer);
    }
    assert_eq!(session.advance(&at, b"NOOP\r\n").event, Event::Close);
}

/// Ten clients at one address guess at the same time, and the last guess is right: it is not told
/// from the others once the bound is met.
#[test]
fn guesses_at_the_same_time_are_bounded_too() {
    let policy = policy("O: auth=without_tls users=alice auth_failures_max=3");
    let mut at = conditions(0);
    let commands = [WRONG, WRONG, WRONG, WRONG, RIGHT];
    let mut sessions = commands.map(|command| checking(&policy, &at, command));
    for session in &mut sessions {
        sent(session);
        run_check(session, &at);
    }
    at.now = at.now + Duration::from_secs(1);
    let answers = sessions.each_mut().map(|session| {
        session.handle_timeout(&at);
        sent(session)
    });
    assert_eq!(answers, [FAILED, FAILED, FAILED, BLOCKED, BLOCKED]);
}

#[test]
fn an_exchange_that_went_on_before_the_bound_was_met_goes_on_no_more() {
    let policy = policy("O: auth=without_tls users=alice auth_failures_max=1");
    let at = conditions(0);
    let mut slow = session(&policy, &at);
    converse(&mut slow, &at, b"EHLO client.example\r\nAUTH PLAIN\r\n");
    run_check(&mut checking(&policy, &at, WRONG), &at);
    assert_eq!(slow.advance(&at, b"AGFsaWNlAHBhc3N3b3Jk\r\n").event, Event::Close);
    assert_eq!(sent(&mut slow), BLOCKED);
}

#[test]
fn who_leaves_during_the_check_has_failed() {
    let at = conditions(0);
    let leave: [fn(ServerSession); 2] = [drop, |mut session| {
        session.handle_eof();
        assert!(session.wants_close());
        // What comes of the check is of no interest any more.
        session.handle_password(&conditions(0), true);
        assert!(session.user().is_none());
    }];
    for leave in leave {
        let policy = policy("O: auth=without_tls users=alice auth_failures_max=1");
        leave(checking(&policy, &at, RIGHT));
        let mut next = session(&policy, &at);
        converse(&mut next, &at, b"EHLO client.example\r\n");
        assert_eq!(next.advance(&at, RIGHT.as_bytes()).event, Event::Close);
        assert_eq!(sent(&mut next), BLOCKED);
    }
}

#[test]
fn a_check_that_cannot_be_run_may_be_tried_again() {
    let policy = policy("O: auth=without_tls users=alice auth_failures_max=1");
    let at = conditions(0);
    let mut session = checking(&policy, &at, RIGHT);
    sent(&mut session);
    assert!(session.take_password_check().is_some());
    assert!(session.take_password_check().is_none());
    session.refuse_password_check(&at);
    assert_eq!(
        sent(&mut session),
        "454 4.7.0 Too many authentications at a time: try again later\r\n"
    );
    assert_eq!(session.advance(&at, RIGHT.as_bytes()).event, Event::CheckPassword);
    run_check(&mut session, &at);
    assert_eq!(converse(&mut session, &at, b""), "235 2.7.0 Authentication succeeded\r\n");
    assert_eq!(session.user(), Some(&b"alice"[..]));
}

#[test]
fn the_longest_response_fits_and_one_byte_more_ends_the_exchange() {
    let policy = policy("O: auth=without_tls users=alice");
    let at = conditions(0);
    let too_long = "500 5.5.6 Line too long: one of an authentication has at most 12288 bytes\r\n";
    // Base64 has no meaning for a length that is no multiple of four.
    let no_base64 = "501 5.5.2 Response malformed: send it in base64\r\n";
    for (length, answer) in [(AUTH_LINE_BYTES_MAX, no_base64), (AUTH_LINE_BYTES_MAX + 1, too_long)]
    {
        let mut line = vec![b'A'; length - 2];
        line.extend_from_slice(b"\r\n");
        for cut in [0, 1, 100, length - 2, length - 1] {
            let mut session = session(&policy, &at);
            converse(&mut session, &at, b"EHLO client.example\r\nAUTH PLAIN\r\n");
            let replies = [
                converse(&mut session, &at, &line[..cut]),
                converse(&mut session, &at, &line[cut..]),
                converse(&mut session, &at, b"NOOP\r\n"),
            ];
            assert_eq!(replies.concat(), format!("{answer}250 2.0.0 Ok\r\n"), "cut at {cut}");
        }
    }
}

#[test]
fn a_bare_lf_ends_an_exchange() {
    let policy = policy("O: auth=without_tls users=alice");
    let at = conditions(0);
    let mut session = session(&policy, &at);
    converse(&mut session, &at, b"EHLO client.example\r\nAUTH PLAIN\r\n");
    let replies = converse(&mut session, &at, b"AGFsaWNlAHBhc3N3b3Jk\nRSET\r\nNOOP\r\n");
    let refused = "500 5.5.2 Bare LF: this line was ignored, end every line with CRLF\r\n";
    assert_eq!(replies, format!("{refused}{refused}250 2.0.0 Ok\r\n"));
}

#[test]
fn a_client_over_a_limit_reads_which_one_it_is() {
    let at = conditions(0);
    let fault = Fault::Bound(BoundFault::Throttle(Over::ConnectionsOfNetwork));
    let refused =
        |options| ServerSession::refused(policy(options), peer("192.0.2.7"), 1, &at, fault);
    let mut session = refused("O: starttls=optional");
    assert_eq!(session.advance(&at, b"EHLO x\r\n").event, Event::Close);
    assert_eq!(
        sent(&mut session),
        "421 Too many connections from your network: close some first\r\n"
    );
    assert!(session.wants_close());
    // Without TLS it could read nothing.
    let mut session = refused("O: tls=implicit");
    assert!(session.wants_close());
    assert!(!session.tls_is_wanted());
    assert_eq!(sent(&mut session), "");
}

#[test]
fn a_client_behind_a_proxy_may_be_over_a_limit() {
    let policy = policy("O: xclient_from=192.0.2.0/24");
    let at = conditions(0);
    let mut session = session(&policy, &at);
    sent(&mut session);
    let step = session.advance(&at, b"XCLIENT ADDR=198.51.100.1\r\nEHLO x\r\n");
    assert_eq!(step.event, Event::PeerChanged);
    assert_eq!(session.peer(), peer("198.51.100.1"));
    let fault = Fault::Bound(BoundFault::Throttle(Over::ConnectionsOfAddress));
    session.refuse_peer(&at, fault);
    assert_eq!(session.advance(&at, b"EHLO x\r\n").event, Event::Close);
    assert_eq!(
        sent(&mut session),
        "421 Too many connections from your address: close some first\r\n"
    );
}

#[test]
fn a_client_without_address_is_nobody_special() {
    let policy = policy("O: xclient_from=192.0.2.0/24 relay_from=192.0.2.0/24");
    let at = conditions(0);
    let mut session = session(&policy, &at);
    let step = session.advance(&at, b"XCLIENT ADDR=[unavailable] PORT=[UNAVAILABLE]\r\n");
    assert_eq!(step.event, Event::PeerChanged);
    assert_eq!(session.peer().port, 0);
    converse(&mut session, &at, b"EHLO x\r\nMAIL FROM:<a@b.example>\r\n");
    let reply = converse(&mut session, &at, b"RCPT TO:<c@d.example>\r\n");
    assert!(reply.starts_with("550 5.7.1 "), "{reply}");
}

#[test]
fn the_facts_of_the_handshake_are_kept_until_the_end() {
    let policy = policy("O: starttls=optional");
    let at = conditions(0);
    let mut session = session(&policy, &at);
    assert_eq!(session.tls_facts(), None);
    assert_eq!(session.advance(&at, b"STARTTLS\r\nNOOP\r\n").event, Event::StartTls);
    assert!(session.tls_is_wanted());
    assert!(!session.is_blocked());
    let facts = tls_facts(&["client.example"]);
    session.handle_tls(&at, facts.clone());
    assert!(!session.tls_is_wanted());
    assert_eq!(session.tls_facts(), Some(&facts));
    session.handle_eof();
    assert_eq!(session.tls_facts(), Some(&facts));
}
