//! `loadgen compare`: from two results to a verdict.

use std::io;
use std::path::Path;

use crate::cli::CompareArgs;
use crate::compare::{self, FIGURES, Strictness};
use crate::console;

/// Whether no regression is shown.
///
/// # Errors
/// The two cannot be compared.
pub(crate) fn run(args: CompareArgs) -> io::Result<bool> {
    let figures = if args.figures.is_empty() { FIGURES.to_vec() } else { args.figures };
    let strictness = Strictness {
        threshold: args.threshold,
        confidence: args.confidence,
        figures,
        any_machine: args.any_machine,
    };
    let comparison = compare::paths(&args.a, &args.b, &strictness)?;
    if args.json.as_deref() != Some(Path::new("-")) {
        console::say(&compare::text(&comparison, &args.a, &args.b));
    }
    if let Some(path) = &args.json {
        console::write_json(path, &comparison)?;
    }
    Ok(comparison.regressions == 0)
}
