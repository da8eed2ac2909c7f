//! SMTP smuggling: only CRLF.CRLF ends a message (RFC 5321 §4.1.1.4, §2.3.8).
//!
//! A message that holds something another server could take for the end of data is refused, and
//! nothing after that something is taken for commands.

use crate::support::{
    Aiosmtpd, Config, Mail, RECIPIENT, Ringpost, SENDER, Sink, SmtpSocket, USUAL_LIMIT,
    assert_arrived, scenario,
};

/// What some server somewhere has taken for the end of data, and line ends that are none.
const FALSE_ENDS: &[&[u8]] = &[
    b"\n.\n",
    b"\n.\r\n",
    b"\r\n.\n",
    b"\r.\r",
    b"\r.\r\n",
    b"\r\n.\r",
    b"\n.\r",
    b"\r.\n",
    b"\r\n\0.\r\n",
    b"\r\r\n.\r\r\n",
    b"\n",
    b"\r",
    b"\n\n",
    b"\r\r",
];

/// The commands of the message that is to be smuggled in.
const SMUGGLED: &str = "MAIL FROM:<admin@ringpost.test>\r\nRCPT TO:<victim@dest.test>\r\nDATA\r\n\
    Subject: smuggled\r\n\r\nbody";

/// Opens a transaction up to the 354.
fn in_data(server: &Ringpost) -> SmtpSocket {
    let mut session = server.session();
    session.envelope(SENDER, RECIPIENT);
    session.command("DATA", "354");
    session
}

#[test]
fn false_end_of_data_refuses_the_message() {
    scenario(USUAL_LIMIT, |test| {
        let sink = Aiosmtpd::start(test);
        let mut server = Ringpost::start(test, &Config::relaying_to(test, sink.address()));
        for false_end in FALSE_ENDS {
            let shown = false_end.escape_ascii();
            let mut session = in_data(&server);
            session.send(b"Subject: outer\r\n\r\nbody");
            session.send(false_end);
            session.send(SMUGGLED.as_bytes());
            session.send(b"\r\n.\r\n");
            let reply = session.reply();
            let refused = matches!(reply.code, 550 | 554);
            // A NUL is content like any other (RFC 5321 §2.3.7 only discourages it); whoever
            // accepts it has still not taken it for the end.
            let taken_whole = false_end.contains(&0) && reply.code == 250;
            assert!(refused || taken_whole, "{shown}: {}", reply.text());
            // One reply for one message: whatever was smuggled was not obeyed.
            session.command("NOOP", "250");
            session.command("QUIT", "221");
            assert_eq!(session.replies_until_closed(), [], "{shown}");
        }
        let mail = Mail::small("clean");
        server.session().deliver(SENDER, RECIPIENT, &mail.content);
        server.wait_queue_empty(test);
        let received = sink.received();
        let smuggled = received.iter().any(|it| it.recipients.contains(&"victim@dest.test".into()));
        assert!(!smuggled, "nothing was smuggled in");
        let clean = received.iter().filter(|it| it.subject() == Some("clean")).count();
        assert_eq!(clean, 1);
    });
}

/// The reply does not depend on how the bytes fall into packets.
#[test]
fn false_end_sent_byte_by_byte_refuses_the_message() {
    scenario(USUAL_LIMIT, |test| {
        let sink = Aiosmtpd::start(test);
        let server = Ringpost::start(test, &Config::relaying_to(test, sink.address()));
        for false_end in [b"\n.\n".as_slice(), b"\r\n.\n", b"\n.\r\n", b"\r.\r\n", b"\r\n.\r"] {
            let mut session = in_data(&server);
            for byte in [b"x".as_slice(), false_end, b"RSET\r\n.\r\n"].concat() {
                session.send(&[byte]);
            }
            let reply = session.reply();
            assert!(matches!(reply.code, 550 | 554), "{}", reply.text());
            session.command("QUIT", "221");
        }
        assert_eq!(sink.received().len(), 0);
    });
}

/// Dots that begin lines, and an end of data cut into packets, are no false ends.
#[test]
fn true_end_of_data_is_seen_byte_by_byte() {
    scenario(USUAL_LIMIT, |test| {
        let sink = Aiosmtpd::start(test);
        let server = Ringpost::start(test, &Config::relaying_to(test, sink.address()));
        let mail = Mail::new("bytewise", b".\r\n..\r\n.x\r\n");
        let mut session = in_data(&server);
        let stuffed = [&mail.content[..mail.content.len() - 11], b"..\r\n...\r\n..x\r\n"].concat();
        for byte in [&stuffed, b".\r\n".as_slice()].concat() {
            session.send(&[byte]);
        }
        session.expect("250");
        assert_arrived(test, &sink, &[mail], 1);
    });
}

/// A line feed alone does not end a command either, so nothing hides behind one.
#[test]
fn bare_line_feed_ends_no_command() {
    scenario(USUAL_LIMIT, |test| {
        let sink = Aiosmtpd::start(test);
        let server = Ringpost::start(test, &Config::relaying_to(test, sink.address()));
        let mut session = server.session();
        session.send(b"NOOP\nNOOP\r\n");
        // The line feed is refused at once, and what stood behind it when the line ends.
        session.expect("500 5.5.2");
        session.expect("500 5.5.2");
        session.command("QUIT", "221");
        assert_eq!(session.replies_until_closed(), []);
    });
}
