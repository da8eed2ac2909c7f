//! Extensions end to end: a client asks for something, and it comes to pass.

use std::process::Command;
use std::time::{Duration, SystemTime};

use crate::support::{
    Aiosmtpd, Answer, Approach, Config, Exim, Finished, HOSTNAME, Mail, PostfixClient, RECIPIENT,
    Report, Ringpost, SENDER, Scenario, Secured, Sink, SmtpSocket, Tls, USUAL_LIMIT,
    assert_arrived, assert_same_bytes, python, scenario, split_trace,
};

/// The name that a client gives to a transaction, in `xtext`.
const ENVELOPE_ID: &str = "QQ+2B314159";

fn serving(test: &Scenario, change: impl FnOnce(Config) -> Config) -> (Aiosmtpd, Ringpost) {
    let sink = Aiosmtpd::start(test);
    let config = change(Config::relaying_to(test, sink.address()));
    let server = Ringpost::start(test, &config);
    (sink, server)
}

/// A client in the clear, without authentication.
fn plainly(server: &Ringpost) -> Approach<'static> {
    let authority = std::path::Path::new("");
    Approach {
        server: server.smtp_address(),
        tls: Tls::None,
        authority,
        mechanism: "",
        password: "",
    }
}

/// Sends `mail` by smtplib.
fn smtplib(
    test: &Scenario,
    server: &Ringpost,
    [sender, recipient]: [&str; 2],
    parameters: &[[&str; 2]],
    mail: &Mail,
) -> Finished {
    let address = server.smtp_address();
    let mut command: Command = python("send_extended.py");
    command.args([&address.ip().to_string(), &address.port().to_string(), sender, recipient]);
    for [of, parameter] in parameters {
        command.args([of, parameter]);
    }
    test.run(&mut command, &mail.content)
}

/// RFC 3030, as Exim speaks it: it sends in chunks to whoever offers that.
#[test]
fn exim_sends_in_chunks() {
    scenario(USUAL_LIMIT, |test| {
        let (sink, server) = serving(test, |config| config);
        let mails = Mail::difficult();
        for mail in &mails {
            let log = Exim::send(test, &plainly(&server), mail)
                .unwrap_or_else(|log| panic!("{}: {log}", mail.name));
            // `K` stands for CHUNKING (Exim's specification, section 52.12).
            let delivered = log.lines().find(|line| line.contains("=> ")).expect("a delivery");
            assert!(delivered.contains(" K "), "{delivered}");
        }
        assert_arrived(test, &sink, &mails, 2);
    });
}

/// Asserts that the one notice in the sink beside `mail` says what was asked for, by RFC 3461.
fn assert_relayed_notice(test: &Scenario, sink: &Aiosmtpd, mail: &Mail) {
    test.wait_until("the message and the notice", || sink.count() >= 2);
    let received = sink.received();
    assert_eq!(received.len(), 2);
    let is_mail = |name: &str| received.iter().filter(|it| it.subject() == Some(name)).count();
    assert_eq!(is_mail(&mail.name), 1);
    let notice = received.iter().find(|it| it.sender.is_empty()).expect("a notice");
    assert_eq!(notice.recipients, [SENDER]);
    let report = Report::read(test, notice);
    // The sink offers no DSN, so that this is where the request ends (§5.2.2 there).
    assert_eq!(report.value("action"), "relayed");
    assert_eq!(report.value("original-envelope-id"), "QQ+314159");
    assert_eq!(report.value("original-recipient").replace(' ', ""), "rfc822;alias@example.org");
    assert_eq!(report.value("final-recipient").replace(' ', ""), format!("rfc822;{RECIPIENT}"));
    assert!(report.value("status").starts_with("2."), "{}", report.value("status"));
}

/// RFC 3461 by smtplib.
#[test]
fn smtplib_hears_of_success() {
    scenario(USUAL_LIMIT, |test| {
        let (sink, server) = serving(test, |config| config);
        let mail = Mail::small("notified");
        let envelope_id = format!("ENVID={ENVELOPE_ID}");
        let parameters = [
            ["--mail", "RET=HDRS"],
            ["--mail", &envelope_id],
            ["--rcpt", "NOTIFY=SUCCESS,FAILURE"],
            ["--rcpt", "ORCPT=rfc822;alias@example.org"],
        ];
        smtplib(test, &server, [SENDER, RECIPIENT], &parameters, &mail).succeeded();
        assert_relayed_notice(test, &sink, &mail);
    });
}

/// The same by way of Postfix, which passes on what its own clients ask for.
#[test]
fn postfix_passes_on_who_wants_to_hear_of_success() {
    scenario(USUAL_LIMIT, |test| {
        let (sink, server) = serving(test, |config| config);
        let mail = Mail::small("notified-by-postfix");
        let parameters = [
            &*format!(" RET=HDRS ENVID={ENVELOPE_ID}"),
            " NOTIFY=SUCCESS ORCPT=rfc822;alias@example.org",
        ];
        PostfixClient::send_with(test, &plainly(&server), &mail, parameters).expect("sent");
        assert_relayed_notice(test, &sink, &mail);
    });
}

/// A sender that wants to hear nothing hears nothing, and of a failure it may have all or part of
/// its message back.
#[test]
fn failures_are_told_as_the_sender_wants_it() {
    scenario(USUAL_LIMIT, |test| {
        let no = |recipient| Answer { stage: "rcpt", recipient, times: 0, reply: "550 5.1.1 no" };
        let refused = ["never@dest.test", "full@dest.test", "headers@dest.test"];
        let sink = Aiosmtpd::start_with(test, test.address(), &refused.map(no));
        let mut server = Ringpost::start(test, &Config::relaying_to(test, sink.address()));
        let [never, full, headers] = refused;
        for (recipient, parameters) in [
            (never, ["RET=FULL", "NOTIFY=NEVER"]),
            (full, ["RET=FULL", "NOTIFY=FAILURE"]),
            (headers, ["RET=HDRS", "NOTIFY=FAILURE,DELAY"]),
        ] {
            let parameters = [["--mail", parameters[0]], ["--rcpt", parameters[1]]];
            let name = recipient.trim_end_matches("@dest.test");
            let mail = Mail::new(name, b"the very body\r\n");
            smtplib(test, &server, [SENDER, recipient], &parameters, &mail).succeeded();
        }
        test.wait_until("two notices", || sink.count() >= 2);
        server.wait_queue_empty(test);
        let notices = sink.received();
        assert_eq!(notices.len(), 2);
        for notice in &notices {
            let report = Report::read(test, notice);
            let is_full = report.value("final-recipient").ends_with(full);
            report.assert_failed(if is_full { full } else { headers }, "5.1.1");
            let has_body = report.values("original").contains(&"the very body");
            assert_eq!(has_body, is_full, "{:?}", report.values("original"));
        }
    });
}

/// RFC 4865: nothing is delivered before its release, and only as far ahead as is allowed.
#[test]
fn released_in_the_future() {
    scenario(USUAL_LIMIT, |test| {
        let (sink, mut server) = serving(test, |config| {
            config.set_listener("role", "\"submission\"").set_listener("hold_max_s", 600)
        });
        let (held, other) = (Mail::small("held"), Mail::small("not-held"));
        let release = SystemTime::now() + Duration::from_secs(4);
        let envelope = [SENDER, RECIPIENT];
        smtplib(test, &server, envelope, &[["--mail", "HOLDFOR=4"]], &held).succeeded();
        smtplib(test, &server, envelope, &[], &other).succeeded();
        test.wait_until("the other message", || sink.count() > 0);
        assert_eq!(sink.received()[0].subject(), Some("not-held"));
        server.wait_queue_empty(test);
        assert!(SystemTime::now() >= release, "delivered before its release");
        assert_arrived(test, &sink, &[held, other], 1);
        let mut session = server.session();
        for bad in [
            "HOLDFOR=601",
            "HOLDFOR=0601",
            "HOLDFOR=-1",
            "HOLDFOR=1e3",
            "HOLDFOR=",
            "HOLDFOR=1 HOLDFOR=1",
            "HOLDFOR=1 HOLDUNTIL=2026-11-24T10:00:00Z",
            "HOLDUNTIL=2126-11-24T10:00:00Z",
            "HOLDUNTIL=tomorrow",
            "HOLDUNTIL=2026-02-30T10:00:00Z",
            "HOLDFOR=10 BY=5;R",
        ] {
            session.command(&format!("MAIL FROM:<{SENDER}> {bad}"), "501 5.5.4");
        }
    });
}

/// RFC 2852: given up at the deadline, or told of.
#[test]
fn delivered_by_its_deadline_or_not() {
    scenario(USUAL_LIMIT, |test| {
        let sink = Aiosmtpd::start(test);
        let down = format!("smtp://{}:{}", test.address(), crate::support::SMTP_PORT);
        let config = Config::new(test)
            .route("down.test", &down)
            .route("*", &format!("smtp://{}", sink.address()));
        let server = Ringpost::start(test, &config);
        let envelope = [SENDER, "late@down.test"];
        for (name, parameter) in [("returned", "BY=2;R"), ("told", "BY=2;N")] {
            let mail = Mail::small(name);
            smtplib(test, &server, envelope, &[["--mail", parameter]], &mail).succeeded();
        }
        test.wait_until("both notices", || sink.count() >= 2);
        let mut found: Vec<[String; 2]> = sink
            .received()
            .iter()
            .map(|notice| {
                let report = Report::read(test, notice);
                [report.value("action").to_owned(), report.value("status").to_owned()]
            })
            .collect();
        found.sort();
        assert_eq!(found[0][0], "delayed");
        assert_eq!(found[1], ["failed", "5.4.7"]);
        let mut session = server.session();
        for bad in ["BY=0;R", "BY=-1;R", "BY=2", "BY=2;X", "BY=2;RR", "BY=;R", "BY=1234567890;R"] {
            session.command(&format!("MAIL FROM:<{SENDER}> {bad}"), "501 5.5.4");
        }
    });
}

/// RFC 8689: what must not travel in the clear comes back rather than go on to a next hop without
/// TLS.
#[test]
fn message_that_requires_tls_does_not_go_on_in_the_clear() {
    scenario(USUAL_LIMIT, |test| {
        let mut secured = Secured::start(test, |config, _| config);
        let mail = Mail::new("secret", b"the very secret\r\n");
        let mut session = secured.session(test);
        session.command(&format!("MAIL FROM:<{SENDER}> REQUIRETLS"), "250");
        session.command(&format!("RCPT TO:<{RECIPIENT}>"), "250");
        session.content(&mail.content);
        test.wait_until("the notice", || secured.sink.count() > 0);
        secured.server.wait_queue_empty(test);
        let received = secured.sink.received();
        // The notice may, because it holds nothing of the content (§5 there).
        assert_eq!(received.len(), 1);
        Report::read(test, &received[0]).assert_failed(RECIPIENT, "5.7.");
        assert!(memchr::memmem::find(&received[0].content, b"the very secret").is_none());
        assert_eq!(secured.server.metrics().value("ringpost_recipients_bounced_total"), 1.0);
    });
}

/// RFC 6531 by smtplib: addresses beyond ASCII, and not without asking.
#[test]
fn smtplib_sends_to_addresses_beyond_ascii() {
    scenario(USUAL_LIMIT, |test| {
        let server = Ringpost::start(test, &Config::new(test).route("*", "discard"));
        let addresses = ["größe@bücher.test", "用户@例子.test"];
        let mail = Mail::small("utf8");
        let parameters = [["--mail", "SMTPUTF8"], ["--mail", "BODY=8BITMIME"]];
        smtplib(test, &server, addresses, &parameters, &mail).succeeded();
        assert_eq!(server.metrics().value("ringpost_messages_received_total"), 1.0);
        let mut session = server.session();
        session.command("MAIL FROM:<größe@bücher.test>", "550 5.6.7");
        session.command("MAIL FROM:<a@source.test>", "250");
        session.command("RCPT TO:<用户@例子.test>", "553 5.6.7");
    });
}

/// RFC 3030 §3: content of any bytes, by chunks alone.
#[test]
fn binary_content_comes_in_chunks() {
    scenario(USUAL_LIMIT, |test| {
        let server = Ringpost::start(test, &Config::new(test).route("*", "discard"));
        let mut session = server.session();
        // The header is made of lines all the same.
        let any: Vec<u8> = b"A: b\r\n\r\n".iter().copied().chain(0..=255).collect();
        session.command(&format!("MAIL FROM:<{SENDER}> BODY=BINARYMIME"), "250");
        session.command(&format!("RCPT TO:<{RECIPIENT}>"), "250");
        session.command("DATA", "503 5.5.1");
        session.send(b"BDAT 264\r\n");
        session.send(&any);
        session.expect("250");
        session.send(b"BDAT 5 LAST\r\n\n.\r\n\r");
        session.expect("250");
        // Other content may not hold all that, by chunks as little as by DATA.
        session.envelope(SENDER, RECIPIENT);
        session.send(b"BDAT 264 LAST\r\n");
        session.send(&any);
        session.expect("554 5.6.0");
        session.command("NOOP", "250");
        assert_eq!(server.metrics().value("ringpost_messages_received_total"), 1.0);
    });
}

/// RFC 9422: what is announced is what holds.
#[test]
fn announced_limits_are_those_that_hold() {
    scenario(USUAL_LIMIT, |test| {
        let (_sink, server) = serving(test, |config| {
            config.set_listener("recipients_max", 100).set_listener("messages_max", 3)
        });
        let mut session = SmtpSocket::greeted(server.smtp_address());
        let hello = session.command("EHLO client.test", "250");
        let announced = hello.lines.iter().find(|line| line.starts_with("LIMITS "));
        assert_eq!(announced.map(String::as_str), Some("LIMITS RCPTMAX=100 MAILMAX=3"));
        session.command(&format!("MAIL FROM:<{SENDER}>"), "250");
        for _ in 0..100 {
            session.command(&format!("RCPT TO:<{RECIPIENT}>"), "250");
        }
        session.command(&format!("RCPT TO:<{RECIPIENT}>"), "452 4.5.3");
        session.command("RSET", "250");
        for count in 0..3 {
            session.deliver(SENDER, RECIPIENT, &Mail::small(&format!("limit-{count}")).content);
        }
        session.command(&format!("MAIL FROM:<{SENDER}>"), "421 4.7.0");
    });
}

/// RFC 5321 §4.1.1.11: 555 for what is not offered, and 501 for what is malformed or given twice.
#[test]
fn parameters_are_taken_strictly() {
    scenario(USUAL_LIMIT, |test| {
        let (_sink, server) = serving(test, |config| config.set_listener("errors_max", 1_000));
        let mut session = server.session();
        for (parameters, refusal) in [
            ("COLOUR=red", "555 5.5.4"),
            ("REQUIRETLS", "555 5.5.4"),
            ("HOLDFOR=5", "555 5.5.4"),
            ("AUTH=<>", "555 5.5.4"),
            ("SIZE=1 SIZE=1", "501 5.5.4"),
            ("size=1 SIZE=2", "501 5.5.4"),
            ("SIZE", "501 5.5.4"),
            ("SIZE=", "501 5.5.4"),
            ("SIZE=-1", "501 5.5.4"),
            ("SIZE=1x", "501 5.5.4"),
            ("BODY=9BIT", "501 5.5.4"),
            ("BODY", "501 5.5.4"),
            ("SMTPUTF8=yes", "501 5.5.4"),
            ("RET=ALL", "501 5.5.4"),
            ("ENVID=", "501 5.5.4"),
            ("ENVID=a+b", "501 5.5.4"),
            ("ENVID=a=b", "501 5.5.4"),
            ("MT-PRIORITY=10", "501 5.5.4"),
            ("MT-PRIORITY=+1", "501 5.5.4"),
            ("=x", "501"),
            ("NOTIFY=NEVER", "555 5.5.4"),
        ] {
            session.command(&format!("MAIL FROM:<{SENDER}> {parameters}"), refusal);
        }
        session.command(&format!("MAIL FROM:<{SENDER}>"), "250");
        for (parameters, refusal) in [
            ("SIZE=1", "555 5.5.4"),
            ("NOTIFY=", "501 5.5.4"),
            ("NOTIFY=NEVER,SUCCESS", "501 5.5.4"),
            ("NOTIFY=SUCCESS,SUCCESS", "501 5.5.4"),
            ("NOTIFY=SUCCESS,", "501 5.5.4"),
            ("NOTIFY=SOMETIMES", "501 5.5.4"),
            ("ORCPT=alias@example.org", "501 5.5.4"),
            ("ORCPT=rfc822;a+0Ab", "501 5.5.4"),
            ("ORCPT=;a@b.test", "501 5.5.4"),
        ] {
            session.command(&format!("RCPT TO:<{RECIPIENT}> {parameters}"), refusal);
        }
        // With HELO a client asks for no extension (§2.2.1 there).
        session.command("HELO client.test", "250");
        session.command(&format!("MAIL FROM:<{SENDER}> SIZE=1"), "555 5.5.4");
        session.command(&format!("MAIL FROM:<{SENDER}>"), "250");
    });
}

/// RFC 6409 §8, and what programs get wrong that send their own mail.
#[test]
fn submission_mends_what_programs_get_wrong() {
    scenario(USUAL_LIMIT, |test| {
        let (sink, mut server) = serving(test, |config| {
            config.set_listener("role", "\"submission\"").set_listener(
                "lenient",
                "[\"space-before-path\", \"missing-brackets\", \"bare-lf\"]",
            )
        });
        let mut session = server.session();
        session.command(&format!("MAIL FROM: {SENDER}"), "250");
        session.command(&format!("RCPT TO: {RECIPIENT}"), "250");
        session.command("DATA", "354");
        let claim = format!("Authentication-Results: {HOSTNAME};\n spf=pass\n");
        session.send(
            format!("Subject: mended\n{claim}From: a@b.test\n\nbody\n.\n..\nend\r\n.\r\n")
                .as_bytes(),
        );
        session.expect("250");
        session.command("NOOP", "250");
        server.wait_queue_empty(test);
        let received = sink.received();
        assert_eq!(received.len(), 1);
        let (_, content) = split_trace(&received[0].content, &["Received"]);
        let end = memchr::memmem::find(content, b"\r\n\r\n").expect("the end of the header");
        let header = std::str::from_utf8(&content[..end]).expect("a header in ASCII");
        let names: Vec<&str> =
            header.lines().map(|line| line.split(':').next().unwrap_or_default()).collect();
        assert_eq!(names, ["Subject", "From", "Date", "Message-ID"], "{header}");
        assert!(header.contains(&format!("@{HOSTNAME}>")), "{header}");
        // A dot behind a line end that had to be mended neither ends the content nor was added.
        assert_same_bytes("the body", &content[end + 4..], b"body\r\n.\r\n..\r\nend\r\n");
    });
}
