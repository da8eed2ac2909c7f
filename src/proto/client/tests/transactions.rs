//! Transactions that go their way, with peers of every kind, and what each recipient gets.

use super::super::*;
use super::{LOCK_STEP, check, check_with, lock_step, pipelined};

#[test]
fn a_group_goes_out_at_once_and_the_session_is_used_again() {
    pipelined(
        "
        !begin to=b@y,c@y 8bit
        C: MAIL FROM:<a@x> SIZE=100 BODY=8BITMIME
        C: RCPT TO:<b@y>
        C: RCPT TO:<c@y>
        C: DATA
        S: 250 2.1.0 ok
        S: 250 2.1.5 ok
        S: 251 2.1.5 forwards
        S: 354 go on
        E: content
        !progress
        !progress
        !sent
        S: 250 2.0.0 queued as 1
        E: 0 ok 250 2.0.0 queued as 1
        E: 1 ok 250 2.0.0 queued as 1
        E: end
        E: ready
        !begin from= size=5
        C: MAIL FROM:<> SIZE=5
        C: RCPT TO:<b@y>
        C: DATA
        S: 250 ok
        S: 250 ok
        S: 354 go on
        E: content
        !sent
        S: 250 ok
        E: 0 ok 250 ok
        E: end
        E: ready
        !quit
        C: QUIT
        S: 221 bye
        E: closed
        ",
    );
}

#[test]
fn without_pipelining_each_command_waits() {
    lock_step(
        "
        !begin to=b@y,c@y
        C: MAIL FROM:<a@x>
        S: 250 ok
        C: RCPT TO:<b@y>
        S: 550 5.1.1 who?
        E: 0 Recipient/Hard: 550 5.1.1 who? (in reply to RCPT)
        C: RCPT TO:<c@y>
        S: 250 ok
        C: DATA
        S: 354 go on
        E: content
        !sent
        S: 250 ok
        E: 1 ok 250 ok
        E: end
        E: ready
        !begin
        C: MAIL FROM:<a@x>
        S: 452 no room
        E: 0 Message/Soft: 452 no room (in reply to MAIL)
        E: end
        E: ready
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
        S: 250 ok
        C: MAIL FROM:<a@x>
        S: 250 ok
        C: RCPT TO:<b@y>
        S: 250 ok
        C: DATA
        S: 554 5.7.1 no
        E: 0 Message/Hard: 554 5.7.1 no (in reply to DATA)
        E: end
        E: ready
        !quit
        C: QUIT
        !timeout
        E: closed
        ",
    );
}

#[test]
fn helo_is_tried_when_ehlo_is_refused() {
    check(
        "
        S: 220 old
        C: EHLO me.example
        S: 502-what?
        S: 502-PIPELINING
        S: 502 SIZE 5
        C: HELO me.example
        S: 250 old
        E: ready
        !begin to=b@y size=100000
        C: MAIL FROM:<a@x>
        S: 250 ok
        C: RCPT TO:<b@y>
        !eof
        E: 0 Session/Network: 4.4.2 the peer closed the connection while \
           waiting for the answer to RCPT
        E: end
        E: closed Session/Network: 4.4.2 the peer closed the connection while \
           waiting for the answer to RCPT
        ",
    );
    check(
        "
        S: 220 old
        C: EHLO me.example
        S: 500 what?
        C: HELO me.example
        S: 550 5.7.1 not you
        C: QUIT
        S: 221 bye
        E: closed Site/Hard: 550 5.7.1 not you (in reply to HELO)
        ",
    );
    check(
        "
        S: 220 busy
        C: EHLO me.example
        S: 451 later
        C: QUIT
        !eof
        E: closed Session/Soft: 451 later (in reply to EHLO)
        ",
    );
    check(
        "
        S: 220 busy
        C: EHLO me.example
        S: 421 4.3.2 going down
        E: closed Session/Soft: 421 4.3.2 going down (in reply to EHLO)
        ",
    );
}

#[test]
fn some_refused_recipients_leave_the_others() {
    pipelined(
        "
        !begin to=b@y,c@y,d@y
        C: MAIL FROM:<a@x> SIZE=100
        C: RCPT TO:<b@y>
        C: RCPT TO:<c@y>
        C: RCPT TO:<d@y>
        C: DATA
        S: 250 ok
        S: 550 5.1.1 b?
        S: 250 ok
        S: 450 4.2.1 d
        S: 354 go on
        E: 0 Recipient/Hard: 550 5.1.1 b? (in reply to RCPT)
        E: 2 Recipient/Soft: 450 4.2.1 d (in reply to RCPT)
        E: content
        !sent
        S: 451 4.3.0 hm
        E: 1 Message/Soft: 451 4.3.0 hm (in reply to the end of data)
        E: end
        E: ready
        !quit
        C: QUIT
        S: 221 bye
        E: closed
        ",
    );
}

#[test]
fn nobody_accepted_and_data_let_through_is_an_empty_message() {
    pipelined(
        "
        !begin to=b@y,c@y
        C: MAIL FROM:<a@x> SIZE=100
        C: RCPT TO:<b@y>
        C: RCPT TO:<c@y>
        C: DATA
        S: 250 ok
        S: 550 b?
        S: 550 c?
        S: 354 go on
        E: 0 Recipient/Hard: 550 b? (in reply to RCPT)
        E: 1 Recipient/Hard: 550 c? (in reply to RCPT)
        E: end
        C: .
        S: 554 no valid recipients
        E: ready
        !begin
        C: MAIL FROM:<a@x> SIZE=100
        C: RCPT TO:<b@y>
        C: DATA
        S: 250 ok
        S: 550 b?
        S: 554 no valid recipients
        E: 0 Recipient/Hard: 550 b? (in reply to RCPT)
        E: end
        E: ready
        !begin
        C: RSET
        C: MAIL FROM:<a@x> SIZE=100
        C: RCPT TO:<b@y>
        C: DATA
        S: 250 ok
        S: 550 5.7.1 not you
        S: 503 no
        S: 503 no
        E: 0 Message/Hard: 550 5.7.1 not you (in reply to MAIL)
        E: end
        E: ready
        !begin
        C: MAIL FROM:<a@x> SIZE=100
        C: RCPT TO:<b@y>
        C: DATA
        S: 450 not now
        S: 250 fine
        S: 354 why not
        E: 0 Message/Soft: 450 not now (in reply to MAIL)
        E: end
        C: .
        S: 250 took it
        E: ready
        !quit
        C: QUIT
        S: 221 bye
        E: closed
        ",
    );
}

#[test]
fn too_many_recipients_go_on_at_once() {
    pipelined(
        "
        !begin to=b@y,c@y,d@y,e@y,f@y
        C: MAIL FROM:<a@x> SIZE=100
        C: RCPT TO:<b@y>
        C: RCPT TO:<c@y>
        C: RCPT TO:<d@y>
        C: RCPT TO:<e@y>
        C: RCPT TO:<f@y>
        C: DATA
        S: 250 ok
        S: 452 4.5.3 enough
        S: 250 ok
        S: 552 enough
        S: 552 5.2.2 mailbox full
        S: 452 4.5.3 enough
        S: 354 go on
        E: 0 Recipient/Soft: 452 4.5.3 enough (in reply to RCPT)
        E: 2 Recipient/Soft now: 552 enough (in reply to RCPT)
        E: 3 Recipient/Hard: 552 5.2.2 mailbox full (in reply to RCPT)
        E: 4 Recipient/Soft now: 452 4.5.3 enough (in reply to RCPT)
        E: content
        !sent
        S: 250 ok
        E: 1 ok 250 ok
        E: end
        E: ready
        ",
    );
}

#[test]
fn what_the_peer_cannot_take_is_not_tried() {
    pipelined(
        "
        !begin size=1001
        E: 0 Message/Hard: 5.3.4 the message has 1001 bytes, and the peer takes at most 1000
        E: end
        E: ready
        !begin size=1000 from=a@xCRLFDATA
        E: 0 Message/Hard: 5.1.7 the sender's address cannot be sent over SMTP
        E: end
        E: ready
        !begin size=1000 to=b@yCRLFDATA,c@y,NOBODY
        E: 0 Recipient/Hard: 5.1.3 the address cannot be sent over SMTP
        E: 2 Recipient/Hard: 5.1.3 the address cannot be sent over SMTP
        C: MAIL FROM:<a@x> SIZE=1000
        C: RCPT TO:<c@y>
        C: DATA
        S: 250 ok
        S: 250 ok
        S: 354 go on
        E: content
        !sent
        S: 250 ok
        E: 1 ok 250 ok
        E: end
        E: ready
        !begin to=
        E: end
        E: ready
        ",
    );
}

#[test]
fn eight_bit_content_for_a_seven_bit_peer_follows_the_setting() {
    let mut settings = ClientSettings::new("me.example");
    let bounced = "
        !begin 8bit
        E: 0 Message/Hard: 5.6.3 the message has 8-bit content, which the peer does not take
        E: end
        E: ready
    ";
    check_with(&settings, &format!("{LOCK_STEP}{bounced}"));
    settings.eight_bit_to_seven_bit_peer = EightBitToSevenBitPeer::SendAsIs;
    let sent = "
        !begin 8bit
        C: MAIL FROM:<a@x>
        S: 421 no
        E: 0 Session/Soft: 421 no (in reply to MAIL)
        E: end
        E: closed Session/Soft: 421 no (in reply to MAIL)
    ";
    check_with(&settings, &format!("{LOCK_STEP}{sent}"));
}

#[test]
fn a_hostile_name_of_our_own_is_written_harmlessly() {
    check_with(
        &ClientSettings::new("me.example\r\nDATA"),
        "S: 220 x\nC: EHLO me.exampleDATA\n!quit\nE: closed",
    );
}

#[test]
fn only_the_lines_behind_the_first_of_the_answer_to_ehlo_are_offers() {
    check(
        "
        S: 220-SIZE
        S: 220 PIPELINING
        C: EHLO me.example
        S: 250-PIPELINING greets you
        S: 250 8BITMIME
        E: ready
        !begin to=b@y 8bit
        C: MAIL FROM:<a@x> BODY=8BITMIME
        S: 250-ok
        S: 250-SIZE 10
        S: 250 PIPELINING
        C: RCPT TO:<b@y>
        S: 550 no
        E: 0 Recipient/Hard: 550 no (in reply to RCPT)
        E: end
        E: ready
        !begin
        C: RSET
        !eof
        E: 0 Session/Network now: 4.4.2 the peer closed the connection while \
           waiting for the answer to RSET
        E: end
        E: closed Session/Network now: 4.4.2 the peer closed the connection while \
           waiting for the answer to RSET
        ",
    );
}
