//! How the parameters of DSN write what may not stand in a parameter: `xtext` (RFC 3461 §4) and
//! the escapes of UTF-8 addresses (RFC 6533 §3).
//!
//! # Guarantees
//! What passes decodes to printable characters, so that it can be put into a field of a
//! notification without harm.

use crate::proto::idn::is_printable;

/// Whether `text` is `xtext` that stands for printable ASCII (RFC 3461 §4, §4.2, §4.4).
pub(super) fn is_xtext(text: &[u8]) -> bool {
    let mut rest = text;
    loop {
        rest = match rest {
            [] => return true,
            [b'+', high, low, rest @ ..] => match (hex_digit(*high), hex_digit(*low)) {
                (Some(high), Some(low)) if matches!(high * 16 + low, 0x20..=0x7e) => rest,
                _ => return false,
            },
            [b'+' | b'=', ..] => return false,
            [b'!'..=b'~', rest @ ..] => rest,
            _ => return false,
        };
    }
}

/// Whether `text` is an address of the type `utf-8` (RFC 6533 §3): printable ASCII and `\x{…}`,
/// and with `raw` also characters beyond ASCII as they are.
pub(super) fn is_utf8_address(text: &[u8], raw: bool) -> bool {
    if text.is_empty() || (!raw && !text.is_ascii()) {
        return false;
    }
    let Ok(text) = std::str::from_utf8(text) else { return false };
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let behind = &rest[first.len_utf8()..];
        rest = match first {
            '\\' => match embedded(behind) {
                Some(rest) => rest,
                None => return false,
            },
            ' ' | '+' | '=' => return false,
            _ if is_printable(first) => behind,
            _ => return false,
        };
    }
    true
}

/// What stands behind `x{HEXPOINT}` of a character that is printable and needs the escape.
fn embedded(text: &str) -> Option<&str> {
    let (digits, rest) = text.strip_prefix("x{")?.split_once('}')?;
    let is_short = matches!(digits.len(), 2..=6) && (digits.len() == 2 || !digits.starts_with('0'));
    if !is_short || !digits.bytes().all(|byte| hex_digit(byte).is_some()) {
        return None;
    }
    let character = char::from_u32(u32::from_str_radix(digits, 16).ok()?)?;
    let needs_it = !character.is_ascii() || matches!(character, ' ' | '+' | '=' | '\\');
    (needs_it && is_printable(character)).then_some(rest)
}

/// The value of a hexadecimal digit in upper case; both grammars want that.
pub const fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn xtext() {
        for good in ["", "a", "QQ314159", "user+2Btag@example.com", "+20+7E", "!#~\\{}"] {
            assert!(is_xtext(good.as_bytes()), "{good}");
        }
        let bad = ["+", "+2", "+2b", "+0A", "+0D+0A", "+7F", "+80", "+G0", "a=b", "a b", "é", "\0"];
        for bad in bad {
            assert!(!is_xtext(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn utf8_addresses() {
        let ascii = ["a@b", "jos\\x{E9}@b", "\\x{2B}\\x{3D}\\x{5C}\\x{20}", "\\x{1F600}@b"];
        for good in ascii {
            assert!(is_utf8_address(good.as_bytes(), false), "{good}");
            assert!(is_utf8_address(good.as_bytes(), true), "{good}");
        }
        assert!(is_utf8_address("josé@b".as_bytes(), true));
        assert!(!is_utf8_address("josé@b".as_bytes(), false));
        let bad = [
            "",
            "\\",
            "\\x",
            "\\x{",
            "\\x{}",
            "\\x{E9",
            "\\x{e9}",
            "\\x{0E9}",
            "\\x{41}",
            "\\x{0A}",
            "\\x{0D}",
            "\\x{7F}",
            "\\x{85}",
            "\\x{2028}",
            "\\x{FF20}",
            "\\x{D800}",
            "\\x{110000}",
            "\\x{1234567}",
            "\\u{E9}",
            "a+b",
            "a=b",
            "a b",
            "a\u{202e}b",
        ];
        for bad in bad {
            assert!(!is_utf8_address(bad.as_bytes(), true), "{bad}");
        }
        assert!(!is_utf8_address(b"jos\xe9@b", true));
    }

    /// RFC 3461 §4, as a sender does it.
    fn encode(bytes: &[u8]) -> String {
        let encode = |&byte: &u8| match byte {
            b'+' | b'=' | b' ' => format!("+{byte:02X}"),
            _ => char::from(byte).to_string(),
        };
        bytes.iter().map(encode).collect()
    }

    proptest! {
        #[test]
        fn what_a_sender_encodes_is_taken(text in "[ -~]{0,40}") {
            prop_assert!(is_xtext(encode(text.as_bytes()).as_bytes()));
        }

        #[test]
        fn nothing_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..20)) {
            let sound = is_xtext(&bytes);
            prop_assert!(!sound || bytes.is_ascii());
            let is_address = is_utf8_address(&bytes, true);
            prop_assert!(!is_address || std::str::from_utf8(&bytes).is_ok());
        }
    }
}
