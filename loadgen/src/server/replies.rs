//! Positive replies in the form that the behaviour wants.

use crate::behaviour::{Behaviour, ReplyLines};

/// Bytes of a reply line with its end (RFC 5321 §4.5.3.1.5).
const REPLY_LINE_BYTES: usize = 512;

/// Lines before the last of a reply with many.
const MORE_LINES: usize = 19;

/// Appends a reply of one line; `parts` begin with the code and a space.
pub(super) fn write(behaviour: &Behaviour, parts: &[&[u8]], out: &mut Vec<u8>) {
    let start = out.len();
    if behaviour.lines != ReplyLines::Plain {
        write_lines_before(behaviour.lines, parts, out);
    }
    if behaviour.lines == ReplyLines::NoText {
        let code = out.len();
        parts.iter().for_each(|part| out.extend_from_slice(part));
        out.truncate(code + 3);
    } else {
        parts.iter().for_each(|part| out.extend_from_slice(part));
    }
    if behaviour.lines == ReplyLines::Long {
        out.push(b' ');
        out.resize(start + REPLY_LINE_BYTES - 2, b'x');
    }
    out.extend_from_slice(b"\r\n");
}

fn write_lines_before(lines: ReplyLines, parts: &[&[u8]], out: &mut Vec<u8>) {
    let code = parts.first().and_then(|part| part.get(..3)).unwrap_or(b"250");
    let before: &[&[u8]] = match lines {
        ReplyLines::Plain | ReplyLines::NoText | ReplyLines::Long => &[],
        ReplyLines::Many => &[b"-and so on" as &[u8]; MORE_LINES],
        ReplyLines::Mixed => &[b"-", b"-2.0.0 with a code", b"-without one", b"- ", b"-2.0.0"],
    };
    for line in before {
        for part in [code, line, b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
}

/// Appends what EHLO is answered with (RFC 5321 §4.1.1.1): the name, and the offer: PIPELINING
/// (RFC 2920 §3), SIZE (RFC 1870 §4, 0 for no fixed bound), 8BITMIME (RFC 6152 §2), CHUNKING
/// (RFC 3030 §2), SMTPUTF8 (RFC 6531 §3.1), STARTTLS (RFC 3207 §4), AUTH (RFC 4954 §3) and
/// ENHANCEDSTATUSCODES (RFC 2034 §3).
pub(super) fn write_offer(behaviour: &Behaviour, offers_tls: bool, out: &mut Vec<u8>) {
    let offers = &behaviour.offers;
    for part in [b"250-", behaviour.name.as_bytes(), b"\r\n"] {
        out.extend_from_slice(part);
    }
    let size = format!("250-SIZE {}\r\n", behaviour.size_max_bytes.unwrap_or(0));
    for (is_offered, line) in [
        (offers.pipelining, &b"250-PIPELINING\r\n"[..]),
        (true, size.as_bytes()),
        (offers.eight_bit_mime, b"250-8BITMIME\r\n"),
        (offers.chunking, b"250-CHUNKING\r\n"),
        (offers.smtputf8, b"250-SMTPUTF8\r\n"),
        (offers_tls, b"250-STARTTLS\r\n"),
        (offers.auth, b"250-AUTH PLAIN LOGIN\r\n"),
        (true, b"250 ENHANCEDSTATUSCODES\r\n"),
    ] {
        if is_offered {
            out.extend_from_slice(line);
        }
    }
}
