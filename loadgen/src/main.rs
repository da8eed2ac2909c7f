//! Load generator for SMTP servers: `source` sends, `sink` accepts, `bench` measures a server
//! between the two.
//!
//! It has SMTP code of its own and takes nothing from the server that it measures.

mod accounts;
mod behaviour;
mod bench;
mod cli;
mod client;
mod commands;
mod compare;
mod console;
mod content;
mod control_group;
mod cpus;
mod date;
mod dice;
mod end_of_data;
mod ids;
mod machine;
#[cfg(test)]
#[allow(dead_code, reason = "the scenarios of tests/it use the rest")]
#[path = "../tests/it/made_up.rs"]
mod made_up;
mod net;
mod process;
mod reply;
mod report;
mod results;
mod server;
mod shares;
mod sink;
mod source;
mod stamp;
mod stats;
mod stop;
mod tls;

use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;

use cli::{Cli, Command};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// The exit status of a verdict that could not be reached: what is to be judged is not there.
const NO_VERDICT: u8 = 2;

fn main() -> ExitCode {
    let command = Cli::parse().command;
    let on_error = match &command {
        Command::Verify(_) | Command::Compare(_) => ExitCode::from(NO_VERDICT),
        Command::Source(_)
        | Command::Sink(_)
        | Command::Bench(_)
        | Command::Report(_)
        | Command::Schema(_) => ExitCode::FAILURE,
    };
    let result = match command {
        Command::Source(args) => commands::source::run(*args),
        Command::Sink(args) => commands::sink::run(args),
        Command::Bench(args) => bench::run(&args),
        Command::Verify(args) => commands::verify::run(&args),
        Command::Report(args) => commands::report::run(&args),
        Command::Compare(args) => commands::compare::run(args),
        Command::Schema(args) => commands::schema::run(&args),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            console::complain(&error.to_string());
            on_error
        }
    }
}
