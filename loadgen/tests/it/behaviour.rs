//! A sink that behaves as a file says, towards real clients.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{PROGRAM, Sink, send};

/// No reply of a test takes longer.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// A sink that behaves as `text` says, with further options.
fn sink(text: &str, options: &[&str]) -> Sink {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("behaviour.toml");
    fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    Sink::start(&[&["--behaviour", &path], options].concat())
}

/// A client that says one line after the other.
struct Client {
    replies: BufReader<TcpStream>,
}

impl Client {
    fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(SILENCE_MAX)).unwrap();
        Self { replies: BufReader::new(stream) }
    }

    /// The next reply, its lines joined; nothing if the connection is over.
    fn hear(&mut self) -> Option<String> {
        let mut reply = String::new();
        loop {
            let mut line = String::new();
            if !matches!(self.replies.read_line(&mut line), Ok(read) if read > 0) {
                return None;
            }
            let is_last = line.as_bytes().get(3) != Some(&b'-');
            reply += &line;
            if is_last {
                return Some(reply);
            }
        }
    }

    fn say(&mut self, line: &str) -> Option<String> {
        // A server that left says so by its silence.
        let _ = self.replies.get_ref().write_all(format!("{line}\r\n").as_bytes());
        self.hear()
    }

    #[track_caller]
    fn expect(&mut self, line: &str, code: &str) {
        let reply = self.say(line);
        assert!(reply.as_ref().is_some_and(|reply| reply.starts_with(code)), "{line}: {reply:?}");
    }

    /// A whole message to `recipient`; the reply to its content.
    fn send(&mut self, recipient: &str) -> Option<String> {
        for line in ["MAIL FROM:<a@client.example>", &format!("RCPT TO:<{recipient}>"), "DATA"] {
            let reply = self.say(line)?;
            if reply.starts_with(['4', '5']) {
                return Some(reply);
            }
        }
        self.say("Subject: x\r\n\r\nSome text.\r\n.")
    }
}

fn greeted(address: &str) -> Client {
    let mut client = Client::connect(address);
    assert!(client.hear().unwrap().starts_with("220"));
    client.expect("EHLO client.example", "250");
    client
}

fn addresses(sink: &Sink) -> Vec<String> {
    sink.address.split(' ').map(str::to_owned).collect()
}

fn run(command: &mut Command, input: &str) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn all_of(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

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
fn a_triplet_waits_once_and_the_next_anew() {
    let mut sink = sink("[[domain]]\nmatch = [\"grey.example\"]\ngreylist_s = 1\n", &[]);
    let mut client = greeted(&sink.address);
    let first = client.send("me@grey.example").unwrap();
    assert!(first.starts_with("451 4.7.1"), "{first}");
    client.expect("RSET", "250");
    assert!(client.send("me@other.example").unwrap().starts_with("250"));
    std::thread::sleep(Duration::from_millis(1_100));
    assert!(client.send("me@grey.example").unwrap().starts_with("250"));
    assert!(client.send("you@grey.example").unwrap().starts_with("451"));
    assert_eq!(sink.stop()["messages"], 2);
}

#[test]
fn connections_beyond_the_limits_get_421() {
    let mut sink = sink("[default]\nclient_connections_max = 2\n", &[]);
    let address = sink.address.clone();
    let (first, _second) = (greeted(&address), greeted(&address));
    let mut third = Client::connect(&address);
    assert!(third.hear().unwrap().starts_with("421 4.7.0"));
    assert_eq!(third.hear(), None);
    drop(first);
    // The sink learns of the end by itself.
    let begin = Instant::now();
    while Client::connect(&address).hear().unwrap().starts_with("421") {
        assert!(begin.elapsed() < SILENCE_MAX);
        std::thread::sleep(Duration::from_millis(20));
    }
    let totals = sink.stop();
    assert!(totals["connections_refused"].as_u64().unwrap() >= 1);
}

#[test]
fn a_tarpit_drips_and_delays_delay() {
    let mut sink = sink(
        r#"
        [default]
        delay.mail = "100ms"
        [[listen]]
        address = "127.0.0.1:0"
        tarpit = { bytes = 2, every_ms = 10 }
        "#,
        &[],
    );
    let both = addresses(&sink);
    let mut plain = greeted(&both[0]);
    let begin = Instant::now();
    plain.expect("MAIL FROM:<a@b.example>", "250");
    assert!(begin.elapsed() >= Duration::from_millis(100));
    let mut stream = TcpStream::connect(&both[1]).unwrap();
    stream.set_read_timeout(Some(SILENCE_MAX)).unwrap();
    let (begin, mut greeting) = (Instant::now(), Vec::new());
    while !greeting.ends_with(b"\n") {
        let mut drop = [0];
        stream.read_exact(&mut drop).unwrap();
        greeting.push(drop[0]);
    }
    let drips = u32::try_from(greeting.len() / 2 - 1).unwrap();
    assert!(begin.elapsed() >= drips * Duration::from_millis(10), "{:?}", begin.elapsed());
    sink.stop();
}

#[test]
fn a_slow_reader_takes_its_time() {
    let mut sink =
        sink("[default]\nread_bytes_per_second = 100000\nreceive_buffer_bytes = 4096\n", &[]);
    let begin = Instant::now();
    let sent = send(&sink.address, &["--messages", "1", "--connections", "1", "--size", "100000"]);
    assert_eq!(sent.code, 0, "{}", sent.report);
    assert!(begin.elapsed() >= Duration::from_millis(900), "{:?}", begin.elapsed());
    sink.stop();
}

#[test]
fn dropped_connections_are_told_from_lost_messages() {
    let text = "[[default.drop]]\nat = \"after-data\"\nshare = 0.5\ntaken = true\n";
    let mut sink = sink(text, &[]);
    let sent = send(&sink.address, &["--messages", "100", "--reconnect", "--timeout", "10"]);
    assert_eq!((sent.code, sent.count("accepted")), (0, 100), "{}", sent.report);
    let totals = sink.stop();
    let dropped = totals["connections_dropped"].as_u64().unwrap();
    assert!(dropped > 20, "{totals}");
    // What was taken without a word came again.
    assert_eq!(totals["duplicates"].as_u64().unwrap(), dropped);
    fs::write(sink.path("source.json"), sent.report.to_string()).unwrap();
    let mut verify = Command::new(PROGRAM);
    verify.args(["verify", "source.json", "totals.json"]).current_dir(sink.directory.path());
    let strict = verify.output().unwrap();
    assert_eq!(strict.status.code(), Some(1), "{}", all_of(&strict));
    let lenient = verify.args(["--allow", "duplicated"]).output().unwrap();
    assert_eq!(lenient.status.code(), Some(0), "{}", all_of(&lenient));
}

#[test]
fn a_connection_dropped_in_the_middle_takes_no_message() {
    for at in ["before-data", "in-data"] {
        let text = format!("[[default.drop]]\nat = \"{at}\"\nafter_bytes = 5\n");
        let mut sink = sink(&text, &[]);
        let mut client = greeted(&sink.address);
        assert_eq!(client.send("me@here.example"), None, "{at}");
        let totals = sink.stop();
        assert_eq!((&totals["messages"], &totals["connections_dropped"]), (&0.into(), &1.into()));
    }
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
        let curl = run(
            Command::new("curl").args(["-sS", "--max-time", "20", "-T", "-"]).args([
                &format!("smtp://{}/client", sink.address),
                "--mail-from",
                "a@b.example",
                "--mail-rcpt",
                "me@here.example",
            ]),
            "Subject: x\r\n\r\ntext\r\n",
        );
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
fn threads_share_what_they_know() {
    let [one, other] = crate::harness::two_cpus();
    let cpus = if one == other { one } else { format!("{one},{other}") };
    let text = "[default]\nclient_connections_max = 8\n\
                [[domain]]\nmatch = [\"grey.example\"]\ngreylist_s = 1\n";
    let mut sink = sink(text, &["--cpus", &cpus]);
    let options = ["--messages", "40", "--connections", "8", "--to", "user{n}@grey.example"];
    let first = send(&sink.address, &[&options[..], &["--messages-per-connection", "1"]].concat());
    assert_eq!((first.code, first.count("accepted")), (1, 0), "{}", first.report);
    std::thread::sleep(Duration::from_millis(1_100));
    // The same triplets, over other connections and so perhaps other threads.
    let second = send(&sink.address, &options);
    assert_eq!((second.code, second.count("accepted")), (0, 40), "{}", second.report);
    let totals = sink.stop();
    assert_eq!((&totals["distinct"], &totals["duplicates"]), (&40.into(), &0.into()));
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
