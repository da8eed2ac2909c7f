//! The `ringpost` program: arguments, configuration, host, shards, signals.
//!
//! Exit status: 0 after a clean stop, 2 for a configuration or a host that will not do, 1 for any
//! other failure.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, mpsc};
use std::time::Instant;

use clap::Parser;

use ringpost::admin::{Admin, Monitored, ShardView, Signal};
use ringpost::cli::{Cli, Command, SpoolCommand, ready_line};
use ringpost::config::{Config, Destination, HostFacts};
use ringpost::counters::PublishedCounters;
use ringpost::io::time;
use ringpost::serve::{ServeError, Shards};
use ringpost::spool_tool::{self, Report};
use ringpost::{host_check, log, password_tool};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Exit status for a configuration or a host that will not do.
const UNUSABLE: u8 = 2;

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Serve { config, route, log } => {
            serve(config.as_deref(), route.as_ref(), log.as_deref())
        }
        Command::Check { config } => check(config.as_deref()),
        Command::Password { scram } => password(scram),
        Command::Spool { command: SpoolCommand::Verify { directory } } => {
            report_spool(&directory, Report::Verify)
        }
        Command::Spool { command: SpoolCommand::Dump { directory } } => {
            report_spool(&directory, Report::Dump)
        }
    }
}

fn password(scram: bool) -> ExitCode {
    match password_tool::run(scram, &mut io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => refuse([error]),
    }
}

fn report_spool(directory: &Path, report: Report) -> ExitCode {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let sound = spool_tool::report(directory, report, &mut out)
        .and_then(|sound| Ok(out.flush().map(|()| sound)?));
    match sound {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => refuse([error]),
    }
}

/// Says `lines` on standard error and ends with the status for what will not do.
fn refuse(lines: impl IntoIterator<Item = impl std::fmt::Display>) -> ExitCode {
    for line in lines {
        // With standard error closed there is nobody left to tell.
        let _ = writeln!(io::stderr(), "ringpost: {line}");
    }
    ExitCode::from(UNUSABLE)
}

fn check(path: Option<&Path>) -> ExitCode {
    let config = match Config::load(path, &HostFacts::probe()) {
        Ok(config) => config,
        Err(error) => return refuse(error.to_string().lines()),
    };
    match config.to_toml() {
        Ok(text) => match io::stdout().write_all(text.as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Err(error) => refuse([error]),
    }
}

fn load(path: Option<&Path>, route: Option<&Destination>) -> Result<Config, Vec<String>> {
    match Config::load(path, &HostFacts::probe()) {
        Ok(mut config) => {
            if let Some(route) = route {
                config.route_all(route.clone());
            }
            Ok(config)
        }
        Err(error) => Err(error.to_string().lines().map(str::to_owned).collect()),
    }
}

fn serve(path: Option<&Path>, route: Option<&Destination>, level: Option<&str>) -> ExitCode {
    let started_at = Instant::now();
    let log = match log::start(level) {
        Ok(log) => log,
        Err(error) => return refuse([error]),
    };
    let config = match load(path, route) {
        Ok(config) => config,
        Err(errors) => return refuse(errors),
    };
    let host = match host_check::prepare(&config) {
        Ok(host) => host,
        Err(complaints) => return refuse(complaints),
    };
    let cpus = config.shards.cpus.as_slice();
    let shards: Vec<_> = cpus
        .iter()
        .map(|cpu| ShardView { cpu: *cpu, counters: Arc::new(PublishedCounters::default()) })
        .collect();
    let monitored = Monitored {
        hostname: config.hostname.clone(),
        started: time::wall(),
        started_at,
        shards: shards.clone(),
        dropped_log_lines: log.dropped_lines(),
    };
    let (signal_sender, signals) = mpsc::channel();
    let admin = match Admin::start(config.admin.address, monitored, signal_sender.clone()) {
        Ok(admin) => admin,
        Err(complaint) => return refuse([complaint]),
    };
    if !config.admin.address.ip().is_loopback() {
        tracing::warn!(
            address = %admin.address(),
            "the admin server has no password and can be reached from outside this host"
        );
    }
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        hostname = %config.hostname,
        cpus = %config.shards.cpus,
        spool = %config.spool.path.display(),
        "starting"
    );
    let published: Vec<_> = shards.into_iter().map(|shard| shard.counters).collect();
    // A shard that ends by itself takes the others with it, in good order.
    let ended = move || {
        // If nobody listens any more the process is ending already.
        let _ = signal_sender.send(Signal::Stop);
    };
    let shards = match Shards::start(&config, &host.listener_addresses, &published, ended) {
        Ok(shards) => shards,
        Err(error) => return fail(&error),
    };
    say_ready(&host.listener_addresses, admin.address());
    wait(&signals, path, route, config, &shards);
    tracing::info!("stopping");
    let stopped = shards.stop();
    admin.stop();
    // No other process may have the spool before the last shard has ended.
    drop(host);
    match stopped {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

/// The line that tells whoever started the server that it can be used.
fn say_ready(listeners: &[SocketAddr], admin: SocketAddr) {
    // With standard output closed nobody waits for it.
    let mut out = io::stdout();
    let _ = writeln!(out, "{}", ready_line(listeners, admin)).and_then(|()| out.flush());
}

/// Says why the server cannot go on and ends with the status for that.
fn fail(error: &ServeError) -> ExitCode {
    let _ = writeln!(io::stderr(), "ringpost: {error}");
    ExitCode::FAILURE
}

/// Returns when the process is told to stop.
fn wait(
    signals: &mpsc::Receiver<Signal>,
    path: Option<&Path>,
    route: Option<&Destination>,
    mut config: Config,
    shards: &Shards,
) {
    // The sender lives in the admin thread, which outlives this wait.
    while let Ok(signal) = signals.recv() {
        match signal {
            Signal::Stop => return,
            Signal::Reload => match load(path, route) {
                Ok(read) if read == config => tracing::info!("the configuration is unchanged"),
                Ok(read) => match shards.reload(&config, &read) {
                    Ok(()) => {
                        tracing::info!("the new configuration is in use");
                        config = read;
                    }
                    Err(sections) => tracing::error!(
                        "the configuration is refused, the old one stays: {} cannot change while \
                         the server runs; restart to use it",
                        sections.join(", ")
                    ),
                },
                Err(errors) => {
                    for error in errors {
                        tracing::error!("the configuration is refused, the old one stays: {error}");
                    }
                }
            },
        }
    }
}
