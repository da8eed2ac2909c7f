//! The writer step by step, on a simulated disk.

use super::*;
use crate::clock::WallTime;
use crate::ids::{GroupSequence, MessageId};
use crate::limits::{
    BLOCK_BYTES, FRAGMENT_BYTES_FEW, FRAGMENTS_FEW, GROUP_BYTES_MAX, RECORD_BYTES_MAX,
    WRITE_FAILURES_MAX,
};
use crate::message::{Content, Message, Outcome, Recipient, RecipientState};
use crate::sim::disk::{Completion, SimDisk, SimDiskOptions};

const SEGMENT_BLOCKS: usize = 16;

struct Bench {
    disk: SimDisk,
    disk_options: SimDiskOptions,
    options: SpoolOptions,
    spool: Spool,
    next_id: u64,
}

impl Bench {
    /// A log on a disk with space for `segment_count_max` segments.
    fn new(segment_count_max: usize) -> Self {
        Self::with_segments(segment_count_max, SEGMENT_BLOCKS * BLOCK_BYTES)
    }

    fn with_segments(segment_count_max: usize, segment_bytes: usize) -> Self {
        let disk_options = SimDiskOptions {
            segment_bytes,
            segment_count_max,
            write_failures_permille: 0,
            garbage_permille: 0,
            late_permille: 0,
        };
        let options =
            SpoolOptions { segment_bytes: segment_bytes as u64, ..SpoolOptions::default() };
        let disk = SimDisk::new(1, disk_options);
        let spool = Spool::new(options, &Recovered::empty(7));
        let mut bench = Self { disk, disk_options, options, spool, next_id: 1 };
        bench.rest();
        bench
    }

    fn set_failing(&mut self, is_failing: bool) {
        self.disk_options.write_failures_permille = if is_failing { 1_000 } else { 0 };
        self.disk.set_options(self.disk_options);
    }

    /// Carries everything out; returns the events.
    fn rest(&mut self) -> Vec<SpoolEvent> {
        let mut events = Vec::new();
        loop {
            let mut is_done = true;
            while let Some(slot) = self.spool.poll_segment_wanted() {
                self.disk.create(slot);
            }
            while let Some(write) = self.spool.poll_write() {
                self.disk.write(&write);
            }
            while let Some(completion) = self.disk.complete() {
                is_done = false;
                self.complete(completion);
            }
            while let Some(event) = self.spool.poll_event() {
                events.push(event);
            }
            self.spool.check();
            if is_done {
                return events;
            }
        }
    }

    fn complete(&mut self, completion: Completion) {
        match completion {
            Completion::Written { id, is_durable } => self.spool.handle_written(id, is_durable),
            Completion::Created { slot, is_durable: true } => self.spool.handle_segment_ready(slot),
            Completion::Created { is_durable: false, .. } => self.spool.handle_no_space(),
            Completion::Deleted { .. } => {}
        }
    }

    fn message(&mut self) -> Message {
        let id = MessageId(self.next_id);
        self.next_id += 1;
        let received = WallTime::from_unix_ms(5);
        let recipient = Recipient {
            address: b"to@example.com"[..].into(),
            state: RecipientState::new(received),
            notices: None,
        };
        Message {
            id,
            received,
            sender: b"from@example.com"[..].into(),
            recipients: vec![recipient],
            content: Content::default(),
            wishes: None,
        }
    }

    fn append(&mut self, content: &[u8]) -> Result<(Message, GroupSequence), AppendError> {
        let body = self.spool.begin_body();
        let mut message = self.message();
        self.spool.append_body(body, content)?;
        let group = self.spool.append_message(body, &mut message)?;
        Ok((message, group))
    }

    fn deliver(&mut self, message: &mut Message) {
        message.recipients[0].state = RecipientState::Delivered;
        let recipients = vec![(0, RecipientState::Delivered)];
        let outcome = Outcome { message: message.id, recipients };
        self.spool.append_outcome(&outcome).unwrap();
        self.spool.finish_message(message);
    }

    /// Appends messages until there is no room for more.
    fn fill_up(&mut self, content: &[u8]) -> Vec<Message> {
        let mut messages = Vec::new();
        loop {
            self.rest();
            if self.spool.room() == Room::Full {
                return messages;
            }
            messages.extend(self.append(content).ok().map(|(message, _)| message));
        }
    }

    fn recover(&self) -> Recovered {
        let recovered = recover(&self.disk, 1).unwrap();
        assert_eq!(recovered.damage, []);
        recovered
    }

    fn restart(&mut self) -> Recovered {
        self.disk.crash();
        let recovered = self.recover();
        self.spool = Spool::new(self.options, &recovered);
        recovered
    }
}

fn ids(messages: &[Message]) -> Vec<u64> {
    messages.iter().map(|message| message.id.0).collect()
}

fn committed(through: GroupSequence) -> SpoolEvent {
    SpoolEvent::Committed { through }
}

#[test]
fn what_was_committed_is_recovered() {
    let mut bench = Bench::new(10);
    let (message, group) = bench.append(b"Subject: x\r\n\r\n.\r\n").unwrap();
    assert!(!bench.spool.is_idle());
    assert_eq!(bench.rest(), [committed(group)]);
    assert!(bench.spool.is_idle());
    let recovered = bench.restart();
    assert_eq!(recovered.messages, std::slice::from_ref(&message));
    assert_eq!(recovered.log_id, 7);
    assert_eq!(recovered.highest_message, Some(message.id));
    let body = read_body(&bench.disk, |g| recovered.slot_of(g), &message.content).unwrap();
    assert_eq!(body, b"Subject: x\r\n\r\n.\r\n");
    // It goes on, and what was finished does not come back.
    let mut message = message;
    bench.deliver(&mut message);
    let (other, _) = bench.append(b"").unwrap();
    bench.rest();
    assert_eq!(bench.restart().messages, [other]);
}

#[test]
fn commits_are_acknowledged_in_log_order() {
    let mut bench = Bench::new(10);
    // The header of the segment comes first.
    bench.append(b"first").unwrap();
    bench.rest();
    let mut writes = Vec::new();
    let mut groups = Vec::new();
    for _ in 0..bench.options.short_groups_in_flight_max {
        groups.push(bench.append(b"content").unwrap().1);
        writes.push(bench.spool.poll_write().unwrap());
    }
    // As many writes as short groups may have are in flight: what comes now forms one group.
    let later = [bench.append(b"a").unwrap().1, bench.append(b"b").unwrap().1];
    assert_eq!(later[0], later[1]);
    assert!(bench.spool.poll_write().is_none());
    for write in writes.drain(1..).rev() {
        bench.spool.handle_written(write.id, true);
        assert_eq!(bench.spool.poll_event(), None);
    }
    bench.spool.handle_written(writes[0].id, true);
    assert_eq!(bench.spool.poll_event(), groups.last().map(|&group| committed(group)));
    let write = bench.spool.poll_write().unwrap();
    bench.spool.handle_written(write.id, true);
    assert_eq!(bench.spool.poll_event(), Some(committed(later[0])));
}

#[test]
fn a_group_waits_for_others_only_while_it_can_grow() {
    let mut bench = Bench::with_segments(10, 64 * GROUP_BYTES_MAX);
    bench.append(b"first").unwrap();
    bench.rest();
    for _ in 0..bench.options.short_groups_in_flight_max {
        bench.append(b"content").unwrap();
        assert!(bench.spool.poll_write().is_some());
    }
    // Until all writes are in flight, one begins with each group that is full.
    let content = vec![b'x'; GROUP_BYTES_MAX / 4];
    for in_flight in bench.options.short_groups_in_flight_max..bench.options.groups_in_flight_max {
        let write = loop {
            bench.append(&content).unwrap();
            if let Some(write) = bench.spool.poll_write() {
                break write;
            }
        };
        assert!(write.bytes.len() > GROUP_BYTES_MAX / 2, "{in_flight}: {}", write.bytes.len());
    }
    for _ in 0..8 {
        bench.append(&content).unwrap();
        assert!(bench.spool.poll_write().is_none());
    }
}

#[test]
fn content_is_sent_from_the_bytes_that_are_written() {
    let mut bench = Bench::new(10);
    bench.append(b"first").unwrap();
    bench.rest();
    let (message, _) = bench.append(b"the content").unwrap();
    let write = bench.spool.poll_write().unwrap();
    let extent = message.content.extents[0];
    let cached = bench.spool.cached(&extent).unwrap();
    assert_eq!(&*cached, b"the content");
    assert!(write.bytes.as_ptr_range().contains(&cached.as_ptr()));
    assert_eq!(write.bytes.as_ptr().align_offset(BLOCK_BYTES), 0);
    let (slot, offset, length) = bench.spool.locate(&extent).unwrap();
    assert_eq!((slot, length), (write.slot, CHUNK_HEADER_BYTES + 11));
    let at = usize::try_from(offset - write.offset).unwrap();
    let chunk = &write.bytes[at..at + length];
    assert_eq!(verify_chunk(chunk, &extent), Ok(&b"the content"[..]));
}

#[test]
fn contents_of_many_sessions_interleave() {
    let mut bench = Bench::new(100);
    let bodies: Vec<_> = (0..5).map(|_| bench.spool.begin_body()).collect();
    let mut contents = vec![Vec::new(); 5];
    for round in 0..200_usize {
        for (number, &body) in bodies.iter().enumerate() {
            let piece = vec![u8::try_from(number).unwrap(); round % 60 + 1];
            bench.spool.append_body(body, &piece).unwrap();
            contents[number].extend_from_slice(&piece);
        }
        bench.rest();
    }
    for (&body, content) in bodies.iter().zip(&contents) {
        let mut message = bench.message();
        bench.spool.append_message(body, &mut message).unwrap();
        let extent_count = message.content.extents.len();
        assert!(extent_count <= FRAGMENTS_FEW + content.len() / FRAGMENT_BYTES_FEW + 2);
    }
    bench.rest();
    let recovered = bench.restart();
    for (message, content) in recovered.messages.iter().zip(&contents) {
        let body = read_body(&bench.disk, |g| recovered.slot_of(g), &message.content).unwrap();
        assert!(body == *content);
    }
    assert_eq!(recovered.messages.len(), 5);
}

#[test]
fn a_failed_write_refuses_and_the_log_goes_on_elsewhere() {
    let mut bench = Bench::new(10);
    let (mut old, group) = bench.append(b"old").unwrap();
    assert_eq!(bench.rest(), [committed(group)]);
    let open = bench.spool.begin_body();
    bench.spool.append_body(open, b"half of it is in the failed group").unwrap();
    let (_, refused) = bench.append(b"refused").unwrap();
    bench.deliver(&mut old);
    bench.set_failing(true);
    let write = bench.spool.poll_write().unwrap();
    bench.disk.write(&write);
    let completion = bench.disk.complete().unwrap();
    bench.complete(completion);
    bench.set_failing(false);
    assert_eq!(bench.spool.poll_event(), Some(SpoolEvent::Failed { from: refused, to: refused }));
    let mut message = bench.message();
    assert_eq!(bench.spool.append_body(open, b"more"), Err(AppendError::Failed));
    assert_eq!(bench.spool.append_message(open, &mut message), Err(AppendError::Failed));
    let (later, group) = bench.append(b"later").unwrap();
    assert!(group > refused);
    assert_eq!(bench.rest(), [committed(group)]);
    // The outcome was not lost with its group, and what was refused is gone.
    assert_eq!(ids(&bench.restart().messages), [later.id.0]);
}

#[test]
fn write_after_write_failing_stops_the_log() {
    let mut bench = Bench::new(10);
    bench.append(b"x").unwrap();
    bench.set_failing(true);
    let events = bench.rest();
    assert_eq!(events.last(), Some(&SpoolEvent::Stopped));
    assert_eq!(bench.spool.room(), Room::Full);
    assert_eq!(bench.append(b"y").err(), Some(AppendError::Failed));
    assert!(bench.spool.is_idle());
    assert!(bench.spool.segments_in_use() <= WRITE_FAILURES_MAX as usize + 1);
    bench.set_failing(false);
    bench.restart();
    bench.rest();
    bench.append(b"z").unwrap();
    assert!(matches!(bench.rest()[..], [SpoolEvent::Committed { .. }]));
}

#[test]
fn a_full_disk_refuses_mail_but_not_outcomes_and_recovers() {
    let mut bench = Bench::new(4);
    let mut messages = bench.fill_up(&[b'x'; 3_000]);
    assert!(messages.len() > 10);
    assert_eq!(bench.disk.file_count(), 4);
    let body = bench.spool.begin_body();
    let overflow = bench.spool.append_body(body, &[0; SEGMENT_BLOCKS * BLOCK_BYTES]);
    assert_eq!(overflow, Err(AppendError::Full));
    bench.spool.abandon_body(body);
    for message in &mut messages {
        bench.deliver(message);
        bench.rest();
    }
    assert_eq!(bench.spool.room(), Room::Ready);
    let (message, group) = bench.append(b"again").unwrap();
    assert_eq!(bench.rest(), [committed(group)]);
    assert!(bench.restart().messages == [message]);
}

#[test]
fn space_that_comes_back_is_used() {
    let mut bench = Bench::new(2);
    bench.fill_up(&[b'x'; 3_000]);
    bench.disk_options.segment_count_max = 6;
    bench.disk.set_options(bench.disk_options);
    assert_eq!(bench.spool.poll_segment_wanted(), None);
    bench.spool.retry_space();
    bench.rest();
    assert_eq!(bench.spool.room(), Room::Ready);
    bench.append(&[b'x'; 3_000]).unwrap();
}

#[test]
fn one_message_that_stays_does_not_keep_the_log() {
    let mut bench = Bench::new(100);
    let (mut stays, _) = bench.append(b"stays").unwrap();
    for _ in 0..500 {
        let (mut message, _) = bench.append(&[b'x'; 5_000]).unwrap();
        bench.rest();
        bench.deliver(&mut message);
        bench.rest();
        if let Some(id) = bench.spool.poll_relocation() {
            assert_eq!(id, stays.id);
            let content = bench.spool.cached(&stays.content.extents[0]);
            let content = content.map_or_else(|| b"stays".to_vec(), |bytes| bytes.to_vec());
            let body = bench.spool.begin_own_body();
            bench.spool.append_body(body, &content).unwrap();
            let mut moved = stays.clone();
            bench.spool.append_relocated(body, &mut moved).unwrap();
            bench.rest();
            stays.content = moved.content;
        }
        assert!(bench.spool.segments_in_use() <= 6, "{}", bench.spool.segments_in_use());
    }
    let recovered = bench.restart();
    assert_eq!(recovered.messages, [stays.clone()]);
    let body = read_body(&bench.disk, |g| recovered.slot_of(g), &stays.content).unwrap();
    assert_eq!(body, b"stays");
    // What is finished is not moved.
    bench.rest();
    bench.deliver(&mut stays);
    let body = bench.spool.begin_own_body();
    assert_eq!(bench.spool.append_relocated(body, &mut stays), Err(AppendError::Failed));
}

#[test]
fn a_body_that_holds_up_a_full_log_is_refused() {
    let mut bench = Bench::new(4);
    let slow = bench.spool.begin_body();
    bench.spool.append_body(slow, b"first line\r\n").unwrap();
    let mut messages = bench.fill_up(&[b'x'; 3_000]);
    for message in &mut messages {
        bench.deliver(message);
        bench.rest();
    }
    bench.spool.retry_space();
    assert_eq!(bench.spool.poll_relocation(), None);
    bench.rest();
    assert_eq!(bench.spool.append_body(slow, b"second"), Err(AppendError::Failed));
    assert_eq!(bench.spool.room(), Room::Ready);
}

#[test]
fn what_is_too_large_is_refused_and_nothing_else_is() {
    let mut bench = Bench::new(100);
    let mut message = bench.message();
    message.recipients = vec![message.recipients[0].clone(); SEGMENT_BLOCKS * BLOCK_BYTES / 20];
    let body = bench.spool.begin_body();
    assert_eq!(bench.spool.append_message(body, &mut message), Err(AppendError::Failed));
    let many = vec![message.recipients[0].clone(); RECORD_BYTES_MAX / 10];
    message.recipients = many;
    let body = bench.spool.begin_body();
    assert_eq!(bench.spool.append_message(body, &mut message), Err(AppendError::Failed));
    let (message, group) = bench.append(b"fits").unwrap();
    assert_eq!(bench.rest(), [committed(group)]);
    assert!(bench.restart().messages == [message]);
}

#[test]
fn a_body_id_names_one_body_for_good() {
    let mut bench = Bench::new(10);
    let old = bench.spool.begin_body();
    bench.spool.append_body(old, b"old").unwrap();
    bench.spool.abandon_body(old);
    let body = bench.spool.begin_body();
    bench.spool.append_body(body, b"new").unwrap();
    bench.spool.abandon_body(old);
    assert_eq!(bench.spool.append_body(old, b"x"), Err(AppendError::Failed));
    let mut message = bench.message();
    bench.spool.append_message(body, &mut message).unwrap();
    assert_eq!(message.content.length_bytes, 3);
    let twice = bench.spool.begin_body();
    assert_eq!(bench.spool.append_message(twice, &mut message), Err(AppendError::Failed));
}

#[test]
fn a_header_that_lands_late_is_not_believed() {
    let mut bench = Bench::new(3);
    bench.append(b"first").unwrap();
    bench.rest();
    let old = bench.disk.bytes_mut(0).unwrap()[..BLOCK_BYTES].to_vec();
    // The log goes round until slot 0 is in use again.
    let mut last = None;
    for _ in 0..100 {
        let (mut message, _) = bench.append(&[b'x'; 5_000]).unwrap();
        bench.rest();
        let is_back = bench.spool.locate(&message.content.extents[0]).unwrap().0 == 0;
        let generation = message.content.extents[0].generation;
        if is_back && generation.0 > 1 {
            last = Some(message);
            break;
        }
        bench.deliver(&mut message);
        let ids = ids(&bench.recover().messages);
        if let Some(&first) = ids.first().filter(|&&id| id == 1) {
            let mut first = Message { id: MessageId(first), ..bench.message() };
            bench.deliver(&mut first);
        }
        bench.rest();
    }
    let last = last.expect("the log goes round");
    bench.disk.bytes_mut(0).unwrap()[..BLOCK_BYTES].copy_from_slice(&old);
    assert_eq!(bench.recover().messages, [last]);
}

#[test]
fn another_version_is_refused() {
    let mut bench = Bench::new(3);
    bench.append(b"first").unwrap();
    bench.rest();
    let block = &mut bench.disk.bytes_mut(0).unwrap()[..BLOCK_BYTES];
    block[8] = 2;
    let checksum = crc32c::crc32c(&block[..BLOCK_BYTES - 4]);
    block[BLOCK_BYTES - 4..].copy_from_slice(&checksum.to_le_bytes());
    let error = recover(&bench.disk, 1).unwrap_err();
    assert_eq!(error, RecoverError::Version { slot: 0, version: 2 });
    assert!(error.to_string().contains("version 2"), "{error}");
}

#[test]
fn a_large_outcome_is_kept_in_parts() {
    let mut bench = Bench::new(100);
    let mut message = bench.message();
    message.recipients = vec![message.recipients[0].clone(); 300];
    let body = bench.spool.begin_body();
    bench.spool.append_message(body, &mut message).unwrap();
    bench.rest();
    let deferred = RecipientState::Pending {
        attempts: 1,
        next_attempt: WallTime::from_unix_ms(9),
        last_failure: "x".repeat(500).into(),
        delay_told: false,
    };
    let outcome = Outcome {
        message: message.id,
        recipients: (0..300).map(|index| (index, deferred.clone())).collect(),
    };
    bench.spool.append_outcome(&outcome).unwrap();
    bench.rest();
    for recipient in &mut message.recipients {
        recipient.state = deferred.clone();
    }
    assert!(bench.restart().messages == [message]);
}
