//! What sinks found out.

use super::markup::Table;
use super::page::Page;
use super::source::refusals_table;
use super::units::count;
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
