//! Postfix with a configuration, queue and port of its own, tuned as its TUNING_README says for
//! bulk: no limits on clients, no input flow delay, no look-ups of names, many processes, cached
//! connections out. Its durability stays as it comes: the queue file is synced before the 250.
//!
//! To hold mail back it gets `defer_transports = smtp`: the queue manager moves each message to the
//! deferred queue and starts no delivery.
//!
//! # Failures
//! It is not installed, or we are not root, which it must be started by.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, geteuid, kill_process};

use crate::bench::server::{Duty, Protection, STOP_TIME_MAX, Server, spawn, wait_until};
use crate::net;
use crate::process::Tree;
use crate::tls::TlsMode;

#[derive(Debug)]
struct Postfix {
    program: PathBuf,
    address: SocketAddr,
    configuration: PathBuf,
    master: u32,
}

/// Starts a Postfix with its files in `directory`, and room for as many `sessions`.
///
/// # Errors
/// It cannot be started here.
pub(super) fn start(
    program: &Path,
    directory: &Path,
    sessions: u32,
    duty: Duty,
    protection: &Protection,
) -> io::Result<Box<dyn Server>> {
    if !geteuid().is_root() {
        return Err(io::Error::other("Postfix can only be started by root"));
    }
    let address = net::free_address()?;
    let configuration = directory.join("postfix");
    fs::create_dir_all(&configuration)?;
    fs::create_dir_all(directory.join("queue"))?;
    fs::write(configuration.join("main.cf"), main_cf(directory, sessions, duty, protection))?;
    fs::write(configuration.join("master.cf"), master_cf(address, protection.mode))?;
    control(program, &configuration, "start")?;
    let pid_file = directory.join("queue/pid/master.pid");
    let text = fs::read_to_string(&pid_file)?;
    let master = text.trim().parse().map_err(|error| {
        io::Error::other(format!("{} has no process id: {error}", pid_file.display()))
    })?;
    Ok(Box::new(Postfix { program: program.to_owned(), address, configuration, master }))
}

/// Runs `postfix -c DIRECTORY VERB`.
fn control(program: &Path, configuration: &Path, verb: &str) -> io::Result<()> {
    let mut command = Command::new(program);
    command.arg("-c").arg(configuration).arg(verb);
    // Its daemons would keep a pipe of ours open for as long as they run.
    let messages = configuration.join("messages");
    command.stdout(Stdio::null()).stderr(fs::File::create(&messages)?);
    let status = spawn(&mut command)?.wait()?;
    if status.success() {
        return Ok(());
    }
    let messages = fs::read_to_string(&messages).unwrap_or_default();
    Err(io::Error::other(format!("`postfix {verb}` failed: {messages}")))
}

fn main_cf(directory: &Path, sessions: u32, duty: Duty, protection: &Protection) -> String {
    let directory = directory.display();
    let next_hop = format!("[{}]:{}", duty.next_hop().ip(), duty.next_hop().port());
    let processes = sessions.max(50) + 150;
    let mut text = format!(
        "compatibility_level = 3.6
queue_directory = {directory}/queue
data_directory = {directory}/data
myhostname = bench.example
mydestination =
alias_maps =
local_recipient_maps =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtpd_recipient_restrictions = permit_mynetworks, reject
smtp_tls_security_level = none
relayhost = {next_hop}
disable_dns_lookups = yes
smtp_host_lookup = native
smtpd_peername_lookup = no
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtpd_client_message_rate_limit = 0
smtpd_client_recipient_rate_limit = 0
smtpd_timeout = 300s
in_flow_delay = 0
message_size_limit = 0
default_process_limit = {processes}
default_destination_concurrency_limit = 50
initial_destination_concurrency = 20
qmgr_message_active_limit = 100000
qmgr_message_recipient_limit = 100000
smtp_connection_cache_on_demand = yes
smtp_connection_cache_destinations = {next_hop}
"
    );
    // Writing to a String cannot fail.
    let _ = match protection.mode {
        TlsMode::None => writeln!(text, "smtpd_tls_security_level = none"),
        TlsMode::Starttls | TlsMode::Implicit => writeln!(
            text,
            "smtpd_tls_security_level = may\nsmtpd_tls_chain_files = {} {}",
            protection.files.key.display(),
            protection.files.certificate.display()
        ),
    };
    if matches!(duty, Duty::Hold { .. }) {
        let _ = writeln!(text, "defer_transports = smtp");
    }
    text
}

/// Debian's master.cf without chroot, and without what takes no part. A flush fails where there is
/// no pickup (postqueue(1)).
fn master_cf(address: SocketAddr, tls: TlsMode) -> String {
    let wrapper = if tls == TlsMode::Implicit { " -o smtpd_tls_wrappermode=yes" } else { "" };
    format!(
        "{address} inet n - n - - smtpd{wrapper}
pickup unix n - n 60 1 pickup
tlsmgr unix - - n 1000? 1 tlsmgr
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
"
    )
}

impl Server for Postfix {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn tree(&self) -> Tree {
        Tree { root: self.master }
    }

    /// Without `defer_transports` the queue manager delivers, and a flush makes it look at the
    /// deferred queue at once (postqueue(1)). One that still has the old configuration would end
    /// without having heard of the flush.
    fn release(&mut self, _next_hop: SocketAddr) -> io::Result<()> {
        let text = fs::read_to_string(self.configuration.join("main.cf"))?;
        let lines = text.lines().filter(|line| !line.starts_with("defer_transports"));
        let text: Vec<&str> = lines.collect();
        fs::write(self.configuration.join("main.cf"), text.join("\n") + "\n")?;
        let managers = self.queue_managers();
        control(&self.program, &self.configuration, "reload")?;
        let have_ended = || {
            let running = self.queue_managers();
            managers.iter().all(|manager| !running.contains(manager))
        };
        if !wait_until(STOP_TIME_MAX, have_ended) {
            return Err(io::Error::other("Postfix's queue manager does not reload"));
        }
        control(&self.program, &self.configuration, "flush")
    }

    fn version(&self) -> Option<String> {
        let mut command = Command::new(self.program.with_file_name("postconf"));
        let output = command.args(["-d", "-h", "mail_version"]).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        Some(text.trim().to_owned()).filter(|version| !version.is_empty())
    }
}

impl Postfix {
    /// Its queue managers by number: one, or none when it has just ended.
    fn queue_managers(&self) -> Vec<String> {
        let place = format!("/proc/{0}/task/{0}/children", self.master);
        let children = fs::read_to_string(place).unwrap_or_default();
        let is_manager = |child: &&str| {
            let name = fs::read_to_string(format!("/proc/{child}/comm")).unwrap_or_default();
            name.trim() == "qmgr"
        };
        children.split_ascii_whitespace().filter(is_manager).map(str::to_owned).collect()
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        let place = PathBuf::from(format!("/proc/{}", self.master));
        // Its own command waits for the daemons; a master that is gone already is no fault.
        let _ = control(&self.program, &self.configuration, "stop");
        if !wait_until(STOP_TIME_MAX, || !place.exists())
            && let Some(master) = i32::try_from(self.master).ok().and_then(Pid::from_raw)
        {
            let _ = kill_process(master, Signal::KILL);
        }
    }
}
