//! The bench's figures, as tables for people and as JSON for programs.

use std::fmt::Write as _;

use serde::Serialize;

use super::KeyKind;
use super::handshakes::HandshakeRun;
use super::measure::{IdleRun, MailRun, Scenario};
use crate::console::{grouped, rounded};
use crate::results::Machine;
use crate::stats::{Percentiles, Spread};
use crate::tls::TlsMode;

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub(super) struct BenchReport {
    pub(super) machine: Machine,
    pub(super) message_bytes: usize,
    pub(super) connections: u32,
    pub(super) pipelining: bool,
    pub(super) server_cpus: String,
    pub(super) generator_cpus: String,
    pub(super) mail: Vec<MailTable>,
    pub(super) idle: Vec<IdleRow>,
    pub(super) handshakes: Vec<HandshakeRow>,
    pub(super) tls: TlsMode,
    pub(super) tls_key: KeyKind,
}

/// A scenario with a row for each server.
#[derive(Debug, Serialize)]
pub(super) struct MailTable {
    pub(super) scenario: Scenario,
    pub(super) rows: Vec<MailRow>,
}

/// The runs of one server in one scenario.
#[derive(Debug, Serialize)]
pub(super) struct MailRow {
    server: &'static str,
    messages_per_second: Spread,
    cpu_us_per_message: Spread,
    runs: Vec<MailRun>,
}

/// One run of one server beside handshakes.
#[derive(Debug, Serialize)]
pub(super) struct HandshakeRow {
    pub(super) server: &'static str,
    #[serde(flatten)]
    pub(super) run: HandshakeRun,
}

/// Memory of one server.
#[derive(Debug, Serialize)]
pub(super) struct IdleRow {
    pub(super) server: &'static str,
    #[serde(flatten)]
    pub(super) run: IdleRun,
}

impl MailRow {
    /// The row of `server`.
    pub(super) fn new(server: &'static str, runs: Vec<MailRun>) -> Self {
        Self {
            server,
            messages_per_second: spread(&runs, |run| run.messages_per_second),
            cpu_us_per_message: spread(&runs, |run| run.cpu_us_per_message),
            runs,
        }
    }

    fn text(&self) -> String {
        let (rate, cpu) = (self.messages_per_second, self.cpu_us_per_message);
        let range = format!("{}–{}", rounded(rate.min), rounded(rate.max));
        let p50 =
            spread(&self.runs, |run| run.latency.map_or(0.0, |latency| latency.p50_ms)).median;
        let p99 =
            spread(&self.runs, |run| run.latency.map_or(0.0, |latency| latency.p99_ms)).median;
        format!(
            "  {:<10}{:>12}{range:>19}{:>15.1}{p50:>10.2}{p99:>10.2}",
            self.server,
            rounded(rate.median),
            cpu.median,
        )
    }

    fn faults(&self) -> Option<String> {
        let failed: u64 = self.runs.iter().map(|run| run.failed).sum();
        let duplicates: u64 = self.runs.iter().map(|run| run.duplicates).sum();
        (failed + duplicates > 0)
            .then(|| format!("  {}: {failed} failed, {duplicates} duplicates", self.server))
    }
}

impl BenchReport {
    /// Whether every message arrived.
    pub(super) fn is_clean(&self) -> bool {
        self.mail
            .iter()
            .flat_map(|table| &table.rows)
            .flat_map(|row| &row.runs)
            .all(|run| run.failed == 0)
    }

    /// The head line: what was measured and where.
    pub(super) fn head(&self) -> String {
        let Machine { kernel, cpu, cpus, file_system, .. } = &self.machine;
        let file_system = file_system.as_deref().unwrap_or("unknown");
        format!(
            "{} bytes a message, {} connections, pipelining {}; server on CPU {}, source and sink \
             on CPU {}\n{cpus} CPUs {cpu}, Linux {kernel}, spool on {file_system}",
            grouped(self.message_bytes as u64),
            self.connections,
            if self.pipelining { "on" } else { "off" },
            self.server_cpus,
            self.generator_cpus,
        )
    }
}

impl MailTable {
    /// For people.
    pub(super) fn text(&self) -> String {
        let title = match self.scenario {
            Scenario::AcceptKept => "accept and hold, connections kept",
            Scenario::AcceptSingle => "accept and hold, a connection for each message",
            Scenario::Relay => "in and out again, until the sink has all",
            Scenario::Idle => "idle connections",
            Scenario::Handshakes => "beside handshakes",
        };
        let runs = self.rows.first().map_or(0, |row| row.runs.len());
        let mut text = format!(
            "{title} (median of {runs}, lowest and highest)\n  \
             {:<10}{:>12}{:>19}{:>15}{:>10}{:>10}",
            "", "messages/s", "", "CPU µs/message", "p50 ms", "p99 ms"
        );
        for row in &self.rows {
            let _ = write!(text, "\n{}", row.text());
        }
        if let [first, second] = &self.rows[..] {
            let rate = first.messages_per_second.median / second.messages_per_second.median;
            let cpu = second.cpu_us_per_message.median / first.cpu_us_per_message.median;
            let _ = write!(text, "\n  {:<10}{rate:>11.1}x{:>19}{cpu:>14.1}x", "ratio", "");
        }
        for faults in self.rows.iter().filter_map(MailRow::faults) {
            let _ = write!(text, "\n{faults}");
        }
        text
    }
}

/// Memory of all servers for people.
pub(super) fn idle_text(rows: &[IdleRow]) -> String {
    let mut text = format!(
        "memory (proportional set size of all processes)\n  {:<10}{:>12}{:>28}{:>16}{:>16}{:>12}",
        "", "idle MiB", "with connections MiB", "bytes of each", "CPU µs to open", "idle CPU %"
    );
    for IdleRow { server, run } in rows {
        let _ = write!(
            text,
            "\n  {server:<10}{:>12.1}{:>28}{:>16}{:>16.1}{:>12.2}",
            mebibytes(run.memory_before_bytes),
            format!(
                "{:.1} ({} connections)",
                mebibytes(run.memory_bytes),
                grouped(u64::from(run.connections))
            ),
            grouped(
                run.memory_bytes.saturating_sub(run.memory_before_bytes)
                    / u64::from(run.connections.max(1))
            ),
            run.cpu_us_per_connection,
            run.cpu_idle_percent,
        );
    }
    text
}

/// Handshakes for people.
pub(super) fn handshakes_text(rows: &[HandshakeRow]) -> String {
    let mut text = format!(
        "messages at a steady rate over plain connections, alone and beside TLS handshakes: \
         latency in ms\n  {:<10}{:>11}{:>9}{:>9}{:>9}{:>13}{:>12}{:>9}{:>9}{:>9}{:>8}",
        "", "messages/s", "p50", "p99", "max", "", "handshakes/s", "p50", "p99", "max", "failed"
    );
    for HandshakeRow { server, run } in rows {
        let figures = |latency: &Option<Percentiles>| match latency {
            Some(it) => format!("{:>9.2}{:>9.2}{:>9.2}", it.p50_ms, it.p99_ms, it.max_ms),
            None => format!("{:>9}{:>9}{:>9}", "-", "-", "-"),
        };
        let _ = write!(
            text,
            "\n  {server:<10}{:>11.0}{}{:>13}{:>12.0}{}{:>8}",
            run.message_rate,
            figures(&run.latency_alone),
            "beside",
            run.handshakes_per_second,
            figures(&run.latency_beside),
            run.handshakes_failed
        );
    }
    text
}

fn spread(runs: &[MailRun], figure: impl Fn(&MailRun) -> f64) -> Spread {
    Spread::of(runs.iter().map(figure).collect())
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(server: &'static str, rates: &[f64]) -> MailRow {
        let runs = rates.iter().map(|rate| MailRun {
            messages: 10,
            failed: 0,
            messages_per_second: *rate,
            cpu_us_per_message: 1e6 / rate,
            latency: None,
            duplicates: 0,
        });
        MailRow::new(server, runs.collect())
    }

    #[test]
    fn a_table_has_medians_ranges_and_the_ratio() {
        let rows =
            vec![row("ringpost", &[9_000.0, 10_000.0, 12_000.0]), row("postfix", &[1_000.0; 3])];
        let text = MailTable { scenario: Scenario::Relay, rows }.text();
        for part in ["median of 3", "10,000", "9,000–12,000", "100.0", "10.0x"] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
    }

    #[test]
    fn faults_are_shown() {
        let mut faulty = row("postfix", &[1_000.0]);
        faulty.runs[0].failed = 3;
        let text = MailTable { scenario: Scenario::AcceptKept, rows: vec![faulty] }.text();
        assert!(text.contains("3 failed"), "{text}");
        assert!(!text.contains("ratio"));
    }
}
