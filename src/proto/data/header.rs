//! The header of a message while it passes: counts its fields, takes out those that tell results
//! in this server's name, and adds those that a submission must have.
//!
//! # How
//! The decoder shows each line by its first byte, then the bytes that [`Header::is_reading`] asks
//! for, then its end. Most lines are not looked at behind their first byte. Where it cannot be
//! known yet whether bytes stay or what goes before them, their fate is [`Fate::Open`], and the
//! decoder holds them until a [`Verdict`].
//!
//! # Bounds
//! Bytes whose fate is open are at most [`HEADER_HELD_BYTES_MAX`] and one line end.

use std::io::Write;

use super::results::IdReader;
use super::{DataRules, Stamp};
use crate::limits::HEADER_HELD_BYTES_MAX;

/// What becomes of the bytes that come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// They are content.
    Kept,
    /// It will be known at the next verdict.
    Open,
    /// They belong to a field that is taken out.
    Dropped,
}

/// What was found out about the bytes up to here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Those whose fate was open are content.
    Keep,
    /// They are not.
    Drop,
    /// The field that was taken out is over.
    Resume,
    /// The header ends before them, and they are content. The missing fields go between, and an
    /// empty line too unless they are one.
    Complete {
        /// Whether that line is missing as well.
        adds_end: bool,
    },
}

/// What of a line is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    Nothing,
    /// The name of a field.
    Name,
    /// White space between the name and its colon (RFC 5322 §4.5).
    NameEnd,
    /// What is behind the colon of `Authentication-Results`.
    AuthservId,
}

/// See the [module](self).
#[derive(Clone, Debug)]
pub(super) struct Header {
    fate: Fate,
    reading: Reading,
    name: FieldName,
    id: IdReader,
    /// Bytes of the field so far, but for those that are not looked at.
    looked_bytes: usize,
    /// No line has begun.
    is_blank: bool,
    line_is_first: bool,
    has_date: bool,
    has_message_id: bool,
    field_count: u32,
    hop_count: u32,
}

impl Header {
    pub(super) const fn new() -> Self {
        Self {
            fate: Fate::Kept,
            reading: Reading::Nothing,
            name: FieldName::EMPTY,
            id: IdReader::NEW,
            looked_bytes: 0,
            is_blank: true,
            line_is_first: false,
            has_date: false,
            has_message_id: false,
            field_count: 0,
            hop_count: 0,
        }
    }

    pub(super) const fn fate(&self) -> Fate {
        self.fate
    }

    pub(super) const fn field_count(&self) -> u32 {
        self.field_count
    }

    pub(super) const fn hop_count(&self) -> u32 {
        self.hop_count
    }

    /// Whether [`read`](Self::read) wants the bytes that come.
    pub(super) fn is_reading(&self) -> bool {
        self.reading != Reading::Nothing
    }

    /// A line begins with `first`. After a verdict it is to be called again for the same line.
    pub(super) fn begin_line(&mut self, rules: &DataRules<'_>, first: u8) -> Option<Verdict> {
        let is_folded = matches!(first, b' ' | b'\t') && !self.is_blank;
        if is_folded {
            self.line_is_first = false;
            return None;
        }
        if let Some(verdict) = self.end_field(rules) {
            return Some(verdict);
        }
        self.line_is_first = std::mem::take(&mut self.is_blank);
        self.reading = Reading::Nothing;
        self.looked_bytes = 0;
        let is_incomplete = self.is_incomplete(rules);
        let may_be_results = rules.own_name.is_some() && first.eq_ignore_ascii_case(&b'a');
        if is_incomplete || may_be_results {
            self.fate = Fate::Open;
        }
        // It may be the line that ends the header.
        if matches!(first, b'\r' | b'\n') {
            return None;
        }
        self.field_count = self.field_count.saturating_add(1);
        if self.fate == Fate::Open || first.eq_ignore_ascii_case(&b'r') {
            self.reading = Reading::Name;
            self.name = FieldName::EMPTY;
        }
        None
    }

    /// Reads as much of `bytes`, all of one line, as it wants to; returns how much that was.
    pub(super) fn read(&mut self, rules: &DataRules<'_>, bytes: &[u8]) -> (usize, Option<Verdict>) {
        for (index, &byte) in bytes.iter().enumerate() {
            self.looked_bytes += 1;
            let verdict = self.read_byte(rules, byte);
            if verdict.is_some() || !self.is_reading() {
                return (index + 1, verdict);
            }
        }
        (bytes.len(), None)
    }

    /// A line has ended.
    pub(super) fn end_line(&mut self, rules: &DataRules<'_>, is_empty: bool) -> Option<Verdict> {
        if is_empty {
            return if self.is_incomplete(rules) {
                self.fate = Fate::Kept;
                Some(Verdict::Complete { adds_end: false })
            } else {
                self.keep()
            };
        }
        self.looked_bytes += 2;
        match self.reading {
            Reading::Nothing => None,
            Reading::Name | Reading::NameEnd => self.refute_name(rules),
            Reading::AuthservId => {
                let found = self.id.end_line(rules.own_name.unwrap_or_default().as_bytes());
                self.take_id(found)
            }
        }
    }

    /// The field has ended, because another one begins or nothing does.
    pub(super) fn end_field(&mut self, rules: &DataRules<'_>) -> Option<Verdict> {
        match self.fate {
            Fate::Kept => None,
            Fate::Dropped => {
                self.fate = Fate::Kept;
                Some(Verdict::Resume)
            }
            Fate::Open => {
                let reads_id = self.reading == Reading::AuthservId;
                if reads_id && rules.own_name.is_some_and(|own| self.id.is_own(own.as_bytes())) {
                    self.fate = Fate::Kept;
                    return Some(Verdict::Drop);
                }
                self.keep()
            }
        }
    }

    /// A line turned out to be none. The message will be refused; nothing is held for it.
    pub(super) const fn give_up(&mut self) {
        self.fate = Fate::Kept;
        self.reading = Reading::Nothing;
    }

    /// Whether fields are to be added that have not been seen.
    pub(super) const fn is_incomplete(&self, rules: &DataRules<'_>) -> bool {
        rules.stamp.is_some() && !(self.has_date && self.has_message_id)
    }

    /// Appends the fields that are missing to `out` (RFC 6409 §8.2, §8.3).
    pub(super) fn write_missing(&self, stamp: &Stamp<'_>, out: &mut Vec<u8>) {
        // Writing to a vector never fails.
        if !self.has_date {
            let _ = write!(out, "Date: {}\r\n", stamp.wall.rfc5322());
        }
        if !self.has_message_id {
            let _ = write!(out, "Message-ID: <{}@{}>\r\n", stamp.id, stamp.hostname);
        }
    }

    fn read_byte(&mut self, rules: &DataRules<'_>, byte: u8) -> Option<Verdict> {
        let is_too_long = self.looked_bytes > HEADER_HELD_BYTES_MAX;
        match (self.reading, byte) {
            (Reading::Nothing, _) => None,
            (Reading::Name | Reading::NameEnd, _) if is_too_long => self.refute_name(rules),
            (Reading::Name | Reading::NameEnd, b':') if self.name.length > 0 => {
                self.take_name(rules)
            }
            (Reading::Name | Reading::NameEnd, b' ' | b'\t') => {
                self.reading = Reading::NameEnd;
                None
            }
            // RFC 5322 §3.6.8.
            (Reading::Name, b'!'..=b'9' | b';'..=b'~') => {
                self.name.push(byte);
                None
            }
            (Reading::Name | Reading::NameEnd, _) => self.refute_name(rules),
            (Reading::AuthservId, _) => {
                let own = rules.own_name.unwrap_or_default().as_bytes();
                let found = self.id.read(own, byte);
                self.take_id(found)
            }
        }
    }

    fn take_name(&mut self, rules: &DataRules<'_>) -> Option<Verdict> {
        self.reading = Reading::Nothing;
        match self.name.lower_case() {
            b"authentication-results" if rules.own_name.is_some() => {
                self.reading = Reading::AuthservId;
                self.id = IdReader::NEW;
                return None;
            }
            b"date" => self.has_date = true,
            b"message-id" => self.has_message_id = true,
            b"received" => self.hop_count = self.hop_count.saturating_add(1),
            _ => {}
        }
        self.keep()
    }

    /// Acts upon what is known of an `authserv-id`: whether it is this server's.
    fn take_id(&mut self, found: Option<bool>) -> Option<Verdict> {
        match found {
            // No server writes such comments before its name, so that nothing is lost.
            None if self.looked_bytes > HEADER_HELD_BYTES_MAX => self.drop_field(),
            None => None,
            Some(true) => self.drop_field(),
            Some(false) => {
                self.reading = Reading::Nothing;
                self.keep()
            }
        }
    }

    /// The line is no field. What goes on as one would not be seen by those who read the message
    /// as RFC 5322 has it, so where fields are added the header ends before it.
    fn refute_name(&mut self, rules: &DataRules<'_>) -> Option<Verdict> {
        let is_mailbox_line = self.line_is_first
            && self.reading == Reading::NameEnd
            && matches!(self.name.lower_case(), b"from" | b">from");
        self.reading = Reading::Nothing;
        if self.is_incomplete(rules) && !is_mailbox_line {
            self.fate = Fate::Kept;
            return Some(Verdict::Complete { adds_end: true });
        }
        self.keep()
    }

    fn keep(&mut self) -> Option<Verdict> {
        let was_open = self.fate == Fate::Open;
        self.fate = Fate::Kept;
        was_open.then_some(Verdict::Keep)
    }

    const fn drop_field(&mut self) -> Option<Verdict> {
        self.reading = Reading::Nothing;
        self.fate = Fate::Dropped;
        Some(Verdict::Drop)
    }
}

/// The name of a field in lower case, as far as it could be one of those looked for.
#[derive(Clone, Copy, Debug)]
struct FieldName {
    bytes: [u8; Self::BYTES_MAX],
    length: u8,
}

impl FieldName {
    const BYTES_MAX: usize = b"authentication-results".len();
    const EMPTY: Self = Self { bytes: [0; Self::BYTES_MAX], length: 0 };

    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(usize::from(self.length)) {
            *place = byte.to_ascii_lowercase();
        }
        self.length = self.length.saturating_add(1);
    }

    /// Empty if it is longer than any that is looked for.
    fn lower_case(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }
}
