//! What a source found out: kept by each thread, added up at the end.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::client::Stage;
use crate::reply::Code;
use crate::stats::{Latencies, Percentiles};

/// Different refusals that are told apart; a server that answers each message with another code
/// must not fill the memory.
const REFUSALS_MAX: usize = 64;

/// Bytes of a reply's text that are kept as an example.
const EXAMPLE_BYTES_MAX: usize = 120;

/// What takes time.
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
}

/// Figures of one thread.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
    pub(crate) recipients_refused: u64,
    pub(crate) lost: u64,
    pub(crate) sent_again: u64,
    pub(crate) connections: u64,
    pub(crate) connections_failed: u64,
    pub(crate) connections_broken: u64,
    pub(crate) timeouts: u64,
    refusals: BTreeMap<(Stage, Code), (u64, String)>,
    pub(crate) message: Latencies,
    pub(crate) end_of_data: Latencies,
    pub(crate) connect: Latencies,
    pub(crate) last_accepted: Option<Instant>,
}

impl Tally {
    /// Nothing yet.
    pub(crate) fn new() -> Self {
        Self {
            accepted: 0,
            refused: 0,
            recipients_refused: 0,
            lost: 0,
            sent_again: 0,
            connections: 0,
            connections_failed: 0,
            connections_broken: 0,
            timeouts: 0,
            refusals: BTreeMap::new(),
            message: Latencies::new(),
            end_of_data: Latencies::new(),
            connect: Latencies::new(),
            last_accepted: None,
        }
    }

    /// `what` took from `from` until `now`.
    pub(crate) fn record(&mut self, what: Timed, from: Instant, now: Instant) {
        let latency = now.saturating_duration_since(from);
        match what {
            Timed::Connect => self.connect.record(latency),
            Timed::EndOfData => self.end_of_data.record(latency),
            Timed::Message => self.message.record(latency),
            _ => {}
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
    pub(crate) fn note_fault(&mut self, stage: Stage, fault: &impl std::fmt::Display) {
        self.note_refusal(stage, Code::NONE, fault.to_string().as_bytes());
    }

    /// Adds the figures of another thread.
    pub(crate) fn add(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.refused += other.refused;
        self.recipients_refused += other.recipients_refused;
        self.lost += other.lost;
        self.sent_again += other.sent_again;
        self.connections += other.connections;
        self.connections_failed += other.connections_failed;
        self.connections_broken += other.connections_broken;
        self.timeouts += other.timeouts;
        for (key, (count, example)) in other.refusals {
            self.refusals.entry(key).or_insert_with(|| (0, example)).0 += count;
        }
        self.message.add(&other.message);
        self.end_of_data.add(&other.end_of_data);
        self.connect.add(&other.connect);
        self.last_accepted = self.last_accepted.max(other.last_accepted);
    }

    /// The figures for people and programs.
    pub(crate) fn report(&self, begin: Instant, message_bytes: usize, unsent: u64) -> SourceReport {
        let last = self.last_accepted.unwrap_or_else(Instant::now);
        let time = last.saturating_duration_since(begin).max(Duration::from_micros(1));
        let per_second = self.accepted as f64 / time.as_secs_f64();
        SourceReport {
            accepted: self.accepted,
            refused: self.refused,
            recipients_refused: self.recipients_refused,
            lost: self.lost,
            unsent,
            sent_again: self.sent_again,
            seconds: time.as_secs_f64(),
            messages_per_second: per_second,
            megabytes_per_second: per_second * message_bytes as f64 / 1e6,
            message_bytes,
            connections: self.connections,
            connections_failed: self.connections_failed,
            connections_broken: self.connections_broken,
            timeouts: self.timeouts,
            refusals: self
                .refusals
                .iter()
                .map(|((stage, code), (count, example))| Refusal {
                    code: code.0,
                    stage: stage.phrase(),
                    count: *count,
                    example: example.clone(),
                })
                .collect(),
            message: self.message.percentiles(),
            end_of_data: self.end_of_data.percentiles(),
            connect: self.connect.percentiles(),
        }
    }
}

/// What a source reports at its end.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SourceReport {
    /// Messages answered with 250.
    pub(crate) accepted: u64,
    /// Messages answered with 4xx or 5xx, and not sent again.
    pub(crate) refused: u64,
    /// Recipients refused of messages that were accepted for others.
    pub(crate) recipients_refused: u64,
    /// Messages that got no answer.
    pub(crate) lost: u64,
    /// Messages that were to be sent and never began.
    pub(crate) unsent: u64,
    /// Messages that were sent once more.
    pub(crate) sent_again: u64,
    /// From the start to the last 250.
    pub(crate) seconds: f64,
    pub(crate) messages_per_second: f64,
    /// Millions of bytes of content.
    pub(crate) megabytes_per_second: f64,
    pub(crate) message_bytes: usize,
    /// Connections on which messages could begin.
    pub(crate) connections: u64,
    /// Connections that never got so far.
    pub(crate) connections_failed: u64,
    /// Connections that ended before QUIT.
    pub(crate) connections_broken: u64,
    /// Replies that did not come in time.
    pub(crate) timeouts: u64,
    pub(crate) refusals: Vec<Refusal>,
    /// From MAIL to the reply to the content; with a rate, from when the message was due.
    pub(crate) message: Option<Percentiles>,
    /// From the last byte of the content to its reply.
    pub(crate) end_of_data: Option<Percentiles>,
    /// From connecting to the greeting.
    pub(crate) connect: Option<Percentiles>,
}

impl SourceReport {
    /// Whether every message arrived, and there was one.
    pub(crate) const fn is_clean(&self) -> bool {
        self.accepted > 0
            && self.refused == 0
            && self.recipients_refused == 0
            && self.lost == 0
            && self.unsent == 0
    }
}

/// Replies of one kind.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Refusal {
    pub(crate) code: u16,
    pub(crate) stage: &'static str,
    pub(crate) count: u64,
    /// The text of the first.
    pub(crate) example: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tallies_add_up_and_keep_the_first_text() {
        let (mut one, mut other) = (Tally::new(), Tally::new());
        one.accepted = 2;
        one.note_refusal(Stage::Recipient, Code(550), b"5.1.1 first");
        other.accepted = 3;
        other.note_refusal(Stage::Recipient, Code(550), b"5.1.1 second");
        other.note_refusal(Stage::EndOfData, Code(451), b"later");
        let begin = Instant::now();
        other.last_accepted = Some(begin + Duration::from_secs(2));
        one.add(other);
        let report = one.report(begin, 1_000, 0);
        assert_eq!(report.accepted, 5);
        assert!((report.messages_per_second - 2.5).abs() < 1e-9);
        assert!((report.megabytes_per_second - 0.0025).abs() < 1e-9);
        assert_eq!(report.refusals.len(), 2);
        assert_eq!((report.refusals[0].count, report.refusals[0].code), (2, 550));
        assert_eq!(report.refusals[0].example, "5.1.1 first");
    }

    #[test]
    fn the_kinds_of_refusals_are_bounded() {
        let mut tally = Tally::new();
        for code in 400..600 {
            tally.note_refusal(Stage::Mail, Code(code), b"");
        }
        assert_eq!(tally.report(Instant::now(), 0, 0).refusals.len(), REFUSALS_MAX);
    }
}
