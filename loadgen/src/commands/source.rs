//! `loadgen source`: from the command line to the report.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::{GLANCE, create_log, dialogue, duration};
use crate::cli::{SourceArgs, WorkloadArgs};
use crate::console::{self, ProgressLine, grouped};
use crate::content::{Constants, Contents, Look};
use crate::date;
use crate::net;
use crate::results::Second;
use crate::source::{self, Envelopes, Schedule, Source, SourceSettings};
use crate::stop::Stop;
use crate::tls::TlsClient;

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
    while !source.has_ended() {
        std::thread::sleep(GLANCE);
        line.show_or_say(|| Some(progress(&source, source.latest_second()?)));
    }
    drop(line);
    let results = source.finish()?;
    if !quiet {
        console::say(&source::text(&results));
    }
    if let Some(path) = json {
        console::write_json(&path, &results)?;
    }
    // Who stops a source does not expect it to send what is left.
    Ok(results.is_clean() || (stop.is_set() && results.refused + results.lost == 0))
}

/// How it went in the last second, and what has gone wrong so far.
fn progress(source: &Source, last: Second) -> String {
    format!(
        "{} s: {} messages/s, {} in flight, {} errors, p50 {:.3} ms, p99 {:.3} ms; {} accepted",
        last.second + 1,
        grouped(last.accepted),
        grouped(last.in_flight),
        grouped(source.failed()),
        last.p50_ms,
        last.p99_ms,
        grouped(source.accepted()),
    )
}

fn source_settings(args: SourceArgs) -> io::Result<SourceSettings> {
    let run = args.run.unwrap_or_else(source::fresh_run);
    let envelopes = envelopes(&args.workload)?;
    let contents = contents(&args, &envelopes, run)?;
    let schedule = args.workload.pace.schedule();
    let time = args.workload.seconds.map(|seconds| duration(seconds, 1.0)).transpose()?;
    let end = time.into_iter().chain(schedule.as_ref().and_then(Schedule::end)).min();
    let fallback = end.is_none().then_some(MESSAGES_DEFAULT);
    let warm_up = duration(args.workload.warm_up_s, 1.0)?;
    let cool_down = duration(args.workload.cool_down_s, 1.0)?;
    check_window(end, warm_up, cool_down)?;
    let target = net::resolve(&args.target)?;
    let is_ascii = envelopes.is_ascii();
    let client = dialogue::client_settings(&args.dialogue, contents.is_8bit(), is_ascii)?;
    Ok(SourceSettings {
        target,
        origins: Arc::new(dialogue::origins(&args.dialogue, target)?),
        connections: args.connections as usize,
        messages: args.workload.messages.or(fallback),
        time,
        client,
        contents: Arc::new(contents),
        messages_per_connection: args.dialogue.messages_per_connection,
        tls: args.dialogue.tls,
        tls_client: TlsClient::new(net::host_of(&args.target), !args.dialogue.no_resumption)?,
        run_ahead: args.dialogue.run_ahead,
        envelopes,
        schedule,
        warm_up,
        cool_down,
        seed: args.workload.seed,
        cpus: args.cpus,
        timeout: duration(args.dialogue.timeout, 1.0)?,
        reconnect: args.dialogue.reconnect,
        acked: create_log(args.acked.as_deref())?,
        run,
    })
}

fn envelopes(args: &WorkloadArgs) -> io::Result<Envelopes> {
    Ok(Envelopes {
        from: args.from.clone(),
        to: args.to.clone(),
        domains: args.domains.domains().map_err(io::Error::other)?,
        mixes_domains: args.domains.mix,
        recipients: args.recipients,
        seed: args.seed,
    })
}

fn contents(args: &SourceArgs, envelopes: &Envelopes, run: u64) -> io::Result<Contents> {
    let SourceArgs { workload: args, dialogue, .. } = args;
    let (date, seed) = (date::rfc5322(SystemTime::now()), args.seed);
    if let Some(directory) = &args.content.eml {
        Contents::folder(directory)
    } else if let Some(path) = &args.content.template {
        Contents::template(path, envelopes.clone(), &Constants { date: &date, run, seed })
    } else {
        let look = Look {
            from: &args.from,
            date: &date,
            is_8bit: dialogue.eight_bit_mime,
            has_8bit_header: dialogue.smtputf8,
            seed,
        };
        Ok(Contents::generated(&look, args.content.size.clone()))
    }
}

/// Something must be left between warm-up and cool-down.
fn check_window(end: Option<Duration>, warm_up: Duration, cool_down: Duration) -> io::Result<()> {
    let complaint = match end {
        None if !cool_down.is_zero() => "--cool-down-s needs to know the end: give --seconds too",
        Some(end) if warm_up + cool_down >= end => {
            "--warm-up-s and --cool-down-s leave no time for figures: send for longer"
        }
        None | Some(_) => return Ok(()),
    };
    Err(io::Error::other(complaint))
}
