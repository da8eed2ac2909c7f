//! What a source sends and when, and how it counts.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::harness::{PROGRAM, Sent, Sink, send};
use crate::stalling_server;

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

fn latency(sent: &Sent, stage: &str, figure: &str) -> f64 {
    number(&sent.report["stages"][stage][figure])
}

/// Coordinated omission: of 800 messages in four seconds, the 200 that fall due while the server
/// stands still wait for up to a second, though only one on each connection is under way then.
#[test]
fn a_server_that_stops_for_a_second_shows_in_an_open_loop() {
    let address = stalling_server::start(300, Duration::from_secs(1)).to_string();
    let options = ["--rate", "200", "--seconds", "4", "--connections", "4", "--no-pipelining"];
    let sent = send(&address, &options);
    assert_eq!((sent.code, sent.count("accepted")), (0, 800), "{}", sent.report);
    assert!(latency(&sent, "message", "p99_ms") >= 900.0, "{}", sent.report);
    assert!(latency(&sent, "message", "max_ms") >= 950.0, "{}", sent.report);
    assert!(latency(&sent, "message", "p90_ms") >= 500.0, "{}", sent.report);
    // Four of 800 are less than a hundredth.
    assert!(latency(&sent, "message_uncorrected", "p99_ms") < 450.0, "{}", sent.report);
    assert!(latency(&sent, "message_uncorrected", "max_ms") >= 950.0, "{}", sent.report);
    assert_eq!(number(&sent.report["offered_per_second"]).round(), 200.0);
    // It shows in its second, too.
    let timeline = sent.report["timeline"].as_array().unwrap();
    let fewest = timeline[..4].iter().map(|second| second["accepted"].as_u64().unwrap()).min();
    assert!(fewest.unwrap() < 150, "{timeline:?}");
    let total: u64 = timeline.iter().map(|second| second["accepted"].as_u64().unwrap()).sum();
    assert_eq!(total, 800);
    // In a closed loop nobody was there to wait.
    let address = stalling_server::start(300, Duration::from_secs(1)).to_string();
    let sent = send(&address, &["--messages", "800", "--connections", "4", "--no-pipelining"]);
    assert!(latency(&sent, "message", "p99_ms") < 450.0, "{}", sent.report);
    assert_eq!(sent.report["stages"]["message_uncorrected"], Value::Null);
    assert_eq!(sent.report["offered_per_second"], Value::Null);
}

/// One connection with 30 ms a message takes 33 a second of the 100 that are due.
#[test]
fn what_was_due_is_sent_and_measured_however_late() {
    let mut sink = Sink::start(&["--delay-end-of-data-ms", "30"]);
    let options = ["--rate", "100", "--seconds", "1", "--connections", "1"];
    let sent = send(&sink.address, &options);
    assert_eq!((sent.code, sent.count("accepted"), sent.count("unsent")), (0, 100, 0));
    assert_eq!(sink.stop()["messages"], 100);
    assert_eq!(
        (sent.count("measured_messages"), number(&sent.report["offered_per_second"])),
        (100, 100.0)
    );
    assert!(number(&sent.report["measured_s"]) > 2.9, "{}", sent.report);
    assert!(latency(&sent, "message", "max_ms") > 1_900.0, "{}", sent.report);
    assert!(number(&sent.report["messages_per_second"]) < 40.0);
    assert!(sent.report["timeline"].as_array().unwrap().len() >= 3);
}

#[test]
fn what_could_not_be_sent_in_time_is_told() {
    let sink = Sink::start(&["--delay-end-of-data-ms", "700"]);
    let options = ["--rate", "20", "--seconds", "1", "--connections", "1", "--timeout", "1"];
    let sent = send(&sink.address, &options);
    assert_eq!(sent.code, 1);
    assert!((1..=3).contains(&sent.count("accepted")), "{}", sent.report);
    let fates = sent.count("accepted") + sent.count("lost") + sent.count("unsent");
    assert_eq!(fates, 20, "{}", sent.report);
}

#[test]
fn steps_are_told_apart() {
    for arrivals in ["even", "poisson"] {
        let mut sink = Sink::start(&[]);
        let sent = send(&sink.address, &["--steps", "50:1s,400:1s", "--arrivals", arrivals]);
        assert_eq!(sent.code, 0, "{}", sent.report);
        assert_eq!(sink.stop()["messages"], sent.count("accepted"));
        let steps = sent.report["steps"].as_array().unwrap();
        let due = |step: &Value| step["message"]["count"].as_u64().unwrap();
        assert_eq!(due(&steps[0]) + due(&steps[1]), sent.count("accepted"));
        assert_eq!((steps.len(), number(&steps[0]["offered_per_second"])), (2, 50.0));
        assert_eq!((number(&steps[1]["begin_s"]), number(&steps[1]["end_s"])), (1.0, 2.0));
        if arrivals == "even" {
            assert_eq!((due(&steps[0]), due(&steps[1])), (50, 400));
        } else {
            // Five standard deviations.
            assert!((15..=85).contains(&due(&steps[0])) && due(&steps[0]) != 50, "{steps:?}");
            assert!((300..=500).contains(&due(&steps[1])), "{steps:?}");
        }
    }
}

#[test]
fn warm_up_and_cool_down_are_left_out_of_the_figures() {
    let mut sink = Sink::start(&[]);
    let window = ["--warm-up-s", "1", "--cool-down-s", "1"];
    let sent = send(&sink.address, &[&["--rate", "100", "--seconds", "3"][..], &window].concat());
    assert_eq!((sent.code, sent.count("accepted")), (0, 300));
    assert_eq!(sink.stop()["messages"], 300);
    assert_eq!(number(&sent.report["measured_s"]), 1.0);
    // Those that were due within it.
    assert_eq!(sent.report["stages"]["message"]["count"], 100);
    assert_eq!(sent.report["stages"]["connect"], Value::Null);
    // Those that were answered within it, which may be some more or less.
    assert!((70..=130).contains(&sent.count("measured_messages")), "{}", sent.report);
    assert_eq!(number(&sent.report["messages_per_second"]), sent.count("measured_messages") as f64);
    assert!(sent.report["timeline"].as_array().unwrap().len() >= 3);
}

/// The files of the messages that a sink kept.
fn contents(bodies: &Path) -> impl Iterator<Item = PathBuf> {
    let paths = fs::read_dir(bodies).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "eml"))
}

fn kept_bytes(bodies: &Path) -> u64 {
    contents(bodies).map(|path| fs::metadata(path).unwrap().len()).sum()
}

/// The message number `number` of run 0 as the sink kept it, without its stamp.
fn kept(bodies: &Path, number: u64) -> Vec<u8> {
    let stamp = format!("X-Loadgen-Id: {:016x}-{number:010} ", 0);
    let behind = |path: PathBuf| {
        let message = fs::read(path).unwrap();
        let line_end = message.iter().position(|byte| *byte == b'\n')?;
        message.starts_with(stamp.as_bytes()).then(|| message[line_end + 1..].to_vec())
    };
    contents(bodies).find_map(behind).unwrap_or_else(|| panic!("{stamp} has not come"))
}

#[test]
fn a_folder_of_messages_arrives_unchanged_behind_the_stamp() {
    let directory = tempfile::tempdir().unwrap();
    let messages: [&[u8]; 3] = [
        b"Subject: dots\r\n\r\n.\r\n..\r\n.a\r\n",
        "Subject: eight bits\r\n\r\nGr\u{fc}\u{df}e\r\n".as_bytes(),
        b"Subject: long\r\n\r\n\t \xff\xfe\r\n\r\nend without a line end",
    ];
    for (message, name) in messages.iter().zip(["1.eml", "2.eml", "3.eml"]) {
        fs::write(directory.path().join(name), message).unwrap();
    }
    let folder = directory.path().to_str().unwrap();
    // By BDAT nothing is dot-stuffed (RFC 3030 §2), whole or in pieces that cut lines and letters.
    for by in [&[][..], &["--bdat"], &["--bdat", "--bdat-chunk-bytes", "7"]] {
        let mut sink = Sink::start(&["--bodies", "bodies"]);
        let options = ["--eml", folder, "--messages", "6", "--run", "0", "--connections", "2"];
        let sent = send(&sink.address, &[&options[..], by].concat());
        assert_eq!((sent.code, sent.count("accepted")), (0, 6), "{by:?}: {}", sent.report);
        assert_eq!(sink.stop()["messages"], 6);
        assert_eq!(kept_bytes(&sink.path("bodies")), sent.count("bytes"), "{by:?}");
        for turn in 0..6 {
            let message = messages[turn % 3];
            let line_end = if message.ends_with(b"\r\n") { &b""[..] } else { b"\r\n" };
            let came = kept(&sink.path("bodies"), turn as u64);
            assert_eq!(came, [message, line_end].concat(), "{by:?}");
        }
    }
}

#[test]
fn a_template_is_filled_in_for_each_message() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("template");
    fs::write(&path, "From: <{from}>\nTo: <{to}>\nSubject: {n}\n\n.{random:12}\n{ {r} }\n")
        .unwrap();
    let mut sink = Sink::start(&["--bodies", "bodies"]);
    let options =
        ["--messages", "3", "--run", "0", "--to", "u{n}.{r}@x.example", "--recipients", "2"];
    let sent =
        send(&sink.address, &[&["--template", path.to_str().unwrap()], &options[..]].concat());
    assert_eq!(sent.code, 0, "{}", sent.report);
    assert_eq!(sink.stop()["messages"], 3);
    assert_eq!(kept_bytes(&sink.path("bodies")), sent.count("bytes"));
    let mut random = BTreeSet::new();
    for number in 0..3 {
        let message = String::from_utf8(kept(&sink.path("bodies"), number)).unwrap();
        let head = format!(
            "From: <sender@loadgen.example>\r\nTo: <u{number}.0@x.example>\r\n\
             Subject: {number}\r\n\r\n."
        );
        let rest = message.strip_prefix(&head).unwrap_or_else(|| panic!("{message}"));
        assert_eq!((rest.len(), &rest[12..]), (21, "\r\n{ 2 }\r\n"), "{message}");
        random.insert(rest[..12].to_owned());
    }
    assert_eq!(random.len(), 3);
}

/// The recipients of all messages, by domain.
fn domains(bodies: &Path) -> BTreeMap<String, u32> {
    let mut counts = BTreeMap::new();
    for entry in fs::read_dir(bodies).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "envelope") {
            let envelope = fs::read_to_string(path).unwrap();
            for recipient in envelope.lines().skip(1) {
                let domain = recipient.split(['@', '>']).nth(1).unwrap().to_owned();
                *counts.entry(domain).or_default() += 1;
            }
        }
    }
    counts
}

#[test]
fn recipients_and_domains_are_drawn_by_the_seed() {
    let run = |seed: &str| {
        let mut sink = Sink::start(&["--bodies", "bodies"]);
        let options = ["--domain-count", "10", "--domain-distribution", "zipf:1"];
        let more = ["--recipients", "1-3", "--messages", "1000", "--seed", seed];
        let sent = send(&sink.address, &[&options[..], &more, &["--size", "1k:3,4k:1"]].concat());
        assert_eq!(sent.code, 0, "{}", sent.report);
        let totals = sink.stop();
        assert_eq!(totals["bytes"], sent.count("bytes"));
        let domains = domains(&sink.path("bodies"));
        assert_eq!(totals["recipients"], u64::from(domains.values().sum::<u32>()));
        (domains, sent.count("bytes"))
    };
    let (first, bytes) = run("5");
    // Two recipients a message, and 1,000 / 2.929 for the first domain: five standard deviations.
    assert!((1_850..=2_150).contains(&first.values().sum::<u32>()), "{first:?}");
    assert!((520..=850).contains(&first["d0001.sink.example"]), "{first:?}");
    assert!((35..=105).contains(&first["d0010.sink.example"]), "{first:?}");
    // 1,750 bytes a message.
    assert!((1_600_000..=1_900_000).contains(&bytes), "{bytes}");
    assert_eq!(run("5"), (first.clone(), bytes));
    assert_ne!(run("6"), (first, bytes));
}

fn source(options: &[&str]) -> Output {
    Command::new(PROGRAM).args(["source", "127.0.0.1:1"]).args(options).output().unwrap()
}

#[test]
fn what_cannot_be_sent_is_refused_with_the_reason() {
    for (options, code, reason) in [
        (&["--rate", "5", "--ramp", "1:2:3s"][..], 2, "cannot be used with"),
        (&["--arrivals", "poisson"], 2, "required"),
        (&["--size", "5k", "--eml", "x"], 2, "cannot be used with"),
        (&["--size", "big"], 2, "is not a size like 2048"),
        (&["--steps", "10"], 2, "must be RATE:TIME like 1000:10s"),
        (&["--cool-down-s", "1"], 1, "give --seconds too"),
        (&["--seconds", "2", "--warm-up-s", "2"], 1, "send for longer"),
        (&["--eml", "/none/such"], 1, "/none/such"),
        (&["--eml", "/proc/self/task"], 1, "it has no .eml file"),
        (&["--template", "/none/such"], 1, "/none/such"),
        (&["--domain-distribution", "zipf:1"], 1, "needs --domains or --domain-count"),
        (&["--domain-distribution", "file:/none/such"], 2, "/none/such"),
    ] {
        let output = source(options);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{options:?}: {said}");
        assert!(said.contains(reason), "{options:?}: {said}");
    }
}

#[test]
fn progress_is_told_in_lines_or_in_one_line_on_a_terminal() {
    let sink = Sink::start(&[]);
    let run = |options: &str| {
        let line = format!("{PROGRAM} source {} --rate 50 {options}", sink.address);
        let mut command = Command::new("sh");
        command.args(["-c", &line]).stdin(Stdio::null());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let said = run("--seconds 5.5");
    assert!(said.starts_with("loadgen: ") && said.lines().count() == 1, "{said}");
    for part in ["messages/s", " in flight", "0 errors", "p50 ", "p99 ", "accepted"] {
        assert!(said.contains(part), "{part} in {said}");
    }
    // script(1), of every Debian, is a terminal.
    let line = format!("{PROGRAM} source {} --rate 50 --seconds 2", sink.address);
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--command", &line, "/dev/null"]).stdin(Stdio::null());
    let output = command.output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{shown}");
    assert!(shown.contains("\r\u{1b}[2K1 s: 50 messages/s, "), "{shown:?}");
    assert!(!shown.contains("loadgen:"), "{shown:?}");
}
