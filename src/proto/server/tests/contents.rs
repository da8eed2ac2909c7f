//! Content that comes slowly or without end, and what this server writes before it.

use std::rc::Rc;

use proptest::prelude::*;

use super::parties::{conditions, converse, peer, tls_facts};
use super::script::Script;
use crate::ids::MessageId;
use crate::limits::{CONTENT_S, REPLIES_BYTES_MAX};
use crate::proto::server::{Conditions, Event, ServerSession};

fn session(options: &str, at: &Conditions) -> ServerSession {
    ServerSession::new(Rc::new(Script::parse(options).policy), peer("192.0.2.7"), 1, at)
}

const ENVELOPE: &[u8] =
    b"EHLO client.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\n";

/// Sends `piece` once a minute; after how many seconds the session is over.
fn lifetime_s(before: &[u8], piece: &[u8]) -> u64 {
    let at = conditions(0);
    let mut session = session("", &at);
    converse(&mut session, &at, &[ENVELOPE, before].concat());
    for now_s in (60..).step_by(60) {
        let deadline = session.poll_timeout().0;
        if deadline <= conditions(now_s).now {
            session.handle_timeout(&conditions(now_s));
            let step = session.advance(&conditions(now_s), b"");
            assert!(matches!(step.event, Event::MessageAbandoned | Event::Close));
            return deadline.as_us() / 1_000_000;
        }
        converse(&mut session, &conditions(now_s), piece);
    }
    unreachable!("it goes on for ever")
}

#[test]
fn a_message_in_chunks_does_not_take_for_ever() {
    for (before, piece) in [
        (&b"DATA\r\n"[..], &b"x"[..]),
        (b"BDAT 1000000\r\n", b"x"),
        (b"BDAT 0\r\n", b"BDAT 0\r\n"),
        (b"BDAT 1\r\nx", b"BDAT 1\r\nx"),
        (b"BDAT 0\r\n", b"NOOP\r\n"),
        (b"BDAT 9223372036854775808 LAST\r\n", b"QUIT\r\n"),
    ] {
        assert_eq!(lifetime_s(before, piece), CONTENT_S, "{}", String::from_utf8_lossy(before));
    }
}

#[test]
fn a_chunk_of_any_size_is_swallowed_to_the_byte() {
    let at = conditions(0);
    for (size, bytes) in [("52428801", 52_428_801), ("60000000 LAST", 60_000_000)] {
        let mut session = session("", &at);
        converse(&mut session, &at, ENVELOPE);
        let refused = converse(&mut session, &at, format!("BDAT {size}\r\n").as_bytes());
        assert_eq!(refused, "552 5.3.4 Message too big: EHLO tells the largest size\r\n");
        let flood = b"QUIT\r\n".repeat(10_000);
        let mut left = bytes;
        while left > 0 {
            let length = flood.len().min(left);
            assert_eq!(converse(&mut session, &at, &flood[..length]), "");
            left -= length;
        }
        assert_eq!(converse(&mut session, &at, b"NOOP\r\n"), "250 2.0.0 Ok\r\n");
    }
    for size in ["9223372036854775807", "9223372036854775808", "18446744073709551615"] {
        let mut session = session("", &at);
        converse(&mut session, &at, ENVELOPE);
        converse(&mut session, &at, b"BDAT 1\r\nx");
        let refused = converse(&mut session, &at, format!("BDAT {size}\r\n").as_bytes());
        assert!(refused.starts_with("552 5.3.4"));
        assert_eq!(converse(&mut session, &at, &b"QUIT\r\n".repeat(10_000)), "");
        assert_eq!(session.facts().phase, "receiving content");
    }
}

#[test]
fn a_flood_of_chunks_is_stopped() {
    let at = conditions(0);
    let mut session = session("", &at);
    converse(&mut session, &at, ENVELOPE);
    let flood = b"BDAT 1\r\nxBDAT 0\r\n".repeat(50_000);
    let mut rest = &flood[..];
    let mut out = Vec::new();
    loop {
        let step = session.advance(&at, rest);
        rest = &rest[step.consumed..];
        match step.event {
            Event::NeedInput => break,
            Event::Blocked => {
                let before = out.len();
                session.transmit(&mut out);
                assert!(out.len() - before <= REPLIES_BYTES_MAX + 512);
            }
            Event::MessageBegin | Event::Content(_) => {}
            Event::Inserted
            | Event::MessageEnd
            | Event::MessageAbandoned
            | Event::StartTls
            | Event::CheckPassword
            | Event::PeerChanged
            | Event::Close => panic!("{:?}", step.event),
        }
    }
    session.transmit(&mut out);
    let taken = String::from_utf8_lossy(&out).matches("250 2.0.0 Chunk taken").count();
    assert_eq!(taken, 100_000);
}

fn received(session: &mut ServerSession) -> String {
    let mut out = Vec::new();
    session.write_received_header(MessageId(0x1234), &conditions(0), &mut out);
    String::from_utf8(out).expect("ASCII")
}

#[test]
fn the_received_field_tells_how_the_message_came() {
    const LOGIN: &[u8] = b"XCLIENT LOGIN=alice\r\n";
    let at = conditions(0);
    let with = |is_protected: bool, login: bool, hello: &str, mail: &str| {
        let options = "O: tls=implicit xclient_from=192.0.2.7/32 users=alice auth=without_tls";
        let options = if is_protected { options } else { &options.replace("tls=implicit ", "") };
        let mut session = session(options, &at);
        if is_protected {
            session.handle_tls(&at, tls_facts(&[]));
        }
        converse(&mut session, &at, if login { LOGIN } else { b"" });
        converse(&mut session, &at, format!("{hello} x\r\n{mail}\r\n").as_bytes());
        let field = received(&mut session);
        assert!(!field.contains("alice"), "{field}");
        assert_eq!(field.contains("\r\n\ttls TLS_AES_128_GCM_SHA256 (TLSv1.3);"), is_protected);
        let (_, rest) = field.split_once(" with ").expect("a protocol");
        rest.split_once(" id ").expect("an id").0.to_owned()
    };
    let plain = "MAIL FROM:<>";
    let utf8 = "MAIL FROM:<> SMTPUTF8";
    assert_eq!(with(false, false, "HELO", plain), "SMTP");
    assert_eq!(with(true, false, "HELO", plain), "SMTP");
    assert_eq!(with(false, false, "EHLO", plain), "ESMTP");
    assert_eq!(with(true, false, "EHLO", plain), "ESMTPS");
    assert_eq!(with(false, true, "EHLO", plain), "ESMTPA");
    assert_eq!(with(true, true, "EHLO", plain), "ESMTPSA");
    assert_eq!(with(false, false, "EHLO", utf8), "UTF8SMTP");
    assert_eq!(with(true, false, "EHLO", utf8), "UTF8SMTPS");
    assert_eq!(with(false, true, "EHLO", utf8), "UTF8SMTPA");
    assert_eq!(with(true, true, "EHLO", utf8), "UTF8SMTPSA");
}

/// Three lines of which a client decides nothing but some letters of one.
fn assert_nothing_is_injected(session: &mut ServerSession) -> Result<(), TestCaseError> {
    let field = received(session);
    let lines: Vec<&str> = field.split_inclusive("\r\n").collect();
    prop_assert_eq!(lines.len(), 3);
    let name = lines[0].strip_prefix("Received: from ").expect("its name");
    let name = name.strip_suffix(" ([192.0.2.7])\r\n").expect("its address");
    prop_assert!(
        name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]?".contains(&byte))
    );
    prop_assert!(lines[1].starts_with("\tby mx.example.net (Ringpost) with "));
    prop_assert!(lines[1].ends_with(" id 0000000000001234;\r\n"));
    prop_assert_eq!(lines[2], "\tTue, 24 Nov 2026 04:01:33 +0000\r\n");
    Ok(())
}

proptest! {
    #[test]
    fn no_name_writes_a_field_of_its_own(
        name in "([ -~]|\\PC|[\\x00-\\x1f]|\\r\\nX: y|%0D%0A|\\+0D\\+0A){1,40}",
        verb in "EHLO|HELO|XCLIENT HELO|XCLIENT NAME",
    ) {
        let at = conditions(0);
        let mut session = session("O: xclient_from=192.0.2.7/32", &at);
        let separator = if verb.starts_with('X') { "=" } else { " " };
        let mut input = format!("EHLO x\r\n{verb}{separator}{name}\r\n").into_bytes();
        input.extend_from_slice(b"\r\n");
        let mut rest = &input[..];
        while !rest.is_empty() {
            let step = session.advance(&at, rest);
            rest = &rest[step.consumed..];
            if matches!(step.event, Event::NeedInput | Event::Close) {
                break;
            }
        }
        assert_nothing_is_injected(&mut session)?;
    }

    #[test]
    fn no_address_does_either(local in "[ -~]{1,30}") {
        let at = conditions(0);
        let mut session = session("", &at);
        let quoted = local.replace('\\', "\\\\").replace('"', "\\\"");
        converse(&mut session, &at, b"EHLO client.example\r\n");
        for verb in ["MAIL FROM", "RCPT TO"] {
            let input = format!("{verb}:<\"{quoted}\"@b.example>\r\n");
            converse(&mut session, &at, input.as_bytes());
        }
        assert_nothing_is_injected(&mut session)?;
    }
}
