//! Live messages of the oldest segment moved to the head of the log, so that one message that is
//! deferred for days does not keep everything behind it on the disk.
//!
//! # Guarantees
//! A moved message keeps its id and the state of its recipients. Until the copy is durable the
//! spool keeps the segment that holds the original.
//!
//! # Bounds
//! One message at a time, one chunk of it in memory.

use smallvec::SmallVec;

use crate::arena::SharedBytes;
use crate::ids::{GroupSequence, MessageId};
use crate::message::{Content, Extent};
use crate::spool::{AppendError, BodyId, Room};

use super::Shard;
use super::content::{Fetch, Reader};
use super::relay::Connection;

/// A message that is being moved.
#[derive(Debug)]
pub(super) struct Relocation {
    message: MessageId,
    body: BodyId,
    extents: SmallVec<[Extent; 1]>,
    /// The next of `extents`.
    next: usize,
    fetching: bool,
}

/// A message that lies at a new place which is not durable yet.
#[derive(Debug)]
pub(super) struct Move {
    group: GroupSequence,
    message: MessageId,
    content: Content,
}

impl Shard {
    /// Moves what the spool wants moved, as far as it can without waiting.
    pub(super) fn pump_relocation(&mut self) {
        if self.relocation.is_none() {
            self.begin_relocation();
        }
        while let Some(relocation) = &self.relocation
            && !relocation.fetching
            && self.spool.room() != Room::Busy
        {
            let Some(&extent) = relocation.extents.get(relocation.next) else {
                self.end_relocation();
                return;
            };
            match self.spool.cached(&extent) {
                Some(bytes) => self.relocate_piece(&bytes),
                None => self.fetch_relocation(&extent),
            }
        }
    }

    fn begin_relocation(&mut self) {
        let Some(id) = self.spool.poll_relocation() else { return };
        let Some(message) = self.queue.message(id) else {
            // It was finished since; the spool hears of that with its outcome.
            return;
        };
        let is_sent = |connection: &Connection| {
            connection.running.as_ref().is_some_and(|running| running.job.message == id)
        };
        // Nor may the copy say of a recipient what its sender has not been told yet.
        if self.connections.iter().any(|(_, connection)| is_sent(connection))
            || self.is_unrecorded(id)
        {
            // The spool offers it again.
            return;
        }
        let extents = message.content.extents.clone();
        let body = self.spool.begin_own_body();
        self.relocation = Some(Relocation { message: id, body, extents, next: 0, fetching: false });
    }

    fn fetch_relocation(&mut self, extent: &Extent) {
        if let Some(relocation) = &mut self.relocation {
            relocation.fetching = true;
        }
        if self.fetch(extent, Reader::Relocation) == Fetch::Gone {
            self.relocation_fetched(Err("the spool does not hold it any more".into()));
        }
    }

    /// Goes on with content that was read from the disk.
    pub(super) fn relocation_fetched(&mut self, result: Result<SharedBytes, String>) {
        let Some(relocation) = &mut self.relocation else { return };
        relocation.fetching = false;
        match result {
            Ok(bytes) => self.relocate_piece(&bytes),
            Err(error) => {
                tracing::error!(
                    message = %relocation.message,
                    "a message cannot be moved within the spool: {error}; it stays where it is. \
                     Look at the disk: dmesg, ringpost spool verify"
                );
                self.give_up_relocation();
            }
        }
    }

    fn relocate_piece(&mut self, bytes: &[u8]) {
        let Some(relocation) = &mut self.relocation else { return };
        relocation.next += 1;
        if self.spool.append_body(relocation.body, bytes).is_err() {
            self.give_up_relocation();
        }
    }

    fn end_relocation(&mut self) {
        let Some(relocation) = self.relocation.take() else { return };
        let message = self.queue.message(relocation.message);
        let message = message.filter(|_| !self.is_unrecorded(relocation.message));
        let Some(mut message) = message.cloned() else {
            self.spool.abandon_body(relocation.body);
            return;
        };
        match self.spool.append_relocated(relocation.body, &mut message) {
            Ok(group) => self.moves.push_back(Move {
                group,
                message: relocation.message,
                content: message.content,
            }),
            // The spool asks again when it has room.
            Err(AppendError::Full | AppendError::Failed) => {}
        }
    }

    /// Messages that were moved are durable at their new place, and read from there.
    pub(super) fn moves_committed(&mut self, through: GroupSequence) {
        while let Some(moved) = self.moves.pop_front_if(|moved| moved.group <= through) {
            if let Some(queued) = self.queue.message_mut(moved.message) {
                queued.content = moved.content;
            }
        }
    }

    /// Messages whose move failed stay where they are.
    pub(super) fn moves_failed(&mut self, from: GroupSequence, to: GroupSequence) {
        self.moves.retain(|moved| moved.group < from || moved.group > to);
    }

    fn give_up_relocation(&mut self) {
        if let Some(relocation) = self.relocation.take() {
            self.spool.abandon_body(relocation.body);
        }
    }
}
