//! The first reading of a log: which slots hold what, and which groups are there.
//!
//! Segments are read from the newest back, so that what their groups say of the log's start saves
//! reading the segments that are free. Within a segment the reading goes from group to group; where
//! a header is damaged it goes on block by block, because groups that were in flight together reach
//! the disk in any order.
//!
//! A killed process may have had writes on its way that land after the recovery of its successor,
//! and its own successor's too: headers of segments, and groups of the segments whose headers had
//! landed. So what a segment is, its groups tell; a header alone only tells that the log has moved
//! on from where it starts. And each segment names the one that it goes on from, so that what
//! landed between the two later is no part of the log.
//!
//! # Failures
//! What cannot be read is noted and passed over. Only a log that cannot be listed, or that another
//! version wrote, is refused.
//!
//! # Bounds
//! One [`Window`], and a few bytes for each run of groups.

use std::collections::BTreeMap;

use super::format::{GROUP_HEADER_BYTES, GroupHeader, Records, SegmentHeader, SegmentHeaderError};
use super::reader::{SegmentFiles, Window};
use super::recover::{GroupRun, LogFacts, Presence, SegmentFacts, next, previous};
use crate::ids::{Generation, GroupSequence};
use crate::limits::BLOCK_BYTES;

const BLOCK: u64 = BLOCK_BYTES as u64;

/// What block 0 of a slot is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SlotState {
    /// The header of a segment of this log.
    Segment(SegmentHeader),
    /// Prepared and never used.
    Blank,
    /// Bytes that are no header.
    Invalid,
    /// The disk refuses to read it.
    Unreadable(String),
    /// The header of a segment of another log.
    Foreign(SegmentHeader),
    /// The header of a segment that another slot holds too.
    Twice(SegmentHeader),
}

/// One slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SlotFacts {
    /// Which file.
    pub slot: u32,
    /// Length of the file; 0 if even that is unreadable.
    pub length: u64,
    /// What its first block is.
    pub state: SlotState,
}

/// A stretch that the disk refused to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UnreadableStretch {
    /// In which file.
    pub slot: u32,
    /// Where it begins.
    pub offset: u64,
    /// How long it is.
    pub length: u64,
    /// What the system said.
    pub error: String,
}

/// A segment that was read group by group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SegmentScan {
    /// Its file.
    pub slot: u32,
    /// Length of the file.
    pub length: u64,
    /// Whether its header was right; without it all is known from the groups.
    pub header_sound: bool,
    /// Offset behind its last group.
    pub used_bytes: u64,
    /// Bytes of its groups without the zeros behind the records.
    pub record_bytes: u64,
    /// For the decision.
    pub facts: SegmentFacts,
}

/// What the first reading found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Survey {
    /// The log's random number, if any segment tells it.
    pub log_id: Option<u64>,
    /// All slots in rising order.
    pub slots: Vec<SlotFacts>,
    /// The segments in use by rising generation: those of `facts.segments`, then any that have no
    /// group yet.
    pub segments: Vec<SegmentScan>,
    /// What the decision goes by.
    pub facts: LogFacts,
    /// Highest sequence that was seen anywhere.
    pub highest_sequence: GroupSequence,
    /// Highest generation that was seen anywhere.
    pub highest_generation: Generation,
    /// What could not be read.
    pub unreadable: Vec<UnreadableStretch>,
}

/// Why a log cannot be recovered at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecoverError<E> {
    /// The slots cannot be listed.
    #[error("the segments of the spool cannot be listed: {0}")]
    List(E),
    /// Another version of the format.
    #[error(
        "segment {slot} was written in version {version} of the spool format, this program knows \
         version {known}; start the program that wrote it and let it deliver what is in it",
        known = super::format::FORMAT_VERSION
    )]
    Version {
        /// The segment file.
        slot: u32,
        /// Its version.
        version: u32,
    },
}

/// Reads the log in `files`.
pub(super) fn survey<F: SegmentFiles>(files: &F) -> Result<Survey, RecoverError<F::Error>> {
    let mut window = Window::new(files);
    let mut survey = Survey::default();
    for slot in files.slots().map_err(RecoverError::List)? {
        let facts = survey.look_at(files, &mut window, slot)?;
        survey.slots.push(facts);
    }
    survey.settle_log_id(&mut window);
    let candidates = survey.candidates(&mut window);
    let (part, trailing) = part_of_log(candidates, |slot| survey.note_twice(slot));
    for candidate in &part {
        if candidate.generation >= survey.facts.log_start {
            survey.scan(&mut window, candidate);
        }
    }
    survey.order_segments(&trailing);
    Ok(survey)
}

/// A segment that a slot may hold, with what is known of it before it is read.
struct Candidate {
    slot: u32,
    length: u64,
    generation: Generation,
    first: GroupSequence,
    cut: GroupSequence,
    after: Generation,
    header_sound: bool,
    has_groups: bool,
}

/// Sorts out the segments that are part of the log, from the newest on, and those behind them that
/// have no group yet. `note_twice` is told the slots that hold a copy of another.
///
/// From the newest that has groups it goes back to the one that each names. One without groups is
/// part of the log only if it is named; one that is passed over is what a killed process had on its
/// way, and that landed after a recovery that did not see it.
fn part_of_log(
    mut candidates: Vec<Candidate>,
    mut note_twice: impl FnMut(u32),
) -> (Vec<Candidate>, Vec<Candidate>) {
    candidates.sort_by_key(|candidate| {
        (std::cmp::Reverse((candidate.generation, candidate.has_groups)), candidate.slot)
    });
    let (mut part, mut trailing): (Vec<Candidate>, Vec<Candidate>) = (Vec::new(), Vec::new());
    for candidate in candidates {
        let generation = candidate.generation;
        match part.last() {
            Some(newer) if newer.generation == generation && candidate.has_groups => {
                note_twice(candidate.slot);
            }
            Some(newer) => {
                let is_named = generation == newer.after;
                if is_named || (generation < newer.after && candidate.has_groups) {
                    part.push(candidate);
                }
            }
            None if candidate.has_groups => part.push(candidate),
            None => trailing.push(candidate),
        }
    }
    (part, trailing)
}

impl Survey {
    fn look_at<F: SegmentFiles>(
        &mut self,
        files: &F,
        window: &mut Window<'_, F>,
        slot: u32,
    ) -> Result<SlotFacts, RecoverError<F::Error>> {
        let length = match files.length(slot) {
            Ok(length) => length,
            Err(error) => {
                let state = SlotState::Unreadable(error.to_string());
                self.note_unreadable(slot, 0, &error);
                return Ok(SlotFacts { slot, length: 0, state });
            }
        };
        window.open(slot);
        let state = match window.bytes(0, BLOCK_BYTES) {
            Ok(bytes) => match bytes.first_chunk().map(SegmentHeader::decode) {
                Some(Ok(header)) => SlotState::Segment(header),
                Some(Err(SegmentHeaderError::Blank)) => SlotState::Blank,
                Some(Err(SegmentHeaderError::Invalid)) | None => SlotState::Invalid,
                Some(Err(SegmentHeaderError::Version(version))) => {
                    return Err(RecoverError::Version { slot, version });
                }
            },
            Err(error) => {
                self.note_unreadable(slot, 0, &error);
                SlotState::Unreadable(error.to_string())
            }
        };
        Ok(SlotFacts { slot, length, state })
    }

    fn note_twice(&mut self, slot: u32) {
        let slot = self.slots.iter_mut().find(|facts| facts.slot == slot);
        if let Some(facts) = slot
            && let SlotState::Segment(header) = facts.state
        {
            facts.state = SlotState::Twice(header);
        }
    }

    /// The log is the one that most segments belong to, and of two the one with the newest.
    fn settle_log_id<F: SegmentFiles>(&mut self, window: &mut Window<'_, F>) {
        let mut logs: BTreeMap<u64, (usize, Generation)> = BTreeMap::new();
        for slot in &self.slots {
            if let SlotState::Segment(header) = &slot.state {
                let (count, newest) = logs.entry(header.log_id).or_default();
                *count += 1;
                *newest = (*newest).max(header.generation);
            }
        }
        let most = logs.iter().max_by_key(|&(_, rank)| rank).map(|(&log_id, _)| log_id);
        self.log_id = most.or_else(|| self.log_id_of_groups(window));
        for slot in &mut self.slots {
            if let SlotState::Segment(header) = slot.state
                && Some(header.log_id) != self.log_id
            {
                slot.state = SlotState::Foreign(header);
            }
        }
    }

    /// Without any segment header the first group of a segment tells the log. Only that one is
    /// asked: elsewhere a block may be part of a message that was made to look like a group.
    fn log_id_of_groups<F: SegmentFiles>(&self, window: &mut Window<'_, F>) -> Option<u64> {
        let headers = self.slots.iter().filter_map(|slot| {
            window.open(slot.slot);
            let bytes = window.bytes(BLOCK, GROUP_HEADER_BYTES).ok()?;
            GroupHeader::decode(bytes)
        });
        headers.max_by_key(|header| header.generation).map(|header| header.log_id)
    }

    /// The segments that the slots may hold: what their groups say, and what their headers say if
    /// that is something else.
    ///
    /// What a segment is, its groups tell. A header without a group of its generation may have been
    /// on its way when a process was killed, and have landed anywhere since, even on the header of
    /// a segment that is in use. Only that the log starts where it says is true in any case.
    fn candidates<F: SegmentFiles>(&mut self, window: &mut Window<'_, F>) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        for facts in self.slots.clone() {
            let SlotFacts { slot, length, state } = facts;
            let header = match state {
                SlotState::Segment(header) => Some(header),
                SlotState::Invalid | SlotState::Unreadable(_) => None,
                SlotState::Blank | SlotState::Foreign(_) | SlotState::Twice(_) => continue,
            };
            let group = self.telling_group(window, slot, length, header.as_ref());
            let header_sound = header.map(|h| h.generation) == group.map(|g| g.generation);
            if let Some(header) = header {
                self.facts.log_start = self.facts.log_start.max(header.log_start);
                // Its groups may all be lost, and the next ones must not take their names.
                self.highest_sequence = self.highest_sequence.max(previous(header.first));
            }
            candidates.extend(header.filter(|_| !header_sound).map(|header| Candidate {
                slot,
                length,
                generation: header.generation,
                first: header.first,
                cut: header.cut,
                after: header.after,
                header_sound: true,
                has_groups: false,
            }));
            candidates.extend(group.map(|group| Candidate {
                slot,
                length,
                generation: group.generation,
                first: group.segment_first,
                cut: group.segment_cut,
                after: group.segment_after,
                header_sound,
                has_groups: true,
            }));
        }
        let highest = candidates.iter().map(|candidate| candidate.generation).max();
        self.highest_generation = highest.unwrap_or_default();
        candidates
    }

    /// A group that tells what the segment in a slot is: the first, if it is of the generation that
    /// the header says, else one of the highest generation in the slot.
    fn telling_group<F: SegmentFiles>(
        &self,
        window: &mut Window<'_, F>,
        slot: u32,
        length: u64,
        header: Option<&SegmentHeader>,
    ) -> Option<GroupHeader> {
        window.open(slot);
        let first = window.bytes(BLOCK, GROUP_HEADER_BYTES).ok().and_then(GroupHeader::decode);
        let as_said = first.filter(|group| {
            Some(group.log_id) == self.log_id
                && header.is_some_and(|header| header.generation == group.generation)
        });
        as_said.or_else(|| self.newest_group(window, slot, length))
    }

    /// Brings the segments into the order of the log, and drops those before its start.
    fn order_segments(&mut self, trailing: &[Candidate]) {
        // A newer segment may tell a later start of the log than was known when another was read.
        let log_start = self.facts.log_start;
        self.segments.retain(|scan| scan.facts.generation >= log_start);
        self.segments.reverse();
        self.facts.segments = self.segments.iter().map(|scan| scan.facts.clone()).collect();
        if trailing.iter().any(|candidate| candidate.generation == log_start) {
            // The log starts with a segment that nothing was written to yet.
            self.facts.log_start = Generation(0);
        }
        // Groups may be on their way to the segments behind the last that has any, so that those
        // are not taken for free.
        let mut behind: Vec<_> = trailing
            .iter()
            .filter(|candidate| self.segments.iter().all(|scan| scan.slot != candidate.slot))
            .map(SegmentScan::new)
            .collect();
        behind.reverse();
        behind.dedup_by_key(|scan| scan.facts.generation);
        self.segments.extend(behind);
    }

    /// The header of a group of the highest generation in a slot that does not tell its own.
    fn newest_group<F: SegmentFiles>(
        &self,
        window: &mut Window<'_, F>,
        slot: u32,
        length: u64,
    ) -> Option<GroupHeader> {
        window.open(slot);
        let mut newest: Option<GroupHeader> = None;
        let mut at = BLOCK;
        while at < length {
            let header = window.bytes(at, GROUP_HEADER_BYTES).ok().and_then(GroupHeader::decode);
            if let Some(header) = header
                && Some(header.log_id) == self.log_id
                && newest.is_none_or(|newest| header.generation > newest.generation)
            {
                newest = Some(header);
            }
            at += BLOCK;
        }
        newest
    }

    fn scan<F: SegmentFiles>(&mut self, window: &mut Window<'_, F>, candidate: &Candidate) {
        window.open(candidate.slot);
        let mut scan = SegmentScan::new(candidate);
        let mut expected = candidate.first;
        let mut at = BLOCK;
        while at < candidate.length {
            let header = match window.bytes(at, GROUP_HEADER_BYTES) {
                Ok(bytes) => GroupHeader::decode(bytes),
                Err(error) => {
                    self.note_unreadable(candidate.slot, at, &error);
                    if scan.facts.unreadable_after.last() != Some(&previous(expected)) {
                        scan.facts.unreadable_after.push(previous(expected));
                    }
                    at += BLOCK;
                    continue;
                }
            };
            let ours = header.filter(|header| {
                Some(header.log_id) == self.log_id
                    && header.generation == candidate.generation
                    && header.sequence >= expected
                    && header.span_bytes() <= candidate.length - at
            });
            let Some(header) = ours else {
                at += BLOCK;
                continue;
            };
            let presence = self.presence(window, candidate.slot, at, &header);
            scan.add(at, &header, presence);
            self.note_header(&header);
            expected = next(header.sequence);
            at += header.span_bytes();
        }
        self.segments.push(scan);
    }

    fn presence<F: SegmentFiles>(
        &mut self,
        window: &mut Window<'_, F>,
        slot: u32,
        at: u64,
        header: &GroupHeader,
    ) -> Presence {
        match window.bytes(at, header.length as usize) {
            Ok(bytes) if Records::new(bytes, header).is_some_and(Records::are_sound) => {
                Presence::Complete
            }
            Ok(_) => Presence::Broken,
            Err(error) => {
                self.note_unreadable(slot, at, &error);
                Presence::Unreadable
            }
        }
    }

    /// What a header says of the log is true whatever became of the rest of its group: it was true
    /// when the group was sealed.
    fn note_header(&mut self, header: &GroupHeader) {
        self.highest_sequence = self.highest_sequence.max(header.sequence);
        let facts = &mut self.facts;
        facts.durable_through = facts.durable_through.max(header.durable_through);
        facts.log_start = facts.log_start.max(header.log_start);
    }

    fn note_unreadable(&mut self, slot: u32, offset: u64, error: &dyn std::fmt::Display) {
        match self.unreadable.last_mut() {
            Some(last) if last.slot == slot && last.offset + last.length == offset => {
                last.length += BLOCK;
            }
            Some(_) | None => {
                let error = error.to_string();
                self.unreadable.push(UnreadableStretch { slot, offset, length: BLOCK, error });
            }
        }
    }
}

impl SegmentScan {
    const fn new(candidate: &Candidate) -> Self {
        Self {
            slot: candidate.slot,
            length: candidate.length,
            header_sound: candidate.header_sound,
            used_bytes: BLOCK,
            record_bytes: 0,
            facts: SegmentFacts {
                generation: candidate.generation,
                first: candidate.first,
                cut: candidate.cut,
                runs: Vec::new(),
                unreadable_after: Vec::new(),
            },
        }
    }

    fn add(&mut self, at: u64, header: &GroupHeader, presence: Presence) {
        self.used_bytes = at + header.span_bytes();
        self.record_bytes += u64::from(header.length);
        let (from, end) = (header.sequence, self.used_bytes);
        match self.facts.runs.last_mut() {
            Some(run)
                if (run.presence, presence) == (Presence::Complete, Presence::Complete)
                    && next(run.through) == from
                    && run.end == at =>
            {
                run.through = from;
                run.end = end;
            }
            Some(_) | None => {
                self.facts.runs.push(GroupRun { from, through: from, presence, start: at, end });
            }
        }
    }
}
