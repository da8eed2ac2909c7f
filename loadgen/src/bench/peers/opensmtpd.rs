//! OpenSMTPD with a configuration, queue and port of its own, with the limits of a session and of
//! connections to one host raised, since all mail has one next hop here.
//!
//! It syncs nothing: a message that it acknowledged is lost if the host loses power in the seconds
//! until the kernel writes it. There is no setting for it, so its rates stand beside those of
//! servers that do more.
//!
//! Its queue, socket and users are built in; hence the enclosure. To hold mail back it starts with
//! its deliveries paused (smtpd(8), `-P mta`), and lets go by `smtpctl resume mta`.
//!
//! # Failures
//! It is not installed, we are not root, or it is to speak TLS and is older than 7.

use std::ffi::OsString;
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

/// smtpctl wants to be of its group, as it is where it is installed. Names are looked up in the
/// hosts file alone, as if there were no name server: OpenSMTPD wants the name of each client, and
/// has no setting against it.
const SCRIPT: &str = r#"
add_user opensmtpd 64990
add_user opensmtpq 64991
rm -f /etc/resolv.conf
echo 'lookup file' >/etc/resolv.conf
mkdir -p /var/lib/opensmtpd/empty /var/spool/smtpd spool
chmod 711 spool
mount --bind spool /var/spool/smtpd
if [ -e key.pem ]; then chmod 600 key.pem; fi
serve() { exec "$PROGRAM" -d $PAUSED -f ./smtpd.conf; }
release() {
    setpriv --regid opensmtpq --clear-groups "$(dirname "$PROGRAM")/smtpctl" resume mta
}
"#;

#[derive(Debug)]
struct Opensmtpd {
    address: SocketAddr,
    program: PathBuf,
    enclosure: Enclosure,
}

/// Starts an OpenSMTPD with its files in `directory`.
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
    fs::write(directory.join("smtpd.conf"), configuration(address, duty, protection))?;
    if protection.needs_certificate() {
        if version(program).is_some_and(|version| version.starts_with("6.")) {
            return Err(io::Error::other(
                "OpenSMTPD 6 ends each TLS handshake with an internal error where it is built with \
                 OpenSSL 3, as in Debian 12; leave out --tls, or install OpenSMTPD 7",
            ));
        }
        let [certificate, key] = ["certificate.pem", "key.pem"].map(|name| directory.join(name));
        protection.files.copy_to(&certificate, &key)?;
    }
    let paused = if matches!(duty, Duty::Hold { .. }) { "-P mta" } else { "" };
    let enclosure = Enclosure::start(&Recipe {
        name: "opensmtpd",
        directory,
        places: "etc var/lib var/spool run",
        script: SCRIPT,
        variables: &[
            ("PROGRAM", program.as_os_str()),
            ("PAUSED", paused.as_ref()),
            ("LD_LIBRARY_PATH", &libraries(program)),
        ],
        address,
        needs_group: false,
    })?;
    Ok(Box::new(Opensmtpd { address, program: program.to_owned(), enclosure }))
}

/// The libraries that were unpacked beside a program that was not installed.
fn libraries(program: &Path) -> OsString {
    let root = program.ancestors().nth(2).filter(|root| *root != Path::new("/usr"));
    let entries = root.and_then(|root| fs::read_dir(root.join("lib")).ok()).into_iter().flatten();
    let places: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    // A path with a colon cannot be named in it; then the program complains in its log.
    std::env::join_paths(places).unwrap_or_default()
}

fn configuration(address: SocketAddr, duty: Duty, protection: &Protection) -> String {
    let mut text = format!(
        "smtp limit max-mails 1000000000
smtp max-message-size 1G
mta limit max-conn-per-host {DELIVERIES} max-conn-per-route {DELIVERIES} \
         max-conn-per-connector {DELIVERIES} conn-delay-route 0 conn-delay-relay 0 \
         session-keepalive 0 session-mail-max 1000000000
"
    );
    let tls = match protection.mode {
        TlsMode::None => "",
        TlsMode::Starttls => " tls pki bench.example",
        TlsMode::Implicit => " smtps pki bench.example",
    };
    if protection.needs_certificate() {
        text.push_str(
            "pki bench.example cert \"certificate.pem\"\npki bench.example key \"key.pem\"\n",
        );
    }
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "listen on {} port {}{tls} hostname bench.example
action \"out\" relay host smtp+notls://{}
match from any for any action \"out\"",
        address.ip(),
        address.port(),
        duty.next_hop()
    );
    text
}

impl Server for Opensmtpd {
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
        version(&self.program)
    }
}

/// What `smtpd -h` prints behind the name; nothing of another program of that name.
fn version(program: &Path) -> Option<String> {
    let mut command = Command::new(program);
    let output = command.arg("-h").env("LD_LIBRARY_PATH", libraries(program)).output().ok()?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("version: OpenSMTPD "))?;
    Some(line.trim().to_owned())
}
