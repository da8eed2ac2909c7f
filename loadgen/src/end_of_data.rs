//! Finds the end of a message's content, CRLF.CRLF (RFC 5321 §4.1.1.4), in a stream cut anywhere,
//! and takes the doubled dots out of content that was kept (§4.5.2).
//!
//! # Guarantees
//! The end is found at the same byte wherever the stream was cut; nothing else ends the content.
//!
//! # Never
//! Copies the content to look at it.

use memchr::memmem;

const END: &[u8; 5] = b"\r\n.\r\n";

/// Looks for the end of one message's content.
#[derive(Debug)]
pub(crate) struct EndOfData {
    finder: memmem::Finder<'static>,
    /// How many bytes of `END` the content seen so far ends in.
    matched: usize,
}

impl EndOfData {
    /// A finder at the beginning of a content.
    pub(crate) fn new() -> Self {
        let mut end = Self { finder: memmem::Finder::new(END), matched: 0 };
        end.begin();
        end
    }

    /// A content begins. The line end of DATA counts as the first two bytes of the mark.
    pub(crate) fn begin(&mut self) {
        self.matched = 2;
    }

    /// Looks at the next piece: how many of its bytes belong to this message, its end mark
    /// included, and whether the mark is complete.
    pub(crate) fn scan(&mut self, piece: &[u8]) -> (usize, bool) {
        let mut at = 0;
        while self.matched > 0 {
            let Some(byte) = piece.get(at) else {
                return (at, false);
            };
            self.step(*byte);
            at += 1;
            if self.matched == END.len() {
                return (at, true);
            }
        }
        if let Some(found) = self.finder.find(&piece[at..]) {
            return (at + found + END.len(), true);
        }
        let tail = piece.len().saturating_sub(END.len() - 1).max(at);
        for byte in &piece[tail..] {
            self.step(*byte);
        }
        (piece.len(), false)
    }

    /// One byte further, as Knuth, Morris and Pratt do it: the only prefix of the mark that can
    /// begin inside it is a CR, or CRLF after the dot, which completes the mark anyway.
    fn step(&mut self, byte: u8) {
        self.matched =
            if byte == END[self.matched] { self.matched + 1 } else { usize::from(byte == b'\r') };
    }
}

/// `content`, with its end mark, as its author wrote it: without the mark's last three bytes and
/// without the dots that were added before leading dots.
pub(crate) fn unstuff(content: &[u8]) -> Vec<u8> {
    let content = content.strip_suffix(b".\r\n").unwrap_or(content);
    let mut text = Vec::with_capacity(content.len());
    let mut at_line_start = true;
    for line in content.split_inclusive(|byte| *byte == b'\n') {
        let line = if at_line_start { line.strip_prefix(b".").unwrap_or(line) } else { line };
        text.extend_from_slice(line);
        // A bare LF does not end a line.
        at_line_start = line.ends_with(b"\r\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same by the plainest means.
    fn naive(content: &[u8]) -> Option<usize> {
        if content.starts_with(b".\r\n") {
            return Some(3);
        }
        (0..content.len()).find(|at| content[*at..].starts_with(END)).map(|at| at + END.len())
    }

    #[test]
    fn the_end_is_found_wherever_the_stream_is_cut() {
        let contents = [
            &b".\r\nQUIT"[..],
            b"a\r\n.\r\nQUIT",
            b"\r\n.\r\n.\r\n",
            b"a\r\r\n.\r\r\n.\r\n",
            b"a\n.\nb\r\n.\nc\n.\r\nd\r\n..\r\n\r\n.\r\r\n\r\n.\r\nrest",
            b"\r\n.\r\r\n.\r\n",
            b"no end\r\n.\r",
            b"..\r\n",
        ];
        for content in contents {
            let wanted = naive(content);
            for cut in 0..=content.len() {
                let (head, tail) = content.split_at(cut);
                let mut end = EndOfData::new();
                let (consumed, done) = end.scan(head);
                let found = if done {
                    Some(consumed)
                } else {
                    assert_eq!(consumed, head.len());
                    let (consumed, done) = end.scan(tail);
                    done.then_some(cut + consumed)
                };
                assert_eq!(found, wanted, "{content:?} cut at {cut}");
            }
            let mut end = EndOfData::new();
            let found = content.iter().position(|byte| end.scan(&[*byte]).1);
            assert_eq!(found.map(|at| at + 1), wanted, "{content:?} byte by byte");
        }
    }

    #[test]
    fn all_short_streams_agree_with_the_naive_search() {
        let alphabet = b"\r\n.x";
        for number in 0..4_usize.pow(8) {
            let content: Vec<u8> =
                (0..8).map(|place| alphabet[number / 4_usize.pow(place) % 4]).collect();
            let mut end = EndOfData::new();
            let (consumed, done) = end.scan(&content);
            assert_eq!(done.then_some(consumed), naive(&content), "{content:?}");
        }
    }

    #[test]
    fn dots_are_taken_out_of_line_starts_only() {
        assert_eq!(unstuff(b"..a\r\n.b.\r\nc..\r\n.\r\n"), b".a\r\nb.\r\nc..\r\n");
        assert_eq!(unstuff(b".\r\n"), b"");
        assert_eq!(unstuff(b"a\n.b\r\n.\r\n"), b"a\n.b\r\n");
    }
}
