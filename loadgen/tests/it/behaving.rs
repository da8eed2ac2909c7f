//! What the scenarios of a sink with a behaviour file share.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::harness::Sink;

/// No reply of a test takes longer.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(30);

/// A sink that behaves as `text` says, with further options.
pub(crate) fn sink(text: &str, options: &[&str]) -> Sink {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("behaviour.toml");
    fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    Sink::start(&[&["--behaviour", &path], options].concat())
}

/// A client that says one line after the other.
pub(crate) struct Client {
    pub(crate) replies: BufReader<TcpStream>,
}

impl Client {
    pub(crate) fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(SILENCE_MAX)).unwrap();
        Self { replies: BufReader::new(stream) }
    }

    /// The next reply, its lines joined; nothing if the connection is over.
    pub(crate) fn hear(&mut self) -> Option<String> {
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

    pub(crate) fn say(&mut self, line: &str) -> Option<String> {
        // A server that left says so by its silence.
        let _ = self.replies.get_ref().write_all(format!("{line}\r\n").as_bytes());
        self.hear()
    }

    #[track_caller]
    pub(crate) fn expect(&mut self, line: &str, code: &str) {
        let reply = self.say(line);
        assert!(reply.as_ref().is_some_and(|reply| reply.starts_with(code)), "{line}: {reply:?}");
    }

    /// A whole message to `recipient`; the reply to its content.
    pub(crate) fn send(&mut self, recipient: &str) -> Option<String> {
        for line in ["MAIL FROM:<a@client.example>", &format!("RCPT TO:<{recipient}>"), "DATA"] {
            let reply = self.say(line)?;
            if reply.starts_with(['4', '5']) {
                return Some(reply);
            }
        }
        self.say("Subject: x\r\n\r\nSome text.\r\n.")
    }
}

pub(crate) fn greeted(address: &str) -> Client {
    let mut client = Client::connect(address);
    assert!(client.hear().unwrap().starts_with("220"));
    client.expect("EHLO client.example", "250");
    client
}

pub(crate) fn addresses(sink: &Sink) -> Vec<String> {
    sink.address.split(' ').map(str::to_owned).collect()
}

pub(crate) fn run(command: &mut Command, input: &str) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// A message to the sink at `address` by curl, with these options besides.
pub(crate) fn curl(address: &str, options: &[&str]) -> Output {
    let mut command = Command::new("curl");
    command.args(["-sS", "--max-time", "20", "-T", "-"]).args(options);
    command.args(["--mail-from", "a@b.example", "--mail-rcpt", "me@here.example"]);
    run(command.arg(format!("smtp://{address}/client")), "Subject: x\r\n\r\ntext\r\n")
}

pub(crate) fn all_of(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

/// How often the sink refused with `code` at `stage`.
pub(crate) fn refused(totals: &Value, stage: &str, code: u16) -> u64 {
    let refusals = totals["refusals"].as_array().unwrap();
    let those = refusals.iter().filter(|it| it["stage"] == stage && it["code"] == code);
    those.map(|it| it["count"].as_u64().unwrap()).sum()
}
