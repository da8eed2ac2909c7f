//! Contents that are kept whole: line ends made CRLF, and a second copy where dots must be doubled.

use super::framing::{self, Framing};

/// A text that begins a line, ready to travel either way.
#[derive(Debug)]
pub(super) struct Stored {
    plain: Vec<u8>,
    /// Only where it differs.
    stuffed: Option<Vec<u8>>,
}

impl Stored {
    /// `text`, whose lines all end with CRLF.
    pub(super) fn new(plain: Vec<u8>) -> Self {
        let stuffed = framing::has_dots(&plain).then(|| framing::stuffed(&plain));
        Self { plain, stuffed }
    }

    /// As it travels.
    pub(super) fn framed(&self, framing: Framing) -> &[u8] {
        match (framing, &self.stuffed) {
            (Framing::Data, Some(stuffed)) => stuffed,
            (Framing::Data | Framing::Bdat, _) => &self.plain,
        }
    }

    /// Bytes as RFC 1870 §3 counts them.
    pub(super) fn size_bytes(&self) -> usize {
        self.plain.len()
    }

    /// Bytes of memory.
    pub(super) fn kept_bytes(&self) -> usize {
        self.plain.len() + self.stuffed.as_ref().map_or(0, Vec::len)
    }

    /// Whether it has bytes above 127.
    pub(super) fn is_8bit(&self) -> bool {
        !self.plain.is_ascii()
    }
}

/// `text` with every line end made CRLF, as SMTP wants them (RFC 5321 §2.3.8), also that of the
/// last line.
pub(super) fn with_crlf(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + text.len() / 32 + 2);
    let mut rest = text;
    while let Some(at) = memchr::memchr2(b'\r', b'\n', rest) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(b"\r\n");
        let end = if rest[at..].starts_with(b"\r\n") { at + 2 } else { at + 1 };
        rest = &rest[end..];
    }
    if !rest.is_empty() {
        out.extend_from_slice(rest);
        out.extend_from_slice(b"\r\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_become_crlf() {
        for (text, wanted) in [
            ("", ""),
            ("a", "a\r\n"),
            ("a\nb\r\nc\rd\n", "a\r\nb\r\nc\r\nd\r\n"),
            ("\n\r\n\r\r\n", "\r\n\r\n\r\n\r\n"),
            ("a\r\nb", "a\r\nb\r\n"),
        ] {
            assert_eq!(with_crlf(text.as_bytes()), wanted.as_bytes(), "{text:?}");
        }
    }

    #[test]
    fn dots_are_doubled_only_behind_data() {
        let stored = Stored::new(b"a\r\n.b\r\n".to_vec());
        assert_eq!(stored.framed(Framing::Data), b"a\r\n..b\r\n");
        assert_eq!(stored.framed(Framing::Bdat), b"a\r\n.b\r\n");
        assert_eq!((stored.size_bytes(), stored.kept_bytes()), (7, 15));
        let plain = Stored::new(b"a\r\n".to_vec());
        assert_eq!((plain.framed(Framing::Data), plain.kept_bytes()), (&b"a\r\n"[..], 3));
    }
}
