//! What was acknowledged against what came: a server that loses, copies, changes and delays mail on
//! purpose must be found out, message by message.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::harness::{PROGRAM, Sent, Sink, send};

/// What happens to a message, by the last digit of its number.
const LOST: u64 = 3;
const COPIED: u64 = 5;
const ALTERED: u64 = 7;
const LATE: u64 = 9;

/// Longer than the sink is told to allow.
const DELAY: Duration = Duration::from_millis(1_500);

/// A relay that answers 250 to everything and then treats each message as its number says. It
/// serves until the test ends.
fn start_faulty_relay(next_hop: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let next_hop = next_hop.to_owned();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let next_hop = next_hop.clone();
            thread::spawn(move || serve(stream, &next_hop));
        }
    });
    address
}

fn serve(stream: TcpStream, next_hop: &str) {
    let mut out = stream.try_clone().unwrap();
    let mut lines = BufReader::new(stream).split(b'\n').map_while(Result::ok);
    let mut envelope = Vec::new();
    out.write_all(b"220 faulty\r\n").unwrap();
    while let Some(line) = lines.next() {
        let line = String::from_utf8(line).unwrap();
        if line.starts_with("DATA") {
            out.write_all(b"354 go on\r\n").unwrap();
            let content = lines.by_ref().take_while(|line| line != b".\r");
            let content: Vec<Vec<u8>> = content.collect();
            let envelope = std::mem::take(&mut envelope);
            treat(&envelope, [content.join(&b'\n'), b"\n.\r\n".to_vec()].concat(), next_hop);
        } else if line.starts_with("MAIL") || line.starts_with("RCPT") {
            envelope.push(line);
        }
        out.write_all(b"250 fine\r\n").unwrap();
    }
}

/// Passes a message on, or does what its number says instead.
fn treat(envelope: &[String], mut content: Vec<u8>, next_hop: &str) {
    let text = String::from_utf8_lossy(&content);
    let stamp = text.lines().next().and_then(|line| line.split(' ').nth(1)).unwrap();
    let number: u64 = stamp.split_once('-').unwrap().1.parse().unwrap();
    match number % 10 {
        LOST => return,
        COPIED => pass_on(envelope, &content, next_hop),
        ALTERED => {
            let middle = content.len() / 2;
            content[middle] ^= 1;
        }
        LATE => thread::sleep(DELAY),
        _ => {}
    }
    pass_on(envelope, &content, next_hop);
}

/// Sends a message as any client would, with a trace line before it.
fn pass_on(envelope: &[String], content: &[u8], next_hop: &str) {
    let stream = TcpStream::connect(next_hop).unwrap();
    let mut out = stream.try_clone().unwrap();
    let mut replies = BufReader::new(stream).lines();
    let mut say = |command: &[u8], code: &str| {
        out.write_all(command).unwrap();
        let reply = replies.find(|line| !line.as_ref().unwrap()[3..].starts_with('-'));
        assert!(reply.unwrap().unwrap().starts_with(code), "{}", String::from_utf8_lossy(command));
    };
    say(b"", "220");
    say(b"HELO faulty\r\n", "250");
    for line in envelope {
        say(format!("{line}\n").as_bytes(), "250");
    }
    say(b"DATA\r\n", "354");
    say(&[b"Received: by faulty\r\n", content].concat(), "250");
    say(b"QUIT\r\n", "221");
}

/// Runs `loadgen verify`, with what the source told written to a file beside what the sink told.
fn verify(sent: &Sent, sink: &Sink, options: &[&str]) -> Output {
    fs::write(sink.path("source.json"), sent.report.to_string()).unwrap();
    let mut command = Command::new(PROGRAM);
    command.args(["verify", "source.json", "totals.json"]).args(options);
    command.current_dir(sink.directory.path()).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_relay_that_loses_copies_alters_and_delays_is_found_out() {
    let mut sink = Sink::start(&["--late-after-s", "1"]);
    let relay = start_faulty_relay(&sink.address);
    let sent = send(&relay, &["--messages", "60", "--connections", "4", "--recipients", "2"]);
    assert_eq!(sent.code, 0, "{}", sent.report);
    sink.stop();
    let verdict = verify(&sent, &sink, &["--json", "-"]);
    assert_eq!(verdict.status.code(), Some(1));
    let verdict: Value = serde_json::from_slice(&verdict.stdout).unwrap();
    // Six messages end in each digit, each for two recipients.
    for (name, count) in [
        ("acknowledged", 120),
        ("delivered", 108),
        ("lost", 12),
        ("duplicated", 12),
        ("altered", 6),
        ("late", 6),
        ("unacknowledged", 0),
    ] {
        assert_eq!(verdict[name], count, "{name} in {verdict}");
    }
    for (name, digit) in
        [("lost", LOST), ("duplicated", COPIED), ("altered", ALTERED), ("late", LATE)]
    {
        let numbers = verdict[format!("{name}_numbers")].as_array().unwrap();
        let numbers: BTreeSet<u64> = numbers.iter().map(|it| it.as_u64().unwrap()).collect();
        assert_eq!(numbers.len(), 5, "{name} in {verdict}");
        assert!(numbers.iter().all(|number| number % 10 == digit), "{name} in {verdict}");
    }
    let text = said(&verify(&sent, &sink, &[]));
    let first = "acknowledged 120, delivered 108, lost 12, duplicated 12, altered 6, late 6\n";
    assert!(text.starts_with(first), "{text}");
    let allowed = verify(&sent, &sink, &["--allow", "duplicated,late"]);
    assert_eq!(allowed.status.code(), Some(1), "losses are never allowed");
}

#[test]
fn a_sound_pair_passes_in_one_line() {
    let mut sink = Sink::start(&[]);
    let sent = send(&sink.address, &["--messages", "300", "--recipients", "3"]);
    sink.stop();
    let verdict = verify(&sent, &sink, &[]);
    assert_eq!(
        said(&verdict),
        "acknowledged 900, delivered 900, lost 0, duplicated 0, altered 0, late 0\n"
    );
    assert_eq!(verdict.status.code(), Some(0));
}

#[test]
fn files_that_cannot_be_compared_are_named() {
    let mut sink = Sink::start(&[]);
    let sent = send(&sink.address, &["--messages", "5"]);
    sink.stop();
    fs::write(sink.path("source.json"), sent.report.to_string()).unwrap();
    fs::write(sink.path("poem"), "roses are red").unwrap();
    let complain = |files: [&str; 2]| {
        let mut command = Command::new(PROGRAM);
        command.arg("verify").args(files).current_dir(sink.directory.path());
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{files:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(complain(["totals.json", "source.json"]).contains("source --json"));
    assert!(complain(["source.json", "source.json"]).contains("sink --json"));
    assert!(complain(["source.json", "poem"]).contains("poem"));
    assert!(complain(["none.json", "totals.json"]).contains("none.json"));
    assert!(!Path::new("none.json").exists());
}
