//! Content on its way to a next hop: dots are doubled and the end of data is put behind it
//! (RFC 5321 §4.5.2, §4.1.1.4), without copying the content.
//!
//! [`DotStuffer`] is shown the content in runs, in order and in any cut, and says which pieces to
//! send: ranges of the run and single dots. [`DotStuffer::end_of_data`] is what comes last.
//!
//! # Guarantees
//! The receiver that removes the dots has the content byte for byte, followed by CRLF if it did
//! not end in one. Lines end at CRLF and nowhere else: what spool and server keep holds no bare CR
//! and no bare LF, so that no peer with a looser idea of a line finds an end of data inside.
//!
//! # Bounds
//! A run of n bytes has at most n / 3 + 2 dots to add, since a line with a dot has three bytes.

use memchr::memmem;

use crate::span::Span;

/// What a receiver needs to see a line that holds only a dot.
const END_OF_DATA: &[u8] = b"\r\n.\r\n";

/// In which form content goes to a next hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Behind DATA: dots doubled, and the end of data behind it.
    Lines,
    /// Behind BDAT: byte for byte and nothing else, as many as were announced (RFC 3030 §2).
    Chunk,
}

/// Whether any line of `content`, all of it, begins with a dot.
pub fn has_dot_lines(content: &[u8]) -> bool {
    content.first() == Some(&b'.') || memmem::find(content, b"\r\n.").is_some()
}

/// Something to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// These bytes of the run.
    Run(Span),
    /// A dot that is not in the content.
    Dot,
}

/// The end of what was sent so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tail {
    /// Nothing, or CRLF: the next byte begins a line.
    LineStart,
    /// A CR, of which it is not known whether an LF follows.
    Cr,
    /// Anything else.
    Line,
}

/// Doubles the dots of one message.
#[derive(Clone, Copy, Debug)]
pub struct DotStuffer {
    tail: Tail,
    dot_lines: bool,
}

impl DotStuffer {
    /// For a message that is about to begin. `dot_lines == false` promises that none of its lines
    /// begins with a dot, so that the runs need not be looked at.
    pub const fn new(dot_lines: bool) -> Self {
        Self { tail: Tail::LineStart, dot_lines }
    }

    /// The pieces that send `run`, the next bytes of the content. Without dots to add that is one
    /// piece, or none for an empty run. The state moves past the run at once, whether or not the
    /// pieces are used.
    #[must_use]
    pub fn pieces<'a>(&mut self, run: &'a [u8]) -> Pieces<'a> {
        let before = self.tail;
        self.tail = match (run, before) {
            ([], _) => before,
            ([b'\n'], Tail::Cr) | ([.., b'\r', b'\n'], _) => Tail::LineStart,
            ([.., b'\r'], _) => Tail::Cr,
            _ => Tail::Line,
        };
        let first_dot = match (self.dot_lines, before, run) {
            (true, Tail::LineStart, [b'.', ..]) => Some(0),
            (true, Tail::Cr, [b'\n', b'.', ..]) => Some(1),
            _ => None,
        };
        Pieces { run, at: 0, first_dot, search: self.dot_lines, dot_is_due: false }
    }

    /// Appends what sends `run` to `out`: for content that is small enough to be copied.
    pub fn append(&mut self, run: &[u8], out: &mut Vec<u8>) {
        for piece in self.pieces(run) {
            match piece {
                Piece::Run(span) => out.extend_from_slice(span.of(run)),
                Piece::Dot => out.push(b'.'),
            }
        }
    }

    /// What ends the data behind the last run: `.` CRLF, and a CRLF before it if the content did
    /// not end in one (RFC 5321 §4.1.1.4). Empty content is an empty message.
    pub fn end_of_data(&self) -> &'static [u8] {
        match self.tail {
            Tail::LineStart => &END_OF_DATA[2..],
            Tail::Cr | Tail::Line => END_OF_DATA,
        }
    }
}

/// Iterator over the pieces of one run, from [`DotStuffer::pieces`]. `at <= run.len()`, and
/// everything before `at` was yielded.
#[derive(Clone, Debug)]
pub struct Pieces<'a> {
    run: &'a [u8],
    at: usize,
    /// A dot whose line began before this run.
    first_dot: Option<usize>,
    search: bool,
    /// The byte at `at` is a dot at the start of a line, and its double has to go first.
    dot_is_due: bool,
}

impl Pieces<'_> {
    /// Where the next dot that wants a double stands, at or behind `at`.
    fn find_dot(&mut self) -> Option<usize> {
        if let Some(first) = self.first_dot.take() {
            return Some(first);
        }
        if !self.search {
            return None;
        }
        // The dot at `at` itself was doubled, and the CRLF of the next line comes behind it.
        let rest = self.run.get(self.at..)?;
        memmem::find(rest, b"\r\n.").map(|found| self.at + found + 2)
    }
}

impl Iterator for Pieces<'_> {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        if self.dot_is_due {
            self.dot_is_due = false;
            return Some(Piece::Dot);
        }
        if self.at == self.run.len() {
            return None;
        }
        let start = self.at;
        let end = self.find_dot();
        self.at = end.unwrap_or(self.run.len());
        self.dot_is_due = end.is_some();
        if self.at == start {
            return self.next();
        }
        Some(Piece::Run(Span::new(start, self.at)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Sends `content` cut at `cuts` and returns what goes out on the wire.
    fn stuff_cut(content: &[u8], cuts: &[usize], dot_lines: bool) -> Vec<u8> {
        let mut stuffer = DotStuffer::new(dot_lines);
        let mut out = Vec::new();
        let mut start = 0;
        for end in cuts.iter().copied().chain([content.len()]) {
            stuffer.append(&content[start..end], &mut out);
            start = end;
        }
        out.extend_from_slice(stuffer.end_of_data());
        out
    }

    /// The trivial twin: one byte after the other.
    fn stuff_naive(content: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for &byte in content {
            if byte == b'.' && (out.is_empty() || out.ends_with(b"\r\n")) {
                out.push(b'.');
            }
            out.push(byte);
        }
        if !out.is_empty() && !out.ends_with(b"\r\n") {
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b".\r\n");
        out
    }

    /// What a receiver makes of `wire` (RFC 5321 §4.5.2); all of `wire` must be one message.
    fn unstuff_naive(wire: &[u8]) -> Vec<u8> {
        let mut content = Vec::new();
        let mut rest = wire;
        loop {
            if rest == b".\r\n" {
                return content;
            }
            assert!(!rest.starts_with(b".\r\n"), "the data ends before the end");
            let end = memmem::find(rest, b"\r\n").expect("the data does not end") + 2;
            let line = &rest[..end];
            content.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
            rest = &rest[end..];
        }
    }

    #[test]
    fn dots_are_doubled_and_the_end_is_put_behind() {
        let cases: [(&[u8], &[u8]); 9] = [
            (b"", b".\r\n"),
            (b"a", b"a\r\n.\r\n"),
            (b"a\r\n", b"a\r\n.\r\n"),
            (b".", b"..\r\n.\r\n"),
            (b".\r\n", b"..\r\n.\r\n"),
            (b"..\r\n.\r\n.a", b"...\r\n..\r\n..a\r\n.\r\n"),
            (b"\r\n.\r\n", b"\r\n..\r\n.\r\n"),
            (b"a.b\r\nc.\r\n", b"a.b\r\nc.\r\n.\r\n"),
            (b"a\r", b"a\r\r\n.\r\n"),
        ];
        for (content, wire) in cases {
            for cut in 0..=content.len() {
                assert_eq!(stuff_cut(content, &[cut], true), wire, "{content:?} at {cut}");
            }
            assert_eq!(has_dot_lines(content), stuff_cut(content, &[], false) != wire);
        }
    }

    #[test]
    fn content_without_dot_lines_is_one_piece() {
        let run = b"a\r\nb.\r\n";
        for dot_lines in [false, true] {
            let pieces: Vec<Piece> = DotStuffer::new(dot_lines).pieces(run).collect();
            assert_eq!(pieces, [Piece::Run(Span::new(0, run.len()))]);
        }
        assert_eq!(DotStuffer::new(true).pieces(b"").count(), 0);
    }

    proptest! {
        #[test]
        fn any_cut_gives_what_the_naive_twin_gives_and_comes_back(
            content in prop::collection::vec(
                prop::sample::select(vec![b'.', b'\r', b'\n', b'a', 0xff]),
                0..40,
            ),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let mut cuts: Vec<usize> =
                cuts.iter().map(|cut| cut.index(content.len() + 1)).collect();
            cuts.sort_unstable();
            let wire = stuff_naive(&content);
            prop_assert_eq!(&stuff_cut(&content, &cuts, true), &wire);
            let every: Vec<usize> = (1..content.len()).collect();
            prop_assert_eq!(&stuff_cut(&content, &every, true), &wire);
            let mut whole = content.clone();
            if !whole.is_empty() && !whole.ends_with(b"\r\n") {
                whole.extend_from_slice(b"\r\n");
            }
            prop_assert_eq!(unstuff_naive(&wire), whole);
            if !has_dot_lines(&content) {
                prop_assert_eq!(&stuff_cut(&content, &cuts, false), &wire);
            }
        }
    }
}
