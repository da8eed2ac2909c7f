//! What sources found out: beside one another first, then each by itself.

use super::bars::{Bar, BarPlot, Part};
use super::curves::{self, Series};
use super::lines::Line;
use super::markup::{Figure, NONE, Style, Table};
use super::page::Page;
use super::units::{self, count, figure, figure_or_none, megabytes};
use crate::results::{Distribution, RefusalCount, Second, SourceResults, Stages, StepResults};

/// Adds all `sources`, each with its name.
pub(super) fn add(page: &mut Page, sources: &[(&str, &SourceResults)]) {
    if sources.len() > 1 {
        page.section("Sources beside one another", "");
        beside(page, sources);
    }
    for (name, source) in sources {
        let title = if sources.len() > 1 { format!("Source {name}") } else { "Source".to_owned() };
        page.section(&title, "");
        add_one(page, source);
    }
}

fn beside(page: &mut Page, sources: &[(&str, &SourceResults)]) {
    let bars = sources.iter().enumerate().map(|(index, (name, source))| Bar {
        label: (*name).to_owned(),
        style: Style::Series(index),
        parts: vec![Part { name: "", value: source.messages_per_second }],
        range: None,
    });
    let rates = BarPlot {
        title: "Messages a second".to_owned(),
        note: "Longer is better.".to_owned(),
        unit: "messages/s".to_owned(),
        bars: bars.collect(),
    };
    let mut messages = Vec::new();
    let mut timelines = Vec::new();
    for (index, (name, source)) in sources.iter().enumerate() {
        let (label, style) = ((*name).to_owned(), Style::Series(index));
        if let Some(of) = &source.stages.message {
            messages.push(Series { label: label.clone(), style, faint: false, of });
        }
        timelines.push(Series { label, style, faint: false, of: &source.timeline[..] });
    }
    page.figures([
        rates.figure(),
        curves::percentiles("Latency of messages", "Lower is better.", &messages),
        curves::over_time(
            "Messages in each second",
            LAST_SECOND,
            "messages/s",
            &timelines,
            accepted,
        ),
    ]);
    let mut table = Table::new(
        "Sources beside one another",
        &["source", "offered/s", "messages/s", "MB/s", "p50 ms", "p99 ms", "p99.9 ms", "failed"],
    );
    for (name, source) in sources {
        let latency = source.stages.message.as_ref();
        table.push(vec![
            (*name).to_owned(),
            figure_or_none(source.offered_per_second),
            figure(source.messages_per_second),
            figure(megabytes(source.bytes_per_second)),
            figure_or_none(latency.map(|it| it.p50_ms)),
            figure_or_none(latency.map(|it| it.p99_ms)),
            figure_or_none(latency.map(|it| it.p99_9_ms)),
            count(failed(source)),
        ]);
    }
    page.table(&table);
}

const LAST_SECOND: &str = "The last second, seldom a whole one, is left out.";

fn accepted(second: &Second) -> f64 {
    second.accepted as f64
}

/// Messages that were begun and not accepted, or never begun.
fn failed(source: &SourceResults) -> u64 {
    source.refused.saturating_add(source.lost).saturating_add(source.unsent)
}

fn add_one(page: &mut Page, source: &SourceResults) {
    page.facts(&source.header, &[("Run", source.run.clone())]);
    let mut tiles = vec![
        ("messages a second", figure(source.messages_per_second)),
        ("MB a second", figure(megabytes(source.bytes_per_second))),
    ];
    if let Some(offered) = source.offered_per_second {
        tiles.push(("offered a second", figure(offered)));
    }
    if let Some(message) = &source.stages.message {
        tiles.push(("ms: half of the messages", figure(message.p50_ms)));
        tiles.push(("ms: 99 % of the messages", figure(message.p99_ms)));
    }
    tiles.push(("accepted", count(source.accepted)));
    tiles.push(("refused, lost or not sent", count(failed(source))));
    page.tiles(&tiles);
    page.figures([
        rate_over_time(source),
        latency_over_time(source),
        stages_plot(&source.stages),
        in_flight_over_time(source),
    ]);
    if !source.steps.is_empty() {
        page.table(&steps_table(&source.steps));
    }
    page.table(&stages_table(&source.stages));
    page.table(&counts_table(source));
    if !source.refusals.is_empty() {
        page.table(&refusals_table(&source.refusals));
    }
}

fn line(source: &SourceResults, label: &str, index: usize, of: impl Fn(&Second) -> f64) -> Line {
    let points = curves::whole_seconds(&source.timeline)
        .iter()
        .map(|second| (f64::from(second.second), of(second)));
    Line {
        label: label.to_owned(),
        style: Style::Series(index),
        faint: false,
        points: points.collect(),
    }
}

fn rate_over_time(source: &SourceResults) -> Option<Figure> {
    let mut lines = vec![line(source, "accepted", 0, accepted)];
    if source.timeline.iter().any(|second| second.failed > 0) {
        lines.push(line(source, "refused or lost", 1, |second| second.failed as f64));
    }
    let note = format!("Warm-up and cool-down included. {LAST_SECOND}");
    curves::plot_over_time("Messages in each second", &note, "messages/s", false, lines)
}

fn latency_over_time(source: &SourceResults) -> Option<Figure> {
    let lines = vec![
        line(source, "half within", 0, |second| second.p50_ms),
        line(source, "99 % within", 1, |second| second.p99_ms),
    ];
    let note = "Of the messages answered in each second.";
    curves::plot_over_time("Latency over time", note, "ms", true, lines)
}

fn in_flight_over_time(source: &SourceResults) -> Option<Figure> {
    let lines = vec![line(source, "under way", 0, |second| second.in_flight as f64)];
    curves::plot_over_time(
        "Messages under way",
        "At the end of each second.",
        "messages",
        false,
        lines,
    )
}

/// The stages with their names, in the order of a session.
fn stages(stages: &Stages) -> [(&'static str, Option<&Distribution>); 11] {
    [
        ("message", stages.message.as_ref()),
        ("message, from MAIL", stages.message_uncorrected.as_ref()),
        ("end of data", stages.end_of_data.as_ref()),
        ("DATA", stages.data.as_ref()),
        ("RCPT", stages.rcpt.as_ref()),
        ("MAIL", stages.mail.as_ref()),
        ("AUTH", stages.auth.as_ref()),
        ("EHLO", stages.ehlo.as_ref()),
        ("TLS", stages.tls.as_ref()),
        ("banner", stages.banner.as_ref()),
        ("connect", stages.connect.as_ref()),
    ]
}

fn stages_plot(of: &Stages) -> Option<Figure> {
    let drawn = stages(of).into_iter().filter_map(|(name, of)| Some((name, of?)));
    let series: Vec<_> = drawn
        .enumerate()
        .map(|(index, (name, of))| Series {
            label: name.to_owned(),
            style: Style::Series(index),
            faint: false,
            of,
        })
        .collect();
    curves::percentiles("Latency of each stage", "Lower is better.", &series)
}

fn stages_table(of: &Stages) -> Table {
    let mut table = Table::new(
        "Latency of each stage, ms",
        &["stage", "count", "mean", "p50", "p90", "p99", "p99.9", "max"],
    );
    for (name, of) in stages(of) {
        let Some(it) = of else { continue };
        table.push(vec![
            name.to_owned(),
            count(it.count),
            figure(it.mean_ms),
            figure(it.p50_ms),
            figure(it.p90_ms),
            figure(it.p99_ms),
            figure(it.p99_9_ms),
            figure(it.max_ms),
        ]);
    }
    table
}

fn steps_table(steps: &[StepResults]) -> Table {
    let mut table = Table::new(
        "Steps of the offered rate; latency in ms from when a message was due",
        &["seconds", "offered/s", "messages/s", "p50", "p90", "p99", "p99.9", "max", "failed"],
    );
    for step in steps {
        let latency = |of: fn(&Distribution) -> f64| figure_or_none(step.message.as_ref().map(of));
        table.push(vec![
            format!("{}–{}", units::mark(step.begin_s), units::mark(step.end_s)),
            figure(step.offered_per_second),
            figure(step.messages_per_second),
            latency(|it| it.p50_ms),
            latency(|it| it.p90_ms),
            latency(|it| it.p99_ms),
            latency(|it| it.p99_9_ms),
            latency(|it| it.max_ms),
            count(step.failed),
        ]);
    }
    table
}

fn counts_table(source: &SourceResults) -> Table {
    let mut table = Table::new("What happened, warm-up and cool-down included", &["", "count"]);
    for (name, number) in [
        ("messages accepted", source.accepted),
        ("messages refused", source.refused),
        ("recipients refused of accepted messages", source.recipients_refused),
        ("messages without an answer", source.lost),
        ("messages never begun", source.unsent),
        ("messages sent once more", source.sent_again),
        ("connections", source.connections),
        ("connections that failed", source.connections_failed),
        ("connections that broke", source.connections_broken),
        ("replies that did not come in time", source.timeouts),
    ] {
        table.push(vec![name.to_owned(), count(number)]);
    }
    let within = format!("messages within the {} s measured", figure(source.measured_s));
    table.push(vec![within, count(source.measured_messages)]);
    table
}

/// Replies that refused something.
pub(super) fn refusals_table(refusals: &[RefusalCount]) -> Table {
    let mut table = Table::new("Refusals", &["where", "code", "count", "the first"]);
    for refusal in refusals {
        let example = if refusal.example.is_empty() { NONE } else { &refusal.example };
        table.push(vec![
            refusal.stage.clone(),
            refusal.code.to_string(),
            count(refusal.count),
            example.to_owned(),
        ]);
    }
    table
}
