//! Exim as a next hop: it keeps what it receives in its queue and delivers into a maildir when it
//! is told to.
//!
//! Its daemon cannot deliver by itself: it gives up root, and without root Exim does not trust a
//! configuration that is named on the command line.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use super::SMTP_PORT;
use super::exim::program;
use super::process::{Process, is_root};
use super::scenario::Scenario;

/// A running Exim on an address of its own.
#[derive(Debug)]
pub(crate) struct EximServer {
    _daemon: Process,
    address: SocketAddr,
    home: PathBuf,
}

impl EximServer {
    /// Starts one that takes all mail.
    pub(crate) fn start(test: &Scenario) -> Self {
        assert!(is_root(), "Exim delivers only as root: run `tests/run` as root");
        let address = SocketAddr::from((test.address(), SMTP_PORT));
        let home = test.open_path().join(format!("exim-{}", address.ip()));
        fs::create_dir(&home).expect("a directory for Exim");
        let everyone = fs::Permissions::from_mode(0o777);
        fs::set_permissions(&home, everyone).expect("a mode for the directory");
        fs::write(home.join("exim.conf"), configuration(&home, address)).expect("a configuration");
        let mut command = Command::new(program());
        command.arg("-C").arg(home.join("exim.conf")).arg("-bdf");
        let mut daemon = Process::start(test, &mut command);
        daemon.wait_listening(test, address);
        Self { _daemon: daemon, address, home }
    }

    /// Where it takes mail.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Delivers what is in its queue, and returns all that it ever delivered, each with the fields
    /// for its envelope in front.
    pub(crate) fn deliver(&self, test: &Scenario) -> Vec<String> {
        let mut command = Command::new(program());
        command.arg("-C").arg(self.home.join("exim.conf")).arg("-qff");
        test.run(&mut command, b"").succeeded();
        let mails = fs::read_dir(self.home.join("mail/new")).into_iter().flatten();
        mails
            .map(|mail| fs::read(mail.expect("an entry of the maildir").path()).expect("a mail"))
            .map(|mail| String::from_utf8_lossy(&mail).into_owned())
            .collect()
    }
}

fn configuration(home: &std::path::Path, address: SocketAddr) -> String {
    format!(
        "exim_path = {program}\n\
         spool_directory = {home}/spool\n\
         log_file_path = {home}/%slog\n\
         pid_file_path = {home}/pid\n\
         primary_hostname = exim.test\n\
         keep_environment =\n\
         never_users =\n\
         local_interfaces = {ip}\n\
         daemon_smtp_ports = {port}\n\
         queue_only\n\
         dsn_advertise_hosts = *\n\
         chunking_advertise_hosts = *\n\
         smtputf8_advertise_hosts = *\n\
         tls_advertise_hosts =\n\
         acl_smtp_rcpt = accept\n\
         acl_smtp_data = accept\n\
         begin acl\n\
         accept:\n  accept\n\
         begin routers\n\
         all:\n  driver = accept\n  transport = keep\n\
         begin transports\n\
         keep:\n  driver = appendfile\n  directory = {home}/mail\n  maildir_format\n  \
         create_directory\n  user = nobody\n  group = nogroup\n  envelope_to_add\n  \
         return_path_add\n\
         begin retry\n",
        program = program().display(),
        home = home.display(),
        ip = address.ip(),
        port = address.port(),
    )
}
