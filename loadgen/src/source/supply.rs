//! Which message comes next, and when.
//!
//! # Guarantees
//! Each number of a run goes out once, unless it is given back; what is given back goes out again
//! before anything fresh. In an open loop what was due before the deadline still goes out after it.
//!
//! # Bounds
//! What was given back: at most what the connections of the thread had under way.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::pace::{Arriving, Schedule};
use crate::stop::Stop;

/// How long a message rests that was refused for the moment or lost its connection.
const REST: Duration = Duration::from_millis(50);

/// What the threads of a source share.
#[derive(Debug)]
pub(crate) struct Progress {
    pub(crate) begin: Instant,
    /// No message begins after this, or is due after this in an open loop.
    pub(crate) deadline: Option<Instant>,
    /// How many messages there are.
    pub(crate) messages: Option<u64>,
    /// When messages are due, where the source does not simply wait for replies.
    pub(crate) schedule: Option<Arc<Schedule>>,
    next: AtomicU64,
    accepted: AtomicU64,
    failed: AtomicU64,
}

impl Progress {
    /// Nothing is sent yet; time runs from now.
    pub(crate) fn new(
        messages: Option<u64>,
        time: Option<Duration>,
        schedule: Option<Schedule>,
    ) -> Self {
        let begin = Instant::now();
        let end = schedule.as_ref().and_then(Schedule::end);
        Self {
            begin,
            deadline: time.into_iter().chain(end).min().map(|time| begin + time),
            messages,
            schedule: schedule.map(Arc::new),
            next: AtomicU64::new(0),
            accepted: AtomicU64::new(0),
            failed: AtomicU64::new(0),
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

    /// Messages that were refused or lost so far.
    pub(crate) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Some more.
    pub(crate) fn note_failed(&self, count: u64) {
        self.failed.fetch_add(count, Ordering::Relaxed);
    }

    /// Messages that were to be sent and never left the supply.
    pub(crate) fn untouched(&self) -> u64 {
        let taken = self.next.load(Ordering::Relaxed);
        self.messages.map_or(0, |messages| messages.saturating_sub(taken))
    }

    /// The steps of the schedule as beginning, end and rate.
    pub(super) fn steps(&self) -> impl Iterator<Item = (f64, f64, f64)> {
        self.schedule.iter().flat_map(|schedule| schedule.step_list())
    }

    /// The step that `at` lies in.
    pub(super) fn step_at(&self, at: Instant) -> Option<usize> {
        self.schedule.as_ref()?.step_at(at.saturating_duration_since(self.begin))
    }
}

/// A message on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UnderWay {
    pub(crate) number: u64,
    /// When it began, or should have begun by the rate asked for: latency counts from here, so that
    /// a slow server cannot hide what waits before its door.
    pub(crate) since: Instant,
    /// When it began.
    pub(crate) begun: Instant,
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
    again: VecDeque<(Instant, UnderWay)>,
    /// In an open loop, the fresh messages to come and when the next of them is due.
    arriving: Option<Arriving>,
    due: Option<Instant>,
    /// Messages that were handed out and are neither settled nor back.
    under_way: u64,
}

impl Supply {
    /// The share of thread `index` of `threads`; `seed` is that of Poisson arrivals.
    pub(crate) fn new(
        progress: Arc<Progress>,
        stop: Stop,
        seed: u64,
        place: (usize, usize),
    ) -> Self {
        let schedule = progress.schedule.as_ref();
        let arriving =
            schedule.map(|schedule| Arriving::new(schedule, progress.begin, seed, place));
        let due = arriving.as_ref().and_then(Arriving::due);
        Self { progress, stop, again: VecDeque::new(), arriving, due, under_way: 0 }
    }

    /// The next message.
    pub(crate) fn next(&mut self, now: Instant) -> Supplied {
        if self.is_over(now) {
            return Supplied::None;
        }
        let supplied = match self.again.front() {
            Some(_) if self.time_is_up(now) => self.fresh(now),
            Some(&(from, message)) if from <= now => {
                self.again.pop_front();
                // In an open loop it is still the message that was due long ago.
                let since = if self.arriving.is_some() { message.since } else { now };
                Supplied::Message(UnderWay { since, begun: now, ..message })
            }
            Some(&(from, _)) => match self.fresh(now) {
                Supplied::Message(message) => Supplied::Message(message),
                Supplied::Later(due) => Supplied::Later(due.min(from)),
                Supplied::None => Supplied::Later(from),
            },
            None => self.fresh(now),
        };
        self.under_way += u64::from(matches!(supplied, Supplied::Message(_)));
        supplied
    }

    /// Takes back a message that was not delivered.
    pub(crate) fn give_back(&mut self, now: Instant, message: UnderWay) {
        self.settle(1);
        self.again.push_back((now + REST, message));
    }

    /// Messages have met their end.
    pub(crate) const fn settle(&mut self, count: u64) {
        self.under_way = self.under_way.saturating_sub(count);
    }

    /// Messages that were handed out and have met no end yet.
    pub(crate) const fn under_way(&self) -> u64 {
        self.under_way
    }

    /// Messages given back that did not go out again.
    pub(crate) fn left(&self) -> u64 {
        self.again.len() as u64
    }

    /// In an open loop without a number of messages, how many were due before the deadline and were
    /// not handed out: the server was too slow for them.
    pub(crate) fn overdue(&self) -> u64 {
        let (Some(arriving), Some(deadline)) = (&self.arriving, self.progress.deadline) else {
            return 0;
        };
        if self.progress.messages.is_some() || !self.has_due_before(deadline) {
            return 0;
        }
        arriving.due_by(deadline.saturating_duration_since(self.progress.begin))
    }

    /// Whether the time is up.
    pub(crate) fn time_is_up(&self, now: Instant) -> bool {
        self.progress.deadline.is_some_and(|deadline| now >= deadline)
    }

    /// Whether there will be no more, because someone asked to stop or because the time is up and
    /// nothing waits that was due before.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        let waits = || self.progress.deadline.is_some_and(|deadline| self.has_due_before(deadline));
        self.stop.is_set() || (self.time_is_up(now) && !(waits() && self.has_numbers()))
    }

    /// Whether `next` may still give a message.
    pub(crate) fn has_more(&self, now: Instant) -> bool {
        !self.is_over(now) && (!self.again.is_empty() || self.has_fresh())
    }

    fn has_fresh(&self) -> bool {
        let in_time = match (self.arriving.is_some(), self.progress.deadline) {
            (true, Some(deadline)) => self.has_due_before(deadline),
            (true, None) | (false, _) => true,
        };
        in_time && self.has_numbers()
    }

    fn has_due_before(&self, deadline: Instant) -> bool {
        self.due.is_some_and(|due| due < deadline)
    }

    fn has_numbers(&self) -> bool {
        self.progress.messages.is_none() || self.progress.untouched() > 0
    }

    fn fresh(&mut self, now: Instant) -> Supplied {
        if !self.has_fresh() {
            return Supplied::None;
        }
        let since = if self.arriving.is_some() { self.due.unwrap_or(now) } else { now };
        if since > now {
            return Supplied::Later(since);
        }
        let number = self.progress.next.fetch_add(1, Ordering::Relaxed);
        if self.progress.messages.is_some_and(|messages| number >= messages) {
            return Supplied::None;
        }
        if let Some(arriving) = &mut self.arriving {
            arriving.advance();
            self.due = arriving.due();
        }
        Supplied::Message(UnderWay { number, since, begun: now })
    }
}

#[cfg(test)]
mod tests {
    use super::super::pace::Arrivals;
    use super::*;

    fn supply(messages: Option<u64>, schedule: Option<Schedule>) -> (Arc<Progress>, Supply) {
        let progress = Arc::new(Progress::new(messages, Some(Duration::from_secs(60)), schedule));
        let supply = Supply::new(Arc::clone(&progress), Stop::default(), 1, (0, 2));
        (progress, supply)
    }

    fn steady(rate: f64) -> Option<Schedule> {
        Some(Schedule::steady(rate, Arrivals::Even))
    }

    fn message(supplied: Supplied) -> Option<UnderWay> {
        match supplied {
            Supplied::Message(message) => Some(message),
            Supplied::Later(_) | Supplied::None => None,
        }
    }

    fn number(supplied: Supplied) -> Option<u64> {
        message(supplied).map(|message| message.number)
    }

    #[test]
    fn what_comes_back_goes_first_after_a_rest() {
        let (progress, mut supply) = supply(Some(3), None);
        let now = progress.begin;
        let first = message(supply.next(now)).unwrap();
        assert_eq!((first.number, supply.under_way()), (0, 1));
        supply.give_back(now, first);
        assert_eq!(supply.under_way(), 0);
        let second = message(supply.next(now)).unwrap();
        assert_eq!(second.number, 1);
        assert_eq!(number(supply.next(now + REST)), Some(0));
        supply.give_back(now, second);
        assert_eq!(number(supply.next(now)), Some(2));
        assert_eq!(supply.next(now), Supplied::Later(now + REST));
        assert!(supply.has_more(now));
        let again = message(supply.next(now + REST)).unwrap();
        assert_eq!((again.number, again.since), (1, now + REST));
        assert_eq!(supply.next(now + REST), Supplied::None);
        assert!(!supply.has_more(now));
        assert_eq!((progress.untouched(), supply.under_way()), (0, 3));
        supply.settle(3);
        assert_eq!(supply.under_way(), 0);
    }

    #[test]
    fn a_rate_spaces_the_messages() {
        let (progress, mut supply) = supply(None, steady(200.0));
        let now = progress.begin;
        let ms = |ms| now + Duration::from_millis(ms);
        assert_eq!(message(supply.next(now)).unwrap().since, now);
        assert_eq!(supply.next(now), Supplied::Later(ms(10)));
        let late = message(supply.next(ms(35))).unwrap();
        assert_eq!((late.number, late.since, late.begun), (1, ms(10), ms(35)));
        assert_eq!(number(supply.next(ms(35))), Some(2));
        // What comes back is as late as it was.
        supply.give_back(ms(35), late);
        assert_eq!(message(supply.next(ms(85))).unwrap().since, ms(10));
    }

    #[test]
    fn the_deadline_ends_a_closed_loop() {
        let (progress, mut supply) = supply(None, None);
        let late = progress.begin + Duration::from_secs(60);
        let first = message(supply.next(progress.begin)).unwrap();
        supply.give_back(progress.begin, first);
        assert_eq!(supply.next(late), Supplied::None);
        assert_eq!((supply.left(), supply.overdue()), (1, 0));
    }

    #[test]
    fn what_was_due_before_the_deadline_still_goes_out() {
        let (progress, mut supply) = supply(None, steady(1.0));
        let deadline = progress.begin + Duration::from_secs(60);
        let last = deadline - Duration::from_secs(2);
        // Of two threads, this one has those of every second second.
        assert_eq!(supply.overdue(), 30);
        for left in (0..30).rev() {
            assert!(!supply.is_over(deadline) && supply.has_more(deadline));
            let message = message(supply.next(deadline)).unwrap();
            assert!(message.since <= last);
            assert_eq!(supply.overdue(), left);
        }
        assert!(supply.is_over(deadline) && !supply.has_more(last));
        assert_eq!(supply.next(deadline), Supplied::None);
        assert_eq!(supply.next(last), Supplied::None);
    }

    #[test]
    fn a_number_of_messages_ends_an_open_loop() {
        let (progress, mut supply) = supply(Some(2), steady(1_000.0));
        let later = progress.begin + Duration::from_secs(1);
        assert_eq!((number(supply.next(later)), number(supply.next(later))), (Some(0), Some(1)));
        assert_eq!(supply.next(later), Supplied::None);
        assert!(!supply.has_more(later));
        assert_eq!(supply.overdue(), 0);
    }
}
