//! What the queue does in the cases that people ask about; and a large one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::model::{at, defer, message, mx};
use super::task::Task;
use super::{Decision, Expiry, Job, Queue, QueueSettings, Settled, schedule::Entry};
use crate::clock::WallTime;
use crate::ids::MessageId;
use crate::message::{DeliverBy, DeliverByMode, Message, Notices, Notify, RecipientState, Wishes};
use crate::route::{Destination, NextHop, Route, RouteTable};

fn queue() -> Queue {
    Queue::new(QueueSettings::new("mx.local.test", 5))
}

fn insert(queue: &mut Queue, id: u64, addresses: &[&str]) {
    let routes = RouteTable::new(&[], 25);
    assert!(queue.insert(at(0), &routes, message(id, at(0), addresses)));
}

fn settle_all(queue: &mut Queue, second: u64, job: &Job, decision: &Decision) -> Settled {
    let results: Vec<(u32, Decision)> =
        job.recipients.iter().map(|&index| (index, decision.clone())).collect();
    queue.settle(at(second), job, &results)
}

fn connect_all(queue: &mut Queue) -> Vec<NextHop> {
    std::iter::from_fn(|| queue.poll_connect()).collect()
}

#[test]
fn recipients_that_share_a_next_hop_go_together() {
    let mut queue = queue();
    insert(
        &mut queue,
        1,
        &["a@one.test", "b@two.test", "c@ONE.test.", "postmaster", "d@[192.0.2.1]"],
    );
    assert_eq!(queue.take_job(&mx("one.test")).unwrap().recipients[..], [0, 2]);
    assert_eq!(queue.take_job(&mx("two.test")).unwrap().recipients[..], [1]);
    assert_eq!(queue.take_job(&mx("mx.local.test")).unwrap().recipients[..], [3]);
    let literal = NextHop::Smtp { host: "192.0.2.1".into(), port: 25 };
    assert_eq!(queue.take_job(&literal).unwrap().recipients[..], [4]);
    assert_eq!(queue.take_job(&mx("one.test")), None);
    assert_eq!(queue.take_job(&mx("three.test")), None);
}

#[test]
fn a_transaction_has_no_more_recipients_than_allowed() {
    let mut queue = queue();
    let addresses: Vec<String> = (0..250).map(|n| format!("u{n}@one.test")).collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    insert(&mut queue, 1, &addresses);
    let hop = mx("one.test");
    let jobs: Vec<Job> = std::iter::from_fn(|| queue.take_job(&hop)).collect();
    let sizes: Vec<usize> = jobs.iter().map(|job| job.recipients.len()).collect();
    assert_eq!(sizes, [100, 100, 50]);
    let all: Vec<u32> = jobs.iter().flat_map(|job| job.recipients.iter().copied()).collect();
    assert_eq!(all, (0..250).collect::<Vec<_>>());
}

#[test]
fn connections_grow_with_the_backlog_once_one_came_up() {
    let mut queue = queue();
    let hop = mx("one.test");
    for id in 1..=3 {
        insert(&mut queue, id, &["u@one.test"]);
    }
    assert_eq!(connect_all(&mut queue), std::slice::from_ref(&hop));
    queue.connection_opened(&hop);
    assert_eq!(connect_all(&mut queue), [], "three messages share a connection");
    for id in 4..=40 {
        insert(&mut queue, id, &["u@one.test"]);
    }
    assert_eq!(connect_all(&mut queue).len(), 9, "ten for forty");
    for id in 41..=400 {
        insert(&mut queue, id, &["u@one.test"]);
    }
    assert_eq!(connect_all(&mut queue).len(), 10, "never more than twenty");
    for _ in 0..20 {
        queue.connection_closed(&hop);
    }
    assert_eq!(connect_all(&mut queue).len(), 20);
}

#[test]
fn a_connection_that_is_busy_is_no_help_to_what_waits() {
    let mut queue = queue();
    let hop = mx("one.test");
    insert(&mut queue, 1, &["u@one.test"]);
    assert_eq!(connect_all(&mut queue).len(), 1);
    queue.connection_opened(&hop);
    let job = queue.take_job(&hop).unwrap();
    insert(&mut queue, 2, &["u@one.test"]);
    assert_eq!(connect_all(&mut queue).len(), 1);
    settle_all(&mut queue, 1, &job, &Decision::Deliver);
    insert(&mut queue, 3, &["u@one.test"]);
    assert_eq!(connect_all(&mut queue).len(), 0);
}

#[test]
fn next_hops_get_connections_in_turn() {
    let mut queue = queue();
    for id in 0..100 {
        insert(&mut queue, id, &["u@big.test"]);
    }
    insert(&mut queue, 100, &["u@small.test"]);
    assert_eq!(queue.poll_connect(), Some(mx("big.test")));
    queue.connection_opened(&mx("big.test"));
    insert(&mut queue, 101, &["u@other.test"]);
    let order: Vec<NextHop> = (0..4).filter_map(|_| queue.poll_connect()).collect();
    let expected = ["small.test", "big.test", "other.test", "big.test"].map(mx);
    assert_eq!(order, expected);
}

#[test]
fn a_site_that_cannot_be_reached_costs_one_attempt_for_all_its_mail() {
    let mut queue = queue();
    let hop = mx("down.test");
    for id in 0..10 {
        insert(&mut queue, id, &["u@down.test"]);
    }
    assert_eq!(connect_all(&mut queue), std::slice::from_ref(&hop));
    let deferred = queue.defer_site(at(30), &hop, "4.4.1 no route to host", 8);
    queue.connection_closed(&hop);
    assert_eq!(deferred.len(), 8);
    for (job, settled) in &deferred {
        assert_eq!(settled.outcome.message, job.message);
        let [(0, RecipientState::Pending { attempts: 1, last_failure, .. })] =
            &settled.outcome.recipients[..]
        else {
            panic!("{settled:?}");
        };
        assert_eq!(**last_failure, *"4.4.1 no route to host");
    }
    // Two were left; they wait as well, and so does what comes in.
    insert(&mut queue, 10, &["u@down.test"]);
    assert_eq!(connect_all(&mut queue), []);
    assert_eq!(queue.next_due(), Some(at(30 + 1_200)));
    queue.promote_due(at(30 + 1_200));
    assert_eq!(connect_all(&mut queue), std::slice::from_ref(&hop), "one shows how it stands");
    assert_eq!(queue.take_job(&hop).unwrap().message, MessageId(8));
    // Later all of them are due.
    queue.connection_opened(&hop);
    queue.promote_due(at(30 + 1_500));
    assert_eq!(connect_all(&mut queue).len(), 3, "for ten that are ready");
}

#[test]
fn a_site_that_was_down_has_to_prove_itself() {
    let mut queue = queue();
    let hop = mx("one.test");
    for id in 0..100 {
        insert(&mut queue, id, &["u@one.test"]);
    }
    assert_eq!(connect_all(&mut queue).len(), 1);
    queue.connection_opened(&hop);
    assert_eq!(connect_all(&mut queue).len(), 19);
    assert_eq!(queue.defer_site(at(1), &hop, "4.4.2 reset", 0).len(), 0);
    for _ in 0..20 {
        queue.connection_closed(&hop);
    }
    queue.promote_due(at(1 + 1_200));
    assert_eq!(connect_all(&mut queue).len(), 1);
    // A delivery over a connection from before is as good as one that comes up.
    let job = queue.take_job(&hop).unwrap();
    settle_all(&mut queue, 1_300, &job, &Decision::Deliver);
    assert_eq!(connect_all(&mut queue).len(), 19);
}

#[test]
fn deferrals_double_and_end_in_a_bounce_at_the_expiry() {
    let mut queue = queue();
    let hop = mx("one.test");
    insert(&mut queue, 1, &["u@one.test"]);
    let (mut second, mut waits) = (0, Vec::new());
    let settled = loop {
        let job = queue.take_job(&hop).unwrap();
        let settled = settle_all(&mut queue, second, &job, &defer("4.2.1 try later"));
        if settled.finished {
            break settled;
        }
        let due = queue.next_due().unwrap();
        let wait = due.saturating_since(at(second)).as_secs();
        queue.promote_due(WallTime::from_unix_ms(due.as_unix_ms() - 1));
        assert_eq!(queue.take_job(&hop), None, "not before its time");
        queue.promote_due(due);
        second += wait + 1;
        waits.push(wait);
    };
    for (wait, base) in waits.iter().zip([1_200, 2_400, 4_800, 9_600, 19_200]) {
        assert!((base..=base * 5 / 4).contains(wait), "{waits:?}");
    }
    let (_, full) = waits[6..].split_last().unwrap();
    assert!(full.iter().all(|wait| (32_400..=43_200).contains(wait)), "{waits:?}");
    assert!((432_000..432_100).contains(&second), "the last attempt falls on the expiry");
    assert_eq!(settled.bounced, [0]);
    assert_eq!(
        *settled.bounce_reasons[0],
        *"4.4.7 not delivered within 5 days; last failure: 4.2.1 try later"
    );
    assert_eq!(settled.outcome.recipients, [(0, RecipientState::Bounced)]);
    assert!(queue.remove(MessageId(1)).unwrap().is_finished());
    assert!(queue.is_empty());
}

#[test]
fn recipients_of_one_job_may_part() {
    let mut queue = queue();
    let hop = mx("one.test");
    insert(&mut queue, 1, &["a@one.test", "b@one.test", "c@one.test", "d@one.test"]);
    let job = queue.take_job(&hop).unwrap();
    let bounce = Decision::Bounce { reason: "5.1.1 unknown".into() };
    let results = [(3, defer("4.2.2 full")), (0, Decision::Deliver), (1, bounce)];
    let settled = queue.settle(at(1), &job, &results);
    assert_eq!(settled.bounced, [1]);
    assert_eq!(*settled.bounce_reasons[0], *"5.1.1 unknown");
    assert!(!settled.finished);
    queue.promote_due(at(2_000));
    let again = queue.take_job(&hop).unwrap();
    assert_eq!(again.recipients[..], [2, 3], "deferred together, tried together");
    let settled = settle_all(&mut queue, 2_000, &again, &Decision::Deliver);
    assert!(settled.finished);
}

#[test]
fn a_job_that_was_not_begun_goes_back_to_the_head() {
    let mut queue = queue();
    let hop = mx("one.test");
    for id in 1..=3 {
        insert(&mut queue, id, &["u@one.test"]);
    }
    let first = queue.take_job(&hop).unwrap();
    queue.give_back(&hop, first);
    let order: Vec<MessageId> =
        std::iter::from_fn(|| queue.take_job(&hop)).map(|job| job.message).collect();
    assert_eq!(order, [1, 2, 3].map(MessageId));
}

#[test]
fn mail_to_be_discarded_asks_for_one_hand() {
    let mut queue = queue();
    let routes = RouteTable::new(&[Route::of_all(Destination::Discard)], 25);
    for id in 0..50 {
        queue.insert(at(0), &routes, message(id, at(0), &["u@any.test"]));
    }
    for round in 0..5 {
        assert_eq!(queue.poll_connect(), Some(NextHop::Discard), "{round}");
        assert_eq!(queue.poll_connect(), None);
        for _ in 0..10 {
            let job = queue.take_job(&NextHop::Discard).unwrap();
            assert!(settle_all(&mut queue, 1, &job, &Decision::Deliver).finished);
            queue.remove(job.message);
        }
        queue.connection_closed(&NextHop::Discard);
    }
    assert_eq!(queue.poll_connect(), None);
    // Left undone after the last job, it is as if done.
    queue.insert(at(0), &routes, message(99, at(0), &["u@any.test"]));
    assert_eq!(queue.poll_connect(), Some(NextHop::Discard));
    let job = queue.take_job(&NextHop::Discard).unwrap();
    settle_all(&mut queue, 1, &job, &Decision::Deliver);
    assert_eq!(queue.take_job(&NextHop::Discard), None);
    queue.insert(at(0), &routes, message(100, at(0), &["u@any.test"]));
    assert_eq!(queue.poll_connect(), Some(NextHop::Discard));
}

#[test]
fn long_reasons_are_cut_between_characters() {
    let mut queue = queue();
    insert(&mut queue, 1, &["u@one.test"]);
    let job = queue.take_job(&mx("one.test")).unwrap();
    settle_all(&mut queue, 1, &job, &defer(&"é".repeat(400)));
    let RecipientState::Pending { last_failure, .. } =
        &queue.message(MessageId(1)).unwrap().recipients[0].state
    else {
        panic!("deferred");
    };
    assert_eq!(**last_failure, *"é".repeat(128));
}

#[test]
fn many_deferrals_end_in_bounded_steps() {
    let mut queue = queue();
    let routes = RouteTable::new(&[], 25);
    for id in 0..2_500 {
        let mut message = message(id, at(0), &["u@one.test"]);
        let next_attempt = at(100);
        message.recipients[0].state = RecipientState::Pending {
            attempts: 1,
            next_attempt,
            last_failure: "x".into(),
            delay_told: false,
        };
        assert!(queue.insert(at(1), &routes, message));
    }
    let ready = |queue: &Queue| queue.sites().next().unwrap().ready;
    assert_eq!(ready(&queue), 0);
    for expected in [1_024, 2_048, 2_500] {
        assert_eq!(queue.next_due(), Some(at(100)));
        queue.promote_due(at(100));
        assert_eq!(ready(&queue), expected);
    }
    assert_eq!(queue.next_due(), None);
}

#[test]
fn an_overdue_message_from_the_spool_is_tried_once_more() {
    let mut queue = queue();
    let routes = RouteTable::new(&[], 25);
    let mut old = message(1, at(0), &["u@one.test"]);
    old.recipients[0].state = RecipientState::Pending {
        attempts: 9,
        next_attempt: at(1_000_000),
        last_failure: "4.2.1 busy".into(),
        delay_told: false,
    };
    queue.insert(at(600_000), &routes, old);
    let job = queue.take_job(&mx("one.test")).expect("past its expiry, so due");
    assert!(settle_all(&mut queue, 600_000, &job, &defer("4.2.1 busy")).finished);
}

fn wishing(id: u64, wishes: Wishes) -> Message {
    let mut message = message(id, at(0), &["u@one.test"]);
    message.wishes = Some(Box::new(wishes));
    message
}

#[test]
fn what_presses_goes_first_and_equals_keep_their_order() {
    let mut queue = queue();
    let routes = RouteTable::new(&[], 25);
    for (id, priority) in [(1, None), (2, Some(-9)), (3, Some(4)), (4, Some(0)), (5, Some(4))] {
        queue.insert(at(0), &routes, wishing(id, Wishes { priority, ..Wishes::default() }));
    }
    let hop = mx("one.test");
    let first = queue.take_job(&hop).unwrap();
    assert_eq!(first.message, MessageId(3));
    queue.give_back(&hop, first);
    let order: Vec<MessageId> =
        std::iter::from_fn(|| queue.take_job(&hop)).map(|job| job.message).collect();
    assert_eq!(order, [3, 5, 1, 4, 2].map(MessageId));
}

#[test]
fn a_held_message_ages_from_its_release() {
    let mut queue = queue();
    let hold_until = Some(at(1_000));
    let held = wishing(1, Wishes { hold_until, ..Wishes::default() });
    queue.insert(at(0), &RouteTable::new(&[], 25), held);
    assert_eq!(queue.next_due(), Some(at(1_000)));
    queue.promote_due(at(999));
    assert_eq!(queue.take_job(&mx("one.test")), None);
    queue.promote_due(at(1_000));
    let job = queue.take_job(&mx("one.test")).unwrap();
    // Five days from its arrival, and not yet five from its release.
    assert!(!settle_all(&mut queue, 432_500, &job, &defer("4.2.1 busy")).finished);
    assert_eq!(queue.next_due(), Some(at(433_000)));
}

#[test]
fn nothing_is_tried_past_the_deadline_of_its_sender() {
    let mut queue = queue();
    let by = DeliverBy { at: at(2_000), mode: DeliverByMode::Return, trace: false };
    for id in 1..=2 {
        let wishes = Wishes { deliver_by: Some(by), ..Wishes::default() };
        queue.insert(at(0), &RouteTable::new(&[], 25), wishing(id, wishes));
    }
    let hop = mx("one.test");
    let deferred = queue.take_job(&hop).unwrap();
    settle_all(&mut queue, 1_900, &deferred, &defer("4.2.1 busy"));
    assert_eq!(queue.next_due(), Some(at(2_000)));
    let running = queue.take_job(&hop).unwrap();
    assert_eq!(queue.poll_lapsed(at(1_999)), None);

    let lapsed = queue.poll_lapsed(at(2_000)).expect("one that waits");
    assert_eq!(lapsed.outcome.message, MessageId(1));
    assert_eq!((lapsed.expiry, lapsed.finished), (Expiry::DeliverBy, true));
    assert_eq!(
        *lapsed.bounce_reasons[0],
        *"5.4.7 not delivered by the time that the sender set; last failure: 4.2.1 busy"
    );
    assert_eq!(queue.poll_lapsed(at(2_000)), None, "what runs may end");
    queue.give_back(&hop, running);
    let lapsed = queue.poll_lapsed(at(2_001)).expect("it does not run any more");
    assert_eq!(lapsed.outcome.message, MessageId(2));
    assert_eq!(queue.take_job(&hop), None);
    assert_eq!(queue.next_lapse(), None);
}

#[test]
fn a_delay_is_told_once_and_only_to_who_asked() {
    let mut queue = queue();
    let mut asks = message(1, at(0), &["u@one.test", "v@one.test"]);
    let notify = Some(Notify { delay: true, ..Notify::default() });
    asks.recipients[1].notices = Some(Box::new(Notices { notify, original_recipient: None }));
    queue.insert(at(0), &RouteTable::new(&[], 25), asks);
    assert_eq!(queue.next_lapse(), Some(at(14_400)));
    let told = queue.poll_lapsed(at(14_400)).expect("four hours have passed");
    assert_eq!(told.delayed, [1]);
    let [(1, RecipientState::Pending { attempts: 0, delay_told: true, .. })] =
        &told.outcome.recipients[..]
    else {
        panic!("{told:?}");
    };
    assert!(!told.finished && told.bounced.is_empty());
    assert_eq!((queue.poll_lapsed(at(20_000)), queue.next_lapse()), (None, None));
    // A restart knows from the state.
    let recovered = queue.remove(MessageId(1)).unwrap();
    queue.insert(at(30_000), &RouteTable::new(&[], 25), recovered);
    assert_eq!(queue.next_lapse(), None);
}

#[test]
fn the_same_calls_give_the_same_times() {
    let run = || {
        let mut queue = queue();
        let hop = mx("one.test");
        for id in 0..20 {
            insert(&mut queue, id, &["u@one.test"]);
        }
        let mut times = BTreeSet::new();
        while let Some(job) = queue.take_job(&hop) {
            let settled = settle_all(&mut queue, 1, &job, &defer("4.0.0 later"));
            times.insert(format!("{:?}", settled.outcome));
        }
        times
    };
    assert_eq!(run(), run());
}

#[test]
fn a_queued_message_costs_little_beside_its_envelope() {
    // A task and its place in the deferred set and in the index by id; the message itself is the
    // envelope and its states.
    let of_tree = |entry_bytes: usize| entry_bytes * 3 / 2 + 8;
    let task = size_of::<Task>() + 8;
    let entry = size_of::<Entry>() + 8 - size_of::<Message>();
    let index = of_tree(size_of::<(MessageId, u32)>());
    let deferred = of_tree(size_of::<(WallTime, u32)>());
    let overhead = task + entry + index + deferred;
    assert!(overhead <= 200, "{overhead} bytes a message");
}

/// A million messages through every step, with a bound on the time that only an operation of
/// another order could pass.
#[test]
fn a_million_messages_are_no_trouble() {
    const COUNT: u64 = 1_000_000;
    const DOMAINS: u64 = 1_000;
    let mut queue = queue();
    let routes = RouteTable::new(&[], 25);
    let addresses: Vec<String> = (0..DOMAINS).map(|n| format!("u@d{n}.test")).collect();
    let start = std::time::Instant::now();
    for id in 0..COUNT {
        let address = &*addresses[usize::try_from(id % DOMAINS).unwrap()];
        queue.insert(at(0), &routes, message(id, at(0), &[address]));
    }
    assert_eq!(queue.len(), 1_000_000);
    let hops: Vec<NextHop> = (0..DOMAINS).map(|n| mx(&format!("d{n}.test"))).collect();
    let deferral = defer("4.0.0 later");
    for hop in &hops {
        while let Some(job) = queue.take_job(hop) {
            settle_all(&mut queue, 1, &job, &deferral);
        }
    }
    while queue.next_due().is_some_and(|due| due < at(10_000)) {
        queue.promote_due(at(10_000));
    }
    let mut delivered: BTreeMap<bool, u64> = BTreeMap::new();
    for hop in &hops {
        while let Some(job) = queue.take_job(hop) {
            let settled = settle_all(&mut queue, 10_000, &job, &Decision::Deliver);
            *delivered.entry(settled.finished).or_default() += 1;
            queue.remove(job.message);
        }
    }
    assert_eq!(delivered, BTreeMap::from([(true, COUNT)]));
    assert!(queue.is_empty());
    assert!(start.elapsed() < Duration::from_secs(300), "{:?}", start.elapsed());
}
