//! Clients that other people wrote send through Ringpost, and what arrives is what they sent.

use std::time::Duration;

use crate::support::{
    Aiosmtpd, Config, LoadgenSink, Mail, RECIPIENT, Ringpost, SENDER, Sender, Sink, USUAL_LIMIT,
    assert_arrived, assert_same_bytes, loadgen_program, scenario, split_trace,
};

/// For the scenarios that move 20 MiB through a server without optimisation and a sink in Python.
const LARGE_LIMIT: Duration = Duration::from_secs(240);

fn carries_difficult_mail(sender: Sender) {
    scenario(LARGE_LIMIT, move |test| {
        let sink = Aiosmtpd::start(test);
        let config = Config::relaying_to(test, sink.address());
        let mut server = Ringpost::start(test, &config);
        let send = |mail: Mail| sender.send(test, server.smtp_address(), &mail);
        let sent: Vec<Mail> = Mail::difficult().into_iter().map(send).collect();
        assert_arrived(test, &sink, &sent, 1);
        for received in sink.received() {
            assert_eq!(received.sender, SENDER);
            assert_eq!(received.recipients, [RECIPIENT]);
        }
        server.wait_queue_empty(test);
        server.stop(test);
    });
}

#[test]
fn curl_sends_through() {
    carries_difficult_mail(Sender::Curl);
}

#[test]
fn msmtp_sends_through() {
    carries_difficult_mail(Sender::Msmtp);
}

#[test]
fn smtplib_sends_through() {
    carries_difficult_mail(Sender::Smtplib);
}

#[test]
fn smtp_source_sends_through() {
    carries_difficult_mail(Sender::SmtpSource);
}

#[test]
fn swaks_sends_through() {
    carries_difficult_mail(Sender::Swaks);
}

/// No client sends a message without a header, but the protocol allows it.
#[test]
fn content_of_no_bytes_arrives() {
    scenario(USUAL_LIMIT, |test| {
        let sink = Aiosmtpd::start(test);
        let server = Ringpost::start(test, &Config::relaying_to(test, sink.address()));
        server.session().deliver(SENDER, RECIPIENT, b"");
        let received = test.wait_for("the message", || sink.received().pop());
        let (trace, content) = split_trace(&received.content, &["Received"]);
        assert_eq!(trace.len(), 1);
        assert_same_bytes("the content", content, b"");
    });
}

/// The bundled sink takes the same bytes as the others.
#[test]
fn loadgen_sink_receives() {
    loadgen_program();
    scenario(LARGE_LIMIT, |test| {
        let sink = LoadgenSink::start(test);
        let server = Ringpost::start(test, &Config::relaying_to(test, sink.address()));
        let mails = Mail::difficult();
        let mut session = server.session();
        for mail in &mails {
            session.deliver(SENDER, RECIPIENT, &mail.content);
        }
        assert_arrived(test, &sink, &mails, 1);
    });
}

/// A client that sends everything at once, as RFC 2920 allows once it is offered.
#[test]
fn pipelined_transactions_are_answered_in_order() {
    scenario(USUAL_LIMIT, |test| {
        let sink = Aiosmtpd::start(test);
        let server = Ringpost::start(test, &Config::relaying_to(test, sink.address()));
        let mut session = server.session();
        let mails = [Mail::small("one"), Mail::small("two")];
        let envelope = format!("MAIL FROM:<{SENDER}>\r\nRCPT TO:<{RECIPIENT}>\r\n");
        session.send(format!("{envelope}NOOP\r\nRSET\r\n{envelope}DATA\r\n").as_bytes());
        for start in ["250", "250", "250", "250", "250", "250", "354"] {
            session.expect(start);
        }
        // RFC 2920 §3.1: the end of data may be followed by the next group.
        session.send(&mails[0].content);
        session.send(format!(".\r\n{envelope}DATA\r\n").as_bytes());
        for start in ["250", "250", "250", "354"] {
            session.expect(start);
        }
        session.send(&mails[1].content);
        session.send(b".\r\nQUIT\r\n");
        session.expect("250");
        session.expect("221");
        assert_eq!(session.replies_until_closed(), []);
        assert_arrived(test, &sink, &mails, 1);
    });
}
