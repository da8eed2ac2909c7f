//! What the queue costs a message while 100,000 of them, for 1,000 domains, stand in it.

#[path = "common/allocator.rs"]
mod allocator;
#[path = "common/message.rs"]
mod message;

use std::collections::{BTreeMap, VecDeque};
use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

use ringpost::clock::WallTime;
use ringpost::ids::MessageId;
use ringpost::message::Message;
use ringpost::queue::{Decision, Job, Queue, QueueSettings};
use ringpost::route::{NextHop, RouteTable, recipient_domain};

use message::message;

const STANDING: u64 = 100_000;
const DOMAINS: u64 = 1_000;

/// Messages that are timed in one go, one for each domain, so that what surrounds them is not timed
/// and the clock is seldom read.
const ROUND: u64 = DOMAINS;

/// Longer than a message waits between two attempts.
const LONG_WAIT: Duration = Duration::from_secs(1 << 20);

fn domain(number: u64) -> String {
    format!("destination-{}.example", number % DOMAINS)
}

/// `count` messages, each for the next domain.
fn messages(from: u64, count: u64, received: WallTime) -> Vec<Message> {
    let numbers = from..from + count;
    let messages = numbers.map(|number| {
        let address = format!("recipient-{number}@{}", domain(number));
        message(MessageId(number << 8), received, &[address.as_bytes()])
    });
    messages.collect()
}

/// A queue with [`STANDING`] messages, all ready, and connections to every domain.
struct Standing {
    queue: Queue,
    routes: RouteTable,
    next_hops: Vec<NextHop>,
    wall: WallTime,
    next_message: u64,
    next_hop: usize,
}

impl Standing {
    fn new() -> Self {
        // Nothing expires here, however often it is deferred.
        let expire = Duration::from_secs(1 << 40);
        let settings = QueueSettings { expire, ..QueueSettings::new("mx.example.net", 1) };
        let next_hops =
            (0..DOMAINS).map(|number| NextHop::Mx { domain: domain(number).into() }).collect();
        let mut standing = Self {
            queue: Queue::new(settings),
            routes: RouteTable::default(),
            next_hops,
            wall: WallTime::from_unix_ms(1_795_492_893_000),
            next_message: 0,
            next_hop: 0,
        };
        let messages = standing.new_messages(STANDING);
        standing.insert(messages);
        while let Some(next_hop) = standing.queue.poll_connect() {
            standing.queue.connection_opened(&next_hop);
        }
        standing
    }

    fn new_messages(&mut self, count: u64) -> Vec<Message> {
        let messages = messages(self.next_message, count, self.wall);
        self.next_message += count;
        messages
    }

    fn insert(&mut self, messages: Vec<Message>) {
        for message in messages {
            let is_kept = self.queue.insert(self.wall, &self.routes, message);
            assert!(is_kept, "the message is not known yet");
        }
    }

    /// A job of each next hop in turn.
    fn take(&mut self, count: u64) -> Vec<Job> {
        let mut jobs = Vec::new();
        for _ in 0..count {
            let next_hop = &self.next_hops[self.next_hop];
            self.next_hop = (self.next_hop + 1) % self.next_hops.len();
            jobs.extend(self.queue.take_job(next_hop));
        }
        assert_eq!(jobs.len() as u64, count, "every next hop has mail");
        jobs
    }

    fn deliver(&mut self, jobs: &[Job]) {
        for job in jobs {
            let settled = self.queue.settle(self.wall, job, &[(0, Decision::Deliver)]);
            assert!(settled.finished, "it had one recipient");
            black_box(self.queue.remove(job.message));
        }
    }

    fn defer(&mut self, jobs: &[Job]) {
        for job in jobs {
            let reason = "451 4.7.1 Try again later".into();
            black_box(self.queue.settle(self.wall, job, &[(0, Decision::Defer { reason })]));
        }
    }

    fn promote(&mut self) {
        while self.queue.next_due().is_some_and(|due| due <= self.wall) {
            self.queue.promote_due(self.wall);
        }
    }

    /// A round of messages that come, go out and are done with; how long each part took.
    fn delivered(&mut self, count: u64) -> Parts {
        let messages = self.new_messages(count);
        let start = Instant::now();
        self.insert(messages);
        let inserted = Instant::now();
        let jobs = self.take(count);
        let taken = Instant::now();
        self.deliver(&jobs);
        Parts { insert: inserted - start, take: taken - inserted, settle: taken.elapsed() }
    }

    /// A round of messages that are deferred, and how long that took.
    fn deferred(&mut self, count: u64) -> Duration {
        let jobs = self.take(count);
        let start = Instant::now();
        self.defer(&jobs);
        start.elapsed()
    }

    /// How long it took to make them ready again.
    fn promoted(&mut self) -> Duration {
        self.wall = self.wall + LONG_WAIT;
        let start = Instant::now();
        self.promote();
        let elapsed = start.elapsed();
        assert_eq!(self.queue.next_due(), None, "all are ready again");
        elapsed
    }
}

/// How long the parts of a round took.
struct Parts {
    insert: Duration,
    take: Duration,
    settle: Duration,
}

/// What is told of them.
struct Part {
    name: &'static str,
    of: fn(Parts) -> Duration,
}

const PARTS: [Part; 4] = [
    Part { name: "insert", of: |parts| parts.insert },
    Part { name: "take", of: |parts| parts.take },
    Part { name: "settle and remove", of: |parts| parts.settle },
    Part {
        name: "insert, take, settle and remove",
        of: |parts| parts.insert + parts.take + parts.settle,
    },
];

/// What a queue is without retries, states and limits: mail by domain, first in, first out.
#[derive(Default)]
struct Floor {
    by_domain: BTreeMap<Box<[u8]>, VecDeque<Message>>,
}

impl Floor {
    fn insert(&mut self, messages: Vec<Message>) {
        for message in messages {
            let domain = recipient_domain(&message.recipients[0].address, "");
            let waiting = match self.by_domain.get_mut(domain) {
                Some(waiting) => waiting,
                None => self.by_domain.entry(domain.into()).or_default(),
            };
            waiting.push_back(message);
        }
    }

    fn take(&mut self, domains: &[String]) {
        for domain in domains {
            let waiting = self.by_domain.get_mut(domain.as_bytes());
            black_box(waiting.and_then(VecDeque::pop_front));
        }
    }
}

/// Splits `iterations` into rounds and adds up what `round` says that they took.
fn in_rounds(iterations: u64, mut round: impl FnMut(u64) -> Duration) -> Duration {
    let mut elapsed = Duration::ZERO;
    let mut left = iterations;
    while left > 0 {
        let count = left.min(ROUND);
        elapsed += round(count);
        left -= count;
    }
    elapsed
}

fn queue(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("queue of 100,000");
    group.throughput(Throughput::Elements(1));
    // Made when first needed: a filter may leave some out.
    let mut made = None;
    for Part { name, of } in PARTS {
        group.bench_function(name, |bencher| {
            let standing = made.get_or_insert_with(Standing::new);
            bencher.iter_custom(|iterations| {
                in_rounds(iterations, |count| of(standing.delivered(count)))
            });
        });
    }
    group.bench_function("settle with a deferral", |bencher| {
        let standing = made.get_or_insert_with(Standing::new);
        bencher.iter_custom(|iterations| {
            in_rounds(iterations, |count| {
                let elapsed = standing.deferred(count);
                standing.promoted();
                elapsed
            })
        });
    });
    group.bench_function("make ready again", |bencher| {
        let standing = made.get_or_insert_with(Standing::new);
        bencher.iter_custom(|iterations| {
            in_rounds(iterations, |count| {
                standing.deferred(count);
                standing.promoted()
            })
        });
    });
    drop(made);
    floor(&mut group);
    group.finish();
}

fn floor(group: &mut criterion::BenchmarkGroup<'_, criterion::measurement::WallTime>) {
    let received = WallTime::from_unix_ms(1_795_492_893_000);
    let mut made = None;
    let mut next_message = STANDING;
    group.bench_function("floor: insert and take, a map of deques", |bencher| {
        let floor = made.get_or_insert_with(|| {
            let mut floor = Floor::default();
            floor.insert(messages(0, STANDING, received));
            floor
        });
        bencher.iter_custom(|iterations| {
            in_rounds(iterations, |count| {
                let messages = messages(next_message, count, received);
                let domains: Vec<String> =
                    (next_message..next_message + count).map(domain).collect();
                next_message += count;
                let start = Instant::now();
                floor.insert(messages);
                floor.take(&domains);
                start.elapsed()
            })
        });
    });
}

criterion_group!(benches, queue);
criterion_main!(benches);
