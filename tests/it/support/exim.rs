//! Exim as a client: it is given one message and delivers it at once.
//!
//! It runs from where `tests/run` unpacked it, with a configuration and a spool of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::mail::Mail;
use super::process::is_root;
use super::scenario::Scenario;
use super::secure_senders::{Approach, Tls, USER};
use super::senders::{RECIPIENT, SENDER};

/// A run of Exim.
#[derive(Debug)]
pub(crate) struct Exim {
    home: PathBuf,
}

impl Exim {
    /// Sends `mail` and returns what Exim logged, which is the error if it was not delivered.
    pub(crate) fn send(
        test: &Scenario,
        approach: &Approach<'_>,
        mail: &Mail,
    ) -> Result<String, String> {
        assert!(is_root(), "Exim delivers only as root: run `tests/run` as root");
        let exim = Self { home: test.open_path().join(format!("exim-{}", mail.name)) };
        fs::create_dir(&exim.home).expect("a directory for Exim");
        let everyone = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        fs::set_permissions(&exim.home, everyone).expect("a mode for the directory");
        let configuration = exim.home.join("exim.conf");
        fs::write(&configuration, exim.configuration(approach)).expect("a configuration");
        let mut command = Command::new(program());
        command.arg("-C").arg(&configuration).args(["-odf", "-oi", "-f", SENDER]);
        command.args(["--", RECIPIENT]);
        test.run(&mut command, &mail.content_lf()).succeeded();
        let log = fs::read_to_string(exim.home.join("mainlog")).unwrap_or_default();
        // `=>` stands for a delivery (Exim's specification, chapter 52).
        if log.contains("=> ") && log.contains("Completed") { Ok(log) } else { Err(log) }
    }

    fn configuration(&self, approach: &Approach<'_>) -> String {
        let Approach { server, tls, authority, mechanism, password } = approach;
        let home = self.home.display();
        let encrypted = match tls {
            Tls::None => "hosts_avoid_tls = *".to_owned(),
            Tls::Starttls | Tls::Implicit => format!(
                "hosts_require_tls = *\n  tls_verify_certificates = {}\n  tls_verify_hosts = *\n  \
                 tls_verify_cert_hostnames =\n  protocol = {}",
                authority.display(),
                if *tls == Tls::Implicit { "smtps" } else { "smtp" }
            ),
        };
        let (required, authenticator) = match *mechanism {
            "" => ("", String::new()),
            "PLAIN" => (
                "hosts_require_auth = *",
                format!("client_send = ^{USER}^{}", password.replace('^', "^^")),
            ),
            "LOGIN" => ("hosts_require_auth = *", format!("client_send = : {USER} : {password}")),
            other => panic!("Exim is not built with {other}"),
        };
        let authenticator = if authenticator.is_empty() {
            authenticator
        } else {
            format!(
                "begin authenticators\n\
                 own:\n  driver = plaintext\n  public_name = {mechanism}\n  {authenticator}\n"
            )
        };
        format!(
            "exim_path = {program}\n\
             spool_directory = {home}/spool\n\
             log_file_path = {home}/%slog\n\
             primary_hostname = exim.test\n\
             keep_environment =\n\
             qualify_domain = source.test\n\
             smtputf8_advertise_hosts =\n\
             never_users =\n\
             trusted_users = root\n\
             no_local_from_check\n\
             untrusted_set_sender = *\n\
             begin routers\n\
             all:\n  driver = manualroute\n  route_list = * {ip}\n  transport = out\n  \
             self = send\n\
             begin transports\n\
             out:\n  driver = smtp\n  port = {port}\n  allow_localhost\n  \
             hosts_try_chunking = *\n  {required}\n  {encrypted}\n\
             begin retry\n\
             {authenticator}",
            program = program().display(),
            ip = server.ip(),
            port = server.port(),
        )
    }
}

/// Where `tests/run` unpacked it.
pub(super) fn program() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("target/tmp is in target");
    let program = target.join("peers/exim/usr/sbin/exim4");
    assert!(program.exists(), "no {}; `tests/run install` unpacks it", program.display());
    program
}
