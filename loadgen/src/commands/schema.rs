//! `loadgen schema`: what the JSON files look like.

use std::io;

use crate::cli::{SchemaArgs, SchemaOf};
use crate::compare::Comparison;
use crate::console;
use crate::results::{BenchResults, Kind, SinkResults, SourceResults, schema};

/// Prints the schema; always true.
///
/// # Errors
/// None but of the conversion to text.
pub(crate) fn run(args: &SchemaArgs) -> io::Result<bool> {
    console::say(&text(args.of)?);
    Ok(true)
}

fn text(of: SchemaOf) -> io::Result<String> {
    let schema = match of {
        SchemaOf::Source => schema::of_results::<SourceResults>(Kind::Source),
        SchemaOf::Sink => schema::of_results::<SinkResults>(Kind::Sink),
        SchemaOf::Bench => schema::of_results::<BenchResults>(Kind::Bench),
        SchemaOf::Comparison => schema::of::<Comparison>(),
    };
    Ok(serde_json::to_string_pretty(&schema)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The committed files are what `loadgen schema` prints.
    #[test]
    fn the_committed_schemas_are_current() {
        for (of, name, committed) in [
            (SchemaOf::Source, "source", include_str!("../../schema/source.json")),
            (SchemaOf::Sink, "sink", include_str!("../../schema/sink.json")),
            (SchemaOf::Bench, "bench", include_str!("../../schema/bench.json")),
            (SchemaOf::Comparison, "comparison", include_str!("../../schema/comparison.json")),
        ] {
            assert!(
                text(of).unwrap() + "\n" == committed,
                "out of date: loadgen schema {name} > loadgen/schema/{name}.json"
            );
        }
    }
}
