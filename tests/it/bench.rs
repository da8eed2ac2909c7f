//! `loadgen bench` with Ringpost itself, and with the floor beside it.

use std::fs;
use std::process::Command;
use std::time::Duration;

use crate::support::{loadgen_program, scenario};

const TIME_LIMIT: Duration = Duration::from_secs(120);

/// Every scenario that needs no TLS, with few messages. JSON that has a figure for each is
/// read by Python.
const FACTS: &str = r#"
import json, sys
results = json.load(open(sys.argv[1]))
for scenario in results["mail"]:
    for server in scenario["servers"]:
        [run] = server["runs"]
        stored = run["stored"] or {}
        print(scenario["scenario"], server["server"], run["messages"], run["failed"],
              run["duplicates"], run["messages_per_second"] > 0, run["memory_bytes"] > 1e6,
              (stored.get("messages_per_commit") or 0) > 0)
for idle in results["idle"]:
    print("idle", idle["server"], idle["connections"])
"#;

const WANTED: &str = "\
accept-kept ringpost 200 0 0 True True True
accept-kept floor 200 0 0 True True False
accept-single ringpost 200 0 0 True True True
accept-single floor 200 0 0 True True False
relay ringpost 200 0 0 True True True
drain ringpost 150 0 0 True True True
idle ringpost 30
idle floor 30
latency-50 ringpost 200 0 0 True True True
latency-50 floor 200 0 0 True True False
latency-80 ringpost 200 0 0 True True True
latency-80 floor 200 0 0 True True False
latency-95 ringpost 200 0 0 True True True
latency-95 floor 200 0 0 True True False
";

#[test]
fn all_scenarios_run() {
    loadgen_program();
    scenario(TIME_LIMIT, |test| {
        let mut command = Command::new(loadgen_program());
        command.args(["bench", "--floor", "--ringpost", env!("CARGO_BIN_EXE_ringpost")]);
        command.args(["--messages", "200", "--backlog", "150", "--warm-up", "10", "--runs", "1"]);
        command.args(["--idle-connections", "30", "--json", "results.json", "--no-counts"]);
        command.args(["--server-cpus", "0", "--generator-cpus", "0", "--directory", "."]);
        test.run(command.current_dir(test.path()), b"").succeeded();
        let results = test.path().join("results.json");
        let mut python = Command::new("python3");
        let facts = test.run(python.args(["-c", FACTS]).arg(&results), b"").succeeded().output;
        let mut lines: Vec<&str> = facts.lines().collect();
        let mut wanted: Vec<&str> = WANTED.lines().collect();
        (lines.sort_unstable(), wanted.sort_unstable());
        assert_eq!(lines, wanted);
        let left = fs::read_dir(test.path()).unwrap().map(|entry| entry.unwrap().file_name());
        assert!(!left.into_iter().any(|name| name.to_string_lossy().starts_with("loadgen-bench-")));
    });
}
