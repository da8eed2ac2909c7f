//! What is compared: the figures of each run, by scenario and server.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use crate::results::{AnyResults, BenchResults, MailRun, SourceResults};

/// A kind of figure.
#[derive(Clone, Copy, Debug, Eq, JsonSchema, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Figure {
    /// Messages a second.
    Rate,
    /// CPU time of the server, user and system, a message.
    Cpu,
    /// Latency of a message within which half of them lie.
    P50,
    /// 99 % of them.
    P99,
    /// 99.9 % of them.
    #[serde(rename = "p99.9")]
    P99_9,
    /// Memory of the server; of idle connections.
    Memory,
}

/// All of them.
pub(crate) const FIGURES: [Figure; 6] =
    [Figure::Rate, Figure::Cpu, Figure::P50, Figure::P99, Figure::P99_9, Figure::Memory];

impl Figure {
    /// As the command line and the JSON have it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Cpu => "cpu",
            Self::P50 => "p50",
            Self::P99 => "p99",
            Self::P99_9 => "p99.9",
            Self::Memory => "memory",
        }
    }

    /// As people read it.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Rate => "messages/s",
            Self::Cpu => "CPU µs a message",
            Self::P50 => "p50 ms",
            Self::P99 => "p99 ms",
            Self::P99_9 => "p99.9 ms",
            Self::Memory => "memory MiB",
        }
    }

    /// Whether more of it is better.
    pub(crate) const fn more_is_better(self) -> bool {
        matches!(self, Self::Rate)
    }

    /// How it is called when it is better, and when it is worse.
    pub(crate) const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Rate | Self::P50 | Self::P99 | Self::P99_9 => ("faster", "slower"),
            Self::Cpu => ("less CPU", "more CPU"),
            Self::Memory => ("less memory", "more memory"),
        }
    }
}

/// Of what a figure is.
#[derive(Clone, Debug, Eq, JsonSchema, Ord, PartialEq, PartialOrd, Serialize)]
pub(crate) struct Subject {
    /// For instance `accept-kept`; `source` for results of a source.
    pub(crate) scenario: String,
    /// For instance `ringpost`; without it for results of a source.
    pub(crate) server: Option<String>,
}

/// The figures of one side.
#[derive(Debug, Default)]
pub(crate) struct Side {
    /// In the order in which the results have them.
    subjects: Vec<Subject>,
    runs: BTreeMap<(Subject, Figure), Vec<f64>>,
    failed: BTreeMap<Subject, u64>,
}

impl Side {
    /// The figures of all `results`. Those of a sink have none to compare.
    pub(crate) fn of(results: &[AnyResults]) -> Self {
        let mut side = Self::default();
        for results in results {
            match results {
                AnyResults::Bench(bench) => side.add_bench(bench),
                AnyResults::Source(source) => side.add_source(source),
                AnyResults::Sink(_) => {}
            }
        }
        side
    }

    /// In the order of the results.
    pub(crate) fn subjects(&self) -> &[Subject] {
        &self.subjects
    }

    /// The figures of the runs.
    pub(crate) fn runs(&self, subject: &Subject, figure: Figure) -> &[f64] {
        self.runs.get(&(subject.clone(), figure)).map_or(&[], Vec::as_slice)
    }

    /// Messages that failed.
    pub(crate) fn failed(&self, subject: &Subject) -> u64 {
        self.failed.get(subject).copied().unwrap_or(0)
    }

    fn add_bench(&mut self, bench: &BenchResults) {
        for mail in &bench.mail {
            for server in &mail.servers {
                let subject = Subject {
                    scenario: mail.scenario.clone(),
                    server: Some(server.server.clone()),
                };
                for run in &server.runs {
                    self.add_mail_run(&subject, run, server.offered_per_second.is_some());
                }
            }
        }
        for idle in &bench.idle {
            let subject = Subject {
                scenario: format!("idle-{}", idle.connections),
                server: Some(idle.server.clone()),
            };
            self.add(&subject, Figure::Memory, Some(mebibytes(idle.memory_bytes)));
        }
    }

    fn add_mail_run(&mut self, subject: &Subject, run: &MailRun, offered: bool) {
        // Whoever is offered a rate does no more: its rate says nothing.
        self.add(subject, Figure::Rate, (!offered).then_some(run.messages_per_second));
        let cpu = run.cpu_us_per_message();
        self.add(subject, Figure::Cpu, Some(cpu));
        let latency = run.latency.as_ref();
        self.add(subject, Figure::P50, latency.map(|it| it.p50_ms));
        self.add(subject, Figure::P99, latency.map(|it| it.p99_ms));
        self.add(subject, Figure::P99_9, latency.map(|it| it.p99_9_ms));
        self.add(subject, Figure::Memory, Some(mebibytes(run.memory_bytes)));
        *self.failed.entry(subject.clone()).or_default() += run.failed;
    }

    fn add_source(&mut self, source: &SourceResults) {
        let subject = Subject { scenario: "source".to_owned(), server: None };
        let rate = source.offered_per_second.is_none().then_some(source.messages_per_second);
        self.add(&subject, Figure::Rate, rate);
        let latency = source.stages.message.as_ref();
        self.add(&subject, Figure::P50, latency.map(|it| it.p50_ms));
        self.add(&subject, Figure::P99, latency.map(|it| it.p99_ms));
        self.add(&subject, Figure::P99_9, latency.map(|it| it.p99_9_ms));
        let failed = source.refused.saturating_add(source.lost).saturating_add(source.unsent);
        *self.failed.entry(subject).or_default() += failed;
    }

    fn add(&mut self, subject: &Subject, figure: Figure, value: Option<f64>) {
        if !self.subjects.contains(subject) {
            self.subjects.push(subject.clone());
        }
        // A rate or a time of 0 was not measured.
        if let Some(value) = value.filter(|value| value.is_finite() && *value > 0.0) {
            self.runs.entry((subject.clone(), figure)).or_default().push(value);
        }
    }
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
