//! Everything that is printed, in one place: results on standard output, complaints and progress on
//! standard error. A reader that went away is no fault.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::Path;

use serde::Serialize;

use crate::sink::SinkTotals;
use crate::source::SourceReport;
use crate::stats::Percentiles;

/// Prints `text` and a line end on standard output.
pub(crate) fn say(text: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{text}");
    let _ = out.flush();
}

/// Prints a complaint on standard error.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(io::stderr().lock(), "loadgen: {text}");
}

/// A line that is written over again and again, on a terminal only.
#[derive(Debug)]
pub(crate) struct ProgressLine {
    shown: bool,
    terminal: bool,
}

impl ProgressLine {
    /// A line, which stays away if `quiet` or if nobody looks.
    pub(crate) fn new(quiet: bool) -> Self {
        Self { shown: false, terminal: !quiet && io::stderr().is_terminal() }
    }

    /// Shows `text` instead of what was there.
    pub(crate) fn show(&mut self, text: &str) {
        if self.terminal {
            self.shown = true;
            let _ = write!(io::stderr().lock(), "\r\x1b[2K{text}");
        }
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        if self.shown {
            let _ = write!(io::stderr().lock(), "\r\x1b[2K");
        }
    }
}

/// Writes `report` to `path`, `-` being standard output.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn write_json(path: &Path, report: &impl Serialize) -> io::Result<()> {
    let text = serde_json::to_string_pretty(report)?;
    if path == Path::new("-") {
        say(&text);
        Ok(())
    } else {
        fs::write(path, text + "\n")
    }
}

/// A report of a source for people.
pub(crate) fn source_text(report: &SourceReport) -> String {
    let mut text = format!(
        "accepted {} messages in {:.2} s: {} messages/s, {:.1} MB/s",
        grouped(report.accepted),
        report.seconds,
        rounded(report.messages_per_second),
        report.megabytes_per_second,
    );
    let mut faults = Vec::new();
    for (count, name) in [
        (report.refused, "refused"),
        (report.lost, "lost"),
        (report.unsent, "not sent"),
        (report.sent_again, "sent again"),
        (report.recipients_refused, "recipients refused of accepted messages"),
        (report.connections_failed, "connections failed"),
        (report.connections_broken, "connections broken"),
        (report.timeouts, "replies too late"),
    ] {
        if count > 0 {
            faults.push(format!("{} {name}", grouped(count)));
        }
    }
    if !faults.is_empty() {
        let _ = write!(text, "\n{}", faults.join(", "));
    }
    for refusal in &report.refusals {
        let (code, stage, count) = (refusal.code, refusal.stage, grouped(refusal.count));
        let _ = write!(text, "\n  {code} at {stage}: {count} (the first: {})", refusal.example);
    }
    let rows = [
        ("message", report.message),
        ("end of data to 250", report.end_of_data),
        ("connect", report.connect),
    ];
    if rows.iter().any(|(_, row)| row.is_some()) {
        let _ = write!(
            text,
            "\n{:<20}{:>10}{:>10}{:>10}{:>10}{:>10}",
            "milliseconds", "p50", "p90", "p99", "p99.9", "max"
        );
    }
    for (name, row) in rows {
        if let Some(Percentiles { p50_ms, p90_ms, p99_ms, p99_9_ms, max_ms }) = row {
            let _ = write!(
                text,
                "\n{name:<20}{p50_ms:>10.3}{p90_ms:>10.3}{p99_ms:>10.3}{p99_9_ms:>10.3}\
                 {max_ms:>10.3}"
            );
        }
    }
    text
}

/// The totals of a sink for people.
pub(crate) fn sink_text(totals: &SinkTotals) -> String {
    format!(
        "connections {}, messages {}, recipients {}, bytes {}, distinct ids {}, duplicates {}, \
         without id {}",
        totals.connections,
        totals.messages,
        totals.recipients,
        totals.bytes,
        totals.distinct,
        totals.duplicates,
        totals.unmarked
    )
}

/// A number with its thousands apart: `12,345`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A figure without its fraction, its thousands apart.
pub(crate) fn rounded(figure: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the cast saturates"
    )]
    let whole = figure.round() as u64;
    grouped(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
        assert_eq!(rounded(1_999.6), "2,000");
        assert_eq!(rounded(-1.0), "0");
    }
}
