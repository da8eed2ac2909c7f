//! The servers to compare with: each started by us, in a private, fair and durable configuration.
//!
//! Fair means: as its manual says for bulk, limits of sessions and connections out of the way, no
//! look-ups of names, no checks of content, and no more logged than it does by itself. Durable
//! means: as it comes, without a setting that gives up what its makers chose.

mod enclosure;
mod exim;
mod haraka;
mod installed;
mod opensmtpd;
mod postfix;

use std::io;
use std::path::Path;

use clap::ValueEnum;

use super::server::{Duty, Protection, Server};
pub(super) use installed::Installed;

/// Deliveries at a time to the one next hop.
const DELIVERIES: u32 = 20;

/// A server to compare with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Peer {
    /// Debian's package `postfix`.
    Postfix,
    /// Debian's package `exim4-daemon-light` or `-heavy`, or Exim unpacked.
    Exim,
    /// Debian's package `opensmtpd`, or OpenSMTPD unpacked.
    Opensmtpd,
    /// The package `Haraka` of npm.
    Haraka,
}

impl Peer {
    /// For people.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Postfix => "postfix",
            Self::Exim => "exim",
            Self::Opensmtpd => "opensmtpd",
            Self::Haraka => "haraka",
        }
    }
}

impl Installed {
    /// Starts it with its files in `directory`, ready for as many as `sessions` sessions.
    ///
    /// # Errors
    /// It does not get ready, or cannot do what is asked of it.
    pub(in crate::bench) fn start(
        &self,
        directory: &Path,
        sessions: u32,
        duty: Duty,
        protection: &Protection,
    ) -> io::Result<Box<dyn Server>> {
        if protection.second_listener {
            return Err(io::Error::other("the bench of handshakes knows Ringpost only"));
        }
        let program = self.program.as_path();
        match self.peer {
            Peer::Postfix => postfix::start(program, directory, sessions, duty, protection),
            Peer::Exim => exim::start(program, directory, duty, protection),
            Peer::Opensmtpd => opensmtpd::start(program, directory, duty, protection),
            Peer::Haraka => haraka::start(program, directory, duty, protection),
        }
    }
}
