//! Which messages are moved so that the log stays short.
//!
//! Segments are freed from the oldest on, so one message that is deferred for days would keep every
//! segment behind it. When the segments in use are more than twice what the live messages would
//! fill, those in the oldest are moved to the log's end.
//!
//! # Bounds
//! The plan holds the ids of one segment's live messages. It is made when a segment was taken into
//! use or freed, or time has passed, not at each poll.

use std::collections::BTreeMap;

use super::segments::SegmentTable;
use super::writer::Live;
use crate::ids::{Generation, MessageId};
use crate::limits::{BLOCK_BYTES, RELOCATION_RETRY_TICKS};

#[derive(Debug, Default)]
pub(super) struct Relocation {
    /// To be moved, the next one last.
    planned: Vec<MessageId>,
    oldest: Generation,
    is_due: bool,
    /// How often time has passed.
    tick: u32,
    /// What the copies of the messages that were offered, and not moved yet, will take.
    promised_bytes: u64,
}

impl Relocation {
    /// Something has changed by which a plan may become necessary.
    pub(super) const fn look_again(&mut self) {
        self.is_due = true;
    }

    pub(super) const fn is_due(&self) -> bool {
        self.is_due && self.planned.is_empty()
    }

    /// Some seconds have passed.
    pub(super) const fn tick(&mut self) {
        self.tick = self.tick.wrapping_add(1);
        self.is_due = true;
        self.promised_bytes = 0;
    }

    /// A copy was appended, or came to nothing.
    pub(super) const fn note_moved(&mut self, bytes: u64) {
        self.promised_bytes = self.promised_bytes.saturating_sub(bytes);
    }

    pub(super) fn plan(&mut self, segments: &SegmentTable, live: &BTreeMap<MessageId, Live>) {
        self.is_due = false;
        let Some(oldest) = segments.oldest().filter(|_| segments.is_sparse()) else { return };
        self.oldest = oldest;
        let movable = live.iter().rev().filter(|(_, live)| self.is_movable(live));
        self.planned = movable.map(|(&id, _)| id).collect();
    }

    /// The next message to be moved that still lives where it did, and for whose copy there is room
    /// beside the reserve.
    pub(super) fn pop(
        &mut self,
        segments: &mut SegmentTable,
        live: &mut BTreeMap<MessageId, Live>,
    ) -> Option<MessageId> {
        while let Some(id) = self.planned.pop() {
            let Some(live) = live.get_mut(&id).filter(|live| self.is_movable(live)) else {
                continue;
            };
            let bytes: u64 = live.footprint.iter().map(|(_, bytes)| bytes).sum();
            // Headers and padding take a small part of what is written.
            let span_bytes = bytes + bytes / 16 + 2 * BLOCK_BYTES as u64;
            if segments.has_room_beside_reserve(self.promised_bytes + span_bytes) {
                self.promised_bytes += span_bytes;
                live.offered = Some(self.tick);
                return Some(id);
            }
            // Planned anew when a segment is ready, freed or opened, or time has passed.
            self.planned.clear();
        }
        None
    }

    fn is_movable(&self, live: &Live) -> bool {
        let lives_there = live.footprint.oldest().is_some_and(|oldest| oldest <= self.oldest);
        // What is being moved is not moved once more; what was offered and came to nothing is.
        let is_moving =
            live.offered.is_some_and(|at| self.tick.wrapping_sub(at) < RELOCATION_RETRY_TICKS);
        lives_there && !live.is_finishing && !is_moving
    }
}
