//! Sessions, a relay and a disk around one spool, all from a seed.

use std::collections::BTreeMap;

use ringpost::clock::WallTime;
use ringpost::ids::{GroupSequence, MessageId, MessageIds, ShardId};
use ringpost::message::{
    Content, Message, Notices, Notify, Outcome, Recipient, RecipientState, Wishes,
};
use ringpost::sim::Random;
use ringpost::sim::disk::{Completion, SimDisk, SimDiskOptions};
use ringpost::spool::{
    AppendError, BodyId, Recovered, Room, SegmentFiles, Spool, SpoolEvent, SpoolOptions, read_body,
    recover, verify_chunk,
};

use crate::model::{Model, states};

const BLOCK: usize = 4_096;

/// What happened, so that a test that tests nothing is noticed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) crashes: u64,
    pub(crate) committed: u64,
    pub(crate) refused_failed: u64,
    pub(crate) refused_full: u64,
    pub(crate) finished: u64,
    pub(crate) moved: u64,
    pub(crate) failures: u64,
    pub(crate) stops: u64,
    pub(crate) deleted: u64,
    pub(crate) full: u64,
    pub(crate) dropped_groups: u64,
    pub(crate) read_from_memory: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        self.crashes += other.crashes;
        self.committed += other.committed;
        self.refused_failed += other.refused_failed;
        self.refused_full += other.refused_full;
        self.finished += other.finished;
        self.moved += other.moved;
        self.failures += other.failures;
        self.stops += other.stops;
        self.deleted += other.deleted;
        self.full += other.full;
        self.dropped_groups += other.dropped_groups;
        self.read_from_memory += other.read_from_memory;
    }

    pub(crate) fn assert_everything_happened(&self) {
        let counts = [
            self.crashes,
            self.committed,
            self.refused_failed,
            self.refused_full,
            self.finished,
            self.moved,
            self.failures,
            self.stops,
            self.deleted,
            self.full,
            self.dropped_groups,
            self.read_from_memory,
        ];
        assert!(counts.iter().all(|&count| count > 0), "something never happened: {self:?}");
    }
}

/// A client that is sending a message.
struct Session {
    body: BodyId,
    content: Vec<u8>,
}

/// A message that waits for its commit, or one that is being moved.
struct Waiting {
    group: GroupSequence,
    message: Message,
    is_move: bool,
}

pub(crate) struct World {
    random: Random,
    disk: SimDisk,
    disk_options: SimDiskOptions,
    options: SpoolOptions,
    spool: Spool,
    model: Model,
    ids: MessageIds,
    sessions: Vec<Session>,
    waiting: Vec<Waiting>,
    /// The queue: what was answered with 250 and is not finished.
    queue: BTreeMap<MessageId, Message>,
    moving: Vec<MessageId>,
    is_stopped: bool,
    tally: Tally,
}

impl World {
    /// Lives through the history of `seed`.
    pub(crate) fn run(seed: u64) -> Self {
        let mut world = Self::new(seed);
        for _ in 0..world.random.below(6) + 1 {
            for _ in 0..world.random.below(600) {
                world.step();
            }
            world.crash();
        }
        world.end();
        world
    }

    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }

    pub(crate) fn trace(&self) -> u64 {
        self.disk.trace()
    }

    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let segment_bytes = BLOCK * [16, 16, 24, 64][random.below(4)];
        let disk_options = SimDiskOptions {
            segment_bytes,
            segment_count_max: [4, 6, 10, 30, 1_000][random.below(5)],
            write_failures_permille: [0, 0, 5, 30, 200][random.below(5)],
            garbage_permille: [0, 100][random.below(2)],
            late_permille: [0, 300][random.below(2)],
        };
        let options = SpoolOptions {
            segment_bytes: segment_bytes as u64,
            segment_count_max: 1_000,
            groups_in_flight_max: random.below(8) + 1,
            short_groups_in_flight_max: random.below(8) + 1,
            cache_bytes: [0, 1 << 20][random.below(2)],
        };
        let disk = SimDisk::new(random.next_u64(), disk_options);
        let recovered = recover(&disk, 77).expect("an empty disk");
        assert_eq!(recovered, Recovered::empty(77));
        Self {
            random,
            disk,
            disk_options,
            options,
            spool: Spool::new(options, &recovered),
            model: Model::default(),
            ids: MessageIds::new(ShardId(1), 1, None),
            sessions: Vec::new(),
            waiting: Vec::new(),
            queue: BTreeMap::new(),
            moving: Vec::new(),
            is_stopped: false,
            tally: Tally::default(),
        }
    }

    fn step(&mut self) {
        match self.random.below(100) {
            0..10 => self.begin_session(),
            10..40 => self.receive(),
            40..50 => self.end_message(),
            50..52 => self.abandon(),
            52..65 => self.deliver(),
            65..68 => self.move_message(),
            68..70 => self.read_back(),
            70..72 => self.spool.retry_space(),
            72..85 => self.poll(),
            _ => self.complete(),
        }
        self.spool.check();
    }

    fn begin_session(&mut self) {
        match self.spool.room() {
            Room::Ready => {
                let body = self.spool.begin_body();
                self.sessions.push(Session { body, content: Vec::new() });
            }
            Room::Busy => {}
            Room::Full => self.tally.full += 1,
        }
    }

    fn receive(&mut self) {
        if self.sessions.is_empty() {
            return;
        }
        let at = self.random.below(self.sessions.len());
        let length = match self.random.below(10) {
            0 => self.random.below(120_000),
            1..4 => self.random.below(8_000),
            _ => self.random.below(300),
        };
        let mut bytes = vec![0; length];
        self.random.fill(&mut bytes);
        let session = &mut self.sessions[at];
        match self.spool.append_body(session.body, &bytes) {
            Ok(()) => session.content.extend_from_slice(&bytes),
            Err(error) => {
                self.note_refusal(error);
                let session = self.sessions.swap_remove(at);
                if self.random.chance(500) {
                    self.spool.abandon_body(session.body);
                } else {
                    let mut message = self.message();
                    let appended = self.spool.append_message(session.body, &mut message);
                    assert_eq!(appended, Err(error), "what was refused stays refused");
                }
            }
        }
    }

    fn message(&mut self) -> Message {
        let received = WallTime::from_unix_ms(self.random.next_u64() >> 20);
        let recipient_count = match self.random.below(10) {
            0 => 60,
            _ => self.random.below(3) + 1,
        };
        let asks = self.random.chance(300);
        let recipients = (0..recipient_count).map(|number| Recipient {
            address: format!("recipient-{number}@example.com").into_bytes().into(),
            state: RecipientState::new(received),
            notices: (asks && number % 2 == 1).then(|| {
                let original = format!("rfc822;alias-{number}@example.com");
                let original_recipient = Some(original.into_bytes().into());
                let notify = Some(Notify { delay: true, ..Notify::default() });
                Box::new(Notices { notify, original_recipient })
            }),
        });
        Message {
            id: self.ids.take(),
            received,
            sender: b"sender@example.org"[..].into(),
            recipients: recipients.collect(),
            content: Content::default(),
            wishes: asks
                .then(|| Box::new(Wishes { hold_until: Some(received), ..Wishes::default() })),
        }
    }

    fn end_message(&mut self) {
        if self.sessions.is_empty() {
            return;
        }
        let at = self.random.below(self.sessions.len());
        let session = self.sessions.swap_remove(at);
        let mut message = self.message();
        match self.spool.append_message(session.body, &mut message) {
            Ok(group) => {
                assert_eq!(message.content.length_bytes, session.content.len() as u64);
                self.model.appended(&message, session.content, group);
                self.waiting.push(Waiting { group, message, is_move: false });
            }
            Err(error) => self.note_refusal(error),
        }
    }

    fn note_refusal(&mut self, error: AppendError) {
        match error {
            AppendError::Full => self.tally.refused_full += 1,
            AppendError::Failed => self.tally.refused_failed += 1,
        }
    }

    fn abandon(&mut self) {
        if !self.sessions.is_empty() {
            let at = self.random.below(self.sessions.len());
            let session = self.sessions.swap_remove(at);
            self.spool.abandon_body(session.body);
            self.spool.abandon_body(session.body);
        }
    }

    fn some_message(&mut self) -> Option<MessageId> {
        let at = self.random.below(self.queue.len());
        self.queue.keys().nth(at).copied()
    }

    fn deliver(&mut self) {
        let Some(id) = self.some_message() else { return };
        let random = &mut self.random;
        let message = self.queue.get_mut(&id).expect("it was just chosen");
        let is_refused = random.chance(300);
        let mut recipients = Vec::new();
        for (index, recipient) in (0..).zip(&mut message.recipients) {
            if recipient.state.is_final() || random.chance(200) {
                continue;
            }
            let state = match (is_refused, random.below(10)) {
                (true, _) => RecipientState::Pending {
                    attempts: u16::try_from(random.below(9)).expect("small"),
                    next_attempt: WallTime::from_unix_ms(random.next_u64() >> 20),
                    last_failure: "451 4.2.1 mailbox busy".into(),
                    delay_told: random.chance(300),
                },
                (false, 0) => RecipientState::Bounced,
                (false, _) => RecipientState::Delivered,
            };
            recipients.push((index, state));
        }
        if recipients.is_empty() {
            return;
        }
        let outcome = Outcome { message: id, recipients };
        match self.spool.append_outcome(&outcome) {
            Ok(group) => {
                let group = (self.spool.waiting_bytes() == 0).then_some(group);
                for (index, state) in outcome.recipients {
                    message.recipients[index as usize].state = state;
                }
                self.model.changed(id, &states(message), group);
                if message.is_finished() {
                    self.spool.finish_message(message);
                    self.queue.remove(&id);
                    self.tally.finished += 1;
                }
            }
            // The event that says so may not have been polled yet.
            Err(error) => {
                assert_eq!((error, self.spool.room()), (AppendError::Failed, Room::Full));
            }
        }
    }

    fn move_message(&mut self) {
        if let Some(id) = self.spool.poll_relocation() {
            self.moving.push(id);
        }
        if self.moving.is_empty() || self.random.chance(200) {
            return;
        }
        let at = self.random.below(self.moving.len());
        let id = self.moving.swap_remove(at);
        let Some(mut message) = self.queue.get(&id).cloned() else { return };
        let content = self.content(&message.content);
        let body = self.spool.begin_own_body();
        let appended = content
            .chunks(self.random.below(20_000) + 1)
            .try_for_each(|piece| self.spool.append_body(body, piece));
        match appended.and_then(|()| self.spool.append_relocated(body, &mut message)) {
            Ok(group) => self.waiting.push(Waiting { group, message, is_move: true }),
            Err(_) => self.spool.abandon_body(body),
        }
    }

    /// Works for a while on a disk that neither fails nor fills up, then comes to rest.
    pub(crate) fn calm(seed: u64) -> Self {
        let mut world = Self::new(seed);
        world.disk_options = SimDiskOptions {
            segment_count_max: 1_000,
            write_failures_permille: 0,
            ..world.disk_options
        };
        world.disk.set_options(world.disk_options);
        for _ in 0..400 {
            world.step();
        }
        world.drive();
        world
    }

    pub(crate) fn disk(&mut self) -> &mut SimDisk {
        &mut self.disk
    }

    pub(crate) fn random(&mut self) -> &mut Random {
        &mut self.random
    }

    /// The messages that a log without damage would hold, with their content.
    pub(crate) fn queue(&self) -> impl Iterator<Item = (&Message, &[u8])> {
        let known = &self.model.known;
        self.queue.values().map(|message| (message, known[&message.id].content.as_slice()))
    }

    /// The content as the relay reads it: from memory, or from where the spool says.
    fn content(&mut self, content: &Content) -> Vec<u8> {
        let mut bytes = Vec::new();
        for extent in &content.extents {
            let cached = self.spool.cached(extent).filter(|_| self.random.chance(700));
            if let Some(cached) = cached {
                self.tally.read_from_memory += 1;
                bytes.extend_from_slice(&cached);
                continue;
            }
            let (slot, offset, length) = self.spool.locate(extent).expect("its segment is in use");
            let mut chunk = vec![0; length];
            let mut read = 0;
            while read < length {
                let at = offset + read as u64;
                let more = self.disk.read_at(slot, at, &mut chunk[read..]).expect("readable");
                assert!(more > 0, "the chunk lies in the file");
                read += more;
            }
            bytes.extend_from_slice(verify_chunk(&chunk, extent).expect("its content"));
        }
        bytes
    }

    fn read_back(&mut self) {
        let Some(id) = self.some_message() else { return };
        let content = self.queue[&id].content.clone();
        let bytes = self.content(&content);
        assert!(bytes == self.model.known[&id].content, "{id} has other content");
    }

    fn poll(&mut self) {
        while let Some(event) = self.spool.poll_event() {
            self.handle(event);
        }
        if let Some(slot) = self.spool.poll_segment_wanted() {
            self.disk.create(slot);
        }
        for _ in 0..self.random.below(4) + 1 {
            match self.spool.poll_write() {
                Some(write) => self.disk.write(&write),
                None => break,
            }
        }
        while let Some(slot) = self.spool.poll_delete() {
            self.disk.delete(slot);
            self.tally.deleted += 1;
        }
        if self.spool.is_idle() {
            while let Some(event) = self.spool.poll_event() {
                self.handle(event);
            }
            assert!(self.waiting.is_empty(), "idle, but somebody waits");
            if !self.is_stopped {
                self.model.settled();
            }
        }
    }

    fn handle(&mut self, event: SpoolEvent) {
        match event {
            SpoolEvent::Committed { through } => {
                self.model.committed(through);
                for waiting in self.waiting.extract_if(.., |waiting| waiting.group <= through) {
                    let id = waiting.message.id;
                    if !waiting.is_move {
                        self.queue.insert(id, waiting.message);
                        self.tally.committed += 1;
                    } else if let Some(message) = self.queue.get_mut(&id) {
                        message.content = waiting.message.content;
                        self.tally.moved += 1;
                    }
                }
            }
            SpoolEvent::Failed { from, to } => {
                self.tally.failures += 1;
                assert!(from <= to);
                let failed =
                    self.waiting.extract_if(.., |waiting| (from..=to).contains(&waiting.group));
                let refused = failed.filter(|waiting| !waiting.is_move);
                let refused: Vec<_> = refused.map(|waiting| waiting.message.id).collect();
                self.model.failed(from, to, &refused);
            }
            SpoolEvent::Stopped => {
                assert_eq!(self.spool.room(), Room::Full);
                self.is_stopped = true;
                self.tally.stops += 1;
            }
        }
    }

    fn complete(&mut self) {
        match self.disk.complete() {
            Some(Completion::Written { id, is_durable }) => {
                self.spool.handle_written(id, is_durable);
            }
            Some(Completion::Created { slot, is_durable: true }) => {
                self.spool.handle_segment_ready(slot);
            }
            Some(Completion::Created { is_durable: false, .. }) => self.spool.handle_no_space(),
            Some(Completion::Deleted { .. }) | None => {}
        }
    }

    fn crash(&mut self) {
        self.tally.crashes += 1;
        // What the spool said before the crash was said.
        while let Some(event) = self.spool.poll_event() {
            self.handle(event);
        }
        self.disk.crash();
        let recovered = recover(&self.disk, 78).expect("recovers");
        assert_eq!(recover(&self.disk, 78).as_ref(), Ok(&recovered), "recovered twice");
        self.restart(&recovered);
    }

    fn restart(&mut self, recovered: &Recovered) {
        assert_eq!(recovered.damage, [], "a crash is no damage");
        self.tally.dropped_groups += recovered.dropped_groups;
        self.model.recovered(&recovered.messages, self.disk.has_late_writes());
        for message in &recovered.messages {
            let slot_of = |generation| recovered.slot_of(generation);
            let body = read_body(&self.disk, slot_of, &message.content).expect("its content");
            assert!(body == self.model.known[&message.id].content, "other content");
        }
        self.spool = Spool::new(self.options, recovered);
        self.sessions.clear();
        self.waiting.clear();
        self.moving.clear();
        self.is_stopped = false;
        self.queue =
            recovered.messages.iter().map(|message| (message.id, message.clone())).collect();
        self.ids = MessageIds::new(ShardId(1), 1, recovered.highest_message.max(self.last_id()));
    }

    fn last_id(&self) -> Option<MessageId> {
        self.model.known.keys().next_back().copied()
    }

    /// Everything goes well from here on: the log settles, shrinks, and comes back as it was.
    fn end(&mut self) {
        self.disk_options.write_failures_permille = 0;
        self.disk_options.segment_count_max += 2;
        self.disk.set_options(self.disk_options);
        self.drive();
        let bound = self.options.segment_bytes;
        let content: u64 = self.queue.values().map(|m| m.content.length_bytes + 8_192).sum();
        let in_use = self.spool.segments_in_use() as u64;
        // On a full disk there may be no room for the copy of what should be moved.
        let is_full = self.disk.file_count() >= self.disk_options.segment_count_max;
        assert!(
            is_full || in_use <= 4 + 4 * (content / bound + 2),
            "{in_use} segments for {content} bytes"
        );
        self.disk.crash();
        let recovered = recover(&self.disk, 80).expect("recovers");
        self.restart(&recovered);
        self.finish_all();
        let in_use = self.spool.segments_in_use();
        assert!(in_use <= 5, "{in_use} segments for nothing");
        self.disk.crash();
        assert_eq!(recover(&self.disk, 81).expect("recovers").messages, []);
    }

    /// Until the log is at rest, or stands still because the disk is full, which outcomes change.
    fn drive(&mut self) {
        for session in std::mem::take(&mut self.sessions) {
            self.spool.abandon_body(session.body);
        }
        if self.is_stopped {
            self.crash();
        }
        let mut turns = 0;
        let mut idle_turns = 0;
        while idle_turns < 20 {
            self.spool.retry_space();
            self.poll();
            self.move_message();
            while self.disk.is_busy() {
                self.complete();
            }
            let is_full = self.spool.room() == Room::Full && self.spool.waiting_bytes() > 0;
            let is_idle = (self.spool.is_idle() || is_full) && self.moving.is_empty();
            idle_turns = if is_idle { idle_turns + 1 } else { 0 };
            turns += 1;
            assert!(turns < 2_000, "the log does not come to rest: {:?}", self.moving.len());
        }
    }

    fn finish_all(&mut self) {
        while let Some(id) = self.queue.keys().next().copied() {
            let message = self.queue.get_mut(&id).expect("it is there");
            let recipients = (0..).zip(&mut message.recipients).map(|(index, recipient)| {
                recipient.state = RecipientState::Delivered;
                (index, RecipientState::Delivered)
            });
            let outcome = Outcome { message: id, recipients: recipients.collect() };
            self.spool.append_outcome(&outcome).expect("outcomes have room");
            self.model.changed(id, &states(message), None);
            self.spool.finish_message(message);
            self.queue.remove(&id);
            if self.random.chance(300) {
                self.drive();
            }
        }
        self.drive();
        assert!(self.spool.is_idle(), "with all messages finished there is space");
    }
}
