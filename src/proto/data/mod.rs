//! The content of a message: finds its end, removes the dots that the client added, filters the
//! header, and notes what is wrong with it (RFC 5321 §4.1.1.4, §4.5.2).
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
//! LineBegin ------> InLine <--------------+      InLine --CR--> AfterCr --LF--> LineStart
//! ```
//!
//! In the header there are exceptions, which `header` decides upon: a field that may have to go,
//! or before which others may have to be put, is set aside where the input ends within it. What is
//! then found to be content, and what this server adds, is told as [`Piece::Inserted`].
//!
//! Chunks (RFC 3030) take the same way, but for the dots and the end, which the caller counts out.
//!
//! # Guarantees
//! - CRLF.CRLF ends the data, with the CRLF of the DATA command counting as the first, and nothing
//!   else does. A line whose dot may be an added one, or the end, begins after CRLF only.
//! - A message with a bare CR or a bare LF is refused, but at its true end: only there both sides
//!   agree on what is a command again. No two servers can read such a message differently after
//!   this one ("SMTP smuggling", CVE-2023-51764 and its kin). Where a bare LF is mended, it ends a
//!   line of the content and has no other meaning.
//! - Text that is told of ends in CRLF.
//! - How the content was cut changes neither what it is nor why it is refused.
//! - NUL and bytes beyond ASCII pass unchanged; so does all that is behind the header with
//!   [`Framing::Binary`].
//!
//! # Bounds
//! Size, line length, fields and hops are counted and compared, never stored. What is set aside
//! has at most [`HEADER_HELD_BYTES_MAX`](crate::limits::HEADER_HELD_BYTES_MAX), two line ends and
//! the fields that are added.

mod header;
mod results;
mod rules;

use std::mem;

use memchr::memchr2;

use self::header::{Fate, Header, Verdict};
pub use self::rules::{DataLimits, DataRules, Framing, Stamp};
use crate::proto::fault::ContentFault;
use crate::span::Span;

/// Finds its way through the content of one message.
#[derive(Clone, Debug)]
pub struct DataDecoder {
    state: State,
    in_header: bool,
    dot_lines: bool,
    faults: Faults,
    refusal_was_told: bool,
    /// What was set aside is to be told next.
    insertion_is_due: bool,
    header: Header,
    /// Bytes whose fate is open and that are in no input any more, or the last insertion.
    aside: Vec<u8>,
    line_bytes: u64,
    header_bytes: u64,
    received_bytes: u64,
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
    /// [`DataDecoder::inserted`] is content.
    Inserted,
    /// The message just turned out not to be acceptable, and no more content will be told of.
    /// Comes once, before [`End`](Self::End).
    Refused,
    /// The end of data was reached.
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Behind CRLF, where a dot may be an added one.
    LineStart,
    /// Before the first byte of a line of content.
    LineBegin,
    InLine,
    AfterCr,
    /// Before a bare LF that is to be mended.
    BeforeBareLf,
    /// The same, with the CR that was added.
    AfterAddedCr,
    AfterDot,
    AfterDotCr,
    /// Where bytes are no lines.
    Raw,
    Ended,
}

/// The faults of a message, as a set: which of them is reported must not depend on which was seen
/// first, because that depends on how the content was cut.
#[derive(Clone, Copy, Debug, Default)]
struct Faults {
    bare: bool,
    too_big: bool,
    line_too_long: bool,
    header_too_big: bool,
    fields: bool,
    hops: bool,
}

/// Content of the input that was not told of yet: `counted <= start <= held_from`.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    /// What is behind it is not yet part of the sizes.
    counted: usize,
    /// What is behind it is content.
    start: usize,
    /// What is behind it may be, if the fate of what comes is open.
    held_from: usize,
}

impl Run {
    const fn at(at: usize) -> Self {
        Self { counted: at, start: at, held_from: at }
    }
}

impl Default for DataDecoder {
    fn default() -> Self {
        Self::new()
    }
}

impl DataDecoder {
    /// At the first byte behind the CRLF of DATA, or of the first chunk.
    pub const fn new() -> Self {
        Self {
            state: State::LineStart,
            in_header: true,
            dot_lines: false,
            faults: Faults {
                bare: false,
                too_big: false,
                line_too_long: false,
                header_too_big: false,
                fields: false,
                hops: false,
            },
            refusal_was_told: false,
            insertion_is_due: false,
            header: Header::new(),
            aside: Vec::new(),
            line_bytes: 0,
            header_bytes: 0,
            received_bytes: 0,
            content_bytes: 0,
        }
    }

    /// Begins another message, with the memory of the last one.
    pub fn reset(&mut self) {
        let mut aside = mem::take(&mut self.aside);
        aside.clear();
        *self = Self { aside, ..Self::new() };
    }

    /// Goes on to the next piece. Call it again with the rest of the input until it needs more or
    /// is at the end; never after the end. It never is with chunks: see [`finish`](Self::finish).
    pub fn decode(&mut self, rules: &DataRules<'_>, input: &[u8]) -> Decoded {
        if let Some(piece) = self.begin_call() {
            return Decoded { consumed: 0, piece };
        }
        let mut run = Run::default();
        let mut at = 0;
        while let Some(&next) = input.get(at) {
            let mut verdict = None;
            match self.state {
                State::LineStart if next == b'.' && rules.framing == Framing::Dots => {
                    self.state = State::AfterDot;
                    let piece = self.end_run(rules, input, run, at);
                    at += 1;
                    run = Run::at(at);
                    if let Some(piece) = piece {
                        return Decoded { consumed: at, piece };
                    }
                }
                State::LineStart if self.in_header || rules.framing != Framing::Dots => {
                    self.state = State::LineBegin;
                }
                State::LineStart => self.state = State::InLine,
                State::LineBegin => verdict = self.begin_line(rules, next, at, &mut run),
                State::InLine => (at, verdict) = self.go_on_in_line(rules, input, at),
                State::AfterCr if next == b'\n' => {
                    verdict = self.end_line(rules, State::LineStart);
                    at += 1;
                }
                State::AfterCr | State::AfterDotCr if next != b'\n' => {
                    self.note_bare();
                    self.state = State::InLine;
                }
                State::BeforeBareLf => {
                    self.state = State::AfterAddedCr;
                    if let Some(piece) = self.add_cr(rules, input, &mut run, at) {
                        return Decoded { consumed: at, piece };
                    }
                }
                State::AfterCr | State::AfterAddedCr => {
                    verdict = self.end_line(rules, State::LineBegin);
                    at += 1;
                }
                State::AfterDot if next == b'\r' => {
                    self.state = State::AfterDotCr;
                    at += 1;
                    run = Run::at(at);
                }
                State::AfterDot => self.state = State::LineBegin,
                State::Raw => at = input.len(),
                State::AfterDotCr => {
                    self.state = State::Ended;
                    return Decoded { consumed: at + 1, piece: self.end(rules) };
                }
                State::Ended => return Decoded { consumed: at, piece: self.end(rules) },
            }
            if let Some(verdict) = verdict
                && let Some(piece) = self.act_upon(rules, verdict, input, at, &mut run)
            {
                return Decoded { consumed: at, piece };
            }
        }
        if self.state == State::Ended {
            return Decoded { consumed: at, piece: self.end(rules) };
        }
        let piece = self.end_run(rules, input, run, at).unwrap_or(Piece::NeedInput);
        Decoded { consumed: at, piece }
    }

    /// Behind the last chunk: what is still to be told, one piece a call, until
    /// [`Piece::End`]. A last line without CRLF gets one, because DATA could not pass it on.
    pub fn finish(&mut self, rules: &DataRules<'_>) -> Piece {
        const LINE_END: &[u8] = b"\r\n";
        if self.insertion_is_due || !matches!(self.state, State::InLine | State::AfterCr) {
            if let Some(piece) = self.begin_call() {
                return piece;
            }
            self.state = State::Ended;
            return self.end(rules);
        }
        if self.state == State::AfterCr {
            self.note_bare();
            self.state = State::InLine;
        }
        match self.decode(rules, LINE_END).piece {
            Piece::Content(span) => {
                self.aside.clear();
                self.aside.extend_from_slice(span.of(LINE_END));
                Piece::Inserted
            }
            Piece::NeedInput => self.finish(rules),
            piece @ (Piece::Inserted | Piece::Refused | Piece::End) => piece,
        }
    }

    /// The content that [`Piece::Inserted`] tells of, until the next call.
    pub fn inserted(&self) -> &[u8] {
        &self.aside
    }

    /// Why the message cannot be taken, if it cannot. After the end this is final.
    pub const fn fault(&self) -> Option<ContentFault> {
        if self.faults.bare {
            Some(ContentFault::BareCrOrLf)
        } else if self.faults.too_big {
            Some(ContentFault::TooBig)
        } else if self.faults.line_too_long {
            Some(ContentFault::LineTooLong)
        } else if self.faults.header_too_big {
            Some(ContentFault::HeaderTooBig)
        } else if self.faults.fields {
            Some(ContentFault::TooManyFields)
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

    /// What was sent so far, in bytes, without added dots.
    pub const fn received_bytes(&self) -> u64 {
        self.received_bytes
    }

    /// Content that was told of so far, in bytes.
    pub const fn content_bytes(&self) -> u64 {
        self.content_bytes
    }

    /// `Received:` fields so far.
    pub const fn hop_count(&self) -> u32 {
        self.header.hop_count()
    }

    #[cfg(test)]
    pub(super) fn heap_bytes(&self) -> usize {
        self.aside.capacity()
    }

    /// An insertion that is due; else forgets the last one.
    fn begin_call(&mut self) -> Option<Piece> {
        if mem::take(&mut self.insertion_is_due) {
            return self.pass(Some(Piece::Inserted));
        }
        if self.header.fate() != Fate::Open {
            self.aside.clear();
        }
        None
    }

    /// Lets `piece` through to the caller, unless the message is refused.
    fn pass(&mut self, piece: Option<Piece>) -> Option<Piece> {
        if self.fault().is_some() {
            self.insertion_is_due = false;
            self.aside.clear();
            return (!mem::replace(&mut self.refusal_was_told, true)).then_some(Piece::Refused);
        }
        self.content_bytes += match piece {
            Some(Piece::Content(span)) => span.length as u64,
            Some(Piece::Inserted) => self.aside.len() as u64,
            Some(Piece::NeedInput | Piece::Refused | Piece::End) | None => 0,
        };
        piece
    }

    /// Counts what the client sent up to `at`.
    fn count(&mut self, rules: &DataRules<'_>, run: Run, at: usize) {
        self.received_bytes = self.received_bytes.saturating_add((at - run.counted) as u64);
        self.faults.too_big |= self.received_bytes > rules.limits.message_bytes_max;
    }

    /// Ends `run` before `at`: what it comes to for the caller.
    fn end_run(
        &mut self,
        rules: &DataRules<'_>,
        input: &[u8],
        run: Run,
        at: usize,
    ) -> Option<Piece> {
        self.count(rules, run, at);
        let content = match self.header.fate() {
            Fate::Kept => Span::new(run.start, at),
            Fate::Open => {
                self.set_aside(&input[run.held_from..at]);
                Span::new(run.start, run.held_from)
            }
            Fate::Dropped => Span::default(),
        };
        self.pass((!content.is_empty()).then_some(Piece::Content(content)))
    }

    /// For a message that is refused nothing is held.
    fn set_aside(&mut self, bytes: &[u8]) {
        if self.fault().is_none() {
            self.aside.extend_from_slice(bytes);
        }
    }

    fn begin_line(
        &mut self,
        rules: &DataRules<'_>,
        first: u8,
        at: usize,
        run: &mut Run,
    ) -> Option<Verdict> {
        if self.in_header {
            let was_open = self.header.fate() == Fate::Open;
            let verdict = self.header.begin_line(rules, first);
            if verdict.is_some() {
                return verdict;
            }
            self.faults.fields |= self.header.field_count() > rules.limits.header_fields_max;
            if !was_open && self.header.fate() == Fate::Open {
                run.held_from = at;
            }
        }
        self.dot_lines |= first == b'.';
        self.state = State::InLine;
        None
    }

    /// From `at`, in a line, to behind its end, behind a byte that must not be there, to where the
    /// header knows more, or to the end of the input. Returns the offset.
    fn go_on_in_line(
        &mut self,
        rules: &DataRules<'_>,
        input: &[u8],
        at: usize,
    ) -> (usize, Option<Verdict>) {
        let rest = &input[at..];
        let length = memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
        if self.in_header && self.header.is_reading() {
            let (read, verdict) = self.header.read(rules, &rest[..length]);
            self.faults.hops |= self.header.hop_count() > rules.limits.hop_count_max;
            if verdict.is_some() {
                self.line_bytes = self.line_bytes.saturating_add(read as u64);
                return (at + read, verdict);
            }
        }
        self.line_bytes = self.line_bytes.saturating_add(length as u64);
        match (rest.get(length), rest.get(length + 1)) {
            (None, _) => (at + length, None),
            (Some(b'\r'), Some(b'\n')) => (at + length + 2, self.end_line(rules, State::LineStart)),
            (Some(b'\r'), None) => {
                self.state = State::AfterCr;
                (at + length + 1, None)
            }
            (Some(b'\n'), _) if rules.mends_bare_lf && rules.framing != Framing::Binary => {
                self.state = State::BeforeBareLf;
                (at + length, None)
            }
            (Some(_), _) => {
                self.note_bare();
                (at + length + 1, None)
            }
        }
    }

    fn note_bare(&mut self) {
        self.faults.bare = true;
        self.header.give_up();
        self.line_bytes = self.line_bytes.saturating_add(1);
    }

    /// Behind a line end; a `next` state that lets a dot be content is for one that was mended.
    fn end_line(&mut self, rules: &DataRules<'_>, next: State) -> Option<Verdict> {
        let is_empty = self.line_bytes == 0;
        let line_bytes = self.line_bytes + 2;
        self.line_bytes = 0;
        self.state = next;
        self.faults.line_too_long |= line_bytes > rules.limits.text_line_bytes_max;
        if !self.in_header {
            return None;
        }
        let verdict = self.header.end_line(rules, is_empty);
        if verdict != Some(Verdict::Complete { adds_end: true }) {
            self.header_bytes = self.header_bytes.saturating_add(line_bytes);
            self.faults.header_too_big |= self.header_bytes > rules.limits.header_bytes_max;
        }
        // An empty line ends the header (RFC 5322 §2.1).
        if is_empty {
            self.end_header(rules);
        }
        verdict
    }

    fn end_header(&mut self, rules: &DataRules<'_>) {
        self.in_header = false;
        if rules.framing == Framing::Binary {
            self.state = State::Raw;
        }
    }

    /// Puts a CR before the bare LF at `at`.
    fn add_cr(
        &mut self,
        rules: &DataRules<'_>,
        input: &[u8],
        run: &mut Run,
        at: usize,
    ) -> Option<Piece> {
        let content = self.end_run(rules, input, *run, at);
        self.received_bytes = self.received_bytes.saturating_add(1);
        *run = Run::at(at);
        match self.header.fate() {
            Fate::Kept => {
                self.aside.clear();
                self.aside.push(b'\r');
                self.insertion_is_due = true;
                content.or_else(|| self.begin_call())
            }
            Fate::Open => {
                self.set_aside(b"\r");
                content
            }
            Fate::Dropped => content,
        }
    }

    /// Does what `verdict` says about the bytes before `at`.
    fn act_upon(
        &mut self,
        rules: &DataRules<'_>,
        verdict: Verdict,
        input: &[u8],
        at: usize,
        run: &mut Run,
    ) -> Option<Piece> {
        let held = &input[run.held_from..at];
        let before = Span::new(run.start, run.held_from);
        let before = (!before.is_empty()).then_some(Piece::Content(before));
        match verdict {
            // All of them are in the input, in one piece with what comes.
            Verdict::Keep if self.aside.is_empty() => return None,
            Verdict::Keep => {
                self.set_aside(held);
                self.insertion_is_due = true;
            }
            Verdict::Drop => self.aside.clear(),
            Verdict::Resume => {}
            Verdict::Complete { adds_end } => {
                self.set_aside(held);
                let held_bytes = self.aside.len();
                if let Some(stamp) = &rules.stamp {
                    self.header.write_missing(stamp, &mut self.aside);
                }
                if adds_end {
                    self.aside.extend_from_slice(b"\r\n");
                    self.end_header(rules);
                }
                self.aside.rotate_left(held_bytes);
                self.insertion_is_due = true;
            }
        }
        self.count(rules, *run, at);
        *run = Run::at(at);
        match self.pass(before) {
            None if self.insertion_is_due => self.begin_call(),
            piece => piece,
        }
    }

    /// At the end of data: what is still to be told, then [`Piece::End`].
    fn end(&mut self, rules: &DataRules<'_>) -> Piece {
        if mem::take(&mut self.in_header) {
            if self.header.end_field(rules) == Some(Verdict::Drop) {
                self.aside.clear();
            }
            if let Some(stamp) = rules.stamp.as_ref().filter(|_| self.header.is_incomplete(rules)) {
                self.header.write_missing(stamp, &mut self.aside);
            }
            let insertion = (!self.aside.is_empty()).then_some(Piece::Inserted);
            return self.pass(insertion).unwrap_or(Piece::End);
        }
        self.pass(None).unwrap_or(Piece::End)
    }
}

#[cfg(test)]
mod tests;
