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
use crate::message::{
    BodyType, DeliverByMode, Extent, Message, Notices, Outcome, RecipientState, ReturnedContent,
    Wishes,
};

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
    match message.content.body_type {
        BodyType::SevenBit => {}
        BodyType::EightBit => write!(f, " BODY=8BITMIME")?,
        BodyType::Binary => write!(f, " BODY=BINARYMIME")?,
    }
    if let Some(wishes) = &message.wishes {
        describe_wishes(f, wishes)?;
    }
    for recipient in &message.recipients {
        write!(f, " to <{}>", recipient.address.escape_ascii())?;
        if let Some(notices) = &recipient.notices {
            describe_notices(f, notices)?;
        }
        write!(f, " {}", Described(&recipient.state))?;
    }
    Ok(())
}

/// As the parameters of MAIL that say the same, but for points in time, which are absolute here.
fn describe_wishes(f: &mut fmt::Formatter<'_>, wishes: &Wishes) -> fmt::Result {
    if let Some(id) = &wishes.envelope_id {
        write!(f, " ENVID={}", id.escape_ascii())?;
    }
    match wishes.returned_content {
        Some(ReturnedContent::Full) => write!(f, " RET=FULL")?,
        Some(ReturnedContent::Headers) => write!(f, " RET=HDRS")?,
        None => {}
    }
    if wishes.smtputf8 {
        write!(f, " SMTPUTF8")?;
    }
    if wishes.require_tls {
        write!(f, " REQUIRETLS")?;
    }
    if let Some(priority) = wishes.priority {
        write!(f, " MT-PRIORITY={priority}")?;
    }
    if let Some(until) = wishes.hold_until {
        write!(f, " HOLDUNTIL={}", until.to_rfc3339())?;
    }
    if let Some(by) = wishes.deliver_by {
        let mode = match by.mode {
            DeliverByMode::Return => "R",
            DeliverByMode::Notify => "N",
        };
        write!(f, " BY={};{mode}{}", by.at.to_rfc3339(), if by.trace { "T" } else { "" })?;
    }
    Ok(())
}

/// As the parameters of RCPT that say the same.
fn describe_notices(f: &mut fmt::Formatter<'_>, notices: &Notices) -> fmt::Result {
    if let Some(notify) = notices.notify {
        let conditions =
            [(notify.success, "SUCCESS"), (notify.failure, "FAILURE"), (notify.delay, "DELAY")];
        let named: Vec<&str> =
            conditions.iter().filter(|(is_set, _)| *is_set).map(|&(_, name)| name).collect();
        let named = if named.is_empty() { "NEVER".to_owned() } else { named.join(",") };
        write!(f, " NOTIFY={named}")?;
    }
    if let Some(original) = &notices.original_recipient {
        write!(f, " ORCPT={}", original.escape_ascii())?;
    }
    Ok(())
}

struct Described<'a>(&'a RecipientState);

impl fmt::Display for Described<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            RecipientState::Pending { attempts, next_attempt, last_failure, delay_told } => {
                let told = if *delay_told { "; the sender was told" } else { "" };
                if *attempts == 0 {
                    return write!(f, "(to be delivered{told})");
                }
                write!(
                    f,
                    "(deferred {attempts} times, again at {}: {}{told})",
                    next_attempt.to_rfc3339(),
                    last_failure.escape_debug()
                )
            }
            RecipientState::Delivered => write!(f, "(delivered)"),
            RecipientState::Bounced => write!(f, "(bounced)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::WallTime;
    use crate::ids::MessageId;
    use crate::message::{Content, DeliverBy, Notify, Recipient};

    #[test]
    fn a_message_is_shown_with_what_its_client_asked_for() {
        let until = WallTime::from_unix_ms(1_795_492_893_000);
        let recipient = |notices: Option<Notices>| Recipient {
            address: b"bob@example.com".as_slice().into(),
            state: RecipientState::new(until),
            notices: notices.map(Box::new),
        };
        let never = Notices { notify: Some(Notify::default()), original_recipient: None };
        let some = Notices {
            notify: Some(Notify { success: true, failure: false, delay: true }),
            original_recipient: Some(b"rfc822;a\xff".as_slice().into()),
        };
        let mut message = Message {
            id: MessageId(7),
            received: until,
            sender: Box::default(),
            recipients: vec![recipient(None), recipient(Some(never)), recipient(Some(some))],
            content: Content { body_type: BodyType::Binary, ..Content::default() },
            wishes: Some(Box::new(Wishes {
                envelope_id: Some(b"QQ+2B".as_slice().into()),
                returned_content: Some(ReturnedContent::Headers),
                smtputf8: true,
                require_tls: true,
                priority: Some(-3),
                hold_until: Some(until),
                deliver_by: Some(DeliverBy { at: until, mode: DeliverByMode::Notify, trace: true }),
            })),
        };
        if let RecipientState::Pending { delay_told, .. } = &mut message.recipients[0].state {
            *delay_told = true;
        }
        let finding = Finding::Message { slot: 1, offset: 8, message: Box::new(message) };
        assert_eq!(
            finding.to_string(),
            "    1:8 message 0000000000000007 of 2026-11-24T04:01:33.000Z, 0 bytes in 0 pieces, \
             from <> BODY=BINARYMIME ENVID=QQ+2B RET=HDRS SMTPUTF8 REQUIRETLS MT-PRIORITY=-3 \
             HOLDUNTIL=2026-11-24T04:01:33.000Z BY=2026-11-24T04:01:33.000Z;NT \
             to <bob@example.com> (to be delivered; the sender was told) \
             to <bob@example.com> NOTIFY=NEVER (to be delivered) \
             to <bob@example.com> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a\\xff (to be delivered)"
        );
    }
}
