//! The `ringpost` program: arguments, configuration, host, shards, signals.
//!
//! Exit status: 0 after a clean stop, 2 for a configuration or a host that will not do, 1 for any
//! other failure.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use clap::Parser;

use ringpost::admin::{Admin, Monitored, ShardView, Signal};
use ringpost::cli::{Cli, Command, SpoolCommand, ready_line};
use ringpost::config::{Config, Destination, HostFacts, Passwords};
use ringpost::counters::PublishedCounters;
use ringpost::doctor::{self, Examination, Form};
use ringpost::io::memory::{MemorySource, MemoryWatch};
use ringpost::io::time;
use ringpost::limits::MEMORY_LOOK_MS;
use ringpost::serve::{Reception, ServeError, Shards};
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
        Command::Check { config, with_passwords } => check(config.as_deref(), with_passwords),
        Command::Doctor { config, json, all, quick, port_25 } => {
            let form = if json { Form::Json } else { Form::Text { all } };
            doctor(config.as_deref(), form, Examination { measures: !quick, port_25 })
        }
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

fn check(path: Option<&Path>, with_passwords: bool) -> ExitCode {
    let config = match Config::load(path, &HostFacts::probe()) {
        Ok(config) => config,
        Err(error) => return refuse(error.to_string().lines()),
    };
    let offers = match Reception::new().and_then(|reception| Ok(reception.offers(&config)?)) {
        Ok(offers) => offers,
        Err(error) => return refuse([error]),
    };
    for warning in offers.warnings {
        // With standard error closed there is nobody left to tell.
        let _ = writeln!(io::stderr(), "ringpost: warning: {warning}");
    }
    let passwords = if with_passwords { Passwords::Shown } else { Passwords::Hidden };
    match config.to_toml(passwords) {
        Ok(text) => match io::stdout().write_all(text.as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Err(error) => refuse([error]),
    }
}

fn doctor(path: Option<&Path>, form: Form, examination: Examination) -> ExitCode {
    let facts = HostFacts::probe();
    let config = match Config::load(path, &facts) {
        Ok(config) => config,
        Err(error) => return refuse(error.to_string().lines()),
    };
    let diagnosis = doctor::examine(config, facts, examination);
    let mut out = io::BufWriter::new(io::stdout().lock());
    match diagnosis.write(form, &mut out).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::from(diagnosis.exit_status()),
        Err(_) => ExitCode::from(UNUSABLE),
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
    let reception = match Reception::new() {
        Ok(reception) => reception,
        Err(error) => return fail(&error),
    };
    // A file that cannot be used makes the configuration one that will not do.
    let offers = match reception.offers(&config) {
        Ok(offers) => offers,
        Err(error) => return refuse([ServeError::from(error)]),
    };
    warn(&offers.warnings);
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
    say_start(&config, admin.address());
    let published: Vec<_> = shards.into_iter().map(|shard| shard.counters).collect();
    // A shard that ends by itself takes the others with it, in good order.
    let ended = move || {
        // If nobody listens any more the process is ending already.
        let _ = signal_sender.send(Signal::Stop);
    };
    let addresses = &host.listener_addresses;
    let shards = Shards::start(&config, reception, offers.listeners, addresses, &published, ended);
    let shards = match shards {
        Ok(shards) => shards,
        Err(error) => return fail(&error),
    };
    say_ready(addresses, admin.address());
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

fn warn(warnings: &[String]) {
    for warning in warnings {
        tracing::warn!("{warning}");
    }
}

fn say_start(config: &Config, admin: SocketAddr) {
    if !config.admin.address.ip().is_loopback() {
        tracing::warn!(
            address = %admin,
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

/// Returns when the process is told to stop. Until then it reloads the configuration when it is
/// told to, and looks after the memory.
fn wait(
    signals: &mpsc::Receiver<Signal>,
    path: Option<&Path>,
    route: Option<&Destination>,
    mut config: Config,
    shards: &Shards,
) {
    let ceiling_bytes = config.limits.memory_max_bytes;
    let mut watch = MemoryWatch::new(MemorySource::host(), ceiling_bytes, shards.memory_is_short());
    // Whether the memory in use can be read; if not, that is said once.
    let mut can_look = true;
    loop {
        match signals.recv_timeout(Duration::from_millis(MEMORY_LOOK_MS)) {
            Ok(Signal::Stop) => return,
            Ok(Signal::Reload) => {
                if let Some(read) = reload(path, route, &config, shards) {
                    watch.set_ceiling(read.limits.memory_max_bytes);
                    config = read;
                }
            }
            Err(RecvTimeoutError::Timeout) if can_look => {
                if let Err(error) = watch.look() {
                    tracing::error!(
                        "limits.memory_max_bytes is without effect: the memory in use cannot be \
                         read: {error}"
                    );
                    can_look = false;
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            // The sender lives in the admin thread, which outlives this wait.
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// The configuration that is in use from now on, if it is another one.
fn reload(
    path: Option<&Path>,
    route: Option<&Destination>,
    config: &Config,
    shards: &Shards,
) -> Option<Config> {
    let refuse = |error: &dyn std::fmt::Display| {
        tracing::error!("the configuration is refused, the old one stays: {error}");
    };
    let read = load(path, route)
        .inspect_err(|errors| errors.iter().for_each(|error| refuse(error)))
        .ok()?;
    // Certificates are renewed in files that keep their names.
    if read == *config && config.tls.is_none() {
        tracing::info!("the configuration is unchanged");
        return None;
    }
    let warnings = shards.reload(config, &read).inspect_err(|error| refuse(error)).ok()?;
    warn(&warnings);
    tracing::info!("the new configuration is in use");
    Some(read)
}
