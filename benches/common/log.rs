//! A log as a shard writes it, with something else in the place of files.

use std::hint::black_box;

use ringpost::clock::WallTime;
use ringpost::ids::{MessageIds, ShardId};
use ringpost::message::{Message, Outcome, RecipientState};
use ringpost::spool::{Recovered, Room, SegmentWrite, Spool, SpoolEvent, SpoolOptions};

use crate::content::content;
use crate::message::message;

pub(crate) const CONTENT_BYTES: usize = 2 << 10;

pub(crate) const WALL_MS: u64 = 1_795_492_893_000;

/// Files that do at once what they are told.
pub(crate) trait Disk {
    fn prepare(&mut self, slot: u32);
    fn write(&mut self, write: &SegmentWrite);
    fn delete(&mut self, slot: u32);
}

/// Forgets everything.
#[derive(Default)]
pub(crate) struct Null;

impl Disk for Null {
    fn prepare(&mut self, _slot: u32) {}

    fn write(&mut self, write: &SegmentWrite) {
        black_box(&write.bytes);
    }

    fn delete(&mut self, _slot: u32) {}
}

/// A log that is written by what a shard does around it.
pub(crate) struct Log<D> {
    spool: Spool,
    pub(crate) disk: D,
    ids: MessageIds,
    pub(crate) content: Vec<u8>,
    /// Appended and not finished.
    messages: Vec<Message>,
}

impl<D: Disk + Default> Log<D> {
    pub(crate) fn new() -> Self {
        let mut log = Self {
            spool: Spool::new(SpoolOptions::default(), &Recovered::empty(1)),
            disk: D::default(),
            ids: MessageIds::new(ShardId(0), WALL_MS, None),
            content: content(CONTENT_BYTES, 0),
            messages: Vec::new(),
        };
        log.drive();
        log
    }

    /// Carries out what the spool asks for.
    fn drive(&mut self) {
        let Self { spool, disk, .. } = self;
        loop {
            while let Some(event) = spool.poll_event() {
                assert!(matches!(event, SpoolEvent::Committed { .. }), "the disk never fails");
            }
            if let Some(slot) = spool.poll_segment_wanted() {
                disk.prepare(slot);
                spool.handle_segment_ready(slot);
            } else if let Some(write) = spool.poll_write() {
                disk.write(&write);
                spool.handle_written(write.id, true);
            } else if let Some(slot) = spool.poll_delete() {
                disk.delete(slot);
            } else {
                break;
            }
        }
    }

    /// Appends `count` messages and commits them as one group.
    pub(crate) fn append_group(&mut self, count: u64) {
        for _ in 0..count {
            assert_ne!(self.spool.room(), Room::Full, "there is always another segment");
            let body = self.spool.begin_body();
            self.spool.append_body(body, &self.content).expect("the disk never fails");
            let recipients: [&[u8]; 1] = [b"recipient@destination.example"];
            let wall = WallTime::from_unix_ms(WALL_MS);
            let mut message = message(self.ids.take(), wall, &recipients);
            self.spool.append_message(body, &mut message).expect("the disk never fails");
            self.messages.push(message);
        }
        self.drive();
    }

    /// Records the delivery of all messages, committed `per_group` at a time.
    pub(crate) fn finish_all(&mut self, per_group: u64) {
        let mut messages = std::mem::take(&mut self.messages);
        let mut in_group = 0;
        for message in messages.drain(..) {
            let recipients = vec![(0, RecipientState::Delivered)];
            let outcome = Outcome { message: message.id, recipients };
            self.spool.append_outcome(&outcome).expect("the disk never fails");
            self.spool.finish_message(&message);
            in_group += 1;
            if in_group == per_group {
                self.drive();
                in_group = 0;
            }
        }
        self.drive();
        self.messages = messages;
    }
}
