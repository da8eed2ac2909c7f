//! One thread of a source: opens connections, hands out messages, watches the time.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};

use super::SourceSettings;
use super::connection::{Connection, End, State};
use super::report::{Tally, Timed, Window};
use super::supply::{Progress, Supplied, Supply, UnderWay};
use super::timeline::{SecondTally, Timeline};
use crate::client::{ClientSession, Stage};
use crate::cpus;
use crate::ids::IdLog;
use crate::reply::Code;
use crate::stamp::Id;
use crate::stop::Stop;

/// How often the thread looks up: time-outs, the log of acknowledged ids, the request to stop.
const TICK: Duration = Duration::from_millis(100);

/// Time until a connection that failed is tried again.
const RECONNECT: Duration = Duration::from_millis(50);

/// How long messages under way may take once a signal asked to stop.
const GRACE: Duration = Duration::from_secs(1);

const READ_BYTES: usize = 64 << 10;
const EVENTS_PER_TURN: usize = 1_024;

/// What the connections of a thread share.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) settings: Arc<SourceSettings>,
    pub(super) supply: Supply,
    pub(super) tally: Tally,
    /// Connections that are ready for a message. One that died meanwhile may still be named.
    pub(super) idle: VecDeque<usize>,
    progress: Arc<Progress>,
    timeline: Arc<Timeline>,
    second: SecondTally,
    log: IdLog,
    /// The first fault that ends the thread.
    fault: Option<io::Error>,
}

impl Desk {
    pub(super) fn id(&self, number: u64) -> Id {
        Id { run: self.settings.run, number }
    }

    /// Whether a connection that has begun this many messages begins no more.
    pub(super) fn is_last(&self, begun: u64) -> bool {
        self.settings.messages_per_connection != 0 && begun >= self.settings.messages_per_connection
    }

    /// The server took responsibility for `message`.
    pub(super) fn accept(
        &mut self,
        message: UnderWay,
        recipients_refused: u32,
        sent_at: Option<Instant>,
        now: Instant,
    ) {
        let recipients = self.settings.envelopes.count(message.number);
        let accepted = recipients.saturating_sub(recipients_refused);
        self.tally.acknowledged.record(message.number, accepted);
        self.turn_second(now);
        self.supply.settle(1);
        let id = self.id(message.number);
        self.tally.note_accepted(self.settings.contents.size_bytes(id) as u64, now);
        self.tally.record(Timed::Message, message.since, now);
        let latency = now.saturating_duration_since(message.since);
        self.second.note_accepted(latency);
        if self.progress.schedule.is_some() {
            self.tally.record_uncorrected(message.since, message.begun, now);
            let steps = [message.since, now].map(|at| self.progress.step_at(at));
            self.tally.note_step_accepted(steps[0], steps[1], latency);
        }
        if let Some(sent_at) = sent_at {
            self.tally.record(Timed::EndOfData, sent_at, now);
        }
        self.progress.note_accepted();
        if let Err(error) = self.log.push(Some(id)) {
            self.fault.get_or_insert(error);
        }
    }

    /// The server refused `message`; for the moment, if it may be tried again.
    pub(super) fn refuse(&mut self, message: UnderWay, code: Code) {
        if self.settings.reconnect && code.is_transient() {
            self.send_again(message);
        } else {
            self.tally.refused += 1;
            self.note_failed(Instant::now(), 1);
        }
    }

    fn lose(&mut self, now: Instant, count: u64) {
        self.tally.lost += count;
        self.note_failed(now, count);
    }

    fn note_failed(&mut self, now: Instant, count: u64) {
        self.turn_second(now);
        self.supply.settle(count);
        self.second.note_failed(count);
        self.progress.note_failed(count);
        self.tally.note_step_failed(self.progress.step_at(now), count);
    }

    fn send_again(&mut self, message: UnderWay) {
        self.tally.sent_again += 1;
        self.supply.give_back(Instant::now(), message);
    }

    /// Hands over the second before, if `now` is in another.
    fn turn_second(&mut self, now: Instant) {
        if self.second.is_past(now) {
            self.second.hand_over(&self.timeline, self.supply.under_way(), now);
        }
    }
}

/// One thread.
#[derive(Debug)]
pub(super) struct Worker {
    poll: Poll,
    connections: Vec<Connection>,
    /// Places that open a connection again, and when.
    reopening: VecDeque<(Instant, usize)>,
    /// Places whose connection is open or will be.
    alive: usize,
    buffer: Box<[u8]>,
    stop: Stop,
    desk: Desk,
}

impl Worker {
    /// A thread to be, with its share of connections.
    ///
    /// # Errors
    /// No epoll.
    pub(super) fn new(
        settings: &Arc<SourceSettings>,
        (progress, timeline): (&Arc<Progress>, &Arc<Timeline>),
        window: Window,
        stop: &Stop,
        (index, threads): (usize, usize),
    ) -> io::Result<Self> {
        let total = settings.connections;
        let share = total / threads + usize::from(index < total % threads);
        let now = Instant::now();
        let client = Arc::new(settings.client.clone());
        let session = || ClientSession::new(Arc::clone(&client));
        let supply =
            Supply::new(Arc::clone(progress), stop.clone(), settings.seed, (index, threads));
        Ok(Self {
            poll: Poll::new()?,
            connections: (0..share).map(|place| Connection::new(place, session(), now)).collect(),
            reopening: (0..share).map(|place| (now, place)).collect(),
            alive: share,
            buffer: vec![0; READ_BYTES].into_boxed_slice(),
            stop: stop.clone(),
            desk: Desk {
                settings: Arc::clone(settings),
                supply,
                tally: Tally::new(window, progress),
                idle: VecDeque::with_capacity(share),
                progress: Arc::clone(progress),
                second: SecondTally::new(timeline),
                timeline: Arc::clone(timeline),
                log: IdLog::new(settings.acked.clone()),
                fault: None,
            },
        })
    }

    /// Sends until there is no more to send.
    ///
    /// # Errors
    /// The thread cannot be pinned; the file of acknowledged ids cannot be written.
    pub(super) fn run(mut self, cpu: Option<usize>) -> io::Result<Tally> {
        if let Some(cpu) = cpu {
            cpus::pin(&[cpu])?;
        }
        let mut events = Events::with_capacity(EVENTS_PER_TURN);
        let mut next_tick = Instant::now() + TICK;
        let mut give_up_at = None;
        while self.alive > 0 {
            let wake = self.serve(Instant::now());
            self.wait(&mut events, wake.map_or(next_tick, |wake| wake.min(next_tick)))?;
            for event in &events {
                self.turn(event.token().0, event.is_read_closed());
            }
            let now = Instant::now();
            if now >= next_tick {
                next_tick = now + TICK;
                self.desk.log.flush()?;
                self.desk.turn_second(now);
                self.close_late_ones(now);
                self.close_needless_ones(now);
            }
            if let Some(fault) = self.desk.fault.take() {
                return Err(fault);
            }
            if self.stop.is_set() || self.desk.supply.time_is_up(now) {
                let grace = if self.stop.is_set() { GRACE } else { self.desk.settings.timeout };
                if now >= *give_up_at.get_or_insert(now + grace) {
                    self.abandon();
                }
            }
        }
        self.desk.log.flush()?;
        let now = Instant::now();
        self.desk.lose(now, self.desk.supply.left());
        if !self.stop.is_set() {
            self.desk.tally.unsent += self.desk.supply.overdue();
        }
        self.desk.second.hand_over(&self.desk.timeline, self.desk.supply.under_way(), now);
        Ok(self.desk.tally)
    }

    /// Opens connections and begins messages as far as it is time; when to do so again.
    fn serve(&mut self, now: Instant) -> Option<Instant> {
        while let Some(&(at, place)) = self.reopening.front() {
            if at > now && !self.desk.supply.is_over(now) {
                break;
            }
            self.reopening.pop_front();
            self.open(place, now);
        }
        let mut due = None;
        while let Some(&place) = self.desk.idle.front() {
            if !self.connections[place].is_ready() {
                self.desk.idle.pop_front();
                continue;
            }
            let state = match self.desk.supply.next(now) {
                Supplied::Message(message) => {
                    self.connections[place].begin(&mut self.desk, message)
                }
                Supplied::None => self.connections[place].quit(&self.desk),
                Supplied::Later(at) => {
                    due = Some(at);
                    break;
                }
            };
            self.desk.idle.pop_front();
            self.apply(place, state);
        }
        let reopening = self.reopening.front().map(|(at, _)| *at);
        due.into_iter().chain(reopening).min()
    }

    /// Waits for the network until `wake`. epoll counts in milliseconds: the rest of the last one
    /// is spent asking, so that a message is not late by it.
    fn wait(&mut self, events: &mut Events, wake: Instant) -> io::Result<()> {
        let time = wake.saturating_duration_since(Instant::now());
        let whole_ms = Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(0));
        match self.poll.poll(events, Some(whole_ms)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                events.clear();
                Ok(())
            }
            other => other,
        }
    }

    fn turn(&mut self, place: usize, read_closed: bool) {
        let Some(connection) = self.connections.get_mut(place) else {
            return;
        };
        let state = connection.turn(&mut self.desk, &mut self.buffer, read_closed);
        self.apply(place, state);
    }

    fn apply(&mut self, place: usize, state: State) {
        match state {
            State::Waiting => {}
            State::Over(end) => self.end(place, end),
        }
    }

    fn open(&mut self, place: usize, now: Instant) {
        if !self.desk.supply.has_more(now) {
            self.alive -= 1;
            return;
        }
        let interest = Interest::READABLE | Interest::WRITABLE;
        let opened = self.connections[place]
            .open(&self.desk.settings, now)
            .and_then(|stream| self.poll.registry().register(stream, Token(place), interest));
        if let Err(error) = opened {
            self.desk.tally.note_fault(Stage::Connect, &error);
            self.end(place, End::Failed);
        }
    }

    /// A connection is over: what becomes of its messages and of its place.
    fn end(&mut self, place: usize, end: End) {
        let reconnect = self.desk.settings.reconnect;
        let now = Instant::now();
        let interrupted = self.connections[place].close();
        match interrupted.unanswered {
            Some(message) if reconnect => self.desk.send_again(message),
            Some(_) => self.desk.lose(now, 1),
            None => {}
        }
        for message in interrupted.untouched.into_iter().flatten() {
            self.desk.supply.give_back(now, message);
        }
        match end {
            End::Quit => self.reopening.push_front((now, place)),
            End::Broken => {
                self.desk.tally.connections_broken += 1;
                self.reopening.push_front((now, place));
            }
            End::Failed => {
                self.desk.tally.connections_failed += 1;
                if reconnect {
                    self.reopening.push_back((now + RECONNECT, place));
                } else {
                    self.alive -= 1;
                }
            }
            End::Unfit => {
                self.desk.tally.connections_failed += 1;
                self.alive -= 1;
            }
        }
    }

    fn close_late_ones(&mut self, now: Instant) {
        let timeout = self.desk.settings.timeout;
        for place in 0..self.connections.len() {
            if self.connections[place].is_late(now, timeout) {
                self.desk.tally.timeouts += 1;
                let end = self.connections[place].end_of_stream();
                self.end(place, end);
            }
        }
    }

    /// When every message has met its end, nobody waits for a server that has not greeted yet.
    fn close_needless_ones(&mut self, now: Instant) {
        if self.desk.supply.has_more(now) || self.desk.supply.under_way() > 0 {
            return;
        }
        for connection in &mut self.connections {
            if connection.awaits_greeting() {
                // It carries no message: none begins before the greeting.
                let _ = connection.close();
                self.alive -= 1;
            }
        }
    }

    /// The time for what was under way is over too.
    fn abandon(&mut self) {
        let now = Instant::now();
        for place in 0..self.connections.len() {
            let interrupted = self.connections[place].close();
            let untouched = interrupted.untouched.into_iter().flatten();
            self.desk.lose(now, untouched.chain(interrupted.unanswered).count() as u64);
        }
        self.alive = 0;
    }
}
