//! Notices are taken apart again by a small MIME reader that has nothing in common with the writer.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::limits::DSN_LINE_BYTES_MAX;
use crate::proto::client::{Scope, Severity};
use crate::proto::enhanced::EnhancedCode;
use crate::proto::reply_parse::{Parsed, ReplyParser};

const HEADER: &[u8] = b"Received: from a by b\r\n\tfor c\r\nMessage-ID: <1@x.example>\r\n\
    Subject: hello\r\n\r\nbody\r\n";

fn refused(reply: &[u8]) -> Failure {
    let (_, parsed) = ReplyParser::default().advance(reply, |_, _| {});
    let Parsed::Reply(reply) = parsed else { panic!("{parsed:?}") };
    let status = reply.enhanced.unwrap_or(EnhancedCode::new(5, 0, 0));
    let mut failure = Failure::local(Scope::Recipient, Severity::Hard, status, "");
    failure.cause = Cause::Reply(reply);
    failure.state = Some(crate::proto::client::ClientState::Rcpt);
    failure
}

fn failed<'a>(address: &'a [u8], failure: &'a Failure) -> Reported<'a> {
    Reported { address, original: None, fate: Fate::Failed(failure), remote_mta: None }
}

fn notice<'a>(recipients: &'a [Reported<'a>], content_head: &'a [u8]) -> Notice<'a> {
    Notice {
        reporting_mta: "mx1.example.net",
        id: MessageId(0x11),
        message: MessageId(0x22),
        arrival: WallTime::from_unix_ms(1_795_492_893_000),
        now: WallTime::from_unix_ms(1_795_579_293_000),
        retry_until: None,
        sender: b"ann@example.org",
        envelope_id: None,
        smtputf8: false,
        recipients,
        original: Original::Header(content_head),
        boundary_seed: 7,
    }
}

/// Splits an entity into its unfolded fields and its body.
fn read_entity(entity: &[u8]) -> (Vec<(String, String)>, Vec<u8>) {
    let text = String::from_utf8(entity.to_vec()).expect("a notice is text");
    let (head, body) = match text.strip_prefix("\r\n") {
        Some(body) => ("", body),
        None => text.split_once("\r\n\r\n").expect("an empty line ends the header"),
    };
    (read_fields(head), body.as_bytes().to_vec())
}

fn read_fields(head: &str) -> Vec<(String, String)> {
    let unfolded = head.replace("\r\n ", " ").replace("\r\n\t", "\t");
    unfolded
        .split("\r\n")
        .filter(|line| !line.is_empty())
        .map(|line| {
            let (name, value) = line.split_once(':').expect("a field has a colon");
            (name.to_owned(), value.trim().to_owned())
        })
        .collect()
}

fn value<'a>(fields: &'a [(String, String)], name: &str) -> &'a str {
    let found: Vec<&str> =
        fields.iter().filter(|(own, _)| own == name).map(|(_, value)| value.as_str()).collect();
    assert_eq!(found.len(), 1, "{name} in {fields:?}");
    found[0]
}

struct Report {
    header: Vec<(String, String)>,
    text: String,
    /// Fields of the message, then of each recipient.
    status: Vec<Vec<(String, String)>>,
    status_kind: String,
    original: Vec<u8>,
    original_fields: Vec<(String, String)>,
}

fn read_report(notice: &[u8]) -> Report {
    assert!(notice.ends_with(b"\r\n"));
    let mut may_be_utf8 = false;
    for line in notice.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        let line = line.strip_suffix(b"\r").expect("lines end with CRLF");
        assert!(line.len() <= DSN_LINE_BYTES_MAX);
        // A long address is folded where a quoted part of it has a space.
        may_be_utf8 = line.starts_with(b"To: ") || (may_be_utf8 && line.starts_with(b" "));
        let is_text =
            |byte: &u8| matches!(byte, b'\t' | b' '..=b'~') || (may_be_utf8 && *byte >= 128);
        assert!(line.iter().all(is_text), "{line:?}");
    }
    let (header, body) = read_entity(notice);
    let kind = value(&header, "Content-Type");
    assert!(kind.starts_with("multipart/report; report-type=delivery-status;"), "{kind}");
    let boundary = kind.split('"').nth(1).unwrap();
    let body = format!("\r\n{}", String::from_utf8(body).unwrap());
    let delimiter = format!("\r\n--{boundary}");
    let pieces: Vec<&str> = body.split(&delimiter).collect();
    assert_eq!(pieces.len(), 5, "three parts");
    assert_eq!(pieces[0], "");
    assert_eq!(pieces[4], "--\r\n");
    let parts: [_; 3] = std::array::from_fn(|index| {
        read_entity(pieces[index + 1].strip_prefix("\r\n").unwrap().as_bytes())
    });
    let [text, status, original] = parts;
    assert!(value(&text.0, "Content-Type").starts_with("text/plain; charset="));
    let status_kind = value(&status.0, "Content-Type").to_owned();
    let status = decoded(&status);
    Report {
        header,
        text: decoded(&text),
        status_kind,
        status: status.split("\r\n\r\n").map(read_fields).collect(),
        original: original.1,
        original_fields: original.0,
    }
}

/// The body of an entity out of its encoding.
fn decoded(entity: &(Vec<(String, String)>, Vec<u8>)) -> String {
    let (fields, body) = entity;
    let is_encoded = fields.iter().any(|(name, _)| name == "Content-Transfer-Encoding");
    let body = if is_encoded { lines::tests::decode(body) } else { body.clone() };
    String::from_utf8(body).unwrap()
}

#[test]
fn a_notice_says_who_what_and_why() {
    let no_user = refused(b"550-5.1.1 No such user;\r\n550 5.1.1 see https://mx.example.com/x\r\n");
    let expired = Failure::expired("4.4.2 timed out while waiting for the greeting");
    let recipients = [
        Reported { remote_mta: Some("mx.example.com"), ..failed(b"bob@example.com", &no_user) },
        failed(b"\"c d\"@example.com", &expired),
    ];
    let composed = notice(&recipients, HEADER).compose();
    let expected = "\
Date: Wed, 25 Nov 2026 04:01:33 +0000
From: Mail Delivery System <MAILER-DAEMON@mx1.example.net>
To: <ann@example.org>
Subject: Your message could not be delivered
Message-ID: <0000000000000011.notice@mx1.example.net>
In-Reply-To: <1@x.example>
References: <1@x.example>
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status;
 boundary=\"=_0000000000000011_0000000000000007\"

--=_0000000000000011_0000000000000007
Content-Type: text/plain; charset=us-ascii
Content-Description: What happened

This is the mail server mx1.example.net.

Your message, which arrived here on Tue, 24 Nov 2026 04:01:33 +0000, could not
be delivered to the addresses below. It will not be tried again there.

  <bob@example.com>
      The server mx.example.com said in reply to RCPT:
      550 5.1.1 No such user; see https://mx.example.com/x

  <\"c d\"@example.com>
      4.4.7 not delivered in time; the last attempt failed with: 4.4.2 timed
      out while waiting for the greeting.

If you ask the postmaster of mx1.example.net for help, mention the number
0000000000000022. The header of your message is attached.

--=_0000000000000011_0000000000000007
Content-Type: message/delivery-status
Content-Description: The same for programs

Reporting-MTA: dns; mx1.example.net
X-Ringpost-Message-Id: 0000000000000022
Arrival-Date: Tue, 24 Nov 2026 04:01:33 +0000

Final-Recipient: rfc822; bob@example.com
Action: failed
Status: 5.1.1
Remote-MTA: dns; mx.example.com
Diagnostic-Code: smtp; 550 5.1.1 No such user; see https://mx.example.com/x

Final-Recipient: rfc822; \"c d\"@example.com
Action: failed
Status: 4.4.7
Diagnostic-Code: x-ringpost; 4.4.7 not delivered in time; the last attempt
 failed with: 4.4.2 timed out while waiting for the greeting

--=_0000000000000011_0000000000000007
Content-Type: text/rfc822-headers
Content-Description: The header of your message

Received: from a by b
\tfor c
Message-ID: <1@x.example>
Subject: hello

--=_0000000000000011_0000000000000007--
";
    assert_eq!(String::from_utf8(composed.clone()).unwrap().replace("\r\n", "\n"), expected);
    let report = read_report(&composed);
    assert_eq!(value(&report.header, "Auto-Submitted"), "auto-replied");
    assert_eq!(report.status.len(), 3);
    assert_eq!(value(&report.status[1], "Status"), "5.1.1");
}

#[test]
fn a_header_that_is_no_text_is_encoded() {
    let failure = Failure::expired("");
    let recipients = [failed(b"b@x", &failure)];
    let head = b"Subject: caf\xc3\xa9 \0\r\nX: a\rb\nc\r\n\r\nbody \xff\r\n";
    let report = read_report(&notice(&recipients, head).compose());
    assert_eq!(value(&report.original_fields, "Content-Transfer-Encoding"), "quoted-printable");
    assert_eq!(report.original, b"Subject: caf=C3=A9 =00\r\nX: a=0Db=0Ac\r\n");
}

#[test]
fn the_header_is_cut_at_its_end_or_at_its_bound() {
    let long: Vec<u8> = b"X: 34567\r\n".repeat(DSN_HEADER_BYTES_MAX);
    let cases: [(&[u8], usize); 7] = [
        (b"", 0),
        (b"\r\nbody: no header\r\n", 0),
        (b"a: b\r\n\r\nbody\r\n", 6),
        (b"a: b\r\n", 6),
        (b"a: b\r\nc: d", 6),
        (b"a", 0),
        (&long, DSN_HEADER_BYTES_MAX / 10 * 10),
    ];
    for (content, length) in cases {
        assert_eq!(header_of(content).len(), length);
    }
}

#[test]
fn only_a_plain_message_id_is_repeated() {
    let cases: [(&[u8], Option<&str>); 7] = [
        (b"MESSAGE-Id:  <a@b> \r\n", Some("<a@b>")),
        (b"X: y\r\nmessage-id:<a@b>\r\n", Some("<a@b>")),
        (b"Message-ID: a@b\r\n", None),
        (b"Message-ID: <a@b> <c@d>\r\n", None),
        (b"Message-ID: <\xff@b>\r\n", None),
        (b"Message-ID:\r\n <a@b>\r\n", None),
        (b"X: message-id:<a@b>\r\n", None),
    ];
    for (header, expected) in cases {
        assert_eq!(find_message_id(header), expected, "{}", header.escape_ascii());
    }
}

#[test]
fn the_boundary_is_in_no_part() {
    let failure = refused(b"550 =_0000000000000011_0000000000000007\r\n");
    let recipients = [failed(b"b@x", &failure)];
    let head = b"X: --=_0000000000000011_0000000000000008--\r\n";
    let composed = notice(&recipients, head).compose();
    let report = read_report(&composed);
    assert_eq!(report.original, head);
    assert!(memmem::find(&composed, b"\r\n--=_0000000000000011_0000000000000009--\r\n").is_some());
}

proptest! {
    #[test]
    fn nothing_breaks_out(
        // A path that a session takes is never longer.
        sender in hostile().prop_map(|mut sender| {
            sender.truncate(PATH_BYTES_MAX);
            sender
        }),
        smtputf8 in any::<bool>(),
        address in hostile(),
        text in hostile(),
        name in hostile(),
        head in hostile(),
    ) {
        let name = String::from_utf8_lossy(&name);
        let reply = [b"550 ".as_slice(), &text, b"\r\n"].concat();
        let (_, parsed) = ReplyParser::default().advance(&reply, |_, _| {});
        let failure = match parsed {
            Parsed::Reply(_) => refused(&reply),
            Parsed::NeedInput | Parsed::Malformed(_) => Failure::expired(&name),
        };
        let recipients = [
            Reported { remote_mta: Some(&name), ..failed(&address, &failure) },
            failed(&address, &failure),
        ];
        let notice = Notice {
            sender: &sender,
            reporting_mta: &name,
            smtputf8,
            envelope_id: Some(&address),
            ..notice(&recipients, &head)
        };
        let report = read_report(&notice.compose());

        let mut names = BTreeMap::<&str, usize>::new();
        for (name, _) in &report.header {
            *names.entry(name).or_default() += 1;
        }
        prop_assert!(names.values().all(|&count| count == 1));
        prop_assert!(names.len() == 8 || names.len() == 10, "{:?}", names);
        prop_assert!(report.text.starts_with("This is the mail server"));
        prop_assert_eq!(report.status.len(), 3);
        let counts: Vec<usize> = report.status.iter().map(Vec::len).collect();
        prop_assert_eq!(counts, [4, 5, 4]);
    }

    #[test]
    fn nothing_breaks_out_of_other_notices(
        original in hostile(),
        text in hostile(),
        content in hostile(),
        is_delay in any::<bool>(),
        smtputf8 in any::<bool>(),
    ) {
        let reply = Reply { code: 250, enhanced: None, text: printed(&text).into() };
        let last_failure = printed(&text);
        let fate = if is_delay { Fate::Delayed(&last_failure) } else { Fate::Relayed(&reply) };
        let recipients = [
            Reported { address: b"b@x", original: Some(&original), fate, remote_mta: None },
        ];
        let notice = Notice {
            smtputf8,
            retry_until: Some(WallTime::from_unix_ms(0)),
            original: Original::Whole(&content),
            ..notice(&recipients, b"")
        };
        let report = read_report(&notice.compose());
        prop_assert_eq!(report.status.len(), 2);
        let has_words = !is_delay || !last_failure.is_empty();
        let count = 4 + usize::from(has_words) + usize::from(is_delay);
        prop_assert_eq!(report.status[1].len(), count);
        let is_encoded =
            report.original_fields.iter().any(|(name, _)| name == "Content-Transfer-Encoding");
        let original = if is_encoded {
            lines::tests::decode(&report.original)
        } else {
            report.original
        };
        prop_assert_eq!(original, content);
    }
}

fn printed(text: &[u8]) -> String {
    text.iter().map(|&byte| printable(byte)).collect()
}

#[test]
fn a_delay_says_until_when_it_is_tried() {
    let nothing = Failure::expired("");
    let recipients = [
        Reported {
            address: b"bob@example.com",
            original: Some(b"rfc822;robert+2Bx@example.com"),
            fate: Fate::Delayed("451 4.7.1 later (in reply to RCPT)"),
            remote_mta: None,
        },
        Reported { original: None, fate: Fate::Delayed(""), ..failed(b"eve@x", &nothing) },
    ];
    let notice = Notice {
        retry_until: Some(WallTime::from_unix_ms(1_795_924_893_000)),
        envelope_id: Some(b"QQ314159+2B"),
        ..notice(&recipients, HEADER)
    };
    let report = read_report(&notice.compose());
    assert_eq!(value(&report.header, "Subject"), "Your message is delayed");
    let text = report.text.replace("\r\n", " ");
    assert!(text.contains("It will be tried until Sun, 29 Nov 2026 04:01:33 +0000"), "{text}");
    assert!(report.text.contains("It was not tried yet."));
    assert_eq!(value(&report.status[0], "Original-Envelope-Id"), "QQ314159+");
    let first = &report.status[1];
    assert_eq!(first[0], ("Original-Recipient".into(), "rfc822; robert+x@example.com".into()));
    assert_eq!(value(first, "Action"), "delayed");
    assert_eq!(value(first, "Status"), "4.7.1");
    assert_eq!(value(first, "Will-Retry-Until"), "Sun, 29 Nov 2026 04:01:33 +0000");
    assert_eq!(value(&report.status[2], "Status"), "4.4.7");
}

#[test]
fn a_success_names_the_server_that_took_it() {
    let reply = Reply { code: 250, enhanced: None, text: "queued as 7".into() };
    let recipients = [Reported {
        address: b"bob@example.com",
        original: None,
        fate: Fate::Relayed(&reply),
        remote_mta: Some("mx.example.com"),
    }];
    let report = read_report(&notice(&recipients, HEADER).compose());
    assert_eq!(value(&report.header, "Subject"), "Your message was passed on");
    assert!(report.text.contains("The server mx.example.com took it and said:"));
    let status = &report.status[1];
    assert_eq!(value(status, "Action"), "relayed");
    assert_eq!(value(status, "Status"), "2.0.0");
    assert_eq!(value(status, "Diagnostic-Code"), "smtp; 250 queued as 7");
    let delivered = [Reported { fate: Fate::Delivered, remote_mta: None, ..recipients[0] }];
    let report = read_report(&notice(&delivered, HEADER).compose());
    assert_eq!(value(&report.status[1], "Action"), "delivered");
}

#[test]
fn a_whole_message_comes_back_as_it_was() {
    let failure = Failure::expired("");
    let recipients = [failed(b"b@x", &failure)];
    let cases: [(&[u8], &str, bool); 3] = [
        (HEADER, "message/rfc822", false),
        (b"Subject: x\r\n\r\ncaf\xe9\r\n", "message/global", true),
        (b"Subject: x\r\n\r\n\0\n.", "message/global", true),
    ];
    for (content, kind, is_encoded) in cases {
        let notice = Notice { original: Original::Whole(content), ..notice(&recipients, b"") };
        let report = read_report(&notice.compose());
        assert_eq!(value(&report.original_fields, "Content-Type"), kind);
        let original =
            if is_encoded { lines::tests::decode(&report.original) } else { report.original };
        assert_eq!(original, content);
        assert!(report.text.contains("Your message is attached."));
    }
    let large = Notice { original: Original::HeaderOfLarge(HEADER), ..notice(&recipients, b"") };
    let report = read_report(&large.compose());
    assert_eq!(value(&report.original_fields, "Content-Type"), "text/rfc822-headers");
    assert!(report.text.contains("too large to come back"), "{}", report.text);
}

#[test]
fn only_failures_bring_a_message_back_and_no_large_one() {
    let (full, headers) = (Some(ReturnedContent::Full), Some(ReturnedContent::Headers));
    let bound = DSN_CONTENT_BYTES_MAX as u64;
    assert_eq!(Original::wanted(full, true, bound), (DSN_CONTENT_BYTES_MAX, true));
    for (returned, fails, length) in
        [(full, true, bound + 1), (full, false, bound), (headers, true, bound), (None, true, bound)]
    {
        let wanted = Original::wanted(returned, fails, length);
        assert_eq!(wanted, (DSN_HEADER_BYTES_MAX, false));
    }
    assert_eq!(Original::wanted(None, true, 7), (7, false));
}

#[test]
fn a_notice_about_an_international_message_is_one() {
    let failure = Failure::expired("");
    let address = "δοκιμή@παράδειγμα.δοκιμή".as_bytes();
    let recipients = [failed(address, &failure)];
    let header = "Subject: καλημέρα\r\n".as_bytes();
    let sender = "χρήστης@example.org".as_bytes();
    assert!(is_international(sender) && !is_international(b"ann@example.org"));
    let global = Notice { smtputf8: true, sender, ..notice(&recipients, header) };
    let report = read_report(&global.compose());
    assert_eq!(value(&report.header, "To"), "<χρήστης@example.org>");
    assert_eq!(report.status_kind, "message/global-delivery-status");
    let shown = "utf-8; δοκιμή@παράδειγμα.δοκιμή";
    assert_eq!(value(&report.status[1], "Final-Recipient"), shown);
    assert!(report.text.contains("<δοκιμή@παράδειγμα.δοκιμή>"));
    assert_eq!(value(&report.original_fields, "Content-Type"), "message/global-headers");
    // A sender of ASCII gets a notice that any server takes.
    let global = Notice { smtputf8: true, ..notice(&recipients, header) };
    assert!(global.compose().is_ascii());
    // Without SMTPUTF8 nothing of it is shown.
    let report = read_report(&notice(&recipients, header).compose());
    assert_eq!(report.status_kind, "message/delivery-status");
    assert!(value(&report.status[1], "Final-Recipient").starts_with("rfc822; ???"));
}

#[test]
fn text_that_turns_around_is_not_shown() {
    let address = "a\u{202e}b\u{85}c\u{2028}@x".as_bytes();
    assert_eq!(address_text(address, true), "a?b?c?@x");
    assert_eq!(address_text("ä @x".as_bytes(), true), "ä @x");
}

/// Bytes that would like to be something else.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"\r\n".to_vec()),
        Just(b"\r\n\r\n".to_vec()),
        Just(b"\n".to_vec()),
        Just(b"\r".to_vec()),
        Just(b"\r\nBcc: x@y".to_vec()),
        Just(b"--=_0000000000000011_0000000000000007".to_vec()),
        Just(b"Message-ID: <a@b>".to_vec()),
        Just(b"> <".to_vec()),
        Just(vec![b'w'; 1_200]),
        prop::collection::vec(any::<u8>(), 0..8),
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}
