//! Totals for people.

use super::SinkTotals;

/// The totals of a sink for people.
pub(crate) fn text(totals: &SinkTotals) -> String {
    format!(
        "connections {}, messages {}, recipients {}, bytes {}, distinct ids {}, duplicates {}, \
         without id {}",
        totals.connections,
        totals.messages,
        totals.recipients,
        totals.bytes,
        totals.distinct,
        totals.duplicates,
        totals.unmarked
    )
}
