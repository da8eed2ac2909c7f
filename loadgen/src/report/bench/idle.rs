//! Connections that say nothing.

use super::super::bars::{Bar, BarPlot, Part};
use super::super::markup::{Style, Table};
use super::super::page::Page;
use super::super::units::{count, figure, mebibytes, percent};
use super::Looks;
use crate::results::{BenchResults, IdleResult};

/// Idle connections of one server of one file.
#[derive(Debug)]
pub(super) struct IdleRow<'a> {
    label: String,
    style: Style,
    result: &'a IdleResult,
}

/// Those of all files, the fewest connections first.
pub(super) fn rows<'a>(
    benches: &[(&str, &'a BenchResults)],
    looks: &mut Looks,
) -> Vec<IdleRow<'a>> {
    let mut rows = Vec::new();
    for (file, bench) in benches {
        for result in &bench.idle {
            let (label, style) = looks.of(file, &result.server);
            rows.push(IdleRow { label, style, result });
        }
    }
    rows.sort_by_key(|row| row.result.connections);
    rows
}

/// Adds them.
pub(super) fn add(page: &mut Page, rows: &[IdleRow<'_>]) {
    page.section("Idle connections", "Connections that were greeted and say nothing.");
    let of_each = |row: &IdleRow<'_>| {
        let grown = row.result.memory_bytes.saturating_sub(row.result.memory_before_bytes);
        grown as f64 / f64::from(row.result.connections.max(1))
    };
    let bars = |of: &dyn Fn(&IdleRow<'_>) -> f64| -> Vec<Bar> {
        let bar = |row: &IdleRow<'_>| Bar {
            label: format!("{}, {}", row.label, count(row.result.connections.into())),
            style: row.style,
            parts: vec![Part { name: "", value: of(row) }],
            range: None,
        };
        rows.iter().map(bar).collect()
    };
    let plot = |title: &str, unit: &str, bars| {
        let (title, note, unit) =
            (title.to_owned(), "Shorter is better.".to_owned(), unit.to_owned());
        BarPlot { title, note, unit, bars }.figure()
    };
    page.figures([
        plot("Memory of a connection, KiB", "KiB", bars(&|row| of_each(row) / 1_024.0)),
        plot("CPU to open a connection, µs", "µs", bars(&|row| row.result.cpu_us_per_connection)),
    ]);
    let mut table = Table::new(
        "Idle connections (memory: proportional set size of all the server's processes)",
        &[
            "server",
            "connections",
            "MiB without",
            "MiB with",
            "bytes a connection",
            "CPU µs to open one",
            "of a CPU while idle",
        ],
    );
    for row in rows {
        let result = row.result;
        table.push(vec![
            row.label.clone(),
            count(result.connections.into()),
            figure(mebibytes(result.memory_before_bytes)),
            figure(mebibytes(result.memory_bytes)),
            figure(of_each(row)),
            figure(result.cpu_us_per_connection),
            percent(result.cpu_idle_share),
        ]);
    }
    page.table(&table);
}
