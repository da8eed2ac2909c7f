//! The queue beside a naive twin that keeps every recipient in one plain table, driven by random
//! operations.

mod operation;
mod twin;

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;

use self::operation::{Asks, Operation, operation};
use self::twin::{Belief, Facts, Twin};
use super::task::Place;
use super::{Backoff, Decision, Expiry, Job, Queue, QueueSettings, Settled};
use crate::clock::WallTime;
use crate::ids::MessageId;
use crate::message::{
    Content, DeliverBy, DeliverByMode, Message, Notices, Notify, Recipient, RecipientState, Wishes,
};
use crate::route::{Destination, NextHop, Route, RouteTable};

const RETRY_FIRST: Duration = Duration::from_secs(10);
const RETRY_MAX: Duration = Duration::from_secs(60);
const EXPIRE: Duration = Duration::from_secs(200);
const DELAY_NOTICE: Duration = Duration::from_secs(50);
const CONNECTIONS_MAX: usize = 3;
const RECIPIENTS_MAX: usize = 2;

fn queue() -> Queue {
    Queue::new(QueueSettings {
        retry_first: RETRY_FIRST,
        retry_max: RETRY_MAX,
        expire: EXPIRE,
        delay_notice: DELAY_NOTICE,
        connections_per_site_max: CONNECTIONS_MAX,
        recipients_per_transaction_max: RECIPIENTS_MAX,
        ..QueueSettings::new("local.test", 1)
    })
}

fn routes() -> RouteTable {
    let domains = vec!["trash.test".parse().unwrap()];
    RouteTable::new(&[Route { domains, to: Destination::Discard }], 25)
}

pub(super) fn message(id: u64, received: WallTime, addresses: &[&str]) -> Message {
    Message {
        id: MessageId(id),
        received,
        sender: b"sender@example.org".as_slice().into(),
        recipients: addresses
            .iter()
            .map(|address| Recipient {
                address: address.as_bytes().into(),
                state: RecipientState::new(received),
                notices: None,
            })
            .collect(),
        content: Content::default(),
        wishes: None,
    }
}

pub(super) fn at(second: u64) -> WallTime {
    WallTime::from_unix_ms(1_000_000_000_000) + Duration::from_secs(second)
}

pub(super) fn mx(domain: &str) -> NextHop {
    NextHop::Mx { domain: domain.into() }
}

pub(super) fn defer(reason: &str) -> Decision {
    Decision::Defer { reason: reason.into() }
}

fn hop(domain: u8) -> NextHop {
    match domain {
        0 => NextHop::Discard,
        4 => mx("local.test"),
        n => mx(&format!("d{n}.test")),
    }
}

fn address(domain: u8, number: usize) -> String {
    match domain {
        0 => format!("u{number}@trash.test"),
        4 => "postmaster".into(),
        n => format!("u{number}@D{n}.test."),
    }
}

/// The queue, its twin, and what the twin's caller would hold in its hands.
struct Pair {
    queue: Queue,
    twin: Twin,
    routes: RouteTable,
    wall: WallTime,
    ids: u64,
    jobs: Vec<(NextHop, Job)>,
    up: Vec<NextHop>,
}

impl Pair {
    fn apply(&mut self, operation: Operation) {
        match operation {
            Operation::Insert { domains, attempts, ahead_s, asks } => {
                self.insert(&domains, attempts, ahead_s, &asks);
            }
            Operation::Advance { seconds } => {
                self.wall = self.wall + Duration::from_secs(seconds);
                self.lapse();
                self.queue.promote_due(self.wall);
                self.twin.promote(self.wall);
            }
            Operation::Connect => self.connect(),
            Operation::Opened { pick } => {
                if let Some(hop) = pick_of(&self.up, pick) {
                    self.queue.connection_opened(&self.up[hop]);
                }
            }
            Operation::Closed { pick } => {
                if let Some(place) = pick_of(&self.up, pick) {
                    let hop = self.up.swap_remove(place);
                    self.queue.connection_closed(&hop);
                    *self.twin.connections.get_mut(&hop).unwrap() -= 1;
                }
            }
            Operation::Take { domain } => self.take(&hop(domain)),
            Operation::GiveBack { pick } => self.give_back(pick),
            Operation::Settle { pick, decisions } => self.settle(pick, &decisions),
            Operation::DeferSite { domain, count_max } => {
                self.defer_site(&hop(domain), count_max);
            }
            Operation::Remove { pick } => self.remove(pick),
        }
        self.twin.tidy();
        self.compare();
    }

    fn insert(&mut self, domains: &[u8], attempts: u16, ahead_s: i64, asks: &Asks) {
        self.ids += 1;
        let addresses: Vec<String> =
            domains.iter().enumerate().map(|(n, &domain)| address(domain, n)).collect();
        let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
        let shift = Duration::from_secs(ahead_s.unsigned_abs());
        let back = self.wall.as_unix_ms() - u64::try_from(shift.as_millis()).unwrap();
        // Behind: an old message whose attempts are overdue; ahead: recovered, deferred.
        let received = if ahead_s < 0 { WallTime::from_unix_ms(back) } else { self.wall };
        let mut message = message(self.ids, received, &addresses);
        if attempts > 0 && ahead_s > 0 {
            for recipient in &mut message.recipients {
                recipient.state = RecipientState::Pending {
                    attempts,
                    next_attempt: self.wall + shift,
                    last_failure: "before the restart".into(),
                    delay_told: false,
                };
            }
        }
        let facts = self.ask(&mut message, asks);
        if ahead_s % 3 == 0 {
            message.recipients[0].state = RecipientState::Delivered;
        }
        let is_finished = message.is_finished();
        let id = message.id;
        let released = message.released();
        self.twin.facts.insert(id, facts);
        for (index, (recipient, &domain)) in (0..).zip(message.recipients.iter().zip(domains)) {
            let belief = match &recipient.state {
                RecipientState::Pending { attempts, next_attempt, .. } => {
                    let first = if *attempts == 0 { released } else { *next_attempt };
                    let due = (*next_attempt).max(first).min(facts.end);
                    if due > self.wall {
                        Belief::Deferred(due)
                    } else {
                        Belief::Ready(self.twin.rank)
                    }
                }
                RecipientState::Delivered | RecipientState::Bounced => Belief::Final,
            };
            if !is_finished {
                self.twin.beliefs.insert((id, index), (hop(domain), belief));
            }
        }
        self.twin.rank += 1;
        assert_eq!(self.queue.insert(self.wall, &self.routes, message.clone()), !is_finished);
        assert!(!self.queue.insert(self.wall, &self.routes, message), "twice");
    }

    /// Gives the message what was asked for, and says what follows from it.
    fn ask(&self, message: &mut Message, asks: &Asks) -> Facts {
        let time = |second: i64| {
            let shift = Duration::from_secs(second.unsigned_abs());
            if second < 0 {
                let shift = u64::try_from(shift.as_millis()).unwrap();
                WallTime::from_unix_ms(self.wall.as_unix_ms() - shift)
            } else {
                self.wall + shift
            }
        };
        let hold_until = asks.hold_s.map(|second| self.wall + Duration::from_secs(second));
        let deliver_by = asks.by.map(|(second, notify)| DeliverBy {
            at: time(second),
            mode: if notify { DeliverByMode::Notify } else { DeliverByMode::Return },
            trace: false,
        });
        if asks.priority.is_some() || hold_until.is_some() || deliver_by.is_some() {
            let wishes =
                Wishes { priority: asks.priority, hold_until, deliver_by, ..Wishes::default() };
            message.wishes = Some(Box::new(wishes));
        }
        if asks.delay {
            for recipient in &mut message.recipients {
                let notify = Some(Notify { delay: true, ..Notify::default() });
                recipient.notices = Some(Box::new(Notices { notify, ..Notices::default() }));
            }
        }
        let released = hold_until.map_or(message.received, |until| until.max(message.received));
        let aged = released + EXPIRE;
        let deadline = asks.by.filter(|(_, notify)| !notify).map(|(second, _)| time(second));
        let warning = asks.by.filter(|(_, notify)| *notify).map(|(second, _)| time(second));
        let warning = warning.filter(|at| *at > message.received);
        let is_told = asks.delay || asks.by.is_some_and(|(_, notify)| notify);
        Facts {
            priority: asks.priority.unwrap_or(0),
            end: deadline.map_or(aged, |at| at.min(aged)),
            returns: deadline.is_some_and(|at| at < aged),
            delay_at: is_told.then(|| warning.unwrap_or(released + DELAY_NOTICE)),
        }
    }

    fn lapse(&mut self) {
        while let Some(settled) = self.queue.poll_lapsed(self.wall) {
            self.lapsed(&settled);
        }
        assert!(
            self.twin.lapses(self.wall).all(|at| at > self.wall),
            "something was not done in time"
        );
    }

    /// The twin's side of what time alone has done.
    fn lapsed(&mut self, settled: &Settled) {
        let id = settled.outcome.message;
        let facts = self.twin.facts[&id];
        let message = self.queue.message(id).unwrap();
        assert_eq!(settled.finished, message.is_finished());
        assert!(settled.bounced.is_empty() || settled.delayed.is_empty());
        assert!(!settled.outcome.recipients.is_empty());
        for (index, state) in &settled.outcome.recipients {
            assert_eq!(*state, message.recipients[*index as usize].state);
            let (_, belief) = self.twin.beliefs.get_mut(&(id, *index)).unwrap();
            if settled.bounced.contains(index) {
                assert!(facts.returns && facts.end <= self.wall, "given up early");
                assert!(matches!(belief, Belief::Ready(_) | Belief::Deferred(_)), "{belief:?}");
                assert_eq!(settled.expiry, Expiry::DeliverBy);
                *belief = Belief::Final;
            } else {
                assert!(settled.delayed.contains(index));
                assert!(facts.delay_at.is_some_and(|at| at <= self.wall), "told early");
                assert!(*belief != Belief::Final, "told of what is final");
                assert!(self.twin.told.insert((id, *index)), "told twice");
            }
        }
        assert!(settled.bounce_reasons.iter().all(|reason| reason.starts_with("5.4.7 ")));
    }

    fn connect(&mut self) {
        let Some(hop) = self.queue.poll_connect() else { return };
        let count = self.twin.connections.entry(hop.clone()).or_default();
        *count += 1;
        assert!(*count <= CONNECTIONS_MAX, "more connections than allowed");
        assert!(!self.twin.holds.contains_key(&hop), "a connection to a held site");
        assert!(self.twin.lowest_rank(&hop).is_some(), "a connection that nobody needs");
        self.up.push(hop);
    }

    fn take(&mut self, hop: &NextHop) {
        let job = self.queue.take_job(hop);
        if *hop == NextHop::Discard && job.is_none() {
            self.twin.connections.remove(hop);
            self.up.retain(|up| up != hop);
        }
        let lowest = self.twin.lowest_rank(hop);
        assert_eq!(job.is_some(), lowest.is_some(), "a job exactly if any recipient is ready");
        if let Some(job) = job {
            self.run(hop, &job, lowest);
            self.jobs.push((hop.clone(), job));
        }
    }

    /// The twin's side of taking a job.
    fn run(&mut self, hop: &NextHop, job: &Job, lowest: Option<(i8, i64)>) {
        let priority = self.twin.facts[&job.message].priority;
        for &index in &job.recipients {
            let (of, belief) = self.twin.beliefs.get_mut(&(job.message, index)).unwrap();
            assert_eq!(of, hop);
            let place = match belief {
                Belief::Ready(rank) => Some((-priority, *rank)),
                Belief::Running | Belief::Deferred(_) | Belief::Final => None,
            };
            assert!(place.is_some() && place == lowest, "in order");
            *belief = Belief::Running;
        }
    }

    fn give_back(&mut self, pick: usize) {
        let Some(place) = pick_of(&self.jobs, pick) else { return };
        let (hop, job) = self.jobs.swap_remove(place);
        self.twin.front_rank -= 1;
        for &index in &job.recipients {
            if let Some((_, belief)) = self.twin.beliefs.get_mut(&(job.message, index)) {
                assert_eq!(*belief, Belief::Running);
                *belief = Belief::Ready(self.twin.front_rank);
            }
        }
        self.queue.give_back(&hop, job);
    }

    fn settle(&mut self, pick: usize, decisions: &[u8]) {
        let Some(place) = pick_of(&self.jobs, pick) else { return };
        let (_, job) = self.jobs.swap_remove(place);
        let results: Vec<(u32, Decision)> = job
            .recipients
            .iter()
            .zip(decisions)
            .filter_map(|(&index, decision)| match decision {
                0 | 1 => Some((index, Decision::Deliver)),
                2 => Some((index, Decision::Bounce { reason: "5.1.1 unknown".into() })),
                3 | 4 => Some((index, defer("4.2.2 full"))),
                // No result for this one.
                _ => None,
            })
            .rev()
            .collect();
        let settled = self.queue.settle(self.wall, &job, &results);
        if self.queue.message(job.message).is_none() {
            assert!(settled.outcome.recipients.is_empty(), "a removed message has no outcome");
            return;
        }
        self.conclude(&job, &results, &settled);
        let is_finished = self.queue.message(job.message).unwrap().is_finished();
        assert_eq!(settled.finished, is_finished);
        let again = self.queue.settle(self.wall, &job, &results);
        assert!(again.outcome.recipients.is_empty(), "a job settles once");
    }

    /// The twin's side of settling a job that was running.
    fn conclude(&mut self, job: &Job, results: &[(u32, Decision)], settled: &Settled) {
        let indices: Vec<u32> = settled.outcome.recipients.iter().map(|(n, _)| *n).collect();
        assert_eq!(indices, job.recipients.to_vec());
        assert_eq!(settled.bounced.len(), settled.bounce_reasons.len());
        let message = self.queue.message(job.message).unwrap();
        let facts = self.twin.facts[&job.message];
        let expired = self.wall >= facts.end;
        assert_eq!(settled.expiry == Expiry::DeliverBy, facts.returns);
        assert!(settled.delayed.is_empty());
        for (index, state) in &settled.outcome.recipients {
            assert_eq!(*state, message.recipients[*index as usize].state);
            let decision = results.iter().find(|(n, _)| n == index).map(|(_, decision)| decision);
            let belief = match (decision, state) {
                (Some(Decision::Deliver), RecipientState::Delivered) => Belief::Final,
                (Some(Decision::Bounce { .. }), RecipientState::Bounced) => Belief::Final,
                (Some(Decision::Defer { .. }) | None, RecipientState::Bounced) => {
                    assert!(expired, "a deferral before the expiry bounced");
                    Belief::Final
                }
                (
                    Some(Decision::Defer { .. }) | None,
                    RecipientState::Pending { attempts, next_attempt, delay_told, .. },
                ) => {
                    let was_told = self.twin.told.contains(&(job.message, *index));
                    assert_eq!(*delay_told, was_told);
                    assert!(!expired, "a deferral after the expiry");
                    let backoff = Backoff { first: RETRY_FIRST, max: RETRY_MAX };
                    let least = self.wall + backoff.wait(*attempts, 0);
                    let most = self.wall + backoff.wait(*attempts, u64::MAX);
                    assert!(*next_attempt >= least.min(facts.end));
                    assert!(*next_attempt <= most.min(facts.end));
                    Belief::Deferred(*next_attempt)
                }
                other => panic!("{other:?}"),
            };
            assert_eq!(*state == RecipientState::Bounced, settled.bounced.contains(index));
            self.twin.beliefs.get_mut(&(job.message, *index)).unwrap().1 = belief;
        }
    }

    fn defer_site(&mut self, hop: &NextHop, count_max: usize) {
        let is_known = self.twin.beliefs.values().any(|(of, b)| of == hop && *b != Belief::Final)
            || self.twin.connections.get(hop).is_some_and(|&count| count > 0);
        if is_known {
            self.twin.holds.entry(hop.clone()).or_insert(self.wall + RETRY_FIRST);
        }
        let deferred = self.queue.defer_site(self.wall, hop, "no route to host", count_max);
        assert!(deferred.len() <= count_max);
        for (job, settled) in &deferred {
            let lowest = self.twin.lowest_rank(hop);
            self.run(hop, job, lowest);
            self.conclude(job, &[], settled);
        }
        // Of the jobs of one message only the last can finish it.
        for (place, (job, settled)) in deferred.iter().enumerate() {
            let is_last = deferred[place + 1..].iter().all(|(of, _)| of.message != job.message);
            let is_finished = self.queue.message(job.message).unwrap().is_finished();
            assert_eq!(settled.finished, is_last && is_finished);
        }
        if deferred.len() < count_max {
            assert_eq!(self.twin.lowest_rank(hop), None, "a ready job was left");
        }
    }

    fn remove(&mut self, pick: usize) {
        let ids: Vec<MessageId> = self.queue.messages_after(None).map(|m| m.id).collect();
        let Some(place) = pick_of(&ids, pick) else { return };
        let id = ids[place];
        assert_eq!(self.queue.remove(id).unwrap().id, id);
        assert!(self.queue.remove(id).is_none());
        self.twin.beliefs.retain(|(of, _), _| *of != id);
    }

    /// Every recipient is where the twin believes it to be, and nothing else is anywhere.
    fn compare(&self) {
        let mut ids = BTreeSet::new();
        for ((id, index), (_, belief)) in &self.twin.beliefs {
            ids.insert(*id);
            let place = self.queue.place_of(*id, *index);
            let agrees = match (belief, place) {
                (Belief::Ready(_), Some(Place::Ready { .. })) => true,
                (Belief::Running, Some(Place::Running { .. })) => true,
                (Belief::Deferred(expected), Some(Place::Deferred { due })) => *expected == due,
                (Belief::Final, None) => true,
                _ => false,
            };
            assert!(agrees, "{id} {index}: {belief:?} but {place:?}");
            let message = self.queue.message(*id).unwrap();
            let is_final = message.recipients[*index as usize].state.is_final();
            assert_eq!(is_final, *belief == Belief::Final);
        }
        assert!(ids.iter().copied().eq(self.queue.messages_after(None).map(|m| m.id)));
        assert_eq!(ids.len(), self.queue.len());
        assert_eq!(self.queue.next_due(), self.twin.next_due());
        if let Some(at) = self.twin.lapses(self.wall).min() {
            assert!(self.queue.next_lapse().is_some_and(|next| next <= at), "an alarm is missing");
        }
        let (mut tasks, mut deferred) = (0, 0);
        for view in self.queue.sites() {
            tasks += view.ready + view.running + view.deferred;
            deferred += view.deferred;
            assert_eq!(view.held_until, self.twin.holds.get(view.next_hop).copied());
            let believed = self.twin.connections.get(view.next_hop).copied().unwrap_or(0);
            assert_eq!(view.connections, believed);
            let nothing = view.ready + view.running + view.deferred + view.connections == 0;
            assert!(!nothing, "a site that nothing needs");
        }
        assert_eq!(self.queue.task_counts(), (tasks, deferred));
    }

    /// Delivers all that is left: nothing may be stuck.
    fn drain(&mut self) {
        while let Some((hop, job)) = self.jobs.pop() {
            self.queue.give_back(&hop, job);
        }
        for up in std::mem::take(&mut self.up) {
            self.queue.connection_closed(&up);
        }
        for _ in 0..10_000 {
            while let Some(settled) = self.queue.poll_lapsed(self.wall) {
                if settled.finished {
                    self.queue.remove(settled.outcome.message);
                }
            }
            self.queue.promote_due(self.wall);
            while let Some(hop) = self.queue.poll_connect() {
                while let Some(job) = self.queue.take_job(&hop) {
                    let all = job.recipients.iter().map(|&n| (n, Decision::Deliver));
                    let settled = self.queue.settle(self.wall, &job, &all.collect::<Vec<_>>());
                    if settled.finished {
                        self.queue.remove(job.message);
                    }
                }
                if hop != NextHop::Discard {
                    self.queue.connection_closed(&hop);
                }
            }
            let due = self.queue.next_due().into_iter().chain(self.queue.next_lapse()).min();
            let Some(due) = due else { break };
            self.wall = self.wall.max(due);
        }
        assert_eq!(self.queue.alarm_count(), 0);
        // What stays was finished before and waits for its removal.
        assert!(self.queue.messages_after(None).all(Message::is_finished), "mail is stuck");
        assert_eq!(self.queue.task_counts(), (0, 0));
        assert_eq!(self.queue.sites().count(), 0);
    }
}

fn pick_of<T>(items: &[T], pick: usize) -> Option<usize> {
    (!items.is_empty()).then(|| pick % items.len())
}

fn run(operations: Vec<Operation>) {
    let mut pair = Pair {
        queue: queue(),
        twin: Twin::default(),
        routes: routes(),
        wall: at(1_000),
        ids: 0,
        jobs: Vec::new(),
        up: Vec::new(),
    };
    for operation in operations {
        pair.apply(operation);
    }
    pair.drain();
}

#[test]
fn a_site_whose_last_mail_bounces_is_forgotten() {
    let asks = Asks::default();
    run(vec![
        Operation::Insert {
            domains: vec![0, 0, 0, 0],
            attempts: 0,
            ahead_s: -200,
            asks: asks.clone(),
        },
        Operation::Insert { domains: vec![0], attempts: 0, ahead_s: 0, asks },
        Operation::DeferSite { domain: 0, count_max: 2 },
    ]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(
        ProptestConfig::default().cases.max(512)
    ))]

    #[test]
    fn the_queue_agrees_with_its_twin(operations in prop::collection::vec(operation(), 1..120)) {
        run(operations);
    }
}
