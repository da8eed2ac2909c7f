//! The server under test.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::config::Config;
use super::metrics::Metrics;
use super::process::{Finished, Process, Signal, under};
use super::scenario::Scenario;
use super::socket::SmtpSocket;

/// What the log says once another configuration is in use.
const RELOADED: &str = "the new configuration is in use";

/// Names another build of the program to test, an installed one for instance.
const PROGRAM_VARIABLE: &str = "RINGPOST_TEST_PROGRAM";

/// A command of the `ringpost` program.
pub(crate) fn ringpost(arguments: &[&str]) -> Command {
    let program = std::env::var_os(PROGRAM_VARIABLE);
    let mut command =
        Command::new(program.unwrap_or_else(|| env!("CARGO_BIN_EXE_ringpost").into()));
    command.args(arguments).env("RUST_BACKTRACE", "1");
    command
}

/// The arguments that serve a configuration file.
pub(crate) fn serve(file: &Path) -> [&str; 3] {
    ["serve", "--config", file.to_str().expect("paths of tests are UTF-8")]
}

/// A running `ringpost serve`. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Ringpost {
    process: Process,
    file: PathBuf,
    smtp: SocketAddr,
    admin: SocketAddr,
}

impl Ringpost {
    /// Starts a server and waits for its ready line.
    pub(crate) fn start(test: &Scenario, config: &Config) -> Self {
        Self::start_under(test, &[], config)
    }

    /// Starts a server through a command that runs others, such as `prlimit --nofile=512:`.
    pub(crate) fn start_under(test: &Scenario, wrapper: &[&str], config: &Config) -> Self {
        let file = Self::write_config(test, config);
        let mut process = Process::start(test, &mut under(wrapper, ringpost(&serve(&file))));
        wait_ready(test, &mut process, config);
        Self { process, file, smtp: config.smtp_address(), admin: config.admin_address() }
    }

    /// Runs a server that is expected to end by itself.
    pub(crate) fn run(test: &Scenario, config: &Config) -> Finished {
        Self::run_under(test, &[], config)
    }

    /// Like [`Ringpost::run`], through a command that runs others.
    pub(crate) fn run_under(test: &Scenario, wrapper: &[&str], config: &Config) -> Finished {
        let file = Self::write_config(test, config);
        let mut process = Process::start(test, &mut under(wrapper, ringpost(&serve(&file))));
        test.wait_until("the server to give up", || {
            assert_eq!(process.output(), "", "it serves where it should not");
            process.poll_status().is_some()
        });
        process.wait(test)
    }

    /// Writes a configuration to the file that [`Ringpost::start`] and [`Ringpost::run`] use.
    pub(crate) fn write_config(test: &Scenario, config: &Config) -> PathBuf {
        let file = test.path().join(format!("{}.toml", config.smtp_address().ip()));
        fs::write(&file, config.to_toml()).expect("a file for the configuration");
        file
    }

    /// Where the first listener listens.
    pub(crate) fn smtp_address(&self) -> SocketAddr {
        self.smtp
    }

    /// The configuration file it was started with.
    pub(crate) fn config_file(&self) -> &PathBuf {
        &self.file
    }

    /// The process, to signal it or read its log.
    pub(crate) fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// A session at the first listener, greeted and past EHLO.
    pub(crate) fn session(&self) -> SmtpSocket {
        SmtpSocket::session(self.smtp)
    }

    /// Memory of the process in use: its resident set.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let file = format!("/proc/{}/status", self.process.pid().as_raw_nonzero());
        let status = fs::read_to_string(file).expect("the status of a running process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
        kib.expect("a resident set in kB") * 1024
    }

    /// Writes another configuration and has the server read it, until it says that it did.
    pub(crate) fn reload(&mut self, test: &Scenario, config: &Config) {
        fs::write(&self.file, config.to_toml()).expect("a file for the configuration");
        let before = self.process.errors().matches(RELOADED).count();
        self.process.signal(Signal::HUP);
        test.wait_until("the server to take its new configuration", || {
            self.process.assert_running();
            self.process.errors().matches(RELOADED).count() > before
        });
    }

    /// What `/metrics` says now.
    pub(crate) fn metrics(&self) -> Metrics {
        Metrics::read(self.admin)
    }

    /// Waits until no message is left in the queue.
    pub(crate) fn wait_queue_empty(&mut self, test: &Scenario) {
        test.wait_until("the queue to be empty", || {
            self.process.assert_running();
            self.metrics().value("ringpost_queue_messages") == 0.0
        });
    }

    /// Waits until a metric, summed over its labels, is at least `least`.
    pub(crate) fn wait_metric(&mut self, test: &Scenario, name: &str, least: f64) {
        test.wait_until(&format!("{name} of {least}"), || {
            self.process.assert_running();
            self.metrics().sum(name).is_some_and(|value| value >= least)
        });
    }

    /// Stops the server by SIGTERM, as a service manager does, and asserts that it exits with 0.
    pub(crate) fn stop(mut self, test: &Scenario) -> Finished {
        self.process.signal(Signal::TERM);
        self.process.wait(test).succeeded()
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.process.assert_running();
        self.process.kill();
    }
}

/// The contract's ready line, word for word, with every listener of the configuration in it.
fn wait_ready(test: &Scenario, process: &mut Process, config: &Config) {
    let line = test.wait_for("the ready line", || {
        process.assert_running();
        let output = process.output();
        output.split_once('\n').map(|(line, _)| line.to_owned())
    });
    let listeners: String =
        config.smtp_addresses().iter().map(|address| format!(" smtp {address}")).collect();
    assert_eq!(line, format!("ringpost ready:{listeners} admin {}", config.admin_address()));
}
