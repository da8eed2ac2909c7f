//! Sending programs that other people wrote, with TLS and authentication.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::aiosmtpd::python;
use super::exim::Exim;
use super::mail::Mail;
use super::postfix_client::PostfixClient;
use super::scenario::Scenario;
use super::senders::{RECIPIENT, SENDER};

/// The name of the user that the tests log in as.
pub(crate) const USER: &str = "app1";
/// That user's password.
pub(crate) const PASSWORD: &str = "correct horse, battery";

/// How a client protects its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tls {
    /// Not at all.
    None,
    /// After STARTTLS, and not without.
    Starttls,
    /// From the first byte on.
    Implicit,
}

impl Tls {
    fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Starttls => "starttls",
            Self::Implicit => "implicit",
        }
    }
}

/// What a client does before it sends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Approach<'a> {
    /// Where to.
    pub(crate) server: SocketAddr,
    /// How it is protected.
    pub(crate) tls: Tls,
    /// The certificate that the client trusts.
    pub(crate) authority: &'a Path,
    /// The SASL mechanism; empty for no authentication.
    pub(crate) mechanism: &'a str,
    /// See [`PASSWORD`].
    pub(crate) password: &'a str,
}

/// A program that sends a given message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SecureSender {
    /// Python's aiosmtplib.
    Aiosmtplib,
    /// curl.
    Curl,
    /// Exim, which sends in chunks where it can.
    Exim,
    /// msmtp, with GNU SASL.
    Msmtp,
    /// nodemailer.
    Nodemailer,
    /// Postfix, with Cyrus SASL.
    Postfix,
    /// Python's smtplib, with scramp for SCRAM.
    Smtplib,
    /// swaks.
    Swaks,
}

impl SecureSender {
    /// Sends `mail` and fails unless the program says that it was accepted.
    pub(crate) fn send(self, test: &Scenario, approach: &Approach<'_>, mail: &Mail) {
        let sent = self.try_send(test, approach, mail);
        sent.unwrap_or_else(|text| panic!("{self:?} with {approach:?}: {text}"));
    }

    /// Sends `mail`; the error is what the program says.
    pub(crate) fn try_send(
        self,
        test: &Scenario,
        approach: &Approach<'_>,
        mail: &Mail,
    ) -> Result<(), String> {
        let file = test.path().join(format!("{self:?}-{}.eml", mail.name));
        let (mut command, input) = match self {
            Self::Aiosmtplib => (script("aiosmtplib", approach), mail.content.clone()),
            Self::Smtplib => (script("smtplib", approach), mail.content.clone()),
            Self::Curl => {
                fs::write(&file, &mail.content).expect("a file for a message");
                (curl(approach, &file), Vec::new())
            }
            Self::Msmtp => (msmtp(test, approach), mail.content_lf()),
            Self::Nodemailer => (nodemailer(approach), mail.content.clone()),
            Self::Swaks => {
                // It ends the content with a line end whether it has one or not.
                let mut content = mail.content_lf();
                assert_eq!(content.pop(), Some(b'\n'), "{} ends in a line end", mail.name);
                fs::write(&file, &content).expect("a file for a message");
                (swaks(approach, &file), Vec::new())
            }
            Self::Exim => return Exim::send(test, approach, mail).map(drop),
            Self::Postfix => return PostfixClient::send(test, approach, mail),
        };
        let finished = test.run(&mut command, &input);
        if finished.status.success() {
            return Ok(());
        }
        Err(format!("{}\n{}\n{}", finished.status, finished.output, finished.errors))
    }
}

fn script(client: &str, approach: &Approach<'_>) -> Command {
    let mut command = python("send_secure.py");
    command.args([client, &approach.server.ip().to_string(), &approach.server.port().to_string()]);
    command.args([SENDER, RECIPIENT, approach.tls.word()]).arg(approach.authority);
    command.args([approach.mechanism, USER, approach.password]);
    command
}

fn curl(approach: &Approach<'_>, file: &Path) -> Command {
    let scheme = if approach.tls == Tls::Implicit { "smtps" } else { "smtp" };
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--verbose", "--mail-from", SENDER]);
    command.args(["--mail-rcpt", RECIPIENT, "--upload-file"]).arg(file);
    if approach.tls != Tls::None {
        command.arg("--ssl-reqd").arg("--cacert").arg(approach.authority);
    }
    if !approach.mechanism.is_empty() {
        command.args(["--user", &format!("{USER}:{}", approach.password)]);
        command.args(["--login-options", &format!("AUTH={}", approach.mechanism)]);
    }
    command.arg(format!("{scheme}://{}", approach.server));
    command
}

fn msmtp(test: &Scenario, approach: &Approach<'_>) -> Command {
    let mut command = Command::new("msmtp");
    command.args(["--file=/dev/null", "--port", &approach.server.port().to_string()]);
    command.args(["--set-from-header=off", "--set-date-header=off"]);
    match approach.tls {
        Tls::None => command.arg("--tls=off"),
        Tls::Starttls => command.args(["--tls=on", "--tls-starttls=on"]),
        Tls::Implicit => command.args(["--tls=on", "--tls-starttls=off"]),
    };
    if approach.tls != Tls::None {
        command.arg(format!("--tls-trust-file={}", approach.authority.display()));
    }
    if approach.mechanism.is_empty() {
        command.arg("--auth=off");
    } else {
        let password = test.path().join("msmtp-password");
        fs::write(&password, approach.password).expect("a file for the password");
        command.arg(format!("--auth={}", approach.mechanism.to_lowercase()));
        command.arg(format!("--user={USER}"));
        command.arg(format!("--passwordeval=cat {}", password.display()));
    }
    command.args(["--host", &approach.server.ip().to_string()]);
    command.args(["--from", SENDER, "--", RECIPIENT]);
    command
}

fn swaks(approach: &Approach<'_>, file: &Path) -> Command {
    let mut command = Command::new("swaks");
    command.args(["--server", &approach.server.ip().to_string()]);
    command.args(["--port", &approach.server.port().to_string()]);
    command.args(["--from", SENDER, "--to", RECIPIENT, "--helo", "swaks.test"]);
    match approach.tls {
        Tls::None => {}
        Tls::Starttls => drop(command.arg("--tls")),
        Tls::Implicit => drop(command.arg("--tls-on-connect")),
    }
    if approach.tls != Tls::None {
        command.arg("--tls-verify").arg("--tls-ca-path").arg(approach.authority);
    }
    if !approach.mechanism.is_empty() {
        command.args(["--auth", approach.mechanism, "--auth-user", USER]);
        command.args(["--auth-password", approach.password]);
    }
    command.arg("--data").arg(format!("@{}", file.display()));
    command
}

fn nodemailer(approach: &Approach<'_>) -> Command {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("target/tmp is in target");
    let modules = target.join("peers/node/node_modules");
    assert!(modules.exists(), "no {}; `tests/run install` sets it up", modules.display());
    let settings = json_object(&[
        ("address", quoted(&approach.server.ip().to_string())),
        ("port", approach.server.port().to_string()),
        ("sender", quoted(SENDER)),
        ("recipient", quoted(RECIPIENT)),
        ("tls", quoted(approach.tls.word())),
        ("authority", quoted(&approach.authority.display().to_string())),
        ("mechanism", quoted(approach.mechanism)),
        ("user", quoted(USER)),
        ("password", quoted(approach.password)),
        ("modules", quoted(&modules.display().to_string())),
    ]);
    let script: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/node/send.js");
    let mut command = Command::new("node");
    command.arg(script).arg(settings);
    command
}

fn json_object(members: &[(&str, String)]) -> String {
    let members: Vec<String> =
        members.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
    format!("{{{}}}", members.join(","))
}

/// `text` as a JSON string; none here holds a control character.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
