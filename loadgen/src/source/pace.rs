//! When messages are due in an open loop: rates over time, and how arrivals fall.
//!
//! Each thread takes every so-manieth arrival, so that together they follow the schedule.
//!
//! # Guarantees
//! Even arrivals are spaced by the rate at their moment, with one thread or with several. Poisson
//! arrivals are the same for the same seed, thread and number of threads.
//!
//! # Bounds
//! [`STEPS_MAX`] steps.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::dice::Dice;

/// Each step has histograms of its own in each thread.
pub(crate) const STEPS_MAX: usize = 50;

/// How arrivals fall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrivals {
    /// Equally far apart.
    Even,
    /// As independent senders would: the time between two is distributed exponentially.
    Poisson,
}

/// Messages a second over time.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Schedule {
    stretches: Vec<Stretch>,
    arrivals: Arrivals,
    /// Each stretch is a step whose figures are told apart.
    has_steps: bool,
}

/// A time over which the rate changes evenly.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Stretch {
    rate_from: f64,
    rate_to: f64,
    begin_s: f64,
    end_s: f64,
    /// Messages due before it.
    count: f64,
}

impl Stretch {
    fn slope(&self) -> f64 {
        if self.end_s.is_finite() {
            (self.rate_to - self.rate_from) / (self.end_s - self.begin_s)
        } else {
            0.0
        }
    }

    /// Messages due in its first `time_s`.
    fn count_in(&self, time_s: f64) -> f64 {
        time_s * (self.rate_from + self.slope() * time_s / 2.0)
    }

    /// The time in it at which `count` messages were due: where [`Self::count_in`] reaches it.
    fn time_of(&self, count: f64) -> f64 {
        if count <= 0.0 {
            return 0.0;
        }
        let square = self.rate_from.powi(2) + 2.0 * self.slope() * count;
        2.0 * count / (self.rate_from + square.max(0.0).sqrt())
    }
}

impl Schedule {
    /// `rate` messages a second for ever.
    pub(crate) fn steady(rate: f64, arrivals: Arrivals) -> Self {
        let mut schedule = Self { stretches: Vec::new(), arrivals, has_steps: false };
        schedule.push(rate, rate, f64::INFINITY);
        schedule
    }

    /// From one rate to another over `time`, then for ever at that.
    pub(crate) fn ramp(from: f64, to: f64, time: Duration, arrivals: Arrivals) -> Self {
        let mut schedule = Self { stretches: Vec::new(), arrivals, has_steps: false };
        schedule.push(from, to, time.as_secs_f64());
        schedule.push(to, to, f64::INFINITY);
        schedule
    }

    /// One rate after another, each for its time; then it ends.
    pub(crate) fn steps(steps: &[(f64, Duration)], arrivals: Arrivals) -> Self {
        let mut schedule = Self { stretches: Vec::new(), arrivals, has_steps: true };
        for (rate, time) in steps.iter().take(STEPS_MAX) {
            schedule.push(*rate, *rate, time.as_secs_f64());
        }
        schedule
    }

    fn push(&mut self, rate_from: f64, rate_to: f64, time_s: f64) {
        let (begin_s, count) = self.stretches.last().map_or((0.0, 0.0), |last| {
            (last.end_s, last.count + last.count_in(last.end_s - last.begin_s))
        });
        self.stretches.push(Stretch {
            rate_from,
            rate_to,
            begin_s,
            end_s: begin_s + time_s,
            count,
        });
    }

    /// When it ends, if it does.
    pub(crate) fn end(&self) -> Option<Duration> {
        let end_s = self.stretches.last()?.end_s;
        Duration::try_from_secs_f64(end_s).ok()
    }

    /// How many messages are due by `time_s`.
    pub(super) fn count_by(&self, time_s: f64) -> f64 {
        let place = self.stretches.partition_point(|stretch| stretch.begin_s <= time_s);
        let Some(stretch) = place.checked_sub(1).map(|place| self.stretches[place]) else {
            return 0.0;
        };
        stretch.count + stretch.count_in(time_s.min(stretch.end_s) - stretch.begin_s)
    }

    /// When the message is due before which `count` are due; none after the end.
    fn time_s_of(&self, count: f64) -> Option<f64> {
        let place = self.stretches.partition_point(|stretch| stretch.count <= count);
        let stretch = self.stretches[place.checked_sub(1)?];
        let time_s = stretch.begin_s + stretch.time_of(count - stretch.count);
        (time_s < stretch.end_s).then_some(time_s)
    }

    /// The steps, as beginning, end and rate; none if it has no steps.
    pub(super) fn step_list(&self) -> impl Iterator<Item = (f64, f64, f64)> {
        let count = if self.has_steps { self.stretches.len() } else { 0 };
        let steps = self.stretches.iter().take(count);
        steps.map(|step| (step.begin_s, step.end_s, step.rate_from))
    }

    /// The step that `time` lies in.
    pub(super) fn step_at(&self, time: Duration) -> Option<usize> {
        if !self.has_steps {
            return None;
        }
        let time_s = time.as_secs_f64();
        let place = self.stretches.partition_point(|stretch| stretch.begin_s <= time_s);
        let place = place.checked_sub(1)?;
        (time_s < self.stretches[place].end_s).then_some(place)
    }
}

/// The arrivals of one thread.
#[derive(Debug)]
pub(super) struct Arriving {
    schedule: Arc<Schedule>,
    begin: Instant,
    dice: Dice,
    /// Messages of all threads before the next of this thread, and from one to the next of it.
    count: f64,
    stride: f64,
}

impl Arriving {
    /// The share of thread `index` of `threads`, from `begin` on.
    pub(super) fn new(
        schedule: &Arc<Schedule>,
        begin: Instant,
        seed: u64,
        (index, threads): (usize, usize),
    ) -> Self {
        let mut arriving = Self {
            schedule: Arc::clone(schedule),
            begin,
            dice: Dice::new(seed ^ (index as u64).rotate_left(32)),
            count: index as f64,
            stride: threads as f64,
        };
        if arriving.schedule.arrivals == Arrivals::Poisson {
            arriving.count = 0.0;
            arriving.advance();
        }
        arriving
    }

    /// When the next is due; none if there is no next.
    pub(super) fn due(&self) -> Option<Instant> {
        let time = Duration::try_from_secs_f64(self.schedule.time_s_of(self.count)?).ok()?;
        self.begin.checked_add(time)
    }

    /// Goes on to the one after.
    pub(super) fn advance(&mut self) {
        self.count += match self.schedule.arrivals {
            Arrivals::Even => self.stride,
            Arrivals::Poisson => self.dice.exponential() * self.stride,
        };
    }

    /// How many of this thread are due by `time`; of Poisson arrivals, how many are to be expected.
    pub(super) fn due_by(&self, time: Duration) -> u64 {
        let ahead = self.schedule.count_by(time.as_secs_f64()) - self.count;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the cast saturates"
        )]
        let count = (ahead / self.stride).ceil() as u64;
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dues(schedule: Schedule, threads: usize, seed: u64) -> Vec<f64> {
        let (begin, schedule) = (Instant::now(), Arc::new(schedule));
        let mut all = Vec::new();
        for index in 0..threads {
            let mut arriving = Arriving::new(&schedule, begin, seed, (index, threads));
            while let Some(due) = arriving.due().filter(|_| all.len() < 100_000) {
                all.push((due - begin).as_secs_f64());
                arriving.advance();
            }
        }
        all.sort_by(f64::total_cmp);
        all
    }

    #[test]
    fn steps_follow_their_rates_over_any_number_of_threads() {
        let second = Duration::from_secs(1);
        let schedule =
            || Schedule::steps(&[(100.0, second), (1_000.0, 2 * second)], Arrivals::Even);
        for threads in 1..4 {
            let dues = dues(schedule(), threads, 1);
            assert_eq!(dues.len(), 2_100);
            assert_eq!(dues.iter().filter(|due| **due < 1.0).count(), 100);
            for (index, due) in dues.iter().enumerate() {
                let index = index as f64;
                let wanted =
                    if index < 100.0 { index / 100.0 } else { 1.0 + (index - 100.0) / 1_000.0 };
                assert!((due - wanted).abs() < 1e-6, "{due} for {wanted}");
            }
        }
        let schedule = schedule();
        assert_eq!(schedule.end(), Some(3 * second));
        assert_eq!(schedule.step_at(second / 2), Some(0));
        assert_eq!(schedule.step_at(second), Some(1));
        assert_eq!(schedule.step_at(3 * second), None);
        assert_eq!(schedule.step_list().count(), 2);
    }

    #[test]
    fn a_ramp_rises_evenly_and_stays() {
        let schedule = Schedule::ramp(0.0, 200.0, Duration::from_secs(2), Arrivals::Even);
        assert_eq!(schedule.end(), None);
        for (time_s, count) in [(0.0, 0.0), (1.0, 50.0), (2.0, 200.0), (3.0, 400.0)] {
            assert!((schedule.count_by(time_s) - count).abs() < 1e-9, "by {time_s}");
            let time = schedule.time_s_of(count).unwrap();
            assert!((time - time_s).abs() < 1e-9, "{time} for {time_s}");
        }
        assert_eq!(schedule.step_at(Duration::ZERO), None);
        let falling = Schedule::ramp(100.0, 1.0, Duration::from_secs(1), Arrivals::Even);
        assert!((falling.count_by(1.0) - 50.5).abs() < 1e-9);
        assert!(falling.time_s_of(50.4).unwrap() < 1.0);
    }

    #[test]
    fn poisson_arrivals_have_the_rate_and_the_spread() {
        let steps = [(1_000.0, Duration::from_secs(10))];
        let schedule = || Schedule::steps(&steps, Arrivals::Poisson);
        for threads in 1..3 {
            let dues = dues(schedule(), threads, 7);
            assert_eq!(dues, self::dues(schedule(), threads, 7));
            // A standard deviation of 100 in 10,000.
            assert!((9_500..=10_500).contains(&dues.len()), "{}", dues.len());
            let gaps: Vec<f64> = dues.windows(2).map(|pair| pair[1] - pair[0]).collect();
            let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
            let variance =
                gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
            // That of an exponential distribution is as large as its mean.
            let deviation = variance.sqrt() / mean;
            assert!((0.93..1.07).contains(&deviation), "{deviation}");
        }
    }

    #[test]
    fn what_is_due_is_counted() {
        let schedule = Arc::new(Schedule::steady(10.0, Arrivals::Even));
        let mut arriving = Arriving::new(&schedule, Instant::now(), 1, (1, 2));
        // Those of this thread are due at 0.1, 0.3, 0.5 … s.
        assert_eq!(arriving.due_by(Duration::from_millis(100)), 0);
        assert_eq!(arriving.due_by(Duration::from_millis(550)), 3);
        arriving.advance();
        assert_eq!(arriving.due_by(Duration::from_millis(550)), 2);
        assert_eq!(arriving.due_by(Duration::ZERO), 0);
    }
}
