//! A sink that behaves as a file says, towards real clients.

use std::fs;
use std::process::Command;

use crate::behaving::{Client, addresses, all_of, curl, greeted, run, sink};
use crate::harness::{PROGRAM, send};

#[test]
fn the_example_is_sound_and_has_every_key() {
    let example = include_str!("../../behaviour.example.toml");
    let code = include_str!("../../src/behaviour/file.rs");
    // Ports of its own, since the example's may be taken.
    let own = ["2601", "2602", "2603"].iter().fold(example.to_owned(), |text, port| {
        text.replace(&format!("127.0.0.1:{port}"), "127.0.0.1:0")
    });
    let mut sink = sink(&own, &[]);
    assert_eq!(addresses(&sink).len(), 4);
    sink.stop();
    let (_, keys) = code.split_once("pub(crate) struct Keys {").unwrap();
    let (keys, _) = keys.split_once("\n}").unwrap();
    let fields: Vec<&str> = keys
        .lines()
        .filter_map(|line| line.trim().trim_start_matches("pub(crate) ").split_once(": "))
        .map(|(field, _)| field.trim_start_matches("r#"))
        .collect();
    assert!(fields.len() > 20, "{fields:?}");
    for field in fields {
        let key = field.replace("eight_bit_mime", "8bitmime");
        let is_there = [format!("\n{key} = "), format!(".{key}]")];
        assert!(is_there.iter().any(|form| example.contains(form)), "{key} is not in the example");
    }
}

#[test]
fn a_wrong_file_is_told_with_its_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("behaviour.toml");
    fs::write(&path, "[default]\ndelay.rctp = \"5ms\"\n").unwrap();
    let mut command = Command::new(PROGRAM);
    let output = command.args(["sink", "--behaviour"]).arg(&path).output().unwrap();
    let text = all_of(&output);
    assert!(!output.status.success());
    for part in ["behaviour.toml", "line 2", "rctp", "rcpt"] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn each_address_and_each_domain_behaves_in_its_own_way() {
    let mut sink = sink(
        r#"
        [[listen]]
        address = "127.0.0.1:0"
        name = "bad.sink.example"
        pipelining = false
        size_max_bytes = 1000
        [[listen.reply]]
        at = "mail"
        text = "451 4.3.0 Not here"

        [[domain]]
        match = ["*.closed.example"]
        [[domain.reply]]
        at = "rcpt"
        text = "550 5.7.1 We are closed\nand stay so"
        [[domain.reply]]
        at = "end-of-data"
        text = "554 5.6.0 Never"
        "#,
        &[],
    );
    let both = addresses(&sink);
    let mut plain = greeted(&both[0]);
    assert!(plain.send("me@open.example").unwrap().starts_with("250"));
    let refused = plain.send("me@very.closed.example").unwrap();
    assert_eq!(refused, "550-5.7.1 We are closed\r\n550 and stay so\r\n");
    let mut bad = Client::connect(&both[1]);
    assert!(bad.hear().unwrap().contains("bad.sink.example"));
    let offer = bad.say("EHLO x").unwrap();
    assert!(offer.contains("SIZE 1000") && !offer.contains("PIPELINING"), "{offer}");
    bad.expect("MAIL FROM:<a@b.example> SIZE=1001", "552");
    bad.expect("MAIL FROM:<a@b.example>", "451");
    let totals = sink.stop();
    assert_eq!(totals["messages"], 1);
    let domains = totals["domains"].as_array().unwrap();
    let closed = domains.iter().find(|it| it["domain"] == "very.closed.example").unwrap();
    assert_eq!((&closed["recipients"], &closed["refused"]), (&0.into(), &1.into()));
    let refusals = totals["refusals"].as_array().unwrap();
    assert!(refusals.iter().any(|it| it["code"] == 550 && it["stage"] == "RCPT"), "{totals}");
}

#[test]
fn odd_replies_do_not_confuse_real_clients() {
    for lines in ["many", "no-text", "long", "mixed"] {
        let mut sink = sink(&format!("[default]\nreply_lines = \"{lines}\"\n"), &[]);
        let (host, port) = sink.address.split_once(':').unwrap();
        // swaks waits for a space behind the code (RFC 5321 §4.2 lets it be left out).
        let knows_swaks = lines != "no-text";
        if knows_swaks {
            let swaks = Command::new("swaks")
                .args(["--server", host, "--port", port, "--to", "me@here.example"])
                .args(["--from", "a@b.example", "--timeout", "20"])
                .output()
                .unwrap();
            assert!(swaks.status.success(), "{lines}: {}", all_of(&swaks));
        }
        let script = "import smtplib, sys\n\
            with smtplib.SMTP(sys.argv[1], int(sys.argv[2]), timeout=20) as server:\n \
            server.sendmail('a@b.example', ['me@here.example'], 'Subject: x\\n\\n.dot\\n')\n";
        let python = Command::new("/usr/bin/python3").args(["-c", script, host, port]).output();
        let python = python.unwrap();
        assert!(python.status.success(), "{lines}: {}", all_of(&python));
        let curl = curl(&sink.address, &[]);
        assert!(curl.status.success(), "{lines}: {}", all_of(&curl));
        let sent = send(&sink.address, &["--messages", "20", "--connections", "2"]);
        assert_eq!(sent.code, 0, "{lines}: {}", sent.report);
        assert_eq!(sink.stop()["messages"], 22 + u64::from(knows_swaks));
    }
}

#[test]
fn certificates_are_as_bad_as_asked_for() {
    for (tls, certificate, complaint) in [
        ("implicit", "self-signed", "self-signed certificate"),
        ("starttls", "expired", "certificate has expired"),
        ("implicit", "wrong-name", "hostname mismatch"),
    ] {
        let mut sink = sink(
            &format!(
                "[default]\nname = \"sink.example\"\ntls = \"{tls}\"\n\
                 certificate = \"{certificate}\"\nauth = true\n"
            ),
            &[],
        );
        let mut command = Command::new("openssl");
        command.args(["s_client", "-connect", &sink.address, "-servername", "sink.example"]);
        command.args(["-verify_hostname", "sink.example", "-crlf", "-ign_eof"]);
        if tls == "starttls" {
            command.args(["-starttls", "smtp"]);
        }
        let output = run(&mut command, "EHLO x\r\nQUIT\r\n");
        let text = all_of(&output).to_lowercase().replace("self signed", "self-signed");
        assert!(text.contains(complaint), "{certificate}: {text}");
        assert!(text.contains("221 2.0.0 bye"), "{certificate}: {text}");
        let options = ["--messages", "50", "--tls", tls, "--auth", "plain", "--user", "me"];
        let password = sink.path("password");
        fs::write(&password, "secret").unwrap();
        let password = ["--password-file", password.to_str().unwrap()];
        let sent = send(&sink.address, &[&options[..], &password].concat());
        assert_eq!(sent.code, 0, "{}", sent.report);
        assert_eq!(sink.stop()["messages"], 50);
    }
}

#[test]
fn a_handshake_may_be_garbage_or_end_at_once() {
    for tls in ["implicit", "starttls"] {
        for handshake in ["garbage", "close"] {
            let text = format!("[default]\ntls = \"{tls}\"\nhandshake = \"{handshake}\"\n");
            let mut sink = sink(&text, &[]);
            let options = ["--messages", "3", "--connections", "1", "--tls", tls];
            let sent = send(&sink.address, &[&options[..], &["--timeout", "5"]].concat());
            assert_eq!((sent.code, sent.count("accepted")), (1, 0), "{tls} {handshake}");
            assert_eq!(sink.stop()["messages"], 0);
        }
    }
}

#[test]
fn by_bdat_the_sink_takes_the_same() {
    let mut sink = sink("", &["--listen", "127.0.0.1:0"]);
    let address = addresses(&sink)[0].clone();
    for options in [&["--bdat"][..], &["--bdat", "--bdat-chunk-bytes", "300", "--run-ahead"]] {
        let sent = send(&address, &[&["--messages", "50", "--recipients", "2"], options].concat());
        assert_eq!((sent.code, sent.count("accepted")), (0, 50), "{options:?}: {}", sent.report);
    }
    let totals = sink.stop();
    assert_eq!((&totals["messages"], &totals["recipients"]), (&100.into(), &200.into()));
    let delivered = totals["delivered"].as_array().unwrap();
    assert!(delivered.iter().all(|run| run["altered_messages"] == 0), "{totals}");
}
