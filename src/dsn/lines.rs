//! Lines of a message: folded fields, wrapped text, and quoted-printable for what is no text.
//!
//! # Guarantees
//! No function writes a line of more than [`DSN_LINE_BYTES_MAX`] bytes, and none writes a CR or LF
//! of its input except as a line end of quoted-printable text.

use memchr::{memchr_iter, memmem};

use crate::limits::DSN_LINE_BYTES_MAX;

/// Lines are broken at spaces to stay within this (RFC 5322 §2.1.1).
const COLUMNS: usize = 78;

/// A word that is longer is broken inside.
const WORD_BYTES_MAX: usize = 900;

const _: () = assert!(WORD_BYTES_MAX + COLUMNS <= DSN_LINE_BYTES_MAX, "a word fits in a line");

/// Appends `name: value` CRLF, folded at spaces (RFC 5322 §2.2.3). Runs of white space become one
/// space. `value` must be printable, which the callers make sure of; any other ASCII is white
/// space.
pub(super) fn push_field(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    out.push(b':');
    let mut column = name.len() + 1;
    let mut at_value_start = true;
    for word in words(value) {
        // The first word stays beside its name: a field must not begin with an empty line.
        if column + 1 + word.len() > COLUMNS && !at_value_start {
            out.extend_from_slice(b"\r\n");
            column = 0;
        }
        out.push(b' ');
        out.extend_from_slice(word);
        column += 1 + word.len();
        at_value_start = false;
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends `text` as lines that begin with `indent` spaces.
pub(super) fn push_wrapped(out: &mut Vec<u8>, indent: usize, text: &str) {
    let mut column = 0;
    for word in words(text) {
        if column > 0 && column + 1 + word.len() <= COLUMNS {
            out.push(b' ');
            column += 1;
        } else {
            if column > 0 {
                out.extend_from_slice(b"\r\n");
            }
            out.resize(out.len() + indent, b' ');
            column = indent;
        }
        out.extend_from_slice(word);
        column += word.len();
    }
    out.extend_from_slice(b"\r\n");
}

/// The words of `text`, none longer than [`WORD_BYTES_MAX`]. What is no ASCII is part of a word.
fn words(text: &str) -> impl Iterator<Item = &[u8]> {
    text.as_bytes()
        .split(|byte| byte.is_ascii() && !byte.is_ascii_graphic())
        .flat_map(|word| word.chunks(WORD_BYTES_MAX))
        .filter(|word| !word.is_empty())
}

/// Whether `text` can be sent as 7bit (RFC 2045 §2.7): ASCII without control characters but tabs,
/// in lines of at most `line_bytes_max` that all end with CRLF.
pub(super) fn is_plain_text(text: &[u8], line_bytes_max: usize) -> bool {
    let mut start = 0;
    for lf in memchr_iter(b'\n', text) {
        let Some(line) = text.get(start..lf).and_then(|line| line.strip_suffix(b"\r")) else {
            return false;
        };
        if line.len() > line_bytes_max
            || !line.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~'))
        {
            return false;
        }
        start = lf + 1;
    }
    start == text.len()
}

/// Appends `text` as quoted-printable (RFC 2045 §6.7). CRLF is a line end; any other CR or LF is
/// data. What does not end with CRLF ends with a soft line break, so that it comes out as it was.
pub(super) fn push_quoted_printable(out: &mut Vec<u8>, text: &[u8]) {
    /// Encoded bytes on a line, which leaves room for the `=` of a soft line break.
    const LINE_BYTES_MAX: usize = 75;
    let mut rest = text;
    while !rest.is_empty() {
        let end = memmem::find(rest, b"\r\n");
        let line = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        let mut column = 0;
        for (at, &byte) in line.iter().enumerate() {
            let is_last = at + 1 == line.len();
            let literal = match byte {
                b' ' | b'\t' => !is_last, // rule 3: no white space at the end of a line
                b'=' => false,
                b'!'..=b'~' => true,
                _ => false,
            };
            let width = if literal { 1 } else { 3 };
            if column + width > LINE_BYTES_MAX {
                out.extend_from_slice(b"=\r\n");
                column = 0;
            }
            column += width;
            if literal {
                out.push(byte);
            } else {
                out.extend_from_slice(&[b'=', hexadecimal(byte >> 4), hexadecimal(byte & 15)]);
            }
        }
        out.extend_from_slice(if end.is_some() { b"\r\n" } else { b"=\r\n" });
        rest = rest.get(line.len() + 2..).unwrap_or_default();
    }
}

const fn hexadecimal(half: u8) -> u8 {
    match half {
        0..=9 => b'0' + half,
        _ => b'A' + (half - 10),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    fn field(value: &str) -> String {
        let mut out = Vec::new();
        push_field(&mut out, "Diagnostic-Code", value);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn fields_are_folded_at_spaces_and_unfold_to_the_same() {
        let value = ["smtp;"; 40].join(" ");
        let folded = field(&value);
        assert!(folded.lines().all(|line| line.len() <= COLUMNS));
        assert_eq!(folded.replace("\r\n ", " "), format!("Diagnostic-Code: {value}\r\n"));
        assert_eq!(field(""), "Diagnostic-Code:\r\n");
        let word = "w".repeat(COLUMNS);
        assert_eq!(field(&word), format!("Diagnostic-Code: {word}\r\n"));
        assert_eq!(field("a\r\nBcc: b"), "Diagnostic-Code: a Bcc: b\r\n");
    }

    #[test]
    fn plain_text_is_told_from_other() {
        let cases: [(&[u8], bool); 9] = [
            (b"", true),
            (b"a: b\r\n\tc\r\n", true),
            (b"a", false),
            (b"a\n", false),
            (b"a\r", false),
            (b"a\r\r\n", false),
            (b"a\0\r\n", false),
            (b"\xc3\xa9\r\n", false),
            (b"1234567\r\n", false),
        ];
        for (text, expected) in cases {
            assert_eq!(is_plain_text(text, 6), expected, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn white_space_at_the_end_of_a_line_is_encoded() {
        let mut out = Vec::new();
        push_quoted_printable(&mut out, b"a =\xe9 \r\n\t\r\n\r\nb");
        assert_eq!(out, b"a =3D=E9=20\r\n=09\r\n\r\nb=\r\n");
    }

    pub(in crate::dsn) fn decode(text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut rest = text;
        while let Some((&byte, after)) = rest.split_first() {
            rest = after;
            if byte != b'=' {
                out.push(byte);
            } else if let Some(after) = rest.strip_prefix(b"\r\n") {
                rest = after;
            } else {
                let digits = str::from_utf8(&rest[..2]).unwrap();
                out.push(u8::from_str_radix(digits, 16).unwrap());
                rest = &rest[2..];
            }
        }
        out
    }

    proptest! {
        #[test]
        fn quoted_printable_comes_back(
            text in prop::collection::vec(
                prop_oneof![
                    any::<u8>(),
                    prop::sample::select(b"\r\n =.\tab".to_vec()),
                ],
                0..300,
            ),
        ) {
            let mut out = Vec::new();
            push_quoted_printable(&mut out, &text);
            prop_assert_eq!(decode(&out), text);
            prop_assert!(is_plain_text(&out, 76));
        }

        #[test]
        fn no_line_is_too_long(text in "[ -~]{0,40}|[a-z]{2000}|([a-z]{1,100} ){0,20}") {
            for indent in [0, 6] {
                let mut out = field(&text).into_bytes();
                push_wrapped(&mut out, indent, &text);
                prop_assert!(is_plain_text(&out, DSN_LINE_BYTES_MAX));
            }
        }
    }
}
