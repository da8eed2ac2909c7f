//! `loadgen verify`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// A fault that may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AllowArg {
    /// Messages that came again, as they may after a crash.
    Duplicated,
    /// Messages that came late.
    Late,
}

/// `loadgen verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// What `loadgen source --json` wrote.
    pub(crate) source: PathBuf,
    /// What `loadgen sink --json` wrote.
    pub(crate) sink: PathBuf,
    /// Faults that do not make the exit status 1.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) allow: Vec<AllowArg>,
    /// Write the verdict as JSON to this file (-: standard output).
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
}
