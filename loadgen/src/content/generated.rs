//! Messages that are made up: a header section, then text up to the size that was drawn.
//!
//! # Guarantees
//! Sizes are met exactly, but those below that of the header section, which is sent whole, and
//! those one byte above it.

use std::io::Write;

use super::sizes::Sizes;
use super::text;
use crate::dice::Dice;
use crate::stamp::{Id, NUMBER_DIGITS};

/// What draws the sizes of a run.
const SIZE: u64 = 0x7369_7a65;

/// What made up messages look like.
#[derive(Clone, Debug)]
pub(crate) struct Look<'a> {
    /// The sender's address.
    pub(crate) from: &'a str,
    /// RFC 5322 §3.3.
    pub(crate) date: &'a str,
    /// Text with bytes above 127 (RFC 6152).
    pub(crate) is_8bit: bool,
    /// A subject beyond ASCII (RFC 6532).
    pub(crate) has_8bit_header: bool,
    pub(crate) seed: u64,
}

#[derive(Debug)]
pub(super) struct Generated {
    /// The header section behind the stamp and the Message-ID, up to the number in the subject and
    /// from there on.
    head: [String; 2],
    head_bytes: usize,
    sizes: Sizes,
    seed: u64,
    /// As long as the longest body; each body is an end of it.
    text: Vec<u8>,
}

impl Generated {
    /// Messages of `sizes`, of which `stamp_bytes` are written before this part.
    pub(super) fn new(look: &Look<'_>, sizes: Sizes, stamp_bytes: usize) -> Self {
        let Look { from, date, .. } = look;
        let (charset, encoding) =
            if look.is_8bit { ("utf-8", "8bit") } else { ("us-ascii", "7bit") };
        let [subject, of] = if look.has_8bit_header {
            ["Grüße Nummer", "vom Lastgenerator für Server"]
        } else {
            ["Message", "of the load generator"]
        };
        let head = [
            format!(
                "Date: {date}\r\n\
                 From: <{from}>\r\n\
                 To: undisclosed-recipients:;\r\n\
                 MIME-Version: 1.0\r\n\
                 Content-Type: text/plain; charset={charset}\r\n\
                 Content-Transfer-Encoding: {encoding}\r\n\
                 Subject: {subject} "
            ),
            format!(" {of}\r\n\r\n"),
        ];
        let mut generated = Self { head, head_bytes: 0, sizes, seed: look.seed, text: Vec::new() };
        let mut own = Vec::new();
        generated.write_head(Id { run: 0, number: 0 }, &mut own);
        generated.head_bytes = stamp_bytes + own.len();
        let body_bytes = generated.sizes.max().saturating_sub(generated.head_bytes);
        generated.text = text::lines(body_bytes / text::LINE_BYTES, look.is_8bit);
        generated
    }

    /// Bytes of the message `number`.
    pub(super) fn size_bytes(&self, number: u64) -> usize {
        self.head_bytes + text::met_bytes(self.body_bytes(number))
    }

    /// Appends the own part of the message `id` but its stamp; how many lines of the shared text
    /// follow.
    pub(super) fn write(&self, id: Id, out: &mut Vec<u8>) -> usize {
        let body_bytes = self.body_bytes(id.number);
        self.write_head(id, out);
        text::write_odd_line(body_bytes, out);
        (body_bytes - text::odd_bytes(body_bytes)) / text::LINE_BYTES
    }

    /// The last `lines` of the shared text. No line of it begins with a dot.
    pub(super) fn body(&self, lines: usize) -> &[u8] {
        &self.text[self.text.len().saturating_sub(lines * text::LINE_BYTES)..]
    }

    fn body_bytes(&self, number: u64) -> usize {
        let size = self.sizes.draw(&mut Dice::of(self.seed, SIZE, number));
        size.saturating_sub(self.head_bytes)
    }

    fn write_head(&self, id: Id, out: &mut Vec<u8>) {
        let [before, after] = &self.head;
        // Writing to a Vec cannot fail.
        let _ = write!(out, "Message-ID: <{id}@loadgen.invalid>\r\n");
        out.extend_from_slice(before.as_bytes());
        let _ = write!(out, "{:0width$}", id.number, width = NUMBER_DIGITS);
        out.extend_from_slice(after.as_bytes());
    }
}
