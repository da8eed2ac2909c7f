//! A text with fields that are filled in for each message.
//!
//! A field is a word in braces. What else stands in braces is text, so that style sheets and JSON
//! need no care; a word in braces that is no field is refused, since it is most likely a slip.
//!
//! # Bounds
//! [`RANDOM_MAX`] for a random field, [`TEMPLATE_BYTES_MAX`] for the text.

use std::io::{self, Write};

use super::framing::{self, Framing};
use super::stored::{Stored, with_crlf};
use crate::dice::Dice;
use crate::source::Envelopes;
use crate::stamp::Id;

/// Random characters of one field: no field alone makes a line too long (RFC 5322 §2.1.1).
const RANDOM_MAX: usize = 900;

/// The text is scanned anew for each message as far as the line of its last field.
pub(crate) const TEMPLATE_BYTES_MAX: usize = 64 << 20;

/// What makes the random fields of a run.
const RANDOM: u64 = 0x7261_6e64_6f6d;

const FIELDS: &str = "{n}, {r}, {run}, {to}, {from}, {date}, {message_id} and {random:N}";

/// What is the same for all messages of a run.
#[derive(Clone, Debug)]
pub(crate) struct Constants<'a> {
    /// RFC 5322 §3.3.
    pub(crate) date: &'a str,
    pub(crate) run: u64,
    pub(crate) seed: u64,
}

/// A text with fields.
#[derive(Debug)]
pub(super) struct Template {
    /// Up to the end of the line with the last field.
    pieces: Vec<Piece>,
    rest: Stored,
    envelopes: Envelopes,
    seed: u64,
}

#[derive(Debug, PartialEq)]
enum Piece {
    Text(Vec<u8>),
    Number,
    Recipients,
    To,
    MessageId,
    Random(usize),
}

impl Template {
    /// Reads `text`; messages go to `envelopes`.
    ///
    /// # Errors
    /// A field is none, or the text is too long.
    pub(super) fn new(
        text: &[u8],
        envelopes: Envelopes,
        constants: &Constants<'_>,
    ) -> Result<Self, String> {
        if text.len() > TEMPLATE_BYTES_MAX {
            return Err(format!("a template has at most {TEMPLATE_BYTES_MAX} bytes"));
        }
        let text = with_crlf(text);
        let mut rest = &text[..];
        let (mut pieces, mut plain) = (Vec::new(), Vec::new());
        while let Some(at) = memchr::memchr(b'{', rest) {
            plain.extend_from_slice(&rest[..at]);
            rest = &rest[at..];
            let Some(word) = word(rest) else {
                plain.push(b'{');
                rest = &rest[1..];
                continue;
            };
            rest = &rest[word.len() + 2..];
            let piece = match word {
                "n" => Piece::Number,
                "r" => Piece::Recipients,
                "to" => Piece::To,
                "message_id" => Piece::MessageId,
                "run" => {
                    plain.extend_from_slice(format!("{:016x}", constants.run).as_bytes());
                    continue;
                }
                "from" => {
                    plain.extend_from_slice(envelopes.from.as_bytes());
                    continue;
                }
                "date" => {
                    plain.extend_from_slice(constants.date.as_bytes());
                    continue;
                }
                word => Piece::Random(random(word)?),
            };
            pieces.push(Piece::Text(std::mem::take(&mut plain)));
            pieces.push(piece);
        }
        plain.extend_from_slice(rest);
        let line_end = memchr::memchr(b'\n', &plain).map_or(plain.len(), |at| at + 1);
        let shared = plain.split_off(if pieces.is_empty() { 0 } else { line_end });
        pieces.push(Piece::Text(plain));
        Ok(Self { pieces, rest: Stored::new(shared), envelopes, seed: constants.seed })
    }

    /// What follows every own part.
    pub(super) const fn rest(&self) -> &Stored {
        &self.rest
    }

    /// Appends the own part of the message `id`, framed; its bytes unframed.
    pub(super) fn write(&self, id: Id, framing: Framing, out: &mut Vec<u8>) -> usize {
        let from = out.len();
        // Writing to a Vec cannot fail.
        let _ = self.fill(id, out);
        let size_bytes = out.len() - from;
        if framing == Framing::Data {
            framing::stuff_from(out, from);
        }
        size_bytes
    }

    /// Bytes of the own part of the message `id`, unframed.
    pub(super) fn own_bytes(&self, id: Id) -> usize {
        let mut counter = Counter(0);
        // Nor can counting.
        let _ = self.fill(id, &mut counter);
        counter.0
    }

    fn fill(&self, id: Id, out: &mut impl Write) -> io::Result<()> {
        let mut dice = Dice::of(self.seed, RANDOM, id.number);
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.write_all(text)?,
                Piece::Number => write!(out, "{}", id.number)?,
                Piece::Recipients => write!(out, "{}", self.envelopes.count(id.number))?,
                Piece::To => self.envelopes.write_recipient(id.number, 0, out)?,
                Piece::MessageId => write!(out, "{id}@loadgen.invalid")?,
                Piece::Random(count) => {
                    for _ in 0..*count {
                        out.write_all(&[letter(&mut dice)])?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether any message has bytes above 127.
    pub(super) fn is_8bit(&self) -> bool {
        let mut sample = Vec::new();
        self.write(Id { run: 0, number: 0 }, Framing::Bdat, &mut sample);
        !sample.is_ascii() || self.rest.is_8bit()
    }
}

/// Counts what it is given.
struct Counter(usize);

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The word in the braces that `text` begins with, if there is nothing but a word in them.
fn word(text: &[u8]) -> Option<&str> {
    let end = text.iter().position(|byte| *byte == b'}')?;
    let word = &text[1..end];
    let is_word =
        |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_:".contains(byte);
    let begins = word.first().is_some_and(u8::is_ascii_lowercase);
    std::str::from_utf8(word).ok().filter(|_| begins && word.iter().all(is_word))
}

fn random(word: &str) -> Result<usize, String> {
    let Some(count) = word.strip_prefix("random:") else {
        return Err(format!("{{{word}}} is no field; there are {FIELDS}"));
    };
    match count.parse() {
        Ok(count) if (1..=RANDOM_MAX).contains(&count) => Ok(count),
        Ok(_) | Err(_) => {
            Err(format!("{{{word}}} must be from {{random:1}} to {{random:{RANDOM_MAX}}}"))
        }
    }
}

/// A letter or a digit.
const fn letter(dice: &mut Dice) -> u8 {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    LETTERS[(dice.next() >> 59) as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(text: &str) -> Result<Template, String> {
        let envelopes = Envelopes::plain("me@example.com", "you{n}.{r}@example.net").unwrap();
        let constants = Constants { date: "Tue, 24 Nov 2026 04:01:33 +0000", run: 0xfeed, seed: 1 };
        Template::new(text.as_bytes(), envelopes, &constants)
    }

    fn written(template: &Template, number: u64, framing: Framing) -> String {
        let mut out = Vec::new();
        template.write(Id { run: 0xfeed, number }, framing, &mut out);
        out.extend_from_slice(template.rest().framed(framing));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn fields_are_filled_in() {
        let template = template(
            "Date: {date}\nFrom: <{from}>\nTo: <{to}>\nMessage-ID: <{message_id}>\n\
             Subject: {n} of {run} to {r}\n\np { color: red } {} {a b} {\n.end\n",
        );
        assert_eq!(
            written(&template.unwrap(), 7, Framing::Data),
            "Date: Tue, 24 Nov 2026 04:01:33 +0000\r\nFrom: <me@example.com>\r\n\
             To: <you7.0@example.net>\r\n\
             Message-ID: <000000000000feed-0000000007@loadgen.invalid>\r\n\
             Subject: 7 of 000000000000feed to 1\r\n\r\np { color: red } {} {a b} {\r\n..end\r\n"
        );
    }

    #[test]
    fn the_rest_behind_the_last_field_is_shared() {
        let template = template("a {n} b\n.c\nd").unwrap();
        assert_eq!(template.rest().framed(Framing::Data), b"..c\r\nd\r\n");
        assert_eq!(written(&template, 3, Framing::Bdat), "a 3 b\r\n.c\r\nd\r\n");
        let plain = self::template(".a\nb").unwrap();
        assert_eq!(plain.rest().framed(Framing::Data), b"..a\r\nb\r\n");
        let last = self::template("{n}\n.{n}").unwrap();
        assert_eq!(written(&last, 3, Framing::Data), "3\r\n..3\r\n");
        assert!(last.rest().framed(Framing::Data).is_empty());
    }

    #[test]
    fn random_fields_repeat_for_the_same_message_only() {
        let template = template("{random:20} {random:20}").unwrap();
        let one = written(&template, 1, Framing::Bdat);
        assert_eq!(one, written(&template, 1, Framing::Bdat));
        assert_ne!(one, written(&template, 2, Framing::Bdat));
        let (first, second) = one.trim_end().split_once(' ').unwrap();
        assert!(first.len() == 20 && second.len() == 20 && first != second, "{one}");
    }

    #[test]
    fn slips_are_refused() {
        for wrong in
            ["{mesage_id}", "{random}", "{random:0}", "{random:901}", "{random:x}", "a {x}"]
        {
            let error = template(wrong).unwrap_err();
            assert!(error.contains("{random:"), "{error}");
        }
    }

    #[test]
    fn bytes_above_127_are_seen() {
        for (text, wanted) in [("Subject: a\n\nb", false), ("{n}\n\nß", true), ("ä {n}\n\nb", true)]
        {
            assert_eq!(template(text).unwrap().is_8bit(), wanted);
        }
    }
}
