//! What the client of a message asked for, as the next hop hears it, and what happens where the
//! next hop cannot do it.

use super::super::*;
use super::{capable, check_with, lock_step, pipelined};

/// How a transaction with one recipient ends that went out behind DATA.
const TAKEN: &str = "
    S: 250 ok
    S: 250 ok
    S: 354 go on
    E: content
    !sent
    S: 250 ok
";

#[test]
fn everything_is_passed_on_to_a_peer_that_offers_it() {
    let wishes = "ret=hdrs envid=QQ+2B31 by=125900ms;RT priority=3";
    let notices = "notify=SUCCESS,DELAY orcpt=rfc822;Bob+2B@Example.ORG";
    capable(&format!(
        "
        !begin {wishes} {notices}
        C: MAIL FROM:<a@x> SIZE=100 RET=HDRS ENVID=QQ+2B31 BY=125;RT MT-PRIORITY=3
        C: RCPT TO:<b@y> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;Bob+2B@Example.ORG
        C: DATA
        {TAKEN}
        E: 0 ok 250 ok with notices
        E: end
        E: ready
        !begin to=b@y,c@y ret=full priority=-9 notify=NEVER 8bit
        C: MAIL FROM:<a@x> SIZE=100 BODY=8BITMIME RET=FULL MT-PRIORITY=-9
        C: RCPT TO:<b@y> NOTIFY=NEVER
        C: RCPT TO:<c@y>
        C: DATA
        S: 250 ok
        S: 250 ok
        S: 250 ok
        S: 354 go on
        E: content
        !sent
        S: 250 ok
        E: 0 ok 250 ok with notices
        E: 1 ok 250 ok with notices
        E: end
        E: ready
        "
    ));
}

#[test]
fn a_peer_that_offers_nothing_hears_nothing() {
    pipelined(&format!(
        "
        !begin ret=full envid=1 by=125000ms;NT priority=3 notify=SUCCESS orcpt=rfc822;a@x utf8
        C: MAIL FROM:<a@x> SIZE=100
        C: RCPT TO:<b@y>
        C: DATA
        {TAKEN}
        E: 0 ok 250 ok without deadline
        E: end
        E: ready
        "
    ));
}

/// RFC 4865 §5: a hold is obeyed where it was asked for.
#[test]
fn a_hold_is_never_passed_on() {
    capable(
        "
        !begin held
        C: MAIL FROM:<a@x> SIZE=100
        C: RCPT TO:<b@y>
        C: DATA
        !quit
        E: 0 Session/Network now: 4.4.2 given up while waiting for the answer to MAIL
        E: end
        E: closed
        ",
    );
}

#[test]
fn what_could_end_a_command_is_left_out() {
    capable(
        "
        !begin envid=aCRLFDATA orcpt=rfc822;aCRLFDATA
        C: MAIL FROM:<a@x> SIZE=100
        C: RCPT TO:<b@y>
        C: DATA
        !quit
        E: 0 Session/Network now: 4.4.2 given up while waiting for the answer to MAIL
        E: end
        E: closed
        ",
    );
}

// SMTPUTF8.

#[test]
fn addresses_in_utf8_go_to_a_peer_that_takes_them() {
    capable(&format!(
        "
        !begin utf8 8bit from=é@x to=ü@bücher.example orcpt=utf-8;ü@bücher.example
        C: MAIL FROM:<é@x> SIZE=100 BODY=8BITMIME SMTPUTF8
        C: RCPT TO:<ü@bücher.example> ORCPT=utf-8;ü@bücher.example
        C: DATA
        {TAKEN}
        E: 0 ok 250 ok with notices
        E: end
        E: ready
        "
    ));
}

#[test]
fn a_peer_without_smtputf8_gets_what_is_ascii() {
    let dsn_only = "
        S: 220 mx
        C: EHLO me.example
        S: 250-mx
        S: 250-PIPELINING
        S: 250-8BITMIME
        S: 250 DSN
        E: ready
    ";
    let settings = ClientSettings::new("me.example");
    let check = |rest: &str| check_with(&settings, &format!("{dsn_only}{rest}"));
    check(&format!(
        "
        !begin utf8 from=a@bücher.example to=b@bücher.example,ü@y orcpt=utf-8;ü@y
        E: 1 Recipient/Hard: 5.6.7 the address is not ASCII, and the peer takes no other (SMTPUTF8)
        C: MAIL FROM:<a@xn--bcher-kva.example>
        C: RCPT TO:<b@xn--bcher-kva.example> ORCPT=utf-8;\\x{{FC}}@y
        C: DATA
        {TAKEN}
        E: 0 ok 250 ok with notices
        E: end
        E: ready
        "
    ));
    check(
        "
        !begin utf8 from=é@x
        E: 0 Message/Hard: 5.6.7 the sender's address is not ASCII, and the peer takes no other \
           (SMTPUTF8)
        E: end
        E: ready
        !begin utf8 8bit
        E: 0 Message/Hard: 5.6.9 the header may be UTF-8, and the peer takes none (SMTPUTF8)
        E: end
        E: ready
        ",
    );
}

// BINARYMIME.

#[test]
fn binary_content_goes_in_one_chunk() {
    capable(
        "
        !begin binary to=b@y,c@y
        C: MAIL FROM:<a@x> SIZE=100 BODY=BINARYMIME
        C: RCPT TO:<b@y>
        C: RCPT TO:<c@y>
        S: 250 ok
        S: 550 5.1.1 b?
        S: 250 ok
        E: 0 Recipient/Hard: 550 5.1.1 b? (in reply to RCPT)
        E: chunk
        C: BDAT 100 LAST
        !progress
        !sent
        S: 250 ok
        E: 1 ok 250 ok with notices
        E: end
        E: ready
        !begin
        C: MAIL FROM:<a@x> SIZE=100
        C: RCPT TO:<b@y>
        C: DATA
        !quit
        E: 0 Session/Network now: 4.4.2 given up while waiting for the answer to MAIL
        E: end
        E: closed
        ",
    );
}

/// RFC 3030 §2: what a refused BDAT leaves behind is not known.
#[test]
fn a_refused_chunk_is_followed_by_a_reset() {
    capable(
        "
        !begin binary
        C: MAIL FROM:<a@x> SIZE=100 BODY=BINARYMIME
        C: RCPT TO:<b@y>
        S: 250 ok
        S: 250 ok
        E: chunk
        C: BDAT 100 LAST
        !sent
        S: 552 5.3.4 too big
        E: 0 Message/Hard: 552 5.3.4 too big (in reply to the end of data)
        E: end
        E: ready
        !begin binary
        C: RSET
        C: MAIL FROM:<a@x> SIZE=100 BODY=BINARYMIME
        C: RCPT TO:<b@y>
        S: 250 ok
        S: 250 ok
        S: 250 ok
        E: chunk
        C: BDAT 100 LAST
        S: 503 5.5.1 what?
        E: 0 Message/Hard: 503 5.5.1 what? (in the middle of the content)
        E: end
        E: closed Message/Hard: 503 5.5.1 what? (in the middle of the content)
        ",
    );
}

#[test]
fn no_chunk_is_sent_for_nobody() {
    capable(
        "
        !begin binary
        C: MAIL FROM:<a@x> SIZE=100 BODY=BINARYMIME
        C: RCPT TO:<b@y>
        S: 250 ok
        S: 550 b?
        E: 0 Recipient/Hard: 550 b? (in reply to RCPT)
        E: end
        E: ready
        !begin binary
        C: RSET
        C: MAIL FROM:<a@x> SIZE=100 BODY=BINARYMIME
        C: RCPT TO:<b@y>
        S: 250 ok
        S: 450 later
        S: 250 fine
        E: 0 Message/Soft: 450 later (in reply to MAIL)
        E: end
        E: ready
        ",
    );
}

#[test]
fn without_pipelining_a_chunk_waits_like_any_command() {
    let peer = "
        S: 220 mx
        C: EHLO me.example
        S: 250-mx
        S: 250-BINARYMIME
        S: 250 CHUNKING
        E: ready
        !begin binary
        C: MAIL FROM:<a@x> BODY=BINARYMIME
        S: 250 ok
        C: RCPT TO:<b@y>
        S: 250 ok
        E: chunk
        C: BDAT 100 LAST
        !sent
        !eof
    ";
    let lost = "Message/Network: 4.4.2 the peer closed the connection while waiting for the answer \
                to the end of data (the message may arrive twice)";
    check_with(
        &ClientSettings::new("me.example"),
        &format!("{peer}\nE: 0 {lost}\nE: end\nE: closed {lost}"),
    );
}

#[test]
fn binary_content_is_never_sent_to_a_peer_that_does_not_take_it() {
    let failure = "Message/Hard: 5.6.1 the message has binary content, which the peer does not \
                   take (BINARYMIME)";
    let refused = format!("!begin binary\nE: 0 {failure}\nE: end\nE: ready\n");
    pipelined(&refused);
    lock_step(&refused);
    let chunks_only = "S: 220 mx\nC: EHLO me.example\nS: 250-mx\nS: 250 CHUNKING\nE: ready\n";
    let mut settings = ClientSettings::new("me.example");
    settings.eight_bit_to_seven_bit_peer = EightBitToSevenBitPeer::SendAsIs;
    check_with(&settings, &format!("{chunks_only}{refused}"));
}

// REQUIRETLS.

/// RFC 8689 §4.2.1; and §5: a notice is not lost for it.
#[test]
fn what_requires_tls_does_not_go_in_the_clear() {
    capable(
        "
        !begin tls
        E: 0 Message/Hard: 5.7.10 the sender wants it sent over TLS only (REQUIRETLS), and this \
           server sends without
        E: end
        E: ready
        !begin tls from=
        C: MAIL FROM:<> SIZE=100
        C: RCPT TO:<b@y>
        C: DATA
        !quit
        E: 0 Session/Network now: 4.4.2 given up while waiting for the answer to MAIL
        E: end
        E: closed
        ",
    );
}

// DELIVERBY.

/// RFC 2852 §4.1.4.1.
#[test]
fn what_is_to_be_returned_in_time_goes_only_where_that_is_done() {
    let no_deadline = "
        !begin by=60000ms;R
        E: 0 Message/Hard: 5.3.3 the sender set a deadline, which the peer would not keep \
           (DELIVERBY)
        E: end
        E: ready
    ";
    pipelined(no_deadline);
    lock_step(no_deadline);
    capable(
        "
        !begin by=9999ms;R
        E: 0 Message/Hard: 5.4.7 the sender's deadline is 9 s ahead, and the peer wants at least \
           10 s
        E: end
        E: ready
        !begin by=999ms;R
        E: 0 Message/Hard: 5.4.7 not delivered by the time that the sender set
        E: end
        E: ready
        !begin by=10000ms;R
        C: MAIL FROM:<a@x> SIZE=100 BY=10;R
        C: RCPT TO:<b@y>
        C: DATA
        !quit
        E: 0 Session/Network now: 4.4.2 given up while waiting for the answer to MAIL
        E: end
        E: closed
        ",
    );
}

/// RFC 2852 §4.1.4.
#[test]
fn a_deadline_that_has_passed_is_passed_on_as_such() {
    capable(&format!(
        "
        !begin by=-1500ms;N
        C: MAIL FROM:<a@x> SIZE=100 BY=-2;N
        C: RCPT TO:<b@y>
        C: DATA
        {TAKEN}
        E: 0 ok 250 ok with notices
        E: end
        E: ready
        !begin by=3000000000000ms;NT
        C: MAIL FROM:<a@x> SIZE=100 BY=999999999;NT
        C: RCPT TO:<b@y>
        C: DATA
        {TAKEN}
        E: 0 ok 250 ok with notices
        E: end
        E: ready
        "
    ));
}

/// RFC 2852 §4.1.4.2: the sender hears of a delay all the same.
#[test]
fn where_a_deadline_is_lost_delays_are_asked_for() {
    let dsn_only = "
        S: 220 mx
        C: EHLO me.example
        S: 250-mx
        S: 250-PIPELINING
        S: 250 DSN
        E: ready
    ";
    let check = |options: &str, parameter: &str, end: &str| {
        let begin = format!("!begin {options}\nC: MAIL FROM:<a@x>\nC: RCPT TO:<b@y>{parameter}");
        let end = format!("E: 0 ok 250 ok with notices{end}\nE: end\nE: ready\n");
        check_with(
            &ClientSettings::new("me.example"),
            &format!("{dsn_only}{begin}\nC: DATA\n{TAKEN}{end}"),
        );
    };
    let lost = " without deadline";
    check("by=60000ms;N", " NOTIFY=FAILURE,DELAY", lost);
    check("by=60000ms;N notify=SUCCESS", " NOTIFY=SUCCESS,DELAY", lost);
    check("by=60000ms;N notify=NEVER", " NOTIFY=NEVER", lost);
    // This server has told of the delay already.
    check("by=0ms;N", "", "");
    check("by=-60000ms;N notify=FAILURE", " NOTIFY=FAILURE", "");
}
