//! Whom it is measured on.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::peers::Installed;
use super::ringpost;
use super::scenario::Scenario;
use super::server::{Duty, OwnChild, Protection, Server};
use crate::cpus::CpuList;
use crate::net;
use crate::process::Tree;

/// A kind of server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// Ringpost, by its program.
    Ringpost { program: PathBuf },
    /// Somebody else's.
    Peer(Installed),
    /// A program that answers the dialogue and does nothing else.
    Floor { program: PathBuf },
}

impl Subject {
    /// For people, and stable in results.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Ringpost { .. } => "ringpost",
            Self::Peer(installed) => installed.peer.name(),
            Self::Floor { .. } => "floor",
        }
    }

    /// Whether it can do what `scenario` asks.
    pub(super) const fn takes_part_in(&self, scenario: Scenario) -> bool {
        match self {
            Self::Ringpost { .. } | Self::Peer(_) => true,
            Self::Floor { .. } => scenario.suits_floor(),
        }
    }

    /// Starts it with its files in `directory`, on the CPUs of the calling thread, ready for
    /// `sessions` sessions.
    ///
    /// # Errors
    /// It does not get ready.
    pub(super) fn start(
        &self,
        directory: &Path,
        cpus: &CpuList,
        sessions: u32,
        duty: Duty,
        protection: &Protection,
    ) -> io::Result<Box<dyn Server>> {
        match self {
            Self::Ringpost { program } => {
                ringpost::start(program, directory, cpus, duty, protection)
            }
            Self::Peer(installed) => installed.start(directory, sessions, duty, protection),
            Self::Floor { program } => start_floor(program, directory, duty, protection),
        }
    }
}

/// The floor: `ringpost-floor ADDRESS`. It throws mail away, which is as good as holding it.
#[derive(Debug)]
struct Floor {
    address: SocketAddr,
    child: OwnChild,
}

fn start_floor(
    program: &Path,
    directory: &Path,
    duty: Duty,
    protection: &Protection,
) -> io::Result<Box<dyn Server>> {
    if protection.needs_certificate() || matches!(duty, Duty::Relay { .. }) {
        return Err(io::Error::other("the floor knows no TLS and passes nothing on"));
    }
    let address = net::free_address()?;
    let mut command = Command::new(program);
    command.arg(address.to_string()).current_dir(directory);
    let child = OwnChild::start(&mut command, &directory.join("log"), "floor ready:")?;
    Ok(Box::new(Floor { address, child }))
}

impl Server for Floor {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn tree(&self) -> Tree {
        Tree { root: self.child.id() }
    }

    fn release(&mut self, _next_hop: SocketAddr) -> io::Result<()> {
        Err(io::Error::other("the floor holds no mail"))
    }

    fn version(&self) -> Option<String> {
        None
    }
}
