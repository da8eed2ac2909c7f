//! The queue of one shard: messages, the ready queues of their next hops, and the deferred.
//!
//! # Strategies
//! **First in, first out, by next hop.** Each next hop has a ready queue of its own, so that a slow
//! destination holds up nobody else's mail.
//!
//! **Round robin.** Next hops that want a connection get one in turn ([`Queue::poll_connect`]), so
//! that a destination with a large backlog does not keep the others from theirs.
//!
//! **Demand.** A next hop asks for connections in proportion to its ready jobs, up to a maximum,
//! and for a single one until that came up (see `ready`).
//!
//! **Priority** (RFC 6710 §5). Within a next hop the mail of a higher priority goes first. What is
//! lower waits for as long as there is any, and ends with its age: whoever may ask for priorities
//! is trusted to use them sparingly.
//!
//! **Grouping.** Recipients of a message that share a next hop go in one transaction, up to a
//! maximum; those that are deferred together stay together.
//!
//! **Exponential backoff with jitter**, for each recipient ([`Backoff`]).
//!
//! **Destination status.** A next hop that could not be reached is held for about the first retry
//! interval ([`Queue::defer_site`]): its mail waits, what comes in meanwhile waits too, and then
//! one connection shows how it stands. Nothing is remembered beyond that, so that new mail flows
//! soon after a destination is back, while old mail keeps its own, longer waits.
//!
//! # Guarantees
//! Every recipient that is not final is in exactly one place: ready, in a job, or deferred. None is
//! lost, none is offered twice at once. The state of a recipient in the queue is the one in the
//! last [`Settled::outcome`] that was returned for it.
//!
//! **Hold** (RFC 4865). No attempt is made before a message is released, and its age counts from
//! there.
//!
//! **Expiry.** A recipient is deferred only before its message ends, and at most until then; an
//! attempt that fails at or after that time ends in a bounce. So the last attempt falls on the end
//! itself, and what was in the spool past its time while the host was down is still tried once. At
//! a deadline that the sender set nothing more is tried: [`Queue::poll_lapsed`] gives it up
//! (RFC 2852). That call also says whose sender is to be told of a delay.
//!
//! # Never
//! A message is never removed but by [`Queue::remove`].
//!
//! # Bounds
//! [`Queue::promote_due`] does at most [`PROMOTIONS_PER_CALL_MAX`] steps a call,
//! [`Queue::defer_site`] what the caller says; the rest costs the recipients that it is about, each
//! O(log n). Memory is proportional to the messages and moves none when it grows.

use std::collections::BTreeMap;
use std::ops::Bound;

use smallvec::SmallVec;

use super::alarms::Alarms;
use super::backoff::Backoff;
use super::decision::Decision;
use super::deferred::Deferred;
use super::job::{Job, QueueSettings, Settled};
use super::ready::{ReadyQueues, SiteView};
use super::slots::{Key, Slots};
use super::task::{Links, Place, Task};
use super::terms::{End, Expiry, Terms};
use crate::clock::WallTime;
use crate::ids::MessageId;
use crate::limits::PROMOTIONS_PER_CALL_MAX;
use crate::message::{Message, RecipientState};
use crate::route::{NextHop, RouteTable, recipient_domain};
use crate::seed::SeedStream;

/// A message and the list of its tasks.
#[derive(Debug)]
pub(super) struct Entry {
    message: Message,
    tasks: Key<Task>,
    /// Its time in the alarms.
    alarm: Option<WallTime>,
}

/// See the [module](self).
#[derive(Debug)]
pub struct Queue {
    backoff: Backoff,
    terms: Terms,
    recipients_per_transaction_max: usize,
    local_domain: Box<str>,
    seeds: SeedStream,
    next_ticket: u64,
    entries: Slots<Entry>,
    by_id: BTreeMap<MessageId, Key<Entry>>,
    tasks: Slots<Task>,
    ready: ReadyQueues,
    deferred: Deferred,
    alarms: Alarms,
}

impl Queue {
    /// An empty queue.
    ///
    /// # Panics
    /// If a maximum in `settings` is zero.
    pub fn new(settings: QueueSettings) -> Self {
        assert!(settings.connections_per_site_max > 0, "a next hop needs a connection");
        assert!(settings.recipients_per_transaction_max > 0, "a transaction needs a recipient");
        Self {
            backoff: Backoff { first: settings.retry_first, max: settings.retry_max },
            terms: Terms { expire: settings.expire, delay_notice: settings.delay_notice },
            recipients_per_transaction_max: settings.recipients_per_transaction_max,
            local_domain: settings.local_domain,
            seeds: SeedStream::new(settings.seed),
            next_ticket: 0,
            entries: Slots::new(),
            by_id: BTreeMap::new(),
            tasks: Slots::new(),
            ready: ReadyQueues::new(settings.connections_per_site_max),
            deferred: Deferred::new(),
            alarms: Alarms::default(),
        }
    }

    /// Takes in a message, fresh or recovered. A recipient whose next attempt lies ahead is
    /// deferred until then (or until the message ends, if that is earlier), and one that no attempt
    /// was made for until the message is released; the others are ready. Recipients that are final
    /// stay as they are.
    ///
    /// Returns whether the queue keeps the message: not if it is finished, nor if the queue has one
    /// of this id.
    pub fn insert(&mut self, wall: WallTime, routes: &RouteTable, mut message: Message) -> bool {
        if message.is_finished() || self.by_id.contains_key(&message.id) {
            return false;
        }
        let (released, end) = (message.released(), self.terms.end(&message));
        let priority = message.priority();
        let local_domain = &self.local_domain;
        // The next hop of a recipient, and when it is due if not at once.
        let mut placed: SmallVec<[(NextHop, Option<WallTime>, u32); 1]> = SmallVec::new();
        for (index, recipient) in (0_u32..).zip(&mut message.recipients) {
            let RecipientState::Pending { attempts, next_attempt, .. } = &mut recipient.state
            else {
                continue;
            };
            if *attempts == 0 {
                *next_attempt = (*next_attempt).max(released);
            }
            *next_attempt = (*next_attempt).min(end.at);
            let due = Some(*next_attempt).filter(|&due| due > wall);
            let hop = routes.next_hop(recipient_domain(&recipient.address, local_domain));
            placed.push((hop, due, index));
        }
        placed.sort_unstable();
        let id = message.id;
        let alarm = self.terms.next_alarm(&message, None);
        let entry = self.entries.insert(Entry { message, tasks: Key::NONE, alarm });
        self.alarms.set(entry, None, alarm);
        self.by_id.insert(id, entry);
        let together = placed.chunk_by(|one, other| (&one.0, one.1) == (&other.0, other.1));
        for group in together {
            for part in group.chunks(self.recipients_per_transaction_max) {
                let (hop, due, _) = &part[0];
                let recipients = part.iter().map(|&(_, _, index)| index).collect();
                let site = self.ready.add_task(hop.clone());
                let task = self.add_task(entry, site, priority, recipients);
                self.place(task, *due);
            }
        }
        true
    }

    /// The message, if the queue has it.
    pub fn message(&self, id: MessageId) -> Option<&Message> {
        self.by_id.get(&id).map(|&key| &self.entries[key].message)
    }

    /// The message, for a change of where its content lies.
    ///
    /// Recipients and their states are the queue's business: whoever changes them here makes the
    /// schedule and the message disagree.
    pub fn message_mut(&mut self, id: MessageId) -> Option<&mut Message> {
        let &key = self.by_id.get(&id)?;
        Some(&mut self.entries[key].message)
    }

    /// When `message` is given up if it was not delivered until then.
    pub fn ends_at(&self, message: &Message) -> WallTime {
        self.terms.end(message).at
    }

    /// Messages in the queue.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether no message is in the queue.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// The messages with an id above `id`, in the order of their ids: for listings, page by page.
    pub fn messages_after(&self, id: Option<MessageId>) -> impl Iterator<Item = &Message> {
        let from = id.map_or(Bound::Unbounded, Bound::Excluded);
        self.by_id.range((from, Bound::Unbounded)).map(|(_, &key)| &self.entries[key].message)
    }

    /// Every next hop that has mail or connections, in order.
    pub fn sites(&self) -> impl Iterator<Item = SiteView<'_>> {
        self.ready.views()
    }

    /// Makes ready what is due, and ends the holds of sites. If more is due than one call does,
    /// [`Queue::next_due`] still lies in the past.
    pub fn promote_due(&mut self, wall: WallTime) {
        for _ in 0..PROMOTIONS_PER_CALL_MAX {
            if let Some(task) = self.deferred.pop_due(wall) {
                self.ready.push_back(&mut self.tasks, task);
            } else if !self.ready.release_due(wall) {
                break;
            }
        }
    }

    /// What time alone has brought about for one message: recipients that are given up because the
    /// deadline of their sender has passed (RFC 2852), or whose sender is to be told of a delay
    /// (RFC 3461 §5.2.5). Its outcome is recorded as that of a job is. Recipients of jobs that are
    /// out are not given up here: what comes of the job decides.
    ///
    /// The caller goes on until there is none, and before it calls [`Queue::promote_due`], so that
    /// nothing is tried past its deadline.
    #[must_use]
    pub fn poll_lapsed(&mut self, wall: WallTime) -> Option<Settled> {
        while let Some(entry) = self.alarms.first_due(wall) {
            let settled = self.lapse(wall, entry);
            if !settled.outcome.recipients.is_empty() {
                return Some(settled);
            }
        }
        None
    }

    /// When [`Queue::poll_lapsed`] has something to say next.
    #[must_use]
    pub fn next_lapse(&self) -> Option<WallTime> {
        self.alarms.next_due()
    }

    /// When [`Queue::promote_due`] has something to do next.
    #[must_use]
    pub fn next_due(&self) -> Option<WallTime> {
        self.deferred.next_due().into_iter().chain(self.ready.next_due()).min()
    }

    /// A next hop that wants one more connection, counted from here on as being made. The caller
    /// makes it and reports [`Queue::connection_opened`] when it is up, and
    /// [`Queue::connection_closed`] when it has ended or could not be made.
    ///
    /// [`NextHop::Discard`] comes too: the caller takes its jobs, settles them as delivered and
    /// calls `connection_closed`, without a connection. If it took all jobs that call may be left
    /// out.
    #[must_use]
    pub fn poll_connect(&mut self) -> Option<NextHop> {
        self.ready.poll_connect()
    }

    /// A connection that [`Queue::poll_connect`] asked for is up: the next hop is there, and its
    /// backlog may bring more.
    pub fn connection_opened(&mut self, next_hop: &NextHop) {
        if let Some(site) = self.ready.find(next_hop) {
            self.ready.prove(site);
        }
    }

    /// A connection that [`Queue::poll_connect`] asked for has ended, or could not be made. In the
    /// latter case [`Queue::defer_site`] comes first, or the next call of `poll_connect` asks for
    /// the same again.
    pub fn connection_closed(&mut self, next_hop: &NextHop) {
        if let Some(site) = self.ready.find(next_hop) {
            self.ready.connection_closed(site);
        }
    }

    /// The next job of `next_hop`, for a connection that is free. A hold does not matter: a
    /// connection that is up may serve.
    #[must_use]
    pub fn take_job(&mut self, next_hop: &NextHop) -> Option<Job> {
        let site = self.ready.find(next_hop)?;
        let Some(task) = self.ready.head(site) else {
            self.ready.discard_drained(site);
            return None;
        };
        Some(self.take(task))
    }

    /// A job of which nothing was tried, back to the head of its ready queue.
    pub fn give_back(&mut self, next_hop: &NextHop, job: Job) {
        if !self.is_running(&job) {
            return;
        }
        let site = self.tasks[job.task].site;
        debug_assert_eq!(self.ready.next_hop(site), next_hop, "a job of another next hop");
        // Ready first, so that the site is not forgotten in between.
        self.ready.push_front(&mut self.tasks, job.task);
        self.ready.job_ended(site);
        // While it was out its deadline may have passed.
        let entry = self.tasks[job.task].entry;
        let alarm = self.terms.next_alarm(&self.entries[entry].message, None);
        self.set_alarm(entry, alarm);
    }

    /// Takes the results of a job: one [`Decision`] for each of its recipients, by index, in any
    /// order. A recipient without one is deferred.
    pub fn settle(&mut self, wall: WallTime, job: &Job, results: &[(u32, Decision)]) -> Settled {
        if !self.is_running(job) {
            return Settled::new(job.message, Expiry::Age);
        }
        let missing = Decision::Defer { reason: "the attempt ended without a result".into() };
        let mut decisions: SmallVec<[&Decision; 4]> =
            SmallVec::from_elem(&missing, job.recipients.len());
        for (index, decision) in results {
            let position = job.recipients.binary_search(index);
            debug_assert!(position.is_ok(), "a result for a recipient that is not in the job");
            if let Some(slot) = position.ok().and_then(|place| decisions.get_mut(place)) {
                *slot = decision;
            }
        }
        self.conclude(wall, job, &decisions)
    }

    /// The next hop cannot be reached: holds it, so that it gets no connection for about the first
    /// retry interval, and defers up to `count_max` of its ready jobs for `reason`. The caller
    /// goes on until the result is shorter than `count_max`, over several turns if there are many;
    /// what it leaves waits for the end of the hold.
    pub fn defer_site(
        &mut self,
        wall: WallTime,
        next_hop: &NextHop,
        reason: &str,
        count_max: usize,
    ) -> Vec<(Job, Settled)> {
        let Some(site) = self.ready.find(next_hop) else { return Vec::new() };
        // Without a random part, so that what is deferred now finds the hold ended.
        self.ready.hold(site, wall + self.backoff.wait(1, 0));
        let decision = Decision::Defer { reason: reason.into() };
        let mut deferred = Vec::new();
        while deferred.len() < count_max {
            // A bounce may have been the last task of the site, which is then forgotten.
            let Some(task) = self.ready.find(next_hop).and_then(|site| self.ready.head(site))
            else {
                break;
            };
            let job = self.take(task);
            let decisions = SmallVec::<[&Decision; 4]>::from_elem(&decision, job.recipients.len());
            let settled = self.conclude(wall, &job, &decisions);
            deferred.push((job, settled));
        }
        deferred
    }

    /// Takes a message out: finished and its outcome appended, or withdrawn. Jobs of it that are
    /// out come to nothing when they are settled.
    pub fn remove(&mut self, id: MessageId) -> Option<Message> {
        let key = self.by_id.remove(&id)?;
        self.set_alarm(key, None);
        while let Some(task) = self.entries[key].tasks.some() {
            self.withdraw(task);
        }
        Some(self.entries.remove(key).message)
    }

    fn add_task(
        &mut self,
        entry: Key<Entry>,
        site: Key<super::ready::Site>,
        priority: i8,
        recipients: SmallVec<[u32; 4]>,
    ) -> Key<Task> {
        let next = self.entries[entry].tasks;
        let task = self.tasks.insert(Task {
            entry,
            site,
            // No job has this ticket; the caller places the task at once.
            place: Place::Running { ticket: u64::MAX },
            siblings: Links { previous: Key::NONE, next },
            priority,
            recipients,
        });
        if let Some(next) = next.some() {
            self.tasks[next].siblings.previous = task;
        }
        self.entries[entry].tasks = task;
        task
    }

    /// Gives a task that is in no list its place: deferred until `due`, or ready.
    fn place(&mut self, task: Key<Task>, due: Option<WallTime>) {
        match due {
            Some(due) => {
                self.tasks[task].place = Place::Deferred { due };
                self.deferred.insert(due, task);
            }
            None => self.ready.push_back(&mut self.tasks, task),
        }
    }

    /// Makes a job of a ready task.
    fn take(&mut self, task: Key<Task>) -> Job {
        let site = self.tasks[task].site;
        self.ready.unlink(&mut self.tasks, task);
        self.ready.job_started(site);
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.tasks[task].place = Place::Running { ticket };
        let Task { entry, recipients, .. } = &self.tasks[task];
        Job {
            message: self.entries[*entry].message.id,
            recipients: recipients.clone(),
            task,
            ticket,
        }
    }

    /// Whether the job is out, and not settled, given back, or of a message that was removed.
    fn is_running(&self, job: &Job) -> bool {
        let running = Place::Running { ticket: job.ticket };
        self.tasks.get(job.task).is_some_and(|task| task.place == running)
    }

    /// Gives each recipient of a running job its decision, in the order of the job.
    fn conclude(&mut self, wall: WallTime, job: &Job, decisions: &[&Decision]) -> Settled {
        let Task { entry, site, priority, .. } = self.tasks[job.task];
        // One number for the job, so that its recipients are deferred to the same time and stay
        // together.
        let random = self.seeds.take();
        let message = &mut self.entries[entry].message;
        let end = self.terms.end(message);
        let mut settled = Settled::new(job.message, end.expiry);
        let mut again: SmallVec<[(WallTime, u32); 4]> = SmallVec::new();
        for (&index, &decision) in job.recipients.iter().zip(decisions) {
            let state = &mut message.recipients[index as usize].state;
            let wait = |attempts| self.backoff.wait(attempts, random);
            let (next, reason) = self.terms.judge(decision, state, end, wall, wait);
            if let RecipientState::Pending { next_attempt, .. } = next {
                again.push((next_attempt, index));
            }
            if let Some(reason) = reason {
                settled.bounced.push(index);
                settled.bounce_reasons.push(reason);
            }
            settled.outcome.recipients.push((index, next.clone()));
            *state = next;
        }
        if decisions.iter().any(|decision| matches!(decision, Decision::Deliver)) {
            self.ready.prove(site);
        }
        again.sort_unstable();
        for group in again.chunk_by(|one, other| one.0 == other.0) {
            let recipients = group.iter().map(|&(_, index)| index).collect();
            self.ready.add_task_to(site);
            let task = self.add_task(entry, site, priority, recipients);
            self.place(task, Some(group[0].0));
        }
        self.ready.job_ended(site);
        self.drop_task(job.task);
        self.finish(entry, &mut settled);
        settled
    }

    /// Gives up the recipients of a message whose deadline has passed, but for those of jobs that
    /// are out; or else finds those whose sender is to be told of a delay. Sets the next alarm.
    fn lapse(&mut self, wall: WallTime, entry: Key<Entry>) -> Settled {
        let message = &self.entries[entry].message;
        let end = self.terms.end(message);
        let mut settled = Settled::new(message.id, end.expiry);
        if end.expiry == Expiry::DeliverBy && end.at <= wall {
            self.give_up_idle(entry, end, &mut settled);
        } else {
            let message = &mut self.entries[entry].message;
            for index in self.terms.delayed(message, wall) {
                let state = &mut message.recipients[index as usize].state;
                if let RecipientState::Pending { delay_told, .. } = state {
                    *delay_told = true;
                }
                settled.delayed.push(index);
                settled.outcome.recipients.push((index, state.clone()));
            }
        }
        let alarm = self.terms.next_alarm(&self.entries[entry].message, Some(wall));
        self.set_alarm(entry, alarm);
        self.finish(entry, &mut settled);
        settled
    }

    fn give_up_idle(&mut self, entry: Key<Entry>, end: End, settled: &mut Settled) {
        let mut next = self.entries[entry].tasks;
        let mut given_up: SmallVec<[u32; 4]> = SmallVec::new();
        while let Some(task) = next.some() {
            next = self.tasks[task].siblings.next;
            if !matches!(self.tasks[task].place, Place::Running { .. }) {
                given_up.extend_from_slice(&self.tasks[task].recipients);
                self.withdraw(task);
            }
        }
        given_up.sort_unstable();
        for index in given_up {
            let state = &mut self.entries[entry].message.recipients[index as usize].state;
            let before = std::mem::replace(state, RecipientState::Bounced);
            let last_failure = match &before {
                RecipientState::Pending { last_failure, .. } => &**last_failure,
                RecipientState::Delivered | RecipientState::Bounced => "",
            };
            settled.bounced.push(index);
            settled.bounce_reasons.push(self.terms.end_reason(end.expiry, last_failure));
            settled.outcome.recipients.push((index, RecipientState::Bounced));
        }
    }

    /// Notes in `settled` whether that was the last of the message.
    fn finish(&mut self, entry: Key<Entry>, settled: &mut Settled) {
        settled.finished = self.entries[entry].tasks.some().is_none();
        debug_assert_eq!(settled.finished, self.entries[entry].message.is_finished());
        if settled.finished {
            self.set_alarm(entry, None);
        }
    }

    fn set_alarm(&mut self, entry: Key<Entry>, alarm: Option<WallTime>) {
        let old = std::mem::replace(&mut self.entries[entry].alarm, alarm);
        self.alarms.set(entry, old, alarm);
    }

    /// Takes a task out of its place and forgets it.
    fn withdraw(&mut self, task: Key<Task>) {
        match self.tasks[task].place {
            Place::Deferred { due } => self.deferred.remove(due, task),
            Place::Ready { .. } => self.ready.unlink(&mut self.tasks, task),
            Place::Running { .. } => self.ready.job_ended(self.tasks[task].site),
        }
        self.drop_task(task);
    }

    /// Forgets a task that is in no list any more.
    fn drop_task(&mut self, task: Key<Task>) {
        let Task { entry, site, siblings: Links { previous, next }, .. } = self.tasks.remove(task);
        match previous.some() {
            Some(previous) => self.tasks[previous].siblings.next = next,
            None => self.entries[entry].tasks = next,
        }
        if let Some(next) = next.some() {
            self.tasks[next].siblings.previous = previous;
        }
        self.ready.drop_task(site);
    }
}

#[cfg(test)]
impl Queue {
    /// Where a pending recipient stands; checks on the way that every list agrees.
    pub(super) fn place_of(&self, id: MessageId, recipient: u32) -> Option<Place> {
        let entry = &self.entries[*self.by_id.get(&id)?];
        let mut found = None;
        let mut next = entry.tasks;
        while let Some(key) = next.some() {
            let task = &self.tasks[key];
            assert!(task.recipients.is_sorted(), "recipients of a task rise");
            assert!(!task.recipients.is_empty(), "a task has recipients");
            assert!(task.recipients.len() <= self.recipients_per_transaction_max);
            if task.recipients.contains(&recipient) {
                assert!(found.is_none(), "a recipient is in two tasks");
                found = Some(task.place);
            }
            next = task.siblings.next;
        }
        found
    }

    pub(super) fn alarm_count(&self) -> usize {
        self.alarms.len()
    }

    /// Tasks that exist, and of these the deferred.
    pub(super) fn task_counts(&self) -> (usize, usize) {
        (self.tasks.len(), self.deferred.len())
    }
}
