//! Mail beside TLS handshakes.

use super::super::curves::{self, Series};
use super::super::markup::{NONE, Style, Table};
use super::super::page::Page;
use super::super::units::{count, figure};
use super::Looks;
use crate::results::{BenchResults, Distribution, HandshakeResult};

/// Adds the runs of all files, if there are any.
pub(super) fn add(page: &mut Page, benches: &[(&str, &BenchResults)], looks: &mut Looks) {
    let mut runs: Vec<(String, Style, &HandshakeResult)> = Vec::new();
    for (file, bench) in benches {
        for run in &bench.handshakes {
            let (label, style) = looks.of(file, &run.server);
            runs.push((label, style, run));
        }
    }
    if runs.is_empty() {
        return;
    }
    let about = "Mail at a steady rate over plain connections, alone and beside clients that make \
                 TLS handshakes as fast as the server lets them.";
    page.section("Beside handshakes", about);
    type Pick = fn(&HandshakeResult) -> Option<&Distribution>;
    let plot = |title: &str, pick: Pick| {
        let mut told: Vec<&str> = Vec::new();
        let series = runs.iter().filter_map(|(label, style, run)| {
            let of = pick(run)?;
            // The first run of a server is told, the others lie behind it.
            let faint = told.contains(&label.as_str());
            told.push(label);
            Some(Series { label: label.clone(), style: *style, faint, of })
        });
        let series: Vec<_> = series.collect();
        let note = "From when a message was due to the reply to its content. Pale: further runs. \
                    Lower is better.";
        curves::percentiles(title, note, &series)
    };
    page.figures([
        plot("Latency alone", |run| run.latency_alone.as_ref()),
        plot("Latency beside handshakes", |run| run.latency_beside.as_ref()),
    ]);
    let mut table = Table::new(
        "Latency of messages in ms, alone and beside handshakes",
        &[
            "server",
            "messages/s",
            "alone p50",
            "alone p99",
            "alone max",
            "beside p50",
            "beside p99",
            "beside max",
            "handshakes/s",
            "handshakes failed",
        ],
    );
    for (label, _, run) in &runs {
        let mut cells = vec![label.clone(), figure(run.message_rate)];
        for latency in [&run.latency_alone, &run.latency_beside] {
            match latency {
                Some(it) => cells.extend([it.p50_ms, it.p99_ms, it.max_ms].map(figure)),
                None => cells.extend([NONE; 3].map(str::to_owned)),
            }
        }
        cells.push(figure(run.handshakes_per_second));
        cells.push(count(run.handshakes_failed));
        table.push(cells);
    }
    page.table(&table);
}
