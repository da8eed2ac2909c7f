//! The command line: what the user wrote, checked as far as words alone allow.

mod bench;
mod compare;
mod dialogue;
mod pace;
mod report;
mod schema;
mod sink;
mod source;
mod verify;
mod workload;

use clap::{Parser, Subcommand};

pub(crate) use bench::{BenchArgs, ScenarioArg};
pub(crate) use compare::CompareArgs;
pub(crate) use dialogue::DialogueArgs;
pub(crate) use report::ReportArgs;
pub(crate) use schema::{SchemaArgs, SchemaOf};
pub(crate) use sink::{RefuseAtArg, SinkArgs};
pub(crate) use source::SourceArgs;
pub(crate) use verify::{AllowArg, VerifyArgs};
pub(crate) use workload::WorkloadArgs;

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
    Source(Box<SourceArgs>),
    /// Accept messages and count them.
    Sink(SinkArgs),
    /// Start Ringpost, a sink and a source, and measure Ringpost; beside it another server.
    Bench(BenchArgs),
    /// Tell what became of the messages of a source: lost, duplicated, altered, late.
    Verify(VerifyArgs),
    /// Show results as an HTML page with plots.
    Report(ReportArgs),
    /// Say whether results B are slower than results A, as far as their runs can tell.
    Compare(CompareArgs),
    /// Print the JSON Schema of what a command writes with --json.
    Schema(SchemaArgs),
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
        let read = |args: &[&str]| {
            let Command::Source(args) = Cli::try_parse_from(args).unwrap().command else {
                panic!()
            };
            !args.dialogue.no_pipelining
        };
        assert!(read(&["loadgen", "source", "x"]));
        assert!(!read(&["loadgen", "source", "x", "--no-pipelining"]));
        assert!(read(&["loadgen", "source", "x", "--no-pipelining", "--pipelining"]));
    }
}
