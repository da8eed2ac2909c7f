//! The bench, with a stand-in for Ringpost and with Postfix itself.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{PROGRAM, Process, read_json, two_cpus};

/// Takes the listener's address from the configuration and is a sink there.
const STAND_IN: &str = r#"#!/bin/sh
[ "$1 $2" = "serve --config" ] || exit 2
grep -q '^cpus = ' "$3" && grep -q '^to = "smtp://127.0.0.1:' "$3" || exit 2
address=$(sed -n '/\[\[listener\]\]/,/^$/s/^address = "\(.*\)"/\1/p' "$3")
(sleep 0.3; echo "ringpost ready: smtp $address admin none") &
exec LOADGEN sink --listen "$address" --quiet
"#;

pub(crate) fn bench(directory: &Path, options: &[&str]) -> Command {
    let [server, generator] = two_cpus();
    let mut command = Command::new(PROGRAM);
    command.args(["bench", "--runs", "1", "--json", "report.json", "--directory", "."]);
    command.args(["--server-cpus", &server, "--generator-cpus", &generator]);
    command.args(options).current_dir(directory);
    command
}

pub(crate) fn stand_in(directory: &Path) {
    let path = directory.join("ringpost");
    fs::write(&path, STAND_IN.replace("LOADGEN", PROGRAM)).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
}

fn text(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8(both).unwrap()
}

/// Nothing but what the test itself put there.
fn is_clean(directory: &Path) -> bool {
    let known = ["ringpost", "report.json"];
    fs::read_dir(directory)
        .unwrap()
        .all(|entry| known.contains(&entry.unwrap().file_name().to_str().unwrap()))
}

fn messages(report: &Value, table: usize) -> &Value {
    &report["mail"][table]["servers"][0]["runs"][0]["messages"]
}

#[test]
fn a_stand_in_for_ringpost_is_measured() {
    let directory = tempfile::tempdir().unwrap();
    stand_in(directory.path());
    let options = ["accept", "idle", "--ringpost", "./ringpost", "--messages", "400"];
    let mut command = bench(directory.path(), &options);
    let output = command.args(["--idle-connections", "50", "--no-counts"]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    for part in ["connections kept", "a connection for each", "ringpost", "idle MiB"] {
        assert!(text(&output).contains(part), "{part} in {}", text(&output));
    }
    let report = read_json(&directory.path().join("report.json"));
    assert_eq!((messages(&report, 0), messages(&report, 1)), (&400.into(), &400.into()));
    assert_eq!(report["idle"][0]["connections"], 50);
    assert!(report["idle"][0]["memory_bytes"].as_u64().unwrap() > 100_000);
    assert!(is_clean(directory.path()));
}

/// Each server is given shares of what itself came to, which has to be measured first.
#[test]
fn latency_is_measured_at_shares_of_the_most() {
    let directory = tempfile::tempdir().unwrap();
    stand_in(directory.path());
    let options = ["latency", "--ringpost", "./ringpost", "--messages", "300", "--no-counts"];
    let output = bench(directory.path(), &options).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let report = read_json(&directory.path().join("report.json"));
    let figure = |table: usize, path: &str| {
        let server = &report["mail"][table]["servers"][0];
        server.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("{path}: {server}"))
    };
    assert_eq!(report["mail"][0]["scenario"], "accept-kept");
    let most = figure(0, "/runs/0/messages_per_second");
    for (table, percent) in [(1, 50), (2, 80), (3, 95)] {
        assert_eq!(report["mail"][table]["scenario"], format!("latency-{percent}"));
        let share = figure(table, "/offered_per_second") / most * 100.0;
        assert!((share - f64::from(percent)).abs() < 1e-6, "{share} for {percent}");
        assert_eq!(messages(&report, table), &Value::from(300));
        assert!(figure(table, "/runs/0/latency/p99_ms") > 0.0);
    }
}

/// What cannot be had on this machine is told and does not end the bench.
#[test]
fn what_cannot_be_measured_is_noted() {
    let directory = tempfile::tempdir().unwrap();
    stand_in(directory.path());
    let options = ["accept", "idle", "--ringpost", "./ringpost", "--messages", "20"];
    let mut command = bench(directory.path(), &options);
    // No perf there, and a shell for the stand-in by its own path.
    command.args(["--idle-connections", "5,4000000000"]).env("PATH", "/nowhere:/bin");
    let perf = Path::new("/bin/perf").exists();
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let report = read_json(&directory.path().join("report.json"));
    let notes = report["notes"].as_array().unwrap();
    let noted = |part: &str| notes.iter().any(|note| note.as_str().unwrap().contains(part));
    assert!(noted("4000000000 idle connections"), "{notes:?}");
    assert_eq!(noted("are not counted"), !perf, "{notes:?}");
    assert_eq!(report["idle"].as_array().unwrap().len(), 1);
    assert!(is_clean(directory.path()));
}

#[test]
fn a_server_that_fails_shows_its_log_and_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ringpost");
    fs::write(&path, "#!/bin/sh\necho no such luck >&2\nexit 2\n").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    let output = bench(directory.path(), &["accept", "--ringpost", "./ringpost"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("no such luck"), "{}", text(&output));
    assert!(is_clean(directory.path()));
}

#[test]
fn a_signal_stops_the_server_too() {
    let directory = tempfile::tempdir().unwrap();
    stand_in(directory.path());
    let options = ["accept", "--ringpost", "./ringpost", "--seconds", "60"];
    let mut process = Process::start(&mut bench(directory.path(), &options));
    while is_clean(directory.path()) {
        assert!(process.is_running());
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(Duration::from_millis(700));
    process.signal(Signal::INT);
    assert_eq!(process.wait().code(), Some(1));
    assert!(is_clean(directory.path()));
}

/// Postfix closes what is not TLS, so that mail that arrives has come over TLS.
#[test]
fn postfix_takes_mail_over_tls() {
    for tls in ["starttls", "implicit"] {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
        let options = ["accept", "idle", "--peer", "postfix", "--only-peer", "--messages", "30"];
        let mut command = bench(directory.path(), &options);
        command.args(["--warm-up", "5", "--tls", tls, "--idle-connections", "3", "--no-counts"]);
        let output = command.output().unwrap();
        if !rustix::process::geteuid().is_root() {
            assert!(text(&output).contains("only be started by root"), "{}", text(&output));
            return;
        }
        assert!(output.status.success(), "{}", text(&output));
        let report = read_json(&directory.path().join("report.json"));
        assert_eq!(report["tls"], tls);
        assert_eq!(messages(&report, 0), &Value::from(30));
        assert_eq!(report["idle"][0]["connections"], 3);
        assert!(is_clean(directory.path()));
    }
}

#[test]
fn postfix_takes_and_relays() {
    // Postfix's daemons run as another user and must reach the directory.
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
    let options = ["--peer", "postfix", "--only-peer", "--messages", "60", "--warm-up", "20"];
    let mut command = bench(directory.path(), &options);
    command.args(["accept", "relay", "drain", "idle", "--backlog", "60", "--no-counts"]);
    let output = command.args(["--idle-connections", "10"]).output().unwrap();
    if !rustix::process::geteuid().is_root() {
        assert!(text(&output).contains("only be started by root"), "{}", text(&output));
        return;
    }
    assert!(output.status.success(), "{}", text(&output));
    let report = read_json(&directory.path().join("report.json"));
    // One of so few messages may take less than a tick of the clock that CPU time is told in.
    let mut cpu_us_per_message = 0.0;
    for table in 0..4 {
        assert_eq!(messages(&report, table), &Value::from(60));
        let run = &report["mail"][table]["servers"][0]["runs"][0];
        for part in ["cpu_user_us_per_message", "cpu_system_us_per_message"] {
            cpu_us_per_message += run[part].as_f64().unwrap();
        }
        assert_eq!(run["failed"], 0);
    }
    assert!(cpu_us_per_message > 1.0, "{report}");
    assert!(is_clean(directory.path()));
}
