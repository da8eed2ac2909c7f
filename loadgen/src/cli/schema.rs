//! `loadgen schema`.

use clap::{Args, ValueEnum};

/// What can be described.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SchemaOf {
    /// `loadgen source --json`.
    Source,
    /// `loadgen sink --json`.
    Sink,
    /// `loadgen bench --json`.
    Bench,
    /// `loadgen compare --json`.
    Comparison,
}

/// `loadgen schema`.
#[derive(Debug, Args)]
pub(crate) struct SchemaArgs {
    /// Whose output to describe.
    #[arg(value_enum)]
    pub(crate) of: SchemaOf,
}
