//! Clients that misbehave: each gets the right reply, and everyone else's mail flows on.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::{
    Aiosmtpd, Config, Mail, RECIPIENT, Ringpost, SENDER, Scenario, Sink, SmtpSocket, USUAL_LIMIT,
    assert_arrived, scenario,
};

/// Connections that do nothing.
const IDLE_COUNT: usize = 1_000;

/// For scenarios in which a client is slow on purpose.
const SLOW_LIMIT: Duration = Duration::from_secs(180);

/// A server that relays everything to a sink, and what both need to live.
fn serving(test: &Scenario, change: impl FnOnce(Config) -> Config) -> (Aiosmtpd, Ringpost) {
    let sink = Aiosmtpd::start(test);
    let config = change(Config::relaying_to(test, sink.address()));
    let server = Ringpost::start(test, &config);
    (sink, server)
}

/// Lines that no server can make sense of, with the start of the reply each must get. What comes
/// before the line in the same session is accepted.
const WRONG_LINES: &[(&[&str], &[u8], &str)] = &[
    // Unknown commands (RFC 5321 §4.2.4).
    (&[], b"FROB", "500 5.5"),
    (&[], b"", "500 5.5"),
    (&[], b" ", "500 5.5"),
    (&[], b"GET / HTTP/1.1", "500 5.5"),
    // NUL bytes, bytes that are no ASCII, and bytes that are no UTF-8 either.
    (&[], b"NO\0OP", "50"),
    (&[], b"\0", "50"),
    (&[], "MAIL FROM:<ü@source.test>".as_bytes(), "5"),
    (&[], b"MAIL FROM:<\xFF\xFE@source.test>", "5"),
    (&[], b"EHLO \xC3\x28", "501 5.5"),
    (&[], b"MAIL FROM:<a\0b@source.test>", "5"),
    // Wrong order (RFC 5321 §4.1.4).
    (&[], b"RCPT TO:<recipient@dest.test>", "503 5.5.1"),
    (&[], b"DATA", "503 5.5.1"),
    (&["MAIL FROM:<a@b.test>"], b"DATA", "503 5.5.1"),
    (&["MAIL FROM:<a@b.test>"], b"MAIL FROM:<a@b.test>", "503 5.5.1"),
    // Wrong syntax (RFC 5321 §4.1.1, §4.1.2).
    (&[], b"EHLO", "501 5.5"),
    (&[], b"MAIL", "501 5.5"),
    (&[], b"MAIL FROM", "501 5.5"),
    (&[], b"MAIL FROM:<a@b.test", "501 5."),
    (&[], b"MAIL FROM:<a b@c.test>", "501 5."),
    (&[], b"MAIL FROM:<a@b.test> SIZE=many", "501 5.5"),
    (&[], b"MAIL FROM:<a@b.test> FROB=1", "555 5.5"),
    (&["MAIL FROM:<a@b.test>"], b"RCPT TO:<>", "501 5."),
    (&["MAIL FROM:<a@b.test>"], b"RCPT TO:<c@>", "501 5."),
    (&["MAIL FROM:<a@b.test>"], b"RCPT TO:<c@d..test>", "501 5."),
    (&["MAIL FROM:<a@b.test>", "RCPT TO:<c@d.test>"], b"DATA now", "501 5.5"),
    // A size that is announced and too big (RFC 1870 §6.1).
    (&[], b"MAIL FROM:<a@b.test> SIZE=99999999999", "552 5.3.4"),
];

#[test]
fn wrong_lines_get_their_replies_and_the_session_goes_on() {
    scenario(USUAL_LIMIT, |test| {
        let (sink, server) = serving(test, |config| config);
        for (before, line, start) in WRONG_LINES {
            let mut session = server.session();
            for command in *before {
                session.command(command, "250");
            }
            session.send(&[line, b"\r\n".as_slice()].concat());
            let reply = session.reply().text();
            assert!(reply.starts_with(start), "{}: {reply}", line.escape_ascii());
            session.command("RSET", "250");
            session.command("MAIL FROM:<a@b.test>", "250");
            session.command("QUIT", "221");
        }
        assert_eq!(sink.received().len(), 0);
    });
}

/// RFC 5321 §4.5.3.1.4: a command line has a greatest length. What is longer is one command that
/// is refused, not several.
#[test]
fn over_long_lines_are_refused_whole() {
    scenario(USUAL_LIMIT, |test| {
        let (_sink, server) = serving(test, |config| config);
        for bytes in [3_000, 100_000, 5_000_000] {
            let mut session = server.session();
            let mut line = vec![b'X'; bytes];
            line.extend_from_slice(b"\r\nNOOP\r\n");
            session.send(&line);
            session.expect("500 5.5");
            session.expect("250");
            session.command("QUIT", "221");
        }
        let mut session = server.session();
        session.send(format!("MAIL FROM:<{}@source.test>\r\n", "l".repeat(1_000)).as_bytes());
        session.expect("501 5.");
        session.command("NOOP", "250");
    });
}

/// RFC 5321 §4.5.3.1.10: the recipients beyond the bound are for another transaction.
#[test]
fn session_bounds_hold() {
    scenario(USUAL_LIMIT, |test| {
        let (sink, server) = serving(test, |config| {
            config
                .set_listener("recipients_max", 100)
                .set_listener("errors_max", 3)
                .set_listener("message_max_bytes", 100_000)
        });
        let mut session = server.session();
        session.command(&format!("MAIL FROM:<{SENDER}>"), "250");
        for number in 0..100 {
            session.command(&format!("RCPT TO:<r{number}@dest.test>"), "250");
        }
        session.command("RCPT TO:<one-more@dest.test>", "452 4.5.3");
        let mail = Mail::small("all-but-one");
        session.command("DATA", "354");
        session.send(&mail.content);
        session.send(b".\r\n");
        session.expect("250");

        // Too big without having said so.
        let mut session = server.session();
        let large = format!("{}\r\n", "x".repeat(70)).repeat(2_000);
        session
            .try_deliver(SENDER, RECIPIENT, large.as_bytes())
            .unwrap_err()
            .assert_starts("552 5.3.4");
        session.command("NOOP", "250");

        let mut session = server.session();
        let replies: Vec<String> = (0..4)
            .map_while(|_| {
                session.try_send(b"FROB\r\n");
                session.try_reply().map(|reply| reply.text())
            })
            .collect();
        assert!(replies.last().unwrap().starts_with("421 4."), "{replies:?}");
        assert_eq!(session.replies_until_closed(), []);
        assert_arrived(test, &sink, &[mail], 1);
    });
}

#[test]
fn strangers_may_not_relay() {
    scenario(USUAL_LIMIT, |test| {
        let (sink, server) =
            serving(test, |config| config.set_listener("relay_from", "[\"192.0.2.0/24\"]"));
        let mut session = server.session();
        session.command(&format!("MAIL FROM:<{SENDER}>"), "250");
        session.command(&format!("RCPT TO:<{RECIPIENT}>"), "550 5.7.1");
        // No address syntax gets round it.
        for way_round in [
            "\"recipient@dest.test\"@ringpost.test",
            "@ringpost.test:recipient@dest.test",
            "recipient%dest.test@ringpost.test",
            "dest.test!recipient@ringpost.test",
        ] {
            let reply = session.ask(&format!("RCPT TO:<{way_round}>"));
            assert!(reply.code >= 500, "{way_round}: {}", reply.text());
        }
        // RFC 5321 §3.3 lets DATA fail with either when every recipient was refused.
        let reply = session.ask("DATA");
        assert!(matches!(reply.code, 503 | 554), "{}", reply.text());
        session.command("QUIT", "221");
        assert_eq!(sink.received().len(), 0);
    });
}

/// Everything that a client may have sent before it vanishes, but for a whole message.
const CUT_SHORT: &[&str] = &[
    "",
    "EH",
    "EHLO client.test\r\n",
    "EHLO client.test\r\nMAIL FROM:<a@b.test>",
    "EHLO client.test\r\nMAIL FROM:<a@b.test>\r\n",
    "EHLO client.test\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\n",
    "EHLO client.test\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\n",
    "EHLO client.test\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\nSubject: cut",
    "EHLO client.test\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\nSubject: cut\r",
    "EHLO client.test\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\nSubject: cut\r\n",
    "EHLO client.test\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\nSubject: cut\r\n.",
    "EHLO client.test\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\nSubject: cut\r\n.\r",
];

/// Nothing of a message counts before its end of data (RFC 5321 §4.1.1.4).
#[test]
fn early_end_of_the_connection_leaves_nothing_behind() {
    scenario(USUAL_LIMIT, |test| {
        let (sink, mut server) = serving(test, |config| config);
        for cut in CUT_SHORT {
            // With a reply still to be read, a closing client resets the connection.
            let mut vanishing = SmtpSocket::connect(server.smtp_address());
            vanishing.send(cut.as_bytes());
            drop(vanishing);
            // And one that only says that it has sent all still reads.
            let mut finished = SmtpSocket::connect(server.smtp_address());
            finished.send(cut.as_bytes());
            finished.finish_sending();
            let replies = finished.replies_until_closed();
            replies[0].assert_starts("220");
            assert!(replies.iter().all(|reply| reply.code < 500), "{cut:?}: {replies:?}");
        }
        let mail = Mail::small("whole");
        server.session().deliver(SENDER, RECIPIENT, &mail.content);
        assert_arrived(test, &sink, &[mail], 1);
        test.wait_until("the connections to be forgotten", || connections(&server) == 0.0);
        server.wait_queue_empty(test);
        assert_eq!(server.metrics().sum("ringpost_messages_received_total"), Some(1.0));
        assert_eq!(sink.received().len(), 1);
    });
}

/// Connections of clients.
fn connections(server: &Ringpost) -> f64 {
    server.metrics().sum_where("ringpost_smtp_connections", "direction=\"in").expect("the gauge")
}

/// A client that sends the whole dialogue and is gone before the last reply: its message may be
/// kept or not, but what is kept is whole.
#[test]
fn client_gone_before_the_last_reply_leaves_a_whole_message_or_none() {
    scenario(USUAL_LIMIT, |test| {
        let (sink, mut server) = serving(test, |config| config);
        let mail = Mail::small("gone");
        for _ in 0..20 {
            let mut session = server.session();
            session.envelope(SENDER, RECIPIENT);
            session.command("DATA", "354");
            session.send(&mail.content);
            session.send(b".\r\n");
        }
        test.wait_until("the connections to be forgotten", || connections(&server) == 0.0);
        server.wait_queue_empty(test);
        let accepted = server.metrics().value("ringpost_messages_received_total");
        let received = sink.received();
        assert_eq!(received.len() as f64, accepted);
        for message in received {
            assert!(message.content.ends_with(&mail.content));
        }
    });
}

#[test]
fn silent_client_is_sent_away() {
    scenario(SLOW_LIMIT, |test| {
        let (_sink, server) = serving(test, |config| config.set_listener("idle_s", 1));
        let mut before_helo = SmtpSocket::greeted(server.smtp_address());
        let mut in_transaction = server.session();
        in_transaction.envelope(SENDER, RECIPIENT);
        let mut in_content = server.session();
        in_content.envelope(SENDER, RECIPIENT);
        in_content.command("DATA", "354");
        in_content.send(b"Subject: stuck\r\n");
        for session in [&mut before_helo, &mut in_transaction, &mut in_content] {
            session.expect("421 4.4.2");
            assert_eq!(session.replies_until_closed(), []);
        }
        assert_eq!(server.metrics().value("ringpost_messages_received_total"), 0.0);
    });
}

/// A byte a second keeps a client from being silent, but not from being sent away.
fn slow_client_is_sent_away(begin: impl FnOnce(&mut SmtpSocket) + Send + 'static) {
    scenario(SLOW_LIMIT, |test| {
        let (sink, server) =
            serving(test, |config| config.set_listener("idle_s", 5).set_listener("session_s", 6));
        let mut slow = SmtpSocket::greeted(server.smtp_address());
        begin(&mut slow);
        let mut mails = Vec::new();
        while slow.try_send(b"x") {
            // Others are served meanwhile.
            let mail = Mail::small(&format!("beside-{}", mails.len()));
            server.session().deliver(SENDER, RECIPIENT, &mail.content);
            mails.push(mail);
            if slow.has_input(Duration::from_secs(1)) {
                break;
            }
        }
        slow.expect("421 4.4.2");
        assert_eq!(slow.replies_until_closed(), []);
        assert_arrived(test, &sink, &mails, 1);
    });
}

#[test]
fn slow_command_line_ends_with_the_session() {
    slow_client_is_sent_away(|_| {});
}

#[test]
fn slow_content_ends_with_the_session() {
    slow_client_is_sent_away(|slow| {
        slow.command("EHLO slow.test", "250");
        slow.envelope(SENDER, RECIPIENT);
        slow.command("DATA", "354");
    });
}

/// The server starts with a soft limit that does not suffice and raises it by itself.
#[test]
fn thousand_idle_clients_do_not_stop_the_mail() {
    raise_descriptor_limit();
    scenario(USUAL_LIMIT, |test| {
        let sink = Aiosmtpd::start(test);
        let config = Config::relaying_to(test, sink.address());
        let server = Ringpost::start_under(test, &["prlimit", "--nofile=256:"], &config);
        let mut idle: Vec<SmtpSocket> =
            (0..IDLE_COUNT).map(|_| SmtpSocket::greeted(server.smtp_address())).collect();
        test.wait_until("the gauge to show them", || connections(&server) >= IDLE_COUNT as f64);
        let mails = ["one", "two"].map(Mail::small);
        let mut session = server.session();
        for mail in &mails {
            session.deliver(SENDER, RECIPIENT, &mail.content);
        }
        assert_arrived(test, &sink, &mails, 1);
        for session in &mut idle {
            session.command("NOOP", "250");
        }
        drop(idle);
        session.command("QUIT", "221");
        test.wait_until("the connections to be forgotten", || connections(&server) == 0.0);
    });
}

/// This process holds the other ends.
fn raise_descriptor_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
        .expect("up to the hard limit");
    let enough = maximum.is_none_or(|limit| limit > 2 * IDLE_COUNT as u64);
    assert!(enough, "{maximum:?} descriptors are too few: ulimit -Hn 4096 at least");
}

/// RFC 5321 §6.3: mail that has passed through too many servers goes round in circles.
#[test]
fn mail_with_too_many_hops_is_refused() {
    scenario(USUAL_LIMIT, |test| {
        let (sink, server) = serving(test, |config| config);
        let hop = "Received: from a.test by b.test; Tue, 03 Nov 2026 10:00:00 +0000\r\n";
        let content = [hop.repeat(200).as_bytes(), &Mail::small("loop").content].concat();
        let mut session = server.session();
        session.try_deliver(SENDER, RECIPIENT, &content).unwrap_err().assert_starts("554 5.4.6");
        session.command("QUIT", "221");
        assert_eq!(sink.received().len(), 0);
    });
}
