//! Child processes: their output goes to files, and they end with their guard.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use rustix::process::{Pid, kill_process};

pub(crate) use rustix::process::Signal;

use super::scenario::{Running, Scenario};

/// Lines of a log that are printed when a scenario fails.
const LOG_LINES_SHOWN: usize = 60;

/// A running process. Dropping it kills it; when the scenario is failing, its log is printed.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    output: PathBuf,
    errors: PathBuf,
    running: Arc<Running>,
    status: Option<ExitStatus>,
}

/// `command` run by another command, one that replaces itself by what it runs.
pub(crate) fn under(wrapper: &[&str], command: Command) -> Command {
    let Some((program, arguments)) = wrapper.split_first() else { return command };
    let mut wrapped = Command::new(program);
    wrapped.args(arguments).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        wrapped.env(name, value.expect("commands of tests only add to the environment"));
    }
    wrapped
}

/// Whether the tests run as root, which some of what they need asks for.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// What a process that ran to its end said and how it ended.
#[derive(Debug)]
pub(crate) struct Finished {
    /// How it ended.
    pub(crate) status: ExitStatus,
    /// Standard output.
    pub(crate) output: String,
    /// Standard error.
    pub(crate) errors: String,
}

impl Finished {
    /// Fails unless the process ended with exit status 0.
    #[track_caller]
    pub(crate) fn succeeded(self) -> Self {
        self.exited(0)
    }

    /// Fails unless the process ended with exit status `code`.
    #[track_caller]
    pub(crate) fn exited(self, code: i32) -> Self {
        let Self { status, output, errors } = &self;
        assert!(
            status.code() == Some(code),
            "{status} instead of exit status {code}\n--- output\n{output}\n--- errors\n{errors}"
        );
        self
    }
}

impl Process {
    /// Starts `command` with its output in files of the scenario's directory.
    pub(crate) fn start(test: &Scenario, command: &mut Command) -> Self {
        Self::start_with_input(test, command, Stdio::null())
    }

    /// Starts `command` with one end of a socket as its standard input and output, and returns the
    /// other.
    pub(crate) fn start_talking(test: &Scenario, command: &mut Command) -> (Self, UnixStream) {
        let (ours, input) = UnixStream::pair().expect("a pair of sockets");
        let output = input.try_clone().expect("one more descriptor");
        command.stdin(OwnedFd::from(input)).stdout(OwnedFd::from(output));
        let process = Self::spawn(test, command, fresh_path(test, "no-output"));
        // The command would keep its ends open as long as it lives itself.
        command.stdin(Stdio::null()).stdout(Stdio::null());
        (process, ours)
    }

    /// Starts `command`, gives it `input` and waits for its end.
    pub(crate) fn run(test: &Scenario, command: &mut Command, input: &[u8]) -> Finished {
        let path = fresh_path(test, "input");
        fs::write(&path, input).expect("a file for the input");
        let input = File::open(&path).expect("the file just written");
        let mut process = Self::start_with_input(test, command, input.into());
        process.wait(test)
    }

    fn start_with_input(test: &Scenario, command: &mut Command, input: Stdio) -> Self {
        let output = fresh_path(test, &format!("{}.out", program_name(command)));
        command.stdin(input).stdout(File::create(&output).expect("a file for the output"));
        Self::spawn(test, command, output)
    }

    fn spawn(test: &Scenario, command: &mut Command, output: PathBuf) -> Self {
        let name = program_name(command);
        let errors = fresh_path(test, &format!("{name}.err"));
        command.stderr(File::create(&errors).expect("a file for the errors"));
        let child = command.spawn().unwrap_or_else(|error| {
            panic!("{name} cannot be started ({error}); `tests/run` installs what tests need")
        });
        let running = Arc::clone(test.running());
        running.add(Pid::from_child(&child));
        Self { name, child, output, errors, running, status: None }
    }

    /// The process's id.
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Standard output so far.
    pub(crate) fn output(&self) -> String {
        read_text(&self.output)
    }

    /// Standard error so far.
    pub(crate) fn errors(&self) -> String {
        read_text(&self.errors)
    }

    /// The exit status, once the process has ended.
    pub(crate) fn poll_status(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self.child.try_wait().expect("a child can be waited for");
            if self.status.is_some() {
                self.running.remove(self.pid());
            }
        }
        self.status
    }

    /// Sends a signal to the process, which must still run.
    #[track_caller]
    pub(crate) fn signal(&mut self, signal: Signal) {
        let status = self.poll_status();
        assert!(status.is_none(), "{} ended by itself: {status:?}", self.name);
        kill_process(self.pid(), signal).expect("a child can be signalled");
    }

    /// Waits for the end of the process.
    pub(crate) fn wait(&mut self, test: &Scenario) -> Finished {
        let what = format!("the end of {}", self.name);
        let status = test.wait_for(&what, || self.poll_status());
        Finished { status, output: self.output(), errors: self.errors() }
    }

    /// Waits until something accepts connections at `address`, or fails if the process ends.
    pub(crate) fn wait_listening(&mut self, test: &Scenario, address: SocketAddr) {
        test.wait_until(&format!("{} to listen on {address}", self.name), || {
            self.assert_running();
            TcpStream::connect(address).is_ok()
        });
    }

    /// Fails, with what the process said, if it has ended.
    #[track_caller]
    pub(crate) fn assert_running(&mut self) {
        if let Some(status) = self.poll_status() {
            panic!("{} ended: {status}\n{}", self.name, self.errors());
        }
    }

    /// SIGKILL, and waits until the process is gone.
    pub(crate) fn kill(&mut self) {
        if self.poll_status().is_none() {
            self.child.kill().expect("a child can be killed");
            self.running.remove(self.pid());
            self.status = Some(self.child.wait().expect("a child can be waited for"));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            for text in [self.output(), self.errors()] {
                let lines: Vec<&str> = text.lines().collect();
                let from = lines.len().saturating_sub(LOG_LINES_SHOWN);
                for line in &lines[from..] {
                    eprintln!("{}: {line}", self.name);
                }
            }
        }
    }
}

fn program_name(command: &Command) -> String {
    let name = Path::new(command.get_program()).file_name();
    name.map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

/// Empty if there is no such file, as of a process that somebody talks to.
fn read_text(path: &Path) -> String {
    fs::read(path).map_or_else(|_| String::new(), |text| String::from_utf8_lossy(&text).into())
}

/// A path in the scenario's directory that no call returned before.
fn fresh_path(test: &Scenario, name: &str) -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    test.path().join(format!("{number:03}-{name}"))
}
