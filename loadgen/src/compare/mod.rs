//! Whether B is slower than A, as far as their runs can tell.
//!
//! For each scenario, server and figure, a difference is *shown* if both hold: the rank test of the
//! runs has a p below 1 - confidence, and the bootstrap interval of the ratio of medians leaves out
//! equality. A shown difference counts if it is at least the threshold. Too few runs can show
//! nothing, and that is said rather than taken for "no difference".
//!
//! # Guarantees
//! The same files and options give the same answer. Where nothing could be told the answer is an
//! error, not success.
//!
//! # Failures
//! Sides that were measured in different ways ([`same`]), or of which no figure has enough runs.
//!
//! # Bounds
//! `FILES_MAX` files a side, [`statistics::RUNS_MAX`] runs of a figure.

mod figures;
mod same;
mod statistics;
mod text;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Serialize;

use crate::console::naming;
use crate::results::AnyResults;
use crate::stats::Spread;
use figures::Side;
pub(crate) use figures::{FIGURES, Figure, Subject};
pub(crate) use text::text;

/// Files in a directory that is one side.
const FILES_MAX: usize = 200;

/// How strict a comparison is.
#[derive(Clone, Debug)]
pub(crate) struct Strictness {
    /// A shown difference of less than this share does not count.
    pub(crate) threshold: f64,
    /// How sure a difference must be to be shown, 0.99 for instance.
    pub(crate) confidence: f64,
    /// What is compared.
    pub(crate) figures: Vec<Figure>,
    /// Compare what different machines did.
    pub(crate) any_machine: bool,
}

/// What was found.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Comparison {
    pub(crate) threshold: f64,
    pub(crate) confidence: f64,
    /// What may make the comparison worth less.
    pub(crate) warnings: Vec<String>,
    pub(crate) rows: Vec<Row>,
    /// Where more messages failed in B than in A, which is a regression whatever the rest says.
    pub(crate) failed: Vec<Failed>,
    /// Regressions, those of `failed` included.
    pub(crate) regressions: usize,
}

/// One figure of one scenario and server.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Row {
    #[serde(flatten)]
    pub(crate) subject: Subject,
    pub(crate) figure: Figure,
    pub(crate) a: Runs,
    pub(crate) b: Runs,
    /// Median of B to median of A.
    pub(crate) ratio: f64,
    /// Where the ratio lies with the confidence asked for; not of too few runs.
    pub(crate) ratio_low: Option<f64>,
    pub(crate) ratio_high: Option<f64>,
    /// How often chance alone sets such runs at least as far apart.
    pub(crate) p: f64,
    pub(crate) verdict: Verdict,
}

/// The runs of one side.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Runs {
    pub(crate) runs: usize,
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

/// What the runs tell.
#[derive(Clone, Copy, Debug, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Verdict {
    /// B is better, by the threshold or more.
    Better,
    /// B is worse, by the threshold or more: a regression.
    Worse,
    /// A difference is shown, and it is less than the threshold.
    WithinThreshold,
    /// The runs show no difference.
    NoDifferenceShown,
    /// So few runs show no difference whatever they are.
    TooFewRuns,
}

/// A server that failed more often.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Failed {
    #[serde(flatten)]
    pub(crate) subject: Subject,
    pub(crate) a: u64,
    pub(crate) b: u64,
}

/// Compares what the two paths hold, each a file or a directory of files.
///
/// # Errors
/// See the module.
pub(crate) fn paths(a: &Path, b: &Path, strictness: &Strictness) -> io::Result<Comparison> {
    results(&read(a)?, &read(b)?, strictness)
}

fn read(path: &Path) -> io::Result<Vec<AnyResults>> {
    if !path.is_dir() {
        return Ok(vec![AnyResults::read(path)?]);
    }
    let at = naming(path);
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(path).map_err(at)? {
        let file = entry.map_err(at)?.path();
        if file.extension().is_some_and(|extension| extension == "json") {
            files.push(file);
        }
    }
    if files.is_empty() || files.len() > FILES_MAX {
        return Err(at(io::Error::other(format!(
            "{} files named *.json, not 1 to {FILES_MAX}",
            files.len()
        ))));
    }
    files.sort();
    files.iter().map(|file| AnyResults::read(file)).collect()
}

fn results(a: &[AnyResults], b: &[AnyResults], strictness: &Strictness) -> io::Result<Comparison> {
    let mut warnings = same::check(a, b, strictness.any_machine)?;
    let (a, b) = (Side::of(a), Side::of(b));
    let mut rows = Vec::new();
    let mut failed = Vec::new();
    for subject in a.subjects() {
        if !b.subjects().contains(subject) {
            warnings.push(format!("B has no {}", text::subject(subject)));
            continue;
        }
        for &figure in &strictness.figures {
            let (runs_a, runs_b) = (a.runs(subject, figure), b.runs(subject, figure));
            if runs_a.len().max(runs_b.len()) > statistics::RUNS_MAX {
                return Err(io::Error::other(format!(
                    "{} has more than {} runs a side: leave some out",
                    text::subject(subject),
                    statistics::RUNS_MAX
                )));
            }
            if !runs_a.is_empty() && !runs_b.is_empty() {
                rows.push(row(subject, figure, runs_a, runs_b, strictness));
            }
        }
        let (failed_a, failed_b) = (a.failed(subject), b.failed(subject));
        if failed_b > failed_a {
            failed.push(Failed { subject: subject.clone(), a: failed_a, b: failed_b });
        }
    }
    for subject in b.subjects().iter().filter(|subject| !a.subjects().contains(subject)) {
        warnings.push(format!("A has no {}", text::subject(subject)));
    }
    if rows.is_empty() {
        return Err(io::Error::other("A and B have no figure in common"));
    }
    if failed.is_empty() && rows.iter().all(|row| row.verdict == Verdict::TooFewRuns) {
        let needed = statistics::runs_needed(1.0 - strictness.confidence);
        let most = rows.iter().map(|row| row.a.runs.min(row.b.runs)).max().unwrap_or(0);
        return Err(io::Error::other(format!(
            "too few runs to tell: at a confidence of {} {needed} runs a side are needed, and \
             there are {most} (bench: --runs {needed}; source: {needed} files in a directory)",
            text::percent(strictness.confidence)
        )));
    }
    let worse = rows.iter().filter(|row| row.verdict == Verdict::Worse).count();
    Ok(Comparison {
        threshold: strictness.threshold,
        confidence: strictness.confidence,
        warnings,
        rows,
        regressions: worse + failed.len(),
        failed,
    })
}

fn row(subject: &Subject, figure: Figure, a: &[f64], b: &[f64], strictness: &Strictness) -> Row {
    let (runs_a, runs_b) = (Runs::of(a), Runs::of(b));
    let ratio = runs_b.median / runs_a.median;
    let p = statistics::rank_test(a, b);
    let level = 1.0 - strictness.confidence;
    let too_few = statistics::least_p(a.len(), b.len()) >= level;
    // Of too few runs an interval would only pretend to know something.
    let interval =
        if too_few { None } else { statistics::ratio_interval(a, b, strictness.confidence) };
    let leaves_out_1 = interval.is_some_and(|(low, high)| low > 1.0 || high < 1.0);
    let verdict = if too_few {
        Verdict::TooFewRuns
    } else if p >= level || !leaves_out_1 {
        Verdict::NoDifferenceShown
    } else if (ratio - 1.0).abs() < strictness.threshold {
        Verdict::WithinThreshold
    } else if (ratio > 1.0) == figure.more_is_better() {
        Verdict::Better
    } else {
        Verdict::Worse
    };
    Row {
        subject: subject.clone(),
        figure,
        a: runs_a,
        b: runs_b,
        ratio,
        ratio_low: interval.map(|(low, _)| low),
        ratio_high: interval.map(|(_, high)| high),
        p,
        verdict,
    }
}

impl Runs {
    fn of(figures: &[f64]) -> Self {
        let Spread { median, min, max } = Spread::of(figures.to_vec());
        Self { runs: figures.len(), median, min, max }
    }
}

#[cfg(test)]
mod tests;
