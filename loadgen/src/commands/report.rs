//! `loadgen report`: from result files to a page.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use crate::cli::ReportArgs;
use crate::report::{self, Named};
use crate::results::AnyResults;

/// Writes the page; always true.
///
/// # Errors
/// A file holds no results, or the page cannot be written.
pub(crate) fn run(args: &ReportArgs) -> io::Result<bool> {
    let results: Vec<AnyResults> =
        args.results.iter().map(|path| AnyResults::read(path)).collect::<io::Result<_>>()?;
    let names = names(&args.results);
    let named: Vec<_> =
        names.iter().zip(&results).map(|(name, results)| Named { name, results }).collect();
    report::write_named_html(&named, &args.html)?;
    Ok(true)
}

/// The names of the files, or where two are the same the whole paths.
fn names(paths: &[PathBuf]) -> Vec<String> {
    let short = |path: &Path| path.file_stem().unwrap_or(path.as_os_str()).display().to_string();
    let distinct: BTreeSet<String> = paths.iter().map(|path| short(path)).collect();
    let whole = distinct.len() < paths.len();
    paths.iter().map(|path| if whole { path.display().to_string() } else { short(path) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_one_name_are_told_by_their_paths() {
        let paths = |texts: &[&str]| texts.iter().map(PathBuf::from).collect::<Vec<_>>();
        assert_eq!(names(&paths(&["x/before.json", "after.json"])), ["before", "after"]);
        let same = ["one/bench.json", "other/bench.json"];
        assert_eq!(names(&paths(&same)), same);
    }
}
