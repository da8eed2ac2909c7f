//! What a client asked for goes on to the next hop, or its sender hears that it cannot.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ringpost::clock::WallTime;
use ringpost::ids::MessageId;
use ringpost::message::{Content, Message, Recipient, RecipientState, Wishes};

use crate::support::{
    Aiosmtpd, Config, Listener, Mail, Postfix, RECIPIENT, Report, Ringpost, SENDER, Scenario, Sink,
    SmtpSocket, USUAL_LIMIT, fill_spool, scenario,
};

/// Postfix for `dest.test`, and a sink for everything else, where notices arrive.
fn before_postfix(test: &Scenario) -> (Postfix, Aiosmtpd, Ringpost) {
    let (postfix, notices) = (Postfix::start(test), Aiosmtpd::start(test));
    let config = Config::new(test)
        .route("dest.test", &format!("smtp://{}", postfix.address()))
        .route("*", &format!("smtp://{}", notices.address()));
    let server = Ringpost::start(test, &config);
    (postfix, notices, server)
}

/// Sends a message whose MAIL and RCPT have these parameters.
#[track_caller]
fn send(session: &mut SmtpSocket, mail: &str, rcpt: &str, content: &Mail) {
    session.command(&format!("MAIL FROM:<{SENDER}>{mail}"), "250");
    session.command(&format!("RCPT TO:<{RECIPIENT}>{rcpt}"), "250");
    session.command("DATA", "354");
    session.send(&content.content);
    session.send(b".\r\n");
    session.expect("250");
}

/// The first notice in `sink`.
fn notice(test: &Scenario, sink: &dyn Sink) -> String {
    let received = test.wait_for("a notice", || sink.received().pop());
    assert_eq!(received.sender, "", "a notice has the null sender");
    String::from_utf8(received.content).expect("a notice is ASCII")
}

/// RFC 3461 §5.2.1. Postfix delivers all mail into one maildir, its notices as well.
#[test]
fn postfix_tells_of_success_as_the_sender_wants_it() {
    scenario(USUAL_LIMIT, |test| {
        let (postfix, notices, mut server) = before_postfix(test);
        let rcpt = " NOTIFY=SUCCESS,DELAY ORCPT=rfc822;Alias+2Bone@Example.org";
        send(&mut server.session(), " RET=HDRS ENVID=QQ+2B1", rcpt, &Mail::small("told"));
        test.wait_until("the message and the notice of it", || postfix.count() >= 2);
        let received = postfix.received();
        let is_notice =
            |content: &[u8]| memchr::memmem::find(content, b"delivery-status").is_some();
        let notice = received.iter().find(|it| is_notice(&it.content)).expect("a notice");
        let text = String::from_utf8_lossy(&notice.content);
        for line in [
            "Reporting-MTA: dns; postfix.test",
            "Original-Envelope-Id: QQ+1",
            "Original-Recipient: rfc822;Alias+one@Example.org",
            "Action: delivered",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        server.wait_queue_empty(test);
        assert_eq!(notices.count(), 0, "nobody else tells");
        assert_eq!(postfix.count(), 2);
    });
}

/// RFC 2852 §4.1.4.2: Postfix knows no deadlines, so this server tells that it passed the message
/// on, and Postfix is to tell of a delay.
#[test]
fn a_deadline_that_ends_at_postfix_is_told() {
    scenario(USUAL_LIMIT, |test| {
        let (postfix, notices, mut server) = before_postfix(test);
        send(&mut server.session(), " BY=3600;N", "", &Mail::small("by"));
        let notice = notice(test, &notices);
        assert!(notice.contains("\r\nAction: relayed\r\n"), "{notice}");
        test.wait_until("the message", || postfix.count() == 1);
        server.wait_queue_empty(test);
    });
}

/// What Postfix does not offer and the message needs fails it at once, with the status that says
/// what is missing.
#[test]
fn what_postfix_cannot_do_is_returned() {
    scenario(USUAL_LIMIT, |test| {
        let (postfix, notices, mut server) = before_postfix(test);
        let mut session = server.session();
        let failed = |what: &str, status: &str, count: usize| {
            test.wait_until(what, || notices.count() == count);
            let received = notices.received().remove(count - 1);
            Report::read(test, &received).assert_failed(RECIPIENT, status);
        };

        // RFC 3030 §3: Postfix has CHUNKING without BINARYMIME.
        session.command(&format!("MAIL FROM:<{SENDER}> BODY=BINARYMIME"), "250");
        session.command(&format!("RCPT TO:<{RECIPIENT}>"), "250");
        session.send(b"BDAT 22 LAST\r\nSubject: binary\r\n\r\n\0\n\r");
        session.expect("250");
        failed("the notice of binary content", "5.6.1", 1);

        // RFC 2852 §4.1.4.1.
        send(&mut session, " BY=3600;R", "", &Mail::small("returned"));
        failed("the notice of the deadline", "5.3.3", 2);

        // RFC 6531 §3.2: this Postfix is told not to take UTF-8.
        session.command("MAIL FROM:<sender@source.test> SMTPUTF8", "250");
        session.command("RCPT TO:<grüße@dest.test>", "250");
        session.command("DATA", "354");
        session.send(b"Subject: utf8\r\n\r\nbody\r\n.\r\n");
        session.expect("250");
        test.wait_until("the notice of the address", || notices.count() == 3);
        let text = String::from_utf8_lossy(&notices.received()[2].content).into_owned();
        assert!(text.contains("\r\nStatus: 5.6.7\r\n"), "{text}");

        server.wait_queue_empty(test);
        assert_eq!(postfix.count(), 0);
        assert_eq!(server.metrics().value("ringpost_recipients_deferred_total"), 0.0);
    });
}

#[test]
fn aiosmtpd_receives_addresses_in_utf8() {
    scenario(USUAL_LIMIT, |test| {
        let sink = Aiosmtpd::start(test);
        let mut server = Ringpost::start(test, &Config::relaying_to(test, sink.address()));
        let mut session = server.session();
        session.command("MAIL FROM:<señor@bücher.example> SMTPUTF8 BODY=8BITMIME", "250");
        session.command("RCPT TO:<grüße@dest.test>", "250");
        session.command("DATA", "354");
        let content = "Subject: grüße\r\n\r\nbody\r\n";
        session.send(content.as_bytes());
        session.send(b".\r\n");
        session.expect("250");
        let received = test.wait_for("the message", || sink.received().pop());
        assert_eq!(received.sender, "señor@bücher.example");
        assert_eq!(received.recipients, ["grüße@dest.test"]);
        assert!(received.content.ends_with(content.as_bytes()));
        server.wait_queue_empty(test);
    });
}

const EVERYTHING: &[&str] = &[
    "listener.test",
    "PIPELINING",
    "SIZE",
    "CHUNKING",
    "BINARYMIME",
    "SMTPUTF8",
    "DSN",
    "DELIVERBY",
    "MT-PRIORITY",
];

/// Any bytes, in more pieces than one read of the spool, arrive as they are.
#[test]
fn binary_content_is_passed_on_byte_for_byte() {
    scenario(USUAL_LIMIT, |test| {
        let next_hop = Listener::start(test.address(), EVERYTHING);
        let mut server = Ringpost::start(test, &Config::relaying_to(test, next_hop.address()));
        let mut content = b"Subject: binary\r\n\r\n.\r\n\r\n.\r\nQUIT\r\n".to_vec();
        content.extend((0..3_000_000u32).map(|number| (number % 251) as u8));
        let mut session = server.session();
        for _ in 0..2 {
            session.command(&format!("MAIL FROM:<{SENDER}> BODY=BINARYMIME"), "250");
            session.command(&format!("RCPT TO:<{RECIPIENT}>"), "250");
            let (first, rest) = content.split_at(1_000_000);
            session.send(format!("BDAT {}\r\n", first.len()).as_bytes());
            session.send(first);
            session.expect("250");
            session.send(format!("BDAT {} LAST\r\n", rest.len()).as_bytes());
            session.send(rest);
            session.expect("250");
        }
        test.wait_until("both messages", || next_hop.heard().len() == 2);
        for message in next_hop.heard() {
            let [mail, rcpt, bdat] = &message.commands[..] else {
                panic!("{:?}", message.commands)
            };
            assert!(mail.ends_with(" BODY=BINARYMIME"), "{mail}");
            assert_eq!(*rcpt, format!("RCPT TO:<{RECIPIENT}>"));
            assert_eq!(*bdat, format!("BDAT {} LAST", message.content.len()));
            assert!(message.content.starts_with(b"Received: "));
            assert!(message.content.ends_with(&content));
        }
        server.wait_queue_empty(test);
    });
}

#[test]
fn deadline_and_priority_are_passed_on() {
    scenario(USUAL_LIMIT, |test| {
        let next_hop = Listener::start(test.address(), EVERYTHING);
        let mut server = Ringpost::start(test, &Config::relaying_to(test, next_hop.address()));
        let mail = " BY=3600;R MT-PRIORITY=-3 RET=FULL ENVID=1";
        send(&mut server.session(), mail, " NOTIFY=NEVER", &Mail::small("all"));
        let heard = test.wait_for("the message", || next_hop.heard().pop());
        let (_, wishes) = heard.commands[0].split_once(" RET=").expect("RET");
        let rest = wishes.strip_prefix("FULL ENVID=1 BY=").expect(wishes);
        let (seconds, rest) = rest.split_once(';').expect("a mode");
        let seconds: u32 = seconds.parse().expect("seconds");
        assert!((1..=3_600).contains(&seconds), "{seconds}: time passes, and none is added");
        assert_eq!(rest, "R MT-PRIORITY=-3");
        assert_eq!(heard.commands[1], format!("RCPT TO:<{RECIPIENT}> NOTIFY=NEVER"));
        assert_eq!(heard.commands[2], "DATA");
        server.wait_queue_empty(test);
    });
}

/// RFC 8689 §4.2.1: it goes nowhere in the clear, and its sender is told at once; §5: the notice
/// itself is not lost.
#[test]
fn what_requires_tls_is_returned() {
    scenario(USUAL_LIMIT, |test| {
        let sink = Aiosmtpd::start(test);
        let config = Config::relaying_to(test, sink.address());
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let received =
            WallTime::from_unix_ms(u64::try_from(since.as_millis()).expect("a clock of this age"));
        let message = Message {
            id: MessageId(0),
            received,
            sender: SENDER.as_bytes().into(),
            recipients: vec![Recipient {
                address: RECIPIENT.as_bytes().into(),
                state: RecipientState::new(received),
                notices: None,
            }],
            content: Content::default(),
            wishes: Some(Box::new(Wishes { require_tls: true, ..Wishes::default() })),
        };
        fill_spool(config.spool_path(), &mut [(message, Mail::small("secret").content)]);
        let mut server = Ringpost::start(test, &config);
        let received = test.wait_for("the notice", || sink.received().pop());
        Report::read(test, &received).assert_failed(RECIPIENT, "5.7.10");
        server.wait_queue_empty(test);
        assert_eq!(sink.count(), 1, "the message itself goes nowhere");
    });
}
