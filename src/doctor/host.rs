//! What of the host and the configuration the wanted values depend on.

use std::path::PathBuf;

use crate::config::Config;

/// The host as the doctor sees it.
#[derive(Debug)]
pub(super) struct Host {
    /// Where `proc` and `sys` lie; `/` but in tests.
    pub(super) root: PathBuf,
    pub(super) config: Config,
}

impl Host {
    /// Number of shards.
    pub(super) fn shards(&self) -> u64 {
        u64::from(self.config.shards.count())
    }

    /// Descriptors that the server may need at once.
    pub(super) fn descriptors_needed(&self) -> u64 {
        crate::host_check::descriptors_needed(&self.config)
    }

    /// Memory in bytes that the shards may lock together.
    pub(super) fn memlock_needed_bytes(&self) -> u64 {
        self.shards() * crate::limits::SHARD_MEMLOCK_BYTES
    }

    /// Connections to next hops at once.
    pub(super) fn connections_out(&self) -> u64 {
        u64::from(self.config.delivery.connections_max)
    }
}
