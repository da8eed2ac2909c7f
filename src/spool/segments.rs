//! The segment files of one log: which are in use, what lives in them, which are free.
//!
//! # Guarantees
//! - Only the oldest segment in use is recycled, and only when nothing lives in it: so the outcome
//!   of a message always outlives its record.
//! - The newest is never recycled, so that after a restart a late write of the process before
//!   cannot hit a segment that is being written again.
//! - [`SEGMENTS_RESERVED`] free segments are left to outcomes and to what the server itself writes.
//!
//! # Bounds
//! At most `segment_count_max` files.

use std::collections::{BTreeSet, VecDeque};

use super::footprint::Footprint;
use super::format::SegmentHeader;
use super::replay::{FreeSlot, Recovered};
use crate::ids::{Generation, GroupSequence};
use crate::limits::{
    BLOCK_BYTES, SEGMENTS_FREE_MAX, SEGMENTS_RESERVED, SEGMENTS_SPARE, SEGMENTS_UNMOVED_MAX,
    SEGMENTS_WISHED_MAX,
};

/// Who wants to append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Privilege {
    /// Mail of clients.
    Mail,
    /// Outcomes, moved messages and bounces: they may use the reserve.
    Reserve,
}

/// How far the header of a segment has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeaderState {
    Unwritten,
    Writing,
    Durable,
    /// No part of the log: its groups were given up before it was known to be on disk, or recovery
    /// found it without any.
    Abandoned,
}

/// A segment in use.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) slot: u32,
    pub(super) header: SegmentHeader,
    pub(super) header_state: HeaderState,
    /// Offset behind the last group that was sealed.
    pub(super) used_bytes: u64,
    /// Bytes of the groups without padding.
    pub(super) record_bytes: u64,
    /// A write to it failed: the file is not used again.
    pub(super) poisoned: bool,
    live_messages: u64,
    live_bytes: u64,
}

impl Segment {
    pub(super) const fn generation(&self) -> Generation {
        self.header.generation
    }

    const fn left_bytes(&self) -> u64 {
        self.header.segment_bytes - self.used_bytes
    }

    /// Bytes that the live records take with their share of headers and padding.
    fn live_span_bytes(&self) -> u64 {
        let record_bytes = u128::from(self.record_bytes.max(1));
        let span = u128::from(self.live_bytes) * u128::from(self.used_bytes) / record_bytes;
        u64::try_from(span).unwrap_or(u64::MAX).min(self.used_bytes)
    }
}

#[derive(Debug)]
pub(super) struct SegmentTable {
    log_id: u64,
    segment_bytes: u64,
    segment_count_max: usize,
    /// By rising generation.
    in_use: VecDeque<Segment>,
    /// Whether the newest in use is being written.
    current: bool,
    free: VecDeque<FreeSlot>,
    /// Slots that shall go: of another length, poisoned, or more than are kept free.
    doomed: VecDeque<FreeSlot>,
    /// All slots that have a file, or are about to.
    known: BTreeSet<u32>,
    creating: Option<u32>,
    next_slot: u32,
    /// No segment is asked for, because the last attempt to create one failed.
    no_space: bool,
    /// The last attempt to create a segment failed.
    has_failed: bool,
    /// Free segments that are asked for, because a message that shall be moved needs them.
    wished: usize,
    next_generation: Generation,
    /// The log's start as some durable header tells it.
    durable_log_start: Generation,
}

impl SegmentTable {
    pub(super) fn new(recovered: &Recovered, segment_bytes: u64, segment_count_max: usize) -> Self {
        let mut table = Self {
            log_id: recovered.log_id,
            segment_bytes,
            segment_count_max,
            in_use: VecDeque::new(),
            current: false,
            free: VecDeque::new(),
            doomed: VecDeque::new(),
            known: recovered.untouchable.iter().copied().collect(),
            creating: None,
            next_slot: 0,
            no_space: false,
            has_failed: false,
            wished: 0,
            next_generation: recovered.next_generation,
            durable_log_start: Generation(0),
        };
        for segment in &recovered.segments {
            table.known.insert(segment.slot);
            let header = SegmentHeader {
                log_id: recovered.log_id,
                generation: segment.generation,
                first: GroupSequence(0),
                cut: GroupSequence(0),
                after: Generation(0),
                log_start: Generation(0),
                segment_bytes: segment.length,
            };
            table.in_use.push_back(Segment {
                slot: segment.slot,
                header,
                header_state: if segment.has_groups {
                    HeaderState::Durable
                } else {
                    HeaderState::Abandoned
                },
                used_bytes: segment.used_bytes,
                record_bytes: segment.record_bytes,
                poisoned: false,
                live_messages: segment.live_messages,
                live_bytes: segment.live_bytes,
            });
        }
        for slot in &recovered.free {
            table.known.insert(slot.slot);
            table.release_slot(*slot);
        }
        // What recovery calls free lies before the start of the log as headers on disk tell it.
        let oldest = table.in_use.front().map(Segment::generation);
        table.durable_log_start = oldest.unwrap_or(table.next_generation);
        table.next_slot = table.known.last().map_or(0, |&slot| slot.saturating_add(1));
        table
    }

    // Use.

    /// Takes a free slot into use; its header is still to be written. `None` if there is none for
    /// who asks.
    pub(super) fn open(
        &mut self,
        privilege: Privilege,
        first: GroupSequence,
        cut: GroupSequence,
    ) -> Option<&Segment> {
        if !self.can_open(privilege) {
            return None;
        }
        let slot = self.free.pop_front()?;
        let generation = self.next_generation;
        self.next_generation = Generation(generation.0.saturating_add(1));
        let header = SegmentHeader {
            log_id: self.log_id,
            generation,
            first,
            cut,
            after: self.newest_kept(),
            log_start: self.log_start().unwrap_or(generation),
            segment_bytes: self.segment_bytes,
        };
        self.current = true;
        self.in_use.push_back(Segment {
            slot: slot.slot,
            header,
            header_state: HeaderState::Unwritten,
            used_bytes: BLOCK_BYTES as u64,
            record_bytes: 0,
            poisoned: false,
            live_messages: 0,
            live_bytes: 0,
        });
        self.in_use.back()
    }

    pub(super) fn current(&self) -> Option<&Segment> {
        self.in_use.back().filter(|_| self.current)
    }

    pub(super) fn current_mut(&mut self) -> Option<&mut Segment> {
        self.in_use.back_mut().filter(|_| self.current)
    }

    pub(super) fn get(&self, generation: Generation) -> Option<&Segment> {
        let at = self.in_use.binary_search_by_key(&generation, Segment::generation).ok()?;
        self.in_use.get(at)
    }

    pub(super) fn get_mut(&mut self, generation: Generation) -> Option<&mut Segment> {
        let at = self.in_use.binary_search_by_key(&generation, Segment::generation).ok()?;
        self.in_use.get_mut(at)
    }

    /// Oldest segment that recovery must find. A segment is on disk before anything that was
    /// appended later, unless it was given up.
    pub(super) fn log_start(&self) -> Option<Generation> {
        let kept = |segment: &&Segment| segment.header_state != HeaderState::Abandoned;
        self.in_use.iter().find(kept).map(Segment::generation)
    }

    /// The segment that the next goes on from; 0 if there is none.
    fn newest_kept(&self) -> Generation {
        let kept = |segment: &&Segment| segment.header_state != HeaderState::Abandoned;
        self.in_use.iter().rev().find(kept).map_or(Generation(0), Segment::generation)
    }

    /// Gives up the segments that are not certainly on disk, and the current one.
    pub(super) fn abandon_unwritten(&mut self) {
        self.current = false;
        for segment in self.in_use.iter_mut().rev() {
            match segment.header_state {
                HeaderState::Durable => break,
                HeaderState::Unwritten | HeaderState::Writing | HeaderState::Abandoned => {
                    segment.header_state = HeaderState::Abandoned;
                }
            }
        }
    }

    pub(super) fn note_durable_log_start(&mut self, log_start: Generation) {
        self.durable_log_start = self.durable_log_start.max(log_start);
    }

    pub(super) fn oldest(&self) -> Option<Generation> {
        self.in_use.front().map(Segment::generation)
    }

    /// Oldest segment that nothing more is written to.
    pub(super) fn oldest_filled(&self) -> Option<Generation> {
        self.in_use.front().filter(|_| self.in_use.len() > 1).map(Segment::generation)
    }

    /// Messages and contents that have something in a segment.
    pub(super) fn live_in(&self, generation: Generation) -> u64 {
        self.get(generation).map_or(0, |segment| segment.live_messages)
    }

    pub(super) fn generations(&self) -> impl Iterator<Item = Generation> {
        self.in_use.iter().map(Segment::generation)
    }

    pub(super) fn in_use_count(&self) -> usize {
        self.in_use.len()
    }

    /// Frees the oldest segment if nothing needs it and `is_busy` knows no write to it that has not
    /// come back, and returns whether it did.
    /// Of what lives in it, `written_off` messages do not count.
    pub(super) fn recycle_oldest(
        &mut self,
        written_off: u64,
        is_busy: impl Fn(&Segment) -> bool,
    ) -> bool {
        let Some(oldest) = self.in_use.front() else { return false };
        if self.in_use.len() == 1 || oldest.live_messages > written_off || is_busy(oldest) {
            return false;
        }
        let slot = FreeSlot {
            slot: oldest.slot,
            length: oldest.header.segment_bytes,
            generation: oldest.generation(),
        };
        if oldest.poisoned {
            self.doomed.push_back(slot);
        } else {
            self.release_slot(slot);
        }
        self.in_use.pop_front();
        true
    }

    fn release_slot(&mut self, slot: FreeSlot) {
        if slot.length == self.segment_bytes && self.free.len() < SEGMENTS_FREE_MAX.max(self.wished)
        {
            self.free.push_back(slot);
        } else {
            self.doomed.push_back(slot);
        }
    }

    // What lives where.

    /// Notes that `bytes` more of a message live in a segment, and whether they are its first.
    pub(super) fn add_live(&mut self, generation: Generation, bytes: u64, is_first: bool) {
        if let Some(segment) = self.get_mut(generation) {
            segment.live_bytes += bytes;
            segment.live_messages += u64::from(is_first);
        }
    }

    /// Counts a message once less, whose two copies in one segment are now counted as one.
    pub(super) fn merge_live(&mut self, generation: Generation) {
        if let Some(segment) = self.get_mut(generation) {
            segment.live_messages -= 1;
        }
    }

    pub(super) fn release(&mut self, footprint: &Footprint) {
        for (generation, bytes) in footprint.iter() {
            if let Some(segment) = self.get_mut(generation) {
                assert!(segment.live_messages > 0, "more was released than was added");
                segment.live_messages -= 1;
                segment.live_bytes = segment.live_bytes.saturating_sub(bytes);
            }
        }
    }

    /// Segments in use from which on live messages are moved together: twice what they would fill.
    pub(super) fn sparse_from(&self) -> u64 {
        let live_bytes: u64 = self.in_use.iter().map(Segment::live_span_bytes).sum();
        SEGMENTS_UNMOVED_MAX.max(2 * live_bytes / self.segment_bytes + 2)
    }

    pub(super) fn is_sparse(&self) -> bool {
        let in_use = self.in_use.len() as u64;
        in_use > SEGMENTS_UNMOVED_MAX && in_use > self.sparse_from()
    }

    // Space.

    pub(super) fn can_open(&self, privilege: Privilege) -> bool {
        match privilege {
            Privilege::Reserve => !self.free.is_empty(),
            Privilege::Mail if self.free.len() > SEGMENTS_RESERVED => true,
            // An empty log has no outcomes to keep a reserve for yet.
            Privilege::Mail => {
                self.in_use.is_empty() && !self.free.is_empty() && !self.is_space_short()
            }
        }
    }

    /// Whether mail may go to the current segment: the reserve must be there, or on its way.
    pub(super) fn mail_may_append(&self) -> bool {
        self.free.len() >= SEGMENTS_RESERVED || (self.in_use.len() == 1 && !self.is_space_short())
    }

    /// Bytes that mail may still put into the current segment.
    pub(super) fn mail_left_bytes(&self) -> u64 {
        let current = self.current().filter(|_| self.mail_may_append());
        current.map_or(0, Segment::left_bytes)
    }

    pub(super) fn current_left_bytes(&self) -> u64 {
        self.current().map_or(0, Segment::left_bytes)
    }

    /// Whether what the server itself writes may take `bytes` and leave the reserve alone. If not,
    /// more segments are asked for.
    pub(super) fn has_room_beside_reserve(&mut self, bytes: u64) -> bool {
        let segment_room = self.segment_bytes - 2 * BLOCK_BYTES as u64;
        let spare = self.free.len().saturating_sub(SEGMENTS_RESERVED) as u64;
        let has_room = bytes <= self.current_left_bytes() + spare * segment_room;
        self.wished = match usize::try_from(bytes.div_ceil(segment_room)) {
            Ok(needed) if !has_room => (SEGMENTS_RESERVED + needed).min(SEGMENTS_WISHED_MAX),
            Ok(_) | Err(_) => 0,
        };
        has_room
    }

    /// Whether no further segment can be had.
    pub(super) fn is_space_short(&self) -> bool {
        self.no_space || self.known.len() >= self.segment_count_max
    }

    /// Whether mail waits for a segment and the last attempt to get one failed.
    pub(super) fn is_starving(&self) -> bool {
        let is_short = self.has_failed || self.known.len() >= self.segment_count_max;
        is_short && !self.can_open(Privilege::Mail)
    }

    /// The slot that a segment shall be created in.
    pub(super) fn poll_wanted(&mut self) -> Option<u32> {
        let enough = self.free.len() >= SEGMENTS_SPARE.max(self.wished);
        if enough || self.creating.is_some() || self.is_space_short() {
            return None;
        }
        let slot = self.unused_slot()?;
        self.known.insert(slot);
        self.creating = Some(slot);
        Some(slot)
    }

    /// Slots are numbered on, and those of deleted files taken again only when the numbers have
    /// gone round: so a deletion and a creation that overtake each other do no harm.
    fn unused_slot(&mut self) -> Option<u32> {
        let bound = u32::try_from(self.segment_count_max).unwrap_or(u32::MAX);
        let next = self.next_slot;
        let unused = |slot: &u32| !self.known.contains(slot);
        let slot = (next..bound).chain(0..next.min(bound)).find(unused)?;
        self.next_slot = slot.saturating_add(1);
        Some(slot)
    }

    pub(super) fn segment_ready(&mut self, slot: u32) {
        assert!(self.creating == Some(slot), "a segment is ready that nobody asked for");
        self.creating = None;
        self.no_space = false;
        self.has_failed = false;
        self.free.push_back(FreeSlot {
            slot,
            length: self.segment_bytes,
            generation: Generation(0),
        });
    }

    pub(super) fn creation_failed(&mut self) {
        if let Some(slot) = self.creating.take() {
            self.known.remove(&slot);
        }
        self.no_space = true;
        self.has_failed = true;
    }

    pub(super) const fn retry_space(&mut self) {
        self.no_space = false;
    }

    /// A slot whose file shall be deleted. It is offered only once the disk tells that the log
    /// starts behind it, so that nobody misses it; and while no write to it is on its way.
    pub(super) fn poll_delete(&mut self, is_busy: impl Fn(u32) -> bool) -> Option<u32> {
        let ready =
            |slot: &FreeSlot| slot.generation < self.durable_log_start && !is_busy(slot.slot);
        let at = self.doomed.iter().position(ready)?;
        let slot = self.doomed.remove(at)?.slot;
        self.known.remove(&slot);
        Some(slot)
    }
}
