//! What a log can be asked.

use super::format::CHUNK_HEADER_BYTES;
use super::segments::Privilege;
use super::writer::{Room, Spool};
use crate::arena::SharedBytes;
use crate::limits::{GROUP_BYTES_MAX, PENDING_BYTES_MAX};
use crate::message::Extent;

impl Spool {
    /// Whether more mail may be taken.
    pub fn room(&self) -> Room {
        if self.is_stopped {
            return Room::Full;
        }
        let margin = (PENDING_BYTES_MAX + GROUP_BYTES_MAX) as u64;
        let margin = margin.min(self.options.segment_bytes / 4);
        let has_space =
            self.segments.mail_left_bytes() >= margin || self.segments.can_open(Privilege::Mail);
        if !has_space && self.segments.is_space_short() {
            Room::Full
        } else if !has_space || self.pending_bytes() > PENDING_BYTES_MAX {
            Room::Busy
        } else {
            Room::Ready
        }
    }

    /// Bytes of the log that are not durable yet.
    pub fn pending_bytes(&self) -> usize {
        self.pending_bytes + self.tail.open_bytes()
    }

    /// Whether nothing that somebody waits for is left to be written.
    ///
    /// A log that is stopped is idle as soon as no write is on its way.
    pub fn is_idle(&self) -> bool {
        let has_work =
            !self.groups.is_empty() || !self.waiting.is_empty() || self.tail.is_awaited();
        self.flights.is_empty() && (self.is_stopped || !has_work)
    }

    /// Bytes of outcomes that wait in memory for a segment to be written to.
    pub const fn waiting_bytes(&self) -> usize {
        self.waiting.bytes()
    }

    /// Number of segments in use.
    pub fn segments_in_use(&self) -> usize {
        self.segments.in_use_count()
    }

    /// Number of messages that are not finished, or whose end is not durable yet.
    pub fn live_messages(&self) -> usize {
        self.live.len()
    }

    /// Where to read the chunk that holds `extent`: the slot, the offset of the chunk in its file,
    /// and the chunk's length. What is read there is for
    /// [`verify_chunk`](super::format::verify_chunk).
    pub fn locate(&self, extent: &Extent) -> Option<(u32, u64, usize)> {
        let segment = self.segments.get(extent.generation)?;
        let offset = extent.offset.checked_sub(CHUNK_HEADER_BYTES as u64)?;
        Some((segment.slot, offset, CHUNK_HEADER_BYTES + extent.length as usize))
    }

    /// The content of `extent`, if it is still in memory.
    pub fn cached(&self, extent: &Extent) -> Option<SharedBytes> {
        self.tail.cached(extent)
    }
}

impl Spool {
    /// Compares what is counted with what is there. It looks at everything, so it is for tests.
    ///
    /// # Panics
    /// If they differ.
    pub fn check(&self) {
        let live = self.live.values().map(|live| &live.footprint);
        let footprints: Vec<_> = live.chain(self.bodies.footprints()).collect();
        for generation in self.segments.generations() {
            let there = footprints.iter().filter(|footprint| footprint.covers(generation)).count();
            let counted = self.segments.live_in(generation);
            assert_eq!(counted, there as u64, "what lives in generation {}", generation.0);
        }
        let sealed: usize = self.groups.iter().map(|group| group.bytes.len()).sum();
        assert_eq!(self.pending_bytes, sealed, "bytes that are not durable");
        assert!(self.submitted <= self.groups.len(), "what is written was sealed");
        let first = self.groups.front().map_or(self.next_sequence, |group| group.sequence);
        assert_eq!(first.0 + self.groups.len() as u64, self.next_sequence.0, "groups follow");
    }
}
