//! Which message comes next, and when.
//!
//! # Guarantees
//! Each number of a run goes out once, unless it is given back; what is given back goes out again
//! before anything fresh.
//!
//! # Bounds
//! What was given back: at most what the connections of the thread had under way.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::stop::Stop;

/// How long a message rests that was refused for the moment or lost its connection.
const REST: Duration = Duration::from_millis(50);

/// What the threads of a source share.
#[derive(Debug)]
pub(crate) struct Progress {
    pub(crate) begin: Instant,
    /// No message begins after this.
    pub(crate) deadline: Option<Instant>,
    /// How many messages there are.
    pub(crate) messages: Option<u64>,
    /// Messages a second of all threads, where the source does not simply wait for replies.
    pub(crate) rate: Option<f64>,
    next: AtomicU64,
    accepted: AtomicU64,
}

impl Progress {
    /// Nothing is sent yet; time runs from now.
    pub(crate) fn new(messages: Option<u64>, time: Option<Duration>, rate: Option<f64>) -> Self {
        let begin = Instant::now();
        Self {
            begin,
            deadline: time.map(|time| begin + time),
            messages,
            rate,
            next: AtomicU64::new(0),
            accepted: AtomicU64::new(0),
        }
    }

    /// Messages that the server has answered with 250 so far.
    pub(crate) fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// One more.
    pub(crate) fn note_accepted(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    /// Messages that were to be sent and never left the supply.
    pub(crate) fn untouched(&self) -> u64 {
        let taken = self.next.load(Ordering::Relaxed);
        self.messages.map_or(0, |messages| messages.saturating_sub(taken))
    }
}

/// A message on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UnderWay {
    pub(crate) number: u64,
    /// When it began, or should have begun by the rate asked for: latency counts from here, so that
    /// a slow server cannot hide what waits before its door.
    pub(crate) since: Instant,
}

/// An answer of the supply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Supplied {
    Message(UnderWay),
    /// The next one is due then.
    Later(Instant),
    /// There are no more.
    None,
}

/// The messages of one thread.
#[derive(Debug)]
pub(crate) struct Supply {
    progress: Arc<Progress>,
    stop: Stop,
    /// Given back, with the time from which they may go again; all rest equally long.
    again: VecDeque<(Instant, u64)>,
    /// Time between two messages of this thread, and when the next is due.
    interval: Option<Duration>,
    due: Instant,
}

impl Supply {
    /// The share of thread `index` of `threads`.
    pub(crate) fn new(progress: Arc<Progress>, stop: Stop, index: usize, threads: usize) -> Self {
        let interval = progress.rate.map(|rate| Duration::from_secs_f64(threads as f64 / rate));
        let ahead = interval.unwrap_or_default().mul_f64(index as f64 / threads as f64);
        let due = progress.begin + ahead;
        Self { progress, stop, again: VecDeque::new(), interval, due }
    }

    /// The next message.
    pub(crate) fn next(&mut self, now: Instant) -> Supplied {
        if self.is_over(now) {
            return Supplied::None;
        }
        if let Some(&(from, number)) = self.again.front() {
            if from <= now {
                self.again.pop_front();
                return Supplied::Message(UnderWay { number, since: now });
            }
            return match self.fresh(now) {
                Supplied::Message(message) => Supplied::Message(message),
                Supplied::Later(due) => Supplied::Later(due.min(from)),
                Supplied::None => Supplied::Later(from),
            };
        }
        self.fresh(now)
    }

    /// Takes back a message that was not delivered.
    pub(crate) fn give_back(&mut self, now: Instant, number: u64) {
        self.again.push_back((now + REST, number));
    }

    /// Messages given back that did not go out again.
    pub(crate) fn left(&self) -> u64 {
        self.again.len() as u64
    }

    /// Whether the time is up or someone asked to stop.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        self.stop.is_set() || self.progress.deadline.is_some_and(|deadline| now >= deadline)
    }

    /// Whether `next` may still give a message.
    pub(crate) fn has_more(&self, now: Instant) -> bool {
        !self.is_over(now)
            && (!self.again.is_empty()
                || self.progress.messages.is_none()
                || self.progress.untouched() > 0)
    }

    fn fresh(&mut self, now: Instant) -> Supplied {
        let since = if self.interval.is_some() { self.due } else { now };
        if since > now {
            let exhausted = self.progress.messages.is_some() && self.progress.untouched() == 0;
            return if exhausted { Supplied::None } else { Supplied::Later(since) };
        }
        let number = self.progress.next.fetch_add(1, Ordering::Relaxed);
        if self.progress.messages.is_some_and(|messages| number >= messages) {
            return Supplied::None;
        }
        self.due += self.interval.unwrap_or_default();
        Supplied::Message(UnderWay { number, since })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn supply(messages: Option<u64>, rate: Option<f64>) -> (Arc<Progress>, Supply) {
        let progress = Arc::new(Progress::new(messages, Some(Duration::from_secs(60)), rate));
        let supply = Supply::new(Arc::clone(&progress), Stop::default(), 0, 2);
        (progress, supply)
    }

    fn number(supplied: Supplied) -> Option<u64> {
        match supplied {
            Supplied::Message(message) => Some(message.number),
            Supplied::Later(_) | Supplied::None => None,
        }
    }

    #[test]
    fn what_comes_back_goes_first_after_a_rest() {
        let (progress, mut supply) = supply(Some(3), None);
        let now = progress.begin;
        assert_eq!(number(supply.next(now)), Some(0));
        supply.give_back(now, 0);
        assert_eq!(number(supply.next(now)), Some(1));
        assert_eq!(number(supply.next(now + REST)), Some(0));
        supply.give_back(now, 1);
        assert_eq!(number(supply.next(now)), Some(2));
        assert_eq!(supply.next(now), Supplied::Later(now + REST));
        assert!(supply.has_more(now));
        assert_eq!(number(supply.next(now + REST)), Some(1));
        assert_eq!(supply.next(now + REST), Supplied::None);
        assert!(!supply.has_more(now));
        assert_eq!(progress.untouched(), 0);
    }

    #[test]
    fn a_rate_spaces_the_messages() {
        let (progress, mut supply) = supply(None, Some(200.0));
        let now = progress.begin;
        let ms = |ms| now + Duration::from_millis(ms);
        assert_eq!(supply.next(now), Supplied::Message(UnderWay { number: 0, since: now }));
        assert_eq!(supply.next(now), Supplied::Later(ms(10)));
        let late = Supplied::Message(UnderWay { number: 1, since: ms(10) });
        assert_eq!(supply.next(ms(35)), late);
        assert_eq!(number(supply.next(ms(35))), Some(2));
    }

    #[test]
    fn the_deadline_ends_it() {
        let (progress, mut supply) = supply(None, None);
        let late = progress.begin + Duration::from_secs(60);
        supply.give_back(progress.begin, 7);
        assert_eq!(supply.next(late), Supplied::None);
        assert_eq!(supply.left(), 1);
    }
}
