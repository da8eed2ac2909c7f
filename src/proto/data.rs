//! The content behind DATA: finds its end, removes the dots that the client added, and notes what
//! is wrong with it (RFC 5321 §4.1.1.4, §4.5.2).
//!
//! # How
//! A line can only end at a CR, and a CR must be followed by LF, so one search for "CR or LF" a
//! line finds the next line end as well as everything that is not allowed. Between two dots to be
//! removed the content is one run of the input, however many lines that is; nothing is copied.
//! All that is kept between two inputs is a state, because every byte but those of the end of data
//! and the removed dots is content as soon as it is seen:
//!
//! ```text
//! LineStart --'.'--> AfterDot --CR--> AfterDotCr --LF--> the end
//!     |                 |                 |
//!     | other           | other           | other: a bare CR
//!     v                 v                 v
//! InLine <-------------------------------+      InLine --CR--> AfterCr --LF--> LineStart
//! ```
//!
//! # Guarantees
//! - CRLF.CRLF ends the data, with the CRLF of the DATA command counting as the first, and nothing
//!   else does. A line begins after CRLF only.
//! - A message with a bare CR or a bare LF is refused, but at its true end: only there both sides
//!   agree on what is a command again. No two servers can read such a message differently after
//!   this one ("SMTP smuggling", CVE-2023-51764 and its kin).
//! - How the content was cut changes neither what it is nor why it is refused.
//! - NUL and bytes beyond ASCII pass unchanged.
//!
//! # Bounds
//! Size, line length and hops are counted and compared, never stored.

use memchr::memchr2;

use crate::proto::fault::ContentFault;
use crate::span::Span;

/// What a message may be.
#[derive(Clone, Copy, Debug)]
pub struct DataLimits {
    /// Content in bytes, without added dots and the end of data (RFC 1870 §3).
    pub message_bytes_max: u64,
    /// One line with its CRLF, in bytes, without an added dot (RFC 5321 §4.5.3.1.6).
    pub text_line_bytes_max: u64,
    /// `Received:` fields of the header (RFC 5321 §6.3).
    pub hop_count_max: u32,
}

/// Finds its way through the content of one message.
#[derive(Clone, Debug)]
pub struct DataDecoder {
    state: State,
    in_header: bool,
    dot_lines: bool,
    /// How far the line agrees with `received:`, or [`NOT_RECEIVED`].
    name_matched: u8,
    faults: Faults,
    hop_count: u32,
    line_bytes: u64,
    content_bytes: u64,
}

/// What a call of [`DataDecoder::decode`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// Bytes of the input that are done with.
    pub consumed: usize,
    /// What was among them.
    pub piece: Piece,
}

/// See [`Decoded`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// All of the input was taken, and the end is not reached.
    NeedInput,
    /// This range of the input is content.
    Content(Span),
    /// The message just turned out not to be acceptable, and no more content will be told of.
    /// Comes once, before [`End`](Self::End).
    Refused,
    /// The end of data was reached.
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    LineStart,
    InLine,
    AfterCr,
    AfterDot,
    AfterDotCr,
}

/// The faults of a message, as a set: which of them is reported must not depend on which was seen
/// first, because that depends on how the content was cut.
#[derive(Clone, Copy, Debug, Default)]
struct Faults {
    bare: bool,
    too_big: bool,
    line_too_long: bool,
    hops: bool,
}

const RECEIVED: &[u8] = b"received:";
const NOT_RECEIVED: u8 = u8::MAX;

impl Default for DataDecoder {
    fn default() -> Self {
        Self::new()
    }
}

impl DataDecoder {
    /// At the first byte behind the CRLF of DATA.
    pub const fn new() -> Self {
        Self {
            state: State::LineStart,
            in_header: true,
            dot_lines: false,
            name_matched: 0,
            faults: Faults { bare: false, too_big: false, line_too_long: false, hops: false },
            hop_count: 0,
            line_bytes: 0,
            content_bytes: 0,
        }
    }

    /// Goes on to the next piece. Call it again with the rest of the input until it needs more or
    /// is at the end; never after the end.
    pub fn decode(&mut self, limits: &DataLimits, input: &[u8]) -> Decoded {
        let was_refused = self.fault().is_some();
        // `start <= at <= input.len()`: what lies between them is content of this call.
        let mut start = 0;
        let mut at = 0;
        while let Some(&next) = input.get(at) {
            match self.state {
                State::LineStart if next == b'.' => {
                    self.state = State::AfterDot;
                    let run = Span::new(start, at);
                    at += 1;
                    start = at;
                    if let Some(piece) = self.piece_of(limits, run, was_refused) {
                        return Decoded { consumed: at, piece };
                    }
                }
                State::LineStart => self.state = State::InLine,
                State::InLine => at = self.go_on_in_line(limits, input, at),
                State::AfterCr => at = self.go_on_after_cr(limits, next, at),
                State::AfterDot if next == b'\r' => {
                    self.state = State::AfterDotCr;
                    at += 1;
                    start = at;
                }
                State::AfterDot => {
                    self.dot_lines |= next == b'.';
                    self.state = State::InLine;
                }
                State::AfterDotCr if next == b'\n' => {
                    return Decoded { consumed: at + 1, piece: Piece::End };
                }
                State::AfterDotCr => {
                    self.note_bare();
                    self.state = State::InLine;
                }
            }
        }
        let run = Span::new(start, at);
        let piece = self.piece_of(limits, run, was_refused).unwrap_or(Piece::NeedInput);
        Decoded { consumed: at, piece }
    }

    /// Why the message cannot be taken, if it cannot. After the end this is final.
    pub const fn fault(&self) -> Option<ContentFault> {
        if self.faults.bare {
            Some(ContentFault::BareCrOrLf)
        } else if self.faults.too_big {
            Some(ContentFault::TooBig)
        } else if self.faults.line_too_long {
            Some(ContentFault::LineTooLong)
        } else if self.faults.hops {
            Some(ContentFault::TooManyHops)
        } else {
            None
        }
    }

    /// Whether a line of the content begins with a dot, so that whoever sends it must add one.
    pub const fn has_dot_lines(&self) -> bool {
        self.dot_lines
    }

    /// Content so far, in bytes.
    pub const fn content_bytes(&self) -> u64 {
        self.content_bytes
    }

    /// `Received:` fields so far.
    pub const fn hop_count(&self) -> u32 {
        self.hop_count
    }

    /// Counts `run` and says what it is to the caller; `None` if nothing.
    fn piece_of(&mut self, limits: &DataLimits, run: Span, was_refused: bool) -> Option<Piece> {
        self.content_bytes = self.content_bytes.saturating_add(run.length as u64);
        self.faults.too_big |= self.content_bytes > limits.message_bytes_max;
        match (self.fault().is_some(), was_refused) {
            (true, true) => None,
            (true, false) => Some(Piece::Refused),
            (false, _) => (!run.is_empty()).then_some(Piece::Content(run)),
        }
    }

    /// From `at`, in a line, to behind its end, behind a byte that must not be there, or to the end
    /// of the input. Returns the offset.
    fn go_on_in_line(&mut self, limits: &DataLimits, input: &[u8], at: usize) -> usize {
        let rest = &input[at..];
        let length = memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
        if self.in_header && self.name_matched != NOT_RECEIVED {
            self.match_name(limits, &rest[..length]);
        }
        self.line_bytes = self.line_bytes.saturating_add(length as u64);
        match (rest.get(length), rest.get(length + 1)) {
            (None, _) => at + length,
            (Some(b'\r'), Some(b'\n')) => {
                self.end_line(limits);
                at + length + 2
            }
            (Some(b'\r'), None) => {
                self.state = State::AfterCr;
                at + length + 1
            }
            (Some(_), _) => {
                self.note_bare();
                at + length + 1
            }
        }
    }

    fn go_on_after_cr(&mut self, limits: &DataLimits, next: u8, at: usize) -> usize {
        if next == b'\n' {
            self.end_line(limits);
            return at + 1;
        }
        self.note_bare();
        self.state = State::InLine;
        at
    }

    fn note_bare(&mut self) {
        self.faults.bare = true;
        self.name_matched = NOT_RECEIVED;
        self.line_bytes = self.line_bytes.saturating_add(1);
    }

    fn end_line(&mut self, limits: &DataLimits) {
        // An empty line ends the header (RFC 5322 §2.1).
        self.in_header &= self.line_bytes > 0;
        self.faults.line_too_long |= self.line_bytes + 2 > limits.text_line_bytes_max;
        self.line_bytes = 0;
        self.name_matched = 0;
        self.state = State::LineStart;
    }

    fn match_name(&mut self, limits: &DataLimits, bytes: &[u8]) {
        let wanted = RECEIVED.get(usize::from(self.name_matched)..).unwrap_or_default();
        let length = wanted.len().min(bytes.len());
        if !bytes[..length].eq_ignore_ascii_case(&wanted[..length]) {
            self.name_matched = NOT_RECEIVED;
        } else if length == wanted.len() {
            self.name_matched = NOT_RECEIVED;
            self.hop_count = self.hop_count.saturating_add(1);
            self.faults.hops |= self.hop_count > limits.hop_count_max;
        } else {
            // At most nine.
            self.name_matched += u8::try_from(length).unwrap_or(0);
        }
    }
}

#[cfg(test)]
#[path = "data_tests.rs"]
mod tests;
