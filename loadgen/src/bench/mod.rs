//! The bench: starts a server, gives it work from a source, takes what it relays into a sink, and
//! measures rate, CPU and latency; side by side with another server if asked.
//!
//! Every run begins with a fresh server in a fresh directory. The servers take turns, so that what
//! else happens on the machine hits them alike: only figures of one bench may be compared.
//!
//! # Guarantees
//! Whatever the end, also after SIGINT and SIGTERM, the servers are stopped and their directory is
//! removed.
//!
//! # Never
//! Touches a server that it did not start, or a configuration outside its directory.
//!
//! # Failures
//! A server that does not start, or a relay that loses mail, ends the bench.

mod certificate;
mod handshakes;
mod measure;
mod peers;
mod report;
mod ringpost;
mod server;

use std::env;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use crate::cli::{BenchArgs, ScenarioArg};
use crate::console::{self, ProgressLine};
use crate::machine;
use crate::results::Kind;
use crate::stop::Stop;
use crate::tls::TlsClient;
pub(crate) use certificate::KeyKind;
use measure::{MailRun, Plan, Scenario, Subject};
pub(crate) use peers::Peer;
use report::{BenchReport, HandshakeRow, IdleRow, MailRow, MailTable};

/// Measures; whether every message arrived.
///
/// # Errors
/// See the module.
pub(crate) fn run(args: &BenchArgs) -> io::Result<bool> {
    let time = Duration::try_from_secs_f64(args.seconds).map_err(io::Error::other)?;
    let directory = private_directory(args)?;
    let certificate = certificate::make(args.tls_key, directory.path())?;
    let bench = Bench {
        runs: args.runs,
        subjects: subjects(args)?,
        tls_key: args.tls_key,
        directory,
        plan: Plan {
            messages: args.messages,
            time: args.messages.is_none().then_some(time),
            warm_up: args.warm_up,
            connections: args.connections,
            size_bytes: args.size,
            pipelining: !args.no_pipelining,
            idle_connections: args.idle_connections,
            server_cpus: args.server_cpus.clone(),
            generator_cpus: args.generator_cpus.clone(),
            tls: args.tls,
            certificate,
            tls_client: TlsClient::new("bench.example", !args.no_resumption)?,
            handshake_message_rate: args.handshake_message_rate,
            stop: Stop::on_signals()?,
        },
    };
    let mut report = bench.empty_report()?;
    if args.server_cpus.overlaps(&args.generator_cpus) {
        console::complain("server and generator share a CPU: each takes from the other");
    }
    let quiet = args.json.as_ref().is_some_and(|path| path.as_os_str() == "-");
    let say = |text: &str| {
        if !quiet {
            console::say(text);
        }
    };
    say(&report.head());
    for scenario in scenarios(args) {
        if scenario == Scenario::Idle {
            report.idle = bench.idle()?;
            say(&format!("\n{}", report::idle_text(&report.idle)));
        } else if scenario == Scenario::Handshakes {
            report.handshakes = bench.handshakes()?;
            say(&format!("\n{}", report::handshakes_text(&report.handshakes)));
        } else {
            let table = bench.mail(scenario)?;
            say(&format!("\n{}", table.text()));
            report.mail.push(table);
        }
    }
    if let Some(path) = &args.json {
        console::write_json(path, &report)?;
    }
    Ok(report.is_clean())
}

#[derive(Debug)]
struct Bench {
    runs: u32,
    subjects: Vec<Subject>,
    tls_key: KeyKind,
    directory: TempDir,
    plan: Plan,
}

impl Bench {
    fn empty_report(&self) -> io::Result<BenchReport> {
        Ok(BenchReport {
            machine: machine::header(Kind::Bench, Some(self.directory.path()))?.machine,
            message_bytes: self.plan.size_bytes,
            connections: self.plan.connections,
            pipelining: self.plan.pipelining,
            server_cpus: self.plan.server_cpus.to_string(),
            generator_cpus: self.plan.generator_cpus.to_string(),
            mail: Vec::new(),
            tls: self.plan.tls,
            tls_key: self.tls_key,
            idle: Vec::new(),
            handshakes: Vec::new(),
        })
    }

    fn mail(&self, scenario: Scenario) -> io::Result<MailTable> {
        let mut line = ProgressLine::new(false);
        let mut runs: Vec<Vec<MailRun>> = vec![Vec::new(); self.subjects.len()];
        for number in 1..=self.runs {
            for (subject, runs) in self.subjects.iter().zip(&mut runs) {
                let (name, total) = (subject.name(), self.runs);
                line.show(&format!("{scenario:?}: run {number} of {total}, {name}"));
                let directory = self.fresh_directory()?;
                runs.push(self.plan.run_mail(subject, scenario, directory.path())?);
            }
        }
        let rows = self.subjects.iter().zip(runs);
        let rows = rows.map(|(subject, runs)| MailRow::new(subject.name(), runs)).collect();
        Ok(MailTable { scenario, rows })
    }

    fn idle(&self) -> io::Result<Vec<IdleRow>> {
        let mut line = ProgressLine::new(false);
        let mut rows = Vec::new();
        for subject in &self.subjects {
            line.show(&format!("idle connections: {}", subject.name()));
            let directory = self.fresh_directory()?;
            let run = self.plan.run_idle(subject, directory.path())?;
            rows.push(IdleRow { server: subject.name(), run });
        }
        Ok(rows)
    }

    fn handshakes(&self) -> io::Result<Vec<HandshakeRow>> {
        let mut line = ProgressLine::new(false);
        let mut rows = Vec::new();
        for number in 1..=self.runs {
            for subject in &self.subjects {
                let (name, total) = (subject.name(), self.runs);
                line.show(&format!("handshakes: run {number} of {total}, {name}"));
                let directory = self.fresh_directory()?;
                let run = self.plan.run_handshakes(subject, directory.path())?;
                rows.push(HandshakeRow { server: name, run });
            }
        }
        Ok(rows)
    }

    fn fresh_directory(&self) -> io::Result<TempDir> {
        open_to_daemons(&mut tempfile::Builder::new()).tempdir_in(self.directory.path())
    }
}

fn private_directory(args: &BenchArgs) -> io::Result<TempDir> {
    let parent = args.directory.clone().unwrap_or_else(env::temp_dir);
    open_to_daemons(tempfile::Builder::new().prefix("loadgen-bench-"))
        .tempdir_in(&parent)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", parent.display())))
}

/// Daemons that give up root must still come through.
fn open_to_daemons<'a, 'b, 'c>(
    builder: &'c mut tempfile::Builder<'a, 'b>,
) -> &'c mut tempfile::Builder<'a, 'b> {
    builder.permissions(Permissions::from_mode(0o755))
}

fn subjects(args: &BenchArgs) -> io::Result<Vec<Subject>> {
    let mut subjects = Vec::new();
    if !args.only_peer {
        let program = match &args.ringpost {
            Some(program) => program.clone(),
            None => env::current_exe()?.with_file_name("ringpost"),
        };
        // The server runs in a directory of its own, so a relative path would lead astray.
        let program = program.canonicalize().map_err(|error| no_ringpost(&program, &error))?;
        subjects.push(Subject::Ringpost { program });
    }
    subjects.extend(args.peer.iter().copied().map(Subject::Peer));
    Ok(subjects)
}

fn no_ringpost(program: &Path, error: &io::Error) -> io::Error {
    io::Error::new(
        error.kind(),
        format!(
            "{}: {error}; build it with `cargo build --release` or name it with --ringpost",
            program.display()
        ),
    )
}

fn scenarios(args: &BenchArgs) -> Vec<Scenario> {
    let all = [ScenarioArg::Accept, ScenarioArg::Relay, ScenarioArg::Idle];
    let wanted = if args.scenarios.is_empty() { &all[..] } else { &args.scenarios };
    let mut scenarios = Vec::new();
    for scenario in wanted {
        match scenario {
            ScenarioArg::Accept => {
                scenarios.extend([Scenario::AcceptKept, Scenario::AcceptSingle]);
            }
            ScenarioArg::Relay => scenarios.push(Scenario::Relay),
            ScenarioArg::Idle => scenarios.push(Scenario::Idle),
            ScenarioArg::Handshakes => scenarios.push(Scenario::Handshakes),
        }
    }
    scenarios
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
    fn no_scenario_means_all() {
        let all = [Scenario::AcceptKept, Scenario::AcceptSingle, Scenario::Relay, Scenario::Idle];
        assert_eq!(scenarios(&bench_args(&[])), all);
        assert_eq!(scenarios(&bench_args(&["relay"])), [Scenario::Relay]);
    }

    #[test]
    fn a_missing_ringpost_says_what_to_do() {
        let error = subjects(&bench_args(&["--ringpost", "/no/such"])).unwrap_err().to_string();
        assert!(error.contains("cargo build --release"), "{error}");
        let peer = subjects(&bench_args(&["--peer", "postfix", "--only-peer"])).unwrap();
        assert_eq!(peer, [Subject::Peer(Peer::Postfix)]);
    }
}
