//! Sending programs that other people wrote.

use std::net::SocketAddr;
use std::process::Command;

use super::aiosmtpd::python;
use super::mail::Mail;
use super::process::under;
use super::scenario::Scenario;

/// The envelope of everything they send.
pub(crate) const SENDER: &str = "sender@source.test";
/// See [`SENDER`].
pub(crate) const RECIPIENT: &str = "recipient@dest.test";

/// A program that sends a given message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sender {
    /// curl's SMTP, which sends a file as it is.
    Curl,
    /// msmtp, the usual `sendmail` of hosts without a mail server.
    Msmtp,
    /// Python's `smtplib`.
    Smtplib,
    /// Postfix's `smtp-source`.
    SmtpSource,
    /// swaks.
    Swaks,
}

impl Sender {
    /// All of them.
    pub(crate) const ALL: [Self; 5] =
        [Self::Curl, Self::Msmtp, Self::Smtplib, Self::SmtpSource, Self::Swaks];

    /// Sends one message to `server` and fails unless the program says that it was accepted.
    /// Returns what the program was bound to send, which for two of them is not
    /// exactly `mail`.
    pub(crate) fn send(self, test: &Scenario, server: SocketAddr, mail: &Mail) -> Mail {
        self.send_under(test, &[], server, mail)
    }

    /// Like [`Sender::send`], through a command that runs others.
    pub(crate) fn send_under(
        self,
        test: &Scenario,
        wrapper: &[&str],
        server: SocketAddr,
        mail: &Mail,
    ) -> Mail {
        let (command, input) = self.command(test, server, mail);
        test.run(&mut under(wrapper, command), &input).succeeded();
        let mut sent = mail.clone();
        let ends_itself = match self {
            // It ends every message from a file with an empty line.
            Self::SmtpSource => true,
            // It knows no body without a line.
            Self::Swaks => mail.content.ends_with(b"\r\n\r\n"),
            Self::Curl | Self::Msmtp | Self::Smtplib => false,
        };
        if ends_itself {
            sent.content.extend_from_slice(b"\r\n");
        }
        sent
    }

    /// The command that sends one message, and its standard input.
    fn command(self, test: &Scenario, server: SocketAddr, mail: &Mail) -> (Command, Vec<u8>) {
        let (ip, port) = (server.ip().to_string(), server.port().to_string());
        let file = test.path().join(format!("{self:?}-{}.eml", mail.name));
        let write = |content: &[u8]| std::fs::write(&file, content).expect("a file for a message");
        let mut input = Vec::new();
        let command = match self {
            Self::Curl => {
                write(&mail.content);
                let mut command = Command::new("curl");
                command.args(["--silent", "--show-error", "--mail-from", SENDER]);
                command.args(["--mail-rcpt", RECIPIENT, "--upload-file"]).arg(&file);
                command.arg(format!("smtp://{server}"));
                command
            }
            Self::Msmtp => {
                input = mail.content_lf();
                let mut command = Command::new("msmtp");
                command.args(["--file=/dev/null", "--auth=off", "--tls=off", "--port", &port]);
                command.args(["--set-from-header=off", "--set-date-header=off"]);
                command.args(["--host", &ip, "--from", SENDER, "--", RECIPIENT]);
                command
            }
            Self::Smtplib => {
                input.clone_from(&mail.content);
                let mut command = python("send_smtplib.py");
                command.args([&ip, &port, SENDER, RECIPIENT]);
                command
            }
            Self::SmtpSource => {
                write(&mail.content_lf());
                let mut command = Command::new("/usr/sbin/smtp-source");
                command.args(["-m", "1", "-f", SENDER, "-t", RECIPIENT, "-F"]).arg(&file);
                command.arg(server.to_string());
                command
            }
            Self::Swaks => {
                // It ends the content with a line end whether it has one or not.
                let mut content = mail.content_lf();
                assert_eq!(content.pop(), Some(b'\n'), "{} ends in a line end", mail.name);
                write(&content);
                let mut command = Command::new("swaks");
                command.args(["--silent", "3", "--server", &ip, "--port", &port]);
                command.args(["--from", SENDER, "--to", RECIPIENT, "--helo", "swaks.test"]);
                command.arg("--data").arg(format!("@{}", file.display()));
                command
            }
        };
        (command, input)
    }
}
