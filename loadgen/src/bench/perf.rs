//! Events of a server's processes, counted by `perf`: system calls, entries to rings, switches.
//!
//! Counting takes time of every event, so that it is done in a run of its own.
//!
//! # Guarantees
//! Only what happens between [`Counting::begin`] and [`Counting::end`] counts: `perf` has attached
//! itself before, and says so.
//!
//! # Failures
//! There is no `perf`, the kernel lacks the tracepoints, or we may not use them.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, Mode, OFlags, mkfifoat, open};
use rustix::process::{Pid, Signal, kill_process};

use super::server::spawn;
use crate::control_group;
use crate::process::Tree;
use crate::results::CountedRun;

/// In the order of [`EventCounts`].
const EVENTS: [&str; 3] =
    ["raw_syscalls:sys_enter", "io_uring:io_uring_submit_req", "context-switches"];

/// Time for `perf` to attach itself to a few hundred processes, or to let go of them.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(20);

/// How often it is started anew.
const ATTEMPTS_MAX: u32 = 3;

/// How often its answer is looked for.
const GLANCE: Duration = Duration::from_millis(2);

/// What was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EventCounts([u64; EVENTS.len()]);

impl EventCounts {
    /// For each of so many messages.
    pub(super) fn per_message(self, messages: u64) -> CountedRun {
        let [calls, entries, switches] = self.0.map(|count| count as f64 / messages.max(1) as f64);
        CountedRun {
            system_calls_per_message: calls,
            ring_entries_per_message: entries,
            context_switches_per_message: switches,
        }
    }
}

/// A running `perf`.
#[derive(Debug)]
pub(super) struct Counting {
    child: Child,
    control: File,
    answers: File,
    report: PathBuf,
    messages: PathBuf,
}

impl Counting {
    /// Counts the events of the processes of `tree` and of all that they start. Files of `perf` go
    /// to `directory`.
    ///
    /// # Errors
    /// See the module.
    pub(super) fn begin(tree: Tree, directory: &Path) -> io::Result<Self> {
        let mut attempt = 1;
        loop {
            match Self::attach(tree, directory, attempt) {
                // A process may end between being found and being attached to.
                Err(_) if attempt < ATTEMPTS_MAX => attempt += 1,
                result => return result,
            }
        }
    }

    fn attach(tree: Tree, directory: &Path, attempt: u32) -> io::Result<Self> {
        let file = |name: &str| directory.join(format!("perf-{attempt}-{name}"));
        let [control, answers] = ["control", "answers"].map(file);
        let [report, messages] = ["report", "messages"].map(file);
        let mut command = Command::new("perf");
        command.args(["stat", "--delay", "-1", "--field-separator", ","]);
        command.args(["--event", &EVENTS.join(",")]);
        if let Some(group) = control_group::name_of(tree.root) {
            // The kernel takes a counter off a process that runs a program which changes its user.
            command.args(["--all-cpus", "--cgroup", &[group.as_str(); EVENTS.len()].join(",")]);
        } else {
            let processes: Vec<String> = tree.processes()?.iter().map(u32::to_string).collect();
            command.args(["--pid", &processes.join(",")]);
        }
        command.arg("--output").arg(&report);
        command.arg(format!("--control=fifo:{},{}", control.display(), answers.display()));
        command.stdout(Stdio::null()).stderr(File::create(&messages)?);
        let (control, answers) = (fifo(&control)?, fifo(&answers)?);
        let child = spawn(&mut command)?;
        let mut counting = Self { child, control, answers, report, messages };
        counting.tell("enable")?;
        Ok(counting)
    }

    /// What was counted since.
    ///
    /// # Errors
    /// `perf` ended early.
    pub(super) fn end(mut self) -> io::Result<EventCounts> {
        self.tell("disable")?;
        if let Some(process) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            kill_process(process, Signal::INT)?;
        }
        self.child.wait()?;
        let text = fs::read_to_string(&self.report)?;
        parse(&text).ok_or_else(|| io::Error::other(format!("perf counted nothing: {text}")))
    }

    /// Tells it to do something and waits until it has.
    fn tell(&mut self, what: &str) -> io::Result<()> {
        writeln!(self.control, "{what}")?;
        let begin = Instant::now();
        let mut answer = [0; 64];
        loop {
            match self.answers.read(&mut answer) {
                Ok(read) if answer[..read].starts_with(b"ack") => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            if self.child.try_wait()?.is_some() || begin.elapsed() > ANSWER_TIME_MAX {
                let text = fs::read_to_string(&self.messages).unwrap_or_default();
                let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
                let text: Vec<&str> = lines.take(2).collect();
                return Err(io::Error::other(format!("perf does not count: {}", text.join(" "))));
            }
            std::thread::sleep(GLANCE);
        }
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        // It has ended already where all went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A fifo that can be opened before anybody has the other end.
fn fifo(path: &Path) -> io::Result<File> {
    mkfifoat(CWD, path, Mode::RUSR | Mode::WUSR)?;
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(File::from(open(path, flags, Mode::empty())?))
}

/// Lines of `COUNT,UNIT,EVENT,…` (perf-stat(1), CSV FORMAT).
fn parse(text: &str) -> Option<EventCounts> {
    let count = |event: &str| {
        let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
        let line = lines.find(|fields| fields.get(2) == Some(&event))?;
        line.first()?.parse().ok()
    };
    let [calls, entries, switches] = EVENTS.map(count);
    Some(EventCounts([calls?, entries?, switches?]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read() {
        let text = "# started on Tue Nov 24\n\n29,,raw_syscalls:sys_enter,439726,100.00,,\n\
                    40,,io_uring:io_uring_submit_req,439726,100.00,,\n\
                    1,,context-switches,439726,100.00,,\n";
        let counted = parse(text).unwrap().per_message(10);
        assert!((counted.system_calls_per_message - 2.9).abs() < 1e-9);
        assert!((counted.ring_entries_per_message - 4.0).abs() < 1e-9);
        assert!((counted.context_switches_per_message - 0.1).abs() < 1e-9);
        assert_eq!(parse("<not counted>,,raw_syscalls:sys_enter,0,0.00,,\n"), None);
    }

    fn is_expected_to_work() -> bool {
        let events = Path::new("/sys/kernel/tracing/events");
        let has_events = events.join("io_uring/io_uring_submit_req").exists()
            && events.join("raw_syscalls/sys_enter").exists();
        let perf = Command::new("perf").arg("--version").output();
        has_events && perf.is_ok_and(|output| output.status.success())
    }

    /// Where this can be done at all, as on a machine for measuring.
    #[test]
    fn a_process_is_counted() {
        let directory = tempfile::tempdir().unwrap();
        let script = "while :; do read -r word < /proc/uptime; done";
        let mut busy = Command::new("/bin/sh").args(["-c", script]).spawn().unwrap();
        let counted = Counting::begin(Tree { root: busy.id() }, directory.path()).and_then(|it| {
            std::thread::sleep(Duration::from_millis(100));
            it.end()
        });
        busy.kill().unwrap();
        busy.wait().unwrap();
        match counted {
            Ok(EventCounts([calls, ..])) => assert!(calls > 100, "{calls}"),
            Err(error) => assert!(!is_expected_to_work(), "{error}"),
        }
    }
}
