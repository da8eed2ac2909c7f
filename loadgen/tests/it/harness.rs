//! Starts the program, reads what it prints, stops it.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_loadgen");

/// No part of a test takes longer on the slowest machine.
const TIME_MAX: Duration = Duration::from_secs(120);

/// A process that does not outlive its test.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
}

impl Process {
    pub(crate) fn start(command: &mut Command) -> Self {
        let child = command.spawn().unwrap_or_else(|error| {
            panic!("{}: {error}", command.get_program().display());
        });
        Self { child }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let process = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(process, signal).unwrap();
    }

    /// What it prints, if that is piped.
    pub(crate) fn take_output(&mut self) -> ChildStdout {
        self.child.stdout.take().unwrap()
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begin.elapsed() < TIME_MAX, "a process does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already in a test that went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A running `loadgen sink`, and a directory for its files.
#[derive(Debug)]
pub(crate) struct Sink {
    pub(crate) process: Process,
    pub(crate) address: String,
    pub(crate) directory: tempfile::TempDir,
    output: BufReader<ChildStdout>,
}

impl Sink {
    /// A sink on a port that the system chooses. `ids` and `totals.json` are in its directory.
    pub(crate) fn start(options: &[&str]) -> Self {
        Self::start_at("127.0.0.1:0", options)
    }

    pub(crate) fn start_at(address: &str, options: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new(PROGRAM);
        command.args(["sink", "--listen", address, "--ids", "ids", "--json", "totals.json"]);
        command.args(options).current_dir(directory.path()).stdout(Stdio::piped());
        let mut process = Process::start(&mut command);
        let mut output = BufReader::new(process.child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let address = line.strip_prefix("loadgen sink ready: ").expect(&line).trim().to_owned();
        Self { process, address, directory, output }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Stops it by SIGTERM; its totals.
    pub(crate) fn stop(&mut self) -> Value {
        self.process.signal(Signal::TERM);
        self.finish()
    }

    /// Waits for it to end; its totals.
    pub(crate) fn finish(&mut self) -> Value {
        assert!(self.process.wait().success());
        let mut text = String::new();
        self.output.read_to_string(&mut text).unwrap();
        let totals = read_json(&self.path("totals.json"));
        let messages = format!("messages {},", totals["messages"]);
        assert!(text.contains(&messages), "{messages} in {text}");
        totals
    }

    /// The ids that came, in order.
    pub(crate) fn ids(&self) -> Vec<String> {
        lines(&self.path("ids"))
    }
}

/// How a source ended.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) code: i32,
    pub(crate) report: Value,
    /// The ids that were acknowledged.
    pub(crate) acked: Vec<String>,
}

impl Sent {
    pub(crate) fn count(&self, name: &str) -> u64 {
        self.report[name].as_u64().unwrap_or_else(|| panic!("{name} in {}", self.report))
    }
}

/// A running `loadgen source`.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) process: Process,
    directory: tempfile::TempDir,
}

impl Source {
    pub(crate) fn start(target: &str, options: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new(PROGRAM);
        command.args(["source", target, "--json", "report.json", "--acked", "acked"]);
        command.args(options).current_dir(directory.path()).stdout(Stdio::null());
        Self { process: Process::start(&mut command), directory }
    }

    pub(crate) fn finish(mut self) -> Sent {
        let code = self.process.wait().code().unwrap();
        Sent {
            code,
            report: read_json(&self.directory.path().join("report.json")),
            acked: lines(&self.directory.path().join("acked")),
        }
    }
}

/// Runs a source to its end.
pub(crate) fn send(target: &str, options: &[&str]) -> Sent {
    Source::start(target, options).finish()
}

/// Sorted and without repetitions.
pub(crate) fn set(ids: &[String]) -> BTreeSet<&str> {
    ids.iter().map(String::as_str).collect()
}

pub(crate) fn read_json(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    serde_json::from_str(&text).unwrap()
}

fn lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    assert!(text.is_empty() || text.ends_with('\n'), "a line is cut");
    text.lines().map(str::to_owned).collect()
}

/// Two CPUs that this process may run on, the same one twice if it has one.
pub(crate) fn two_cpus() -> [String; 2] {
    let allowed = rustix::thread::sched_getaffinity(None).unwrap();
    let mut cpus = (0..rustix::thread::CpuSet::MAX_CPU)
        .filter(|cpu| allowed.is_set(*cpu))
        .map(|cpu| cpu.to_string());
    let first = cpus.next().unwrap();
    let second = cpus.next().unwrap_or_else(|| first.clone());
    [first, second]
}
