//! `/metrics`: the figures of all shards in the text format of OpenMetrics 1.0, which Prometheus
//! reads.
//!
//! The counters live in the shards' snapshots, so one collector reads them when it is asked, in
//! place of metric objects that somebody would have to keep in step.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, LabelSetEncoder};
use prometheus_client::encoding::{EncodeLabel, EncodeLabelSet, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::counters::{COMMIT_BUCKETS_US, Counters};

use super::Monitored;
use super::figures::{FIGURES, Figure, Kind};

/// What a scraper is told about the format.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

const COMMIT_SECONDS: &str = "ringpost_spool_commit_seconds";

/// All metrics of `monitored`.
pub(super) fn registry(monitored: Arc<Monitored>) -> Registry {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Figures { monitored }));
    registry
}

/// The metrics as text.
pub(super) fn encode(registry: &Registry) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail; if the encoder refuses, the scraper sees an empty answer.
    match prometheus_client::encoding::text::encode(&mut text, registry) {
        Ok(()) => text,
        Err(fmt::Error) => String::new(),
    }
}

/// Reads the shards' counters whenever it is asked.
#[derive(Debug)]
struct Figures {
    monitored: Arc<Monitored>,
}

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let snapshots: Vec<Counters> =
            self.monitored.shards.iter().map(|shard| shard.counters.read()).collect();
        for metric in FIGURES.chunk_by(|a, b| a.metric == b.metric) {
            let Some(first) = metric.first() else { continue };
            let kind = match first.kind {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge => MetricType::Gauge,
            };
            let mut family = encoder.encode_descriptor(first.metric, first.help, None, kind)?;
            for figure in metric {
                for (shard, counters) in snapshots.iter().enumerate() {
                    let labels = Labels { shard, other: figure.label };
                    encode_figure(figure, counters, family.encode_family(&labels)?)?;
                }
            }
        }
        encode_commits(&snapshots, &mut encoder)?;
        let dropped = ConstCounter::new(self.monitored.dropped_log_lines.get());
        dropped.encode(encoder.encode_descriptor(
            "ringpost_log_lines_dropped",
            "Lines that the log could not keep up with",
            None,
            MetricType::Counter,
        )?)
    }
}

fn encode_figure(
    figure: &Figure,
    counters: &Counters,
    encoder: MetricEncoder<'_>,
) -> Result<(), fmt::Error> {
    let value = (figure.read)(counters);
    match figure.kind {
        Kind::Counter => ConstCounter::new(value).encode(encoder),
        Kind::Gauge => ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)).encode(encoder),
    }
}

fn encode_commits(
    snapshots: &[Counters],
    encoder: &mut DescriptorEncoder<'_>,
) -> Result<(), fmt::Error> {
    let help = "Time that commits took";
    let mut family =
        encoder.encode_descriptor(COMMIT_SECONDS, help, None, MetricType::Histogram)?;
    let bounds = COMMIT_BUCKETS_US.map(seconds);
    for (shard, counters) in snapshots.iter().enumerate() {
        let labels = Labels { shard, other: None };
        let bounds = bounds.into_iter().chain([f64::INFINITY]);
        let buckets: Vec<_> = bounds.zip(counters.commits_by_duration).collect();
        // Counters of one turn may be seen apart; the buckets' own sum always agrees with them.
        let count = counters.commits_by_duration.iter().sum();
        family.encode_family(&labels)?.encode_histogram::<Labels>(
            seconds(counters.spool_commit_us_sum),
            count,
            &buckets,
            None,
        )?;
    }
    Ok(())
}

// A sum of microseconds loses its last digits here after 285 years.
#[allow(clippy::cast_precision_loss)]
fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}

/// `shard`, and another where a metric has it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Labels {
    shard: usize,
    other: Option<(&'static str, &'static str)>,
}

impl EncodeLabelSet for Labels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), fmt::Error> {
        ("shard", self.shard).encode(encoder.encode_label())?;
        match self.other {
            Some(label) => label.encode(encoder.encode_label()),
            None => Ok(()),
        }
    }
}
