//! Ringpost delivers to servers that other people wrote, and does what their replies demand.

use std::time::Duration;

use crate::support::{
    Aiosmtpd, Answer, Config, Mail, Postfix, RECIPIENT, Refuser, Report, Ringpost, SENDER,
    SMTP_PORT, Scenario, Sink, SmtpSink, USUAL_LIMIT, assert_arrived, scenario,
};

/// For the scenarios that move 20 MiB.
const LARGE_LIMIT: Duration = Duration::from_secs(240);

fn receives_difficult_mail(test: &Scenario, sink: &dyn Sink) {
    let mut server = Ringpost::start(test, &Config::relaying_to(test, sink.address()));
    let mails = Mail::difficult();
    let mut session = server.session();
    for mail in &mails {
        session.deliver(SENDER, RECIPIENT, &mail.content);
    }
    assert_arrived(test, sink, &mails, 1);
    for received in sink.received() {
        assert_eq!(received.sender, SENDER);
        assert_eq!(received.recipients, [RECIPIENT]);
    }
    server.wait_queue_empty(test);
}

#[test]
fn aiosmtpd_receives() {
    scenario(LARGE_LIMIT, |test| receives_difficult_mail(test, &Aiosmtpd::start(test)));
}

#[test]
fn postfix_receives() {
    scenario(LARGE_LIMIT, |test| receives_difficult_mail(test, &Postfix::start(test)));
}

#[test]
fn smtp_sink_receives() {
    scenario(LARGE_LIMIT, |test| receives_difficult_mail(test, &SmtpSink::start(test)));
}

/// The recipients of one message in one domain share a transaction; those of another have their
/// own, and nobody sees the others' addresses.
#[test]
fn recipients_are_grouped_by_next_hop() {
    scenario(USUAL_LIMIT, |test| {
        let (one, two) = (Aiosmtpd::start(test), Aiosmtpd::start(test));
        let config = Config::new(test)
            .route("one.test", &format!("smtp://{}", one.address()))
            .route("*.two.test", &format!("smtp://{}", two.address()));
        let mut server = Ringpost::start(test, &config);
        let mut session = server.session();
        session.command(&format!("MAIL FROM:<{SENDER}>"), "250");
        let of_one = ["a@one.test", "b@one.test", "c@ONE.test"];
        for recipient in of_one.iter().chain(&["d@sub.two.test"]) {
            session.command(&format!("RCPT TO:<{recipient}>"), "250");
        }
        session.command("DATA", "354");
        let mail = Mail::small("grouped");
        session.send(&mail.content);
        session.send(b".\r\n");
        session.expect("250");
        assert_arrived(test, &one, std::slice::from_ref(&mail), 1);
        assert_arrived(test, &two, &[mail], 1);
        let mut recipients = one.received().remove(0).recipients;
        recipients.sort_unstable();
        assert_eq!(recipients.len(), of_one.len());
        for (got, wanted) in recipients.iter().zip(of_one) {
            assert!(got.eq_ignore_ascii_case(wanted), "{got} for {wanted}");
            assert_eq!(got[..2], wanted[..2], "local parts keep their case");
        }
        assert_eq!(two.received()[0].recipients, ["d@sub.two.test"]);
        server.wait_queue_empty(test);
        let metrics = server.metrics();
        assert_eq!(metrics.sum("ringpost_messages_received_total"), Some(1.0));
        assert_eq!(metrics.sum("ringpost_recipients_delivered_total"), Some(4.0));
    });
}

/// Mail to `recipient` and to one more is sent; the first attempt for `recipient` gets `answer`.
fn is_retried(answer: Answer) {
    scenario(USUAL_LIMIT, move |test| {
        let sink = Aiosmtpd::start_with(test, test.address(), &[answer]);
        let mut server = Ringpost::start(test, &Config::relaying_to(test, sink.address()));
        let mail = Mail::small("retried");
        server.session().deliver(SENDER, answer.recipient, &mail.content);
        assert_arrived(test, &sink, &[mail], 1);
        assert_eq!(sink.received()[0].recipients, [answer.recipient]);
        server.wait_queue_empty(test);
        server.wait_metric(test, "ringpost_recipients_delivered_total", 1.0);
        let metrics = server.metrics();
        assert_eq!(
            metrics.sum("ringpost_recipients_deferred_total"),
            Some(f64::from(answer.times))
        );
        assert_eq!(metrics.value("ringpost_recipients_bounced_total"), 0.0);
    });
}

#[test]
fn recipient_refused_for_now_is_retried() {
    let reply = "450 4.2.1 mailbox busy";
    is_retried(Answer { stage: "rcpt", recipient: "later@dest.test", times: 1, reply });
}

#[test]
fn content_refused_for_now_is_retried_until_it_is_taken() {
    let reply = "451 4.3.0 try again";
    is_retried(Answer { stage: "data", recipient: "later@dest.test", times: 2, reply });
}

/// The accepted recipient gets its mail at once and only once; the other on a later attempt.
#[test]
fn only_the_deferred_recipient_is_retried() {
    scenario(USUAL_LIMIT, |test| {
        let later = "later@dest.test";
        let answer = Answer { stage: "rcpt", recipient: later, times: 1, reply: "452 4.5.3 later" };
        let sink = Aiosmtpd::start_with(test, test.address(), &[answer]);
        let mut server = Ringpost::start(test, &Config::relaying_to(test, sink.address()));
        let mut session = server.session();
        session.command(&format!("MAIL FROM:<{SENDER}>"), "250");
        session.command(&format!("RCPT TO:<{RECIPIENT}>"), "250");
        session.command(&format!("RCPT TO:<{later}>"), "250");
        session.command("DATA", "354");
        session.send(&Mail::small("split").content);
        session.send(b".\r\n");
        session.expect("250");
        server.wait_queue_empty(test);
        let recipients: Vec<Vec<String>> =
            sink.received().into_iter().map(|received| received.recipients).collect();
        assert_eq!(recipients, [[RECIPIENT], [later]]);
    });
}

/// Mail for `dest.test` goes to a server with these answers, everything else to another, where
/// the notifications arrive.
fn with_reports(test: &Scenario, answers: &[Answer]) -> (Aiosmtpd, Aiosmtpd, Ringpost) {
    let next_hop = Aiosmtpd::start_with(test, test.address(), answers);
    let reports = Aiosmtpd::start(test);
    let config = Config::new(test)
        .route("dest.test", &format!("smtp://{}", next_hop.address()))
        .route("*", &format!("smtp://{}", reports.address()));
    let server = Ringpost::start(test, &config);
    (next_hop, reports, server)
}

const NO_SUCH_USER: Answer = Answer {
    stage: "rcpt",
    recipient: "gone@dest.test",
    times: 0,
    reply: "550 5.1.1 no such user",
};

#[test]
fn refused_recipient_is_reported_to_the_sender() {
    scenario(USUAL_LIMIT, |test| {
        let (next_hop, reports, mut server) = with_reports(test, &[NO_SUCH_USER]);
        // An 8-bit header, so that the report has to carry one.
        let mail = Mail::small("refused");
        let content = [b"X-Note: gr\xFC\xDFe\r\n", mail.content.as_slice()].concat();
        server.session().deliver(SENDER, NO_SUCH_USER.recipient, &content);
        let received = test.wait_for("the report", || reports.received().pop());
        assert_eq!(received.recipients, [SENDER]);
        let report = Report::read(test, &received);
        report.assert_failed(NO_SUCH_USER.recipient, "5.1.1");
        assert!(report.value("diagnostic-code").contains("no such user"));
        assert!(report.value("reporting-mta").contains("ringpost.test"));
        let original = report.values("original");
        assert!(original.contains(&"Subject: refused"), "{original:?}");
        assert!(report.value("to").contains(SENDER));
        server.wait_queue_empty(test);
        assert_eq!(next_hop.received().len(), 0);
        assert_eq!(server.metrics().value("ringpost_recipients_bounced_total"), 1.0);
        assert_eq!(server.metrics().value("ringpost_recipients_deferred_total"), 0.0);
    });
}

#[test]
fn refused_content_is_reported_to_the_sender() {
    scenario(USUAL_LIMIT, |test| {
        let reply = "554 5.6.0 not this content";
        let answer = Answer { stage: "data", recipient: RECIPIENT, times: 0, reply };
        let (_next_hop, reports, server) = with_reports(test, &[answer]);
        server.session().deliver(SENDER, RECIPIENT, &Mail::small("unwanted").content);
        let received = test.wait_for("the report", || reports.received().pop());
        let report = Report::read(test, &received);
        report.assert_failed(RECIPIENT, "5.6.0");
        assert!(report.value("diagnostic-code").contains("not this content"));
    });
}

/// The null sender gets no report: neither that of a client nor Ringpost's own, whose failure
/// would go round for ever.
#[test]
fn null_sender_is_never_bounced() {
    scenario(USUAL_LIMIT, |test| {
        let (_next_hop, reports, mut server) = with_reports(test, &[NO_SUCH_USER]);
        let mut session = server.session();
        session.deliver("", NO_SUCH_USER.recipient, &Mail::small("from-nobody").content);
        // Its report is refused in turn.
        let from_gone = Mail::small("from-gone").content;
        session.deliver(NO_SUCH_USER.recipient, NO_SUCH_USER.recipient, &from_gone);
        server.wait_metric(test, "ringpost_recipients_bounced_total", 3.0);
        server.wait_queue_empty(test);
        assert_eq!(server.metrics().value("ringpost_recipients_bounced_total"), 3.0);
        assert_eq!(reports.received().len(), 0);
    });
}

#[test]
fn mail_waits_for_a_next_hop_that_is_down() {
    scenario(USUAL_LIMIT, |test| {
        let ip = test.address();
        let config = Config::relaying_to(test, (ip, SMTP_PORT).into());
        let mut server = Ringpost::start(test, &config);
        let mails = ["one", "two", "three"].map(Mail::small);
        let mut session = server.session();
        for mail in &mails {
            session.deliver(SENDER, RECIPIENT, &mail.content);
        }
        // Every message has been tried, so the retries begin with a server that is still down.
        server.wait_metric(test, "ringpost_recipients_deferred_total", 3.0);
        let sink = Aiosmtpd::start_with(test, ip, &[]);
        assert_arrived(test, &sink, &mails, 1);
        server.wait_queue_empty(test);
        assert_eq!(server.metrics().value("ringpost_recipients_bounced_total"), 0.0);
    });
}

/// What a next hop says instead of greeting is not the mail's fault.
fn mail_survives(greeting: &'static str) {
    scenario(USUAL_LIMIT, move |test| {
        let refuser = Refuser::start(test.address(), greeting);
        let ip = refuser.ip();
        let mut server = Ringpost::start(test, &Config::relaying_to(test, refuser.address()));
        let mail = Mail::small("patient");
        server.session().deliver(SENDER, RECIPIENT, &mail.content);
        test.wait_until("two attempts", || refuser.visits() >= 2);
        drop(refuser);
        let sink = Aiosmtpd::start_with(test, ip, &[]);
        assert_arrived(test, &sink, &[mail], 1);
        server.wait_queue_empty(test);
    });
}

#[test]
fn next_hop_that_is_busy_is_tried_again() {
    mail_survives("421 4.3.2 busy\r\n");
}

#[test]
fn next_hop_that_closes_at_once_is_tried_again() {
    mail_survives("");
}

#[test]
fn next_hop_that_speaks_something_else_is_tried_again() {
    mail_survives("SSH-2.0-OpenSSH_9.2\r\n");
}

#[test]
fn mail_that_cannot_be_delivered_in_time_is_reported() {
    scenario(USUAL_LIMIT, |test| {
        let reports = Aiosmtpd::start(test);
        let config = Config::new(test)
            .route("dest.test", &format!("smtp://{}:{SMTP_PORT}", test.address()))
            .route("*", &format!("smtp://{}", reports.address()))
            .set("delivery", "expire_s", 3);
        let mut server = Ringpost::start(test, &config);
        server.session().deliver(SENDER, RECIPIENT, &Mail::small("too-late").content);
        let received = test.wait_for("the report", || reports.received().pop());
        // RFC 3463 §3.5: 4.4.7, delivery time expired; or what the last attempt failed of.
        let report = Report::read(test, &received);
        report.assert_failed(RECIPIENT, "");
        let status = report.value("status");
        assert!(["4.4", "5.4"].iter().any(|class| status.starts_with(class)), "{status}");
        server.wait_queue_empty(test);
        assert!(server.metrics().value("ringpost_recipients_deferred_total") >= 1.0);
    });
}
