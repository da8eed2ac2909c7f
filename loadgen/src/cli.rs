//! The command line: what the user wrote, checked as far as words alone allow.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use crate::bench::KeyKind;
use crate::cpus::CpuList;
use crate::source::{self, Pattern};
use crate::tls::TlsMode;

/// Load generator for SMTP servers.
///
/// The exit status is 0, or 1 if a message was refused or lost, or 2 for a wrong command line.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Send messages to an SMTP server and measure.
    Source(SourceArgs),
    /// Accept messages and count them.
    Sink(SinkArgs),
    /// Start Ringpost, a sink and a source, and measure Ringpost; beside it another server.
    Bench(BenchArgs),
}

/// `loadgen source`.
#[derive(Debug, Args)]
pub(crate) struct SourceArgs {
    /// HOST:PORT of the server; without a port it is 25.
    pub(crate) target: String,
    /// Connections at the same time.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) connections: u32,
    /// Send this many messages [default: 10000, unless --seconds is given].
    #[arg(long)]
    pub(crate) messages: Option<u64>,
    /// Begin no message after this time.
    #[arg(long)]
    pub(crate) seconds: Option<f64>,
    /// Bytes of a message, headers included.
    #[arg(long, default_value_t = 2_048)]
    pub(crate) size: usize,
    /// Close a connection after this many messages (0: keep it).
    #[arg(long, default_value_t = 0)]
    pub(crate) messages_per_connection: u64,
    /// Send MAIL, RCPT and DATA together where the server offers PIPELINING, which is the default.
    #[arg(long, overrides_with = "no_pipelining", action = ArgAction::SetTrue)]
    pub(crate) pipelining: bool,
    /// Wait for the reply to each command.
    #[arg(long)]
    pub(crate) no_pipelining: bool,
    /// With pipelining, send the commands of the next message behind each content, before its
    /// reply.
    #[arg(long, conflicts_with = "no_pipelining")]
    pub(crate) run_ahead: bool,
    /// Protect the connections; certificates are not checked.
    #[arg(long, value_enum, default_value_t = TlsMode::None)]
    pub(crate) tls: TlsMode,
    /// Make a full TLS handshake on each connection.
    #[arg(long)]
    pub(crate) no_resumption: bool,
    /// Recipients of a message.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) recipients: u32,
    /// The sender's address; an empty one is the null sender.
    #[arg(long, default_value = "sender@loadgen.example", value_parser = sender)]
    pub(crate) from: String,
    /// The recipient's address; {n} stands for the message's number, {r} for the recipient's number
    /// in the message.
    #[arg(long, default_value = "recipient{r}@sink.example")]
    pub(crate) to: Pattern,
    /// Recipients' domains, taken in turn from message to message instead of that in --to.
    #[arg(long, value_delimiter = ',', value_parser = domain)]
    pub(crate) domains: Vec<String>,
    /// The name to give in EHLO.
    #[arg(long, default_value = "loadgen.example")]
    pub(crate) ehlo: String,
    /// Messages a second to send, whatever the server does (an open loop); latencies then count
    /// from the time at which a message was due.
    #[arg(long, value_parser = rate)]
    pub(crate) rate: Option<f64>,
    /// Pin one thread to each of these CPUs, for instance 0-2,5.
    #[arg(long)]
    pub(crate) cpus: Option<CpuList>,
    /// Seconds to wait for a reply.
    #[arg(long, default_value_t = 60.0)]
    pub(crate) timeout: f64,
    /// When a connection fails, try again until the end; send messages without a 250, and those
    /// answered 4xx, again under the same id.
    #[arg(long)]
    pub(crate) reconnect: bool,
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
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:2526")]
    pub(crate) listen: SocketAddr,
    /// Pin one thread to each of these CPUs, for instance 0-2,5.
    #[arg(long)]
    pub(crate) cpus: Option<CpuList>,
    /// The name to give in the greeting.
    #[arg(long, default_value = "sink.example")]
    pub(crate) name: String,
    /// Milliseconds to wait before each reply.
    #[arg(long, default_value_t = 0.0)]
    pub(crate) delay_ms: f64,
    /// Milliseconds to wait, besides, before the reply to a content.
    #[arg(long, default_value_t = 0.0)]
    pub(crate) delay_end_of_data_ms: f64,
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

/// What a bench does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ScenarioArg {
    /// Accept mail and hold it: over kept connections, then with a connection a message.
    Accept,
    /// Mail in and out again.
    Relay,
    /// Memory and CPU with many idle connections.
    Idle,
    /// What TLS handshakes cost the sessions beside them.
    Handshakes,
}

/// A server to compare with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PeerArg {
    /// Debian's package `postfix`.
    Postfix,
}

/// `loadgen bench`.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// What to measure [default: all].
    #[arg(value_enum)]
    pub(crate) scenarios: Vec<ScenarioArg>,
    /// The ringpost program [default: beside this one].
    #[arg(long)]
    pub(crate) ringpost: Option<PathBuf>,
    /// Give the same work to this server, in turn with Ringpost.
    #[arg(long, value_enum)]
    pub(crate) peer: Option<PeerArg>,
    /// Leave Ringpost out.
    #[arg(long, requires = "peer")]
    pub(crate) only_peer: bool,
    /// Runs of each scenario and server; the report has medians.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) runs: u32,
    /// Seconds of sending in a run.
    #[arg(long, default_value_t = 5.0, conflicts_with = "messages")]
    pub(crate) seconds: f64,
    /// Messages in a run, instead of a time.
    #[arg(long)]
    pub(crate) messages: Option<u64>,
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
    /// Connections of the idle scenario.
    #[arg(long, default_value_t = 1_000)]
    pub(crate) idle_connections: u32,
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
    /// Write the report as JSON to this file (-: standard output).
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
}

fn sender(text: &str) -> Result<String, String> {
    if text.bytes().all(source::is_path_byte) { Ok(text.to_owned()) } else { Err(no_address()) }
}

fn domain(text: &str) -> Result<String, String> {
    if text.is_empty() { Err(no_address()) } else { sender(text) }
}

fn no_address() -> String {
    "it must be printable ASCII without spaces and angle brackets".to_owned()
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.001..=1e9).contains(&rate) => Ok(rate),
        Ok(_) | Err(_) => Err("it must be a number from 0.001 to 1000000000".to_owned()),
    }
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        Ok(_) | Err(_) => Err("it must be a number from 0 to 1".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_later_word_on_pipelining_counts() {
        let read = |args: &[&str]| match Cli::try_parse_from(args).unwrap().command {
            Command::Source(args) => !args.no_pipelining,
            Command::Sink(_) | Command::Bench(_) => panic!(),
        };
        assert!(read(&["loadgen", "source", "x"]));
        assert!(!read(&["loadgen", "source", "x", "--no-pipelining"]));
        assert!(read(&["loadgen", "source", "x", "--no-pipelining", "--pipelining"]));
    }
}
