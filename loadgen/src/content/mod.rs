//! What the messages of a run consist of.
//!
//! A message has a part of its own, which begins with the stamp `X-Loadgen-Id`, and a rest that it
//! shares with others, so that the rest is never copied.
//!
//! # Guarantees
//! The same id always gives the same bytes: a message that is sent again is the same message. The
//! stamp is the first line of every message. Every message ends with CRLF.
//!
//! # Never
//! Allocates for a message, once the caller's buffer has grown to its size.
//!
//! # Bounds
//! [`SIZE_BYTES_MAX`] for a message.

mod framing;
mod text;

use std::io::Write;

use crate::stamp::{ID_HEADER, Id, NUMBER_DIGITS};

pub(crate) use framing::Framing;

/// The largest message that is made. The shared text is as large as the largest message.
pub(crate) const SIZE_BYTES_MAX: usize = 1 << 30;

/// The shared rest of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BodyKey {
    /// How many lines at the end of the shared text.
    lines: u32,
}

/// What was written of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    /// The shared rest, which comes next.
    pub(crate) body: BodyKey,
    /// Bytes of the whole message as RFC 1870 §3 counts them: without the dots of dot-stuffing.
    pub(crate) size_bytes: usize,
    /// Bytes of the whole message as it travels, without what ends it.
    pub(crate) wire_bytes: usize,
}

/// The messages of a run.
#[derive(Debug)]
pub(crate) struct Contents {
    /// The header section but the stamp, up to the number in the subject and from there on.
    head: [String; 2],
    size_bytes: usize,
    head_bytes: usize,
    text: Vec<u8>,
    is_8bit: bool,
}

impl Contents {
    /// Messages of `size_bytes` from `from`, dated `date` (RFC 5322 §3.3). A size below that of the
    /// headers gives messages of headers alone.
    pub(crate) fn plain(from: &str, date: &str, size_bytes: usize) -> Self {
        let head = [
            format!(
                "Date: {date}\r\n\
                 From: <{from}>\r\n\
                 To: undisclosed-recipients:;\r\n\
                 MIME-Version: 1.0\r\n\
                 Content-Type: text/plain; charset=us-ascii\r\n\
                 Subject: Message "
            ),
            " of the load generator\r\n\r\n".to_owned(),
        ];
        let mut contents =
            Self { head, size_bytes, head_bytes: 0, text: Vec::new(), is_8bit: false };
        let mut own = Vec::new();
        contents.write_head(Id { run: 0, number: 0 }, &mut own);
        contents.head_bytes = own.len();
        let body_bytes = size_bytes.min(SIZE_BYTES_MAX).saturating_sub(own.len());
        contents.text = text::lines(body_bytes / text::LINE_BYTES, contents.is_8bit);
        contents
    }

    /// Appends the part of the message `id` that is its own, framed; the rest is a shared body.
    pub(crate) fn write(&self, id: Id, _framing: Framing, out: &mut Vec<u8>) -> Written {
        let from = out.len();
        self.write_head(id, out);
        let body_bytes = self.size_bytes.saturating_sub(self.head_bytes);
        text::write_odd_line(body_bytes, out);
        let shared_bytes = body_bytes - text::odd_bytes(body_bytes);
        // No line of it begins with a dot, so it travels as it is.
        let size_bytes = out.len() - from + shared_bytes;
        let lines = u32::try_from(shared_bytes / text::LINE_BYTES).unwrap_or(u32::MAX);
        Written { body: BodyKey { lines }, size_bytes, wire_bytes: size_bytes }
    }

    /// Bytes of the message `id` as RFC 1870 §3 counts them: what [`Self::write`] will tell.
    pub(crate) fn size_bytes(&self, _id: Id) -> usize {
        let body_bytes = self.size_bytes.saturating_sub(self.head_bytes);
        self.head_bytes + if body_bytes == 1 { 0 } else { body_bytes }
    }

    /// The shared rest, framed; may be empty.
    pub(crate) fn body(&self, key: BodyKey, _framing: Framing) -> &[u8] {
        let bytes = text::LINE_BYTES * key.lines as usize;
        &self.text[self.text.len().saturating_sub(bytes)..]
    }

    /// Whether any message has bytes above 127 (RFC 6152).
    pub(crate) const fn is_8bit(&self) -> bool {
        self.is_8bit
    }

    fn write_head(&self, id: Id, out: &mut Vec<u8>) {
        let [before, after] = &self.head;
        out.extend_from_slice(ID_HEADER);
        // Writing to a Vec cannot fail.
        let _ = write!(out, "{id}\r\nMessage-ID: <{id}@loadgen.invalid>\r\n");
        out.extend_from_slice(before.as_bytes());
        let _ = write!(out, "{:0width$}", id.number, width = NUMBER_DIGITS);
        out.extend_from_slice(after.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stamp::StampFinder;

    const DATE: &str = "Tue, 24 Nov 2026 04:01:33 +0000";

    fn message(contents: &Contents, id: Id, framing: Framing) -> Vec<u8> {
        let mut out = Vec::new();
        let written = contents.write(id, framing, &mut out);
        out.extend_from_slice(contents.body(written.body, framing));
        assert_eq!(out.len(), written.wire_bytes);
        assert_eq!(written.size_bytes, contents.size_bytes(id));
        out
    }

    #[test]
    fn the_stamp_is_the_first_line() {
        let contents = Contents::plain("a@example.com", DATE, 2_048);
        let id = Id { run: 0xfeed, number: 42 };
        let message = message(&contents, id, Framing::Data);
        assert!(message.starts_with(b"X-Loadgen-Id: 000000000000feed-0000000042\r\n"));
        assert_eq!(StampFinder::new().find(&message).map(|(stamp, _)| stamp.id), Some(id));
        let received = [b"Received: from x by y\r\n with ESMTP\r\n", &message[..]].concat();
        assert_eq!(StampFinder::new().find(&received).map(|(stamp, _)| stamp.id), Some(id));
    }

    #[test]
    fn every_size_is_met_with_whole_lines() {
        let id = Id { run: 1, number: 9_999_999_999 };
        let least = Contents::plain("a@example.com", DATE, 0).size_bytes(id);
        for size in least + 2..least + 400 {
            let contents = Contents::plain("a@example.com", DATE, size);
            let message = message(&contents, id, Framing::Bdat);
            assert_eq!(message.len(), size);
            for line in message.split_inclusive(|byte| *byte == b'\n') {
                assert!(line.ends_with(b"\r\n"), "{line:?}");
                assert!(line.len() <= 80);
                assert!(!line.starts_with(b"."));
            }
        }
        for size in [0, 1, least, least + 1] {
            let contents = Contents::plain("a@example.com", DATE, size);
            assert_eq!(message(&contents, id, Framing::Data).len(), least);
        }
    }
}
