//! A sink that misbehaves, met by clients of others that mind: curl, openssl and Python's smtplib.

use std::fs;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::harness::{Sink, send, set};

/// Behind the plain address, one for each kind of TLS.
const TLS: &str = "
    [default]
    name = 'mx.example'
    [[listen]]
    address = '127.0.0.1:0'
    tls = 'implicit'
    certificate = 'sound'
    [[listen]]
    address = '127.0.0.1:0'
    tls = 'implicit'
    certificate = 'expired'
    [[listen]]
    address = '127.0.0.1:0'
    tls = 'implicit'
    certificate = 'wrong-name'
    [[listen]]
    address = '127.0.0.1:0'
    tls = 'implicit'
    certificate = 'self-signed'
    [[listen]]
    address = '127.0.0.1:0'
    tls = 'starttls'
    certificate = 'sound'
    [[listen]]
    address = '127.0.0.1:0'
    tls = 'starttls'
    handshake = 'close'
";

/// A sink that behaves as `text` says, with a plain address before those of the text. The
/// certificate of its authority is in its directory.
fn behaving(text: &str) -> Sink {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("behaviour.toml");
    fs::write(&path, text).unwrap();
    // It is read before the sink says that it is ready.
    Sink::start(&["--behaviour", path.to_str().unwrap(), "--authority", "authority.pem"])
}

fn addresses(sink: &Sink) -> Vec<&str> {
    sink.address.split(' ').collect()
}

/// How often the sink refused with `code` at `stage`.
fn refused(totals: &Value, stage: &str, code: u16) -> u64 {
    let refusals = totals["refusals"].as_array().unwrap();
    let those = refusals.iter().filter(|it| it["stage"] == stage && it["code"] == code);
    those.map(|it| it["count"].as_u64().unwrap()).sum()
}

fn run(command: &mut Command) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", command.get_program().display()));
    let text = [stdout, stderr].concat();
    (status.code(), String::from_utf8_lossy(&text).into_owned())
}

/// One message by curl, which trusts the sink's authority alone and knows it as mx.example.
fn curl(sink: &Sink, scheme: &str, index: usize) -> (Option<i32>, String) {
    let (_, port) = addresses(sink)[index].rsplit_once(':').unwrap();
    fs::write(sink.path("mail.eml"), "Subject: x\r\n\r\nHello\r\n").unwrap();
    run(Command::new("curl")
        .arg(format!("{scheme}://mx.example:{port}/client.example"))
        .args(["--connect-to", &format!("mx.example:{port}:127.0.0.1:{port}"), "--max-time", "60"])
        .arg("--cacert")
        .arg(sink.path("authority.pem"))
        .args(["--ssl-reqd", "--mail-from", "a@x.example", "--mail-rcpt", "b@y.example", "-sS"])
        .arg("--upload-file")
        .arg(sink.path("mail.eml")))
}

#[test]
fn curl_takes_good_tls_and_no_other() {
    let mut sink = behaving(TLS);
    for (scheme, index) in [("smtps", 1), ("smtp", 5)] {
        let (code, text) = curl(&sink, scheme, index);
        assert_eq!(code, Some(0), "{scheme}: {text}");
    }
    // 60: the certificate is not trusted; 35 and 56: the handshake fails; 64: there is no STARTTLS.
    for (scheme, index, codes, word) in [
        ("smtps", 2, &[60][..], "expired"),
        ("smtps", 3, &[60], "mx.example"),
        ("smtps", 4, &[60], "self"),
        ("smtp", 6, &[35, 56], ""),
        ("smtp", 0, &[64], ""),
    ] {
        let (code, text) = curl(&sink, scheme, index);
        assert!(codes.contains(&code.unwrap()), "{index}: {code:?} {text}");
        assert!(text.contains(word), "{index}: {text}");
    }
    assert_eq!(sink.stop()["messages"], 2);
}

#[test]
fn a_certificate_has_one_fault_and_no_other() {
    let mut sink = behaving(TLS);
    for (index, wanted) in [
        (1, "Verify return code: 0 (ok)"),
        (2, "Verify return code: 10 (certificate has expired)"),
        (3, "Verify return code: 62 ("),
        (4, "Verify return code: 18 (self"),
        (5, "Verify return code: 0 (ok)"),
    ] {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-connect", addresses(&sink)[index], "-CAfile"]);
        command.arg(sink.path("authority.pem")).args(["-verify_hostname", "mx.example"]);
        if index == 5 {
            command.args(["-starttls", "smtp"]);
        }
        let (_, text) = run(&mut command);
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    sink.stop();
}

#[test]
fn who_is_turned_away_hears_why() {
    let mut sink = behaving(
        "[[listen]]\naddress = '127.0.0.1:0'\nconnections_max = 0\n\
         [[listen]]\naddress = '127.0.0.1:0'\nconnections_max = 0\ntls = 'implicit'\n\
         [[listen]]\naddress = '127.0.0.1:0'\n[[listen.reply]]\nat = 'greeting'\n\
         text = '554 5.3.2 Not today'\n",
    );
    let script = "
import smtplib, socket, ssl, sys
_, full, full_tls, closed = [int(address.rsplit(':')[-1]) for address in sys.argv[1:]]
context = ssl._create_unverified_context()
for code, connect in [
    (421, lambda: smtplib.SMTP('127.0.0.1', full, timeout=60)),
    (421, lambda: smtplib.SMTP_SSL('127.0.0.1', full_tls, timeout=60, context=context)),
    (554, lambda: smtplib.SMTP('127.0.0.1', closed, timeout=60)),
]:
    try:
        connect()
    except smtplib.SMTPConnectError as error:
        assert error.smtp_code == code, error
    else:
        raise SystemExit(f'no {code}')
stubborn = socket.create_connection(('127.0.0.1', closed), timeout=60)
stubborn.sendall(b'EHLO me\\r\\nMAIL FROM:<a@x>\\r\\nQUIT\\r\\n')
replies = b''.join(iter(lambda: stubborn.recv(4096), b'')).decode().splitlines()
assert [reply[:3] for reply in replies] == ['554', '503', '503', '221'], replies
";
    let (code, text) = run(Command::new("python3").args(["-c", script]).args(addresses(&sink)));
    assert_eq!(code, Some(0), "{text}");
    let totals = sink.stop();
    assert_eq!((&totals["connections"], &totals["connections_refused"]), (&0.into(), &4.into()));
    assert_eq!(refused(&totals, "greeting", 554), 2, "{totals}");
}

#[test]
fn by_bdat_refused_recipients_leave_the_connection_sound() {
    let mut sink = behaving(
        "[[domain]]\nmatch = ['gone.example']\n[[domain.reply]]\nat = 'rcpt'\n\
         text = '550 5.1.2 Gone'\n",
    );
    for options in [&[][..], &["--no-pipelining"], &["--bdat-chunk-bytes", "500"], &["--run-ahead"]]
    {
        let base =
            ["--messages", "40", "--connections", "1", "--domains", "x.example,gone.example"];
        let sent = send(&sink.address, &[&base[..], &["--bdat"], options].concat());
        assert_eq!((sent.count("accepted"), sent.count("refused")), (20, 20), "{}", sent.report);
        assert_eq!((sent.count("connections"), sent.count("lost")), (1, 0), "{}", sent.report);
    }
    let totals = sink.stop();
    assert_eq!((&totals["messages"], refused(&totals, "RCPT", 550)), (&80.into(), 80));
}

#[test]
fn the_same_seed_meets_the_same_luck() {
    let ids = |seed: &str| {
        let mut sink = Sink::start(&["--reject-rate", "0.3", "--seed", seed]);
        let options = ["--messages", "100", "--connections", "1", "--run", "feed"];
        send(&sink.address, &options);
        sink.stop();
        sink.ids()
    };
    let first = ids("7");
    assert!(first.len() < 100);
    assert_eq!(first, ids("7"));
    assert_ne!(first, ids("8"));
}

#[test]
fn each_way_to_break_off_leaves_its_trace_in_the_accounts() {
    for (cut, is_doubled) in [
        ("at = 'before-data'", false),
        ("at = 'in-data'\nafter_bytes = 700", false),
        ("at = 'after-data'", false),
        ("at = 'after-data'\ntaken = true", true),
    ] {
        for by in [&[][..], &["--bdat"]] {
            let mut sink = behaving(&format!("[[default.drop]]\nshare = 0.2\n{cut}"));
            let options =
                [&["--messages", "100", "--connections", "4", "--reconnect"], by].concat();
            let sent = send(&sink.address, &options);
            let totals = sink.stop();
            assert_eq!((sent.code, sent.count("accepted")), (0, 100), "{cut}: {}", sent.report);
            assert_eq!(totals["distinct"], 100, "{cut}: {totals}");
            let dropped = totals["connections_dropped"].as_u64().unwrap();
            assert!(dropped > 5, "{cut}: {totals}");
            let duplicates = totals["duplicates"].as_u64().unwrap();
            assert_eq!(duplicates, if is_doubled { dropped } else { 0 }, "{cut}: {totals}");
            assert_eq!(set(&sink.ids()), set(&sent.acked), "{cut}");
        }
    }
}
