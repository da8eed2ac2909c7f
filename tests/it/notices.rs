//! What clients ask for beyond plain delivery is kept in the spool and obeyed: holds, deadlines,
//! and what their senders want to hear.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ringpost::clock::WallTime;
use ringpost::ids::MessageId;
use ringpost::message::{
    Content, DeliverBy, DeliverByMode, Message, Notices, Notify, Recipient, RecipientState,
    ReturnedContent, Wishes,
};

use crate::support::{
    Aiosmtpd, Answer, Config, Mail, RECIPIENT, Ringpost, SENDER, SMTP_PORT, Scenario, Sink,
    USUAL_LIMIT, fill_spool, scenario,
};

/// A recipient that the sink refuses.
const REFUSED: &str = "no@dest.test";

/// A recipient whose server is not there.
const UNREACHABLE: &str = "u@down.test";

const NEVER: Notify = Notify { success: false, failure: false, delay: false };

fn now() -> WallTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock that is set");
    WallTime::from_unix_ms(u64::try_from(since.as_millis()).expect("a clock of this age"))
}

/// A message as a client might have sent it.
fn sent(name: &str, to: &str, notify: Option<Notify>, wishes: Wishes) -> (Message, Vec<u8>) {
    let received = now();
    let original_recipient = Some(b"rfc822;alias+2Bone@example.org".as_slice().into());
    let recipient = Recipient {
        address: to.as_bytes().into(),
        state: RecipientState::new(received),
        notices: notify
            .map(|notify| Box::new(Notices { notify: Some(notify), original_recipient })),
    };
    let message = Message {
        id: MessageId(0),
        received,
        sender: SENDER.as_bytes().into(),
        recipients: vec![recipient],
        content: Content::default(),
        wishes: Some(Box::new(wishes)),
    };
    (message, Mail::small(name).content)
}

/// A sink that takes all mail but that for [`REFUSED`], and a server before it with a spool of
/// `messages`. The servers of `down.test` are not there.
fn start(test: &Scenario, messages: &mut [(Message, Vec<u8>)]) -> (Aiosmtpd, Config, Ringpost) {
    let refusal =
        Answer { stage: "rcpt", recipient: REFUSED, times: 0, reply: "550 5.1.1 no such user" };
    let sink = Aiosmtpd::start_with(test, test.address(), &[refusal]);
    let config = Config::new(test)
        .route("down.test", &format!("smtp://{}:{SMTP_PORT}", test.address()))
        .route("*", &format!("smtp://{}", sink.address()));
    fill_spool(config.spool_path(), messages);
    let server = Ringpost::start(test, &config);
    (sink, config, server)
}

/// The notices in the sink with this subject, as text.
fn notices(sink: &Aiosmtpd, subject: &str) -> Vec<String> {
    let received = sink.received();
    let is_notice = |content: &[u8]| memchr::memmem::find(content, b"Auto-Submitted: ").is_some();
    received
        .into_iter()
        .filter(|it| it.subject() == Some(subject) && is_notice(&it.content))
        .map(|it| {
            assert_eq!(it.sender, "", "a notice has the null sender");
            assert_eq!(it.recipients, [SENDER]);
            String::from_utf8(it.content).expect("a notice is ASCII")
        })
        .collect()
}

#[test]
fn senders_hear_what_they_asked_to_hear() {
    scenario(USUAL_LIMIT, |test| {
        let success = Notify { success: true, ..NEVER };
        let failure = Notify { failure: true, ..NEVER };
        let envelope_id = Some(b"E+2B1".as_slice().into());
        let full = Some(ReturnedContent::Full);
        let mut messages = [
            sent("told", RECIPIENT, Some(success), Wishes { envelope_id, ..Wishes::default() }),
            sent("untold", RECIPIENT, Some(failure), Wishes::default()),
            sent("never", REFUSED, Some(NEVER), Wishes::default()),
            sent("only-success", REFUSED, Some(success), Wishes::default()),
            sent(
                "full",
                REFUSED,
                Some(failure),
                Wishes { returned_content: full, ..Wishes::default() },
            ),
            sent("by-default", REFUSED, None, Wishes::default()),
        ];
        let (sink, _, mut server) = start(test, &mut messages);
        test.wait_until("two messages and three notices", || sink.count() >= 5);
        server.wait_queue_empty(test);

        let relayed = notices(&sink, "Your message was passed on");
        assert_eq!(relayed.len(), 1, "one of two asked for it");
        for line in [
            "Original-Envelope-Id: E+1",
            "Original-Recipient: rfc822; alias+one@example.org",
            &format!("Final-Recipient: rfc822; {RECIPIENT}"),
            "Action: relayed",
            "Status: 2.",
            "Subject: told",
        ] {
            assert!(relayed[0].contains(&format!("\r\n{line}")), "{line} in {}", relayed[0]);
        }

        let failed = notices(&sink, "Your message could not be delivered");
        assert_eq!(failed.len(), 2, "{failed:?}");
        let of = |name: &str| {
            let subject = format!("Subject: {name}\r\n");
            failed.iter().find(|notice| notice.contains(&subject)).expect("a notice")
        };
        assert!(of("full").contains("Content-Type: message/rfc822\r\n"));
        let content = String::from_utf8(messages[4].1.clone()).expect("small mail is ASCII");
        assert!(of("full").contains(&content), "the whole message comes back");
        assert!(of("by-default").contains("Content-Type: text/rfc822-headers\r\n"));
        assert_eq!(sink.count(), 5, "nobody is told more");
    });
}

#[test]
fn a_held_message_waits_for_its_release() {
    scenario(USUAL_LIMIT, |test| {
        let until = now() + Duration::from_secs(4);
        let held = Wishes { hold_until: Some(until), ..Wishes::default() };
        let mut messages = [
            sent("held", RECIPIENT, None, held),
            sent("at-once", RECIPIENT, None, Wishes::default()),
        ];
        let (sink, config, server) = start(test, &mut messages);
        test.wait_until("the message that need not wait", || sink.count() > 0);
        assert_eq!(sink.received()[0].subject(), Some("at-once"));
        // A restart does not release it.
        server.stop(test);
        let mut server = Ringpost::start(test, &config);
        server.wait_queue_empty(test);
        assert!(now() >= until, "delivered before its release");
        assert_eq!(sink.count(), 2);
    });
}

#[test]
fn a_deadline_of_the_sender_is_kept() {
    scenario(USUAL_LIMIT, |test| {
        let by = |mode| Wishes {
            deliver_by: Some(DeliverBy { at: now() + Duration::from_secs(2), mode, trace: false }),
            ..Wishes::default()
        };
        let mut messages = [
            sent("returned", UNREACHABLE, None, by(DeliverByMode::Return)),
            sent("delayed", UNREACHABLE, None, by(DeliverByMode::Notify)),
            sent("quiet", UNREACHABLE, Some(NEVER), by(DeliverByMode::Notify)),
        ];
        let (sink, config, server) = start(test, &mut messages);
        test.wait_until("both notices", || sink.count() >= 2);
        let failed = notices(&sink, "Your message could not be delivered");
        assert!(failed[0].contains("\r\nSubject: returned\r\n"));
        assert!(failed[0].contains("\r\nStatus: 5.4.7\r\n"), "{}", failed[0]);
        let delayed = notices(&sink, "Your message is delayed");
        assert!(delayed[0].contains("\r\nSubject: delayed\r\n"));
        assert!(delayed[0].contains("\r\nAction: delayed\r\n"), "{}", delayed[0]);
        assert!(delayed[0].contains("\r\nWill-Retry-Until: "));

        // A delay is told of once, whatever happens to the server.
        server.stop(test);
        let mut server = Ringpost::start(test, &config);
        server.wait_metric(test, "ringpost_recipients_deferred_total", 2.0);
        let last = Mail::small("last");
        server.session().deliver(SENDER, RECIPIENT, &last.content);
        test.wait_until("the last message", || {
            sink.received().iter().any(|it| it.subject() == Some("last"))
        });
        assert_eq!(sink.count(), 3);
        assert_eq!(server.metrics().value("ringpost_queue_messages"), 2.0);
    });
}
