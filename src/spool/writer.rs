//! The end of the log: takes contents, messages and outcomes, groups them into commits, and says
//! when they are durable.
//!
//! [`Spool`] is a machine without input and output: whoever drives it carries its writes to the
//! disk and tells it what became of them.
//!
//! 1. Commands: `begin_body`, `append_body`, `append_message`, `append_outcome` and so on.
//! 2. Inputs: `handle_segment_ready`, `handle_no_space`, `handle_written`, `retry_space`.
//! 3. Outputs, to be polled after any of these until each says `None`: `poll_event`,
//!    `poll_segment_wanted`, `poll_write`, `poll_delete`, `poll_relocation`.
//! 4. Questions: `room`, `locate`, `cached`, `is_idle`…
//!
//! **Commit.** What is appended joins the open group. A group is sealed when a write may begin, or
//! when it is full; no timer waits. So what comes while all writes allowed in flight are busy forms
//! the next group, and groups grow by themselves under load. A group of content alone, which nobody
//! waits for, is let grow.
//!
//! **Segments.** The header of a segment is written, and durable, before any group in it is
//! written. As a segment is taken into use again only when nothing lives in it, a crash during that
//! write harms nothing; and that the log has moved on from where the segment was in use before
//! stands on the disk before its groups are overwritten.
//!
//! **Failure.** When a write fails, every group that is not durable yet is given up, and the log
//! goes on in another segment, whose groups say so. Nothing is tried again on the same file.
//! Outcomes in those groups are appended again by the log itself.
//!
//! **Rest.** When the log has come to rest, an empty group tells that all before it are durable.
//!
//! # Guarantees
//! - [`SpoolEvent::Committed`] is reported only when the group and all before it are on stable
//!   storage, as far as the disk's word goes.
//! - A message whose append failed, or whose group failed, is never offered by recovery once
//!   anything later is durable.
//! - A segment is taken into use again only when the outcomes of all messages in it are durable.
//!
//! # Never
//! It believes a write that was tried again, reads a file, or waits.
//!
//! # Failures
//! [`AppendError::Full`] until there is space again; [`AppendError::Failed`] for what a failed
//! write took along. After [`WRITE_FAILURES_MAX`](crate::limits::WRITE_FAILURES_MAX) failures in a
//! row it is [`SpoolEvent::Stopped`].
//!
//! # Bounds
//! [`PENDING_BYTES_MAX`](crate::limits::PENDING_BYTES_MAX) of bytes that are not durable, past
//! which [`Spool::room`] asks to read no more; [`OUTCOMES_WAITING_BYTES_MAX`] of outcomes that wait
//! for a segment; the cache.

use std::collections::{BTreeMap, VecDeque};

use super::bodies::{Bodies, BodyId};
use super::footprint::Footprint;
use super::format::RECORD_HEADER_BYTES;
use super::record::{encode_outcome, outcome_bytes, outcome_fit};
use super::recover::next;
use super::relocation::Relocation;
use super::replay::Recovered;
use super::segments::{HeaderState, Privilege, SegmentTable};
use super::tail::Tail;
use super::waiting::Waiting;
use crate::arena::SharedBytes;
use crate::ids::{Generation, GroupSequence, MessageId};
use crate::limits::{
    BLOCK_BYTES, GROUPS_IN_FLIGHT_MAX, OUTCOME_RECORD_BYTES_MAX, OUTCOMES_WAITING_BYTES_MAX,
    SEGMENT_BYTES, SEGMENT_BYTES_MIN, SEGMENT_SLOT_COUNT_MAX, SHORT_GROUPS_IN_FLIGHT_MAX,
    SPOOL_CACHE_BYTES,
};
use crate::message::{Message, Outcome};

/// How a log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpoolOptions {
    /// Length of each segment file, a multiple of [`BLOCK_BYTES`].
    pub segment_bytes: u64,
    /// Most segment files there may be.
    pub segment_count_max: usize,
    /// Writes in flight at a time.
    pub groups_in_flight_max: usize,
    /// Writes in flight at a time while the group at hand has room: with as many it waits and
    /// grows, since each write costs the disk and the CPU about the same, however long it is.
    pub short_groups_in_flight_max: usize,
    /// Memory in which recent content is kept.
    pub cache_bytes: usize,
}

impl Default for SpoolOptions {
    fn default() -> Self {
        Self {
            segment_bytes: SEGMENT_BYTES,
            segment_count_max: SEGMENT_SLOT_COUNT_MAX,
            groups_in_flight_max: GROUPS_IN_FLIGHT_MAX,
            short_groups_in_flight_max: SHORT_GROUPS_IN_FLIGHT_MAX,
            cache_bytes: SPOOL_CACHE_BYTES,
        }
    }
}

/// Whether more mail may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// Yes.
    Ready,
    /// Not before some of what was appended is durable, or a segment is ready: read no clients.
    Busy,
    /// No: there is no space, or the log is stopped. New mail is refused with 452.
    Full,
}

/// Why something was not appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// There is no space for it (`452 4.3.1`).
    #[error("the spool has no space left")]
    Full,
    /// A write failed that held a part of it, it is larger than the log can hold, or the log is
    /// stopped (`451 4.3.0`).
    #[error("the spool could not store it")]
    Failed,
}

/// What became of groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpoolEvent {
    /// All groups up to `through` are durable, but for those that were reported failed before.
    Committed {
        /// The last of them.
        through: GroupSequence,
    },
    /// These groups are void: whoever waits for one is told 451.
    Failed {
        /// The first of them.
        from: GroupSequence,
        /// The last of them.
        to: GroupSequence,
    },
    /// Write after write failed. Nothing is taken any more until the server is started again.
    Stopped,
}

/// One write that was polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WriteId(pub(super) u64);

/// Bytes for the disk. They are on stable storage when the write is reported to have succeeded.
#[derive(Clone, Debug)]
pub struct SegmentWrite {
    /// To report it by.
    pub id: WriteId,
    /// The segment file.
    pub slot: u32,
    /// Where in it; a multiple of [`BLOCK_BYTES`].
    pub offset: u64,
    /// Whole blocks, aligned for direct writes.
    pub bytes: SharedBytes,
}

/// A sealed group that is not durable yet.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) sequence: GroupSequence,
    pub(super) generation: Generation,
    pub(super) slot: u32,
    pub(super) offset: u64,
    pub(super) bytes: SharedBytes,
    pub(super) log_start: Generation,
    pub(super) durable_through: GroupSequence,
    pub(super) is_written: bool,
}

/// A write on its way.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) id: WriteId,
    pub(super) slot: u32,
    pub(super) generation: Generation,
    pub(super) target: Target,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Header,
    Group(GroupSequence),
    /// The groups were given up meanwhile.
    Abandoned,
}

/// What takes effect when a group is durable.
#[derive(Clone, Copy, Debug)]
pub(super) enum Effect {
    Stored(MessageId),
    Moved { id: MessageId, floor: Generation },
    Finished(MessageId),
}

#[derive(Debug)]
pub(super) struct Live {
    pub(super) footprint: Footprint,
    pub(super) last_outcome: GroupSequence,
    pub(super) is_finishing: bool,
    /// When it was offered to be moved and has not been since.
    pub(super) offered: Option<u32>,
}

impl Live {
    const fn new(footprint: Footprint) -> Self {
        Self { footprint, last_outcome: GroupSequence(0), is_finishing: false, offered: None }
    }
}

/// The writing end of one shard's log; see the head of this module.
#[derive(Debug)]
pub struct Spool {
    pub(super) options: SpoolOptions,
    pub(super) log_id: u64,
    pub(super) segments: SegmentTable,
    pub(super) tail: Tail,
    pub(super) bodies: Bodies,
    /// The body whose chunk is open.
    pub(super) chunk_owner: Option<BodyId>,
    /// Sealed groups in log order; the first `submitted` of them are being written or are written.
    pub(super) groups: VecDeque<Group>,
    pub(super) submitted: usize,
    pub(super) flights: Vec<Flight>,
    pub(super) next_write: u64,
    /// Sequence of the open group, or of the next if none is.
    pub(super) next_sequence: GroupSequence,
    /// Last group that is durable.
    pub(super) durable: GroupSequence,
    /// Last group that holds records.
    pub(super) filled: GroupSequence,
    /// Last group of which the disk tells that it was durable.
    pub(super) recorded: GroupSequence,
    /// Where the next segment's header cuts the log off, after a failure or a restart.
    pub(super) cut: Option<GroupSequence>,
    pub(super) pending_bytes: usize,
    pub(super) live: BTreeMap<MessageId, Live>,
    pub(super) effects: VecDeque<(GroupSequence, Effect)>,
    pub(super) waiting: Waiting,
    pub(super) relocation: Relocation,
    pub(super) failures_in_row: u32,
    pub(super) is_stopped: bool,
    pub(super) events: VecDeque<SpoolEvent>,
}

/// Commands.
impl Spool {
    /// Goes on with a log as it was recovered, in a fresh segment.
    ///
    /// # Panics
    /// If the options make no sense: a segment that is no whole number of blocks or shorter than
    /// [`SEGMENT_BYTES_MIN`], or no write in flight.
    pub fn new(options: SpoolOptions, recovered: &Recovered) -> Self {
        let SpoolOptions { segment_bytes, segment_count_max, groups_in_flight_max, .. } = options;
        assert!(segment_bytes >= SEGMENT_BYTES_MIN, "a segment has room for a few groups");
        assert!(segment_bytes.is_multiple_of(BLOCK_BYTES as u64), "a segment is whole blocks");
        assert!(groups_in_flight_max > 0, "a log is written");
        assert!(options.short_groups_in_flight_max > 0, "a log is written without waiting");
        assert_eq!(
            recovered.messages.len(),
            recovered.footprints.len(),
            "what lives in the log is counted before anything is taken out of it"
        );
        let live = recovered.messages.iter().zip(&recovered.footprints);
        let live = live.map(|(message, footprint)| (message.id, Live::new(footprint.clone())));
        let mut spool = Self {
            options,
            log_id: recovered.log_id,
            segments: SegmentTable::new(recovered, segment_bytes, segment_count_max),
            tail: Tail::new(options.cache_bytes),
            bodies: Bodies::default(),
            chunk_owner: None,
            groups: VecDeque::new(),
            submitted: 0,
            flights: Vec::new(),
            next_write: 0,
            next_sequence: recovered.next_sequence,
            durable: recovered.accepted_through,
            filled: GroupSequence(0),
            recorded: GroupSequence(0),
            cut: Some(next(recovered.accepted_through)),
            pending_bytes: 0,
            live: live.collect(),
            effects: VecDeque::new(),
            waiting: Waiting::default(),
            relocation: Relocation::default(),
            failures_in_row: 0,
            is_stopped: false,
            events: VecDeque::new(),
        };
        spool.recycle();
        spool
    }

    /// Begins the content of a client's message.
    pub fn begin_body(&mut self) -> BodyId {
        self.bodies.begin(Privilege::Mail)
    }

    /// Begins a content that the server itself writes: a message that is moved, or a bounce. It may
    /// use the space that is kept from clients.
    pub fn begin_own_body(&mut self) -> BodyId {
        self.bodies.begin(Privilege::Reserve)
    }

    /// Appends `bytes` to a content.
    ///
    /// # Errors
    /// The content can then no longer become a message; every later call says the same.
    pub fn append_body(&mut self, id: BodyId, bytes: &[u8]) -> Result<(), AppendError> {
        let is_open = self.chunk_owner == Some(id);
        let body = self.bodies.get_mut(id).ok_or(AppendError::Failed)?;
        if let Some(error) = body.error {
            return Err(error);
        }
        if !is_open && body.collected.len() + bytes.len() < body.fragment_bytes() {
            body.collected.extend_from_slice(bytes);
            return Ok(());
        }
        let privilege = body.privilege;
        let collected = std::mem::take(&mut body.collected);
        let appended = self
            .append_content(id, privilege, &collected)
            .and_then(|()| self.append_content(id, privilege, bytes));
        if let Err(error) = appended
            && let Some(body) = self.bodies.get_mut(id)
        {
            body.error = Some(error);
        }
        appended
    }

    /// Gives a content up. What was written of it is dead. A body that is already gone is ignored.
    pub fn abandon_body(&mut self, id: BodyId) {
        self.end_chunk_of(id);
        if let Some(body) = self.bodies.remove(id) {
            self.segments.release(&body.footprint);
            self.recycle();
        }
    }

    /// Appends the message that the content belongs to, and fills in where the content lies. It is
    /// accepted, and may be answered with 250, once the returned group is committed. The body is
    /// gone in either case.
    ///
    /// # Errors
    /// Nothing of the message is kept then.
    pub fn append_message(
        &mut self,
        id: BodyId,
        message: &mut Message,
    ) -> Result<GroupSequence, AppendError> {
        if self.live.contains_key(&message.id) {
            self.abandon_body(id);
            return Err(AppendError::Failed);
        }
        let (sequence, footprint) = self.append_whole(id, message)?;
        self.live.insert(message.id, Live::new(footprint));
        self.effects.push_back((sequence, Effect::Stored(message.id)));
        Ok(sequence)
    }

    /// Appends a live message once more, with the state that it has now and a copy of its content,
    /// so that the segment where it lies can be freed. Until the returned group is committed both
    /// copies may be read; a read of the old one that is on its way then may find other bytes,
    /// which [`verify_chunk`](super::format::verify_chunk) tells, and is to be made again at the
    /// new place. `message` shall be a clone whose content replaces that of the queue's message
    /// when the commit is there; if the group fails, the old content goes on to count.
    ///
    /// # Errors
    /// As [`append_message`](Self::append_message), and [`AppendError::Failed`] if the message was
    /// finished meanwhile. The old copy goes on to count.
    pub fn append_relocated(
        &mut self,
        id: BodyId,
        message: &mut Message,
    ) -> Result<GroupSequence, AppendError> {
        if self.live.get(&message.id).is_none_or(|live| live.is_finishing) {
            self.abandon_body(id);
            return Err(AppendError::Failed);
        }
        let (sequence, footprint) = self.append_whole(id, message)?;
        self.relocation.note_moved(footprint.iter().map(|(_, bytes)| bytes).sum());
        let floor = footprint.oldest().unwrap_or_default();
        if let Some(live) = self.live.get_mut(&message.id) {
            for (generation, bytes) in footprint.iter() {
                if !live.footprint.add(generation, bytes) {
                    self.segments.merge_live(generation);
                }
            }
        }
        self.effects.push_back((sequence, Effect::Moved { id: message.id, floor }));
        Ok(sequence)
    }

    /// Appends what became of recipients. Without a segment to write to it waits in memory, and
    /// the sequence that is returned is the earliest that it can get. A failed write does not lose
    /// it.
    ///
    /// # Errors
    /// [`AppendError::Full`] if too much waits already: nothing more shall be delivered until there
    /// is space. [`AppendError::Failed`] if the log is stopped.
    pub fn append_outcome(&mut self, outcome: &Outcome) -> Result<GroupSequence, AppendError> {
        if self.is_stopped {
            return Err(AppendError::Failed);
        }
        let bytes = outcome_bytes(&outcome.recipients);
        if self.waiting.bytes() > 0 && self.waiting.bytes() + bytes > OUTCOMES_WAITING_BYTES_MAX {
            return Err(AppendError::Full);
        }
        let mut recipients = outcome.recipients.as_slice();
        while !recipients.is_empty() {
            let fit = outcome_fit(recipients, OUTCOME_RECORD_BYTES_MAX);
            let (head, rest) = recipients.split_at(fit);
            let payload_bytes = outcome_bytes(head);
            let encode = |payload: &mut [u8]| encode_outcome(outcome.message, head, payload);
            if self.waiting.is_empty()
                && self.make_room(RECORD_HEADER_BYTES + payload_bytes, Privilege::Reserve).is_ok()
            {
                self.append_outcome_record(outcome.message, payload_bytes, encode);
            } else {
                let mut payload = vec![0; payload_bytes].into_boxed_slice();
                encode(&mut payload);
                self.waiting.push_back(outcome.message, payload);
            }
            recipients = rest;
        }
        Ok(self.next_sequence)
    }

    /// Notes that the last outcome of a message was appended. When it is durable, the message no
    /// longer keeps its segments from being recycled.
    pub fn finish_message(&mut self, message: &Message) {
        let id = message.id;
        let Some(live) = self.live.get_mut(&id).filter(|live| !live.is_finishing) else { return };
        live.is_finishing = true;
        let last_outcome = live.last_outcome;
        if self.waiting.finish(id) {
            return;
        }
        if last_outcome > self.durable {
            self.effects.push_back((last_outcome, Effect::Finished(id)));
        } else {
            self.finish(id);
            self.recycle();
        }
    }
}

/// Inputs.
impl Spool {
    /// The segment file of `slot`, asked for by [`poll_segment_wanted`](Self::poll_segment_wanted),
    /// is there: created, as long as it shall be, zero, and durable with its directory entry.
    ///
    /// # Panics
    /// If it was not asked for.
    pub fn handle_segment_ready(&mut self, slot: u32) {
        self.segments.segment_ready(slot);
        self.relocation.look_again();
        self.pump();
    }

    /// The segment file that was asked for cannot be created. No other is asked for until
    /// [`retry_space`](Self::retry_space).
    pub fn handle_no_space(&mut self) {
        self.segments.creation_failed();
    }

    /// Time has passed: what could not be had may be tried again. To be called every few seconds.
    pub fn retry_space(&mut self) {
        self.segments.retry_space();
        self.relocation.tick();
        self.pump();
        if !self.waiting.is_empty() && !self.segments.can_open(Privilege::Reserve) {
            self.recycle_for_outcomes();
            self.pump();
        }
        self.record_durable();
    }

    /// A write has come back: `is_durable` if all of its bytes are on stable storage.
    ///
    /// # Panics
    /// If no such write is on its way.
    pub fn handle_written(&mut self, id: WriteId, is_durable: bool) {
        let at = self.flights.iter().position(|flight| flight.id == id);
        let Some(at) = at else { panic!("a write came back that was not on its way") };
        let flight = self.flights.swap_remove(at);
        match (flight.target, is_durable) {
            (Target::Abandoned, _) => {}
            (Target::Header, true) => {
                if let Some(segment) = self.segments.get_mut(flight.generation) {
                    segment.header_state = HeaderState::Durable;
                    let log_start = segment.header.log_start;
                    self.segments.note_durable_log_start(log_start);
                }
            }
            (Target::Group(sequence), true) => {
                let first = self.groups.front().map_or(sequence, |group| group.sequence);
                let at = usize::try_from(sequence.0 - first.0).unwrap_or(usize::MAX);
                if let Some(group) = self.groups.get_mut(at) {
                    group.is_written = true;
                }
                self.settle();
            }
            (Target::Header | Target::Group(_), false) => self.fail(flight.generation),
        }
        self.recycle();
        self.pump();
    }
}

/// Outputs.
impl Spool {
    /// The slot that a segment file shall be prepared in: created, written with zeros once, and
    /// made durable with its directory entry. One is asked for at a time.
    #[must_use]
    pub fn poll_segment_wanted(&mut self) -> Option<u32> {
        if self.is_stopped {
            return None;
        }
        self.segments.poll_wanted()
    }

    /// The next write. Any number may be polled and carried out in any order.
    #[must_use]
    pub fn poll_write(&mut self) -> Option<SegmentWrite> {
        if self.is_stopped || self.flights.len() >= self.options.groups_in_flight_max {
            return None;
        }
        if !self.waiting.is_empty() {
            self.pump();
        }
        if let Some(write) = self.poll_header_write() {
            return Some(write);
        }
        let is_last = self.submitted == self.groups.len();
        let is_turn = self.flights.len() < self.options.short_groups_in_flight_max;
        if is_last && is_turn && self.tail.is_awaited() && self.is_header_durable() {
            self.seal();
        }
        let group = self.groups.get(self.submitted)?;
        let segment = self.segments.get(group.generation)?;
        if segment.header_state != HeaderState::Durable {
            return None;
        }
        let (slot, offset, bytes) = (group.slot, group.offset, group.bytes.clone());
        let (generation, target) = (group.generation, Target::Group(group.sequence));
        self.submitted += 1;
        let id = self.take_off(slot, generation, target);
        Some(SegmentWrite { id, slot, offset, bytes })
    }

    /// What became of groups. To be polled before anything is read again: a segment that a commit
    /// frees is given up when the commit is polled.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<SpoolEvent> {
        let event = self.events.pop_front()?;
        match event {
            SpoolEvent::Committed { through } => self.take_effects(through),
            SpoolEvent::Failed { .. } | SpoolEvent::Stopped => {}
        }
        Some(event)
    }

    /// A live message that shall be moved: read its content, append it with
    /// [`begin_own_body`](Self::begin_own_body), `append_body` and
    /// [`append_relocated`](Self::append_relocated). Each is offered once; what does not succeed is
    /// offered again some time after [`retry_space`](Self::retry_space).
    #[must_use]
    pub fn poll_relocation(&mut self) -> Option<MessageId> {
        if self.is_stopped {
            return None;
        }
        if self.relocation.is_due() {
            self.evict_slow_bodies();
            self.relocation.plan(&self.segments, &self.live);
        }
        self.relocation.pop(&mut self.segments, &mut self.live)
    }

    /// A slot whose segment file shall be deleted.
    #[must_use]
    pub fn poll_delete(&mut self) -> Option<u32> {
        let flights = &self.flights;
        self.segments.poll_delete(|slot| flights.iter().any(|flight| flight.slot == slot))
    }
}
