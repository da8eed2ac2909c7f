//! The shard's side of the spool: writes onto the ring, commits back to those who wait for them,
//! segment files made and removed beside the loop.
//!
//! # Guarantees
//! Those who wait are told in the order of the log, and only of groups that the spool has declared
//! durable.
//!
//! # Bounds
//! One segment file is prepared at a time. When none can be had, it is tried again every
//! [`SPOOL_TICK_MS`], which is also how long the spool takes to come to rest.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use crate::clock::Now;
use crate::ids::GroupSequence;
use crate::io::store::StoreError;
use crate::limits::SPOOL_TICK_MS;
use crate::message::Message;
use crate::proto::server::Stored;
use crate::spool::{SpoolEvent, WriteId};

use super::deadlines::Waiting;
use super::outcomes::OwnMessage;
use super::{Owner, Shard};

/// A message that lies in a commit group and is not durable yet.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) group: GroupSequence,
    pub(super) message: Message,
    pub(super) awaiting: Awaiting,
}

/// Who is told what became of the commit.
#[derive(Debug)]
pub(super) enum Awaiting {
    /// The session that brought the message, if it is still there.
    Session { index: usize, serial: u64 },
    /// The server itself, which appends its message again if the commit fails.
    Own(OwnMessage),
}

/// What a task beside the loop has done to the segment files.
#[derive(Debug)]
pub(super) enum SegmentWork {
    Prepared { slot: u32, result: Result<(), StoreError> },
    Deleted { slot: u32, result: Result<(), StoreError> },
}

impl Shard {
    /// Lets the spool tell and ask what it has to.
    pub(super) fn pump_spool(&mut self) {
        let finished = std::mem::take(&mut *self.segment_work.borrow_mut());
        for work in finished {
            self.segment_work_done(work);
        }
        while let Some(event) = self.spool.poll_event() {
            match event {
                SpoolEvent::Committed { through } => self.committed(through),
                SpoolEvent::Failed { from, to } => self.commit_failed(from, to),
                SpoolEvent::Stopped => self.failed = true,
            }
        }
        if !self.preparing
            && let Some(slot) = self.spool.poll_segment_wanted()
        {
            self.prepare_segment(slot);
        }
        while let Some(slot) = self.spool.poll_delete() {
            self.delete_segment(slot);
        }
        self.counters.spool_segments = self.spool.segments_in_use() as u64;
        self.resume_stalled();
    }

    /// Starts the writes that the spool is ready for. It comes last in a turn, so that all that
    /// the turn appended goes into one group.
    pub(super) fn start_writes(&mut self) {
        let mut wrote = false;
        while let Some(write) = self.spool.poll_write() {
            let Some(file) = self.segments.get(&write.slot) else {
                unreachable!("the spool writes only to segments that were handed to it")
            };
            let owner = Owner::Commit { write: write.id, began: self.now };
            self.counters.spool_written_bytes += write.bytes.len() as u64;
            self.ring.write(file, write.offset, write.bytes, self.settings.durable, owner);
            wrote = true;
        }
        if wrote {
            self.schedule_spool_tick();
        }
    }

    /// Takes the kernel's word on a commit.
    pub(super) fn written(&mut self, write: WriteId, began: Now, result: &io::Result<()>) {
        self.counters.count_commit(self.now.saturating_since(began));
        if let Err(error) = result {
            self.counters.spool_commit_failures += 1;
            tracing::error!(
                shard = self.settings.id.0,
                "a commit failed: {error}; its messages get 451 and the spool goes on in a fresh \
                 segment. Look at the disk: dmesg, smartctl"
            );
        }
        self.spool.handle_written(write, result.is_ok());
    }

    fn committed(&mut self, through: GroupSequence) {
        while self.waiters.front().is_some_and(|waiter| waiter.group <= through) {
            let Some(waiter) = self.waiters.pop_front() else { break };
            let id = waiter.message.id;
            self.queue.insert(self.wall, &self.routes, waiter.message);
            if let Awaiting::Session { index, serial } = waiter.awaiting {
                self.counters.messages_received += 1;
                self.session_stored(index, serial, Stored::Committed(id));
            }
        }
        self.moves_committed(through);
        self.counters.queue_messages = self.queue.len() as u64;
    }

    fn commit_failed(&mut self, from: GroupSequence, to: GroupSequence) {
        let (failed, kept) = std::mem::take(&mut self.waiters)
            .into_iter()
            .partition(|waiter| waiter.group >= from && waiter.group <= to);
        self.waiters = kept;
        for waiter in failed {
            match waiter.awaiting {
                Awaiting::Session { index, serial } => {
                    self.session_stored(index, serial, Stored::Failed);
                }
                Awaiting::Own(own) => self.own_again.push_back(own),
            }
        }
        self.moves_failed(from, to);
    }

    fn prepare_segment(&mut self, slot: u32) {
        self.preparing = true;
        let directory = self.directory.clone();
        let bytes = self.settings.segment_bytes;
        self.beside_the_loop(move || SegmentWork::Prepared {
            slot,
            result: directory.prepare(slot, bytes),
        });
    }

    fn delete_segment(&mut self, slot: u32) {
        self.segments.remove(&slot);
        let directory = self.directory.clone();
        self.beside_the_loop(move || SegmentWork::Deleted { slot, result: directory.delete(slot) });
    }

    /// Runs `work`, which may block, on a thread of its own and wakes the shard with the result.
    fn beside_the_loop(&self, work: impl FnOnce() -> SegmentWork + Send + 'static) {
        let done = Rc::clone(&self.segment_work);
        let waker = self.mesh.waker.clone();
        glommio::spawn_local(async move {
            let result = glommio::executor().spawn_blocking(work).await;
            done.borrow_mut().push(result);
            waker.wake();
        })
        .detach();
    }

    fn segment_work_done(&mut self, work: SegmentWork) {
        match work {
            SegmentWork::Prepared { slot, result } => {
                self.preparing = false;
                let opened = result.and_then(|()| self.directory.open_segment(slot));
                match opened {
                    Ok(file) => {
                        self.segments.insert(slot, Rc::new(file));
                        self.spool.handle_segment_ready(slot);
                        self.no_space_told = false;
                    }
                    Err(error) => self.no_segment(&error),
                }
            }
            SegmentWork::Deleted { slot, result } => {
                if let Err(error) = result {
                    tracing::warn!(shard = self.settings.id.0, slot, "{error}");
                }
            }
        }
    }

    pub(super) fn no_segment(&mut self, error: &StoreError) {
        if !self.no_space_told {
            self.no_space_told = true;
            tracing::error!(
                shard = self.settings.id.0,
                "{error}; new mail gets 452 when the segments at hand are full. Free space under \
                 {}; it is tried again by itself",
                self.directory.path().display()
            );
        }
        self.spool.handle_no_space();
        self.schedule_spool_tick();
    }

    /// Sees to it that the spool is called in a while, though nothing may happen until then.
    fn schedule_spool_tick(&mut self) {
        let at = self.now + Duration::from_millis(SPOOL_TICK_MS);
        self.deadlines.schedule(&mut self.spool_tick, at, Waiting::SpoolTick);
    }

    /// Time has passed for the spool: it may move messages, ask for space again, and come to rest.
    /// A spool at rest, which has all the space it wants, needs no further call.
    pub(super) fn spool_tick(&mut self, at: Now) {
        if self.spool_tick.came(at) {
            self.spool.retry_space();
            if self.no_space_told {
                self.schedule_spool_tick();
            }
        }
    }
}
