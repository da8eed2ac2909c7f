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

/// RFC 3030 §2: chunks are counted, so nothing in them ends them. What other servers could take for
/// an end is refused as it is with DATA, and a true end of data is content.
#[test]
fn chunks_smuggle_nothing() {
    scenario(USUAL_LIMIT, |test| {
        let sink = Aiosmtpd::start(test);
        let mut server = Ringpost::start(test, &Config::relaying_to(test, sink.address()));
        let mut mails = Vec::new();
        for false_end in FALSE_ENDS.iter().copied().chain([&b"\r\n.\r\n"[..], b"\r\n..\r\n"]) {
            let shown = false_end.escape_ascii();
            let smuggled = [b"body", false_end, SMUGGLED.as_bytes(), b"\r\n.\r\n"].concat();
            let mail = Mail::new(&format!("chunked-{}", mails.len()), &smuggled);
            // Whole, cut within the end, and byte by byte.
            let cut = mail.content.len() - smuggled.len() + 5;
            let cuts = [vec![], vec![cut], (1..mail.content.len()).collect()];
            for cuts in &cuts {
                let mut session = server.session();
                session.envelope(SENDER, RECIPIENT);
                let mut begin = 0;
                let mut commands = Vec::new();
                for &end in cuts {
                    commands.extend_from_slice(format!("BDAT {}\r\n", end - begin).as_bytes());
                    commands.extend_from_slice(&mail.content[begin..end]);
                    begin = end;
                }
                let rest = &mail.content[begin..];
                commands.extend_from_slice(format!("BDAT {} LAST\r\n", rest.len()).as_bytes());
                commands.extend_from_slice(rest);
                // All at once, the next command as well.
                commands.extend_from_slice(b"NOOP\r\nQUIT\r\n");
                session.send(&commands);
                let replies = session.replies_until_closed();
                // One for each chunk, and one for each of the commands.
                assert_eq!(replies.len(), cuts.len() + 3, "{shown}");
                let answer = &replies[cuts.len()];
                if answer.code == 250 {
                    let harmless = false_end.contains(&0) || false_end.starts_with(b"\r\n.");
                    assert!(harmless && !false_end.ends_with(b"\r"), "{shown} was taken");
                    let name = format!("{}-{}", mail.name, mails.len());
                    mails.push(Mail { name, ..mail.clone() });
                } else {
                    answer.assert_starts("554 5.6.0");
                }
                assert_eq!(replies[cuts.len() + 1].code, 250, "{shown}");
                assert_eq!(replies[cuts.len() + 2].code, 221, "{shown}");
            }
        }
        server.wait_queue_empty(test);
        let received = sink.received();
        assert_eq!(received.len(), mails.len());
        assert_eq!(mails.len(), 9, "a NUL and two ends that are content here, in three ways each");
        for message in &received {
            assert_eq!(message.recipients, [RECIPIENT], "nothing was smuggled in");
            let is_whole = mails.iter().any(|mail| message.content.ends_with(&mail.content));
            assert!(is_whole, "{}", message.content.escape_ascii());
        }
    });
}

/// A whole dialogue in one packet: what stands behind the true end is a command, and what stands
/// behind a false one is not.
#[test]
fn pipelined_dialogue_smuggles_nothing() {
    scenario(USUAL_LIMIT, |test| {
        let sink = Aiosmtpd::start(test);
        let mut server = Ringpost::start(test, &Config::relaying_to(test, sink.address()));
        for false_end in FALSE_ENDS {
            let shown = false_end.escape_ascii();
            let mut session = server.session();
            let begin = format!("MAIL FROM:<{SENDER}>\r\nRCPT TO:<{RECIPIENT}>\r\nDATA\r\n");
            let content = [b"Subject: outer\r\n\r\nbody", *false_end, SMUGGLED.as_bytes()].concat();
            let end = b"\r\n.\r\nNOOP\r\nMAIL FROM:<last@source.test>\r\nQUIT\r\n";
            session.send(&[begin.as_bytes(), &content, end].concat());
            let codes: Vec<u16> =
                session.replies_until_closed().iter().map(|reply| reply.code).collect();
            assert_eq!(codes[..3], [250, 250, 354], "{shown}");
            assert!(matches!(codes[3], 550 | 554) || false_end.contains(&0), "{shown}: {codes:?}");
            assert_eq!(codes[4..], [250, 250, 221], "{shown}");
        }
        server.wait_queue_empty(test);
        for message in sink.received() {
            assert_eq!(message.recipients, [RECIPIENT], "nothing was smuggled in");
        }
    });
}

/// Where a listener mends bare line feeds for its users, a dot between two of them is content for
/// this server and for the next.
#[test]
fn mended_line_feeds_smuggle_nothing() {
    scenario(USUAL_LIMIT, |test| {
        let sink = Aiosmtpd::start(test);
        let config = Config::relaying_to(test, sink.address())
            .set_listener("role", "\"submission\"")
            .set_listener("lenient", "[\"bare-lf\"]");
        let mut server = Ringpost::start(test, &config);
        let mut accepted = 0;
        for false_end in FALSE_ENDS {
            for is_cut in [false, true] {
                let mut session = in_data(&server);
                let begin = b"Subject: outer\r\n\r\nbody";
                let sent = [begin, *false_end, SMUGGLED.as_bytes(), b"\r\n.\r\n"].concat();
                if is_cut {
                    sent.iter().for_each(|byte| session.send(&[*byte]));
                } else {
                    session.send(&sent);
                }
                let reply = session.reply();
                let shown = false_end.escape_ascii();
                let has_bare_cr = memchr::memmem::find_iter(false_end, b"\r")
                    .any(|at| false_end.get(at + 1) != Some(&b'\n'));
                let expected = if has_bare_cr { "554 5.6.0" } else { "250" };
                assert!(reply.text().starts_with(expected), "{shown}: {}", reply.text());
                accepted += usize::from(reply.code == 250);
                session.command("NOOP", "250");
                session.command("QUIT", "221");
                assert_eq!(session.replies_until_closed(), [], "{shown}");
            }
        }
        server.wait_queue_empty(test);
        let received = sink.received();
        assert_eq!(received.len(), accepted);
        for message in received {
            assert_eq!(message.recipients, [RECIPIENT], "nothing was smuggled in");
            let smuggled = SMUGGLED.as_bytes();
            let at = memchr::memmem::find(&message.content, smuggled).expect("it is content");
            assert!(
                message.content[..at].ends_with(b"\n") || message.content[..at].ends_with(b".")
            );
        }
    });
}
