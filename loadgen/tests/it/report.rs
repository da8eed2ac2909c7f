//! The page that `loadgen report` writes, in a real browser.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::harness::PROGRAM;
use crate::made_up;

const CHROMIUM: &str = "/usr/bin/chromium";

/// A page of these results.
fn report(directory: &Path, files: &[(&str, Value)]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.arg("report").args(["--html", "report.html"]).current_dir(directory);
    for (name, results) in files {
        fs::write(directory.join(name), results.to_string()).unwrap();
        command.arg(name);
    }
    command.output().unwrap()
}

#[test]
fn dump() {
    let directory = Path::new("/tmp/w/report-out");
    let out = report(
        directory,
        &[("bench.json", made_up::bench(5, 1.0)), ("source.json", made_up::source())],
    );
    assert!(out.status.success());
}
