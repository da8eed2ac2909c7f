//! Ringpost as the contract describes it: `ringpost serve --config FILE`.
//!
//! To hold mail back it gets a next hop whose connections succeed and then stay silent: the relay
//! waits for the greeting (five minutes by RFC 5321 §4.5.3.2.1) and costs no CPU meanwhile, while a
//! next hop that refuses connections would be tried again and again.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::certificate::CertificateFiles;
use super::commits::Commits;
use super::server::{Duty, OwnChild, Protection, Server};
use crate::cpus::CpuList;
use crate::net;
use crate::process::Tree;
use crate::tls::TlsMode;

#[derive(Debug)]
struct Ringpost {
    address: SocketAddr,
    second: Option<SocketAddr>,
    admin: SocketAddr,
    program: PathBuf,
    child: OwnChild,
}

/// Starts `program` with its files in `directory`.
///
/// # Errors
/// It does not get ready.
pub(super) fn start(
    program: &Path,
    directory: &Path,
    cpus: &CpuList,
    duty: Duty,
    protection: &Protection,
) -> io::Result<Box<dyn Server>> {
    let address = net::free_address()?;
    let second = net::free_address()?;
    let has_second = protection.second_listener;
    let admin = net::free_address()?;
    let file = directory.join("ringpost.toml");
    let mut text = configuration(directory, cpus, admin, duty.next_hop());
    if protection.needs_certificate() {
        let CertificateFiles { certificate, key } = &protection.files;
        // Writing to a String cannot fail.
        let _ = write!(text, "\n[tls]\ncertificate = {certificate:?}\nkey = {key:?}\n");
    }
    text.push_str(&listener(address, protection.mode));
    if has_second {
        text.push_str(&listener(second, TlsMode::Implicit));
    }
    fs::write(&file, text)?;
    let mut command = Command::new(program);
    command.arg("serve").arg("--config").arg(&file).current_dir(directory);
    let child = OwnChild::start(&mut command, &directory.join("log"), "ringpost ready:")?;
    let (second, program) = (has_second.then_some(second), program.to_owned());
    Ok(Box::new(Ringpost { address, second, admin, program, child }))
}

fn configuration(
    directory: &Path,
    cpus: &CpuList,
    admin: SocketAddr,
    next_hop: SocketAddr,
) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "hostname = \"bench.example\"\n\n\
         [shards]\ncpus = \"{cpus}\"\n\n\
         [spool]\npath = {spool:?}\n\n\
         [[route]]\ndomains = [\"*\"]\nto = \"smtp://{next_hop}\"\n\n\
         [admin]\naddress = \"{admin}\"\n\n\
         [shutdown]\ngrace_s = 1\n",
        spool = directory.join("spool").to_string_lossy(),
    );
    text
}

fn listener(address: SocketAddr, tls: TlsMode) -> String {
    let tls = match tls {
        TlsMode::None => "none",
        TlsMode::Starttls => "starttls",
        TlsMode::Implicit => "implicit",
    };
    format!(
        "\n[[listener]]\naddress = \"{address}\"\nrelay_from = [\"127.0.0.0/8\"]\ntls = \"{tls}\"\n\
         connections_max = 100000\n"
    )
}

impl Server for Ringpost {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn implicit_tls_address(&self) -> Option<SocketAddr> {
        self.second
    }

    fn tree(&self) -> Tree {
        Tree { root: self.child.id() }
    }

    /// Its sessions with the next hop wait for the greeting, which comes now.
    fn release(&mut self, _next_hop: SocketAddr) -> io::Result<()> {
        Ok(())
    }

    fn version(&self) -> Option<String> {
        version_of(&self.program)
    }

    fn commits(&self) -> io::Result<Option<Commits>> {
        Commits::ask(self.admin).map(Some)
    }
}

/// What `PROGRAM --version` prints behind the name.
fn version_of(program: &Path) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.trim().rsplit(' ').next()?.to_owned()).filter(|version| !version.is_empty())
}
