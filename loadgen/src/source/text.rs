//! A report for people.

use std::fmt::Write as _;

use super::SourceReport;
use crate::console::{grouped, rounded};
use crate::stats::Percentiles;

/// A report of a source for people.
pub(crate) fn text(report: &SourceReport) -> String {
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
