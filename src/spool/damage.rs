//! What can be wrong with a log on disk, told so that an operator knows what it means.

use std::fmt;

use super::recover::Presence;
use crate::ids::{Generation, GroupSequence, MessageId};

/// Something that the disk lost. What a crash leaves behind is none: it never touches what was
/// acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Damage {
    /// The oldest segment is not there.
    SegmentMissing {
        /// The use of it.
        generation: Generation,
    },
    /// A segment of another log lies among those of this one. It is left alone.
    ForeignSegment {
        /// The segment file.
        slot: u32,
        /// The other log.
        log_id: u64,
    },
    /// Two files hold the same segment. The one with the lower slot counts, this one is left alone.
    SegmentTwice {
        /// The segment file.
        slot: u32,
        /// The use of it.
        generation: Generation,
    },
    /// The disk refused to read.
    Unreadable {
        /// The segment file.
        slot: u32,
        /// Where.
        offset: u64,
        /// How many bytes.
        length: u64,
        /// What the system said.
        error: String,
    },
    /// Commit groups that were, or may have been, acknowledged are gone.
    GroupsLost {
        /// The first.
        from: GroupSequence,
        /// The last.
        through: GroupSequence,
        /// What is there instead.
        presence: Presence,
    },
    /// A record whose checksum is right but which makes no sense.
    Record {
        /// The segment file.
        slot: u32,
        /// Where its payload begins.
        offset: u64,
    },
    /// A message whose content is gone in part. It is not delivered.
    Content {
        /// The message.
        message: MessageId,
    },
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SegmentMissing { generation } => write!(
                f,
                "the oldest segment, generation {}, is not there: the messages in it are lost",
                generation.0
            ),
            Self::ForeignSegment { slot, log_id } => write!(
                f,
                "segment {slot} belongs to another log ({log_id:016x}); it is left alone: move it \
                 to a directory of its own to look at it"
            ),
            Self::SegmentTwice { slot, generation } => write!(
                f,
                "segment {slot} is a copy of another (generation {}); it is left alone: remove it",
                generation.0
            ),
            Self::Unreadable { slot, offset, length, error } => write!(
                f,
                "segment {slot}: {length} bytes at {offset} cannot be read: {error}; look at the \
                 disk (smartctl -a, dmesg)"
            ),
            Self::GroupsLost { from, through, presence } => {
                let what = match presence {
                    Presence::Broken => "are damaged",
                    Presence::Unreadable => "cannot be read",
                    Presence::Missing | Presence::Complete => "are not there",
                };
                write!(
                    f,
                    "commit groups {} to {} {what}: messages and outcomes in them are lost",
                    from.0, through.0
                )
            }
            Self::Record { slot, offset } => {
                write!(f, "segment {slot}: the record at {offset} makes no sense and is ignored")
            }
            Self::Content { message } => {
                write!(f, "message {message}: a part of its content is lost; it is not delivered")
            }
        }
    }
}
