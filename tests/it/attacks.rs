//! Attacks that have worked against other servers, but for smuggling, which has a file of its own.

use std::net::SocketAddr;
use std::time::Duration;

use crate::support::{
    Aiosmtpd, Config, Mail, PASSWORD, RECIPIENT, Ringpost, SENDER, SMTPS_PORT, Scenario, Secured,
    Sink, SmtpSocket, USER, USUAL_LIMIT, assert_arrived, auth_plain, scenario, split_trace,
};

/// What the scenarios with slow clients take on a busy machine.
const SLOW_LIMIT: Duration = Duration::from_secs(180);

/// How much memory a server may take on top for one client, whatever it does. What a session may
/// hold by `src/limits.rs` is a fraction of this; the rest is for what an allocator keeps.
const ONE_CLIENT_BYTES: u64 = 24 << 20;

/// Between two bytes of a slow client.
const DRIBBLE_INTERVAL: Duration = Duration::from_millis(200);

fn serving(test: &Scenario, change: impl FnOnce(Config) -> Config) -> (Aiosmtpd, Ringpost) {
    let sink = Aiosmtpd::start(test);
    let config = change(Config::relaying_to(test, sink.address()));
    let server = Ringpost::start(test, &config);
    (sink, server)
}

/// CVE-2011-0411 and its kin: what came behind STARTTLS in the clear is obeyed by nobody.
#[test]
fn commands_behind_starttls_are_dropped() {
    scenario(USUAL_LIMIT, |test| {
        let secured = Secured::start(test, |config, _| config);
        let log_in = format!("EHLO attacker.test\r\n{}\r\n", auth_plain(USER, PASSWORD));
        let begun = "MAIL FROM:<attacker@source.test>\r\nRCPT TO:<victim@dest.test>\r\n";
        let message = format!("{begun}DATA\r\nSubject: injected\r\n\r\nbody\r\n.\r\n");
        let injections =
            ["RSET\r\n", begun, &message, &log_in, "NOO", "\r\n", "RCPT TO:<victim@dest.test>\r\n"];
        let mut mails = Vec::new();
        for (number, injected) in injections.iter().enumerate() {
            let mut session = secured.server.session();
            session.envelope("attacker@source.test", "victim@dest.test");
            session.send(format!("STARTTLS\r\n{injected}").as_bytes());
            session.expect("220");
            let mut session = session.secure(test, &secured.certificates.trust());
            // One reply for each command that came under TLS, and the session is a new one.
            session.command("HELP", "214");
            session.command("DATA", "503 5.5.1");
            session.command(&format!("MAIL FROM:<{SENDER}>"), "503 5.5.1 Send EHLO");
            let hello = session.command("EHLO client.test", "250");
            assert!(!hello.lines.iter().any(|line| line == "STARTTLS"), "{}", hello.text());
            session.command("STARTTLS", "503 5.5.1");
            session.command(&format!("RCPT TO:<{RECIPIENT}>"), "503 5.5.1");
            let mail = Mail::small(&format!("honest-{number}"));
            session.deliver(SENDER, RECIPIENT, &mail.content);
            session.command("QUIT", "221");
            assert_eq!(session.replies_until_closed(), [], "{injected:?}");
            mails.push(mail);
        }
        assert_arrived(test, &secured.sink, &mails, 1);
    });
}

/// A password that anybody can read is not asked for, and not taken either (RFC 4954 §4).
#[test]
fn password_is_not_taken_before_tls() {
    scenario(USUAL_LIMIT, |test| {
        let secured = Secured::start(test, |config, _| config.set_listener("auth", "\"required\""));
        let mut session = secured.server.session();
        let hello = session.command("EHLO client.test", "250");
        assert!(!hello.lines.iter().any(|line| line.starts_with("AUTH")), "{}", hello.text());
        session.command(&auth_plain(USER, PASSWORD), "538 5.7.11");
        session.command("AUTH LOGIN", "538 5.7.11");
        session.command(&format!("MAIL FROM:<{SENDER}>"), "530 5.7.0");
        session.command(&format!("MAIL FROM:<{SENDER}> AUTH=<>"), "555 5.5.4");
        let mut session = session.start_tls(test, &secured.certificates.trust());
        session.command(&format!("MAIL FROM:<{SENDER}>"), "530 5.7.0");
        session.command(&auth_plain(USER, "not the password"), "535 5.7.8");
        session.command(&format!("MAIL FROM:<{SENDER}>"), "530 5.7.0");
        session.command(&auth_plain(USER, PASSWORD), "235 2.7.0");
        session.command(&auth_plain(USER, PASSWORD), "503 5.5.1");
        session.deliver(SENDER, RECIPIENT, &Mail::small("authenticated").content);
    });
}

/// Where TLS is required nothing is done before it (RFC 3207 §4).
#[test]
fn nothing_is_done_before_required_tls() {
    scenario(USUAL_LIMIT, |test| {
        let secured = Secured::start(test, |config, _| config.set_listener("tls_required", true));
        let mut session = secured.server.session();
        for line in [format!("MAIL FROM:<{SENDER}>"), auth_plain(USER, PASSWORD)] {
            session.command(&line, "530 5.7.0");
        }
        let mut session = session.start_tls(test, &secured.certificates.trust());
        session.deliver(SENDER, RECIPIENT, &Mail::small("protected").content);
    });
}

/// Ways to reach `victim@other.test` through a server that takes mail for dest.test alone.
const RELAY_TRICKS: &[(&str, &str)] = &[
    ("<victim@other.test>", "550 5.7.1"),
    ("<@dest.test:victim@other.test>", "550 5.7.1"),
    ("<@dest.test,@dest.test:victim@other.test>", "550 5.7.1"),
    ("<victim%other.test@dest.test>", "550 5.7.1"),
    ("<other.test!victim@dest.test>", "550 5.7.1"),
    ("<dest.test!other.test!victim@dest.test>", "550 5.7.1"),
    ("<\"victim@other.test\"@dest.test>", "550 5.7.1"),
    ("<\"victim%other.test\"@dest.test>", "550 5.7.1"),
    ("<\"victim\\@other.test\"@dest.test>", "550 5.7.1"),
    ("<@other.test:victim%other.test@dest.test>", "550 5.7.1"),
    ("<victim@other.test@dest.test>", "501 5.1.3"),
    ("<victim@dest.test@other.test>", "501 5.1.3"),
    ("<@victim@other.test>", "501 5.1.3"),
    ("<victim@@dest.test>", "501 5.1.3"),
    ("<victim@dest.test,victim@other.test>", "501 5.1.3"),
    ("<victim@dest.test:victim@other.test>", "501 5.1.3"),
    ("<victim@other.test>@dest.test", "501"),
    ("<victim@other.test><victim@dest.test>", "501"),
    ("<victim@[127.0.0.1]>", "550 5.7.1"),
    ("<victim@[IPv6:::1]>", "550 5.7.1"),
    ("<victim@dest.test.other.test>", "550 5.7.1"),
    ("<victim@other.dest.test>", "550 5.7.1"),
    ("<victim@otherdest.test>", "550 5.7.1"),
    ("<victim@dest.test\0.other.test>", "500 5.5.2"),
    ("<victim@dest.test\t@other.test>", "500 5.5.2"),
    ("<victim@dest\u{3002}test>", "553 5.6.7"),
    ("<victim\u{ff20}other.test>", "553 5.6.7"),
];

/// RFC 5321 §7.9: only those who may get mail to other domains by this server.
#[test]
fn relay_tricks_reach_nobody() {
    scenario(USUAL_LIMIT, |test| {
        let closed = |config: Config| {
            config
                .set_listener("relay_from", "[]")
                .set_listener("accept_for", "[\"dest.test\"]")
                .set_listener("errors_max", 1_000)
        };
        let (sink, mut server) = serving(test, closed);
        let mut session = server.session();
        session.command(&format!("MAIL FROM:<{SENDER}>"), "250");
        for (path, refusal) in RELAY_TRICKS {
            session.command(&format!("RCPT TO:{path}"), refusal);
        }
        session.command("DATA", "554 5.5.1");
        session.command("RSET", "250");
        // Characters that look like others, now that addresses may have them (RFC 6531 §3.3).
        session.command(&format!("MAIL FROM:<{SENDER}> SMTPUTF8"), "250");
        for path in [
            "<victim@other.test>",
            "<victim@dest\u{3002}test>",
            "<victim@dest\u{ff0e}test>",
            "<victim@\u{ff44}est.test>",
            "<victim@dest.test\u{200b}>",
            "<victim@d\u{0435}st.test>",
            "<victim\u{ff20}other.test>",
        ] {
            let reply = session.ask(&format!("RCPT TO:{path}"));
            assert!(matches!(reply.code, 501 | 550 | 553), "{path}: {}", reply.text());
        }
        session.command("RSET", "250");
        // A route is dropped, and what remains is a recipient like any other (appendix C there).
        session.command("MAIL FROM:<@hop.test:sender@source.test>", "250");
        session.command("RCPT TO:<@other.test:recipient@dest.test>", "250");
        session.command("RCPT TO:<UPPER@DEST.TEST>", "250");
        session.command("DATA", "354");
        session.send(&Mail::small("allowed").content);
        session.send(b".\r\n");
        session.expect("250");
        server.wait_queue_empty(test);
        let received = sink.received();
        assert_eq!(received.len(), 1);
        assert_eq!(received[0].sender, SENDER);
        assert_eq!(received[0].recipients, [RECIPIENT, "UPPER@DEST.TEST"]);
    });
}

/// Host names that try to be more than a word in `Received:`.
const EVIL_NAMES: &[&[u8]] = &[
    b"a.test\rX-Injected: yes",
    b"a.test\nX-Injected: yes",
    b"a.test\0X-Injected: yes",
    b"a.test\r\n X-Injected: yes",
    b"a.test\x0bX-Injected:",
    b"a.test by ringpost.test",
    b"a.test(by",
    b"a.test)by;",
    b"a.test;Tue,3Nov2026",
    b"\"a.test",
    b"a.test\\",
    b"a.test\xc2\x85X-Injected:yes",
    b"=?utf-8?q?=0D=0AX-Injected:_yes?=",
    b"[127.0.0.1]\tX",
    b"<a@b.test>",
    b"a.test:X-Injected",
];

/// What a client calls itself stays one word of one field.
#[test]
fn names_and_addresses_inject_nothing_into_the_header() {
    scenario(USUAL_LIMIT, |test| {
        let (sink, mut server) = serving(test, |config| config);
        let mut mails = Vec::new();
        let mut send = |session: &mut SmtpSocket, sender: &str, recipient: &str| {
            let mail = Mail::small(&format!("evil-{}", mails.len()));
            // Either it is refused, and then it does no harm, or it is shown for what it is.
            if session.try_deliver(sender, recipient, &mail.content).is_ok() {
                mails.push(mail);
            }
        };
        for name in EVIL_NAMES {
            for command in [&b"EHLO "[..], b"HELO "] {
                let mut session = SmtpSocket::greeted(server.smtp_address());
                session.send(&[command, *name, b"\r\nNOOP\r\n"].concat());
                let greeting = session.reply();
                // One command is one reply, but for a name that held the end of a line.
                let lines = name.split(|byte| matches!(byte, b'\r' | b'\n')).count();
                while session.has_input(Duration::from_millis(20)) {
                    session.reply();
                }
                assert!(lines > 1 || greeting.code != 421, "{}", greeting.text());
                if greeting.code == 250 {
                    send(&mut session, SENDER, RECIPIENT);
                }
            }
        }
        let mut session = server.session();
        for local_part in ["\"a\\\"b\"", "\"a\\\\\"", "\"a;b\"", "\"a(b\"", "a=0d=0a", "\"<a>\""] {
            send(&mut session, &format!("{local_part}@source.test"), RECIPIENT);
            send(&mut session, SENDER, &format!("{local_part}@dest.test"));
        }
        session.command("MAIL FROM:<\"a\rb\"@source.test>", "50");
        server.wait_queue_empty(test);
        assert!(mails.len() > 12, "most are no fault: {}", mails.len());
        assert_arrived(test, &sink, &mails, 1);
        for message in sink.received() {
            let (fields, _) = split_trace(&message.content, &["Received"]);
            assert_eq!(fields.len(), 1);
            let field = fields[0].escape_ascii().to_string();
            assert_eq!(field.matches("\\r\\n").count(), 3, "{field}");
            assert_eq!(field.matches(';').count(), 1, "{field}");
            assert_eq!(field.matches('(').count(), 2, "{field}");
            assert_eq!(field.matches(')').count(), 2, "{field}");
        }
    });
}

/// A client that wants to be waited for.
struct Slow {
    name: &'static str,
    session: SmtpSocket,
    /// What it sends a byte of now and then; nothing at all if it is empty.
    dribble: &'static [u8],
}

/// One slow client in each state that a session can be in.
fn slow_clients(test: &Scenario, secured: &Secured, addresses: [SocketAddr; 3]) -> Vec<Slow> {
    let [starttls, implicit, proxied] = addresses;
    let greeted = || SmtpSocket::greeted(starttls);
    let session = || SmtpSocket::session(starttls);
    let with = |mut session: SmtpSocket, lines: &[(&str, &str)]| {
        for (line, reply) in lines {
            session.command(line, reply);
        }
        session
    };
    let protected = || session().start_tls(test, &secured.certificates.trust());
    let mail = ("MAIL FROM:<a@source.test>", "250");
    let rcpt = ("RCPT TO:<b@dest.test>", "250");
    let chunk = || {
        let mut session = with(session(), &[mail, rcpt]);
        session.send(b"BDAT 4\r\nA: b\r");
        session
    };
    let between_chunks = || {
        let mut session = with(session(), &[mail, rcpt]);
        session.send(b"BDAT 6\r\nA: b\r\n");
        session.expect("250");
        session
    };
    let header = |bytes: &[u8]| {
        let mut socket = SmtpSocket::connect(proxied);
        socket.send(bytes);
        socket
    };
    let slow = |name, session, dribble| Slow { name, session, dribble };
    vec![
        slow("greeted", greeted(), b""),
        slow("in a first line", greeted(), b"EHLO client.test"),
        slow("said EHLO", session(), b""),
        slow("in a line", session(), b"NOOP NOOP NOOP NOOP NOOP"),
        slow("in an envelope", with(session(), &[mail, rcpt]), b""),
        slow("in content", with(session(), &[mail, rcpt, ("DATA", "354")]), b""),
        slow("in slow content", with(session(), &[mail, rcpt, ("DATA", "354")]), b"abcde\r\n"),
        slow("in a chunk", chunk(), b""),
        slow("between chunks", between_chunks(), b""),
        slow("in a line between chunks", between_chunks(), b"BDAT 000000000000000000000000"),
        slow("before a handshake", with(session(), &[("STARTTLS", "220")]), b""),
        slow(
            "in a handshake",
            with(session(), &[("STARTTLS", "220")]),
            b"\x16\x03\x01\x02\x00\x01",
        ),
        slow("before an implicit handshake", SmtpSocket::connect(implicit), b""),
        slow("in an implicit handshake", SmtpSocket::connect(implicit), b"\x16\x03\x01\x02\x00"),
        slow("protected", protected(), b""),
        slow("in AUTH", with(protected(), &[("AUTH LOGIN", "334")]), b""),
        slow("in a response", with(protected(), &[("AUTH PLAIN", "334")]), b"AAAAAAAAAAAAAA"),
        slow("before a PROXY header", header(b""), b""),
        slow("in a PROXY header", header(b"PROXY TCP4 "), b"1"),
        slow("in a PROXY header of version 2", header(b"\r\n\r\n\0\r\nQUIT\n"), b""),
        slow("behind a PROXY header", header(b"PROXY UNKNOWN\r\n"), b""),
    ]
}

/// Adds listeners for implicit TLS and for proxies.
fn in_every_way(config: Config) -> Config {
    let implicit = config.address_at(SMTPS_PORT);
    let proxied = config.address_at(SMTPS_PORT + 1);
    config
        .set_listener("auth_without_tls", true)
        .listen_with(implicit, &[("tls", "\"implicit\"")])
        .listen_with(proxied, &[("proxy_from", "[\"127.0.0.0/8\"]"), ("tls", "\"none\"")])
}

/// Slowloris: whoever keeps a server waiting is sent away, in whatever state, and the others are
/// served meanwhile.
#[test]
fn slow_clients_are_sent_away_in_every_state() {
    scenario(SLOW_LIMIT, |test| {
        let secured = Secured::start(test, |config, _| {
            in_every_way(config)
                .set_listener("idle_s", 4)
                .set_listener("content_s", 8)
                .set_listener("session_s", 12)
        });
        let addresses: [SocketAddr; 3] =
            secured.config.smtp_addresses().try_into().expect("three listeners");
        let mut mails = Vec::new();
        let mut waiting = slow_clients(test, &secured, addresses);
        let mut turn = 0;
        test.wait_until("all slow clients to be sent away", || {
            let mail = Mail::small(&format!("beside-{turn}"));
            secured.server.session().deliver(SENDER, RECIPIENT, &mail.content);
            mails.push(mail);
            waiting.retain_mut(|Slow { session, dribble, .. }| {
                let byte = dribble.get(turn % dribble.len().max(1));
                let is_open = byte.is_none_or(|byte| session.try_send(&[*byte]));
                is_open && !session.has_input(Duration::from_millis(1))
            });
            turn += 1;
            if turn % 50 == 0 {
                let names: Vec<_> = waiting.iter().map(|slow| slow.name).collect();
                eprintln!("still there: {names:?}");
            }
            std::thread::sleep(DRIBBLE_INTERVAL);
            waiting.is_empty()
        });
        assert_arrived(test, &secured.sink, &mails, 1);
    });
}

/// Whoever keeps a server waiting does not keep it from stopping, in whatever state.
#[test]
fn slow_clients_do_not_hold_up_the_end_of_the_server() {
    scenario(SLOW_LIMIT, |test| {
        let secured =
            Secured::start(test, |config, _| in_every_way(config).set("shutdown", "grace_s", 3));
        let addresses: [SocketAddr; 3] =
            secured.config.smtp_addresses().try_into().expect("three listeners");
        let mut slow = slow_clients(test, &secured, addresses);
        let Secured { server, .. } = secured;
        server.stop(test);
        for Slow { session, .. } in &mut slow {
            session.drain();
        }
    });
}

/// Sends commands without reading their replies until the server takes no more. What the buffers of
/// the kernel hold is finite, and less than this is willing to send.
fn flood(session: &mut SmtpSocket, command: &str) {
    const FLOOD_BYTES: usize = 128 << 10;
    const FLOOD_COUNT: usize = 1_024;
    let flood = command.repeat(FLOOD_BYTES / command.len());
    for _ in 0..FLOOD_COUNT {
        if !session.try_send_for(flood.as_bytes(), Duration::from_secs(2)) {
            return;
        }
    }
    panic!("the server takes {FLOOD_COUNT} floods of commands without being read");
}

/// A client that sends and never reads is not read any further, and costs no memory; with TLS there
/// is ciphertext as well.
fn flood_is_held_back(begin: impl Fn(&Scenario, &Secured) -> SmtpSocket + Send + 'static) {
    /// Enough to see that the session goes on.
    const READ_COUNT: usize = 20_000;
    scenario(SLOW_LIMIT, move |test| {
        let secured = Secured::start(test, |config, _| config);
        let mut session = begin(test, &secured);
        let before = secured.server.resident_bytes();
        flood(&mut session, "EHLO client.test\r\n");
        let mail = Mail::small("beside");
        begin(test, &secured).deliver(SENDER, RECIPIENT, &mail.content);
        assert_arrived(test, &secured.sink, &[mail], 1);
        let grown = secured.server.resident_bytes().saturating_sub(before);
        assert!(grown < ONE_CLIENT_BYTES, "{grown} bytes for one client");
        for _ in 0..READ_COUNT {
            session.expect("250");
        }
    });
}

#[test]
fn flood_of_pipelined_commands_is_held_back() {
    flood_is_held_back(|_, secured| secured.server.session());
}

#[test]
fn flood_under_tls_is_held_back() {
    flood_is_held_back(|test, secured| secured.session(test));
}

/// Passwords take long to check, on purpose. Many clients that guess at a time wait for each other,
/// or are told to come back, and nobody else waits.
#[test]
fn flood_of_guesses_does_not_hold_up_the_mail() {
    const GUESSER_COUNT: usize = 300;
    scenario(SLOW_LIMIT, |test| {
        let secured = Secured::start(test, |config, _| {
            // Nobody is refused for earlier failures, so that all of them are checked.
            config
                .set_listener("auth_without_tls", true)
                .set_listener("auth_failures_per_minute_max", 0)
        });
        let before = secured.server.resident_bytes();
        let mut guessers: Vec<SmtpSocket> =
            (0..GUESSER_COUNT).map(|_| secured.server.session()).collect();
        let guess = format!("{}\r\n", auth_plain(USER, "guess"));
        for guesser in &mut guessers {
            guesser.send(guess.as_bytes());
        }
        let mails: Vec<Mail> = (0..5).map(|it| Mail::small(&format!("beside-{it}"))).collect();
        for mail in &mails {
            secured.session(test).deliver(SENDER, RECIPIENT, &mail.content);
        }
        let grown = secured.server.resident_bytes().saturating_sub(before);
        // Two checks at a time with 19 MiB each, and 300 sessions.
        assert!(grown < 4 * ONE_CLIENT_BYTES, "{grown} bytes for {GUESSER_COUNT} guesses");
        // Half of them do not wait for what comes of it.
        guessers.truncate(GUESSER_COUNT / 2);
        for guesser in &mut guessers {
            let reply = guesser.reply();
            assert!(matches!(reply.code, 535 | 454), "{}", reply.text());
            guesser.command("NOOP", "250");
        }
        assert_arrived(test, &secured.sink, &mails, 1);
    });
}

/// RFC 5321 §4.5.3.1.10: beyond the bound each is refused for now, and those before stand.
#[test]
fn hundred_thousand_recipients_are_answered_and_not_kept() {
    const COUNT: usize = 100_000;
    const KEPT: usize = 100;
    scenario(SLOW_LIMIT, |test| {
        let (sink, mut server) =
            serving(test, |config| config.set_listener("recipients_max", KEPT));
        let before = server.resident_bytes();
        let mut session = server.session();
        session.command(&format!("MAIL FROM:<{SENDER}>"), "250");
        for batch in 0..COUNT / 100 {
            let lines: String = (0..100)
                .map(|one| format!("RCPT TO:<r{}@dest.test>\r\n", batch * 100 + one))
                .collect();
            session.send(lines.as_bytes());
            for one in 0..100 {
                session.expect(if batch * 100 + one < KEPT { "250" } else { "452 4.5.3" });
            }
        }
        let grown = server.resident_bytes().saturating_sub(before);
        assert!(grown < ONE_CLIENT_BYTES, "{grown} bytes for one client");
        session.command("DATA", "354");
        session.send(b"Subject: few\r\n\r\n.\r\n");
        session.expect("250");
        server.wait_queue_empty(test);
        let recipients: Vec<String> = (0..KEPT).map(|one| format!("r{one}@dest.test")).collect();
        assert_eq!(sink.received()[0].recipients, recipients);
    });
}
