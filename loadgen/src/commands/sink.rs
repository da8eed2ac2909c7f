//! `loadgen sink`: from the command line to the results.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use super::{create_log, duration, watch};
use crate::behaviour::{self, Delay, DelayKeys, Keys, Point, ReplyKeys, ReplyText};
use crate::cli::{RefuseAtArg, SinkArgs};
use crate::console::{self, ProgressLine, naming};
use crate::machine;
use crate::net;
use crate::results::Kind;
use crate::sink::{self, Sink, SinkSettings};
use crate::stop::Stop;

/// How many connections a sink shall be able to hold; it complains if it cannot.
const SINK_FILES: u64 = 1_024;

/// Where a sink listens that was told nothing.
const ADDRESS_DEFAULT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 2_526);

/// Accepts until told to stop; always true.
///
/// # Errors
/// An address is taken, the behaviour file is wrong, a file cannot be written, a CPU is not ours.
pub(crate) fn run(args: SinkArgs) -> io::Result<bool> {
    let (json, quiet) = (args.json.clone(), args.quiet);
    net::raise_file_limit(SINK_FILES)?;
    let stop = Stop::on_signals()?;
    let header = machine::header(Kind::Sink, None)?;
    let sink = Sink::start(sink_settings(args)?, &stop)?;
    let addresses: String = sink.addresses().iter().map(|address| format!(" {address}")).collect();
    console::say(&format!("loadgen sink ready:{addresses}"));
    let mut line = ProgressLine::new(quiet);
    watch(&mut line, || sink.has_ended(), || sink.counters().messages());
    drop(line);
    let results = sink.finish(header)?;
    if !quiet {
        console::say(&sink::text(&results));
    }
    if let Some(path) = json {
        console::write_json(&path, &results)?;
    }
    Ok(true)
}

fn sink_settings(args: SinkArgs) -> io::Result<SinkSettings> {
    if let Some(directory) = &args.bodies {
        std::fs::create_dir_all(directory).map_err(naming(directory))?;
    }
    let keys = keys(&args)?;
    let mut addresses = args.listen;
    if addresses.is_empty() && args.behaviour.is_none() {
        addresses.push(ADDRESS_DEFAULT);
    }
    let listen = behaviour::read(args.behaviour.as_deref(), &addresses, &keys)?;
    Ok(SinkSettings {
        listen,
        cpus: args.cpus,
        seed: args.seed,
        ids: create_log(args.ids.as_deref())?,
        bodies: args.bodies,
        exit_after: args.exit_after,
        late_after: duration(args.late_after_s, 1.0)?,
        authority: args.authority,
    })
}

/// What the options say, as `[default]` of a behaviour file would.
fn keys(args: &SinkArgs) -> io::Result<Keys> {
    let time = |ms: Option<f64>| ms.map(|ms| duration(ms, 1e-3)).transpose();
    let (every, besides) = (time(args.delay_ms)?, time(args.delay_end_of_data_ms)?);
    let end_of_data = match (every, besides) {
        (None, None) => None,
        (every, besides) => Some(every.unwrap_or_default() + besides.unwrap_or_default()),
    };
    let every = every.map(Delay::Always);
    let at = match args.refuse_at {
        RefuseAtArg::Rcpt => Point::Rcpt,
        RefuseAtArg::EndOfData => Point::EndOfData,
    };
    let refusal = |share: f64, code: u16, text: &str| ReplyKeys {
        at,
        share,
        text: ReplyText { code, lines: vec![text.to_owned()] },
        recipients: Vec::new(),
    };
    let refusals = [
        refusal(args.reject_rate, 550, "5.7.1 Refused by chance"),
        refusal(args.defer_rate, 451, "4.3.0 Deferred by chance"),
    ];
    let mut keys = Keys::default();
    keys.name.clone_from(&args.name);
    keys.delay = DelayKeys {
        greeting: every.clone(),
        ehlo: every.clone(),
        starttls: every.clone(),
        auth: every.clone(),
        mail: every.clone(),
        rcpt: every.clone(),
        data: every.clone(),
        end_of_data: end_of_data.map(Delay::Always),
        other: every.clone(),
        quit: every,
    };
    keys.reply = refusals.into_iter().filter(|refusal| refusal.share > 0.0).collect();
    Ok(keys)
}
