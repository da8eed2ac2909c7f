//! How contents, messages and outcomes get into the open group.
//!
//! # Guarantees
//! - A content is copied once, into the image that is written from.
//! - What does not fit in a group goes on in the next; a record never spans two.
//! - One chunk is open at a time. It is ended, and its checksum computed, when anything else is
//!   appended or its group is sealed; until then its content just grows.

use super::bodies::BodyId;
use super::footprint::Footprint;
use super::format::{CHUNK_HEADER_BYTES, GROUP_HEADER_BYTES, RECORD_HEADER_BYTES, RecordKind};
use super::record::{encode_message, message_bytes};
use super::segments::Privilege;
use super::writer::{AppendError, Spool};
use crate::ids::{Generation, GroupSequence, MessageId};
use crate::limits::{BLOCK_BYTES, CHUNK_BYTES_MIN, GROUP_CONTENT_BYTES_MAX, GROUP_SPAN_BYTES_MAX};
use crate::message::Message;

impl Spool {
    pub(super) fn append_content(
        &mut self,
        id: BodyId,
        privilege: Privilege,
        mut bytes: &[u8],
    ) -> Result<(), AppendError> {
        while !bytes.is_empty() {
            let goes_on = self.chunk_owner == Some(id)
                && self.tail.left_bytes().is_some_and(|left| left > 0)
                && self.may_append(privilege);
            if !goes_on {
                let least = bytes.len().min(CHUNK_BYTES_MIN);
                self.make_room(CHUNK_HEADER_BYTES + least, privilege)?;
                self.tail.begin_chunk();
                self.chunk_owner = Some(id);
            }
            let appended = self.tail.append_content(bytes);
            bytes = bytes.get(appended..).unwrap_or_default();
        }
        if self.tail.open_bytes() >= GROUP_CONTENT_BYTES_MAX {
            self.tail.await_group();
        }
        Ok(())
    }

    /// Appends the rest of a content and its message record; returns what keeps segments in use.
    pub(super) fn append_whole(
        &mut self,
        id: BodyId,
        message: &mut Message,
    ) -> Result<(GroupSequence, Footprint), AppendError> {
        let appended = self.append_rest(id, message);
        self.end_chunk_of(id);
        let body = self.bodies.remove(id).ok_or(AppendError::Failed)?;
        match appended {
            Ok(sequence) => Ok((sequence, body.footprint)),
            Err(error) => {
                self.segments.release(&body.footprint);
                self.recycle();
                Err(error)
            }
        }
    }

    fn append_rest(
        &mut self,
        id: BodyId,
        message: &mut Message,
    ) -> Result<GroupSequence, AppendError> {
        let body = self.bodies.get_mut(id).ok_or(AppendError::Failed)?;
        if let Some(error) = body.error {
            return Err(error);
        }
        let privilege = body.privilege;
        let collected = std::mem::take(&mut body.collected);
        self.append_content(id, privilege, &collected)?;
        self.end_chunk();
        let body = self.bodies.get_mut(id).ok_or(AppendError::Failed)?;
        let extent_count = body.extents.len();
        let payload_bytes = message_bytes(message, extent_count).ok_or(AppendError::Failed)?;
        self.make_room(RECORD_HEADER_BYTES + payload_bytes, privilege)?;
        let generation = self.current_generation();
        let body = self.bodies.get_mut(id).ok_or(AppendError::Failed)?;
        message.content.extents = std::mem::take(&mut body.extents);
        message.content.length_bytes = body.length_bytes;
        let bytes =
            self.tail.append_record(RecordKind::Message, generation, payload_bytes, |payload| {
                encode_message(message, payload);
            });
        let is_first = body.footprint.add(generation, bytes);
        self.segments.add_live(generation, bytes, is_first);
        self.tail.await_group();
        Ok(self.next_sequence)
    }

    /// Appends an outcome record to the open group, which has room for it.
    pub(super) fn append_outcome_record(
        &mut self,
        id: MessageId,
        payload_bytes: usize,
        encode: impl FnOnce(&mut [u8]),
    ) {
        let generation = self.current_generation();
        let bytes = self.tail.append_record(RecordKind::Outcome, generation, payload_bytes, encode);
        if let Some(live) = self.live.get_mut(&id) {
            let is_first = live.footprint.add(generation, bytes);
            live.last_outcome = self.next_sequence;
            self.segments.add_live(generation, bytes, is_first);
        }
        self.tail.await_group();
    }

    fn may_append(&self, privilege: Privilege) -> bool {
        match privilege {
            Privilege::Reserve => true,
            Privilege::Mail => self.segments.mail_may_append(),
        }
    }

    /// Sees to it that a group is open that takes `bytes` more, with no chunk open in it.
    pub(super) fn make_room(
        &mut self,
        bytes: usize,
        privilege: Privilege,
    ) -> Result<(), AppendError> {
        if self.is_stopped {
            return Err(AppendError::Failed);
        }
        self.end_chunk();
        if self.segments.current().is_some() && !self.may_append(privilege) {
            return Err(AppendError::Full);
        }
        match self.tail.left_bytes() {
            Some(left) if bytes <= left => return Ok(()),
            Some(_) if self.tail.holds_records() => self.seal(),
            Some(_) => self.tail.drop_empty(),
            None => {}
        }
        let span_bytes = (GROUP_HEADER_BYTES + bytes).next_multiple_of(BLOCK_BYTES);
        let span = span_bytes as u64;
        let is_too_large = span_bytes > GROUP_SPAN_BYTES_MAX
            || span > self.options.segment_bytes - BLOCK_BYTES as u64;
        if is_too_large {
            return Err(AppendError::Failed);
        }
        if self.segments.current_left_bytes() < span {
            self.open_segment(privilege)?;
        }
        let left_bytes = self.segments.current_left_bytes();
        if let Some(segment) = self.segments.current() {
            let (generation, offset) = (segment.generation(), segment.used_bytes);
            self.tail.open_group(generation, offset, span_bytes, left_bytes);
        }
        Ok(())
    }

    pub(super) fn open_segment(&mut self, privilege: Privilege) -> Result<(), AppendError> {
        assert!(!self.tail.holds_records(), "a group is sealed before its segment is left");
        if !self.segments.can_open(privilege) {
            return Err(AppendError::Full);
        }
        let cut = self.cut.take().unwrap_or(self.next_sequence);
        let opened = self.segments.open(privilege, self.next_sequence, cut);
        assert!(opened.is_some(), "a segment can be opened, as was just asked");
        self.relocation.look_again();
        self.recycle();
        Ok(())
    }

    pub(super) fn end_chunk_of(&mut self, id: BodyId) {
        if self.chunk_owner == Some(id) {
            self.end_chunk();
        }
    }

    pub(super) fn end_chunk(&mut self) {
        let Some(owner) = self.chunk_owner.take() else { return };
        let Some(extent) = self.tail.end_chunk() else { return };
        if let Some(body) = self.bodies.get_mut(owner) {
            body.extents.push(extent);
            body.length_bytes += u64::from(extent.length);
            body.last_group = self.next_sequence;
            let bytes = CHUNK_HEADER_BYTES as u64 + u64::from(extent.length);
            let is_first = body.footprint.add(extent.generation, bytes);
            self.segments.add_live(extent.generation, bytes, is_first);
        }
    }

    fn current_generation(&self) -> Generation {
        match self.segments.current() {
            Some(segment) => segment.generation(),
            None => unreachable!("a group is open, so a segment is"),
        }
    }
}
