//! `loadgen source` and `loadgen sink`: from the command line to the report.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use crate::cli::{RefuseAtArg, SinkArgs, SourceArgs};
use crate::client::ClientSettings;
use crate::console::{self, ProgressLine, grouped, rounded};
use crate::date;
use crate::ids::IdLog;
use crate::net;
use crate::server::{RefuseAt, ServerPolicy};
use crate::sink::{Sink, SinkSettings};
use crate::source::{self, Envelopes, Source, SourceSettings};
use crate::stop::Stop;
use crate::tls::{TlsClient, TlsMode};

/// Messages of a source that was told neither a number nor a time.
const MESSAGES_DEFAULT: u64 = 10_000;

/// How often the main thread looks after its threads.
const GLANCE: Duration = Duration::from_millis(20);

/// How often the progress line changes.
const PROGRESS: Duration = Duration::from_millis(500);

/// How many connections a sink shall be able to hold; it complains if it cannot.
const SINK_FILES: u64 = 1_024;

/// Sends; whether every message arrived.
///
/// # Errors
/// The target is not known, a file cannot be written, a CPU is not ours.
pub(crate) fn source(args: SourceArgs) -> io::Result<bool> {
    let (json, quiet) = (args.json.clone(), args.quiet);
    let stop = Stop::on_signals()?;
    let settings = source_settings(args)?;
    let source = Source::start(settings, &date::rfc5322(SystemTime::now()), &stop)?;
    let mut line = ProgressLine::new(quiet);
    watch(&mut line, || source.has_ended(), || source.accepted());
    drop(line);
    let report = source.finish()?;
    if !quiet {
        console::say(&console::source_text(&report));
    }
    if let Some(path) = json {
        write_json(&path, &report)?;
    }
    // Who stops a source does not expect it to send what is left.
    Ok(report.is_clean() || (stop.is_set() && report.refused + report.lost == 0))
}

fn source_settings(args: SourceArgs) -> io::Result<SourceSettings> {
    let fallback = args.seconds.is_none().then_some(MESSAGES_DEFAULT);
    Ok(SourceSettings {
        target: net::resolve(&args.target)?,
        connections: args.connections as usize,
        messages: args.messages.or(fallback),
        time: args.seconds.map(|seconds| duration(seconds, 1.0)).transpose()?,
        size_bytes: args.size,
        messages_per_connection: args.messages_per_connection,
        client: ClientSettings {
            name: args.ehlo,
            pipelining: !args.no_pipelining,
            starttls: args.tls == TlsMode::Starttls,
        },
        tls: args.tls,
        tls_client: TlsClient::new(net::host_of(&args.target), !args.no_resumption)?,
        run_ahead: args.run_ahead,
        envelopes: Envelopes {
            from: args.from,
            to: args.to,
            domains: args.domains,
            recipients: args.recipients,
        },
        rate: args.rate,
        cpus: args.cpus,
        timeout: duration(args.timeout, 1.0)?,
        reconnect: args.reconnect,
        acked: create_log(args.acked.as_deref())?,
        run: args.run.unwrap_or_else(source::fresh_run),
    })
}

/// Accepts until told to stop; always true.
///
/// # Errors
/// The address is taken, a file cannot be written, a CPU is not ours.
pub(crate) fn sink(args: SinkArgs) -> io::Result<bool> {
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
        console::say(&console::sink_text(&totals));
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

/// Shows how fast `count` grows until `ended`.
fn watch(line: &mut ProgressLine, ended: impl Fn() -> bool, count: impl Fn() -> u64) {
    let (mut shown_at, mut shown) = (Instant::now(), 0);
    while !ended() {
        std::thread::sleep(GLANCE);
        let since = shown_at.elapsed();
        if since >= PROGRESS {
            let count = count();
            let rate = (count - shown) as f64 / since.as_secs_f64();
            line.show(&format!("{} messages, {}/s", grouped(count), rounded(rate)));
            (shown_at, shown) = (Instant::now(), count);
        }
    }
}

fn duration(number: f64, unit_s: f64) -> io::Result<Duration> {
    // A longer time would not fit in a clock.
    const SECONDS_MAX: f64 = 1e9;
    Duration::try_from_secs_f64((number * unit_s).min(SECONDS_MAX))
        .map_err(|error| io::Error::other(format!("{number} is not a time: {error}")))
}

fn create_log(path: Option<&Path>) -> io::Result<Option<std::sync::Arc<std::fs::File>>> {
    IdLog::create(path).map_err(|error| at(path.unwrap_or_else(|| Path::new("")), &error))
}

fn write_json(path: &Path, report: &impl serde::Serialize) -> io::Result<()> {
    console::write_json(path, report).map_err(|error| at(path, &error))
}

fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
