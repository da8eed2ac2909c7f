//! `loadgen compare`, as a CI job runs it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::harness::PROGRAM;
use crate::made_up;

fn compare(directory: &Path, a: &Value, b: &Value, options: &[&str]) -> Output {
    fs::write(directory.join("a.json"), a.to_string()).unwrap();
    fs::write(directory.join("b.json"), b.to_string()).unwrap();
    let mut command = Command::new(PROGRAM);
    command.args(["compare", "a.json", "b.json"]).args(options).current_dir(directory);
    command.output().unwrap()
}

#[test]
fn the_exit_status_is_the_verdict() {
    let directory = tempfile::tempdir().unwrap();
    let status = |a: &Value, b: &Value, options: &[&str]| {
        compare(directory.path(), a, b, options).status.code().unwrap()
    };
    let (fast, slow) = (made_up::bench(5, 1.0), made_up::bench(5, 0.8));
    assert_eq!(status(&fast, &fast, &[]), 0);
    assert_eq!(status(&slow, &fast, &[]), 0);
    assert_eq!(status(&fast, &slow, &[]), 1);
    assert_eq!(status(&fast, &slow, &["--threshold", "40%"]), 0);
    assert_eq!(status(&fast, &slow, &["--figures", "memory"]), 0);
    assert_eq!(status(&fast, &made_up::source(), &[]), 2);
    assert_eq!(status(&fast, &slow, &["--threshold", "lots"]), 2);
    let (few, few_slow) = (made_up::bench(4, 1.0), made_up::bench(4, 0.8));
    assert_eq!(status(&few, &few_slow, &[]), 2);
    assert_eq!(status(&few, &few_slow, &["--confidence", "95%"]), 1);
}

#[test]
fn the_same_files_give_the_same_answer() {
    let directory = tempfile::tempdir().unwrap();
    let (a, b) = (made_up::bench(6, 1.0), made_up::bench(6, 0.8));
    let answer = || compare(directory.path(), &a, &b, &["--json", "-"]).stdout;
    let first = answer();
    assert_eq!(first, answer());
    let comparison: Value = serde_json::from_slice(&first).unwrap();
    assert_eq!(comparison["regressions"], 10);
    let rate = &comparison["rows"][0];
    assert_eq!((&rate["figure"], &rate["verdict"]), (&"rate".into(), &"worse".into()));
    let low = rate["ratio_low"].as_f64().unwrap();
    assert!(low < rate["ratio"].as_f64().unwrap() && low > 0.7);
}
