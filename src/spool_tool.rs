//! `ringpost spool verify` and `ringpost spool dump`: a spool read offline, with nothing changed.
//!
//! # Guarantees
//! Nothing is written, locked or repaired. Beside a running server the tail of the log may look cut
//! off; what is told of the rest is true.
//!
//! # Failures
//! [`ToolError`]: the directory is no spool, a log was written by another version, or standard
//! output is closed.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::io::store::{SpoolRoot, StoreError};
use crate::spool::{Finding, inspect};

/// Why a spool cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// The directory cannot be listed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No shard has a directory there.
    #[error("{0} is no spool: no directory in it is named shard-0, shard-1, …; give spool.path")]
    NoSpool(PathBuf),
    /// A log cannot be read at all.
    #[error("{path}: {why}")]
    Log {
        /// The shard's directory.
        path: PathBuf,
        /// What was found.
        why: String,
    },
    /// Nobody reads what is printed.
    #[error("cannot print: {0}")]
    Output(#[from] io::Error),
}

/// What is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// Damage, and what each log comes to.
    Verify,
    /// Every record as well.
    Dump,
}

/// Reads the spool at `path` and prints `report` to `out`. Returns whether it is sound.
///
/// # Errors
/// If it cannot be read at all. Damage is no error: it is printed.
pub fn report(path: &Path, report: Report, out: &mut impl Write) -> Result<bool, ToolError> {
    let root = SpoolRoot::new(path);
    let shards = root.shards()?;
    if shards.is_empty() {
        return Err(ToolError::NoSpool(path.to_owned()));
    }
    let mut sound = true;
    for index in shards {
        let directory = root.shard_to_read(index);
        let place = directory.path().display().to_string();
        let mut printed = Ok(());
        let inspected = inspect(&directory, &mut |finding| {
            sound &= !matches!(finding, Finding::Damage(_));
            if printed.is_ok() && (report == Report::Dump || is_for_verify(&finding)) {
                printed = writeln!(out, "{place}: {finding}");
            }
        });
        printed?;
        inspected.map_err(|error| ToolError::Log {
            path: directory.path().to_owned(),
            why: error.to_string(),
        })?;
    }
    Ok(sound)
}

const fn is_for_verify(finding: &Finding) -> bool {
    matches!(finding, Finding::Damage(_) | Finding::Summary { .. })
}
