//! A Postfix of the scenario's own, as a next hop or as a client.
//!
//! It has its own configuration, queue and port, so it neither needs nor touches an installed
//! mail system. Its daemons give up root, hence the directory that every user can enter.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::SMTP_PORT;
use super::mail::split_trace;
use super::process::{Process, is_root};
use super::scenario::Scenario;
use super::sink::{Received, Sink, with_crlf};

/// Where Debian puts Postfix's daemons.
const MASTER: &str = "/usr/lib/postfix/sbin/master";

/// The user `nobody`, who owns the delivered mail.
const NOBODY_ID: u32 = 65_534;

/// The services that reception and delivery to a maildir need, none of them in a chroot.
const SERVICES: &str = "\
tlsmgr     unix       - - n 1000? 1 tlsmgr
cleanup    unix       n - n - 0 cleanup
qmgr       unix       n - n 300 1 qmgr
rewrite    unix       - - n - - trivial-rewrite
bounce     unix       - - n - 0 bounce
defer      unix       - - n - 0 bounce
trace      unix       - - n - 0 bounce
proxymap   unix       - - n - - proxymap
smtp       unix       - - n - - smtp
error      unix       - - n - - error
retry      unix       - - n - - error
virtual    unix       - n n - - virtual
anvil      unix       - - n - 1 anvil
postlog    unix-dgram n - n - 1 postlogd
";

/// What makes it deliver all mail into one maildir.
const INTO_MAILDIR: &str = "\
smtpd_recipient_restrictions = reject_unauth_destination
virtual_mailbox_limit = 0
virtual_mailbox_domains = static:all
virtual_mailbox_maps = static:inbox/
";

/// A running Postfix on an address of its own.
#[derive(Debug)]
pub(crate) struct PostfixInstance {
    _master: Process,
    address: SocketAddr,
    home: PathBuf,
}

impl PostfixInstance {
    /// Starts one with `settings` in addition to those that every instance here has.
    pub(crate) fn start(test: &Scenario, settings: &str) -> Self {
        assert!(is_root(), "Postfix's master runs only as root: run `tests/run` as root");
        let address = SocketAddr::from((test.address(), SMTP_PORT));
        let home = test.open_path().join(format!("postfix-{}", address.ip()));
        let config = home.join("etc");
        write_configuration(&home, address, settings);
        // Makes the queue's directories with their owners.
        let check = &mut Command::new("/usr/sbin/postfix");
        test.run(check.arg("-c").arg(&config).arg("check"), b"").succeeded();
        // `-d` keeps the master a child of ours; its daemons end when it is gone.
        let mut command = Command::new(MASTER);
        command.arg("-c").arg(&config).arg("-d").env("MAIL_CONFIG", &config);
        let mut master = Process::start(test, &mut command);
        master.wait_listening(test, address);
        Self { _master: master, address, home }
    }

    /// Where it takes mail.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.home.join("maillog")).unwrap_or_default()
    }
}

/// A running Postfix that delivers all mail into one maildir.
#[derive(Debug)]
pub(crate) struct Postfix {
    instance: PostfixInstance,
    maildir: PathBuf,
}

impl Postfix {
    /// Starts one on an address of its own.
    pub(crate) fn start(test: &Scenario) -> Self {
        let instance = PostfixInstance::start(test, INTO_MAILDIR);
        let maildir = instance.home.join("mail/inbox");
        Self { instance, maildir }
    }
}

fn write_configuration(home: &Path, address: SocketAddr, settings: &str) {
    for name in ["", "etc", "queue", "data", "mail"] {
        fs::create_dir(home.join(name)).expect("a directory for Postfix");
    }
    let own = |name: &str, owner: u32| {
        std::os::unix::fs::chown(home.join(name), Some(owner), None).expect("an owner");
    };
    own("mail", NOBODY_ID);
    own("data", user_id("postfix"));
    let home = home.display();
    let main = format!(
        "compatibility_level = 3.6\n\
         queue_directory = {home}/queue\n\
         data_directory = {home}/data\n\
         maillog_file = {home}/maillog\n\
         maillog_file_prefixes = {home}\n\
         myhostname = postfix.test\n\
         mydestination =\n\
         inet_protocols = ipv4\n\
         smtputf8_enable = no\n\
         alias_maps =\n\
         alias_database =\n\
         biff = no\n\
         local_header_rewrite_clients =\n\
         smtpd_client_connection_count_limit = 0\n\
         message_size_limit = 104857600\n\
         virtual_mailbox_base = {home}/mail\n\
         virtual_minimum_uid = 100\n\
         virtual_uid_maps = static:{NOBODY_ID}\n\
         virtual_gid_maps = static:{NOBODY_ID}\n\
         {settings}"
    );
    let master = format!("{address} inet n - n - - smtpd\n{SERVICES}");
    fs::write(format!("{home}/etc/main.cf"), main).expect("main.cf");
    fs::write(format!("{home}/etc/master.cf"), master).expect("master.cf");
}

/// The number of a local user.
fn user_id(name: &str) -> u32 {
    let users = fs::read_to_string("/etc/passwd").expect("the users of this host");
    let line = users.lines().find(|line| line.split(':').next() == Some(name));
    let line = line.unwrap_or_else(|| panic!("no user {name}; `tests/run` installs Postfix"));
    line.split(':').nth(2).and_then(|id| id.parse().ok()).expect("a user has a number")
}

impl Postfix {
    /// The delivered mails. The directory appears with the first, and each of them by a rename.
    fn mails(&self) -> impl Iterator<Item = PathBuf> {
        let entries = fs::read_dir(self.maildir.join("new")).into_iter().flatten();
        entries.map(|entry| entry.expect("an entry of the maildir").path())
    }
}

impl Sink for Postfix {
    fn address(&self) -> SocketAddr {
        self.instance.address
    }

    fn count(&self) -> usize {
        self.mails().count()
    }

    fn received(&self) -> Vec<Received> {
        self.mails().map(|mail| read_delivered(&fs::read(mail).expect("a mail"))).collect()
    }
}

/// Takes off what Postfix puts on top: the envelope's fields, then its own trace field.
fn read_delivered(mail: &[u8]) -> Received {
    let (envelope, rest) = split_trace(mail, &["Return-Path", "X-Original-To", "Delivered-To"]);
    let (trace, _) = split_trace(rest, &["Received"]);
    let own = trace.first().expect("Postfix writes a trace field");
    let value = |name: &str| {
        let mut values =
            envelope.iter().filter_map(|field| std::str::from_utf8(field).ok()?.strip_prefix(name));
        values.next().map(|value| value.trim().trim_matches(['<', '>']).to_owned())
    };
    Received {
        sender: value("Return-Path:").unwrap_or_default(),
        recipients: value("X-Original-To:").into_iter().collect(),
        content: with_crlf(&rest[own.len()..]),
    }
}
