//! The queue beside a naive twin that keeps every recipient in one plain table, driven by random
//! operations.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::task::Place;
use super::{Backoff, Decision, Job, Queue, QueueSettings};
use crate::clock::WallTime;
use crate::ids::MessageId;
use crate::message::{Content, Message, Recipient, RecipientState};
use crate::route::{Destination, NextHop, Route, RouteTable};

const RETRY_FIRST: Duration = Duration::from_secs(10);
const RETRY_MAX: Duration = Duration::from_secs(60);
const EXPIRE: Duration = Duration::from_secs(200);
const CONNECTIONS_MAX: usize = 3;
const RECIPIENTS_MAX: usize = 2;

fn queue() -> Queue {
    Queue::new(QueueSettings {
        retry_first: RETRY_FIRST,
        retry_max: RETRY_MAX,
        expire: EXPIRE,
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

/// Where the twin believes a recipient to be.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Belief {
    /// Ready since this rank. Of those with the same rank any may come first.
    Ready(i64),
    Running,
    Deferred(WallTime),
    Final,
}

/// The twin: a table of (message, recipient), searched whole for every question.
#[derive(Default)]
struct Twin {
    beliefs: BTreeMap<(MessageId, u32), (NextHop, Belief)>,
    holds: BTreeMap<NextHop, WallTime>,
    connections: BTreeMap<NextHop, usize>,
    rank: i64,
    front_rank: i64,
}

impl Twin {
    fn next_due(&self) -> Option<WallTime> {
        let deferred = self.beliefs.values().filter_map(|(_, belief)| match belief {
            Belief::Deferred(due) => Some(*due),
            Belief::Ready(_) | Belief::Running | Belief::Final => None,
        });
        deferred.chain(self.holds.values().copied()).min()
    }

    fn promote(&mut self, wall: WallTime) {
        // Ranks by due time: those due earlier were promoted earlier.
        let mut dues: Vec<WallTime> = Vec::new();
        for (_, belief) in self.beliefs.values() {
            if let Belief::Deferred(due) = belief
                && *due <= wall
            {
                dues.push(*due);
            }
        }
        dues.sort_unstable();
        dues.dedup();
        for (_, belief) in self.beliefs.values_mut() {
            if let Belief::Deferred(due) = *belief
                && let Ok(place) = dues.binary_search(&due)
            {
                *belief = Belief::Ready(self.rank + i64::try_from(place).unwrap());
            }
        }
        self.rank += i64::try_from(dues.len()).unwrap();
        self.holds.retain(|_, until| *until > wall);
    }

    fn lowest_rank(&self, hop: &NextHop) -> Option<i64> {
        let ready = self.beliefs.values().filter_map(|(of, belief)| match belief {
            Belief::Ready(rank) if of == hop => Some(*rank),
            Belief::Ready(_) | Belief::Running | Belief::Deferred(_) | Belief::Final => None,
        });
        ready.min()
    }

    /// Forgets the hold of a next hop that has nothing left.
    fn tidy(&mut self) {
        let busy: BTreeSet<NextHop> = self
            .beliefs
            .values()
            .filter(|(_, belief)| *belief != Belief::Final)
            .map(|(hop, _)| hop.clone())
            .collect();
        let connections = &self.connections;
        self.holds.retain(|hop, _| {
            busy.contains(hop) || connections.get(hop).is_some_and(|&count| count > 0)
        });
    }
}

#[derive(Clone, Debug)]
enum Operation {
    Insert { domains: Vec<u8>, attempts: u16, ahead_s: i64 },
    Advance { seconds: u64 },
    Connect,
    Opened { pick: usize },
    Closed { pick: usize },
    Take { domain: u8 },
    GiveBack { pick: usize },
    Settle { pick: usize, decisions: Vec<u8> },
    DeferSite { domain: u8, count_max: usize },
    Remove { pick: usize },
}

fn insertion() -> impl Strategy<Value = Operation> {
    let parts = (prop::collection::vec(0_u8..5, 1..6), 0_u16..3, -250_i64..100);
    parts.prop_map(|(domains, attempts, ahead_s)| Operation::Insert { domains, attempts, ahead_s })
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        4 => insertion(),
        3 => (0_u64..40).prop_map(|seconds| Operation::Advance { seconds }),
        3 => Just(Operation::Connect),
        1 => any::<usize>().prop_map(|pick| Operation::Opened { pick }),
        1 => any::<usize>().prop_map(|pick| Operation::Closed { pick }),
        6 => (0_u8..5).prop_map(|domain| Operation::Take { domain }),
        1 => any::<usize>().prop_map(|pick| Operation::GiveBack { pick }),
        5 => (any::<usize>(), prop::collection::vec(0_u8..6, 2))
            .prop_map(|(pick, decisions)| Operation::Settle { pick, decisions }),
        1 => (0_u8..5, 0_usize..4)
            .prop_map(|(domain, count_max)| Operation::DeferSite { domain, count_max }),
        1 => any::<usize>().prop_map(|pick| Operation::Remove { pick }),
    ]
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
            Operation::Insert { domains, attempts, ahead_s } => {
                self.insert(&domains, attempts, ahead_s);
            }
            Operation::Advance { seconds } => {
                self.wall = self.wall + Duration::from_secs(seconds);
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

    fn insert(&mut self, domains: &[u8], attempts: u16, ahead_s: i64) {
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
                };
            }
        }
        if ahead_s % 3 == 0 {
            message.recipients[0].state = RecipientState::Delivered;
        }
        let is_finished = message.is_finished();
        let id = message.id;
        let expiry = received + EXPIRE;
        for (index, (recipient, &domain)) in (0..).zip(message.recipients.iter().zip(domains)) {
            let belief = match &recipient.state {
                RecipientState::Pending { next_attempt, .. } => {
                    let due = (*next_attempt).min(expiry);
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
    fn run(&mut self, hop: &NextHop, job: &Job, lowest: Option<i64>) {
        for &index in &job.recipients {
            let (of, belief) = self.twin.beliefs.get_mut(&(job.message, index)).unwrap();
            assert_eq!(of, hop);
            assert!(matches!(belief, Belief::Ready(rank) if Some(*rank) == lowest), "in order");
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
    fn conclude(&mut self, job: &Job, results: &[(u32, Decision)], settled: &super::Settled) {
        let indices: Vec<u32> = settled.outcome.recipients.iter().map(|(n, _)| *n).collect();
        assert_eq!(indices, job.recipients.to_vec());
        assert_eq!(settled.bounced.len(), settled.bounce_reasons.len());
        let message = self.queue.message(job.message).unwrap();
        let expired = self.wall >= message.received + EXPIRE;
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
                    RecipientState::Pending { attempts, next_attempt, .. },
                ) => {
                    assert!(!expired, "a deferral after the expiry");
                    let backoff = Backoff { first: RETRY_FIRST, max: RETRY_MAX };
                    let least = self.wall + backoff.wait(*attempts, 0);
                    let most = self.wall + backoff.wait(*attempts, u64::MAX);
                    let expiry = message.received + EXPIRE;
                    assert!(*next_attempt >= least.min(expiry));
                    assert!(*next_attempt <= most.min(expiry));
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
            let Some(due) = self.queue.next_due() else { break };
            self.wall = due;
            self.queue.promote_due(due);
        }
        // What stays was finished before and waits for its removal.
        assert!(self.queue.messages_after(None).all(Message::is_finished), "mail is stuck");
        assert_eq!(self.queue.task_counts(), (0, 0));
        assert_eq!(self.queue.sites().count(), 0);
    }
}

fn pick_of<T>(items: &[T], pick: usize) -> Option<usize> {
    (!items.is_empty()).then(|| pick % items.len())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_queue_agrees_with_its_twin(operations in prop::collection::vec(operation(), 1..120)) {
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
}
