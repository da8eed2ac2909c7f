//! The end of the log in memory: the group that is being filled, and images of what was written
//! lately.
//!
//! An image mirrors a stretch of a segment. Bytes are copied into it once; the disk write and the
//! relay's sends both take them from there.
//!
//! # Guarantees
//! A group lies in one image, a record in one group.
//!
//! # Bounds
//! Images of `cache_bytes` are kept; older ones live on only in the handles that were given out.

use std::collections::VecDeque;

use super::format::{
    CHUNK_HEADER_BYTES, GROUP_HEADER_BYTES, GroupHeader, RECORD_HEADER_BYTES, RecordKind,
    seal_record,
};
use crate::arena::{Image, SharedBytes};
use crate::ids::Generation;
use crate::limits::{BLOCK_BYTES, GROUP_BYTES_MAX, SPOOL_IMAGE_BYTES};
use crate::message::Extent;

/// A stretch of a segment and its image.
#[derive(Debug)]
struct Stretch {
    generation: Generation,
    /// Offset of the image's first byte in the segment.
    base: u64,
    image: Image,
}

/// The group that is being filled: `GROUP_HEADER_BYTES <= length <= capacity`.
#[derive(Debug)]
struct OpenGroup {
    length: usize,
    capacity: usize,
    record_count: u32,
    /// Somebody waits for it.
    is_awaited: bool,
    /// Start of the chunk record that is still growing.
    chunk_at: Option<usize>,
}

#[derive(Debug)]
pub(super) struct Tail {
    /// By rising generation and base.
    stretches: VecDeque<Stretch>,
    held_bytes: usize,
    cache_bytes: usize,
    /// Whether the last image goes on where the segment does.
    goes_on: bool,
    open: Option<OpenGroup>,
}

impl Tail {
    pub(super) const fn new(cache_bytes: usize) -> Self {
        let stretches = VecDeque::new();
        Self { stretches, held_bytes: 0, cache_bytes, goes_on: false, open: None }
    }

    /// Bytes that the open group still takes; `None` without one.
    pub(super) fn left_bytes(&self) -> Option<usize> {
        self.open.as_ref().map(|group| group.capacity - group.length)
    }

    /// Bytes of the open group, 0 without one.
    pub(super) fn open_bytes(&self) -> usize {
        self.open.as_ref().map_or(0, |group| group.length)
    }

    /// Whether a group is open that holds anything.
    pub(super) fn holds_records(&self) -> bool {
        self.open.as_ref().is_some_and(|group| group.length > GROUP_HEADER_BYTES)
    }

    pub(super) fn is_awaited(&self) -> bool {
        self.open.as_ref().is_some_and(|group| group.is_awaited)
    }

    pub(super) fn await_group(&mut self) {
        if let Some(group) = &mut self.open {
            group.is_awaited = true;
        }
    }

    /// Opens a group at `offset` of the segment of `generation`, of which `segment_left` bytes are
    /// left, with room for at least `span_bytes`, all multiples of the block.
    pub(super) fn open_group(
        &mut self,
        generation: Generation,
        offset: u64,
        span_bytes: usize,
        segment_left: u64,
    ) {
        assert!(!self.holds_records(), "a group is opened after the one before it was sealed");
        let image_left = match self.stretches.back() {
            Some(stretch) if self.goes_on && stretch.generation == generation => {
                let at = stretch.base + stretch.image.frozen() as u64;
                assert_eq!(at, offset, "the image goes on where the segment does");
                stretch.image.capacity() - stretch.image.frozen()
            }
            Some(_) | None => 0,
        };
        let image_left = if image_left < span_bytes {
            self.add_image(generation, offset, span_bytes, segment_left)
        } else {
            image_left
        };
        let capacity = image_left.min(span_bytes.max(GROUP_BYTES_MAX));
        self.open = Some(OpenGroup {
            length: GROUP_HEADER_BYTES,
            capacity,
            record_count: 0,
            is_awaited: false,
            chunk_at: None,
        });
    }

    fn add_image(
        &mut self,
        generation: Generation,
        base: u64,
        span_bytes: usize,
        segment_left: u64,
    ) -> usize {
        let segment_left = usize::try_from(segment_left).unwrap_or(usize::MAX);
        let capacity = span_bytes.max(SPOOL_IMAGE_BYTES).min(segment_left);
        assert!(capacity >= span_bytes, "the segment has room for the group");
        self.held_bytes += capacity;
        while self.held_bytes > self.cache_bytes
            && let Some(oldest) = self.stretches.pop_front()
        {
            self.held_bytes -= oldest.image.capacity();
        }
        self.stretches.push_back(Stretch { generation, base, image: Image::new(capacity) });
        self.goes_on = true;
        capacity
    }

    /// The free part of the image and the group that is open at its start.
    fn parts(&mut self) -> (&mut [u8], &mut OpenGroup) {
        match (self.stretches.back_mut(), &mut self.open) {
            (Some(stretch), Some(group)) => (stretch.image.free(), group),
            (Some(_) | None, _) => unreachable!("a group is open, and it lies in an image"),
        }
    }

    /// Appends a record whose payload `write` puts into the slice that it is given, and returns its
    /// length with its header.
    ///
    /// # Panics
    /// If no group with room for it is open, or a chunk is.
    pub(super) fn append_record(
        &mut self,
        kind: RecordKind,
        generation: Generation,
        payload_bytes: usize,
        write: impl FnOnce(&mut [u8]),
    ) -> u64 {
        let (free, group) = self.parts();
        assert!(group.chunk_at.is_none(), "records do not nest");
        let end = group.length + RECORD_HEADER_BYTES + payload_bytes;
        assert!(end <= group.capacity, "the group has room for the record");
        let record = &mut free[group.length..end];
        write(&mut record[RECORD_HEADER_BYTES..]);
        seal_record(record, kind, generation);
        group.length = end;
        group.record_count += 1;
        (RECORD_HEADER_BYTES + payload_bytes) as u64
    }

    /// Begins a chunk record, to which [`append_content`](Self::append_content) then adds.
    pub(super) fn begin_chunk(&mut self) {
        let (_, group) = self.parts();
        assert!(group.chunk_at.is_none(), "records do not nest");
        assert!(group.length + CHUNK_HEADER_BYTES <= group.capacity, "the group has room");
        group.chunk_at = Some(group.length);
        group.length += CHUNK_HEADER_BYTES;
    }

    /// Copies as much of `bytes` as the group takes into the open chunk, and returns how much.
    pub(super) fn append_content(&mut self, bytes: &[u8]) -> usize {
        let (free, group) = self.parts();
        assert!(group.chunk_at.is_some(), "content goes into a chunk");
        let length = bytes.len().min(group.capacity - group.length);
        free[group.length..group.length + length].copy_from_slice(&bytes[..length]);
        group.length += length;
        length
    }

    /// Ends the open chunk and returns where its content lies; `None` if none is open.
    pub(super) fn end_chunk(&mut self) -> Option<Extent> {
        self.open.as_ref()?.chunk_at?;
        let stretch = self.stretches.back_mut()?;
        let group = self.open.as_mut()?;
        let at = group.chunk_at.take()?;
        let group_offset = stretch.base + stretch.image.frozen() as u64;
        let record = &mut stretch.image.free()[at..group.length];
        seal_record(record, RecordKind::Chunk, stretch.generation);
        group.record_count += 1;
        let length = group.length - at - CHUNK_HEADER_BYTES;
        Some(Extent {
            generation: stretch.generation,
            offset: group_offset + (at + CHUNK_HEADER_BYTES) as u64,
            length: u32::try_from(length).unwrap_or(u32::MAX),
        })
    }

    /// Seals the open group and returns its bytes, whole blocks, and the length without padding.
    /// `header` gives everything but the length and the number of records.
    ///
    /// # Panics
    /// If none is open, or a chunk still is.
    pub(super) fn seal(&mut self, header: GroupHeader) -> (SharedBytes, u64) {
        let (free, group) = self.parts();
        assert!(group.chunk_at.is_none(), "a chunk is ended before its group is sealed");
        let length = u32::try_from(group.length).unwrap_or(u32::MAX);
        let record_count = group.record_count;
        GroupHeader { length, record_count, ..header }.encode(free);
        self.open = None;
        let span_bytes = (length as usize).next_multiple_of(BLOCK_BYTES);
        match self.stretches.back_mut() {
            Some(stretch) => (stretch.image.freeze(span_bytes), u64::from(length)),
            None => unreachable!("a group lies in an image"),
        }
    }

    /// Gives up the open group, after `look` saw its bytes, and the image that it lies in.
    pub(super) fn abandon(&mut self, look: impl FnOnce(&[u8])) {
        if self.open.is_some() {
            let (free, group) = self.parts();
            // A chunk that is still growing has no header yet; it is the last record.
            look(&free[..group.chunk_at.unwrap_or(group.length)]);
        }
        self.open = None;
        self.goes_on = false;
    }

    /// Gives up the open group, which holds nothing.
    pub(super) fn drop_empty(&mut self) {
        assert!(!self.holds_records(), "a group with records is sealed");
        self.open = None;
    }

    /// The content of `extent`, if its image is still held.
    pub(super) fn cached(&self, extent: &Extent) -> Option<SharedBytes> {
        let key = (extent.generation, extent.offset);
        let behind = self.stretches.partition_point(|s| (s.generation, s.base) <= key);
        let stretch = self.stretches.get(behind.checked_sub(1)?)?;
        let start = usize::try_from(extent.offset - stretch.base).ok()?;
        let length = extent.length as usize;
        let held = stretch.generation == extent.generation
            && start.checked_add(length)? <= stretch.image.frozen();
        held.then(|| stretch.image.share(start, length))
    }
}
