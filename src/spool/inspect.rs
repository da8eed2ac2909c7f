//! A log told to people: `ringpost spool verify` and `ringpost spool dump`.
//!
//! # Never
//! It changes nothing, and shows no content.

use std::fmt;

use super::damage::Damage;
use super::format::GroupHeader;
use super::reader::SegmentFiles;
use super::recover::decide;
use super::replay::{Replay, Seen};
use super::survey::{RecoverError, SegmentScan, SlotState, survey};
use crate::ids::{Generation, GroupSequence};
use crate::message::{Extent, Message, Outcome, RecipientState};

/// One thing that was found in a log. Its text is one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// A segment file.
    Slot {
        /// Which.
        slot: u32,
        /// Its length in bytes.
        length: u64,
        /// What its first block says.
        state: SlotState,
    },
    /// A segment that is in use.
    Segment {
        /// Its file.
        slot: u32,
        /// The use of it.
        generation: Generation,
        /// Bytes of the file that are written.
        used_bytes: u64,
        /// Whether its header is right. What a header says stands in each group too, so that its
        /// loss harms nothing; a crash while the file is taken into use again may tear it.
        header_sound: bool,
    },
    /// A commit group that counts.
    Group {
        /// The segment file.
        slot: u32,
        /// Where in it.
        offset: u64,
        /// Its header.
        header: GroupHeader,
    },
    /// A run of content.
    Chunk {
        /// The segment file.
        slot: u32,
        /// Where it lies.
        extent: Extent,
    },
    /// A message record.
    Message {
        /// The segment file.
        slot: u32,
        /// Where its payload begins.
        offset: u64,
        /// The message.
        message: Box<Message>,
    },
    /// An outcome record.
    Outcome {
        /// The segment file.
        slot: u32,
        /// Where its payload begins.
        offset: u64,
        /// The outcome.
        outcome: Outcome,
    },
    /// Something that the disk lost.
    Damage(Damage),
    /// The end: what the log comes to.
    Summary {
        /// Segment files.
        slots: usize,
        /// Of these in use.
        segments: usize,
        /// Messages that are not finished.
        messages: usize,
        /// Recipients of these that are not finished.
        recipients: usize,
        /// The last group that counts.
        through: GroupSequence,
        /// Groups that a crash cut off.
        dropped_groups: u64,
    },
}

/// Reads the log in `files` and hands what it finds to `tell`, in the order of the log. Damage
/// comes behind the records, the summary last.
///
/// # Errors
/// As [`recover`](super::recover()).
pub fn inspect<F: SegmentFiles>(
    files: &F,
    tell: &mut dyn FnMut(Finding),
) -> Result<(), RecoverError<F::Error>> {
    let survey = survey(files)?;
    for slot in &survey.slots {
        tell(Finding::Slot { slot: slot.slot, length: slot.length, state: slot.state.clone() });
    }
    for scan in &survey.segments {
        tell(Finding::Segment {
            slot: scan.slot,
            generation: scan.facts.generation,
            used_bytes: scan.used_bytes,
            header_sound: scan.header_sound,
        });
    }
    let decision = decide(&survey.facts);
    let mut replay = Replay::default();
    replay.run(files, &survey, &decision, &mut |scan, offset, seen| {
        tell(finding(scan, offset, seen));
    });
    let recovered = replay.finish(&survey, &decision, 0);
    let pending = |message: &Message| {
        message.recipients.iter().filter(|recipient| !recipient.state.is_final()).count()
    };
    let summary = Finding::Summary {
        slots: survey.slots.len(),
        segments: recovered.segments.len(),
        messages: recovered.messages.len(),
        recipients: recovered.messages.iter().map(pending).sum(),
        through: recovered.accepted_through,
        dropped_groups: recovered.dropped_groups,
    };
    recovered.damage.into_iter().map(Finding::Damage).for_each(&mut *tell);
    tell(summary);
    Ok(())
}

fn finding(scan: &SegmentScan, offset: u64, seen: Seen<'_>) -> Finding {
    let slot = scan.slot;
    match seen {
        Seen::Group(header) => Finding::Group { slot, offset, header: *header },
        Seen::Chunk(extent) => Finding::Chunk { slot, extent: *extent },
        Seen::Message(message) => {
            Finding::Message { slot, offset, message: Box::new(message.clone()) }
        }
        Seen::Outcome(outcome) => Finding::Outcome { slot, offset, outcome: outcome.clone() },
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slot { slot, length, state } => {
                write!(f, "slot {slot}: {length} bytes, ")?;
                match state {
                    SlotState::Segment(header) => write!(
                        f,
                        "log {:016x}, generation {}, groups from {}",
                        header.log_id, header.generation.0, header.first.0
                    ),
                    SlotState::Blank => write!(f, "never used"),
                    SlotState::Invalid => write!(f, "no header"),
                    SlotState::Unreadable(error) => write!(f, "unreadable: {error}"),
                    SlotState::Twice(header) => {
                        write!(f, "a copy of generation {}", header.generation.0)
                    }
                    SlotState::Foreign(header) => write!(f, "of log {:016x}", header.log_id),
                }
            }
            Self::Segment { slot, generation, used_bytes, header_sound } => {
                let header = if *header_sound { "" } else { ", header torn (harmless)" };
                write!(
                    f,
                    "segment {slot}: in use as generation {}, {used_bytes} bytes written{header}",
                    generation.0
                )
            }
            Self::Group { slot, offset, header } => write!(
                f,
                "  {slot}:{offset} group {}: {} bytes, {} records, durable through {}",
                header.sequence.0, header.length, header.record_count, header.durable_through.0
            ),
            Self::Chunk { slot, extent } => {
                write!(f, "    {slot}:{} content, {} bytes", extent.offset, extent.length)
            }
            Self::Message { slot, offset, message } => {
                write!(f, "    {slot}:{offset} message ")?;
                describe_message(f, message)
            }
            Self::Outcome { slot, offset, outcome } => {
                write!(f, "    {slot}:{offset} outcome of {}:", outcome.message)?;
                for (index, state) in &outcome.recipients {
                    write!(f, " #{index} {}", Described(state))?;
                }
                Ok(())
            }
            Self::Damage(damage) => write!(f, "damage: {damage}"),
            Self::Summary { slots, segments, messages, recipients, through, dropped_groups } => {
                write!(
                    f,
                    "{messages} messages to {recipients} recipients in {segments} of {slots} \
                     segments, through group {}; {dropped_groups} groups cut off by a crash",
                    through.0
                )
            }
        }
    }
}

fn describe_message(f: &mut fmt::Formatter<'_>, message: &Message) -> fmt::Result {
    write!(
        f,
        "{} of {}, {} bytes in {} pieces, from <{}>",
        message.id,
        message.received.to_rfc3339(),
        message.content.length_bytes,
        message.content.extents.len(),
        message.sender.escape_ascii()
    )?;
    for recipient in &message.recipients {
        write!(f, " to <{}> {}", recipient.address.escape_ascii(), Described(&recipient.state))?;
    }
    Ok(())
}

struct Described<'a>(&'a RecipientState);

impl fmt::Display for Described<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            RecipientState::Pending { attempts: 0, .. } => write!(f, "(to be delivered)"),
            RecipientState::Pending { attempts, next_attempt, last_failure } => write!(
                f,
                "(deferred {attempts} times, again at {}: {})",
                next_attempt.to_rfc3339(),
                last_failure.escape_debug()
            ),
            RecipientState::Delivered => write!(f, "(delivered)"),
            RecipientState::Bounced => write!(f, "(bounced)"),
        }
    }
}
