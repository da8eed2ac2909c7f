//! `loadgen compare`: from two results to a verdict.

use std::path::Path;
use std::process::ExitCode;

use super::write_json;
use crate::cli::CompareArgs;
use crate::compare::{self, FIGURES, Strictness};
use crate::console;

/// The two cannot be compared.
const NOT_COMPARABLE: u8 = 2;

/// Compares; how it ended is told by the exit status alone.
pub(crate) fn run(args: CompareArgs) -> ExitCode {
    let figures = if args.figures.is_empty() { FIGURES.to_vec() } else { args.figures };
    let strictness = Strictness {
        threshold: args.threshold,
        confidence: args.confidence,
        figures,
        any_machine: args.any_machine,
    };
    let comparison = match compare::paths(&args.a, &args.b, &strictness) {
        Ok(comparison) => comparison,
        Err(error) => {
            console::complain(&error.to_string());
            return ExitCode::from(NOT_COMPARABLE);
        }
    };
    if args.json.as_deref() != Some(Path::new("-")) {
        console::say(&compare::text(&comparison, &args.a, &args.b));
    }
    if let Some(path) = &args.json
        && let Err(error) = write_json(path, &comparison)
    {
        console::complain(&error.to_string());
        return ExitCode::from(NOT_COMPARABLE);
    }
    if comparison.regressions > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
