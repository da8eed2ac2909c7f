//! Reads segment files: one content at a time, or a whole log through a window of fixed size.
//!
//! # Guarantees
//! Content is handed out only if its checksum is right.
//!
//! # Never
//! It writes nothing.
//!
//! # Bounds
//! A [`Window`] holds [`GROUP_SPAN_BYTES_MAX`] bytes, the largest group.

use std::fmt;

use super::format::{CHUNK_HEADER_BYTES, verify_chunk};
use crate::ids::Generation;
use crate::limits::{GROUP_SPAN_BYTES_MAX, SPOOL_IMAGE_BYTES};
use crate::message::{Content, Extent};

/// The segment files of one shard, to be read at start and when another shard's log is adopted.
pub trait SegmentFiles {
    /// Why a file cannot be read.
    type Error: fmt::Display;

    /// The slots that have a file, in rising order.
    ///
    /// # Errors
    /// If they cannot be listed.
    fn slots(&self) -> Result<Vec<u32>, Self::Error>;

    /// Length of the file of `slot`.
    ///
    /// # Errors
    /// If it cannot be found out.
    fn length(&self, slot: u32) -> Result<u64, Self::Error>;

    /// Reads from `offset` of the file of `slot` and returns how many bytes were read; none only at
    /// its end.
    ///
    /// # Errors
    /// If any of these bytes cannot be read.
    fn read_at(&self, slot: u32, offset: u64, buffer: &mut [u8]) -> Result<usize, Self::Error>;
}

/// Why the content of a message cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    /// No segment that is in use has the generation.
    #[error("the content lies in a segment that is not there (generation {})", .0.0)]
    NoSegment(Generation),
    /// The disk refused.
    #[error("the content in segment {slot} cannot be read: {error}")]
    Unreadable {
        /// The segment file.
        slot: u32,
        /// What the system said.
        error: String,
    },
    /// The checksum is wrong.
    #[error("the content in segment {slot} at {offset} is damaged: its checksum does not match")]
    Damaged {
        /// The segment file.
        slot: u32,
        /// Offset of the content in it.
        offset: u64,
    },
}

/// Reads the bytes of `extent`, which lies in the file of `slot`, and appends them to `body`.
///
/// # Errors
/// [`ContentError::Unreadable`] and [`ContentError::Damaged`]; `body` is as it was then.
pub fn read_extent<F: SegmentFiles>(
    files: &F,
    slot: u32,
    extent: &Extent,
    body: &mut Vec<u8>,
) -> Result<(), ContentError> {
    let damaged = || ContentError::Damaged { slot, offset: extent.offset };
    let start = extent.offset.checked_sub(CHUNK_HEADER_BYTES as u64).ok_or_else(damaged)?;
    let mut chunk = vec![0; CHUNK_HEADER_BYTES + extent.length as usize];
    let read = read_whole(files, slot, start, &mut chunk)
        .map_err(|error| ContentError::Unreadable { slot, error: error.to_string() })?;
    let chunk = chunk.get(..read).ok_or_else(damaged)?;
    body.extend_from_slice(verify_chunk(chunk, extent).map_err(|_| damaged())?);
    Ok(())
}

/// Reads all of `content`; `slot_of` tells the slot of a generation.
///
/// It takes as much memory as the content is long; the relay sends extent by extent instead.
///
/// # Errors
/// What [`read_extent`] says, and [`ContentError::NoSegment`].
pub fn read_body<F: SegmentFiles>(
    files: &F,
    slot_of: impl Fn(Generation) -> Option<u32>,
    content: &Content,
) -> Result<Vec<u8>, ContentError> {
    let mut body = Vec::new();
    for extent in &content.extents {
        let slot = slot_of(extent.generation);
        let slot = slot.ok_or(ContentError::NoSegment(extent.generation))?;
        read_extent(files, slot, extent, &mut body)?;
    }
    Ok(body)
}

/// Fills `buffer`, or as much of it as the file has.
fn read_whole<F: SegmentFiles>(
    files: &F,
    slot: u32,
    offset: u64,
    buffer: &mut [u8],
) -> Result<usize, F::Error> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        let read = files.read_at(slot, offset + filled as u64, rest)?;
        if read == 0 {
            break;
        }
        filled += read;
    }
    Ok(filled)
}

/// A part of one segment file in memory, which moves as other parts are asked for.
pub(super) struct Window<'a, F> {
    files: &'a F,
    slot: u32,
    buffer: Vec<u8>,
    start: u64,
    filled: usize,
}

impl<'a, F: SegmentFiles> Window<'a, F> {
    pub(super) const fn new(files: &'a F) -> Self {
        Self { files, slot: 0, buffer: Vec::new(), start: 0, filled: 0 }
    }

    /// Turns to the file of `slot`.
    pub(super) const fn open(&mut self, slot: u32) {
        self.slot = slot;
        self.start = 0;
        self.filled = 0;
    }

    /// The bytes from `at` on: `length` of them, or fewer at the end of the file.
    ///
    /// # Errors
    /// What the disk said, if any of them cannot be read.
    ///
    /// # Panics
    /// If `length` is more than [`GROUP_SPAN_BYTES_MAX`].
    pub(super) fn bytes(&mut self, at: u64, length: usize) -> Result<&[u8], F::Error> {
        assert!(length <= GROUP_SPAN_BYTES_MAX, "a window is no larger than the largest group");
        if !self.holds(at, length) {
            // Much at a time; where that fails, no more than what is asked for, so that a block
            // that cannot be read hides nothing but itself.
            if self.fill(at, length.max(SPOOL_IMAGE_BYTES)).is_err() {
                self.fill(at, length)?;
            }
        }
        let from = usize::try_from(at - self.start).unwrap_or(usize::MAX);
        let held = self.buffer.get(..self.filled).and_then(|held| held.get(from..));
        let held = held.unwrap_or_default();
        Ok(held.get(..length).unwrap_or(held))
    }

    fn holds(&self, at: u64, length: usize) -> bool {
        self.start <= at && at + length as u64 <= self.start + self.filled as u64
    }

    fn fill(&mut self, at: u64, length: usize) -> Result<(), F::Error> {
        if self.buffer.is_empty() {
            self.buffer = vec![0; GROUP_SPAN_BYTES_MAX];
        }
        self.start = at;
        self.filled = 0;
        let buffer = self.buffer.get_mut(..length).unwrap_or_default();
        self.filled = read_whole(self.files, self.slot, at, buffer)?;
        Ok(())
    }
}

const _: () = assert!(SPOOL_IMAGE_BYTES <= GROUP_SPAN_BYTES_MAX, "the window has room to read on");
