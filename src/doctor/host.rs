//! The host as the doctor sees it: files below a root, the configuration that it is to serve, and
//! what is measured once for several settings.

use std::cell::OnceCell;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::config::{Config, HostFacts};
use crate::host_check::descriptors_needed;
use crate::limits::SHARD_MEMLOCK_BYTES;

use super::measure::CommitFigures;
use super::probe::disk::Mount;

/// A program that is asked about the host: its name and its arguments, and what it prints.
pub(super) type Ask = fn(&str, &[&str]) -> io::Result<String>;

/// The host as the doctor sees it.
#[derive(Debug)]
pub(super) struct Host {
    /// Where `proc` and `sys` lie; `/` but in tests.
    pub(super) root: PathBuf,
    pub(super) config: Config,
    pub(super) facts: HostFacts,
    pub(super) ask: Ask,
    /// Whether what takes time and disk is measured.
    pub(super) measures: bool,
    /// Hosts whose port 25 is tried.
    pub(super) port_25: Vec<String>,
    pub(super) commits: OnceCell<Result<CommitFigures, String>>,
    pub(super) mount: OnceCell<Result<Mount, String>>,
}

impl Host {
    /// The path of a file of the host, given from `/`.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// What the file at `path` holds, given from `/`.
    pub(super) fn read(&self, path: &str) -> io::Result<String> {
        fs::read_to_string(self.path(path))
    }

    /// The names in the directory at `path`, given from `/`, in order; none if it is not there.
    pub(super) fn names_in(&self, path: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(path)).into_iter().flatten().flatten();
        let mut names: Vec<_> =
            entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort_unstable();
        names
    }

    /// Number of shards.
    pub(super) fn shards(&self) -> u64 {
        u64::from(self.config.shards.count())
    }

    /// Descriptors that the server may need at once.
    pub(super) fn descriptors_needed(&self) -> u64 {
        descriptors_needed(&self.config)
    }

    /// Memory in bytes that the shards may lock together.
    pub(super) fn memlock_needed_bytes(&self) -> u64 {
        self.shards() * SHARD_MEMLOCK_BYTES
    }

    /// Connections to next hops at once.
    pub(super) fn connections_out(&self) -> u64 {
        u64::from(self.config.delivery.connections_max)
    }

    /// The spool's directory, or the one in which the server would make it.
    pub(super) fn spool_place(&self) -> PathBuf {
        let there = self.config.spool.path.ancestors().find(|path| path.is_dir());
        match there {
            Some(path) if !path.as_os_str().is_empty() => path.to_owned(),
            Some(_) | None => Path::new(".").to_owned(),
        }
    }
}
