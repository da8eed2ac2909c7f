//! The frame of every scenario: a directory, addresses, a time limit and what must be killed.

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::net::Ipv4Addr;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::address::ClaimedAddress;
use super::process::{Finished, Process};

/// Between two looks at a condition that is waited for.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// What a scenario gets beyond its limit to report which wait ended it, before it is killed.
const REPORT_GRACE: Duration = Duration::from_secs(10);

/// Set to keep the directories of failed scenarios.
const KEEP_VARIABLE: &str = "RINGPOST_TEST_KEEP";

/// Processes and mounts that end with the scenario, whatever happens to the thread that made them.
#[derive(Debug, Default)]
pub(crate) struct Running {
    processes: Mutex<Vec<Pid>>,
    mounts: Mutex<Vec<PathBuf>>,
}

impl Running {
    pub(crate) fn add(&self, pid: Pid) {
        lock(&self.processes).push(pid);
    }

    /// To be called before the process is waited for: afterwards the kernel may give its id away.
    pub(crate) fn remove(&self, pid: Pid) {
        lock(&self.processes).retain(|other| *other != pid);
    }

    pub(crate) fn add_mount(&self, path: &Path) {
        lock(&self.mounts).push(path.to_owned());
    }

    /// Unmounts all file systems of the scenario.
    pub(crate) fn unmount_all(&self) {
        for path in lock(&self.mounts).drain(..) {
            // Lazily: a process that is being killed may still hold a file.
            let status = Command::new("umount").arg("-l").arg(&path).status();
            if !status.is_ok_and(|status| status.success()) {
                eprintln!("{} stays mounted", path.display());
            }
        }
    }

    fn kill_all(&self) {
        for pid in lock(&self.processes).drain(..) {
            // It may have ended by itself; then there is nothing to kill.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One running scenario.
pub(crate) struct Scenario {
    directory: TempDir,
    /// For peers that give up root: a directory that every user can reach.
    open_directory: TempDir,
    addresses: RefCell<Vec<ClaimedAddress>>,
    deadline: Instant,
    running: Arc<Running>,
}

impl fmt::Debug for Scenario {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Scenario").field("directory", &self.directory).finish()
    }
}

/// Runs `body` and fails when it panics or has not returned within `limit`.
pub(crate) fn scenario(limit: Duration, body: impl FnOnce(&Scenario) + Send + 'static) {
    let running = Arc::new(Running::default());
    let running_of_body = Arc::clone(&running);
    let (sender, receiver) = channel();
    let name = thread::current().name().unwrap_or("scenario").to_owned();
    let runner = thread::Builder::new().name(name).spawn(move || {
        let result = catch_unwind(AssertUnwindSafe(|| run(limit, running_of_body, body)));
        // The receiver is gone only when it has given up on this thread.
        let _ = sender.send(result);
    });
    drop(runner.expect("a thread for the scenario"));

    match receiver.recv_timeout(limit + REPORT_GRACE) {
        Ok(Ok(())) => {}
        Ok(Err(panic)) => resume_unwind(panic),
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
            running.kill_all();
            // With its peers dead most bodies fail at once and say where they stood.
            let late = receiver.recv_timeout(REPORT_GRACE);
            running.unmount_all();
            panic!("not finished within {limit:?}; {}", describe(&late));
        }
    }
}

fn describe(late: &Result<thread::Result<()>, RecvTimeoutError>) -> String {
    match late {
        Ok(Ok(())) => "it went on to its end once its processes were killed".to_owned(),
        Ok(Err(panic)) => format!("it stood at: {}", panic_text(panic.as_ref())),
        Err(_) => "and it hangs even with its processes killed".to_owned(),
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without text")
}

fn run(limit: Duration, running: Arc<Running>, body: impl FnOnce(&Scenario)) {
    let mut test = Scenario {
        directory: TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory in target"),
        open_directory: open_directory(),
        addresses: RefCell::default(),
        deadline: Instant::now() + limit,
        running,
    };
    let result = catch_unwind(AssertUnwindSafe(|| body(&test)));
    test.running.kill_all();
    if let Err(panic) = result {
        if std::env::var_os(KEEP_VARIABLE).is_some() {
            test.directory.disable_cleanup(true);
            test.open_directory.disable_cleanup(true);
            eprintln!("kept: {} {}", test.path().display(), test.open_path().display());
        }
        resume_unwind(panic);
    }
}

/// On disk rather than in `/tmp`, which is memory on many hosts.
fn open_directory() -> TempDir {
    use std::os::unix::fs::PermissionsExt;
    let directory = TempDir::with_prefix_in("ringpost-test-", "/var/tmp").expect("/var/tmp");
    let everyone = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(directory.path(), everyone).expect("a mode for the directory");
    directory
}

impl Scenario {
    /// The scenario's own directory; on the file system of `target`.
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A directory of the scenario that every user may enter.
    pub(crate) fn open_path(&self) -> &Path {
        self.open_directory.path()
    }

    /// Makes a directory `name` inside the scenario's own and returns its path.
    pub(crate) fn make_directory(&self, name: &str) -> PathBuf {
        let path = self.path().join(name);
        std::fs::create_dir(&path).expect("a new directory");
        path
    }

    /// A loopback address that only this scenario uses, until it ends.
    pub(crate) fn address(&self) -> Ipv4Addr {
        let claimed = ClaimedAddress::claim();
        let ip = claimed.ip;
        self.addresses.borrow_mut().push(claimed);
        ip
    }

    pub(crate) fn running(&self) -> &Arc<Running> {
        &self.running
    }

    /// Looks until `look` finds something, and fails at the scenario's time limit.
    pub(crate) fn wait_for<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        loop {
            if let Some(found) = look() {
                return found;
            }
            assert!(Instant::now() < self.deadline, "waited in vain for {what}");
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// Like [`Scenario::wait_for`], for a condition.
    pub(crate) fn wait_until(&self, what: &str, mut is_true: impl FnMut() -> bool) {
        self.wait_for(what, || is_true().then_some(()));
    }

    /// Starts a command.
    pub(crate) fn start(&self, command: &mut Command) -> Process {
        Process::start(self, command)
    }

    /// Runs a command to its end with `input` as its standard input.
    pub(crate) fn run(&self, command: &mut Command, input: &[u8]) -> Finished {
        Process::run(self, command, input)
    }
}
