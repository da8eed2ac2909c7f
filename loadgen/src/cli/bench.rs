//! `loadgen bench`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::rate;
use crate::bench::{KeyKind, Peer};
use crate::cpus::CpuList;
use crate::tls::TlsMode;

/// What a bench does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ScenarioArg {
    /// Accept mail and hold it: over kept connections, then with a connection a message.
    Accept,
    /// Mail in and out again.
    Relay,
    /// A backlog of mail that was held is let go.
    Drain,
    /// Memory and CPU with many idle connections.
    Idle,
    /// Accept mail in an open loop at 50, 80 and 95 % of what `accept` came to, which is measured
    /// first.
    Latency,
    /// What TLS handshakes cost the sessions beside them.
    Handshakes,
}

/// `loadgen bench`.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// What to measure [default: all but handshakes].
    #[arg(value_enum)]
    pub(crate) scenarios: Vec<ScenarioArg>,
    /// The ringpost program [default: beside this one].
    #[arg(long)]
    pub(crate) ringpost: Option<PathBuf>,
    /// Give the same work to these servers, in turn with Ringpost.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) peer: Vec<Peer>,
    /// Where peers are unpacked that are not installed: DIR/exim, DIR/opensmtpd, DIR/haraka. They
    /// go before those in PATH.
    #[arg(long, value_name = "DIR")]
    pub(crate) peers_directory: Option<PathBuf>,
    /// Leave Ringpost out.
    #[arg(long, requires = "peer")]
    pub(crate) only_peer: bool,
    /// Show the floor too: a program that answers the dialogue and does nothing else [it is
    /// ringpost-floor, beside ringpost].
    #[arg(long, conflicts_with = "tls")]
    pub(crate) floor: bool,
    /// Runs of each scenario and server; the report has medians.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) runs: u32,
    /// Seconds of sending in a run.
    #[arg(long, default_value_t = 5.0, conflicts_with = "messages")]
    pub(crate) seconds: f64,
    /// Messages in a run, instead of a time.
    #[arg(long)]
    pub(crate) messages: Option<u64>,
    /// Messages that `drain` holds and lets go.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) backlog: u64,
    /// Messages sent before each run, not counted, so that processes are started and files exist.
    #[arg(long, default_value_t = 200)]
    pub(crate) warm_up: u64,
    /// Connections of the source at the same time.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) connections: u32,
    /// Bytes of a message, headers included.
    #[arg(long, default_value_t = 2_048)]
    pub(crate) size: usize,
    /// Let the source wait for the reply to each command.
    #[arg(long)]
    pub(crate) no_pipelining: bool,
    /// Connections of the idle scenario, one number after another.
    #[arg(long, value_delimiter = ',', default_value = "1000,10000")]
    pub(crate) idle_connections: Vec<u32>,
    /// Protect the connections; with `idle` only `implicit` makes a difference.
    #[arg(long, value_enum, default_value_t = TlsMode::None)]
    pub(crate) tls: TlsMode,
    /// The key of the server's certificate.
    #[arg(long, value_enum, default_value_t = KeyKind::Ecdsa)]
    pub(crate) tls_key: KeyKind,
    /// Make a full TLS handshake on each connection.
    #[arg(long)]
    pub(crate) no_resumption: bool,
    /// Messages a second that are sent beside the handshakes.
    #[arg(long, default_value = "1000", value_parser = rate)]
    pub(crate) handshake_message_rate: f64,
    /// CPUs of the server.
    #[arg(long, default_value = "0")]
    pub(crate) server_cpus: CpuList,
    /// CPUs of the source and the sink.
    #[arg(long, default_value = "1")]
    pub(crate) generator_cpus: CpuList,
    /// Where the private directory for spools and configurations is made [default: the system's
    /// directory for temporary files]. Its disk is what is measured.
    #[arg(long)]
    pub(crate) directory: Option<PathBuf>,
    /// Make no further run of each scenario to count system calls, ring entries and context
    /// switches with perf.
    #[arg(long)]
    pub(crate) no_counts: bool,
    /// Write the results as a page with plots to this file.
    #[arg(long)]
    pub(crate) html: Option<PathBuf>,
    /// Write the results as tables in Markdown to this file.
    #[arg(long)]
    pub(crate) markdown: Option<PathBuf>,
    /// Write the results as JSON to this file (-: standard output).
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
}
