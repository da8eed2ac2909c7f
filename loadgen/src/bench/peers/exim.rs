//! Exim with a configuration, spool and port of its own, as its specification says for bulk: no
//! limits on connections and messages, a spool split into subdirectories, no look-ups of names. Its
//! durability stays as it comes: three syncs for a message before the 250.
//!
//! It reads its configuration from where it was built to look for it, because it gives up root
//! when it is told another place; hence the enclosure. Each message that is to be relayed is
//! delivered at once by a process of its own. To hold mail back it gets `queue_only`; it lets go by
//! queue runs, as many at once as the other peers have connections out.
//!
//! # Failures
//! It is not installed, we are not root, or there is no control group: much of its CPU time is
//! spent in processes that nobody waits for.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::DELIVERIES;
use super::enclosure::{Enclosure, Recipe};
use crate::bench::server::{Duty, Protection, Server};
use crate::net;
use crate::process::Tree;
use crate::tls::TlsMode;

/// A number for the user, unless the host has one of that name: it is outside of what Debian gives
/// to packages and people (its policy, §9.2.2).
const SCRIPT: &str = r#"
add_user Debian-exim 64990
mkdir -p "$(dirname "$CONFIGURATION")" spool logs
touch "$CONFIGURATION"
mount --bind exim.conf "$CONFIGURATION"
chown Debian-exim spool logs
if [ -e key.pem ]; then chown Debian-exim key.pem certificate.pem; fi
serve() { exec "$PROGRAM" -bdf; }
release() {
    run=0
    while [ "$run" -lt "$RUNS" ]; do
        "$PROGRAM" -qff &
        run=$((run + 1))
    done
}
"#;

#[derive(Debug)]
struct Exim {
    address: SocketAddr,
    program: PathBuf,
    enclosure: Enclosure,
}

/// Starts an Exim with its files in `directory`.
///
/// # Errors
/// It cannot be started here.
pub(super) fn start(
    program: &Path,
    directory: &Path,
    duty: Duty,
    protection: &Protection,
) -> io::Result<Box<dyn Server>> {
    let address = net::free_address()?;
    let place = configuration_place(program)?;
    let text = configuration(program, directory, address, duty, protection);
    fs::write(directory.join("exim.conf"), text)?;
    if protection.needs_certificate() {
        let [certificate, key] = ["certificate.pem", "key.pem"].map(|name| directory.join(name));
        protection.files.copy_to(&certificate, &key)?;
    }
    let runs = DELIVERIES.to_string();
    let enclosure = Enclosure::start(&Recipe {
        name: "exim",
        directory,
        places: "etc var/lib",
        script: SCRIPT,
        variables: &[
            ("PROGRAM", program.as_os_str()),
            ("CONFIGURATION", place.as_ref()),
            ("RUNS", runs.as_ref()),
        ],
        address,
        needs_group: true,
    })?;
    Ok(Box::new(Exim { address, program: program.to_owned(), enclosure }))
}

/// Where it looks for its configuration: the file that is there, or the first of those that are
/// not.
///
/// # Errors
/// It says neither.
fn configuration_place(program: &Path) -> io::Result<String> {
    let output = Command::new(program).arg("-bV").output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    let said = text.lines().chain(complaint.lines());
    match place_in(said) {
        Some(place) if place.starts_with("/etc/") || place.starts_with("/var/lib/") => Ok(place),
        place => Err(io::Error::other(format!(
            "{} wants its configuration in neither /etc nor /var/lib but in {place:?}: {complaint}",
            program.display()
        ))),
    }
}

fn place_in<'a>(said: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut places = said.filter_map(|line| {
        let missing = line.split_once("non-existent configuration file(s): ");
        let present = || line.strip_prefix("Configuration file is ");
        missing.map(|(_, places)| places).or_else(present)
    });
    places.next()?.split(':').next().map(str::to_owned)
}

fn configuration(
    program: &Path,
    directory: &Path,
    address: SocketAddr,
    duty: Duty,
    protection: &Protection,
) -> String {
    let (program, directory) = (program.display(), directory.display());
    let mut text = format!(
        "exim_path = {program}
spool_directory = {directory}/spool
log_file_path = {directory}/logs/%slog
pid_file_path = {directory}/spool/exim.pid
primary_hostname = bench.example
keep_environment =
never_users =
local_interfaces = {ip}
daemon_smtp_ports = {port}
smtp_accept_max = 0
smtp_accept_max_per_connection = 0
smtp_accept_queue_per_connection = 0
smtp_connect_backlog = 1024
split_spool_directory
message_size_limit = 0
acl_smtp_rcpt = accept
acl_smtp_data = accept
",
        ip = address.ip(),
        port = address.port(),
    );
    // Writing to a String cannot fail.
    let _ = match protection.mode {
        TlsMode::None => writeln!(text, "tls_advertise_hosts ="),
        TlsMode::Starttls | TlsMode::Implicit => writeln!(
            text,
            "tls_advertise_hosts = *\ntls_certificate = {directory}/certificate.pem\n\
             tls_privatekey = {directory}/key.pem"
        ),
    };
    if protection.mode == TlsMode::Implicit {
        let _ = writeln!(text, "tls_on_connect_ports = {}", address.port());
    }
    if matches!(duty, Duty::Hold { .. }) {
        text.push_str("queue_only\n");
    }
    let next_hop = duty.next_hop();
    let _ = write!(
        text,
        "begin acl
accept:
  accept
begin routers
all:
  driver = manualroute
  route_list = * {ip}
  transport = out
  self = send
begin transports
out:
  driver = smtp
  port = {port}
  allow_localhost
  hosts_avoid_tls = *
  connection_max_messages = 0
begin retry
* * F,1h,1m
",
        ip = next_hop.ip(),
        port = next_hop.port(),
    );
    text
}

impl Server for Exim {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn tree(&self) -> Tree {
        self.enclosure.tree()
    }

    fn release(&mut self, _next_hop: SocketAddr) -> io::Result<()> {
        self.enclosure.release()
    }

    fn version(&self) -> Option<String> {
        let output = Command::new(&self.program).args(["-C", "/dev/null", "-bV"]).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        // `Exim version 4.96 #2 built 27-May-2026 16:52:26`
        let rest = text.lines().find_map(|line| line.strip_prefix("Exim version "))?;
        rest.split(' ').next().map(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_the_configuration_is_read() {
        let there = ["Size of off_t: 8", "Configuration file is /var/lib/exim4/config"];
        assert_eq!(place_in(there.into_iter()).as_deref(), Some("/var/lib/exim4/config"));
        let missing = "2026-11-24 12:32:24 non-existent configuration file(s): /etc/a:/var/lib/b";
        assert_eq!(place_in([missing].into_iter()).as_deref(), Some("/etc/a"));
        assert_eq!(place_in(["Exim version 4.96"].into_iter()), None);
    }
}
