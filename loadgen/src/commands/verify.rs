//! `loadgen verify`: from the files of a source and of a sink to a verdict.

use std::io;
use std::path::Path;

use crate::accounts::{self, Verdict};
use crate::cli::{AllowArg, VerifyArgs};
use crate::console;
use crate::results::{AnyResults, SinkResults, SourceResults};

/// Whether all that was acknowledged was delivered, once, unchanged and in time.
///
/// # Errors
/// A file cannot be read, is of something else, or cannot account for everything.
pub(crate) fn run(args: &VerifyArgs) -> io::Result<bool> {
    let source = source_results(&args.source)?;
    let sink = sink_results(&args.sink)?;
    let delivered = sink.delivered.iter().find(|it| it.run == source.run);
    let verdict = accounts::verify(&source.run, &source.acknowledged, delivered);
    match &args.json {
        Some(path) => console::write_json(path, &verdict)?,
        None => console::say(&verdict.text()),
    }
    Ok(is_clean(&verdict, &args.allow))
}

fn is_clean(verdict: &Verdict, allowed: &[AllowArg]) -> bool {
    let may = |fault| allowed.contains(&fault);
    verdict.lost == 0
        && verdict.altered == 0
        && (verdict.duplicated == 0 || may(AllowArg::Duplicated))
        && (verdict.late == 0 || may(AllowArg::Late))
}

fn source_results(path: &Path) -> io::Result<SourceResults> {
    let AnyResults::Source(source) = AnyResults::read(path)? else {
        return Err(wrong(path, "of `loadgen source --json`, which comes first"));
    };
    if source.acknowledged_not_kept > 0 {
        let count = source.acknowledged_not_kept;
        return Err(wrong(path, &format!("complete: {count} messages were past its bounds")));
    }
    Ok(*source)
}

fn sink_results(path: &Path) -> io::Result<SinkResults> {
    let AnyResults::Sink(sink) = AnyResults::read(path)? else {
        return Err(wrong(path, "of `loadgen sink --json`, which comes second"));
    };
    if sink.not_told_apart > 0 {
        let count = sink.not_told_apart;
        return Err(wrong(path, &format!("complete: {count} recipients were past its bounds")));
    }
    Ok(*sink)
}

fn wrong(path: &Path, wanted: &str) -> io::Error {
    io::Error::other(format!("{} is not {wanted}", path.display()))
}
