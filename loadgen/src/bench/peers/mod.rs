//! The servers to compare with: each started by us, in a private, fair and durable configuration.

mod postfix;

use std::io;
use std::path::Path;

use clap::ValueEnum;

use super::server::{Duty, Protection, Server};

/// A server to compare with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Peer {
    /// Debian's package `postfix`.
    Postfix,
}

impl Peer {
    /// For people.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Postfix => "postfix",
        }
    }

    /// Starts it with its files in `directory`, ready for as many as `sessions` sessions.
    ///
    /// # Errors
    /// It is not installed, or does not get ready.
    pub(in crate::bench) fn start(
        self,
        directory: &Path,
        sessions: u32,
        duty: Duty,
        protection: &Protection,
    ) -> io::Result<Box<dyn Server>> {
        match self {
            Self::Postfix => postfix::start(directory, sessions, duty, protection),
        }
    }
}
