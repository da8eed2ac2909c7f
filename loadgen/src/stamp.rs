//! What marks each message, so that loss and duplicates can be counted at the other end: the
//! header `X-Loadgen-Id: RUN-NUMBER`.
//!
//! # Guarantees
//! `parse(write(id)) == id`, and all stamped heads of a run are equally long, so that every message
//! of a run has the same size.
//!
//! # Never
//! Allocates to write a stamp, once the buffer has grown to its size.

use std::fmt;
use std::io::Write;
use std::str::FromStr;

use memchr::memmem;

/// The name of the header that carries the id, with its colon and space.
pub(crate) const ID_HEADER: &[u8] = b"X-Loadgen-Id: ";

/// Digits that the number is padded to, so that sizes stay equal up to ten thousand million.
const NUMBER_DIGITS: usize = 10;

/// One message of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Id {
    /// The run, so that two sources can send into one sink.
    pub(crate) run: u64,
    /// The message in the run, from 0.
    pub(crate) number: u64,
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{:0width$}", self.run, self.number, width = NUMBER_DIGITS)
    }
}

/// The text is not `RUN-NUMBER`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoId;

impl FromStr for Id {
    type Err = NoId;

    fn from_str(text: &str) -> Result<Self, NoId> {
        let (run, number) = text.split_once('-').ok_or(NoId)?;
        if run.len() != 16 || number.starts_with('+') {
            return Err(NoId);
        }
        let run = u64::from_str_radix(run, 16).map_err(|_| NoId)?;
        let number = number.parse().map_err(|_| NoId)?;
        Ok(Self { run, number })
    }
}

/// Finds the id in the first bytes of a message.
#[derive(Debug)]
pub(crate) struct IdFinder {
    header: memmem::Finder<'static>,
}

impl IdFinder {
    /// A finder, to be kept.
    pub(crate) fn new() -> Self {
        Self { header: memmem::Finder::new(ID_HEADER) }
    }

    /// The id that `head`, the beginning of a message, carries at the start of a line.
    pub(crate) fn find(&self, head: &[u8]) -> Option<Id> {
        let at = self.header.find(head)?;
        if at > 0 && head[at - 1] != b'\n' {
            return None;
        }
        let value = &head[at + ID_HEADER.len()..];
        let end = memchr::memchr2(b'\r', b'\n', value)?;
        std::str::from_utf8(&value[..end]).ok()?.parse().ok()
    }
}

/// The text of all messages of a run: the stamped head differs, the body is shared.
#[derive(Debug)]
pub(crate) struct Template {
    from: String,
    date: String,
    head_bytes: usize,
    body: Vec<u8>,
}

impl Template {
    /// Messages of `size_bytes` from `from`, dated `date` (RFC 5322 §3.3). A size below that of the
    /// headers gives messages of headers alone.
    pub(crate) fn new(from: &str, date: &str, size_bytes: usize) -> Self {
        let mut template =
            Self { from: from.to_owned(), date: date.to_owned(), head_bytes: 0, body: Vec::new() };
        let mut head = Vec::new();
        template.write_head(Id { run: 0, number: 0 }, &mut head);
        template.head_bytes = head.len();
        template.body = body_text(size_bytes.saturating_sub(head.len()));
        template
    }

    /// Bytes of a message, as RFC 1870 §3 counts them.
    pub(crate) fn size_bytes(&self) -> usize {
        self.head_bytes + self.body.len()
    }

    /// What follows every head. It ends with CRLF and needs no dot-stuffing (RFC 5321 §4.5.2).
    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }

    /// Appends the header section of the message `id`, with the empty line that ends it.
    pub(crate) fn write_head(&self, id: Id, out: &mut Vec<u8>) {
        let Self { from, date, .. } = self;
        // Writing to a Vec cannot fail.
        let _ = write!(
            out,
            "X-Loadgen-Id: {id}\r\n\
             Date: {date}\r\n\
             From: <{from}>\r\n\
             To: undisclosed-recipients:;\r\n\
             Message-ID: <{id}@loadgen.invalid>\r\n\
             Subject: Message {number:0width$} of the load generator\r\n\
             MIME-Version: 1.0\r\n\
             Content-Type: text/plain; charset=us-ascii\r\n\
             \r\n",
            number = id.number,
            width = NUMBER_DIGITS,
        );
    }
}

/// `bytes` of text in lines of at most 78 characters (RFC 5322 §2.1.1), each ended by CRLF, none
/// beginning with a dot. Fewer than two bytes give none, since no line is that short.
fn body_text(bytes: usize) -> Vec<u8> {
    const LINE: &[u8] =
        b"All work and no play makes a dull mail server, so here comes one more line of it.\r\n";
    const LINE_BYTES: usize = 80;
    let mut text = Vec::with_capacity(bytes);
    while text.len() < bytes {
        let left = bytes - text.len();
        // A rest of one byte could not hold a CRLF: the line before it gives one up.
        let line_bytes = match left {
            1 => break,
            81 => LINE_BYTES - 1,
            _ => left.min(LINE_BYTES),
        };
        text.extend_from_slice(&LINE[..line_bytes - 2]);
        text.extend_from_slice(b"\r\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_the_message() {
        let template = Template::new("a@example.com", "Tue, 24 Nov 2026 04:01:33 +0000", 2_048);
        let id = Id { run: 0xfeed, number: 42 };
        let mut message = b"Received: from x by y\r\n with ESMTP\r\n".to_vec();
        template.write_head(id, &mut message);
        message.extend_from_slice(template.body());
        assert_eq!(IdFinder::new().find(&message), Some(id));
        assert_eq!(id.to_string(), "000000000000feed-0000000042");
    }

    #[test]
    fn foreign_text_has_no_id() {
        let finder = IdFinder::new();
        for text in [
            &b""[..],
            b"Subject: X-Loadgen-Id: 000000000000feed-0000000042\r\n",
            b"X-Loadgen-Id: 000000000000feed-0000000042",
            b"X-Loadgen-Id: feed-42\r\n",
            b"X-Loadgen-Id: 000000000000feed-+42\r\n",
            b"X-Loadgen-Id: 000000000000feed\r\n",
            b"X-Loadgen-Id: \xff00000000000feed-42\r\n",
        ] {
            assert_eq!(finder.find(text), None, "{text:?}");
        }
    }

    #[test]
    fn every_size_is_met_with_whole_lines() {
        let date = "Tue, 24 Nov 2026 04:01:33 +0000";
        let least = Template::new("a@example.com", date, 0).size_bytes();
        for size in least + 2..least + 400 {
            let template = Template::new("a@example.com", date, size);
            assert_eq!(template.size_bytes(), size);
            let body = template.body();
            assert!(body.ends_with(b"\r\n"));
            for line in body.split_inclusive(|byte| *byte == b'\n') {
                assert!(line.ends_with(b"\r\n"), "{line:?}");
                assert!(line.len() <= 80);
                assert!(!line.starts_with(b"."));
            }
        }
    }

    #[test]
    fn heads_of_a_run_are_equally_long() {
        let template = Template::new("a@example.com", "x", 0);
        let lengths = [0, 9, 123_456_789, 9_999_999_999].map(|number| {
            let mut head = Vec::new();
            template.write_head(Id { run: 1, number }, &mut head);
            head.len()
        });
        assert_eq!(lengths, [lengths[0]; 4]);
    }
}
