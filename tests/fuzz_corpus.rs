//! The inputs that fuzzing found worth keeping, run by the ordinary tests. `fuzz/README.md` says
//! how they come about.

// All of it is test code, the bodies too.
#![allow(clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::wildcard_enum_match_arm)]

use std::fs;
use std::path::Path;

// They are a crate of their own there.
#[allow(unreachable_pub)]
#[path = "../fuzz/bodies/mod.rs"]
mod bodies;

/// More inputs of a target say nothing new and only take time: minimise them.
const FILES_MAX: usize = 200;

/// A target, and what it does with an input.
type Target = (&'static str, fn(&[u8]));

const TARGETS: &[Target] = &[
    ("command", bodies::command::run),
    ("data", bodies::data::run),
    ("line", bodies::line::run),
    ("proxy", bodies::proxy::run),
    ("sasl", bodies::sasl::run),
    ("session_cuts", bodies::session::run_cuts),
    ("session_events", bodies::session::run_events),
    #[cfg(feature = "runtime")]
    ("tls", bodies::tls::run),
];

fn run(target: &str) {
    let (_, body) = TARGETS.iter().find(|(name, _)| *name == target).expect("a target");
    let inputs = corpus(target);
    assert!(!inputs.is_empty(), "{target} has no corpus");
    assert!(inputs.len() <= FILES_MAX, "{target}: {} inputs; minimise them", inputs.len());
    for (name, input) in inputs {
        // Shown only if the body panics.
        println!("{target}/{name}");
        body(&input);
    }
    body(&[]);
}

fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let entries = fs::read_dir(&folder).expect("a corpus");
    let mut inputs: Vec<_> = entries
        .map(|entry| {
            let entry = entry.expect("an entry");
            let input = fs::read(entry.path()).expect("an input");
            (entry.file_name().to_string_lossy().into_owned(), input)
        })
        .collect();
    inputs.sort();
    inputs
}

#[test]
fn command() {
    run("command");
}

#[test]
fn data() {
    run("data");
}

#[test]
fn line() {
    run("line");
}

#[test]
fn proxy() {
    run("proxy");
}

#[test]
fn sasl() {
    run("sasl");
}

#[test]
fn session_cuts() {
    run("session_cuts");
}

#[test]
fn session_events() {
    run("session_events");
}

#[cfg(feature = "runtime")]
#[test]
fn tls() {
    run("tls");
}

#[cfg(feature = "runtime")]
#[test]
fn every_target_runs_here_and_there() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/Cargo.toml");
    let manifest = fs::read_to_string(manifest).expect("a manifest");
    let bins = manifest.split("[[bin]]\n").skip(1);
    let names = bins.map(|bin| {
        let line = bin.lines().next().expect("a name");
        line.trim_start_matches("name = \"").trim_end_matches('"')
    });
    let own: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(names.collect::<Vec<_>>(), own);
}
