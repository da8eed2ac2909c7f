//! What a message may be, and how it is taken.

use crate::clock::WallTime;
use crate::ids::MessageId;
use crate::limits::{
    HEADER_BYTES_MAX, HEADER_FIELDS_MAX, HOP_COUNT_MAX, MESSAGE_BYTES_MAX, TEXT_LINE_BYTES_MAX,
};

/// What a message may be.
#[derive(Clone, Copy, Debug)]
pub struct DataLimits {
    /// Content in bytes, without added dots and the end of data (RFC 1870 §3).
    pub message_bytes_max: u64,
    /// One line with its CRLF, in bytes, without an added dot (RFC 5321 §4.5.3.1.6).
    pub text_line_bytes_max: u64,
    /// `Received:` fields of the header (RFC 5321 §6.3).
    pub hop_count_max: u32,
    /// The header with its line ends, in bytes.
    pub header_bytes_max: u64,
    /// Fields of the header.
    pub header_fields_max: u32,
}

impl Default for DataLimits {
    fn default() -> Self {
        Self {
            message_bytes_max: MESSAGE_BYTES_MAX,
            text_line_bytes_max: TEXT_LINE_BYTES_MAX,
            hop_count_max: HOP_COUNT_MAX,
            header_bytes_max: HEADER_BYTES_MAX,
            header_fields_max: HEADER_FIELDS_MAX,
        }
    }
}

/// How a message is taken; the same for all of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct DataRules<'a> {
    /// What it may be.
    pub limits: DataLimits,
    /// How its end is told.
    pub framing: Framing,
    /// Whether a bare LF becomes CRLF; not with [`Framing::Binary`].
    pub mends_bare_lf: bool,
    /// The name in `Authentication-Results` fields that are taken out (RFC 8601 §5).
    pub own_name: Option<&'a str>,
    /// What missing fields are made from, if they are added (RFC 6409 §8).
    pub stamp: Option<Stamp<'a>>,
}

/// How the end of a message is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// By a line with a dot, as DATA has it; other lines with a dot get another one.
    #[default]
    Dots,
    /// By the lengths of its chunks, which hold lines (RFC 3030 §2).
    Chunks,
    /// By the lengths of its chunks, which hold any bytes behind the header (RFC 3030 §3).
    Binary,
}

/// What `Date:` and `Message-ID:` are made from.
#[derive(Clone, Copy, Debug)]
pub struct Stamp<'a> {
    /// The time of day.
    pub wall: WallTime,
    /// What no other message is called.
    pub id: MessageId,
    /// Where that is so.
    pub hostname: &'a str,
}
