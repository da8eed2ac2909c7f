//! How groups get to the disk and are acknowledged, and what happens when the disk fails.

use super::format::{GROUP_HEADER_BYTES, RECORD_HEADER_BYTES};
use super::format::{GroupHeader, Record, RecordKind, Records};
use super::record::message_of;
use super::recover::{next, previous};
use super::segments::{HeaderState, Privilege};
use super::waiting::WaitingOutcome;
use super::writer::{
    Effect, Flight, Group, Live, SegmentWrite, Spool, SpoolEvent, Target, WriteId,
};
use crate::arena::SharedBytes;
use crate::ids::{Generation, GroupSequence, MessageId};
use crate::limits::{BODY_PINNED_SEGMENTS_MAX, WRITE_FAILURES_MAX};

impl Spool {
    pub(super) fn is_header_durable(&self) -> bool {
        let current = self.segments.current();
        current.is_some_and(|segment| segment.header_state == HeaderState::Durable)
    }

    /// The header of the segment that the next group goes to.
    pub(super) fn poll_header_write(&mut self) -> Option<SegmentWrite> {
        let segment = match self.groups.get(self.submitted) {
            Some(group) => self.segments.get_mut(group.generation)?,
            None => self.segments.current_mut()?,
        };
        if segment.header_state != HeaderState::Unwritten {
            return None;
        }
        segment.header_state = HeaderState::Writing;
        let bytes = SharedBytes::from(&segment.header.encode()[..]);
        let (slot, generation) = (segment.slot, segment.generation());
        let id = self.take_off(slot, generation, Target::Header);
        Some(SegmentWrite { id, slot, offset: 0, bytes })
    }

    pub(super) fn take_off(
        &mut self,
        slot: u32,
        generation: Generation,
        target: Target,
    ) -> WriteId {
        let id = WriteId(self.next_write);
        self.next_write += 1;
        self.flights.push(Flight { id, slot, generation, target });
        id
    }

    /// When the log has come to rest, writes an empty group that tells that all before it are
    /// durable. Without it recovery could not tell a last group that the disk damaged from one that
    /// a crash tore.
    pub(super) fn record_durable(&mut self) {
        let is_recorded = self.recorded >= self.filled || self.durable < self.filled;
        if !is_recorded && self.is_idle() && self.make_room(0, Privilege::Reserve).is_ok() {
            self.tail.await_group();
        }
    }

    /// Seals the open group.
    pub(super) fn seal(&mut self) {
        self.end_chunk();
        let log_start = self.segments.log_start();
        let Some(segment) = self.segments.current_mut() else {
            unreachable!("a group is open, so a segment is")
        };
        let (generation, slot, offset) = (segment.generation(), segment.slot, segment.used_bytes);
        let log_start = log_start.unwrap_or(generation);
        let sequence = self.next_sequence;
        let durable_through = self.durable;
        if self.tail.holds_records() {
            self.filled = sequence;
        }
        let (bytes, record_bytes) = self.tail.seal(GroupHeader {
            length: 0,
            log_id: self.log_id,
            generation,
            sequence,
            durable_through,
            log_start,
            segment_first: segment.header.first,
            segment_cut: segment.header.cut,
            segment_after: segment.header.after,
            record_count: 0,
        });
        segment.used_bytes += bytes.len() as u64;
        segment.record_bytes += record_bytes;
        self.pending_bytes += bytes.len();
        self.next_sequence = next(sequence);
        let is_written = false;
        self.groups.push_back(Group {
            sequence,
            generation,
            slot,
            offset,
            bytes,
            log_start,
            durable_through,
            is_written,
        });
    }

    /// Acknowledges the groups up to the first that is not written.
    pub(super) fn settle(&mut self) {
        let before = self.durable;
        while let Some(group) = self.groups.pop_front_if(|group| group.is_written) {
            self.submitted -= 1;
            self.pending_bytes -= group.bytes.len();
            self.durable = group.sequence;
            self.recorded = self.recorded.max(group.durable_through);
            self.segments.note_durable_log_start(group.log_start);
        }
        if self.durable == before {
            return;
        }
        self.failures_in_row = 0;
        let through = self.durable;
        match self.events.back_mut() {
            Some(SpoolEvent::Committed { through: last }) => *last = through,
            Some(SpoolEvent::Failed { .. } | SpoolEvent::Stopped) | None => {
                self.events.push_back(SpoolEvent::Committed { through });
            }
        }
    }

    /// What waited for the groups up to `through` takes effect. This comes when the driver learns
    /// of the commit, not before: until then it may read a moved message where it was.
    pub(super) fn take_effects(&mut self, through: GroupSequence) {
        while let Some((_, effect)) = self.effects.pop_front_if(|(group, _)| *group <= through) {
            self.take_effect(effect);
        }
        self.recycle();
    }

    fn take_effect(&mut self, effect: Effect) {
        match effect {
            Effect::Stored(_) => {}
            Effect::Moved { id, floor } => {
                if let Some(live) = self.live.get_mut(&id) {
                    live.offered = None;
                    let old = live.footprint.take_below(floor);
                    self.segments.release(&old);
                }
            }
            Effect::Finished(id) => self.finish(id),
        }
    }

    pub(super) fn finish(&mut self, id: MessageId) {
        if let Some(live) = self.live.remove(&id) {
            self.segments.release(&live.footprint);
        }
    }

    /// Frees what nothing lives in any more.
    pub(super) fn recycle(&mut self) {
        while self.recycle_oldest(0) {}
    }

    fn recycle_oldest(&mut self, written_off: u64) -> bool {
        let (groups, flights) = (&self.groups, &self.flights);
        let recycled = self.segments.recycle_oldest(written_off, |segment| {
            groups.front().is_some_and(|group| group.generation <= segment.generation())
                || flights.iter().any(|flight| flight.slot == segment.slot)
        });
        if recycled {
            self.relocation.look_again();
        }
        recycled
    }

    /// Without any space left to write outcomes to, and so none to come, frees the oldest segment
    /// if everything that lives in it is finished by outcomes that wait in memory. With the segment
    /// the messages are gone from the disk for good, and need no outcome. A crash before the other
    /// outcomes are written makes recipients be delivered to twice, as any does that comes between
    /// a delivery and the commit of its outcome.
    pub(super) fn recycle_for_outcomes(&mut self) {
        // The bounces that go with the outcomes must be durable.
        if !self.groups.is_empty() || !self.flights.is_empty() {
            return;
        }
        let Some(oldest) = self.segments.oldest_filled() else { return };
        let lives_there = |live: &Live| live.footprint.covers(oldest);
        let finished = self.waiting.finished();
        let finished = finished.filter(|id| self.live.get(id).is_some_and(lives_there)).count();
        if finished > 0 {
            self.recycle_oldest(finished as u64);
            self.recycle();
        }
    }

    /// Writes what waits for a segment.
    pub(super) fn pump(&mut self) {
        if self.is_stopped {
            return;
        }
        let cut_is_due = self.failures_in_row > 0 && self.cut.is_some();
        if cut_is_due && self.make_room(0, Privilege::Reserve).is_ok() {
            // At once, even if it stays empty, so that what was refused is void as soon as can be,
            // and the disk is tried.
            self.tail.await_group();
        }
        while let Some(payload_bytes) = self.waiting.front_bytes() {
            let bytes = RECORD_HEADER_BYTES + payload_bytes;
            if self.make_room(bytes, Privilege::Reserve).is_err() {
                break;
            }
            let Some(outcome) = self.waiting.pop_front() else { break };
            self.append_outcome_record(outcome.message, payload_bytes, |payload| {
                payload.copy_from_slice(&outcome.payload);
            });
            if outcome.finishes {
                let effect = Effect::Finished(outcome.message);
                self.effects.push_back((self.next_sequence, effect));
            }
        }
    }
}

/// Failure.
impl Spool {
    /// Gives up everything that is not durable, because a write to the segment of `generation`
    /// failed.
    pub(super) fn fail(&mut self, generation: Generation) {
        if let Some(segment) = self.segments.get_mut(generation) {
            segment.poisoned = true;
        }
        let from = next(self.durable).max(self.first_pending());
        let holds_records = self.tail.holds_records() || self.chunk_owner.is_some();
        let to = if holds_records { self.next_sequence } else { previous(self.next_sequence) };
        let lost = self.take_lost_outcomes();
        self.segments.abandon_unwritten();
        self.groups.clear();
        self.submitted = 0;
        self.pending_bytes = 0;
        for flight in &mut self.flights {
            flight.target = Target::Abandoned;
        }
        self.waiting.push_front(lost);
        self.undo_effects();
        self.bodies.fail(|body| body.last_group >= from);
        self.next_sequence = next(to);
        // What is void is everything behind the last durable group, reported here or earlier.
        self.cut = Some(next(self.durable));
        if from <= to {
            self.events.push_back(SpoolEvent::Failed { from, to });
        }
        self.failures_in_row += 1;
        if self.failures_in_row >= WRITE_FAILURES_MAX {
            self.is_stopped = true;
            self.events.push_back(SpoolEvent::Stopped);
        }
    }

    /// The first group that is neither durable nor reported failed.
    fn first_pending(&self) -> GroupSequence {
        self.groups.front().map_or(self.next_sequence, |group| group.sequence)
    }

    /// The outcome records of the groups that are given up, in log order. Gives up the open group.
    fn take_lost_outcomes(&mut self) -> Vec<WaitingOutcome> {
        let mut lost = Vec::new();
        for group in &self.groups {
            let header = GroupHeader::decode(&group.bytes);
            let records = header.and_then(|header| Records::new(&group.bytes, &header));
            let Some(mut records) = records else {
                unreachable!("a group in memory is as it was sealed")
            };
            while let Ok(Some((_, record))) = records.next_record() {
                lost.extend(lost_outcome(&record));
            }
        }
        if let Some(owner) = self.chunk_owner.take()
            && let Some(body) = self.bodies.get_mut(owner)
        {
            body.last_group = self.next_sequence;
        }
        self.tail.abandon(|group| {
            let mut rest = group.get(GROUP_HEADER_BYTES..).unwrap_or_default();
            while let Some(record) = Record::decode(rest) {
                lost.extend(lost_outcome(&record));
                rest = rest.get(record.span_bytes()..).unwrap_or_default();
            }
        });
        lost
    }

    fn undo_effects(&mut self) {
        for (group, effect) in std::mem::take(&mut self.effects) {
            if group <= self.durable {
                // Committed, though the driver has not learned of it yet.
                self.effects.push_back((group, effect));
                continue;
            }
            match effect {
                Effect::Stored(id) => self.finish(id),
                // The old copy goes on to count. The new one keeps its segment as long as the
                // message lives, which is harmless.
                Effect::Moved { id, .. } => {
                    if let Some(live) = self.live.get_mut(&id) {
                        live.offered = None;
                    }
                }
                Effect::Finished(id) => {
                    if !self.waiting.finish(id) {
                        // Its last outcome was durable before.
                        self.finish(id);
                    }
                }
            }
        }
    }

    /// Refuses contents that have been coming in for so long that the log has moved far beyond
    /// their beginning, or that hold up the only space there is.
    pub(super) fn evict_slow_bodies(&mut self) {
        let Some(oldest) = self.segments.oldest_filled() else { return };
        let held_by_bodies = self.bodies.count_in(oldest);
        let holds_up = held_by_bodies > 0 && self.segments.live_in(oldest) == held_by_bodies;
        let in_use = self.segments.in_use_count() as u64;
        let is_far = in_use > self.segments.sparse_from() + BODY_PINNED_SEGMENTS_MAX;
        if !holds_up || !(is_far || self.segments.is_starving()) {
            return;
        }
        self.end_chunk();
        for footprint in self.bodies.evict(oldest) {
            self.segments.release(&footprint);
        }
        self.recycle();
    }
}

fn lost_outcome(record: &Record<'_>) -> Option<WaitingOutcome> {
    match record.kind {
        RecordKind::Outcome => Some(WaitingOutcome {
            message: message_of(record.payload)?,
            payload: record.payload.into(),
            finishes: false,
        }),
        RecordKind::Chunk | RecordKind::Message => None,
    }
}
