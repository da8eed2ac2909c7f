//! Replies of an SMTP server, read from its byte stream.
//!
//! [`ReplyParser`] takes whatever arrived, in any cut, and yields one [`Reply`] for each complete
//! reply of one or more lines. A line that lies whole in the input is read in place.
//!
//! Strict where a wrong guess would turn a refusal into a success: every line begins with three
//! digits of which the first is 2 to 5, followed by a space, a hyphen or nothing, and the lines of
//! one reply agree in their first digit (RFC 5321 §4.2, §4.2.1). Lenient where real servers are
//! sloppy and nothing hangs on it: a bare LF ends a line, a line may be a bare code, may be longer
//! than 512 bytes, may have any second digit (`571` is common), and may hold any bytes as text.
//!
//! # Guarantees
//! The result does not depend on how the stream was cut. [`Reply::text`] is printable ASCII on
//! one line, so it can be put into a log or a header as it is.
//!
//! # Failures
//! [`Malformed`]: the peer does not speak SMTP, or is out of step. The parser is of no use
//! afterwards; the session must end.
//!
//! # Bounds
//! [`REPLY_LINE_BYTES_MAX`] of a line are kept, [`REPLY_TEXT_BYTES_MAX`] of a reply's text, and a
//! reply longer than [`REPLY_BYTES_MAX`] is malformed.

use std::fmt;

use memchr::memchr;

use crate::limits::{REPLY_BYTES_MAX, REPLY_LINE_BYTES_MAX, REPLY_TEXT_BYTES_MAX};
use crate::proto::enhanced::EnhancedCode;

/// Bytes of a line that is no reply which are shown in the log.
const EXCERPT_BYTES_MAX: usize = 64;

/// One complete reply (RFC 5321 §4.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The three digits, 200 to 599; of several lines that of the last.
    pub code: u16,
    /// The first enhanced status code in the text that agrees with the code (RFC 2034 §4).
    pub enhanced: Option<EnhancedCode>,
    /// The text of all lines joined by spaces, without codes: printable ASCII, at most
    /// [`REPLY_TEXT_BYTES_MAX`] bytes.
    pub text: Box<str>,
}

/// What the first digit of a reply code means (RFC 5321 §4.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyClass {
    /// 2yz: done.
    Completed,
    /// 3yz: go on with the content.
    Intermediate,
    /// 4yz: not now.
    Transient,
    /// 5yz: not at all.
    Permanent,
}

impl Reply {
    /// The meaning of the first digit, which decides (RFC 5321 §4.2.1).
    pub const fn class(&self) -> ReplyClass {
        match self.code / 100 {
            2 => ReplyClass::Completed,
            3 => ReplyClass::Intermediate,
            4 => ReplyClass::Transient,
            _ => ReplyClass::Permanent,
        }
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some(enhanced) = self.enhanced {
            write!(f, " {enhanced}")?;
        }
        if !self.text.is_empty() {
            write!(f, " {}", self.text)?;
        }
        Ok(())
    }
}

/// Why what the peer sent is not a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// A line does not begin as RFC 5321 §4.2 says; its beginning as printable text.
    NotAReply(Box<str>),
    /// The lines of one reply differ in their first digit (RFC 5321 §4.2.1).
    MixedCodes,
    /// It goes on beyond [`REPLY_BYTES_MAX`].
    TooLong,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAReply(excerpt) => write!(f, "no SMTP reply: \"{excerpt}\""),
            Self::MixedCodes => f.write_str("a reply whose lines contradict each other"),
            Self::TooLong => f.write_str("a reply that does not end"),
        }
    }
}

/// What [`ReplyParser::advance`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The input is used up and no reply is complete.
    NeedInput,
    /// A reply is complete.
    Reply(Reply),
    /// The stream is out of step.
    Malformed(Malformed),
}

/// Reads one reply after the other. `partial` never holds an LF and
/// `partial.len() <= REPLY_LINE_BYTES_MAX`, `text.len() <= REPLY_TEXT_BYTES_MAX`,
/// `reply_bytes <= REPLY_BYTES_MAX`.
#[derive(Debug, Default)]
pub struct ReplyParser {
    /// Beginning of a line whose end has not arrived.
    partial: Vec<u8>,
    /// Bytes of the running reply so far, `partial` included.
    reply_bytes: usize,
    /// Complete lines of the running reply.
    lines: usize,
    code: u16,
    enhanced: Option<EnhancedCode>,
    text: String,
}

impl ReplyParser {
    /// Looks at `input` up to the end of one reply. Returns how many bytes are done with and what
    /// came of them; the caller goes on with the rest until [`Parsed::NeedInput`], after which
    /// all input is done with. `visit` sees each complete line: its number in the reply, from
    /// zero, and the bytes behind the code.
    #[must_use]
    pub fn advance(
        &mut self,
        input: &[u8],
        mut visit: impl FnMut(usize, &[u8]),
    ) -> (usize, Parsed) {
        let mut consumed = 0;
        loop {
            let rest = input.get(consumed..).unwrap_or_default();
            let end = memchr(b'\n', rest);
            let taken = end.map_or(rest.len(), |end| end + 1);
            consumed += taken;
            self.reply_bytes += taken;
            if self.reply_bytes > REPLY_BYTES_MAX {
                return (consumed, Parsed::Malformed(Malformed::TooLong));
            }
            let Some(end) = end else {
                self.keep(rest);
                return (consumed, Parsed::NeedInput);
            };
            let line = rest.get(..end).unwrap_or_default();
            let result = if self.partial.is_empty() {
                self.take_line(&line[..line.len().min(REPLY_LINE_BYTES_MAX)], &mut visit)
            } else {
                self.keep(line);
                let line = std::mem::take(&mut self.partial);
                let result = self.take_line(&line, &mut visit);
                self.partial = line;
                self.partial.clear();
                result
            };
            match result {
                Ok(false) => {}
                Ok(true) => return (consumed, Parsed::Reply(self.finish())),
                Err(why) => return (consumed, Parsed::Malformed(why)),
            }
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = REPLY_LINE_BYTES_MAX - self.partial.len();
        self.partial.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// Adds a line without its LF to the running reply; says whether it was the last.
    fn take_line(
        &mut self,
        line: &[u8],
        visit: &mut impl FnMut(usize, &[u8]),
    ) -> Result<bool, Malformed> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let (code, last, text) =
            split_line(line).ok_or_else(|| Malformed::NotAReply(excerpt(line)))?;
        if self.lines > 0 && self.code / 100 != code / 100 {
            return Err(Malformed::MixedCodes);
        }
        visit(self.lines, text);
        self.lines += 1;
        self.code = code;
        let mut kept = text;
        if let Some((enhanced, rest)) = EnhancedCode::parse_prefix(text)
            && u16::from(enhanced.class) == code / 100
            && *self.enhanced.get_or_insert(enhanced) == enhanced
        {
            kept = rest;
        }
        let kept = kept.trim_ascii();
        if !kept.is_empty() {
            if !self.text.is_empty() {
                self.push_text(b" ");
            }
            self.push_text(kept);
        }
        Ok(last)
    }

    fn push_text(&mut self, bytes: &[u8]) {
        let room = REPLY_TEXT_BYTES_MAX - self.text.len();
        self.text.extend(bytes.iter().take(room).map(|&byte| printable(byte)));
    }

    fn finish(&mut self) -> Reply {
        let reply =
            Reply { code: self.code, enhanced: self.enhanced, text: self.text.as_str().into() };
        self.reply_bytes = 0;
        self.lines = 0;
        self.enhanced = None;
        self.text.clear();
        reply
    }
}

/// Code, whether the line is the reply's last, and its text (RFC 5321 §4.2). RFC 5321 §4.2 also
/// tells clients to bear a line that is a bare code.
fn split_line(line: &[u8]) -> Option<(u16, bool, &[u8])> {
    let (code, rest) = line.split_at_checked(3)?;
    if !matches!(code.first(), Some(b'2'..=b'5')) || !code.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let code = code.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    match rest.split_first() {
        None => Some((code, true, rest)),
        Some((b' ', text)) => Some((code, true, text)),
        Some((b'-', text)) => Some((code, false, text)),
        Some(_) => None,
    }
}

fn excerpt(line: &[u8]) -> Box<str> {
    line.iter().take(EXCERPT_BYTES_MAX).map(|&byte| printable(byte)).collect()
}

/// `byte` if it can stand in one line of ASCII text, else a stand-in.
pub(crate) fn printable(byte: u8) -> char {
    match byte {
        b' '..=b'~' => char::from(byte),
        b'\t' => ' ',
        _ => '?',
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// All replies of `bytes`, fed in the pieces that end at `cuts`, up to the first malformed one.
    fn parse_cut(bytes: &[u8], cuts: &[usize]) -> Vec<Parsed> {
        let mut parser = ReplyParser::default();
        let mut found = Vec::new();
        let mut start = 0;
        for end in cuts.iter().copied().chain([bytes.len()]) {
            let mut piece = &bytes[start..end];
            start = end;
            while !piece.is_empty() {
                let (consumed, parsed) = parser.advance(piece, |_, _| {});
                piece = &piece[consumed..];
                match parsed {
                    Parsed::NeedInput => assert!(piece.is_empty(), "all input is done with"),
                    Parsed::Reply(_) => found.push(parsed),
                    Parsed::Malformed(_) => {
                        found.push(parsed);
                        return found;
                    }
                }
            }
        }
        found
    }

    /// The trivial twin: has all bytes at once and builds everything from lines.
    fn parse_naive(bytes: &[u8]) -> Vec<Parsed> {
        let mut found = Vec::new();
        let mut start = 0;
        let mut lines: Vec<(String, Vec<u8>)> = Vec::new();
        for (at, &byte) in bytes.iter().enumerate() {
            if at - start >= REPLY_BYTES_MAX {
                found.push(Parsed::Malformed(Malformed::TooLong));
                return found;
            }
            if byte != b'\n' {
                continue;
            }
            let begin = bytes[..at].iter().rposition(|&b| b == b'\n').map_or(0, |lf| lf + 1);
            let mut line = bytes[begin..at].to_vec();
            line.truncate(REPLY_LINE_BYTES_MAX);
            if line.ends_with(b"\r") {
                line.pop();
            }
            let shown: String = line.iter().take(64).map(|&b| printable(b)).collect();
            let code = String::from_utf8_lossy(&line[..line.len().min(3)]).into_owned();
            let good = code.len() == 3
                && code.chars().all(|c| c.is_ascii_digit())
                && "2345".contains(&code[..1])
                && matches!(line.get(3), None | Some(b' ' | b'-'));
            if !good {
                found.push(Parsed::Malformed(Malformed::NotAReply(shown.into())));
                return found;
            }
            if lines.iter().any(|(earlier, _)| earlier[..1] != code[..1]) {
                found.push(Parsed::Malformed(Malformed::MixedCodes));
                return found;
            }
            let more = line.get(3) == Some(&b'-');
            lines.push((code.clone(), line.get(4..).unwrap_or_default().to_vec()));
            if more {
                continue;
            }
            let class: u8 = code[..1].parse().unwrap();
            let enhanced = lines
                .iter()
                .filter_map(|(_, text)| EnhancedCode::parse_prefix(text))
                .map(|(enhanced, _)| enhanced)
                .find(|enhanced| enhanced.class == class);
            let texts: Vec<String> = lines
                .drain(..)
                .map(|(_, text)| match EnhancedCode::parse_prefix(&text) {
                    Some((own, rest)) if Some(own) == enhanced => rest.to_vec(),
                    _ => text,
                })
                .map(|text| text.trim_ascii().iter().map(|&b| printable(b)).collect())
                .filter(|text: &String| !text.is_empty())
                .collect();
            let mut text = texts.join(" ");
            text.truncate(REPLY_TEXT_BYTES_MAX);
            let code = code.parse().unwrap();
            found.push(Parsed::Reply(Reply { code, enhanced, text: text.into() }));
            start = at + 1;
        }
        if bytes.len() - start > REPLY_BYTES_MAX {
            found.push(Parsed::Malformed(Malformed::TooLong));
        }
        found
    }

    fn one(bytes: &[u8]) -> Reply {
        match parse_cut(bytes, &[]).as_slice() {
            [Parsed::Reply(reply)] => reply.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn replies_of_real_servers_are_understood() {
        let cases: [(&[u8], &str); 9] = [
            (b"250 2.1.5 Ok\r\n", "250 2.1.5 Ok"),
            (b"250\r\n", "250"),
            (b"250 \r\n", "250"),
            (b"354 go on\n", "354 go on"),
            (b"571 5.7.1 no\r\n", "571 5.7.1 no"),
            (
                b"550-5.1.1 The account does not exist. See\r\n550 5.1.1 https://example\r\n",
                "550 5.1.1 The account does not exist. See https://example",
            ),
            // The class of the enhanced code must agree with the code (RFC 2034 §4).
            (b"450 5.7.1 hm\r\n", "450 5.7.1 hm"),
            (b"250-a\r\n250-\r\n250 c\xff\x00\td\r\n", "250 a c?? d"),
            (b"451-4.7.1 a\r\n452 4.3.1 b\r\n", "452 4.7.1 a 4.3.1 b"),
        ];
        for (bytes, shown) in cases {
            assert_eq!(one(bytes).to_string(), shown);
        }
        assert_eq!(one(b"450 5.7.1 hm\r\n").enhanced, None);
        assert_eq!(one(b"571 5.7.1 no\r\n").enhanced, Some(EnhancedCode::new(5, 7, 1)));
        assert_eq!(one(b"550 5.7.1234 no\r\n").enhanced, None);
        assert_eq!(one(b"550 5.7.1: no\r\n").enhanced, None);
    }

    #[test]
    fn what_is_not_smtp_is_malformed() {
        let cases: [&[u8]; 9] = [
            b"\r\n",
            b"25\r\n",
            b"150 x\r\n",
            b"650 x\r\n",
            b"2x0 x\r\n",
            b"250x\r\n",
            b"HTTP/1.1 400 Bad Request\r\n",
            b" 250 x\r\n",
            b"250-ok\r\nok\r\n",
        ];
        for bytes in cases {
            let found = parse_cut(bytes, &[]);
            assert!(
                matches!(found.as_slice(), [Parsed::Malformed(Malformed::NotAReply(_))]),
                "{found:?}"
            );
        }
        assert_eq!(
            parse_cut(b"250-ok\r\n550 no\r\n", &[]),
            [Parsed::Malformed(Malformed::MixedCodes)]
        );
    }

    #[test]
    fn nothing_grows_without_bound() {
        let mut long_line = b"250 ".to_vec();
        long_line.resize(REPLY_BYTES_MAX - 2, b'x');
        long_line.extend_from_slice(b"\r\n");
        assert_eq!(one(&long_line).text.len(), REPLY_TEXT_BYTES_MAX);
        long_line.insert(4, b'x');
        assert_eq!(parse_cut(&long_line, &[]), [Parsed::Malformed(Malformed::TooLong)]);

        let endless = b"250-x\r\n".repeat(REPLY_BYTES_MAX / 7 + 1);
        for cuts in [vec![], (1..endless.len()).collect()] {
            assert_eq!(parse_cut(&endless, &cuts), [Parsed::Malformed(Malformed::TooLong)]);
        }
    }

    #[test]
    fn lines_are_shown_to_the_visitor() {
        let mut parser = ReplyParser::default();
        let mut seen = Vec::new();
        let (consumed, _) =
            parser.advance(b"250-mx\r\n250-SIZE 10\r\n250 HELP\r\n250 x", |n, line| {
                seen.push((n, line.to_vec()));
            });
        assert_eq!(consumed, 31);
        assert_eq!(seen, [(0, b"mx".to_vec()), (1, b"SIZE 10".to_vec()), (2, b"HELP".to_vec())]);
    }

    fn stream() -> impl Strategy<Value = Vec<u8>> {
        let codes = vec!["250", "220", "354", "421", "450", "550", "551", "099"];
        let texts = vec!["", "5.1.1 a", "4.2.2", "2.0.0 ok", " x \t", "a\u{e9}\0"];
        let sound = (
            prop::sample::select(codes),
            prop::sample::select(vec![" ", "-", ""]),
            prop::sample::select(texts),
            prop::sample::select(vec!["\r\n", "\n", "\r\r\n"]),
        )
            .prop_map(|(code, mark, text, end)| format!("{code}{mark}{text}{end}").into_bytes());
        let long = (0usize..5_000).prop_map(|n| format!("250-{}\r\n", "y".repeat(n)).into_bytes());
        let line = prop_oneof![
            8 => sound,
            1 => prop::collection::vec(any::<u8>(), 0..20),
            1 => long,
        ];
        prop::collection::vec(line, 0..12).prop_map(|lines| lines.concat())
    }

    proptest! {
        #[test]
        fn any_cut_gives_what_the_naive_twin_gives(
            bytes in stream(),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let expected = parse_naive(&bytes);
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.sort_unstable();
            prop_assert_eq!(&parse_cut(&bytes, &[]), &expected);
            prop_assert_eq!(&parse_cut(&bytes, &cuts), &expected);
            let every: Vec<usize> = (1..bytes.len()).collect();
            prop_assert_eq!(&parse_cut(&bytes, &every), &expected);
        }
    }
}
