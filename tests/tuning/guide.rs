//! The guide against the program and the scripts.

use std::collections::BTreeSet;
use std::fs;

use ringpost::limits::{
    DNS_CACHE_ENTRIES_MAX, DNS_QUERIES_MAX, LISTEN_BACKLOG_COUNT, RECEIVE_BUFFER_BYTES,
    RECEIVE_BUFFER_COUNT, RING_COMPLETIONS, RING_ENTRIES,
};

use crate::support::{project, run, tuning_file};

/// A number as the guide writes it: 8,192.
fn written(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[test]
fn bounds_are_those_of_the_program() {
    let guide = tuning_file("README.md");
    let ring = format!(
        "{} submission entries, {} completion entries and {} receive buffers of {} KiB",
        written(RING_ENTRIES.into()),
        written(RING_COMPLETIONS.into()),
        RECEIVE_BUFFER_COUNT,
        RECEIVE_BUFFER_BYTES / 1_024,
    );
    let backlog = format!("a backlog of {}", written(u64::try_from(LISTEN_BACKLOG_COUNT).unwrap()));
    let answers = format!("remembers {} answers", written(DNS_CACHE_ENTRIES_MAX as u64));
    let questions = format!("{DNS_QUERIES_MAX} questions open");
    for sentence in [ring, backlog, answers, questions] {
        assert!(guide.contains(&sentence), "the guide does not say {sentence:?}");
    }
}

/// Texts that name a measurement name one that there is.
#[test]
fn every_measurement_exists() {
    let list = run(project().join("tuning/measure"), &["--list"]).exited(0).output;
    let names: BTreeSet<&str> =
        list.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let mut texts = vec![tuning_file("README.md")];
    for entry in fs::read_dir(project().join("src/doctor/table")).unwrap() {
        texts.push(fs::read_to_string(entry.unwrap().path()).unwrap());
    }
    let mut count = 0;
    for text in &texts {
        for (at, prefix) in text.match_indices("tuning/measure ") {
            let rest = &text[at + prefix.len()..];
            let name = rest.split(|c: char| !c.is_ascii_lowercase() && c != '-').next().unwrap();
            // "tuning/measure NAME" and sentences about the script itself.
            if name.is_empty() || !rest[name.len()..].starts_with(['`', '"', ' ', ')']) {
                continue;
            }
            if ["runs", "shows"].contains(&name) || name.starts_with("--") {
                continue;
            }
            assert!(names.contains(name), "there is no tuning/measure {name}");
            count += 1;
        }
    }
    assert!(count > 10, "only {count} measurements are named");
}
