//! `loadgen source`: from the command line to the report.

use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use super::{create_log, duration, watch, write_json};
use crate::cli::SourceArgs;
use crate::client::ClientSettings;
use crate::console::{self, ProgressLine};
use crate::content::Contents;
use crate::date;
use crate::net;
use crate::source::{self, Envelopes, Source, SourceSettings};
use crate::stop::Stop;
use crate::tls::{TlsClient, TlsMode};

/// Messages of a source that was told neither a number nor a time.
const MESSAGES_DEFAULT: u64 = 10_000;

/// Sends; whether every message arrived.
///
/// # Errors
/// The target is not known, a file cannot be written, a CPU is not ours.
pub(crate) fn run(args: SourceArgs) -> io::Result<bool> {
    let (json, quiet) = (args.json.clone(), args.quiet);
    let stop = Stop::on_signals()?;
    let settings = source_settings(args)?;
    let source = Source::start(settings, &stop)?;
    let mut line = ProgressLine::new(quiet);
    watch(&mut line, || source.has_ended(), || source.accepted());
    drop(line);
    let report = source.finish()?;
    if !quiet {
        console::say(&source::text(&report));
    }
    if let Some(path) = json {
        write_json(&path, &report)?;
    }
    // Who stops a source does not expect it to send what is left.
    Ok(report.is_clean() || (stop.is_set() && report.refused + report.lost == 0))
}

fn source_settings(args: SourceArgs) -> io::Result<SourceSettings> {
    let date = date::rfc5322(SystemTime::now());
    let contents = Contents::plain(&args.workload.from, &date, args.workload.size);
    let fallback = args.workload.seconds.is_none().then_some(MESSAGES_DEFAULT);
    Ok(SourceSettings {
        target: net::resolve(&args.target)?,
        connections: args.connections as usize,
        messages: args.workload.messages.or(fallback),
        time: args.workload.seconds.map(|seconds| duration(seconds, 1.0)).transpose()?,
        contents: Arc::new(contents),
        messages_per_connection: args.dialogue.messages_per_connection,
        client: ClientSettings {
            name: args.dialogue.ehlo,
            pipelining: !args.dialogue.no_pipelining,
            starttls: args.dialogue.tls == TlsMode::Starttls,
        },
        tls: args.dialogue.tls,
        tls_client: TlsClient::new(net::host_of(&args.target), !args.dialogue.no_resumption)?,
        run_ahead: args.dialogue.run_ahead,
        envelopes: Envelopes {
            from: args.workload.from,
            to: args.workload.to,
            domains: args.workload.domains,
            recipients: args.workload.recipients,
        },
        rate: args.workload.rate,
        cpus: args.cpus,
        timeout: duration(args.dialogue.timeout, 1.0)?,
        reconnect: args.dialogue.reconnect,
        acked: create_log(args.acked.as_deref())?,
        run: args.run.unwrap_or_else(source::fresh_run),
    })
}
