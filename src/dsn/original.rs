//! The third part of a notice: the message that it is about, or the header of it (RFC 6522 §4).

use memchr::{memchr, memmem};

use super::Original;
use super::lines::{is_plain_text, push_field};
use crate::limits::{DSN_HEADER_BYTES_MAX, DSN_LINE_BYTES_MAX};

/// A `Message-ID` that is longer is not repeated in `In-Reply-To`.
const REFERENCE_BYTES_MAX: usize = 250;

/// With `smtputf8` the reader knows the types for messages in UTF-8 (RFC 6533 §4, RFC 6532 §3.7).
///
/// A whole message that is no plain text goes as `message/global` whether or not it came with
/// SMTPUTF8: a `message/rfc822` must not be encoded (RFC 2046 §5.2.1), and sent as it is it would
/// need a next hop that takes 8-bit lines of any length, without which the notice would be lost.
pub(super) fn original_part(original: Original<'_>, smtputf8: bool) -> Vec<u8> {
    let (kind, description, body) = match original {
        Original::Whole(content) => {
            let kind = if is_plain_text(content, DSN_LINE_BYTES_MAX) {
                "message/rfc822"
            } else {
                "message/global"
            };
            (kind, "Your message", content)
        }
        Original::Header(content) | Original::HeaderOfLarge(content) => {
            let header = header_of(content);
            let kind = if smtputf8 && !header.is_ascii() {
                "message/global-headers"
            } else {
                "text/rfc822-headers"
            };
            (kind, "The header of your message", header)
        }
    };
    let mut out = Vec::new();
    push_field(&mut out, "Content-Type", kind);
    push_field(&mut out, "Content-Description", description);
    super::push_body(&mut out, body);
    out
}

/// The header at the beginning of `content` without the empty line behind it (RFC 5322 §2.1), cut
/// at the last line that is whole within the bound.
pub(super) fn header_of(content: &[u8]) -> &[u8] {
    if content.starts_with(b"\r\n") {
        return &[];
    }
    let bounded = content.get(..DSN_HEADER_BYTES_MAX).unwrap_or(content);
    let end = match memmem::find(bounded, b"\r\n\r\n") {
        Some(empty_line) => empty_line + 2,
        None => memmem::rfind(bounded, b"\r\n").map_or(0, |last| last + 2),
    };
    bounded.get(..end).unwrap_or_default()
}

/// The value of the first `Message-ID` field if it is one plain identifier (RFC 5322 §3.6.4), so
/// that it can stand in a field of our own.
pub(super) fn find_message_id(header: &[u8]) -> Option<&str> {
    const NAME: &[u8] = b"message-id:";
    let mut rest = header;
    while !rest.is_empty() {
        let (line, after) = rest.split_at(memchr(b'\n', rest).map_or(rest.len(), |lf| lf + 1));
        rest = after;
        let Some((name, value)) = line.split_at_checked(NAME.len()) else { continue };
        if !name.eq_ignore_ascii_case(NAME) {
            continue;
        }
        let value = value.trim_ascii();
        let inner = value.strip_prefix(b"<")?.strip_suffix(b">")?;
        let is_plain = inner
            .iter()
            .all(|&byte| byte.is_ascii_graphic() && !matches!(byte, b'<' | b'>' | b'"' | b'('));
        let is_short = value.len() <= REFERENCE_BYTES_MAX;
        return if is_plain && is_short { str::from_utf8(value).ok() } else { None };
    }
    None
}
