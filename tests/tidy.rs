//! Habits of this project that no other tool looks after, as a test that reads the source.
//!
//! Each check is a function from text to complaints, so that it is tried here on text that deserves
//! them: a check that cannot fail checks nothing.

// All of it is test code, the helpers too.
#![allow(clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use source::{code_only, imports, lines_with_path, lines_with_word, test_files, without_tests};

#[path = "tidy/own_tests.rs"]
mod own_tests;
#[path = "tidy/source.rs"]
mod source;

/// Which floor a module stands on; the longest name that fits decides. A module imports from its
/// own floor and from lower ones. `ARCHITECTURE.md` says what each floor is.
const FLOORS: &[(&str, u8)] = &[
    // Vocabulary.
    ("arena", 0),
    ("clock", 0),
    ("counters", 0),
    ("ids", 0),
    ("invalid", 0),
    ("limits", 0),
    ("network", 0),
    ("seed", 0),
    ("span", 0),
    // The pure core.
    ("credentials", 1),
    ("dsn", 1),
    ("message", 1),
    ("proto", 1),
    ("queue", 1),
    ("route", 1),
    ("spool/codec", 1),
    ("spool/damage", 1),
    ("spool/footprint", 1),
    ("spool/format", 1),
    ("spool/record", 1),
    ("spool/recover", 1),
    ("spool/wishes", 1),
    ("throttle", 1),
    // Generic over traits.
    ("sim", 2),
    ("spool", 2),
    // Adapters.
    ("io", 3),
    // One core.
    ("shard", 4),
    // The process. The root of the library only lists its modules.
    ("admin", 5),
    ("cli", 5),
    ("config", 5),
    ("doctor", 5),
    ("host_check", 5),
    ("lib", 5),
    ("log", 5),
    ("main", 5),
    ("password_tool", 5),
    ("serve", 5),
    ("spool_tool", 5),
];

/// Crates that a floor may use besides those of the floors below it. Floor 5 may use all.
const CRATES: &[(u8, &[&str])] = &[
    (0, &["bumpalo", "memchr"]),
    (1, &["crc32c", "idna", "slab", "smallvec", "thiserror"]),
    (1, &["argon2", "base64", "hmac", "pbkdf2", "sha2", "stringprep", "subtle", "zeroize"]),
    (3, &["glommio", "hickory_proto", "io_uring", "libc", "rustix", "socket2", "tracing"]),
    (3, &["rustls", "webpki"]),
];

/// What floors 0 to 2 are told and never look up: time, files, sockets, threads, randomness.
const IMPURE: &[&str] = &[
    "std::env",
    "std::fs",
    "std::process",
    "std::thread",
    "Instant",
    "SystemTime",
    "TcpListener",
    "TcpStream",
    "UdpSocket",
    "RandomState",
    "async",
    "await",
];

/// Files that may hold `unsafe`.
const UNSAFE_PLACES: &[&str] = &["src/arena.rs", "src/io/ring"];

const LINES_MAX: usize = 600;
const COLUMNS_MAX: usize = 100;

#[test]
fn floors() {
    let crates = dependencies(&read("Cargo.toml"));
    let sources = sources();
    let test_files = test_files(&sources);
    let complaints = sources
        .iter()
        .filter(|(path, _)| path.starts_with("src/") && !test_files.contains(*path))
        .flat_map(|(path, text)| check_floor(path, text, &crates));
    report(complaints);
}

#[test]
fn every_source_file_is_part_of_the_program() {
    report(check_declared(&sources()));
}

#[test]
fn sizes() {
    report(sources().iter().flat_map(|(path, text)| check_size(path, text)));
}

#[test]
fn no_unsafe_outside_its_places() {
    report(sources().iter().flat_map(|(path, text)| check_unsafe(path, text)));
}

#[test]
fn nothing_is_left_for_later() {
    report(sources().iter().flat_map(|(path, text)| check_leftovers(path, text)));
}

#[test]
fn every_cited_rfc_is_in_the_index() {
    const INDEX: &str = "src/proto/mod.rs";
    let sources = sources();
    let index = sources.get(INDEX).map(|text| rfc_index(text)).unwrap_or_default();
    assert!(!index.is_empty(), "{INDEX} has no index of RFCs: a table with rows `//! | 5321 | …`");
    // What the table of the doctor cites is about the kernel's TCP, and nothing that is done here.
    let is_ours = |path: &str| path.starts_with("src/") && !path.starts_with("src/doctor/table/");
    report(
        sources
            .iter()
            .filter(|(path, _)| is_ours(path))
            .flat_map(|(path, text)| check_rfcs(path, text, &index)),
    );
}

#[test]
fn limits_name_their_unit() {
    let files = ["src/limits.rs", "src/limits/doctor.rs", "src/limits/reception.rs"];
    report(files.into_iter().flat_map(|file| check_limits(file, &read(file))));
}

#[test]
fn the_change_log_has_this_version() {
    report(check_change_log(&read("CHANGELOG.md"), &package_version(&read("Cargo.toml"))));
}

#[test]
fn no_path_of_one_machine() {
    report(texts().iter().flat_map(|(path, text)| check_machine_paths(path, text)));
}

/// Fails with all `complaints`, one a line.
fn report(complaints: impl IntoIterator<Item = String>) {
    let complaints: Vec<String> = complaints.into_iter().collect();
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

// The checks.

fn check_floor(path: &str, text: &str, crates: &BTreeSet<String>) -> Vec<String> {
    let module = module_of(path);
    let Some(floor) = floor_of(&module) else {
        return vec![format!("{path}: stands on no floor; add it to FLOORS in tests/tidy.rs")];
    };
    let code = without_tests(&code_only(text));
    let mut complaints = Vec::new();
    for (line, imported) in imports(&code, &module) {
        // A name that is no module is an item of the root, which has none.
        let Some(other) = floor_of(&imported) else { continue };
        if other > floor {
            complaints
                .push(format!("{path}:{line}: floor {floor} imports {imported} of floor {other}"));
        }
    }
    if floor == 5 {
        return complaints;
    }
    let allowed = CRATES.iter().filter(|(from, _)| *from <= floor);
    let allowed: BTreeSet<&str> = allowed.flat_map(|(_, names)| names.iter().copied()).collect();
    for name in crates.iter().filter(|name| !allowed.contains(name.as_str())) {
        for line in lines_with_path(&code, name) {
            complaints.push(format!("{path}:{line}: floor {floor} uses the crate {name}"));
        }
    }
    if floor <= 2 {
        for name in IMPURE {
            for line in lines_with_word(&code, name) {
                complaints.push(format!("{path}:{line}: floor {floor} uses {name}"));
            }
        }
    }
    complaints
}

fn check_declared(sources: &BTreeMap<String, String>) -> Vec<String> {
    let declared: BTreeSet<String> = sources
        .iter()
        .flat_map(|(path, text)| source::declared(path, text))
        .flat_map(|declared| declared.places)
        .collect();
    let is_root = |path: &str| ["src/lib.rs", "src/main.rs"].contains(&path);
    let files = sources.keys().filter(|path| path.starts_with("src/") && !is_root(path));
    files
        .filter(|path| !declared.contains(*path))
        .map(|path| format!("{path}: no file declares it, so it is not built"))
        .collect()
}

fn check_size(path: &str, text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    let count = text.lines().count();
    if count > LINES_MAX {
        complaints.push(format!("{path}: {count} lines are more than {LINES_MAX}; split it"));
    }
    for (index, line) in text.lines().enumerate() {
        let columns = line.chars().count();
        // An address cannot be broken.
        if columns > COLUMNS_MAX && !line.contains("://") {
            complaints.push(format!("{path}:{}: {columns} columns", index + 1));
        }
    }
    complaints
}

fn check_unsafe(path: &str, text: &str) -> Vec<String> {
    if UNSAFE_PLACES.iter().any(|place| path.starts_with(place)) {
        return Vec::new();
    }
    let lines = lines_with_word(&code_only(text), "unsafe");
    lines.into_iter().map(|line| format!("{path}:{line}: unsafe outside its places")).collect()
}

fn check_leftovers(path: &str, text: &str) -> Vec<String> {
    // Put together here, so that this file does not find itself.
    let words = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
    let macros = [concat!("todo", "!"), concat!("unimplemented", "!"), concat!("dbg", "!")];
    let mut complaints = Vec::new();
    for word in words {
        for line in lines_with_word(text, word) {
            complaints.push(format!("{path}:{line}: {word}"));
        }
    }
    let code = code_only(text);
    for name in macros {
        for line in lines_with_word(&code, name) {
            complaints.push(format!("{path}:{line}: {name}"));
        }
    }
    complaints
}

/// The numbers in the first column of the table: `//! | 5321 | SMTP | …`.
fn rfc_index(text: &str) -> BTreeSet<u32> {
    let rows = text.lines().filter_map(|line| line.strip_prefix("//! | "));
    rows.filter_map(|row| row.split(" |").next()?.trim().parse().ok()).collect()
}

fn check_rfcs(path: &str, text: &str, index: &BTreeSet<u32>) -> Vec<String> {
    let mut complaints = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for (at, mark) in line.match_indices("RFC ") {
            let rest = &line[at + mark.len()..];
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            let Ok(rfc) = digits.parse() else { continue };
            if !index.contains(&rfc) {
                let number = number + 1;
                complaints.push(format!("{path}:{number}: RFC {rfc} is not in the index"));
            }
        }
    }
    complaints
}

/// A limit is a span of time by its type, or its name has a unit or what it counts, in the plural.
fn check_limits(path: &str, text: &str) -> Vec<String> {
    const UNITS: &[&str] = &["S", "MS", "US", "BYTES", "BITS", "COUNT", "PERCENT"];
    let code = code_only(text);
    let constants = code.lines().enumerate().filter_map(|(index, line)| {
        let (name, rest) = line.trim().strip_prefix("pub const ")?.split_once(':')?;
        (!rest.trim_start().starts_with("Duration")).then_some((index + 1, name))
    });
    let is_plural = |word: &str| {
        let is_singular = ["DNS", "TLS"].contains(&word) || word.ends_with("SS");
        word.len() > 2 && word.ends_with('S') && !is_singular
    };
    constants
        .filter(|(_, name)| !name.split('_').any(|word| UNITS.contains(&word) || is_plural(word)))
        .map(|(line, name)| {
            format!("{path}:{line}: {name} names neither a unit nor what it counts")
        })
        .collect()
}

fn check_change_log(text: &str, version: &str) -> Vec<String> {
    let mut entries = text.split("\n## ").skip(1);
    let entry = entries.find(|entry| entry.lines().next().is_some_and(|l| l.contains(version)));
    match entry {
        None => vec![format!("CHANGELOG.md: no heading `## …` has the version {version}")],
        Some(entry)
            if !entry.lines().any(|line| line.starts_with("- ") || line.starts_with("* ")) =>
        {
            vec![format!("CHANGELOG.md: the entry of {version} has no line `- …`")]
        }
        Some(_) => Vec::new(),
    }
}

fn check_machine_paths(path: &str, text: &str) -> Vec<String> {
    let roots = [concat!("/ho", "me/"), concat!("/wo", "rk/"), concat!("/ro", "ot/")];
    let mut complaints = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for root in roots {
            // In the middle of a path or an address it is another thing.
            let is_start = |at: usize| {
                line[..at].chars().next_back().is_none_or(|c| !c.is_alphanumeric() && c != '.')
            };
            if line.match_indices(root).any(|(at, _)| is_start(at)) {
                complaints.push(format!("{path}:{}: a path of one machine: {root}", index + 1));
            }
        }
    }
    complaints
}

// What the checks rest on.

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All Rust files by their path from the root of the project.
fn sources() -> BTreeMap<String, String> {
    texts().into_iter().filter(|(path, _)| path.ends_with(".rs")).collect()
}

/// All text files that belong to the project. The root is not searched: it holds the build.
fn texts() -> BTreeMap<String, String> {
    let mut texts = BTreeMap::new();
    let folders = ["src", "benches", "loadgen", "tuning", "tests", "fuzz", ".ci", ".github"];
    let mut waiting: Vec<PathBuf> = folders.map(|folder| root().join(folder)).to_vec();
    for entry in fs::read_dir(root()).expect("the project is readable").flatten() {
        let is_document =
            [".md", ".toml"].iter().any(|end| entry.path().to_string_lossy().ends_with(end));
        if is_document {
            waiting.push(entry.path());
        }
    }
    while let Some(path) = waiting.pop() {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            // What the build and the fuzzer leave behind, and what Python does.
            if !["target", "corpus", "artifacts", "__pycache__"].contains(&name.as_str()) {
                let entries = fs::read_dir(&path).expect("the project is readable");
                waiting.extend(entries.flatten().map(|entry| entry.path()));
            }
        } else if let Ok(text) = fs::read_to_string(&path) {
            let path = path.strip_prefix(root()).expect("it is below the root");
            texts.insert(path.to_string_lossy().into_owned(), text);
        }
    }
    assert!(texts.len() > 20, "the project was not found");
    texts
}

/// `src/io/ring/mod.rs` → `io/ring`.
fn module_of(path: &str) -> String {
    let module = path.strip_prefix("src/").unwrap_or(path);
    let module = module.strip_suffix(".rs").unwrap_or(module);
    module.strip_suffix("/mod").unwrap_or(module).to_owned()
}

fn floor_of(module: &str) -> Option<u8> {
    let fits = |name: &str| module == name || module.starts_with(&format!("{name}/"));
    let best = FLOORS.iter().filter(|(name, _)| fits(name)).max_by_key(|(name, _)| name.len());
    best.map(|(_, floor)| *floor)
}

/// Names of the crates under `[dependencies]`, as the code writes them.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let section = manifest.split("\n[dependencies]").nth(1).unwrap_or_default();
    let section = section.split("\n[").next().unwrap_or_default();
    let names = section.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name);
    names.map(|name| name.trim().replace('-', "_")).collect()
}

fn package_version(manifest: &str) -> String {
    let line = manifest.lines().find_map(|line| line.strip_prefix("version = "));
    line.unwrap_or_default().trim_matches('"').to_owned()
}
