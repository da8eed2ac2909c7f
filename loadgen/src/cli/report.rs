//! `loadgen report`.

use std::path::PathBuf;

use clap::Args;

/// `loadgen report`.
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// Files that `source`, `sink` and `bench` wrote with --json. Those of one kind are shown
    /// beside one another, under their file names.
    #[arg(required = true)]
    pub(crate) results: Vec<PathBuf>,
    /// The page to write.
    #[arg(long)]
    pub(crate) html: PathBuf,
}
