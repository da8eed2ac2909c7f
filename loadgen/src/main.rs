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

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Source(args) => commands::source::run(*args),
        Command::Sink(args) => commands::sink::run(args),
        Command::Bench(args) => bench::run(&args),
        Command::Verify(args) => return commands::verify::run(&args),
        Command::Report(args) => commands::report::run(&args),
        Command::Compare(args) => return commands::compare::run(args),
        Command::Schema(args) => commands::schema::run(&args),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            console::complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}
