//! How a content travels.
//!
//! # Never
//! Allocates for a content, but what is appended to the caller's buffer.

use memchr::memmem;

/// How a content travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// Behind DATA: a line that begins with a dot gets one more (RFC 5321 §4.5.2).
    Data,
    /// Behind BDAT: as it is (RFC 3030 §2).
    Bdat,
}

/// Whether `text`, which begins a line, has a line that begins with a dot.
pub(super) fn has_dots(text: &[u8]) -> bool {
    text.starts_with(b".") || memmem::find(text, b"\n.").is_some()
}

/// Doubles the dots at the beginning of lines in `out` from `from` on, where a line begins.
pub(super) fn stuff_from(out: &mut Vec<u8>, from: usize) {
    let mut at = from;
    loop {
        if out.get(at) == Some(&b'.') {
            out.insert(at, b'.');
            at += 1;
        }
        match memmem::find(&out[at..], b"\n.") {
            Some(found) => at += found + 1,
            None => return,
        }
    }
}

/// A copy of `text`, which begins a line, with its dots doubled.
pub(super) fn stuffed(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + text.len() / 64);
    let mut starts_line = true;
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        if starts_line && line.starts_with(b".") {
            out.push(b'.');
        }
        out.extend_from_slice(line);
        starts_line = line.ends_with(b"\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_are_doubled_where_lines_begin() {
        for (plain, wanted) in [
            (&b""[..], &b""[..]),
            (b".", b".."),
            (b".\r\n.\r\n", b"..\r\n..\r\n"),
            (b"a.b\r\n..c\r\n", b"a.b\r\n...c\r\n"),
            (b"a\r\nb", b"a\r\nb"),
        ] {
            assert_eq!(stuffed(plain), wanted);
            let mut out = b"kept.\r\n".to_vec();
            out.extend_from_slice(plain);
            stuff_from(&mut out, 7);
            assert_eq!(out, [b"kept.\r\n", wanted].concat());
            assert_eq!(has_dots(plain), plain != wanted);
        }
    }
}
