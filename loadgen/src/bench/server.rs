//! A server under measurement: started by us, stopped by us, whatever happens.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::certificate::CertificateFiles;
use super::commits::Commits;
use crate::process::Tree;
use crate::tls::TlsMode;

/// How long a server may take until it is ready.
pub(super) const START_TIME_MAX: Duration = Duration::from_secs(60);

/// How long a server may take to end before it is killed.
pub(super) const STOP_TIME_MAX: Duration = Duration::from_secs(20);

/// How often something is asked for again that takes its time.
const GLANCE: Duration = Duration::from_millis(5);

/// Time to wait for one connection when looking whether a server listens.
const CONNECT_TIME_MAX: Duration = Duration::from_millis(200);

/// Lines of a server's log that go into a complaint.
const LOG_LINES: usize = 20;

/// What a server is to do with the mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Duty {
    /// Take it and keep it. The next hop accepts connections and never says a word.
    Hold { next_hop: SocketAddr },
    /// Pass it on to this next hop.
    Relay { next_hop: SocketAddr },
}

impl Duty {
    /// Where mail is to go.
    pub(super) const fn next_hop(self) -> SocketAddr {
        match self {
            Self::Hold { next_hop } | Self::Relay { next_hop } => next_hop,
        }
    }
}

/// How a server protects its connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Protection {
    /// That of its listener.
    pub(super) mode: TlsMode,
    /// Whether it has another listener, with implicit TLS.
    pub(super) second_listener: bool,
    /// What it shows.
    pub(super) files: CertificateFiles,
}

impl Protection {
    /// Whether there is any TLS.
    pub(super) fn needs_certificate(&self) -> bool {
        self.mode != TlsMode::None || self.second_listener
    }
}

/// A running server. Dropping it stops it.
pub(super) trait Server: fmt::Debug {
    /// Where it takes mail.
    fn address(&self) -> SocketAddr;
    /// A second listener with implicit TLS, if it was asked for.
    fn implicit_tls_address(&self) -> Option<SocketAddr> {
        None
    }
    /// All its processes.
    fn tree(&self) -> Tree;
    /// Lets go of the mail that was held: `next_hop`, which never greeted, takes it from now on.
    ///
    /// # Errors
    /// It cannot be told to.
    fn release(&mut self, next_hop: SocketAddr) -> io::Result<()>;
    /// As the server tells it.
    fn version(&self) -> Option<String>;
    /// How long its commits took so far, if it counts them.
    ///
    /// # Errors
    /// It counts them and does not tell.
    fn commits(&self) -> io::Result<Option<Commits>> {
        Ok(None)
    }
}

/// Starts `command` away from our terminal's signals: it is ours to stop, in our order.
pub(super) fn spawn(command: &mut Command) -> io::Result<Child> {
    command.stdin(Stdio::null()).process_group(0).spawn().map_err(|error| {
        let program = command.get_program().display();
        io::Error::new(error.kind(), format!("cannot start {program}: {error}"))
    })
}

/// A child process that is stopped when this is dropped.
#[derive(Debug)]
pub(super) struct OwnChild {
    child: Child,
}

impl OwnChild {
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Starts `command` with its standard error in `log`, and waits for the line of its standard
    /// output that begins with `ready`.
    ///
    /// # Errors
    /// It does not start, ends, or says nothing in time; the end of its log is in the error.
    pub(super) fn start(
        command: &mut Command,
        log: &Path,
        ready: &'static str,
    ) -> io::Result<Self> {
        let child = spawn(command.stdout(Stdio::piped()).stderr(File::create(log)?))?;
        let mut own = Self { child };
        let output = own.child.stdout.take().ok_or_else(|| io::Error::other("no output"))?;
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            // Read to the end, so that the server never waits for room in the pipe.
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if line.starts_with(ready) {
                    // The receiver waits for one line only.
                    let _ = sender.send(());
                }
            }
        });
        match receiver.recv_timeout(START_TIME_MAX) {
            Ok(()) => Ok(own),
            Err(_) => Err(io::Error::other(format!(
                "{} did not say `{ready}`; its log ends with:\n{}",
                command.get_program().display(),
                end_of_log(log)
            ))),
        }
    }

    /// Starts `command` with all its output in `log`, and waits until it listens at `address`.
    ///
    /// # Errors
    /// It does not start, ends, or does not listen in time; the end of its log is in the error.
    pub(super) fn start_listening(
        command: &mut Command,
        log: &Path,
        address: SocketAddr,
    ) -> io::Result<Self> {
        let output = File::create(log)?;
        let mut own = Self { child: spawn(command.stdout(output.try_clone()?).stderr(output))? };
        let mut has_ended = false;
        let listens = wait_until(START_TIME_MAX, || {
            has_ended = !matches!(own.child.try_wait(), Ok(None));
            has_ended || listens(address)
        });
        if listens && !has_ended {
            return Ok(own);
        }
        Err(io::Error::other(format!(
            "{} does not listen at {address}; its log ends with:\n{}",
            command.get_program().display(),
            end_of_log(log)
        )))
    }
}

impl Drop for OwnChild {
    fn drop(&mut self) {
        let process = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(process) = process {
            // It may have ended already; then it is only waited for.
            let _ = kill_process(process, Signal::TERM);
        }
        let ended = wait_until(STOP_TIME_MAX, || matches!(self.child.try_wait(), Ok(Some(_))));
        if !ended {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Waits until `done`, at most `time`; whether it came about.
pub(super) fn wait_until(time: Duration, mut done: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + time;
    while !done() {
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(GLANCE);
    }
    true
}

/// Whether somebody listens there.
pub(super) fn listens(address: SocketAddr) -> bool {
    TcpStream::connect_timeout(&address, CONNECT_TIME_MAX).is_ok()
}

/// The last lines of a server's log.
pub(super) fn end_of_log(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, log: &Path) -> io::Result<OwnChild> {
        OwnChild::start(Command::new("/bin/sh").args(["-c", script]), log, "ready")
    }

    #[test]
    fn a_child_ends_with_its_handle() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let child = shell("echo hello; echo ready; exec sleep 1000", &log).unwrap();
        let place = format!("/proc/{}", child.id());
        assert!(Path::new(&place).exists());
        drop(child);
        assert!(!Path::new(&place).exists());
    }

    #[test]
    fn a_child_that_fails_shows_its_log() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let error = shell("echo bad luck >&2; exit 2", &log).unwrap_err().to_string();
        assert!(error.contains("bad luck"), "{error}");
        let missing = OwnChild::start(&mut Command::new("/no/such/program"), &log, "ready");
        assert!(missing.unwrap_err().to_string().contains("/no/such/program"));
    }
}
