//! What marks each message, so that loss and duplicates can be counted at the other end: the
//! header `X-Loadgen-Id: RUN-NUMBER`.
//!
//! # Guarantees
//! `parse(write(id)) == id`, and all ids of a run are equally long, so that stamps do not change the
//! sizes of messages.

use std::fmt;
use std::str::FromStr;

use memchr::memmem;

/// The name of the header that carries the id, with its colon and space.
pub(crate) const ID_HEADER: &[u8] = b"X-Loadgen-Id: ";

/// Digits that the number is padded to, so that sizes stay equal up to ten thousand million.
pub(crate) const NUMBER_DIGITS: usize = 10;

/// Digits of the run.
pub(crate) const RUN_DIGITS: usize = 16;

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
        write!(
            f,
            "{:0run$x}-{:0number$}",
            self.run,
            self.number,
            run = RUN_DIGITS,
            number = NUMBER_DIGITS
        )
    }
}

/// The text is not `RUN-NUMBER`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoId;

impl FromStr for Id {
    type Err = NoId;

    fn from_str(text: &str) -> Result<Self, NoId> {
        let (run, number) = text.split_once('-').ok_or(NoId)?;
        if run.len() != RUN_DIGITS || number.starts_with('+') {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_written_and_read() {
        let id = Id { run: 0xfeed, number: 42 };
        assert_eq!(id.to_string(), "000000000000feed-0000000042");
        let head = format!("Received: from x by y\r\n with ESMTP\r\nX-Loadgen-Id: {id}\r\n");
        assert_eq!(IdFinder::new().find(head.as_bytes()), Some(id));
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
}
