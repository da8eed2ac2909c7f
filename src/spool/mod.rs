//! The spool: one shard's append-only log of messages and what became of them.
//!
//! The log is a set of segment files. [`recover()`] reads it at start; [`Spool`] goes on writing
//! it. Both are machines: [`SegmentFiles`] and whoever drives [`Spool`] do the input and output.
//!
//! | module | what |
//! | --- | --- |
//! | [`mod@format`] | headers, groups and records as bytes |
//! | `record` | the payload of message and outcome records |
//! | [`mod@recover`] | which groups of a log count: a table |
//! | `survey`, `replay` | the two readings that recovery makes of a log |
//! | `inspect` | a log told to people |
//! | `writer`, `append`, `commit`, `questions` | [`Spool`] |
//! | `segments`, `relocation` | which files are in use, and which messages move to free them |
//!
//! **Adopting another log** (of a shard that there is no more): [`recover()`] it, append each of
//! its messages that this log does not know under the same id ([`read_body`],
//! [`Spool::begin_own_body`], [`Spool::append_message`]), and when all are committed remove its
//! files. Only then are the messages delivered: a crash in between finds them in both logs, and
//! this one's count; a message that was finished and forgotten here would come back from there.
//!
//! # Guarantees
//! - What was committed is recovered, whole and once, after a crash at any moment; what was not, is
//!   recovered whole or not at all.
//! - A recipient whose outcome was committed is not offered again.
//!
//! # Never
//! It parses no mail, decides no delivery, and reads no clock.

mod append;
mod bodies;
mod codec;
mod commit;
mod damage;
mod footprint;
pub mod format;
mod inspect;
mod questions;
mod reader;
pub mod record;
pub mod recover;
mod relocation;
mod replay;
mod segments;
mod survey;
mod tail;
#[cfg(test)]
mod tests;
mod waiting;
mod wishes;
mod writer;

pub use bodies::BodyId;
pub use damage::Damage;
pub use format::{CHUNK_HEADER_BYTES, WrongChunk, verify_chunk};
pub use inspect::{Finding, inspect};
pub use reader::{ContentError, SegmentFiles, read_body, read_extent};
pub use replay::{FreeSlot, Recovered, RecoveredSegment, recover};
pub use survey::{RecoverError, SlotState};
pub use writer::{AppendError, Room, SegmentWrite, Spool, SpoolEvent, SpoolOptions, WriteId};
