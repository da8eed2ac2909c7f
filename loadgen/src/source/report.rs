//! What a source found out: kept by each thread, added up at the end.
//!
//! # Guarantees
//! Totals are of the whole run. Rates are of what was answered within the [`Window`], latencies of
//! what was due or begun within it.
//!
//! # Bounds
//! [`REFUSALS_MAX`] kinds of refusals.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use super::supply::Progress;
use crate::accounts::Acknowledged;
use crate::client::Stage;
use crate::reply::Code;
use crate::results::{Header, RefusalCount, Second, SourceResults, Stages, StepResults};
use crate::stats::Latencies;

/// Different refusals that are told apart; a server that answers each message with another code
/// must not fill the memory.
const REFUSALS_MAX: usize = 64;

/// Bytes of a reply's text that are kept as an example.
const EXAMPLE_BYTES_MAX: usize = 120;

/// The time that figures are taken from: the run without warm-up and cool-down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) from: Instant,
    /// Without it up to the end.
    pub(crate) until: Option<Instant>,
}

impl Window {
    /// Whether `at` lies in it.
    pub(crate) fn contains(&self, at: Instant) -> bool {
        at >= self.from && self.until.is_none_or(|until| at < until)
    }
}

/// What takes time. [`Stages`] says from when to when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timed {
    Connect,
    Banner,
    Tls,
    Ehlo,
    Auth,
    Mail,
    Rcpt,
    Data,
    EndOfData,
    Message,
    MessageUncorrected,
}

const TIMED_COUNT: usize = Timed::MessageUncorrected as usize + 1;

/// Figures of one thread.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) accepted: u64,
    pub(crate) acknowledged: Acknowledged,
    pub(crate) refused: u64,
    pub(crate) recipients_refused: u64,
    pub(crate) lost: u64,
    pub(crate) unsent: u64,
    pub(crate) sent_again: u64,
    pub(crate) connections: u64,
    pub(crate) connections_failed: u64,
    pub(crate) connections_broken: u64,
    pub(crate) timeouts: u64,
    /// Of the accepted messages.
    bytes: u64,
    measured_messages: u64,
    measured_bytes: u64,
    refusals: BTreeMap<(Stage, Code), (u64, String)>,
    window: Window,
    latencies: Vec<Latencies>,
    steps: Vec<StepTally>,
    last_accepted: Option<Instant>,
}

/// What happened in one step, and how long the messages took that were due in it.
#[derive(Clone, Debug)]
struct StepTally {
    accepted: u64,
    failed: u64,
    message: Latencies,
}

/// What is known of a run besides its tally.
#[derive(Debug)]
pub(super) struct Run<'a> {
    pub(super) header: Header,
    pub(super) id: u64,
    pub(super) progress: &'a Progress,
    pub(super) ended: Instant,
    pub(super) timeline: Vec<Second>,
}

impl Tally {
    /// Nothing yet.
    pub(super) fn new(window: Window, progress: &Progress) -> Self {
        let step = StepTally { accepted: 0, failed: 0, message: Latencies::new() };
        Self {
            accepted: 0,
            acknowledged: Acknowledged::default(),
            refused: 0,
            recipients_refused: 0,
            lost: 0,
            unsent: 0,
            sent_again: 0,
            connections: 0,
            connections_failed: 0,
            connections_broken: 0,
            timeouts: 0,
            bytes: 0,
            measured_messages: 0,
            measured_bytes: 0,
            refusals: BTreeMap::new(),
            window,
            latencies: vec![Latencies::new(); TIMED_COUNT],
            steps: vec![step; progress.steps().count()],
            last_accepted: None,
        }
    }

    /// `what` took from `from` until `now`; it counts if `from` is in the window.
    pub(crate) fn record(&mut self, what: Timed, from: Instant, now: Instant) {
        if self.window.contains(from) {
            self.latencies[what as usize].record(now.saturating_duration_since(from));
        }
    }

    /// A message that was due at `since`, began at `begun` and was accepted at `now`.
    pub(super) fn record_uncorrected(&mut self, since: Instant, begun: Instant, now: Instant) {
        // It counts where its corrected twin does.
        if self.window.contains(since) {
            let latency = now.saturating_duration_since(begun);
            self.latencies[Timed::MessageUncorrected as usize].record(latency);
        }
    }

    /// A message of `bytes` was accepted.
    pub(super) fn note_accepted(&mut self, bytes: u64, now: Instant) {
        self.accepted += 1;
        self.bytes += bytes;
        self.last_accepted = Some(now);
        if self.window.contains(now) {
            self.measured_messages += 1;
            self.measured_bytes += bytes;
        }
    }

    /// A message that was due in step `due` was answered in step `now`, `latency` later.
    pub(super) fn note_step_accepted(
        &mut self,
        due: Option<usize>,
        now: Option<usize>,
        latency: Duration,
    ) {
        if let Some(step) = due.and_then(|step| self.steps.get_mut(step)) {
            step.message.record(latency);
        }
        if let Some(step) = now.and_then(|step| self.steps.get_mut(step)) {
            step.accepted += 1;
        }
    }

    /// Messages were refused or lost in step `now`.
    pub(super) fn note_step_failed(&mut self, now: Option<usize>, count: u64) {
        if let Some(step) = now.and_then(|step| self.steps.get_mut(step)) {
            step.failed += count;
        }
    }

    /// A reply that refused something; the first text for each code is kept.
    pub(crate) fn note_refusal(&mut self, stage: Stage, code: Code, text: &[u8]) {
        if self.refusals.len() >= REFUSALS_MAX && !self.refusals.contains_key(&(stage, code)) {
            return;
        }
        let (count, _) = self.refusals.entry((stage, code)).or_insert_with(|| {
            let example = &text[..text.len().min(EXAMPLE_BYTES_MAX)];
            (0, String::from_utf8_lossy(example).into_owned())
        });
        *count += 1;
    }

    /// What kept a connection from coming so far that the server could refuse something.
    pub(super) fn note_fault(&mut self, stage: Stage, fault: &impl fmt::Display) {
        self.note_refusal(stage, Code::NONE, fault.to_string().as_bytes());
    }

    /// Adds the figures of another thread of the same run.
    pub(super) fn add(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.acknowledged.add(other.acknowledged);
        self.refused += other.refused;
        self.recipients_refused += other.recipients_refused;
        self.lost += other.lost;
        self.unsent += other.unsent;
        self.sent_again += other.sent_again;
        self.connections += other.connections;
        self.connections_failed += other.connections_failed;
        self.connections_broken += other.connections_broken;
        self.timeouts += other.timeouts;
        self.bytes += other.bytes;
        self.measured_messages += other.measured_messages;
        self.measured_bytes += other.measured_bytes;
        for (key, (count, example)) in other.refusals {
            self.refusals.entry(key).or_insert_with(|| (0, example)).0 += count;
        }
        for (own, other) in self.latencies.iter_mut().zip(&other.latencies) {
            own.add(other);
        }
        for (own, other) in self.steps.iter_mut().zip(&other.steps) {
            own.accepted += other.accepted;
            own.failed += other.failed;
            own.message.add(&other.message);
        }
        self.last_accepted = self.last_accepted.max(other.last_accepted);
    }

    /// The figures for people and programs.
    pub(super) fn results(&self, run: Run<'_>) -> SourceResults {
        let begin = run.progress.begin;
        let from = self.window.from;
        // A run that ended before its cool-down is measured up to its last message.
        let until = self.window.until.filter(|until| *until <= run.ended);
        let until = until.or(self.last_accepted).unwrap_or(run.ended);
        let measured = until.saturating_duration_since(from).max(Duration::from_micros(1));
        let measured_s = measured.as_secs_f64();
        SourceResults {
            header: run.header,
            run: format!("{:016x}", run.id),
            accepted: self.accepted,
            refused: self.refused,
            recipients_refused: self.recipients_refused,
            lost: self.lost,
            unsent: self.unsent + run.progress.untouched(),
            sent_again: self.sent_again,
            bytes: self.bytes,
            connections: self.connections,
            connections_failed: self.connections_failed,
            connections_broken: self.connections_broken,
            timeouts: self.timeouts,
            refusals: self.refusal_counts(),
            measured_s,
            measured_messages: self.measured_messages,
            messages_per_second: self.measured_messages as f64 / measured_s,
            bytes_per_second: self.measured_bytes as f64 / measured_s,
            offered_per_second: run.progress.schedule.as_ref().map(|schedule| {
                let by = |at: Instant| {
                    let at = run.progress.deadline.map_or(at, |deadline| at.min(deadline));
                    let time_s = at.saturating_duration_since(begin).as_secs_f64();
                    (time_s, schedule.count_by(time_s))
                };
                let ((from_s, before), (until_s, due)) = (by(from), by(until));
                (due - before) / (until_s - from_s).max(1e-6)
            }),
            stages: self.stages(),
            steps: self.step_results(run.progress),
            timeline: run.timeline,
            acknowledged: self.acknowledged.stretches(),
            acknowledged_not_kept: self.acknowledged.not_kept(),
        }
    }

    fn refusal_counts(&self) -> Vec<RefusalCount> {
        let refusals = self.refusals.iter();
        refusals
            .map(|((stage, code), (count, example))| RefusalCount {
                code: code.0,
                stage: stage.phrase().to_owned(),
                count: *count,
                example: example.clone(),
            })
            .collect()
    }

    fn stages(&self) -> Stages {
        let of = |what: Timed| self.latencies[what as usize].distribution();
        Stages {
            connect: of(Timed::Connect),
            banner: of(Timed::Banner),
            tls: of(Timed::Tls),
            ehlo: of(Timed::Ehlo),
            auth: of(Timed::Auth),
            mail: of(Timed::Mail),
            rcpt: of(Timed::Rcpt),
            data: of(Timed::Data),
            end_of_data: of(Timed::EndOfData),
            message: of(Timed::Message),
            message_uncorrected: of(Timed::MessageUncorrected),
        }
    }

    fn step_results(&self, progress: &Progress) -> Vec<StepResults> {
        let steps = progress.steps().zip(&self.steps);
        steps
            .map(|((begin_s, end_s, rate), tally)| StepResults {
                begin_s,
                end_s,
                offered_per_second: rate,
                accepted: tally.accepted,
                failed: tally.failed,
                messages_per_second: tally.accepted as f64 / (end_s - begin_s),
                message: tally.message.distribution(),
            })
            .collect()
    }
}

impl SourceResults {
    /// Whether every message arrived, and there was one.
    pub(crate) const fn is_clean(&self) -> bool {
        self.accepted > 0
            && self.refused == 0
            && self.recipients_refused == 0
            && self.lost == 0
            && self.unsent == 0
    }
}

#[cfg(test)]
mod tests {
    use super::super::pace::{Arrivals, Schedule};
    use super::*;
    use crate::machine;
    use crate::results::Kind;

    fn results(tally: &Tally, progress: &Progress, ended: Instant) -> SourceResults {
        let header = machine::header(Kind::Source, None).unwrap();
        tally.results(Run { header, id: 0xfeed, progress, ended, timeline: Vec::new() })
    }

    fn whole(progress: &Progress) -> Window {
        Window { from: progress.begin, until: None }
    }

    #[test]
    fn tallies_add_up_and_keep_the_first_text() {
        let progress = Progress::new(None, None, None);
        let begin = progress.begin;
        let mut one = Tally::new(whole(&progress), &progress);
        let mut other = Tally::new(whole(&progress), &progress);
        one.note_refusal(Stage::Recipient, Code(550), b"5.1.1 first");
        other.note_refusal(Stage::Recipient, Code(550), b"5.1.1 second");
        other.note_refusal(Stage::EndOfData, Code(451), b"later");
        for (tally, count) in [(&mut one, 2), (&mut other, 3)] {
            for _ in 0..count {
                tally.note_accepted(1_000, begin + Duration::from_secs(count));
            }
        }
        other.add(one);
        let results = results(&other, &progress, begin + Duration::from_secs(9));
        assert_eq!((results.accepted, results.measured_messages, results.bytes), (5, 5, 5_000));
        assert!((results.measured_s - 3.0).abs() < 1e-9);
        assert!((results.bytes_per_second - 5_000.0 / 3.0).abs() < 1e-6);
        assert_eq!((results.offered_per_second, results.run.as_str()), (None, "000000000000feed"));
        let [rcpt, end] = &results.refusals[..] else { panic!("{:?}", results.refusals) };
        assert_eq!((rcpt.count, rcpt.code, end.count), (2, 550, 1));
        assert_eq!(rcpt.example, "5.1.1 second");
    }

    #[test]
    fn what_lies_outside_the_window_is_left_out() {
        let schedule = Schedule::ramp(0.0, 100.0, Duration::from_secs(2), Arrivals::Even);
        let progress = Progress::new(None, Some(Duration::from_secs(10)), Some(schedule));
        let at = |s| progress.begin + Duration::from_secs(s);
        let mut tally = Tally::new(Window { from: at(2), until: Some(at(8)) }, &progress);
        for second in 0..10 {
            tally.note_accepted(10, at(second));
            tally.record(Timed::Message, at(second), at(second + 5));
        }
        let whole = results(&tally, &progress, at(12));
        assert_eq!((whole.accepted, whole.measured_messages, whole.bytes), (10, 6, 100));
        assert!((whole.messages_per_second - 1.0).abs() < 1e-9);
        assert!((whole.bytes_per_second - 10.0).abs() < 1e-9);
        assert!((whole.offered_per_second.unwrap() - 100.0).abs() < 1e-6);
        assert_eq!(whole.stages.message.unwrap().count, 6);
        assert_eq!(whole.stages.end_of_data, None);
        // It ended before its cool-down.
        tally.last_accepted = Some(at(6));
        assert!((results(&tally, &progress, at(7)).measured_s - 4.0).abs() < 1e-9);
    }

    #[test]
    fn steps_are_told_apart() {
        let second = Duration::from_secs(1);
        let schedule = Schedule::steps(&[(10.0, second), (20.0, 2 * second)], Arrivals::Even);
        let progress = Progress::new(None, None, Some(schedule));
        let mut tally = Tally::new(whole(&progress), &progress);
        tally.note_step_accepted(Some(0), Some(1), Duration::from_millis(700));
        tally.note_step_accepted(Some(1), None, Duration::from_millis(100));
        tally.note_step_failed(Some(1), 2);
        tally.note_step_failed(None, 2);
        let steps = results(&tally, &progress, progress.begin + 3 * second).steps;
        assert_eq!(steps.len(), 2);
        assert_eq!((steps[0].accepted, steps[0].failed), (0, 0));
        assert!(steps[0].message.as_ref().unwrap().p50_ms > 690.0);
        assert_eq!((steps[1].accepted, steps[1].failed), (1, 2));
        assert!((steps[1].messages_per_second - 0.5).abs() < 1e-9);
        assert!((steps[1].end_s - 3.0).abs() < 1e-9);
    }

    #[test]
    fn the_kinds_of_refusals_are_bounded() {
        let progress = Progress::new(None, None, None);
        let mut tally = Tally::new(whole(&progress), &progress);
        for code in 400..600 {
            tally.note_refusal(Stage::Mail, Code(code), b"");
        }
        assert_eq!(results(&tally, &progress, progress.begin).refusals.len(), REFUSALS_MAX);
    }
}
