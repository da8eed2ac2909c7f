//! What marks each message, so that loss, duplicates, changes and delay can be told at the other
//! end: the header `X-Loadgen-Id: RUN-NUMBER DIGEST TIME`.
//!
//! DIGEST is that of every byte behind the stamp's line (CRC-32, 8 hexadecimal digits), TIME when
//! the message was written for sending, in milliseconds since 1970.
//!
//! # Guarantees
//! `find(write(stamp)) == stamp`, and all stamps are equally long, so that they do not change the
//! sizes of messages.

use std::fmt;
use std::io::Write;
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

/// What a message says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) id: Id,
    /// Of all that follows the stamp's line.
    pub(crate) digest: u32,
    /// When it was written for sending.
    pub(crate) sent_unix_ms: u64,
}

/// Bytes of a stamp whose number has no more than [`NUMBER_DIGITS`], with its line end.
pub(crate) const STAMP_BYTES_MIN: usize =
    ID_HEADER.len() + RUN_DIGITS + 1 + NUMBER_DIGITS + 1 + DIGEST_DIGITS + 1 + TIME_DIGITS + 2;

/// Digits of the digest.
const DIGEST_DIGITS: usize = 8;

/// Digits of the time, enough until the year 2286.
const TIME_DIGITS: usize = 13;

impl Stamp {
    /// Changes the digest of `line`, a stamp that was written.
    pub(crate) fn set_digest(line: &mut [u8], digest: u32) {
        const BEHIND: usize = 1 + TIME_DIGITS + 2;
        if let Some(end) = line.len().checked_sub(BEHIND) {
            let mut place = &mut line[end.saturating_sub(DIGEST_DIGITS)..end];
            // It has room for just as many digits.
            let _ = write!(place, "{digest:0DIGEST_DIGITS$x}");
        }
    }

    /// Appends the stamp as a header line.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let Self { id, digest, sent_unix_ms } = self;
        out.extend_from_slice(ID_HEADER);
        // Writing to a Vec cannot fail.
        let _ = write!(out, "{id} {digest:0DIGEST_DIGITS$x} {sent_unix_ms:0TIME_DIGITS$}\r\n");
    }

    fn parse(value: &str) -> Option<Self> {
        let mut words = value.split(' ');
        let id = words.next()?.parse().ok()?;
        let digest = words.next().filter(|word| word.len() == DIGEST_DIGITS)?;
        let digest = u32::from_str_radix(digest, 16).ok()?;
        let sent_unix_ms = words.next().filter(|word| word.len() == TIME_DIGITS)?.parse().ok()?;
        words.next().is_none().then_some(Self { id, digest, sent_unix_ms })
    }
}

/// Finds the stamp in the first bytes of a message.
#[derive(Debug)]
pub(crate) struct StampFinder {
    header: memmem::Finder<'static>,
}

impl StampFinder {
    /// A finder, to be kept.
    pub(crate) fn new() -> Self {
        Self { header: memmem::Finder::new(ID_HEADER) }
    }

    /// The stamp that `head`, the beginning of a message, carries at the start of a line, and where
    /// the bytes behind that line begin.
    pub(crate) fn find(&self, head: &[u8]) -> Option<(Stamp, usize)> {
        let at = self.header.find(head)?;
        if at > 0 && head[at - 1] != b'\n' {
            return None;
        }
        let value_at = at + ID_HEADER.len();
        let end = value_at + memchr::memchr(b'\n', &head[value_at..])?;
        let value = std::str::from_utf8(head[value_at..end].strip_suffix(b"\r")?).ok()?;
        Some((Stamp::parse(value)?, end + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp {
        id: Id { run: 0xfeed, number: 42 },
        digest: 0xabc,
        sent_unix_ms: 1_795_492_893_000,
    };

    #[test]
    fn stamps_are_written_and_read() {
        assert_eq!(STAMP.id.to_string(), "000000000000feed-0000000042");
        let mut head = b"Received: from x by y\r\n with ESMTP\r\n".to_vec();
        STAMP.write(&mut head);
        let line = b"X-Loadgen-Id: 000000000000feed-0000000042 00000abc 1795492893000\r\n";
        assert!(head.ends_with(line));
        let end = head.len();
        head.extend_from_slice(b"Subject: x\r\n");
        assert_eq!(StampFinder::new().find(&head), Some((STAMP, end)));
        Stamp::set_digest(&mut head[..end], 0xfeed_beef);
        let other = Stamp { digest: 0xfeed_beef, ..STAMP };
        assert_eq!(StampFinder::new().find(&head), Some((other, end)));
    }

    #[test]
    fn foreign_text_has_no_stamp() {
        let finder = StampFinder::new();
        let mut line = Vec::new();
        STAMP.write(&mut line);
        for end in 0..line.len() {
            assert_eq!(finder.find(&line[..end]), None, "cut at {end}");
        }
        for text in [
            &b"Subject: X-Loadgen-Id: 000000000000feed-0000000042 00000abc 1795492893000\r\n"[..],
            b"X-Loadgen-Id: feed-42 00000abc 1795492893000\r\n",
            b"X-Loadgen-Id: 000000000000feed-+42 00000abc 1795492893000\r\n",
            b"X-Loadgen-Id: 000000000000feed-0000000042\r\n",
            b"X-Loadgen-Id: 000000000000feed-0000000042 abc 1795492893000\r\n",
            b"X-Loadgen-Id: 000000000000feed-0000000042 00000abc 17\r\n",
            b"X-Loadgen-Id: 000000000000feed-0000000042 00000abc 1795492893000 x\r\n",
            b"X-Loadgen-Id: \xff00000000000feed-42 00000abc 1795492893000\r\n",
        ] {
            assert_eq!(finder.find(text), None, "{text:?}");
        }
    }
}
