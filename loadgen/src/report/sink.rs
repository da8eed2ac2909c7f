//! What sinks found out.

use super::markup::Table;
use super::page::Page;
use super::source::refusals_table;
use super::units::{self, count};
use crate::results::SinkResults;

/// Adds all `sinks`, each with its name.
pub(super) fn add(page: &mut Page, sinks: &[(&str, &SinkResults)]) {
    for (name, sink) in sinks {
        let title = if sinks.len() > 1 { format!("Sink {name}") } else { "Sink".to_owned() };
        page.section(&title, "");
        page.facts(&sink.header, &[]);
        page.tiles(&[
            ("messages", count(sink.messages)),
            ("different ids", count(sink.distinct)),
            ("duplicates", count(sink.duplicates)),
            ("recipients", count(sink.recipients)),
            ("bytes", count(sink.bytes)),
        ]);
        let mut table = Table::new("What came", &["", "count"]);
        for (name, number) in [
            ("connections", sink.connections),
            ("connections refused", sink.connections_refused),
            ("connections dropped on purpose", sink.connections_dropped),
            ("messages", sink.messages),
            ("messages without an id", sink.unmarked),
        ] {
            table.push(vec![name.to_owned(), count(number)]);
        }
        page.table(&table);
        if !sink.delivered.is_empty() {
            page.table(&runs_table(sink));
        }
        if !sink.domains.is_empty() {
            let mut table = Table::new("By domain", &["domain", "recipients", "refused"]);
            for it in &sink.domains {
                table.push(vec![it.domain.clone(), count(it.recipients), count(it.refused)]);
            }
            page.table(&table);
        }
        if !sink.refusals.is_empty() {
            page.table(&refusals_table(&sink.refusals));
        }
    }
}

/// What came of each source, which `loadgen verify` compares with what was acknowledged.
fn runs_table(sink: &SinkResults) -> Table {
    let late = format!("later than {} s", units::mark(sink.late_after_s));
    let mut table =
        Table::new("By the run of a source", &["run", "messages", "copies", "altered", &late]);
    for run in &sink.delivered {
        // Both ends belong to a stretch.
        let messages =
            run.messages.iter().map(|it| it.to.saturating_sub(it.from).saturating_add(1));
        table.push(vec![
            run.run.clone(),
            count(messages.fold(0, u64::saturating_add)),
            count(run.copies),
            count(run.altered_messages),
            count(run.late_messages),
        ]);
    }
    table
}
