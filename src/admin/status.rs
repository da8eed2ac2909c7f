//! `/api/v1/status`: what the server is doing, as JSON.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::counters::Counters;

use super::Monitored;
use super::figures::FIGURES;

/// The answer. Fields may be added; none changes its meaning.
#[derive(Debug, Serialize)]
pub(super) struct Status {
    version: &'static str,
    hostname: String,
    /// RFC 3339, in UTC.
    started: String,
    uptime_s: u64,
    queue: Queue,
    log_lines_dropped: u64,
    /// The figures of all shards, added up.
    totals: Figures,
    shards: Vec<Shard>,
}

#[derive(Debug, Serialize)]
struct Queue {
    messages: u64,
}

#[derive(Debug, Serialize)]
struct Shard {
    shard: usize,
    cpu: u16,
    #[serde(flatten)]
    figures: Figures,
}

/// Figures by their names, in the order of the table.
#[derive(Debug)]
struct Figures(Vec<u64>);

impl Figures {
    fn of(counters: &Counters) -> Self {
        Self(FIGURES.iter().map(|figure| (figure.read)(counters)).collect())
    }

    fn sum(all: &[Counters]) -> Self {
        let sum = |read: fn(&Counters) -> u64| {
            all.iter().fold(0_u64, |sum, counters| sum.saturating_add(read(counters)))
        };
        Self(FIGURES.iter().map(|figure| sum(figure.read)).collect())
    }
}

impl Serialize for Figures {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (figure, value) in FIGURES.iter().zip(&self.0) {
            map.serialize_entry(figure.name, value)?;
        }
        map.end()
    }
}

impl Status {
    /// The status now.
    pub(super) fn of(monitored: &Monitored) -> Self {
        let snapshots: Vec<Counters> =
            monitored.shards.iter().map(|shard| shard.counters.read()).collect();
        let shards = monitored.shards.iter().zip(&snapshots).enumerate();
        Self {
            version: env!("CARGO_PKG_VERSION"),
            hostname: monitored.hostname.to_string(),
            started: monitored.started.to_rfc3339(),
            uptime_s: monitored.started_at.elapsed().as_secs(),
            queue: Queue { messages: snapshots.iter().map(|one| one.queue_messages).sum() },
            log_lines_dropped: monitored.dropped_log_lines.get(),
            totals: Figures::sum(&snapshots),
            shards: shards
                .map(|(shard, (view, counters))| Shard {
                    shard,
                    cpu: view.cpu,
                    figures: Figures::of(counters),
                })
                .collect(),
        }
    }
}
