//! Reads what a server answers: lines of `CODE-text` and `CODE text` (RFC 5321 §4.2).
//!
//! # Guarantees
//! The lines come out the same wherever the network cut them.
//!
//! # Never
//! Copies a line that arrived whole.
//!
//! # Failures
//! A line that does not begin with a reply code, or that is too long: the session is out of step
//! and cannot be mended.
//!
//! # Bounds
//! `REPLY_LINE_BYTES_MAX` for a line, and so for what is kept between two calls.

use std::fmt;

/// A reply line with its end. RFC 5321 §4.5.3.1.5 wants 512; real servers send longer ones.
pub(crate) const REPLY_LINE_BYTES_MAX: usize = 4_096;

/// A three-digit reply code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Code(pub(crate) u16);

impl Code {
    /// No reply: it was this side that could not go on.
    pub(crate) const NONE: Self = Self(0);

    /// 2xx: done.
    pub(crate) const fn is_positive(self) -> bool {
        self.0 / 100 == 2
    }

    /// 4xx: may work later.
    pub(crate) const fn is_transient(self) -> bool {
        self.0 / 100 == 4
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:03}", self.0)
    }
}

/// One line of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReplyLine<'a> {
    pub(crate) code: Code,
    /// The last line of its reply.
    pub(crate) last: bool,
    /// What follows the code and its separator, without the line end.
    pub(crate) text: &'a [u8],
}

/// What a call of [`ReplyParser::next`] found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next<'a> {
    /// A line; the first `consumed` bytes of the input are done with.
    Line { consumed: usize, line: ReplyLine<'a> },
    /// All of the input was taken and ends inside a line.
    NeedInput,
    /// The peer does not speak SMTP.
    Broken,
}

/// Cuts a stream into reply lines.
#[derive(Debug, Default)]
pub(crate) struct ReplyParser {
    partial: Vec<u8>,
    /// `partial` was handed out by the last call and is dropped by the next one.
    partial_is_done: bool,
}

impl ReplyParser {
    /// Forgets what it holds, for the next connection.
    pub(crate) fn reset(&mut self) {
        self.partial.clear();
        self.partial_is_done = false;
    }

    /// The next line at the beginning of `input`.
    pub(crate) fn next<'a>(&'a mut self, input: &'a [u8]) -> Next<'a> {
        if self.partial_is_done {
            self.reset();
        }
        let Some(end) = memchr::memchr(b'\n', input) else {
            if self.partial.len() + input.len() > REPLY_LINE_BYTES_MAX {
                return Next::Broken;
            }
            self.partial.extend_from_slice(input);
            return Next::NeedInput;
        };
        let (head, consumed) = (&input[..end], end + 1);
        if self.partial.len() + consumed > REPLY_LINE_BYTES_MAX {
            return Next::Broken;
        }
        let line = if self.partial.is_empty() {
            head
        } else {
            self.partial.extend_from_slice(head);
            self.partial_is_done = true;
            &self.partial
        };
        parse(line).map_or(Next::Broken, |line| Next::Line { consumed, line })
    }
}

/// A line without its LF.
fn parse(line: &[u8]) -> Option<ReplyLine<'_>> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let [first @ b'2'..=b'5', second @ b'0'..=b'9', third @ b'0'..=b'9', rest @ ..] = line else {
        return None;
    };
    let code =
        [first, second, third].iter().fold(0, |code, digit| code * 10 + u16::from(**digit - b'0'));
    let (last, text) = match rest {
        // RFC 5321 §4.2: the text and the space before it may be missing.
        [] => (true, rest),
        [b' ', text @ ..] => (true, text),
        [b'-', text @ ..] => (false, text),
        [_, ..] => return None,
    };
    Some(ReplyLine { code: Code(code), last, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(parser: &mut ReplyParser, pieces: &[&[u8]]) -> Vec<(u16, bool, String)> {
        let mut found = Vec::new();
        for piece in pieces {
            let mut rest = *piece;
            loop {
                match parser.next(rest) {
                    Next::Line { consumed, line } => {
                        let text = String::from_utf8_lossy(line.text).into_owned();
                        found.push((line.code.0, line.last, text));
                        rest = &rest[consumed..];
                    }
                    Next::NeedInput => break,
                    Next::Broken => panic!("broken at {rest:?}"),
                }
            }
        }
        found
    }

    #[test]
    fn lines_are_the_same_wherever_the_stream_is_cut() {
        let stream = b"220 hi\r\n250-one\r\n250-\r\n250 two three\r\n354\r\n451 4.3.0 later\n";
        let whole = lines(&mut ReplyParser::default(), &[stream]);
        let codes: Vec<_> = whole.iter().map(|(code, last, _)| (*code, *last)).collect();
        let wanted =
            [(220, true), (250, false), (250, false), (250, true), (354, true), (451, true)];
        assert_eq!(codes, wanted);
        assert_eq!(whole[3].2, "two three");
        assert_eq!(whole[5].2, "4.3.0 later");
        for cut in 0..=stream.len() {
            let (head, tail) = stream.split_at(cut);
            assert_eq!(lines(&mut ReplyParser::default(), &[head, tail]), whole, "cut at {cut}");
        }
        let single_bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(lines(&mut ReplyParser::default(), &single_bytes), whole);
    }

    #[test]
    fn what_is_no_reply_is_broken() {
        for stream in
            [&b"hello\r\n"[..], b"\r\n", b"25\r\n", b"150 x\r\n", b"650 x\r\n", b"250x\r\n"]
        {
            assert_eq!(ReplyParser::default().next(stream), Next::Broken, "{stream:?}");
        }
    }

    #[test]
    fn a_line_without_end_is_broken_at_the_bound() {
        let mut parser = ReplyParser::default();
        let chunk = [b'2'; 1_000];
        for _ in 0..4 {
            assert_eq!(parser.next(&chunk), Next::NeedInput);
        }
        assert_eq!(parser.next(&chunk), Next::Broken);
    }

    #[test]
    fn classes_follow_the_first_digit() {
        assert!(Code(250).is_positive());
        assert!(!Code(354).is_positive());
        assert!(Code(421).is_transient());
        assert!(!Code(554).is_transient());
    }
}
