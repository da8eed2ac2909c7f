//! `loadgen source`.

use std::path::PathBuf;

use clap::Args;

use super::dialogue::DialogueArgs;
use super::workload::WorkloadArgs;
use crate::cpus::CpuList;

/// `loadgen source`.
#[derive(Debug, Args)]
pub(crate) struct SourceArgs {
    /// HOST:PORT of the server; without a port it is 25.
    pub(crate) target: String,
    /// Connections at the same time.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) connections: u32,
    #[command(flatten)]
    pub(crate) workload: WorkloadArgs,
    #[command(flatten)]
    pub(crate) dialogue: DialogueArgs,
    /// Pin one thread to each of these CPUs, for instance 0-2,5.
    #[arg(long)]
    pub(crate) cpus: Option<CpuList>,
    /// Write the id of each message that was answered 250 to this file, one a line, as it comes.
    #[arg(long)]
    pub(crate) acked: Option<PathBuf>,
    /// The name of this run in the ids, up to 16 hexadecimal digits [default: random].
    #[arg(long, value_parser = |text: &str| u64::from_str_radix(text, 16))]
    pub(crate) run: Option<u64>,
    /// Write the report as JSON to this file (-: standard output).
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
    /// Print nothing but faults.
    #[arg(long)]
    pub(crate) quiet: bool,
}
