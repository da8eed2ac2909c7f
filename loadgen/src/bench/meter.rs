//! What a server costs between two moments: CPU, memory, disk, events.

use std::io;
use std::path::Path;

use super::commits::Commits;
use super::disk::Device;
use super::perf::{Counting, EventCounts};
use super::server::Server;
use crate::process::CpuTime;
use crate::results::StoredRun;

/// The first moment.
#[derive(Debug)]
pub(super) struct Meter {
    device: Option<Device>,
    written_bytes: Option<u64>,
    commits: Option<Commits>,
    counting: Option<Counting>,
    cpu: CpuTime,
}

/// What lies between the two.
#[derive(Clone, Debug)]
pub(super) struct Cost {
    pub(super) cpu: CpuTime,
    pub(super) memory_bytes: u64,
    pub(super) events: Option<EventCounts>,
    written_bytes: Option<u64>,
    commits: Option<Commits>,
}

impl Meter {
    /// Begins with `server`, whose files are in `directory`. If `counts`, events are counted too,
    /// which slows it.
    ///
    /// # Errors
    /// The kernel, the server or `perf` does not tell.
    pub(super) fn begin(server: &dyn Server, directory: &Path, counts: bool) -> io::Result<Self> {
        let device = Device::under(directory)?;
        let written_bytes = device.as_ref().map(Device::written_bytes).transpose()?;
        let commits = commits_of(server);
        let counting = counts.then(|| Counting::begin(server.tree(), directory)).transpose()?;
        Ok(Self { device, written_bytes, commits, counting, cpu: server.tree().cpu_time()? })
    }

    /// What `server` has cost since.
    ///
    /// # Errors
    /// See [`Self::begin`].
    pub(super) fn end(self, server: &dyn Server) -> io::Result<Cost> {
        let cpu = server.tree().cpu_time()? - self.cpu;
        let events = self.counting.map(Counting::end).transpose()?;
        let memory_bytes = server.tree().memory_bytes()?;
        let commits = self.commits.and_then(|before| Some(commits_of(server)?.since(&before)));
        let written = self.device.as_ref().map(Device::written_bytes).transpose()?;
        let written_bytes =
            written.zip(self.written_bytes).map(|(now, before)| now.saturating_sub(before));
        Ok(Cost { cpu, memory_bytes, events, written_bytes, commits })
    }
}

/// A server whose commits cannot be asked for is measured without them.
fn commits_of(server: &dyn Server) -> Option<Commits> {
    server.commits().ok().flatten()
}

impl Cost {
    /// What `messages` with `bytes` of content did to the disk; none where nobody tells.
    pub(super) fn stored(&self, messages: u64, bytes: u64) -> Option<StoredRun> {
        if self.written_bytes.is_none() && self.commits.is_none() {
            return None;
        }
        let commits = self.commits.as_ref().filter(|commits| commits.count() > 0);
        Some(StoredRun {
            write_amplification: self
                .written_bytes
                .map(|written| written as f64 / bytes.max(1) as f64),
            commit_mean_ms: commits.and_then(Commits::mean_ms),
            commit_p50_ms: commits.and_then(|commits| commits.at_ms(0.5)),
            commit_p99_ms: commits.and_then(|commits| commits.at_ms(0.99)),
            messages_per_commit: commits.map(|commits| messages as f64 / commits.count() as f64),
        })
    }
}
