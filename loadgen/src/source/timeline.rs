//! What happened in each second of a run, over all threads.
//!
//! Each thread keeps its current second to itself ([`SecondTally`]) and hands it over when the
//! second is past, so that the lock is taken once a second.
//!
//! # Guarantees
//! Every message that was noted is in the row of its second.
//!
//! # Bounds
//! [`SECONDS_MAX`] rows; what comes after is not noted. [`OPEN_MAX`] seconds at the end still have
//! their histograms: what a thread hands over later than that counts but does not move percentiles.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::results::Second;
use crate::stats::Latencies;

/// A day, in 4 MiB.
const SECONDS_MAX: u32 = 86_400;

/// Threads look up ten times a second; this leaves room for one that was kept from it.
const OPEN_MAX: usize = 8;

/// The seconds of a run.
#[derive(Debug)]
pub(super) struct Timeline {
    begin: Instant,
    rows: Mutex<Rows>,
}

#[derive(Debug, Default)]
struct Rows {
    closed: Vec<Second>,
    /// Those behind `closed`.
    open: VecDeque<OpenSecond>,
}

#[derive(Debug)]
struct OpenSecond {
    accepted: u64,
    failed: u64,
    in_flight: u64,
    latencies: Latencies,
}

impl Timeline {
    /// Nothing has happened since `begin`.
    pub(super) fn new(begin: Instant) -> Self {
        Self { begin, rows: Mutex::default() }
    }

    fn take(&self, tally: &SecondTally, in_flight: u64) {
        if tally.second >= SECONDS_MAX {
            return;
        }
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        rows.make_room(tally.second);
        let place = tally.second as usize;
        if let Some(row) = rows.closed.get_mut(place) {
            row.accepted += tally.accepted;
            row.failed += tally.failed;
            row.in_flight += in_flight;
            return;
        }
        let place = place - rows.closed.len();
        let row = &mut rows.open[place];
        row.accepted += tally.accepted;
        row.failed += tally.failed;
        row.in_flight += in_flight;
        row.latencies.add(&tally.latencies);
    }

    /// The latest second that all threads have handed over.
    pub(super) fn latest(&self, now: Instant) -> Option<Second> {
        /// By then each thread has looked up, unless something keeps it from its work.
        const SETTLED: Duration = Duration::from_millis(200);
        let settled = now.checked_sub(SETTLED)?.checked_duration_since(self.begin)?;
        let place = usize::try_from(settled.as_secs().checked_sub(1)?).ok()?;
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(row) = rows.closed.get(place) {
            return Some(*row);
        }
        let row = rows.open.get(place - rows.closed.len())?;
        Some(row.close(place))
    }

    /// All seconds up to the last in which something happened.
    pub(super) fn seconds(&self) -> Vec<Second> {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let closed = rows.closed.len();
        let open = rows.open.iter().enumerate();
        let rest = open.map(|(place, second)| second.close(closed + place));
        let mut seconds: Vec<Second> = rows.closed.iter().copied().chain(rest).collect();
        while seconds.pop_if(|last| last.accepted + last.failed + last.in_flight == 0).is_some() {}
        seconds
    }
}

impl Rows {
    fn make_room(&mut self, second: u32) {
        while self.closed.len() + self.open.len() <= second as usize {
            let mut row = if self.open.len() < OPEN_MAX {
                OpenSecond { accepted: 0, failed: 0, in_flight: 0, latencies: Latencies::coarse() }
            } else if let Some(row) = self.open.pop_front() {
                self.closed.push(row.close(self.closed.len()));
                row
            } else {
                return;
            };
            (row.accepted, row.failed, row.in_flight) = (0, 0, 0);
            row.latencies.clear();
            self.open.push_back(row);
        }
    }
}

impl OpenSecond {
    fn close(&self, second: usize) -> Second {
        Second {
            second: u32::try_from(second).unwrap_or(SECONDS_MAX),
            accepted: self.accepted,
            failed: self.failed,
            p50_ms: self.latencies.at_ms(0.5),
            p99_ms: self.latencies.at_ms(0.99),
            in_flight: self.in_flight,
        }
    }
}

/// The current second of one thread.
#[derive(Debug)]
pub(super) struct SecondTally {
    second: u32,
    end: Instant,
    accepted: u64,
    failed: u64,
    latencies: Latencies,
}

impl SecondTally {
    /// The first second of `timeline`.
    pub(super) fn new(timeline: &Timeline) -> Self {
        Self {
            second: 0,
            end: timeline.begin + Duration::from_secs(1),
            accepted: 0,
            failed: 0,
            latencies: Latencies::coarse(),
        }
    }

    /// Whether `now` is in a later second, so that this one is to be handed over.
    pub(super) fn is_past(&self, now: Instant) -> bool {
        now >= self.end
    }

    /// Gives its figures to `timeline` and begins the second of `now`.
    pub(super) fn hand_over(&mut self, timeline: &Timeline, in_flight: u64, now: Instant) {
        timeline.take(self, in_flight);
        let since = now.saturating_duration_since(timeline.begin).as_secs();
        self.second = u32::try_from(since).unwrap_or(u32::MAX);
        self.end = timeline.begin + Duration::from_secs(since + 1);
        (self.accepted, self.failed) = (0, 0);
        self.latencies.clear();
    }

    /// A message was answered 250.
    pub(super) fn note_accepted(&mut self, latency: Duration) {
        self.accepted += 1;
        self.latencies.record(latency);
    }

    /// Messages were refused or lost.
    pub(super) const fn note_failed(&mut self, count: u64) {
        self.failed += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_of_several_threads_come_together() {
        let timeline = Timeline::new(Instant::now());
        let at = |ms| timeline.begin + Duration::from_millis(ms);
        let mut threads = [SecondTally::new(&timeline), SecondTally::new(&timeline)];
        for (thread, latency_ms) in threads.iter_mut().zip([1, 100]) {
            thread.note_accepted(Duration::from_millis(latency_ms));
            thread.note_failed(latency_ms);
            assert!(!thread.is_past(at(999)) && thread.is_past(at(1_000)));
            thread.hand_over(&timeline, 5, at(1_050));
        }
        assert_eq!(timeline.latest(at(1_100)), None);
        let first = timeline.latest(at(1_200)).unwrap();
        assert_eq!((first.second, first.accepted, first.failed, first.in_flight), (0, 2, 101, 10));
        assert!((first.p50_ms - 1.0).abs() < 0.02 && (first.p99_ms - 100.0).abs() < 1.0);
        threads[0].hand_over(&timeline, 1, at(3_000));
        let seconds = timeline.seconds();
        assert_eq!(seconds.len(), 2);
        assert_eq!((seconds[1].accepted, seconds[1].in_flight), (0, 1));
        assert!(seconds[1].p99_ms.abs() < 1e-12);
    }

    #[test]
    fn a_long_run_keeps_few_histograms_and_late_figures_still_count() {
        let timeline = Timeline::new(Instant::now());
        let at = |s| timeline.begin + Duration::from_secs(s);
        let (mut early, mut late) = (SecondTally::new(&timeline), SecondTally::new(&timeline));
        for second in 0..100 {
            early.note_accepted(Duration::from_millis(1));
            early.hand_over(&timeline, 0, at(second + 1));
        }
        late.note_accepted(Duration::from_millis(7));
        late.hand_over(&timeline, 0, at(100));
        let seconds = timeline.seconds();
        assert_eq!(seconds.len(), 100);
        assert_eq!((seconds[0].accepted, seconds[1].accepted), (2, 1));
        assert!(seconds.iter().zip(0..).all(|(second, number)| second.second == number));
        assert_eq!(timeline.rows.lock().unwrap().open.len(), OPEN_MAX);
        late.hand_over(&timeline, 0, at(u64::from(SECONDS_MAX) + 5));
        late.hand_over(&timeline, 0, at(u64::from(SECONDS_MAX) + 6));
        assert!(timeline.seconds().len() <= SECONDS_MAX as usize);
    }
}
