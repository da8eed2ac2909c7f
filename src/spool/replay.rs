//! The second reading of a log: the records of the groups that count, applied in order.
//!
//! # Guarantees
//! - A message is offered only if its record and every chunk of its content lie in groups that
//!   count, and once: of several records of one message the last counts whole.
//! - Recovering twice gives the same.
//!
//! # Never
//! It writes nothing, and takes nothing for content that is not in a group that counts.
//!
//! # Failures
//! What the disk lost is reported as [`Damage`], and the rest is recovered.
//!
//! # Bounds
//! The messages that are live at a point of the log are in memory, without their content.

use std::collections::BTreeMap;

use super::damage::Damage;
use super::footprint::Footprint;
use super::format::{
    CHUNK_HEADER_BYTES, GROUP_HEADER_BYTES, GroupHeader, RECORD_HEADER_BYTES, Record, RecordKind,
    Records,
};
use super::reader::{SegmentFiles, Window};
use super::record::{decode_message, decode_outcome};
use super::recover::{AcceptedRun, Decision, decide, next};
use super::survey::{RecoverError, SegmentScan, SlotState, Survey, survey};
use crate::ids::{Generation, GroupSequence, MessageId};
use crate::message::{Extent, Message, Outcome};

/// A segment file that holds nothing that is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FreeSlot {
    /// The file.
    pub slot: u32,
    /// Its length.
    pub length: u64,
    /// Its last use; 0 if it was never used.
    pub generation: Generation,
}

/// A segment that is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecoveredSegment {
    /// The file.
    pub slot: u32,
    /// Its length.
    pub length: u64,
    /// The use of it.
    pub generation: Generation,
    /// Whether any group was found in it. One without is no part of the log, but groups may be on
    /// their way to it still.
    pub has_groups: bool,
    /// Offset behind its last group.
    pub used_bytes: u64,
    /// Bytes of its groups without padding.
    pub record_bytes: u64,
    /// Messages that have something in it.
    pub live_messages: u64,
    /// Bytes of those.
    pub live_bytes: u64,
}

/// A log as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// The log's random number.
    pub log_id: u64,
    /// The messages that are not finished, by rising id, with the state of their recipients.
    pub messages: Vec<Message>,
    /// Where the records of each of them lie; parallel to `messages`.
    pub(super) footprints: Vec<Footprint>,
    /// The segments in use by rising generation.
    pub segments: Vec<RecoveredSegment>,
    /// The slots that may be overwritten.
    pub free: Vec<FreeSlot>,
    /// The slots that may not, though the log does not use them: what is in them is unknown.
    pub untouchable: Vec<u32>,
    /// Last group that counts.
    pub accepted_through: GroupSequence,
    /// Sequence for the next group.
    pub next_sequence: GroupSequence,
    /// Generation for the next segment.
    pub next_generation: Generation,
    /// Highest id of any message that the log mentions.
    pub highest_message: Option<MessageId>,
    /// Groups that a crash left incomplete or cut off.
    pub dropped_groups: u64,
    /// What the disk lost.
    pub damage: Vec<Damage>,
}

impl Recovered {
    /// A log that nothing was written to yet; `log_id` is its random number from now on.
    pub const fn empty(log_id: u64) -> Self {
        Self {
            log_id,
            messages: Vec::new(),
            footprints: Vec::new(),
            segments: Vec::new(),
            free: Vec::new(),
            untouchable: Vec::new(),
            accepted_through: GroupSequence(0),
            next_sequence: GroupSequence(1),
            next_generation: Generation(1),
            highest_message: None,
            dropped_groups: 0,
            damage: Vec::new(),
        }
    }

    /// The slot that holds `generation`, to read content by.
    pub fn slot_of(&self, generation: Generation) -> Option<u32> {
        let segments = &self.segments;
        let at = segments.binary_search_by_key(&generation, |segment| segment.generation).ok()?;
        segments.get(at).map(|segment| segment.slot)
    }
}

/// Recovers the log in `files`. A log that nothing was ever written to gets the id `new_log_id`, a
/// random number.
///
/// # Errors
/// Only if the directory cannot be listed or another version of the format wrote it; all else is
/// [`Recovered::damage`].
pub fn recover<F: SegmentFiles>(
    files: &F,
    new_log_id: u64,
) -> Result<Recovered, RecoverError<F::Error>> {
    let survey = survey(files)?;
    let decision = decide(&survey.facts);
    let mut replay = Replay::default();
    replay.run(files, &survey, &decision, &mut |_, _, _| {});
    Ok(replay.finish(&survey, &decision, new_log_id))
}

/// What a replay shows of each group that counts, for who wants to see it: the segment, the offset
/// in it, and a record with the offset of its payload, or the group's header.
pub(super) enum Seen<'a> {
    Group(&'a GroupHeader),
    Message(&'a Message),
    Outcome(&'a Outcome),
    Chunk(&'a Extent),
}

#[derive(Debug, Default)]
pub(super) struct Replay {
    live: BTreeMap<MessageId, (Message, Footprint)>,
    /// Stretches of segments that count, by rising generation and offset.
    accepted: Vec<(Generation, u64, u64)>,
    highest_message: Option<MessageId>,
    damage: Vec<Damage>,
}

impl Replay {
    pub(super) fn run<F: SegmentFiles>(
        &mut self,
        files: &F,
        survey: &Survey,
        decision: &Decision,
        visitor: &mut dyn FnMut(&SegmentScan, u64, Seen<'_>),
    ) {
        let mut window = Window::new(files);
        for run in &decision.accepted {
            if let Some(scan) = survey.segments.get(run.segment) {
                window.open(scan.slot);
                self.run_groups(&mut window, scan, run, visitor);
            }
        }
    }

    fn run_groups<F: SegmentFiles>(
        &mut self,
        window: &mut Window<'_, F>,
        scan: &SegmentScan,
        run: &AcceptedRun,
        visitor: &mut dyn FnMut(&SegmentScan, u64, Seen<'_>),
    ) {
        let mut at = run.start;
        while at < run.end {
            let header = window.bytes(at, GROUP_HEADER_BYTES);
            let Some(header) = header.ok().and_then(GroupHeader::decode) else {
                // It was there a moment ago: the disk is failing.
                self.lose(run.from, run.through);
                return;
            };
            let span_bytes = header.span_bytes();
            if header.sequence > run.through {
                return;
            }
            if header.sequence >= run.from {
                visitor(scan, at, Seen::Group(&header));
                match window.bytes(at, header.length as usize) {
                    Ok(bytes) => self.group(scan, at, bytes, &header, visitor),
                    Err(_) => self.lose(header.sequence, header.sequence),
                }
            }
            at += span_bytes;
        }
    }

    fn group(
        &mut self,
        scan: &SegmentScan,
        at: u64,
        bytes: &[u8],
        header: &GroupHeader,
        visitor: &mut dyn FnMut(&SegmentScan, u64, Seen<'_>),
    ) {
        let sound = Records::new(bytes, header).filter(|records| records.clone().are_sound());
        let Some(mut records) = sound else {
            self.lose(header.sequence, header.sequence);
            return;
        };
        match self.accepted.last_mut() {
            Some((generation, _, end)) if *generation == header.generation && *end == at => {
                *end += header.span_bytes();
            }
            Some(_) | None => {
                self.accepted.push((header.generation, at, at + header.span_bytes()));
            }
        }
        while let Ok(Some((payload_at, record))) = records.next_record() {
            let offset = at + payload_at as u64;
            if self.record(scan, offset, &record, visitor).is_none() {
                self.damage.push(Damage::Record { slot: scan.slot, offset });
            }
        }
    }

    /// Applies one record; `None` if it makes no sense.
    fn record(
        &mut self,
        scan: &SegmentScan,
        offset: u64,
        record: &Record<'_>,
        visitor: &mut dyn FnMut(&SegmentScan, u64, Seen<'_>),
    ) -> Option<()> {
        let bytes = record.span_bytes() as u64;
        match record.kind {
            RecordKind::Chunk => {
                let length = u32::try_from(record.payload.len()).ok()?;
                let extent = Extent { generation: record.generation, offset, length };
                visitor(scan, offset, Seen::Chunk(&extent));
            }
            RecordKind::Message => {
                let message = decode_message(record.payload)?;
                visitor(scan, offset, Seen::Message(&message));
                self.note_message(message.id);
                let mut footprint = Footprint::of_content(&message.content);
                footprint.add(record.generation, bytes);
                if message.is_finished() {
                    self.live.remove(&message.id);
                } else {
                    self.live.insert(message.id, (message, footprint));
                }
            }
            RecordKind::Outcome => {
                let outcome = decode_outcome(record.payload)?;
                visitor(scan, offset, Seen::Outcome(&outcome));
                self.note_message(outcome.message);
                self.apply(outcome, record.generation, bytes)?;
            }
        }
        Some(())
    }

    fn apply(&mut self, outcome: Outcome, generation: Generation, bytes: u64) -> Option<()> {
        let id = outcome.message;
        // The outcome of a message whose segment was recycled since is of no use any more.
        let Some((message, footprint)) = self.live.get_mut(&id) else { return Some(()) };
        footprint.add(generation, bytes);
        for (index, state) in outcome.recipients {
            message.recipients.get_mut(usize::try_from(index).ok()?)?.state = state;
        }
        if message.is_finished() {
            self.live.remove(&id);
        }
        Some(())
    }

    fn note_message(&mut self, id: MessageId) {
        self.highest_message = self.highest_message.max(Some(id));
    }

    fn lose(&mut self, from: GroupSequence, through: GroupSequence) {
        let presence = super::recover::Presence::Unreadable;
        self.damage.push(Damage::GroupsLost { from, through, presence });
    }

    fn counts(&self, extent: &Extent) -> bool {
        let Some(start) = extent.offset.checked_sub(CHUNK_HEADER_BYTES as u64) else {
            return false;
        };
        let behind = self.accepted.partition_point(|&(generation, from, _)| {
            (generation, from) <= (extent.generation, start)
        });
        let stretch = behind.checked_sub(1).and_then(|at| self.accepted.get(at));
        stretch.is_some_and(|&(generation, _, end)| {
            generation == extent.generation && start + span_of(extent) <= end
        })
    }

    /// Removes the messages that cannot be delivered whole.
    fn drop_incomplete(&mut self, log_start: Generation) {
        let mut gone = Vec::new();
        for (id, (message, _)) in &self.live {
            let content = &message.content;
            // Where the log has moved on past a part of a message, the message was finished or a
            // later record of it is what counts.
            if content.extents.iter().any(|extent| extent.generation < log_start) {
                gone.push((*id, false));
                continue;
            }
            let length_bytes: u64 = content.extents.iter().map(|e| u64::from(e.length)).sum();
            let whole = content.extents.iter().all(|extent| self.counts(extent));
            if !whole || length_bytes != content.length_bytes {
                gone.push((*id, true));
            }
        }
        for (message, is_damage) in gone {
            self.live.remove(&message);
            if is_damage {
                self.damage.push(Damage::Content { message });
            }
        }
    }

    pub(super) fn finish(
        mut self,
        survey: &Survey,
        decision: &Decision,
        new_log_id: u64,
    ) -> Recovered {
        self.drop_incomplete(survey.facts.log_start);
        let segments = self.segments(survey);
        let mut damage = damage_of(survey, decision);
        damage.append(&mut self.damage);
        let in_use = |slot: u32| segments.iter().any(|segment| segment.slot == slot);
        let (mut free, mut untouchable) = (Vec::new(), Vec::new());
        for slot in survey.slots.iter().filter(|slot| !in_use(slot.slot)) {
            let generation = match &slot.state {
                SlotState::Segment(header) => header.generation,
                SlotState::Blank | SlotState::Invalid => Generation(0),
                SlotState::Unreadable(_) | SlotState::Foreign(_) | SlotState::Twice(_) => {
                    untouchable.push(slot.slot);
                    continue;
                }
            };
            free.push(FreeSlot { slot: slot.slot, length: slot.length, generation });
        }
        let (messages, footprints) = self.live.into_values().unzip();
        let generation = survey.highest_generation.0;
        let highest_sequence = survey.highest_sequence.max(decision.accepted_through);
        Recovered {
            log_id: survey.log_id.unwrap_or(new_log_id),
            messages,
            footprints,
            segments,
            free,
            untouchable,
            accepted_through: decision.accepted_through,
            next_sequence: next(highest_sequence),
            next_generation: Generation(generation.saturating_add(1)),
            highest_message: self.highest_message,
            dropped_groups: decision.dropped,
            damage,
        }
    }

    fn segments(&self, survey: &Survey) -> Vec<RecoveredSegment> {
        let mut segments: Vec<_> = survey
            .segments
            .iter()
            .map(|scan| RecoveredSegment {
                slot: scan.slot,
                length: scan.length,
                generation: scan.facts.generation,
                has_groups: !scan.facts.runs.is_empty(),
                used_bytes: scan.used_bytes,
                record_bytes: scan.record_bytes,
                live_messages: 0,
                live_bytes: 0,
            })
            .collect();
        for (_, footprint) in self.live.values() {
            for (generation, bytes) in footprint.iter() {
                let at = segments.binary_search_by_key(&generation, |s| s.generation);
                if let Some(segment) = at.ok().and_then(|at| segments.get_mut(at)) {
                    segment.live_messages += 1;
                    segment.live_bytes += bytes;
                }
            }
        }
        segments
    }
}

/// Bytes of the chunk record that holds `extent`.
const fn span_of(extent: &Extent) -> u64 {
    RECORD_HEADER_BYTES as u64 + extent.length as u64
}

fn damage_of(survey: &Survey, decision: &Decision) -> Vec<Damage> {
    let mut damage = Vec::new();
    for facts in &survey.slots {
        let slot = facts.slot;
        match &facts.state {
            SlotState::Foreign(header) => {
                damage.push(Damage::ForeignSegment { slot, log_id: header.log_id });
            }
            SlotState::Twice(header) => {
                damage.push(Damage::SegmentTwice { slot, generation: header.generation });
            }
            SlotState::Segment(_)
            | SlotState::Blank
            | SlotState::Invalid
            | SlotState::Unreadable(_) => {}
        }
    }
    damage.extend(survey.unreadable.iter().map(|stretch| Damage::Unreadable {
        slot: stretch.slot,
        offset: stretch.offset,
        length: stretch.length,
        error: stretch.error.clone(),
    }));
    damage.extend(decision.start_missing.map(|generation| Damage::SegmentMissing { generation }));
    damage.extend(decision.lost.iter().map(|lost| Damage::GroupsLost {
        from: lost.from,
        through: lost.through,
        presence: lost.presence,
    }));
    damage
}
