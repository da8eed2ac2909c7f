//! How a source speaks: BDAT, AUTH, extensions, source addresses; with aiosmtpd, with Exim and with
//! a server of the test's own.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use serde_json::Value;

use crate::dialogue_server::{Manner, Message, Server};
use crate::harness::{PROGRAM, Process, Sent, send};

fn send_to(server: &Server, options: &[&str]) -> Sent {
    send(&server.address.to_string(), options)
}

/// The contents that came, by id; without the date, which is that of the run.
fn contents(messages: &[Message]) -> BTreeMap<String, String> {
    let by_id = messages.iter().map(|message| {
        let text = String::from_utf8(message.content.clone()).unwrap();
        // The stamp, but for the time and for the digest, of which the date is a part.
        let (stamp, rest) = text.split_once("\r\n").unwrap();
        let id = stamp.split(' ').nth(1).unwrap();
        let lines = rest.split_inclusive("\r\n").filter(|line| !line.starts_with("Date: "));
        (id.to_owned(), lines.collect())
    });
    by_id.collect()
}

#[test]
fn by_bdat_the_same_messages_come_as_by_data() {
    let base = ["--messages", "60", "--connections", "3", "--size", "3000", "--run", "feed"];
    let by_data = Server::start(Manner::default());
    assert_eq!(send_to(&by_data, &base).code, 0);
    let wanted = contents(&by_data.messages());
    assert_eq!(wanted.len(), 60);
    for options in [
        &["--bdat"][..],
        &["--bdat", "--no-pipelining"],
        &["--bdat", "--run-ahead", "--recipients", "3"],
        &["--bdat", "--messages-per-connection", "4"],
        &["--bdat", "--bdat-chunk-bytes", "1000"],
        &["--bdat", "--bdat-chunk-bytes", "7", "--run-ahead"],
        &[
            "--bdat",
            "--bdat-chunk-bytes",
            "700",
            "--no-pipelining",
            "--messages-per-connection",
            "1",
        ],
    ] {
        let server = Server::start(Manner::default());
        let sent = send_to(&server, &[&base[..], options].concat());
        assert_eq!((sent.code, sent.acked.len()), (0, 60), "{options:?}: {}", sent.report);
        let messages = server.messages();
        assert_eq!(contents(&messages), wanted, "{options:?}");
        for message in &messages {
            let (last, others) = message.chunks.split_last().expect("BDAT was used");
            match options.iter().position(|option| *option == "--bdat-chunk-bytes") {
                Some(at) => {
                    let bytes = options[at + 1].parse().unwrap();
                    assert!(others.iter().all(|chunk| *chunk == bytes) && *last <= bytes);
                }
                None => assert!(others.is_empty()),
            }
            assert!(message.mail.ends_with("> SIZE=3000"), "{}", message.mail);
        }
    }
}

#[test]
fn by_bdat_commands_and_content_travel_together() {
    let manner = Manner { waits_for_last: true, ..Manner::default() };
    let server = Server::start(manner);
    let options = ["--messages", "20", "--bdat", "--recipients", "2", "--no-size"];
    let chunked = [&options[..], &["--bdat-chunk-bytes", "100"]].concat();
    for options in [&options[..], &chunked] {
        let sent = send_to(&server, options);
        assert_eq!((sent.code, server.messages().len()), (0, 20), "{}", sent.report);
    }
    assert!(server.commands().contains(&"MAIL FROM:<sender@loadgen.example>".to_owned()));
}

/// The refusals of a source, of which there must be one kind: its code, stage and text.
fn refusal(sent: &Sent) -> (u64, &str, &str) {
    let refusals = sent.report["refusals"].as_array().unwrap();
    assert_eq!(refusals.len(), 1, "{refusals:?}");
    let text = |name| refusals[0][name].as_str().unwrap();
    (refusals[0]["code"].as_u64().unwrap(), text("stage"), text("example"))
}

#[test]
fn what_a_server_does_not_offer_is_told_at_once() {
    for (options, stage, word) in [
        (&["--bdat"][..], "BDAT", "CHUNKING"),
        (&["--8bitmime"], "MAIL", "8BITMIME"),
        (&["--smtputf8"], "MAIL", "SMTPUTF8"),
        (&["--tls", "starttls"], "STARTTLS", "STARTTLS"),
    ] {
        let all = ["PIPELINING", "CHUNKING", "8BITMIME", "SMTPUTF8", "STARTTLS"];
        let offers = all.into_iter().filter(|offer| *offer != word).collect();
        let manner = Manner { offers, ..Manner::default() };
        let server = Server::start(manner);
        // Nothing is tried again, because it cannot become better.
        let all = [&["--messages", "9", "--connections", "3", "--reconnect"][..], options].concat();
        let sent = send_to(&server, &all);
        assert_eq!((sent.code, sent.count("accepted"), sent.count("unsent")), (1, 0, 9));
        assert_eq!(sent.count("connections_failed"), 3);
        let (code, at, text) = refusal(&sent);
        assert_eq!((code, at), (0, stage));
        assert!(text.contains("does not offer") && text.contains(word), "{text}");
    }
}

#[test]
fn a_refused_piece_refuses_the_message_and_the_next_goes_on() {
    for pipelining in ["--pipelining", "--no-pipelining"] {
        let replies = vec![("BDAT 1000", "452 4.3.1 full")];
        let server = Server::start(Manner { replies, ..Manner::default() });
        let options = ["--messages", "12", "--connections", "2", "--bdat", pipelining];
        let chunks = ["--bdat-chunk-bytes", "1000"];
        let sent = send_to(&server, &[&options[..], &chunks].concat());
        assert_eq!((sent.code, sent.count("refused"), sent.count("lost")), (1, 12, 0));
        assert_eq!(refusal(&sent), (452, "BDAT", "4.3.1 full"));
        assert_eq!(sent.count("connections"), 2, "a refusal does not cost a connection");
        // Each message but the first of each connection begins with RSET (RFC 3030 §2); one
        // connection may have had them all.
        let resets = server.commands().iter().filter(|command| *command == "RSET").count();
        assert!((10..=11).contains(&resets), "{resets}");
    }
}

#[test]
fn a_server_that_leaves_before_the_content_has_not_got_it() {
    let replies = vec![("MAIL", "421 4.3.2 closing")];
    let server = Server::start(Manner { replies, ..Manner::default() });
    let sent = send_to(&server, &["--messages", "6", "--connections", "2", "--bdat"]);
    assert_eq!((sent.code, sent.count("refused"), sent.count("lost")), (1, 6, 0));
    assert_eq!(refusal(&sent), (421, "MAIL", "4.3.2 closing"));
}

#[test]
fn what_a_server_says_before_tls_does_not_count_in_it() {
    let replies = vec![("STARTTLS", "220 go\r\n250-me\r\n250 AUTH PLAIN")];
    let offers = vec!["STARTTLS"];
    let server = Server::start(Manner { replies, offers, ..Manner::default() });
    let sent = send_to(&server, &["--messages", "1", "--connections", "1", "--tls", "starttls"]);
    assert_eq!((sent.code, sent.count("connections_failed")), (1, 1));
    assert_eq!(refusal(&sent), (0, "EHLO", "the server spoke on in the clear"));
}

#[test]
fn what_ends_a_connection_is_told() {
    let server = Server::start(Manner { replies: vec![("RCPT", "?")], ..Manner::default() });
    let sent = send_to(&server, &["--messages", "1", "--connections", "1"]);
    assert_eq!((sent.code, sent.count("lost")), (1, 1));
    assert_eq!(refusal(&sent), (0, "RCPT", "what came is no reply"));
    let sent = send_to(&server, &["--messages", "1", "--tls", "implicit", "--connections", "1"]);
    let (code, stage, text) = refusal(&sent);
    assert_eq!((sent.code, code, stage), (1, 0, "TLS handshake"), "{text}");
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let sent = send(&nobody.to_string(), &["--messages", "1", "--connections", "1"]);
    let (code, stage, text) = refusal(&sent);
    assert_eq!((sent.code, code, stage), (1, 0, "connect"));
    assert!(text.contains("refused"), "{text}");
}

#[test]
fn connections_come_from_the_addresses_in_turn() {
    let server = Server::start(Manner::default());
    let options = ["--messages", "300", "--messages-per-connection", "10", "--connections", "6"];
    let addresses = ["--source-addresses", "127.0.0.5,127.0.1.0/30"];
    let sent = send_to(&server, &[&options[..], &addresses].concat());
    assert_eq!(sent.code, 0, "{}", sent.report);
    let mut messages = BTreeMap::new();
    for message in server.messages() {
        *messages.entry(message.client.unwrap().to_string()).or_insert(0) += 1;
    }
    let seen: Vec<_> = messages.keys().map(String::as_str).collect();
    assert_eq!(seen, ["127.0.0.5", "127.0.1.1", "127.0.1.2"]);
    assert!(messages.values().all(|count| *count >= 80), "{messages:?}");
}

/// What the program says about a command line that it does not follow.
fn complaint(options: &[&str]) -> String {
    let mut command = Command::new(PROGRAM);
    let output = command.args(["source", "127.0.0.1:9"]).args(options).output().unwrap();
    assert!(!output.status.success(), "{options:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn what_cannot_be_is_said_before_anything_is_sent() {
    for (options, word) in [
        (&["--source-addresses", "192.0.2.7"][..], "ip address add 192.0.2.7"),
        (&["--source-addresses", "::1"], "no connection leads from ::1"),
        (&["--source-addresses", "10.0.0.0/8"], "more than 65536 addresses"),
        (&["--from", "ü@example.com"], "--smtputf8"),
        (&["--to", "a@bücher.example"], "--smtputf8"),
        (&["--auth", "plain", "--user", "u"], "--auth-without-tls"),
        (&["--auth", "plain", "--user", "u", "--tls", "implicit"], "LOADGEN_PASSWORD"),
        (&["--auth", "plain"], "--user"),
        (&["--bdat-chunk-bytes", "10"], "--bdat"),
        (&["--bdat", "--bdat-chunk-bytes", "0"], "--bdat-chunk-bytes"),
    ] {
        let complaint = complaint(options);
        assert!(complaint.contains(word), "{options:?}: {complaint}");
    }
}

fn target_path(name: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("target/tmp is in target");
    let path = target.join(name);
    assert!(path.exists(), "no {}; `tests/run install` sets it up", path.display());
    path
}

/// A running aiosmtpd.
struct Aiosmtpd {
    _process: Process,
    address: String,
    lines: BufReader<std::process::ChildStdout>,
}

impl Aiosmtpd {
    fn start(options: &[&str]) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/python");
        let mut command = Command::new(target_path("peers/venv/bin/python3"));
        command.arg(script.join("dialogue_server.py")).args(options);
        // It writes no files beside the sources.
        command.env("PYTHONDONTWRITEBYTECODE", "1").stdout(Stdio::piped());
        let mut process = Process::start(&mut command);
        let mut lines = BufReader::new(process.take_output());
        let mut address = String::new();
        lines.read_line(&mut address).unwrap();
        Self { _process: process, address: address.trim().to_owned(), lines }
    }

    /// The next `count` messages.
    fn messages(&mut self, count: usize) -> Vec<Value> {
        let messages = (0..count).map(|_| {
            let mut line = String::new();
            self.lines.read_line(&mut line).unwrap();
            serde_json::from_str(&line).unwrap()
        });
        messages.collect()
    }
}

/// A directory with a certificate and its key.
fn certificate() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]);
    command.args(["-nodes", "-subj", "/CN=localhost", "-keyout", "key.pem", "-out", "cert.pem"]);
    let output = command.current_dir(directory.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    directory
}

const USER: &str = "bärbel";
const PASSWORD: &str = "geheim ist nicht genug";

#[test]
fn aiosmtpd_lets_in_who_has_the_password() {
    let directory = certificate();
    let file = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    fs::write(file("password"), format!("{PASSWORD}\n")).unwrap();
    fs::write(file("wrong"), "wrong\n").unwrap();
    let tls = ["--tls", &file("cert.pem"), &file("key.pem"), "--login", USER, PASSWORD];
    let mut server = Aiosmtpd::start(&tls);
    for mechanism in ["plain", "login"] {
        let base = ["--messages", "10", "--connections", "2", "--tls", "starttls", "--auth"];
        let user = [mechanism, "--user", USER, "--password-file"];
        let right = file("password");
        let sent = send(&server.address, &[&base[..], &user, &[&right]].concat());
        assert_eq!(sent.code, 0, "{mechanism}: {}", sent.report);
        for message in server.messages(10) {
            assert_eq!((&message["login"], &message["tls"]), (&USER.into(), &true.into()));
        }
        for (stage, count) in [("auth", 2), ("tls", 2), ("ehlo", 4), ("banner", 2), ("mail", 10)] {
            assert_eq!(sent.report["stages"][stage]["count"], count, "{stage}");
        }
        // A wrong password is not tried for ever.
        let wrong = file("wrong");
        let all = [&base[..], &user, &[&wrong, "--reconnect"]].concat();
        let sent = send(&server.address, &all);
        assert_eq!((sent.code, sent.count("unsent")), (1, 10), "{mechanism}");
        let (code, stage, text) = refusal(&sent);
        assert_eq!((code, stage), (535, "AUTH"), "{text}");
    }
}

#[test]
fn aiosmtpd_hears_a_password_in_the_clear_only_when_told_so() {
    let mut server = Aiosmtpd::start(&["--login", USER, PASSWORD]);
    let base = ["source", &server.address, "--messages", "4", "--auth", "login", "--user", USER];
    let run = |options: &[&str]| {
        let mut command = Command::new(PROGRAM);
        command.args(base).args(options).env("LOADGEN_PASSWORD", PASSWORD);
        command.output().unwrap()
    };
    assert!(!run(&[]).status.success());
    let output = run(&["--auth-without-tls"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    for message in server.messages(4) {
        assert_eq!((&message["login"], &message["tls"]), (&USER.into(), &false.into()));
    }
}

#[test]
fn aiosmtpd_understands_what_is_declared() {
    let mut server = Aiosmtpd::start(&[]);
    let base = ["--messages", "5", "--connections", "1", "--size", "3000"];
    let own = ["--from", "ü@loadgen.example", "--to", "bücher{n}@sink.example", "--smtputf8"];
    for (options, wanted) in [
        (&[][..], &["SIZE=3000"][..]),
        (&["--no-size"], &[]),
        (&["--8bitmime"], &["SIZE=3000", "BODY=8BITMIME"]),
        (&own, &["SIZE=3000", "BODY=8BITMIME", "SMTPUTF8"]),
    ] {
        let sent = send(&server.address, &[&base[..], options].concat());
        assert_eq!(sent.code, 0, "{options:?}: {}", sent.report);
        let messages = server.messages(5);
        for message in &messages {
            assert_eq!(message["parameters"], Value::from(wanted), "{options:?}");
            assert_eq!(message["bytes"], 3_000, "{options:?}");
            // Only what was declared may have them (RFC 6152 §3).
            let is_8bit = wanted.contains(&"BODY=8BITMIME");
            assert_eq!(message["above_127"].as_u64() > Some(0), is_8bit, "{options:?}");
        }
        if options == own {
            assert_eq!(messages[0]["from"], "ü@loadgen.example");
            let recipients: BTreeSet<_> =
                messages.iter().map(|message| message["to"][0].as_str().unwrap()).collect();
            assert!(recipients.contains("bücher4@sink.example"), "{recipients:?}");
        }
    }
}

/// Takes mail on its standard input and keeps it in its queue.
const EXIM: &str = "
exim_path = PROGRAM
spool_directory = HOME/spool
log_file_path = HOME/%slog
primary_hostname = exim.test
keep_environment =
never_users =
queue_only
chunking_advertise_hosts = *
tls_advertise_hosts =
acl_smtp_rcpt = accept
acl_smtp_data = accept
begin acl
accept:
  accept
begin routers
all:
  driver = accept
  transport = keep
begin transports
keep:
  driver = appendfile
  file = HOME/mail
begin retry
";

/// Exim for each connection, as inetd starts it: its input and output are the socket.
fn exim(home: &Path) -> String {
    let program = target_path("peers/exim/usr/sbin/exim4");
    let configuration =
        EXIM.replace("PROGRAM", program.to_str().unwrap()).replace("HOME", home.to_str().unwrap());
    let file = home.join("exim.conf");
    fs::write(&file, configuration).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let input = OwnedFd::from(stream.unwrap());
            let output = input.try_clone().unwrap();
            let mut command = Command::new(&program);
            command.arg("-C").arg(&file).arg("-bs").stdin(input).stdout(output);
            let mut child = command.spawn().unwrap();
            thread::spawn(move || child.wait().unwrap());
        }
    });
    address
}

#[test]
fn exim_takes_contents_by_bdat() {
    if !rustix::process::geteuid().is_root() {
        // It trusts a configuration on the command line only of root.
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let everyone = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    fs::set_permissions(home.path(), everyone).unwrap();
    let address = exim(home.path());
    let mut wanted = 0;
    for options in [&[][..], &["--no-pipelining"], &["--bdat-chunk-bytes", "1000", "--run-ahead"]] {
        let base = ["--messages", "12", "--connections", "2", "--size", "5000", "--bdat"];
        let sent = send(&address, &[&base[..], options].concat());
        assert_eq!((sent.code, sent.acked.len()), (0, 12), "{options:?}: {}", sent.report);
        wanted += 12;
    }
    let queue = fs::read_dir(home.path().join("spool/input")).unwrap();
    let bodies = queue
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_str().unwrap().ends_with("-D"));
    let mut sizes = BTreeSet::new();
    let count = bodies.map(|path| sizes.insert(fs::metadata(path).unwrap().len())).count();
    assert_eq!((count, sizes.len()), (wanted, 1), "{sizes:?}");
    let log = fs::read_to_string(home.path().join("mainlog")).unwrap();
    assert_eq!(log.matches(" K ").count(), wanted, "K says that CHUNKING was used: {log}");
}
