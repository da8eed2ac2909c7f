//! How sessions end: refused, lost, timed out, out of step, given up.

use super::super::*;
use super::{WALL, check, lock_step, pipelined};

#[test]
fn a_greeting_that_refuses_ends_with_quit() {
    check(
        "
        S: 554-5.7.1 no mail
        S: 554 5.7.1 here
        C: QUIT
        S: 221 bye
        E: closed Session/Hard: 554 5.7.1 no mail here (as greeting)
        ",
    );
    check(
        "
        S: 450 busy
        C: QUIT
        !timeout
        E: closed Session/Soft: 450 busy (as greeting)
        ",
    );
    check(
        "
        S: 421 busy
        E: closed Session/Soft: 421 busy (as greeting)
        ",
    );
    check(
        "
        S: 354 busy
        E: closed Session/Network: 4.5.0 the peer gave an answer that makes no sense: 354 busy \
        while waiting for the greeting
        ",
    );
    check(
        "
        S: SSH-2.0-OpenSSH_9.2
        E: closed Session/Network: 4.5.0 the peer sent no SMTP reply: \"SSH-2.0-OpenSSH_9.2\" \
        while waiting for the greeting
        ",
    );
}

#[test]
fn a_message_in_doubt_is_told_apart() {
    let group = "
        !begin
        C: MAIL FROM:<a@x> SIZE=100
        C: RCPT TO:<b@y>
        C: DATA
        S: 250 ok
        S: 250 ok
        S: 354 go on
        E: content
    ";
    let in_doubt = "waiting for the answer to the end of data (the message may arrive twice)";
    for (action, what) in [
        ("!eof", "4.4.2 the peer closed the connection"),
        ("!timeout", "4.4.2 timed out"),
        ("!error", "4.4.2 connection reset by peer"),
    ] {
        let failure = format!("Message/Network: {what} while {in_doubt}");
        pipelined(&format!(
            "{group}
            !sent
            {action}
            E: 0 {failure}
            E: end
            E: closed {failure}
            "
        ));
        let failure = format!("Session/Network: {what} while sending the content");
        pipelined(&format!(
            "{group}
            {action}
            E: 0 {failure}
            E: end
            E: closed {failure}
            "
        ));
    }
    pipelined(&format!(
        "{group}
        S: 552 5.3.4 too much
        E: 0 Message/Hard: 552 5.3.4 too much (in the middle of the content)
        E: end
        E: closed Message/Hard: 552 5.3.4 too much (in the middle of the content)
        !sent
        "
    ));
    let failure = "Message/Network: 4.5.0 the peer gave an answer that makes no sense: 250 ok \
                   while sending the content";
    pipelined(&format!(
        "{group}
        S: 250 ok
        E: 0 {failure}
        E: end
        E: closed {failure}
        "
    ));
    pipelined(&format!(
        "{group}
        !sent
        S: 421 4.7.0 rate
        E: 0 Session/Soft: 421 4.7.0 rate (in reply to the end of data)
        E: end
        E: closed Session/Soft: 421 4.7.0 rate (in reply to the end of data)
        "
    ));
}

#[test]
fn a_reused_session_that_is_gone_says_nothing() {
    let first = "
        !begin
        C: MAIL FROM:<a@x>
        S: 550 no
        E: 0 Message/Hard: 550 no (in reply to MAIL)
        E: end
        E: ready
    ";
    let lost = "4.4.2 the peer closed the connection while waiting for";
    lock_step(&format!(
        "{first}
        !eof
        E: closed Session/Network now: {lost} the next message
        !begin
        E: 0 Session/Network now: 4.4.2 the session was over while closed
        E: end
        "
    ));
    lock_step(&format!(
        "{first}
        !begin
        C: MAIL FROM:<a@x>
        !eof
        E: 0 Session/Network now: {lost} the answer to MAIL
        E: end
        E: closed Session/Network now: {lost} the answer to MAIL
        "
    ));
    lock_step(&format!(
        "{first}
        !begin
        C: MAIL FROM:<a@x>
        S: 421 idle too long
        E: 0 Session/Soft now: 421 idle too long (in reply to MAIL)
        E: end
        E: closed Session/Soft now: 421 idle too long (in reply to MAIL)
        "
    ));
    lock_step(&format!(
        "{first}
        !begin
        C: MAIL FROM:<a@x>
        S: 250 ok
        C: RCPT TO:<b@y>
        S: 421 enough
        E: 0 Session/Soft: 421 enough (in reply to RCPT)
        E: end
        E: closed Session/Soft: 421 enough (in reply to RCPT)
        "
    ));
}

#[test]
fn a_refused_reset_ends_the_session() {
    lock_step(
        "
        !begin
        C: MAIL FROM:<a@x>
        S: 250 ok
        C: RCPT TO:<b@y>
        S: 450 later
        E: 0 Recipient/Soft: 450 later (in reply to RCPT)
        E: end
        E: ready
        !begin
        C: RSET
        S: 503 no
        E: 0 Session/Network now: 503 no (in reply to RSET)
        E: end
        E: closed Session/Network now: 503 no (in reply to RSET)
        ",
    );
}

#[test]
fn an_answer_to_nothing_ends_the_session() {
    lock_step(
        "
        S: 250 hello?
        E: closed Session/Network: 4.5.0 the peer answered what was not asked: 250 hello? \
        while waiting for the next message
        ",
    );
    lock_step(
        "
        S: 421 bye
        E: closed Session/Soft: 421 bye (in reply to nothing)
        ",
    );
    // Both replies come before the session could have sent EHLO.
    check(
        "
        S: 220 mx
        S: 250 mx
        E: closed Session/Network: 4.5.0 the peer answered before it was asked: 250 mx \
        while waiting for the answer to EHLO
        ",
    );
    let why = "Session/Network: 4.5.0 the peer gave an answer that makes no sense: 250 ok \
               while waiting for the answer to DATA";
    pipelined(&format!(
        "
        !begin
        C: MAIL FROM:<a@x> SIZE=100
        C: RCPT TO:<b@y>
        C: DATA
        S: 250 ok
        S: 250 ok
        S: 250 ok
        E: 0 {why}
        E: end
        E: closed {why}
        "
    ));
}

#[test]
fn a_transaction_begun_on_an_outdated_ready_is_reported_before_the_end() {
    let settings = Rc::new(ClientSettings::new("me.example"));
    let mut session = ClientSession::new(settings, Now::from_us(0));
    let now = Now::from_us(1);
    session.handle_input(now, b"220 mx\r\n");
    session.transmit(&mut Vec::new());
    session.handle_input(now, b"250 mx\r\n421 mx is going down\r\n");
    assert_eq!(session.poll_event(), Some(ClientEvent::Ready));
    let request = TransactionRequest {
        sender: b"",
        recipients: &[Addressee::plain(b"b@y")],
        size_bytes: 1,
        body_type: BodyType::SevenBit,
        wishes: None,
        wall: WALL,
    };
    session.begin(now, &request);
    let Some(ClientEvent::Recipient { index: 0, result: Err(failure) }) = session.poll_event()
    else {
        panic!("the recipient is reported first")
    };
    assert!(failure.retry_now);
    assert_eq!(session.poll_event(), Some(ClientEvent::TransactionEnd));
    assert!(matches!(session.poll_event(), Some(ClientEvent::Closed { failure: Some(_) })));
    assert_eq!(session.poll_event(), None);
}

#[test]
fn giving_up_reports_what_was_running() {
    check("!quit\nE: closed\n!quit\n!eof");
    pipelined(
        "
        !begin to=b@y,c@y
        C: MAIL FROM:<a@x> SIZE=100
        C: RCPT TO:<b@y>
        C: RCPT TO:<c@y>
        C: DATA
        S: 250 ok
        S: 550 b?
        E: 0 Recipient/Hard: 550 b? (in reply to RCPT)
        !quit
        E: 1 Session/Network now: 4.4.2 given up while waiting for the answer to RCPT
        E: end
        E: closed
        ",
    );
    let failure = "Message/Network: 4.4.2 given up while waiting for the answer to the end of data \
                   (the message may arrive twice)";
    pipelined(&format!(
        "
        !begin
        C: MAIL FROM:<a@x> SIZE=100
        C: RCPT TO:<b@y>
        C: DATA
        S: 250 ok
        S: 250 ok
        S: 354 go on
        E: content
        !sent
        !quit
        E: 0 {failure}
        E: end
        E: closed
        "
    ));
}

#[test]
fn each_state_has_its_time_out() {
    let timeouts = ClientTimeouts::default();
    let seconds = |state: ClientState| state.timeout(&timeouts).map(|time| time.as_secs());
    // RFC 5321 §4.5.3.2.
    assert_eq!(seconds(ClientState::Greeting), Some(300));
    assert_eq!(seconds(ClientState::Mail), Some(300));
    assert_eq!(seconds(ClientState::Rcpt), Some(300));
    assert_eq!(seconds(ClientState::Data), Some(120));
    assert_eq!(seconds(ClientState::Content), Some(180));
    assert_eq!(seconds(ClientState::EndOfData), Some(600));
    assert_eq!(seconds(ClientState::Idle), None);
    assert_eq!(seconds(ClientState::Closed), None);
    let failure = "Session/Network: 4.4.2 timed out while waiting for the greeting";
    check(&format!("!timeout\nE: closed {failure}"));
}
