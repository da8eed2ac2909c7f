//! Notices are taken apart again by a small MIME reader that has nothing in common with the writer.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
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

fn notice<'a>(failed: &'a [FailedRecipient<'a>], content_head: &'a [u8]) -> Notice<'a> {
    Notice {
        reporting_mta: "mx1.example.net",
        id: MessageId(0x11),
        message: MessageId(0x22),
        arrival: WallTime::from_unix_ms(1_795_492_893_000),
        now: WallTime::from_unix_ms(1_795_579_293_000),
        sender: b"ann@example.org",
        failed,
        content_head,
        boundary_seed: 7,
    }
}

/// Splits an entity into its unfolded fields and its body.
fn read_entity(entity: &[u8]) -> (Vec<(String, String)>, Vec<u8>) {
    let text = String::from_utf8(entity.to_vec()).expect("a notice is ASCII");
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
    original: Vec<u8>,
    original_fields: Vec<(String, String)>,
}

fn read_report(notice: &[u8]) -> Report {
    assert!(notice.ends_with(b"\r\n"));
    for line in notice.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        let line = line.strip_suffix(b"\r").expect("lines end with CRLF");
        assert!(line.len() <= DSN_LINE_BYTES_MAX);
        assert!(line.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~')), "{line:?}");
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
    assert_eq!(value(&parts[0].0, "Content-Type"), "text/plain; charset=us-ascii");
    assert_eq!(value(&parts[1].0, "Content-Type"), "message/delivery-status");
    assert_eq!(value(&parts[2].0, "Content-Type"), "text/rfc822-headers");
    let status = String::from_utf8(parts[1].1.clone()).unwrap();
    Report {
        header,
        text: String::from_utf8(parts[0].1.clone()).unwrap(),
        status: status.split("\r\n\r\n").map(read_fields).collect(),
        original: parts[2].1.clone(),
        original_fields: parts[2].0.clone(),
    }
}

#[test]
fn a_notice_says_who_what_and_why() {
    let no_user = refused(b"550-5.1.1 No such user;\r\n550 5.1.1 see https://mx.example.com/x\r\n");
    let expired = Failure::expired("4.4.2 timed out while waiting for the greeting");
    let failed = [
        FailedRecipient {
            address: b"bob@example.com",
            failure: &no_user,
            remote_mta: Some("mx.example.com"),
        },
        FailedRecipient { address: b"\"c d\"@example.com", failure: &expired, remote_mta: None },
    ];
    let composed = notice(&failed, HEADER).compose();
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
    let failed = [FailedRecipient { address: b"b@x", failure: &failure, remote_mta: None }];
    let head = b"Subject: caf\xc3\xa9 \0\r\nX: a\rb\nc\r\n\r\nbody \xff\r\n";
    let report = read_report(&notice(&failed, head).compose());
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
    let failed = [FailedRecipient { address: b"b@x", failure: &failure, remote_mta: None }];
    let head = b"X: --=_0000000000000011_0000000000000008--\r\n";
    let composed = notice(&failed, head).compose();
    let report = read_report(&composed);
    assert_eq!(report.original, head);
    assert!(memmem::find(&composed, b"\r\n--=_0000000000000011_0000000000000009--\r\n").is_some());
}

proptest! {
    #[test]
    fn nothing_breaks_out(
        sender in hostile(),
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
        let failed = [
            FailedRecipient { address: &address, failure: &failure, remote_mta: Some(&name) },
            FailedRecipient { address: &address, failure: &failure, remote_mta: None },
        ];
        let notice = Notice { sender: &sender, reporting_mta: &name, ..notice(&failed, &head) };
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
        prop_assert_eq!(counts, [3, 5, 4]);
    }
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
