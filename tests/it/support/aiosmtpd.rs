//! aiosmtpd as a next hop, and the Python that runs it.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::SMTP_PORT;
use super::process::{Process, under};
use super::scenario::Scenario;
use super::sink::{Received, Sink, files_in};

/// One script of `tests/it/python`, run by the interpreter that `tests/run` set up.
pub(crate) fn python(script: &str) -> Command {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("target/tmp is in target");
    let interpreter = target.join("peers/venv/bin/python3");
    assert!(interpreter.exists(), "no {}; `tests/run install` sets it up", interpreter.display());
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/python");
    let mut command = Command::new(interpreter);
    command.arg(scripts.join(script)).env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// A reply that the sink gives instead of accepting.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer {
    /// `rcpt` or `data`.
    pub(crate) stage: &'static str,
    /// The envelope recipient it is for.
    pub(crate) recipient: &'static str,
    /// How many times it is given; 0 is always.
    pub(crate) times: u32,
    /// Code and text.
    pub(crate) reply: &'static str,
}

/// A running aiosmtpd that keeps every message.
#[derive(Debug)]
pub(crate) struct Aiosmtpd {
    _process: Process,
    address: SocketAddr,
    directory: PathBuf,
}

impl Aiosmtpd {
    /// Starts one that accepts everything, on an address of its own.
    pub(crate) fn start(test: &Scenario) -> Self {
        Self::start_with(test, test.address(), &[])
    }

    /// Starts one on `ip` that gives the `answers`.
    pub(crate) fn start_with(test: &Scenario, ip: Ipv4Addr, answers: &[Answer]) -> Self {
        Self::start_under(test, &[], ip, answers)
    }

    /// Like [`Aiosmtpd::start_with`], through a command that runs others.
    pub(crate) fn start_under(
        test: &Scenario,
        wrapper: &[&str],
        ip: Ipv4Addr,
        answers: &[Answer],
    ) -> Self {
        let directory = test.path().join(format!("aiosmtpd-{ip}"));
        // It may be there from an earlier instance on the same address, whose messages it keeps.
        fs::create_dir_all(&directory).expect("a directory for the messages");
        let address = SocketAddr::from((ip, SMTP_PORT));
        let mut command = python("aiosmtpd_sink.py");
        command.arg(ip.to_string()).arg(SMTP_PORT.to_string()).arg(&directory);
        for answer in answers {
            let times = answer.times.to_string();
            command.args(["--answer", answer.stage, answer.recipient, &times, answer.reply]);
        }
        let mut process = Process::start(test, &mut under(wrapper, command));
        test.wait_until("aiosmtpd to listen", || {
            process.assert_running();
            !process.output().is_empty()
        });
        Self { _process: process, address, directory }
    }
}

impl Aiosmtpd {
    fn envelopes(&self) -> Vec<PathBuf> {
        files_in(&self.directory, "envelope")
    }
}

impl Sink for Aiosmtpd {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn count(&self) -> usize {
        self.envelopes().len()
    }

    fn received(&self) -> Vec<Received> {
        self.envelopes().iter().map(|path| read_message(path)).collect()
    }
}

fn read_message(envelope: &Path) -> Received {
    let text = fs::read_to_string(envelope).expect("an envelope");
    let mut lines = text.split('\n').map(str::to_owned);
    Received {
        sender: lines.next().unwrap_or_default(),
        recipients: lines.collect(),
        content: fs::read(envelope.with_extension("eml")).expect("the content of an envelope"),
    }
}
