//! Attacks by the content of a message: sizes that overflow, chunks without end, headers without
//! end. Whatever is sent, the session goes on or ends, and the memory of the server stays as it is.

use crate::support::{
    Aiosmtpd, Config, Mail, RECIPIENT, Ringpost, SENDER, Scenario, Sink, SmtpSocket, USUAL_LIMIT,
    assert_arrived, scenario,
};

/// How much memory a server may take on top for one client, whatever it does: what the spool keeps
/// of recent content (16 MiB) and a bit for an allocator that keeps what was freed.
const ONE_CLIENT_BYTES: u64 = 40 << 20;

fn serving(test: &Scenario, change: impl FnOnce(Config) -> Config) -> (Aiosmtpd, Ringpost) {
    let sink = Aiosmtpd::start(test);
    let config = change(Config::relaying_to(test, sink.address()));
    let server = Ringpost::start(test, &config);
    (sink, server)
}

/// A session up to the RCPT.
fn enveloped(server: &Ringpost) -> SmtpSocket {
    let mut session = server.session();
    session.envelope(SENDER, RECIPIENT);
    session
}

/// Sizes of chunks that are none (RFC 3030 §2). Where the next command begins cannot be known, so
/// that the session ends.
#[test]
fn chunk_size_that_is_no_number_ends_the_session() {
    scenario(USUAL_LIMIT, |test| {
        let (sink, server) = serving(test, |config| config);
        for size in [
            "18446744073709551616",
            "99999999999999999999999999",
            "-1",
            "+1",
            "0x10",
            "1e9",
            "1 LAST LAST",
            "1 FIRST",
            "",
            "1,000",
            "\u{661}",
        ] {
            let mut session = enveloped(&server);
            session.send(format!("BDAT {size}\r\nRSET\r\nQUIT\r\n").as_bytes());
            session.expect("50");
            // What stood behind it is not obeyed.
            assert_eq!(session.replies_until_closed(), [], "{size:?}");
        }
        let mail = Mail::small("clean");
        server.session().deliver(SENDER, RECIPIENT, &mail.content);
        assert_arrived(test, &sink, &[mail], 1);
    });
}

/// A chunk that is too big is refused at once, and what stands in it is content all the same.
#[test]
fn chunk_of_two_to_the_sixty_third_is_refused_and_swallowed() {
    scenario(USUAL_LIMIT, |test| {
        let (sink, mut server) = serving(test, |config| config);
        let before = server.resident_bytes();
        for size in [1_u64 << 63, u64::MAX, i64::MAX as u64, 1 << 32, 1 << 31] {
            for last in ["", " LAST"] {
                let mut session = enveloped(&server);
                session.command(&format!("BDAT {size}{last}"), "552 5.3.4");
                for _ in 0..50 {
                    session.send(
                        "RSET\r\nMAIL FROM:<a@source.test>\r\n.\r\n".repeat(1_000).as_bytes(),
                    );
                }
                session.finish_sending();
                assert_eq!(session.replies_until_closed(), [], "{size}{last}");
            }
        }
        let grown = server.resident_bytes().saturating_sub(before);
        assert!(grown < ONE_CLIENT_BYTES, "{grown} bytes for one client");
        server.wait_queue_empty(test);
        assert_eq!(sink.received().len(), 0);
    });
}

/// RFC 3030 §2: `LAST` of no bytes ends a message, also one of no bytes at all.
#[test]
fn empty_last_chunk_ends_the_message() {
    scenario(USUAL_LIMIT, |test| {
        let (sink, mut server) = serving(test, |config| config);
        let mail = Mail::small("chunked");
        let mut session = enveloped(&server);
        session.send(format!("BDAT {}\r\n", mail.content.len()).as_bytes());
        session.send(&mail.content);
        session.expect("250");
        session.command("BDAT 0", "250");
        session.command("BDAT 0 LAST", "250");
        session.command("BDAT 0 LAST", "503 5.5.1");
        assert_arrived(test, &sink, &[mail], 1);
        session.envelope(SENDER, RECIPIENT);
        session.command("BDAT 0 LAST", "250");
        server.wait_queue_empty(test);
        assert_eq!(sink.received().len(), 2);
    });
}

/// Chunks of one byte and of none, as many as a message may have bytes and more.
#[test]
fn small_chunks_without_end_cost_no_memory() {
    const BATCH: usize = 2_000;
    scenario(USUAL_LIMIT, |test| {
        let (sink, mut server) = serving(test, |config| config);
        let before = server.resident_bytes();
        let mut session = enveloped(&server);
        session.send(b"BDAT 17\r\nSubject: tiny\r\n\r\n");
        session.expect("250");
        for round in 0..50 {
            let chunk = |one: usize| match one % 10 {
                0 => "BDAT 0\r\n",
                1 => "BDAT 1\r\n\r",
                2 => "BDAT 1\r\n\n",
                _ => "BDAT 1\r\nx",
            };
            let batch: String = (0..BATCH).map(chunk).collect();
            session.send(batch.as_bytes());
            for _ in 0..BATCH {
                session.expect("250");
            }
            let grown = server.resident_bytes().saturating_sub(before);
            assert!(grown < ONE_CLIENT_BYTES, "{grown} bytes for one client in round {round}");
        }
        session.send(b"BDAT 2 LAST\r\n\r\n");
        session.expect("250");
        server.wait_queue_empty(test);
        let received = sink.received();
        assert_eq!(received.len(), 1);
        let xs = received[0].content.iter().filter(|byte| **byte == b'x').count();
        assert_eq!(xs, 50 * BATCH / 10 * 7);
    });
}

/// Sends `count` times `piece` as content, ends it, and returns the reply.
fn send_content(session: &mut SmtpSocket, begin: &[u8], piece: &[u8], count: usize) -> String {
    session.command("DATA", "354");
    session.send(begin);
    for _ in 0..count {
        session.send(piece);
    }
    session.send(b"\r\n.\r\n");
    session.reply().text()
}

/// Headers that are too long in some way, and bodies that are none because they never end.
#[test]
fn headers_beyond_their_bounds_are_refused() {
    scenario(USUAL_LIMIT, |test| {
        let (sink, mut server) = serving(test, |config| config.set_listener("hops_max", 100));
        let before = server.resident_bytes();
        let megabyte_of_lines = "X-Long: a\r\n folded\r\n".repeat(50_000);
        let cases: [(&[u8], &[u8], usize, &str); 8] = [
            // 100,000 fields of a few bytes, and of one each.
            (b"Subject: many\r\n", b"X: y\r\n", 100_000, "552 5.3.4"),
            (b"", b"a:\r\n", 100_000, "552 5.3.4"),
            // Megabytes of few fields, of one, of one line, of a name alone.
            (b"Subject: long\r\n", megabyte_of_lines.as_bytes(), 5, "552 5.3.4"),
            (b"Subject: folded\r\n", b" more\r\n", 1_000_000, "552 5.3.4"),
            (b"Subject: ", &[b'a'; 8_192], 600, "55"),
            (b"", &[b'n'; 8_192], 600, "55"),
            // What claims to be ours is looked at, with all its comments.
            (b"Authentication-Results: (", b"((((()))\r\n ", 200_000, "552 5.3.4"),
            (b"", b"Authentication-Results: ringpost.test; none\r\n", 100_000, "552 5.3.4"),
        ];
        for (begin, piece, count, refusal) in cases {
            let mut session = enveloped(&server);
            let reply = send_content(&mut session, begin, piece, count);
            let shown = begin.escape_ascii();
            assert!(reply.starts_with(refusal), "{shown}: {reply} instead of {refusal}");
            session.command("NOOP", "250");
            session.command("QUIT", "221");
            let grown = server.resident_bytes().saturating_sub(before);
            assert!(grown < ONE_CLIENT_BYTES, "{shown}: {grown} bytes for one client");
        }
        server.wait_queue_empty(test);
        assert_eq!(sink.received().len(), 0);
    });
}

/// Content that is larger than what is taken is swallowed, however much there is (RFC 1870 §6.2).
#[test]
fn content_beyond_the_bound_is_swallowed() {
    scenario(USUAL_LIMIT, |test| {
        let (sink, server) =
            serving(test, |config| config.set_listener("message_max_bytes", 1_048_576));
        let before = server.resident_bytes();
        let mut session = server.session();
        session.command(&format!("MAIL FROM:<{SENDER}> SIZE=1048577"), "552 5.3.4");
        session.command(&format!("MAIL FROM:<{SENDER}> SIZE=99999999999999999999"), "55");
        // A size that is a lie does not help.
        session.command(&format!("MAIL FROM:<{SENDER}> SIZE=10"), "250");
        session.command(&format!("RCPT TO:<{RECIPIENT}>"), "250");
        let lines = "0123456789abcdef\r\n".repeat(1_000);
        let reply = send_content(&mut session, b"Subject: x\r\n\r\n", lines.as_bytes(), 2_000);
        assert!(reply.starts_with("552 5.3.4"), "{reply}");
        let grown = server.resident_bytes().saturating_sub(before);
        assert!(grown < ONE_CLIENT_BYTES, "{grown} bytes for one client");
        let mail = Mail::small("after");
        session.deliver(SENDER, RECIPIENT, &mail.content);
        assert_arrived(test, &sink, &[mail], 1);
    });
}
