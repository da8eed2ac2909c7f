//! Ringpost as the contract describes it: `ringpost serve --config FILE`.
//!
//! To hold mail back it gets a next hop whose connections succeed and then stay silent: the relay
//! waits for the greeting (five minutes by RFC 5321 §4.5.3.2.1) and costs no CPU meanwhile, while a
//! next hop that refuses connections would be tried again and again.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

use super::server::{Duty, OwnChild, Server};
use crate::cpus::CpuList;
use crate::net;
use crate::process::Tree;

#[derive(Debug)]
struct Ringpost {
    address: SocketAddr,
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
) -> io::Result<Box<dyn Server>> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, net::free_port()?));
    let admin = SocketAddr::from((Ipv4Addr::LOCALHOST, net::free_port()?));
    let file = directory.join("ringpost.toml");
    fs::write(&file, configuration(directory, cpus, address, admin, duty.next_hop()))?;
    let mut command = Command::new(program);
    command.arg("serve").arg("--config").arg(&file).current_dir(directory);
    let child = OwnChild::start(&mut command, &directory.join("log"), "ringpost ready:")?;
    Ok(Box::new(Ringpost { address, child }))
}

fn configuration(
    directory: &Path,
    cpus: &CpuList,
    address: SocketAddr,
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
         [[listener]]\naddress = \"{address}\"\nrelay_from = [\"127.0.0.0/8\"]\n\n\
         [[route]]\ndomains = [\"*\"]\nto = \"smtp://{next_hop}\"\n\n\
         [admin]\naddress = \"{admin}\"\n\n\
         [shutdown]\ngrace_s = 1\n",
        spool = directory.join("spool").to_string_lossy(),
    );
    text
}

impl Server for Ringpost {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn tree(&self) -> Tree {
        Tree { root: self.child.id() }
    }
}
