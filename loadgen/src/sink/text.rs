//! Totals for people.

use std::fmt::Write as _;

use crate::console::grouped;
use crate::results::SinkResults;

/// One line, and one more for each kind of refusal.
pub(crate) fn text(results: &SinkResults) -> String {
    let mut text = format!(
        "connections {}, messages {}, recipients {}, bytes {}, distinct ids {}, duplicates {}, \
         without id {}",
        results.connections,
        results.messages,
        results.recipients,
        results.bytes,
        results.distinct,
        results.duplicates,
        results.unmarked
    );
    let altered: u64 = results.delivered.iter().map(|run| run.altered_messages).sum();
    let late: u64 = results.delivered.iter().map(|run| run.late_messages).sum();
    for (count, name) in [
        (altered, "altered"),
        (late, "late"),
        (results.connections_refused, "connections refused"),
        (results.connections_dropped, "connections dropped"),
    ] {
        if count > 0 {
            let _ = write!(text, ", {name} {count}");
        }
    }
    for refusal in &results.refusals {
        let (code, stage, count) = (refusal.code, &refusal.stage, grouped(refusal.count));
        let _ = write!(text, "\n  {code} at {stage}: {count} (the first: {})", refusal.example);
    }
    text
}
