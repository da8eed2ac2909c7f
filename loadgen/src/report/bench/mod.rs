//! What benches found out: a part for each scenario, in which the servers of all files stand beside
//! one another.

mod handshakes;
mod idle;

use super::bars::{Bar, BarPlot, Part};
use super::curves::{self, Series};
use super::markup::{Figure, NONE, Style, Table};
use super::page::Page;
use super::units::{count, figure, figure_or_none, mebibytes, megabytes};
use crate::results::{BenchResults, CountedRun, MailRun, StoredRun};
use crate::stats::Spread;

/// A scenario of all files.
#[derive(Debug)]
struct Scenario<'a> {
    name: &'a str,
    title: &'a str,
    rows: Vec<Row<'a>>,
}

/// One server of one file.
#[derive(Debug)]
struct Row<'a> {
    label: String,
    style: Style,
    offered_per_second: Option<f64>,
    runs: &'a [MailRun],
    counted: Option<CountedRun>,
}

/// Adds all `benches`, each with its name.
pub(super) fn add(page: &mut Page, benches: &[(&str, &BenchResults)]) {
    let mut looks = Looks { several: benches.len() > 1, labels: Vec::new() };
    let scenarios = scenarios(benches, &mut looks);
    let idle = idle::rows(benches, &mut looks);
    page.section(if looks.several { "Benches" } else { "Bench" }, "");
    for (name, bench) in benches {
        let mut facts = vec![(
            "Messages",
            format!(
                "{} bytes each, over {} connections, pipelining {}, TLS {}",
                count(bench.message_bytes),
                bench.connections,
                if bench.pipelining { "on" } else { "off" },
                bench.tls
            ),
        )];
        if looks.several {
            facts.insert(0, ("File", (*name).to_owned()));
        }
        let versions = versions(bench);
        if !versions.is_empty() {
            facts.push(("Servers", versions));
        }
        facts.push((
            "CPUs",
            format!("server {}, source and sink {}", bench.server_cpus, bench.generator_cpus),
        ));
        page.facts(&bench.header, &facts);
        for note in &bench.notes {
            page.paragraph(note);
        }
    }
    summary(page, &scenarios, &looks);
    for scenario in &scenarios {
        scenario.add(page);
    }
    if !idle.is_empty() {
        idle::add(page, &idle);
    }
    handshakes::add(page, benches, &mut looks);
}

/// What the servers say about themselves.
fn versions(bench: &BenchResults) -> String {
    let mut told: Vec<String> = Vec::new();
    for server in bench.mail.iter().flat_map(|mail| &mail.servers) {
        let Some(version) = &server.version else { continue };
        let names_itself = version.to_lowercase().contains(&server.server.to_lowercase());
        let text =
            if names_itself { version.clone() } else { format!("{} {version}", server.server) };
        if !told.contains(&text) {
            told.push(text);
        }
    }
    told.join(", ")
}

/// The names of servers in all plots, and how they look.
#[derive(Debug)]
struct Looks {
    several: bool,
    labels: Vec<String>,
}

impl Looks {
    fn of(&mut self, file: &str, server: &str) -> (String, Style) {
        let label = if self.several { format!("{server} · {file}") } else { server.to_owned() };
        let floor = server == "floor" && !self.several;
        let known = self.labels.iter().position(|it| *it == label);
        let index = known.unwrap_or_else(|| {
            self.labels.push(label.clone());
            self.labels.len() - 1
        });
        (label, if floor { Style::Floor } else { Style::Series(index) })
    }
}

fn scenarios<'a>(benches: &[(&str, &'a BenchResults)], looks: &mut Looks) -> Vec<Scenario<'a>> {
    let mut scenarios: Vec<Scenario<'a>> = Vec::new();
    for (file, bench) in benches {
        for mail in &bench.mail {
            let rows = mail.servers.iter().map(|server| {
                let (label, style) = looks.of(file, &server.server);
                Row {
                    label,
                    style,
                    offered_per_second: server.offered_per_second,
                    runs: &server.runs,
                    counted: server.counted,
                }
            });
            let rows: Vec<Row<'a>> = rows.collect();
            match scenarios.iter_mut().find(|it| it.name == mail.scenario) {
                Some(scenario) => scenario.rows.extend(rows),
                None => {
                    scenarios.push(Scenario { name: &mail.scenario, title: &mail.title, rows });
                }
            }
        }
    }
    scenarios
}

/// One line for each scenario, with a column for each server.
fn summary(page: &mut Page, scenarios: &[Scenario<'_>], looks: &Looks) {
    let with_rate = scenarios.iter().filter(|it| !it.is_offered());
    let rate = |run: &MailRun| Some(run.messages_per_second);
    let rates = "Messages a second, the median of the runs; small: times what the first does";
    summary_table(page, rates, looks, with_rate, rate);
    let with_latency = scenarios.iter().filter(|it| it.is_offered());
    let latency = |run: &MailRun| Some(run.latency.as_ref()?.p99_ms);
    let latencies = "At an offered rate: ms within which 99 % of the messages were done, the \
                     median of the runs; small: times what the first takes";
    summary_table(page, latencies, looks, with_latency, latency);
}

fn summary_table<'a>(
    page: &mut Page,
    caption: &str,
    looks: &Looks,
    scenarios: impl Iterator<Item = &'a Scenario<'a>>,
    of: impl Fn(&MailRun) -> Option<f64>,
) {
    let mut head = vec!["scenario"];
    head.extend(looks.labels.iter().map(String::as_str));
    let mut table = Table::new(caption, &head);
    for scenario in scenarios {
        let medians = looks
            .labels
            .iter()
            .map(|label| scenario.rows.iter().find(|row| row.label == *label)?.median_of(&of));
        let medians: Vec<Option<f64>> = medians.collect();
        let first = medians.first().copied().flatten();
        let mut cells = vec![scenario.title.to_owned()];
        for (place, median) in medians.iter().enumerate() {
            let mut cell = figure_or_none(*median);
            if let (1.., Some(first), Some(median)) = (place, first, median) {
                cell += &format!("\n× {}", figure(median / first));
            }
            cells.push(cell);
        }
        table.push(cells);
    }
    if !table.is_empty() {
        page.table(&table);
    }
}

impl Row<'_> {
    fn values(&self, of: impl Fn(&MailRun) -> Option<f64>) -> Vec<f64> {
        self.runs.iter().filter_map(of).filter(|value| value.is_finite()).collect()
    }

    fn median_of(&self, of: impl Fn(&MailRun) -> Option<f64>) -> Option<f64> {
        Spread::median(self.values(of))
    }

    /// The median, and on a second line `9,500–10,001`.
    fn spread_of(&self, of: impl Fn(&MailRun) -> Option<f64>) -> String {
        let values = self.values(of);
        if values.is_empty() {
            return NONE.to_owned();
        }
        let several = values.len() > 1;
        let Spread { median, min, max } = Spread::of(values);
        if several {
            format!("{}\n{}–{}", figure(median), figure(min), figure(max))
        } else {
            figure(median)
        }
    }

    /// The places of the runs between which the median is: of an odd number of runs the same twice.
    fn middle_runs(&self, of: impl Fn(&MailRun) -> Option<f64>) -> Option<[usize; 2]> {
        let mut places: Vec<(f64, usize)> = self
            .runs
            .iter()
            .enumerate()
            .filter_map(|(place, run)| Some((of(run)?, place)))
            .collect();
        places.sort_by(|one, other| one.0.total_cmp(&other.0));
        let lower = places.get(places.len().saturating_sub(1) / 2)?;
        Some([lower.1, places[places.len() / 2].1])
    }

    /// The place of the run whose figure is the median, of two the lower one.
    fn median_run(&self, of: impl Fn(&MailRun) -> Option<f64>) -> Option<usize> {
        self.middle_runs(of).map(|[lower, _]| lower)
    }
}

impl Scenario<'_> {
    /// Whether messages are due at a rate, rather than sent as fast as they are taken.
    fn is_offered(&self) -> bool {
        self.rows.iter().any(|row| row.offered_per_second.is_some())
    }

    fn add(&self, page: &mut Page) {
        let runs = self.rows.iter().map(|row| row.runs.len()).max().unwrap_or(0);
        page.section(self.title, &self.about(runs));
        let mut figures =
            vec![self.rates(runs), self.cpu(), self.latencies(runs), self.over_time(runs)];
        if self.is_offered() {
            // Who offers a rate asks for latencies.
            figures.rotate_left(2);
        }
        page.figures(figures);
        page.table(&self.main_table());
        page.table(&self.cost_table());
        page.folded("Every run", &self.run_table());
    }

    fn about(&self, runs: usize) -> String {
        let mut about = format!("Scenario {}, {runs} runs of each server.", self.name);
        if runs == 1 {
            about = format!("Scenario {}, one run of each server.", self.name);
        }
        let offered: Vec<f64> = self.rows.iter().filter_map(|row| row.offered_per_second).collect();
        let same = offered.windows(2).all(|two| two[0] == two[1]);
        if let (Some(first), true) = (offered.first(), same) {
            about += &format!(" Offered: {} messages a second.", figure(*first));
        } else if !offered.is_empty() {
            let each = self
                .rows
                .iter()
                .map(|row| format!("{} to {}", figure_or_none(row.offered_per_second), row.label));
            about += &format!(
                " Offered, in messages a second: {}.",
                each.collect::<Vec<_>>().join(", ")
            );
        }
        let failed: u64 = self.rows.iter().flat_map(|row| row.runs).map(|run| run.failed).sum();
        if failed > 0 {
            about += &format!(" {} messages failed; see the table.", count(failed));
        }
        about
    }

    fn rates(&self, runs: usize) -> Option<Figure> {
        let bars = self.rows.iter().map(|row| {
            let spread = Spread::of(row.values(|run| Some(run.messages_per_second)));
            Bar {
                label: row.label.clone(),
                style: row.style,
                parts: vec![Part { name: "", value: spread.median }],
                range: (row.runs.len() > 1).then_some((spread.min, spread.max)),
            }
        });
        BarPlot {
            title: "Messages a second".to_owned(),
            note: median_note(runs, "Longer is better."),
            unit: "messages/s".to_owned(),
            bars: bars.collect(),
        }
        .figure()
    }

    fn cpu(&self) -> Option<Figure> {
        let bars = self.rows.iter().filter_map(|row| {
            let middle = row.middle_runs(|run| Some(run.cpu_us_per_message()))?;
            let [lower, upper] = middle.map(|place| &row.runs[place]);
            let mean = |of: fn(&MailRun) -> f64| f64::midpoint(of(lower), of(upper));
            let spread = Spread::of(row.values(|run| Some(run.cpu_us_per_message())));
            Some(Bar {
                label: row.label.clone(),
                style: row.style,
                parts: vec![
                    Part { name: "user", value: mean(|run| run.cpu_user_us_per_message) },
                    Part { name: "system", value: mean(|run| run.cpu_system_us_per_message) },
                ],
                range: (row.runs.len() > 1).then_some((spread.min, spread.max)),
            })
        });
        BarPlot {
            title: "CPU of the server, µs a message".to_owned(),
            note: "Full colour: user time; pale: system time; of the run with the median of \
                   both, of an even number the mean of two. Shorter is better."
                .to_owned(),
            unit: "µs".to_owned(),
            bars: bars.collect(),
        }
        .figure()
    }

    fn latencies(&self, runs: usize) -> Option<Figure> {
        let mut series = Vec::new();
        for row in &self.rows {
            let told = row.median_run(|run| Some(run.latency.as_ref()?.p99_ms));
            for (place, run) in row.runs.iter().enumerate() {
                if let Some(of) = &run.latency {
                    let (label, style) = (row.label.clone(), row.style);
                    series.push(Series { label, style, faint: Some(place) != told, of });
                }
            }
        }
        let from = if self.is_offered() { "From when a message was due" } else { "From MAIL" };
        let which = if runs > 1 {
            " The run with the median of the 99\u{a0}%; pale: the others."
        } else {
            ""
        };
        let note = format!("{from} to the reply to its content.{which} Lower is better.");
        curves::percentiles("Latency of messages", &note, &series)
    }

    fn over_time(&self, runs: usize) -> Option<Figure> {
        let mut series = Vec::new();
        for row in &self.rows {
            let told = row.median_run(|run| Some(run.messages_per_second));
            for (place, run) in row.runs.iter().enumerate() {
                let (label, style) = (row.label.clone(), row.style);
                // A line has two ends; a run that is over in a second has none.
                if run.timeline.len() > 1 {
                    let of = &run.timeline[..];
                    series.push(Series { label, style, faint: Some(place) != told, of });
                }
            }
        }
        let which = if runs > 1 { "The run with the median rate; pale: the others. " } else { "" };
        let note = format!("{which}The last second, seldom a whole one, is left out.");
        let accepted = |second: &crate::results::Second| second.accepted as f64;
        curves::over_time("Messages in each second", &note, "messages/s", &series, accepted)
    }

    fn main_table(&self) -> Table {
        let mut table = Table::new(
            &format!("{}: rate and latency, median, lowest–highest", self.title),
            &[
                "server",
                "offered/s",
                "messages/s",
                "MB/s",
                "p50 ms",
                "p90 ms",
                "p99 ms",
                "p99.9 ms",
                "max ms",
                "failed",
                "duplicates",
            ],
        );
        for row in &self.rows {
            let sum = |of: fn(&MailRun) -> u64| count(row.runs.iter().map(of).sum());
            let latency = |of: fn(&crate::results::Distribution) -> f64| {
                row.spread_of(|run| run.latency.as_ref().map(of))
            };
            table.push(vec![
                row.label.clone(),
                figure_or_none(row.offered_per_second),
                row.spread_of(|run| Some(run.messages_per_second)),
                row.spread_of(|run| Some(megabytes(run.bytes_per_second))),
                latency(|it| it.p50_ms),
                latency(|it| it.p90_ms),
                latency(|it| it.p99_ms),
                latency(|it| it.p99_9_ms),
                latency(|it| it.max_ms),
                sum(|run| run.failed),
                sum(|run| run.duplicates),
            ]);
        }
        table
    }

    fn cost_table(&self) -> Table {
        let mut table = Table::new(
            &format!("{}: what it costs the server, median, lowest–highest", self.title),
            &[
                "server",
                "CPU µs a message",
                "user",
                "system",
                "memory MiB",
                "system calls a message",
                "ring entries a message",
                "context switches a message",
                "commit mean ms",
                "commit p99 ms",
                "messages a commit",
                "bytes written a byte",
            ],
        );
        for row in &self.rows {
            let counted = |of: fn(&CountedRun) -> f64| figure_or_none(row.counted.as_ref().map(of));
            let stored = |of: fn(&StoredRun) -> Option<f64>| {
                row.spread_of(|run| run.stored.as_ref().and_then(of))
            };
            table.push(vec![
                row.label.clone(),
                row.spread_of(|run| Some(run.cpu_us_per_message())),
                row.spread_of(|run| Some(run.cpu_user_us_per_message)),
                row.spread_of(|run| Some(run.cpu_system_us_per_message)),
                row.spread_of(|run| Some(mebibytes(run.memory_bytes))),
                counted(|it| it.system_calls_per_message),
                counted(|it| it.ring_entries_per_message),
                counted(|it| it.context_switches_per_message),
                stored(|it| it.commit_mean_ms),
                stored(|it| it.commit_p99_ms),
                stored(|it| it.messages_per_commit),
                stored(|it| it.write_amplification),
            ]);
        }
        table
    }

    fn run_table(&self) -> Table {
        let mut table = Table::new(
            &format!("{}: every run", self.title),
            &[
                "server",
                "run",
                "messages",
                "failed",
                "duplicates",
                "messages/s",
                "CPU user µs",
                "CPU system µs",
                "memory MiB",
                "p50 ms",
                "p99 ms",
                "max ms",
                "end of data p50 ms",
                "end of data p99 ms",
            ],
        );
        for row in &self.rows {
            for (place, run) in row.runs.iter().enumerate() {
                let (latency, end) = (run.latency.as_ref(), run.end_of_data.as_ref());
                table.push(vec![
                    row.label.clone(),
                    (place + 1).to_string(),
                    count(run.messages),
                    count(run.failed),
                    count(run.duplicates),
                    figure(run.messages_per_second),
                    figure(run.cpu_user_us_per_message),
                    figure(run.cpu_system_us_per_message),
                    figure(mebibytes(run.memory_bytes)),
                    figure_or_none(latency.map(|it| it.p50_ms)),
                    figure_or_none(latency.map(|it| it.p99_ms)),
                    figure_or_none(latency.map(|it| it.max_ms)),
                    figure_or_none(end.map(|it| it.p50_ms)),
                    figure_or_none(end.map(|it| it.p99_ms)),
                ]);
            }
        }
        table
    }
}

fn median_note(runs: usize, direction: &str) -> String {
    if runs > 1 {
        format!("Medians; the thin lines reach from the lowest run to the highest. {direction}")
    } else {
        direction.to_owned()
    }
}
