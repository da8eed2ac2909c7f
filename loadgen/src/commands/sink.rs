//! `loadgen sink`: from the command line to the totals.

use std::io;

use super::{at, create_log, duration, watch, write_json};
use crate::cli::{RefuseAtArg, SinkArgs};
use crate::console::{self, ProgressLine};
use crate::net;
use crate::server::{RefuseAt, ServerPolicy};
use crate::sink::{self, Sink, SinkSettings};
use crate::stop::Stop;

/// How many connections a sink shall be able to hold; it complains if it cannot.
const SINK_FILES: u64 = 1_024;

/// Accepts until told to stop; always true.
///
/// # Errors
/// The address is taken, a file cannot be written, a CPU is not ours.
pub(crate) fn run(args: SinkArgs) -> io::Result<bool> {
    let (json, quiet) = (args.json.clone(), args.quiet);
    net::raise_file_limit(SINK_FILES)?;
    let stop = Stop::on_signals()?;
    let settings = sink_settings(args)?;
    let sink = Sink::start(&settings, &stop)?;
    console::say(&format!("loadgen sink ready: {}", sink.address()));
    let mut line = ProgressLine::new(quiet);
    watch(&mut line, || sink.has_ended(), || sink.counters().messages());
    drop(line);
    let totals = sink.finish()?;
    if !quiet {
        console::say(&sink::text(&totals));
    }
    if let Some(path) = json {
        write_json(&path, &totals)?;
    }
    Ok(true)
}

fn sink_settings(args: SinkArgs) -> io::Result<SinkSettings> {
    if let Some(directory) = &args.bodies {
        std::fs::create_dir_all(directory).map_err(|error| at(directory, &error))?;
    }
    Ok(SinkSettings {
        listen: args.listen,
        cpus: args.cpus,
        policy: ServerPolicy {
            name: args.name,
            delay: duration(args.delay_ms, 1e-3)?,
            delay_end_of_data: duration(args.delay_end_of_data_ms, 1e-3)?,
            reject_rate: args.reject_rate,
            defer_rate: args.defer_rate,
            refuse_at: match args.refuse_at {
                RefuseAtArg::Rcpt => RefuseAt::Recipient,
                RefuseAtArg::EndOfData => RefuseAt::EndOfData,
            },
            keep: args.bodies.is_some(),
        },
        seed: args.seed,
        ids: create_log(args.ids.as_deref())?,
        bodies: args.bodies,
        exit_after: args.exit_after,
    })
}
