//! A comparison for people.

use std::fmt::Write as _;
use std::path::Path;

use super::{Comparison, Row, Subject, Verdict};

/// `accept-kept, ringpost`.
pub(super) fn subject(subject: &Subject) -> String {
    match &subject.server {
        Some(server) => format!("{}, {server}", subject.scenario),
        None => subject.scenario.clone(),
    }
}

/// A share as a percentage without needless digits.
pub(super) fn percent(share: f64) -> String {
    let rounded = (share * 1e5).round() / 1e3;
    format!("{rounded} %")
}

/// All of it, without a line end; `a` and `b` are where the sides come from.
pub(crate) fn text(comparison: &Comparison, a: &Path, b: &Path) -> String {
    let Comparison { threshold, confidence, warnings, rows, failed, regressions } = comparison;
    let mut text = format!(
        "A {}, B {}: medians (runs)\ndifferences of less than {} do not count; confidence {}",
        a.display(),
        b.display(),
        percent(*threshold),
        percent(*confidence)
    );
    for warning in warnings {
        let _ = write!(text, "\nwarning: {warning}");
    }
    let mut before: Option<&Subject> = None;
    for row in rows {
        if before != Some(&row.subject) {
            let _ = write!(
                text,
                "\n\n{:<22}{:>16}{:>16}{:>8}{:>18}{:>8}",
                subject(&row.subject),
                "A",
                "B",
                "B/A",
                "interval of B/A",
                "p"
            );
            before = Some(&row.subject);
        }
        let _ = write!(text, "\n{}", line(row));
    }
    text.push('\n');
    for it in failed {
        let name = subject(&it.subject);
        let _ = write!(text, "\n{name}: {} messages failed in B, {} in A", it.b, it.a);
    }
    let of = rows.iter().filter(|row| row.verdict != Verdict::TooFewRuns).count();
    let untold = rows.len() - of;
    let _ = match regressions {
        0 => write!(text, "\nno regression shown in {of} figures"),
        1 => write!(text, "\n1 regression in {of} figures"),
        _ => write!(text, "\n{regressions} regressions in {of} figures"),
    };
    if untold > 0 {
        let _ = write!(text, "; {untold} have too few runs to tell");
    }
    text
}

fn line(row: &Row) -> String {
    let side = |runs: &super::Runs| format!("{} ({})", figure(runs.median), runs.runs);
    let interval = match (row.ratio_low, row.ratio_high) {
        (Some(low), Some(high)) => format!("{low:.3}–{high:.3}"),
        _ => "-".to_owned(),
    };
    let p = if row.p < 0.001 { "<0.001".to_owned() } else { format!("{:.3}", row.p) };
    let (better, worse) = row.figure.words();
    let verdict = match row.verdict {
        Verdict::Better => better.to_owned(),
        Verdict::Worse => worse.to_uppercase(),
        Verdict::WithinThreshold => "within the threshold".to_owned(),
        Verdict::NoDifferenceShown => "no difference shown".to_owned(),
        Verdict::TooFewRuns => "too few runs to tell".to_owned(),
    };
    format!(
        "  {:<20}{:>16}{:>16}{:>8.3}{interval:>18}{p:>8}  {verdict}",
        row.figure.title(),
        side(&row.a),
        side(&row.b),
        row.ratio
    )
}

fn figure(value: f64) -> String {
    if value >= 100.0 {
        crate::console::rounded(value)
    } else if value >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.3}")
    }
}
