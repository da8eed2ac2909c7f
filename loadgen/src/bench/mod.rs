//! The bench: starts a server, gives it work from a source, takes what it relays into a sink, and
//! measures rate, cost and latency; side by side with other servers if asked.
//!
//! Every run begins with a fresh server in a fresh directory. The servers take turns, so that what
//! else happens on the machine hits them alike: only figures of one bench may be compared.
//!
//! # Guarantees
//! Whatever the end, also after SIGINT and SIGTERM, the servers are stopped and their directory is
//! removed. What cannot be measured here is told in the results, with the reason.
//!
//! # Never
//! Touches a server that it did not start, or a configuration outside its directory.
//!
//! # Failures
//! A server that does not start, or a relay that loses mail, ends the bench.

mod certificate;
mod commits;
mod disk;
mod handshakes;
mod idle;
mod mail;
mod markdown;
mod meter;
mod peers;
mod perf;
mod plan;
mod ringpost;
mod scenario;
mod server;
mod subject;
mod table;
mod tables;

use std::env;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use crate::cli::BenchArgs;
use crate::console::{self, ProgressLine, naming};
use crate::machine;
use crate::process::Tree;
use crate::report;
use crate::results::{
    AnyResults, BenchResults, HandshakeResult, IdleResult, Kind, MailResult, ServerRuns,
};
use crate::stats::Spread;
use crate::stop::Stop;
use crate::tls::{TlsClient, TlsMode};
pub(crate) use certificate::KeyKind;
use idle::IdleOutcome;
use mail::MailTask;
use markdown::markdown;
use peers::Installed;
pub(crate) use peers::Peer;
use perf::Counting;
use plan::Plan;
use scenario::Scenario;
use subject::Subject;

/// A server may take this share of the memory that a machine has left.
const MEMORY_SHARE_MAX: f64 = 0.8;

/// Measures; whether every message arrived.
///
/// # Errors
/// See the module.
pub(crate) fn run(args: &BenchArgs) -> io::Result<bool> {
    let time = Duration::try_from_secs_f64(args.seconds).map_err(io::Error::other)?;
    let directory = private_directory(args)?;
    let mut idle_connections = args.idle_connections.clone();
    idle_connections.sort_unstable();
    let plan = Plan {
        messages: args.messages,
        time: args.messages.is_none().then_some(time),
        warm_up: args.warm_up,
        backlog: args.backlog,
        connections: args.connections,
        size_bytes: args.size,
        pipelining: !args.no_pipelining,
        idle_connections,
        server_cpus: args.server_cpus.clone(),
        generator_cpus: args.generator_cpus.clone(),
        tls: args.tls,
        certificate: certificate::make(args.tls_key, directory.path())?,
        tls_client: TlsClient::new("bench.example", !args.no_resumption)?,
        handshake_message_rate: args.handshake_message_rate,
        stop: Stop::on_signals()?,
    };
    let results = empty_results(&plan, directory.path())?;
    let mut bench = Bench {
        runs: args.runs,
        subjects: subjects(args)?,
        counts: !args.no_counts,
        quiet: args.json.as_ref().is_some_and(|path| path.as_os_str() == "-"),
        directory,
        plan,
        results,
    };
    if args.server_cpus.overlaps(&args.generator_cpus) {
        bench.note("server and generator share a CPU: each takes from the other".to_owned());
    }
    bench.check_counting();
    bench.say(&markdown::head(&bench.results));
    for scenario in scenario::chosen(&args.scenarios) {
        bench.measure(scenario)?;
    }
    write(args, bench.results)
}

/// Writes what the user asked for; whether every message arrived.
fn write(args: &BenchArgs, results: BenchResults) -> io::Result<bool> {
    let is_clean = results
        .mail
        .iter()
        .flat_map(|mail| &mail.servers)
        .flat_map(|server| &server.runs)
        .all(|run| run.failed == 0);
    if let Some(path) = &args.json {
        console::write_json(path, &results)?;
    }
    if let Some(path) = &args.markdown {
        fs::write(path, markdown(&results)).map_err(naming(path))?;
    }
    if let Some(path) = &args.html {
        report::write_html(&[AnyResults::Bench(Box::new(results))], path)?;
    }
    Ok(is_clean)
}

fn empty_results(plan: &Plan, directory: &Path) -> io::Result<BenchResults> {
    let tls = match plan.tls {
        TlsMode::None => "none",
        TlsMode::Starttls => "starttls",
        TlsMode::Implicit => "implicit",
    };
    Ok(BenchResults {
        header: machine::header(Kind::Bench, Some(directory))?,
        message_bytes: plan.size_bytes as u64,
        connections: plan.connections,
        pipelining: plan.pipelining,
        tls: tls.to_owned(),
        server_cpus: plan.server_cpus.to_string(),
        generator_cpus: plan.generator_cpus.to_string(),
        mail: Vec::new(),
        idle: Vec::new(),
        handshakes: Vec::new(),
        notes: Vec::new(),
    })
}

#[derive(Debug)]
struct Bench {
    runs: u32,
    subjects: Vec<Subject>,
    /// Whether events are counted, in runs of their own.
    counts: bool,
    quiet: bool,
    directory: TempDir,
    plan: Plan,
    results: BenchResults,
}

impl Bench {
    /// Measures one thing of all servers and says what came of it.
    fn measure(&mut self, scenario: Scenario) -> io::Result<()> {
        let tables = match scenario {
            Scenario::Idle => {
                self.results.idle = self.idle()?;
                vec![tables::idle(&self.results.idle)]
            }
            Scenario::Handshakes => {
                self.results.handshakes = self.handshakes()?;
                vec![tables::handshakes(&self.results.handshakes)]
            }
            Scenario::AcceptKept
            | Scenario::AcceptSingle
            | Scenario::Relay
            | Scenario::Drain
            | Scenario::Latency { .. } => {
                let result = self.mail(scenario)?;
                let tables = tables::mail(&result);
                self.results.mail.push(result);
                tables
            }
        };
        for table in tables.iter().filter(|table| !table.rows.is_empty()) {
            self.say(&format!("\n{}", table.text()));
        }
        Ok(())
    }

    fn mail(&mut self, scenario: Scenario) -> io::Result<MailResult> {
        let mut line = ProgressLine::new(self.quiet);
        let subjects = self.taking_part_in(scenario);
        let mut servers: Vec<ServerRuns> = subjects
            .iter()
            .map(|subject| ServerRuns {
                server: subject.name().to_owned(),
                version: None,
                offered_per_second: self.offered(subject, scenario),
                runs: Vec::new(),
                counted: None,
            })
            .collect();
        for number in 1..=self.runs {
            for (subject, server) in subjects.iter().zip(&mut servers) {
                let (name, scenario_name) = (subject.name(), scenario.name());
                line.show(&format!("{scenario_name}: run {number} of {}, {name}", self.runs));
                let directory = self.fresh_directory()?;
                let (rate, directory) = (server.offered_per_second, directory.path());
                let task = MailTask { subject, scenario, rate, directory };
                let (run, version) = self.plan.run_mail(task)?;
                server.runs.push(run);
                server.version = version;
            }
        }
        for (subject, server) in subjects.iter().zip(&mut servers) {
            if !self.counts {
                break;
            }
            line.show(&format!("{}: counting events of {}", scenario.name(), subject.name()));
            let directory = self.fresh_directory()?;
            let (rate, directory) = (server.offered_per_second, directory.path());
            match self.plan.count_mail(MailTask { subject, scenario, rate, directory }) {
                Ok(counted) => server.counted = counted,
                Err(error) => {
                    self.plan.check_stop()?;
                    let (name, scenario) = (subject.name(), scenario.name());
                    self.note(format!("{scenario}: events of {name} are not counted: {error}"));
                }
            }
        }
        Ok(MailResult { scenario: scenario.name(), title: scenario.title(), servers })
    }

    /// The share of its own maximum that a server is given; none where it is given all it takes.
    fn offered(&self, subject: &Subject, scenario: Scenario) -> Option<f64> {
        let Scenario::Latency { load_percent } = scenario else { return None };
        let kept = Scenario::AcceptKept.name();
        let measured = self.results.mail.iter().find(|mail| mail.scenario == kept)?;
        let server = measured.servers.iter().find(|server| server.server == subject.name())?;
        let rates = server.runs.iter().map(|run| run.messages_per_second).collect();
        Some(Spread::of(rates).median * f64::from(load_percent) / 100.0)
    }

    fn idle(&mut self) -> io::Result<Vec<IdleResult>> {
        let mut line = ProgressLine::new(self.quiet);
        let mut results: Vec<IdleResult> = Vec::new();
        for connections in self.plan.idle_connections.clone() {
            for subject in self.taking_part_in(Scenario::Idle) {
                let name = subject.name();
                let fewer = results.iter().rev().find(|result| result.server == name);
                if let Some(reason) = fewer.and_then(|fewer| too_many(fewer, connections)) {
                    self.note(reason);
                    continue;
                }
                line.show(&format!("{connections} idle connections: {name}"));
                let directory = self.fresh_directory()?;
                match self.plan.run_idle(&subject, connections, directory.path())? {
                    IdleOutcome::Measured(result) => results.push(result),
                    IdleOutcome::LeftOut(reason) => self.note(reason),
                }
            }
        }
        Ok(results)
    }

    fn handshakes(&self) -> io::Result<Vec<HandshakeResult>> {
        let mut line = ProgressLine::new(self.quiet);
        let mut results = Vec::new();
        for number in 1..=self.runs {
            for subject in self.taking_part_in(Scenario::Handshakes) {
                let (name, total) = (subject.name(), self.runs);
                line.show(&format!("handshakes: run {number} of {total}, {name}"));
                let directory = self.fresh_directory()?;
                results.push(self.plan.run_handshakes(&subject, directory.path())?);
            }
        }
        Ok(results)
    }

    fn taking_part_in(&self, scenario: Scenario) -> Vec<Subject> {
        let subjects = self.subjects.iter();
        subjects.filter(|subject| subject.takes_part_in(scenario)).cloned().collect()
    }

    /// Whether events can be counted here is better known at once.
    fn check_counting(&mut self) {
        if !self.counts {
            return;
        }
        let own = Tree { root: std::process::id() };
        if let Err(error) = Counting::begin(own, self.directory.path()).and_then(Counting::end) {
            self.counts = false;
            self.note(format!(
                "system calls, ring entries and context switches are not counted: {error}"
            ));
        }
    }

    /// Tells at once, and in the results, what could not be measured.
    fn note(&mut self, text: String) {
        if !self.results.notes.contains(&text) {
            console::complain(&text);
            self.results.notes.push(text);
        }
    }

    fn say(&self, text: &str) {
        if !self.quiet {
            console::say(text);
        }
    }

    fn fresh_directory(&self) -> io::Result<TempDir> {
        open_to_daemons(&mut tempfile::Builder::new()).tempdir_in(self.directory.path())
    }
}

/// Why so many connections cannot be tried, judging by what `fewer` took.
fn too_many(fewer: &IdleResult, connections: u32) -> Option<String> {
    let more = fewer.memory_bytes.saturating_sub(fewer.memory_before_bytes) as f64;
    let wanted = more / f64::from(fewer.connections.max(1)) * f64::from(connections);
    let left = idle::memory_left_bytes().ok()?;
    (wanted > left * MEMORY_SHARE_MAX).then(|| {
        format!(
            "{connections} idle connections to {} are left out: they would take about {:.1} GiB, \
             and the machine has {:.1} GiB left",
            fewer.server,
            wanted / f64::from(1 << 30),
            left / f64::from(1 << 30),
        )
    })
}

fn private_directory(args: &BenchArgs) -> io::Result<TempDir> {
    let parent = args.directory.clone().unwrap_or_else(env::temp_dir);
    if !parent.is_dir() {
        let text = format!("{} is no directory; create it, or name another", parent.display());
        return Err(io::Error::other(text));
    }
    open_to_daemons(tempfile::Builder::new().prefix("loadgen-bench-"))
        .tempdir_in(&parent)
        .map_err(naming(&parent))
}

/// Daemons that give up root must still come through.
fn open_to_daemons<'a, 'b, 'c>(
    builder: &'c mut tempfile::Builder<'a, 'b>,
) -> &'c mut tempfile::Builder<'a, 'b> {
    builder.permissions(Permissions::from_mode(0o755))
}

/// Ringpost first, then the peers, then the floor, as far as they take part.
fn subjects(args: &BenchArgs) -> io::Result<Vec<Subject>> {
    let mut subjects = Vec::new();
    if !args.only_peer {
        let program = match &args.ringpost {
            Some(program) => program.clone(),
            None => env::current_exe()?.with_file_name("ringpost"),
        };
        let program = existing(&program, "name it with --ringpost")?;
        subjects.push(Subject::Ringpost { program });
    }
    for peer in &args.peer {
        let installed = Installed::find(*peer, args.peers_directory.as_deref())?;
        subjects.push(Subject::Peer(installed));
    }
    if args.floor {
        // It is built with Ringpost.
        let beside = args.ringpost.clone().map_or_else(env::current_exe, Ok)?;
        let program = beside.with_file_name("ringpost-floor");
        let program = existing(&program, "leave out --floor")?;
        subjects.push(Subject::Floor { program });
    }
    Ok(subjects)
}

/// The absolute path of `program`: servers run in directories of their own, so that a relative one
/// would lead astray.
fn existing(program: &Path, otherwise: &str) -> io::Result<PathBuf> {
    program.canonicalize().map_err(|error| {
        io::Error::new(
            error.kind(),
            format!(
                "{}: {error}; build it with `cargo build --release` or {otherwise}",
                program.display()
            ),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn bench_args(words: &[&str]) -> BenchArgs {
        let words = ["loadgen", "bench"].iter().chain(words);
        let crate::cli::Command::Bench(args) = crate::cli::Cli::parse_from(words).command else {
            panic!()
        };
        args
    }

    #[test]
    fn a_missing_ringpost_says_what_to_do() {
        let error = subjects(&bench_args(&["--ringpost", "/no/such"])).unwrap_err().to_string();
        assert!(error.contains("cargo build --release"), "{error}");
        let peers = subjects(&bench_args(&["--peer", "postfix", "--only-peer"])).unwrap();
        let names: Vec<&str> = peers.iter().map(Subject::name).collect();
        assert_eq!(names, ["postfix"]);
    }

    #[test]
    fn more_connections_than_memory_are_left_out() {
        let fewer = IdleResult {
            server: "postfix".to_owned(),
            connections: 10,
            memory_before_bytes: 0,
            memory_bytes: 10 << 30,
            cpu_us_per_connection: 0.0,
            cpu_idle_share: 0.0,
        };
        let reason = too_many(&fewer, 100_000).unwrap();
        assert!(reason.contains("100000.0 GiB"), "{reason}");
        assert_eq!(too_many(&IdleResult { memory_bytes: 10, ..fewer }, 20), None);
    }
}
