//! How addresses and values stand in a command.
//!
//! # Guarantees
//! What is spelled ends neither its path nor its line nor its word, whatever it was.

use std::borrow::Cow;

use crate::limits::{ORIGINAL_RECIPIENT_BYTES_MAX, PATH_BYTES_MAX};
use crate::proto::idn;

/// Why an address cannot go to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unsendable {
    /// To no peer.
    Syntax,
    /// Not to one without SMTPUTF8.
    BeyondAscii,
}

/// `address` as it stands between angle brackets; with `utf8` it may be UTF-8. Without, a domain
/// beyond ASCII is written with its A-labels, which is the same domain (RFC 6531 §3.2); a local
/// part has no other form.
pub(super) fn spell(address: &[u8], utf8: bool) -> Result<Cow<'_, [u8]>, Unsendable> {
    if !is_sendable(address) {
        return Err(Unsendable::Syntax);
    }
    if utf8 || address.is_ascii() {
        return Ok(Cow::Borrowed(address));
    }
    let at = memchr::memrchr(b'@', address).ok_or(Unsendable::BeyondAscii)?;
    let (local, domain) = address.split_at(at + 1);
    if !local.is_ascii() {
        return Err(Unsendable::BeyondAscii);
    }
    let domain = std::str::from_utf8(domain).map_err(|_| Unsendable::Syntax)?;
    let domain = idn::to_a_labels(domain).ok_or(Unsendable::BeyondAscii)?;
    let spelled = [local, domain.as_bytes()].concat();
    if is_sendable(&spelled) { Ok(Cow::Owned(spelled)) } else { Err(Unsendable::BeyondAscii) }
}

/// Whether `address` can stand between angle brackets without ending them: UTF-8 without anything
/// that is not shown, and outside a quoted string no space, no bracket and no backslash
/// (RFC 5321 §4.1.2, RFC 6531 §3.3). Whether such a mailbox can exist is the peer's business.
fn is_sendable(address: &[u8]) -> bool {
    if address.len() + 2 > PATH_BYTES_MAX {
        return false;
    }
    let Ok(address) = std::str::from_utf8(address) else { return false };
    let mut quoted = false;
    let mut escaped = false;
    for character in address.chars() {
        match character {
            _ if !idn::is_printable(character) => return false,
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ' ' | '<' | '>' | '\\' if !quoted => return false,
            _ => {}
        }
    }
    !quoted
}

/// The value of a parameter as it was sent here, if it is one word of ASCII.
pub(super) fn word(value: &[u8]) -> Option<&[u8]> {
    (!value.is_empty() && value.iter().all(u8::is_ascii_graphic)).then_some(value)
}

/// The value of `ORCPT=`, letter by letter as it was sent here (RFC 3461 §5.2.1). A peer without
/// SMTPUTF8 gets its characters beyond ASCII in the escapes of RFC 6533 §3; one that becomes too
/// long by that is left out.
pub(super) fn original_recipient(value: &[u8], utf8: bool) -> Option<Cow<'_, [u8]>> {
    if value.is_ascii() {
        return word(value).map(Cow::Borrowed);
    }
    let text = std::str::from_utf8(value).ok()?;
    if text.chars().any(|it| it == ' ' || !idn::is_printable(it)) {
        return None;
    }
    if utf8 {
        return Some(Cow::Borrowed(value));
    }
    let mut escaped = String::with_capacity(value.len() * 3);
    for character in text.chars() {
        if character.is_ascii() {
            escaped.push(character);
        } else {
            escaped.push_str(&format!("\\x{{{:X}}}", u32::from(character)));
        }
    }
    (escaped.len() <= ORIGINAL_RECIPIENT_BYTES_MAX).then(|| Cow::Owned(escaped.into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_cannot_break_out_of_its_path() {
        let good: [&[u8]; 6] = [
            b"",
            b"a@b.example",
            b"a+b=c@[127.0.0.1]",
            b"\"a b>c\"@d.example",
            b"\"a\\\" >\"@d.example",
            "\"é >\"@bücher.example".as_bytes(),
        ];
        for address in good {
            assert!(is_sendable(address), "{}", address.escape_ascii());
        }
        let bad: [&[u8]; 14] = [
            b"a\\\"b>c\"@d",
            b"a@b>\r\nRCPT TO:<c@d",
            b"a\n@b",
            b"a\0@b",
            b"a@b\x7f",
            b"a\xe9@b",
            "a\u{85}@b".as_bytes(),
            "é@b> SIZE=0 <".as_bytes(),
            b"a@b> SIZE=0 <",
            b"a b@c",
            b"<a@b",
            b"\"a@b",
            b"\"a\\\\\"@b> X=\"",
            b"\"\r\n\"@b",
        ];
        for address in bad {
            assert!(!is_sendable(address), "{}", address.escape_ascii());
            assert_eq!(spell(address, true), Err(Unsendable::Syntax));
        }
        assert!(is_sendable(&[b'a'; PATH_BYTES_MAX - 2]));
        assert!(!is_sendable(&[b'a'; PATH_BYTES_MAX - 1]));
    }

    #[test]
    fn only_a_domain_has_an_ascii_form() {
        let spelled = |address: &str, utf8| {
            spell(address.as_bytes(), utf8).map(|it| String::from_utf8(it.into_owned()).unwrap())
        };
        let (domain, local) = ("a@bücher.example", "é@b.example");
        assert_eq!(spelled(domain, true).unwrap(), domain);
        assert_eq!(spelled(domain, false).unwrap(), "a@xn--bcher-kva.example");
        assert_eq!(spelled("\"x@y\"@bücher.example", false).unwrap(), {
            "\"x@y\"@xn--bcher-kva.example"
        });
        assert_eq!(spelled(local, true).unwrap(), local);
        assert_eq!(spelled(local, false), Err(Unsendable::BeyondAscii));
        assert_eq!(spelled("é", false), Err(Unsendable::BeyondAscii));
        assert_eq!(spelled("a@ü..example", false), Err(Unsendable::BeyondAscii));
        let long = format!("{}@bücher.example", "a".repeat(PATH_BYTES_MAX - 18));
        assert!(spelled(&long, true).is_ok());
        assert_eq!(spelled(&long, false), Err(Unsendable::BeyondAscii));
    }

    #[test]
    fn an_original_recipient_stays_as_it_is_where_it_can() {
        let spelled = |value: &str, utf8| {
            original_recipient(value.as_bytes(), utf8)
                .map(|it| String::from_utf8(it.into_owned()).unwrap())
        };
        let ascii = "rfc822;Bob+2B1@Example.COM";
        assert_eq!(spelled(ascii, false).unwrap(), ascii);
        assert_eq!(spelled(ascii, true).unwrap(), ascii);
        let raw = "utf-8;bób@bücher.example";
        assert_eq!(spelled(raw, true).unwrap(), raw);
        assert_eq!(spelled(raw, false).unwrap(), "utf-8;b\\x{F3}b@b\\x{FC}cher.example");
        for bad in ["", "rfc822;a b", "rfc822;a\r\nDATA", "utf-8;é b", "utf-8;é\u{2028}"] {
            assert_eq!(spelled(bad, true), None, "{bad:?}");
            assert_eq!(spelled(bad, false), None, "{bad:?}");
        }
        let long = format!("utf-8;{}", "é".repeat(100));
        assert_eq!(spelled(&long, true).unwrap(), long);
        assert_eq!(spelled(&long, false), None);
    }
}
