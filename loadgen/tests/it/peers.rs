//! The bench with real servers other than Postfix alone. `tests/run install` unpacks them.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{PROGRAM, Process, read_json, two_cpus};

const MESSAGES: u64 = 50;

/// A server starts within this time on the slowest machine, or its test fails.
const START_TIME_MAX: Duration = Duration::from_secs(60);

/// A directory that daemons may enter which gave up root.
fn open_directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
    directory
}

/// Where `tests/run install` unpacks peers.
fn peers_directory() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    target.join("peers")
}

fn bench(directory: &Path, peer: &str, options: &[&str]) -> Command {
    let [server, generator] = two_cpus();
    let mut command = Command::new(PROGRAM);
    command.args(["bench", "--runs", "1", "--json", "report.json", "--directory", "."]);
    command.args(["--server-cpus", &server, "--generator-cpus", &generator]);
    command.args(["--only-peer", "--warm-up", "10", "--peer", peer]);
    command.arg("--peers-directory").arg(peers_directory());
    command.args(options).current_dir(directory);
    command
}

fn text(output: &Output) -> String {
    String::from_utf8([&output.stdout[..], &output.stderr[..]].concat()).unwrap()
}

/// Nothing is left in `directory` but the report.
fn is_clean(directory: &Path) -> bool {
    fs::read_dir(directory).unwrap().all(|entry| entry.unwrap().file_name() == "report.json")
}

/// Whether we may start servers that must be started by root; those who may not see that it is
/// said.
fn is_root(output: &Output) -> bool {
    let root = rustix::process::geteuid().is_root();
    assert!(root || text(output).contains("only be started by root"), "{}", text(output));
    root
}

/// The source sends into `peer`, which holds the mail, passes it on to the sink, or does first the
/// one and then the other. The bench fails if a message is lost.
fn takes_relays_and_drains(peer: &str) {
    let directory = open_directory();
    let count = MESSAGES.to_string();
    let options = ["accept", "relay", "drain", "--messages", &count, "--backlog", &count];
    let output = bench(directory.path(), peer, &options).output().unwrap();
    if !is_root(&output) {
        return;
    }
    assert!(output.status.success(), "{}", text(&output));
    let report = read_json(&directory.path().join("report.json"));
    let tables = report["mail"].as_array().unwrap();
    let scenarios: Vec<&str> =
        tables.iter().map(|table| table["scenario"].as_str().unwrap()).collect();
    assert_eq!(scenarios, ["accept-kept", "accept-single", "relay", "drain"]);
    for table in tables {
        let server = &table["servers"][0];
        assert_eq!(server["server"], peer);
        let version = server["version"].as_str().unwrap();
        assert!(version.starts_with(|first: char| first.is_ascii_digit()), "{version}");
        let run = &server["runs"][0];
        assert_eq!(run["messages"], MESSAGES, "{table}");
        assert_eq!((&run["failed"], &run["duplicates"]), (&0.into(), &0.into()), "{table}");
    }
    assert!(cpu_us_per_message(&tables[2]) > 1.0, "{report}");
    assert!(is_clean(directory.path()), "{peer} leaves files behind");
}

fn cpu_us_per_message(table: &Value) -> f64 {
    let run = &table["servers"][0]["runs"][0];
    let time = |name: &str| run[name].as_f64().unwrap();
    time("cpu_user_us_per_message") + time("cpu_system_us_per_message")
}

#[test]
fn postfix_takes_relays_and_drains() {
    takes_relays_and_drains("postfix");
}

#[test]
fn exim_takes_relays_and_drains() {
    takes_relays_and_drains("exim");
}

#[test]
fn opensmtpd_takes_relays_and_drains() {
    takes_relays_and_drains("opensmtpd");
}

#[test]
fn haraka_takes_relays_and_drains() {
    takes_relays_and_drains("haraka");
}

/// Each peer takes mail over TLS of both kinds.
fn takes_mail_over_tls(peer: &str) {
    for tls in ["starttls", "implicit"] {
        let directory = open_directory();
        let options = ["accept", "--tls", tls, "--messages", "20"];
        let output = bench(directory.path(), peer, &options).output().unwrap();
        if !is_root(&output) {
            return;
        }
        assert!(output.status.success(), "{tls}: {}", text(&output));
        let report = read_json(&directory.path().join("report.json"));
        assert_eq!(report["mail"][0]["servers"][0]["runs"][0]["messages"], 20);
    }
}

#[test]
fn exim_takes_mail_over_tls() {
    takes_mail_over_tls("exim");
}

/// Debian's OpenSMTPD cannot, and would only be slow to say so.
#[test]
fn an_opensmtpd_that_cannot_speak_tls_is_refused() {
    let directory = open_directory();
    let options = ["accept", "--tls", "starttls", "--messages", "20"];
    let output = bench(directory.path(), "opensmtpd", &options).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("install OpenSMTPD 7"), "{}", text(&output));
    assert!(is_clean(directory.path()));
}

#[test]
fn haraka_takes_mail_over_tls() {
    takes_mail_over_tls("haraka");
}

/// Exim's CPU time is spent in processes that nobody waits for. A delivery costs more than taking
/// the message, and at least a millisecond: it takes some ten processes.
#[test]
fn all_of_exims_deliveries_cost() {
    let directory = open_directory();
    let options = ["accept", "relay", "--messages", "50"];
    let output = bench(directory.path(), "exim", &options).output().unwrap();
    if !is_root(&output) {
        return;
    }
    assert!(output.status.success(), "{}", text(&output));
    let report = read_json(&directory.path().join("report.json"));
    let [accept, relay] = [0, 2].map(|table| cpu_us_per_message(&report["mail"][table]));
    assert!(relay > 2.0 * accept && relay > 1_000.0, "{accept} and {relay} us");
}

/// A peer that runs in namespaces of its own ends with the bench, and leaves no control group.
#[test]
fn a_signal_stops_an_enclosed_peer_too() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let directory = open_directory();
    let mut command = bench(directory.path(), "opensmtpd", &["accept", "--seconds", "60"]);
    let mut process = Process::start(command.stdout(Stdio::null()));
    let begin = Instant::now();
    while !has_started(directory.path()) {
        assert!(process.is_running() && begin.elapsed() < START_TIME_MAX);
        std::thread::sleep(Duration::from_millis(10));
    }
    process.signal(Signal::INT);
    assert_eq!(process.wait().code(), Some(1));
    assert!(is_clean(directory.path()));
    let place = directory.path().to_str().unwrap().to_owned();
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(&place), "{mounts}");
    for entry in fs::read_dir("/proc").unwrap() {
        let at = fs::read_link(entry.unwrap().path().join("cwd")).unwrap_or_default();
        assert!(!at.starts_with(&place) || at == directory.path(), "a process runs in {at:?}");
    }
}

/// Whether a server's enclosure has come so far that its first process is known.
fn has_started(directory: &Path) -> bool {
    let children = |path: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect()
    };
    let runs = children(directory).iter().flat_map(|path| children(path)).collect::<Vec<_>>();
    runs.iter().any(|run| run.join("first").exists())
}

#[test]
fn a_missing_peer_says_how_to_install_it() {
    for (peer, part) in [("exim", "dpkg -x"), ("opensmtpd", "libevent"), ("haraka", "npm install")]
    {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new(PROGRAM);
        command.args(["bench", "accept", "--only-peer", "--peer", peer]);
        command.args(["--peers-directory", "."]).current_dir(directory.path()).env("PATH", "");
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let said = text(&output);
        assert!(
            said.contains(&format!("{peer} is not installed")) && said.contains(part),
            "{said}"
        );
    }
}
