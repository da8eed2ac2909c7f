//! The JSON Schemas, asked of another implementation: what the program writes must satisfy them,
//! and what it does not write must not.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::bench::{bench, stand_in};
use crate::harness::{PROGRAM, Sink, send};
use crate::made_up;

/// Prints each way in which a file breaks a schema.
const VALIDATE: &str = r#"
import json, sys
from jsonschema import Draft202012Validator as Validator
schema, results = (json.load(open(path, encoding="utf-8")) for path in sys.argv[1:])
Validator.check_schema(schema)
for error in Validator(schema).iter_errors(results):
    print("/".join(map(str, error.absolute_path)), error.message[:200])
"#;

fn interpreter() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("target/tmp is in target");
    let path = target.join("peers/venv/bin/python3");
    assert!(path.exists(), "no {}; `tests/run install` sets it up", path.display());
    path
}

/// In which ways `results` break the schema of `kind`.
fn complaints(kind: &str, results: &Value) -> String {
    let directory = tempfile::tempdir().unwrap();
    let schema = Command::new(PROGRAM).args(["schema", kind]).output().unwrap();
    assert!(schema.status.success(), "{schema:?}");
    fs::write(directory.path().join("schema.json"), schema.stdout).unwrap();
    fs::write(directory.path().join("results.json"), results.to_string()).unwrap();
    let mut python = Command::new(interpreter());
    python.args(["-c", VALIDATE, "schema.json", "results.json"]).current_dir(directory.path());
    let output = python.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn check_satisfied(kind: &str, results: &Value) {
    let complaints = complaints(kind, results);
    assert!(complaints.is_empty(), "{complaints}in {results:#}");
}

#[test]
fn what_source_and_sink_write_satisfies_their_schemas() {
    let mut sink = Sink::start(&[]);
    let sent = send(&sink.address, &["--messages", "200", "--rate", "1000"]);
    assert_eq!(sent.report["accepted"], 200);
    check_satisfied("source", &sent.report);
    check_satisfied("sink", &sink.stop());
}

#[test]
fn what_bench_writes_satisfies_its_schema() {
    let directory = tempfile::tempdir().unwrap();
    stand_in(directory.path());
    let options = ["accept", "--ringpost", "./ringpost", "--messages", "200"];
    let output = bench(directory.path(), &options).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let results = fs::read_to_string(directory.path().join("report.json")).unwrap();
    check_satisfied("bench", &serde_json::from_str(&results).unwrap());
}

#[test]
fn the_made_up_results_of_other_tests_satisfy_the_schemas() {
    check_satisfied("bench", &made_up::bench(2, 1.0));
    check_satisfied("source", &made_up::source());
    check_satisfied("sink", &made_up::sink());
}

#[test]
fn what_is_not_written_breaks_the_schema() {
    let whole = made_up::bench(1, 1.0);
    assert!(complaints("source", &whole).contains("kind"));
    let mut incomplete = whole.clone();
    incomplete["mail"][0]["servers"][0]["runs"][0].as_object_mut().unwrap().remove("failed");
    assert!(complaints("bench", &incomplete).contains("'failed' is a required property"));
    let mut odd = whole.clone();
    odd["mail"][0]["servers"][0]["runs"][0]["messages"] = "many".into();
    assert!(complaints("bench", &odd).contains("'many' is not of type 'integer'"));
    let mut later = whole;
    later["version"] = 2.into();
    assert!(complaints("bench", &later).contains("version"));
}
