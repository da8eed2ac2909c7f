//! `loadgen sink`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::share;
use crate::cpus::CpuList;

/// Where a sink refuses by chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RefuseAtArg {
    /// At RCPT.
    Rcpt,
    /// At the end of data.
    EndOfData,
}

/// `loadgen sink`.
#[derive(Debug, Args)]
pub(crate) struct SinkArgs {
    /// Address to listen on; port 0 takes a free one. May be repeated. [default: 127.0.0.1:2526,
    /// unless --behaviour has addresses]
    #[arg(long)]
    pub(crate) listen: Vec<SocketAddr>,
    /// What the sink does, by listening address and by recipient's domain: a TOML file.
    #[arg(long, value_name = "FILE")]
    pub(crate) behaviour: Option<PathBuf>,
    /// Write the certificate of the authority here that signs the sink's certificates, for clients
    /// to trust; it is a fresh one each time.
    #[arg(long, value_name = "FILE")]
    pub(crate) authority: Option<PathBuf>,
    /// Pin one thread to each of these CPUs, for instance 0-2,5.
    #[arg(long)]
    pub(crate) cpus: Option<CpuList>,
    /// The name to give in the greeting [default: sink.example].
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Milliseconds to wait before each reply.
    #[arg(long)]
    pub(crate) delay_ms: Option<f64>,
    /// Milliseconds to wait, besides, before the reply to a content.
    #[arg(long)]
    pub(crate) delay_end_of_data_ms: Option<f64>,
    /// Share of the replies at --refuse-at that are 5xx, from 0 to 1.
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    pub(crate) reject_rate: f64,
    /// Share of the replies at --refuse-at that are 4xx, from 0 to 1.
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    pub(crate) defer_rate: f64,
    /// Where to refuse.
    #[arg(long, value_enum, default_value_t = RefuseAtArg::Rcpt)]
    pub(crate) refuse_at: RefuseAtArg,
    /// Seed of what is refused.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Write a line for each message to this file: its id, or - if it has none.
    #[arg(long)]
    pub(crate) ids: Option<PathBuf>,
    /// Keep each message in this directory: NUMBER.eml, and its envelope in NUMBER.envelope.
    #[arg(long)]
    pub(crate) bodies: Option<PathBuf>,
    /// A message of `loadgen source` that was under way for longer is counted as late.
    #[arg(long, default_value_t = 3_600.0, value_name = "SECONDS")]
    pub(crate) late_after_s: f64,
    /// Stop after this many messages.
    #[arg(long)]
    pub(crate) exit_after: Option<u64>,
    /// Write the totals as JSON to this file (-: standard output).
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
    /// Print nothing but the line that says it is ready, and faults.
    #[arg(long)]
    pub(crate) quiet: bool,
}
