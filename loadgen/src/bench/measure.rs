//! One run of one scenario with one server: from a fresh directory to figures.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;

use super::certificate::CertificateFiles;
use super::handshakes::{self, HandshakeRun, Storm};
use super::peers::Peer;
use super::ringpost;
use super::server::{Duty, Protection, Server};
use crate::client::ClientSettings;
use crate::content::Contents;
use crate::cpus::{CpuList, Pinned};
use crate::date;
use crate::net;
use crate::results::SourceResults;
use crate::server::{RefuseAt, ServerPolicy};
use crate::sink::{Sink, SinkSettings};
use crate::source::{self, Arrivals, Envelopes, Schedule, Source, SourceSettings};
use crate::stats::Percentiles;
use crate::stop::Stop;
use crate::tls::{TlsClient, TlsMode};

/// How often the bench looks whether its parts are done.
const GLANCE: Duration = Duration::from_millis(5);

/// A relay that delivers nothing for this long has lost what is missing.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Time to wait for a reply.
const REPLY_TIME_MAX: Duration = Duration::from_secs(60);

/// After the last message has arrived, time for the server to note it; its CPU counts.
const SETTLE: Duration = Duration::from_millis(200);

/// Time for a server to come to rest before and after the idle connections.
const REST: Duration = Duration::from_secs(1);

/// As many rests show what idle connections cost.
const IDLE_RESTS: u32 = 5;

/// Who sends what the bench sends.
const SENDER: &str = "sender@loadgen.example";

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Scenario {
    /// Take mail over connections that stay, and hold it.
    AcceptKept,
    /// Take mail with a connection for each message, and hold it.
    AcceptSingle,
    /// Take mail and pass it on.
    Relay,
    /// Hold connections that say nothing.
    Idle,
    /// Take mail at a steady rate beside handshakes of TLS.
    Handshakes,
}

/// Whom it is measured on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    Ringpost { program: PathBuf },
    Peer(Peer),
}

impl Subject {
    /// For people.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Ringpost { .. } => "ringpost",
            Self::Peer(peer) => peer.name(),
        }
    }
}

/// How it is measured.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) messages: Option<u64>,
    pub(super) time: Option<Duration>,
    pub(super) warm_up: u64,
    pub(super) connections: u32,
    pub(super) size_bytes: usize,
    pub(super) pipelining: bool,
    pub(super) idle_connections: u32,
    pub(super) server_cpus: CpuList,
    pub(super) generator_cpus: CpuList,
    /// Protection of the connections, what the server shows, and the client's side of it.
    pub(super) tls: TlsMode,
    pub(super) certificate: CertificateFiles,
    pub(super) tls_client: TlsClient,
    pub(super) handshake_message_rate: f64,
    pub(super) stop: Stop,
}

/// What a run of mail came to.
#[derive(Clone, Debug, Serialize)]
pub(super) struct MailRun {
    pub(super) messages: u64,
    /// Messages refused, lost or not sent.
    pub(super) failed: u64,
    pub(super) messages_per_second: f64,
    /// User and system time of all the server's processes for a message.
    pub(super) cpu_us_per_message: f64,
    /// From MAIL to the reply to the content.
    pub(super) latency: Option<Percentiles>,
    /// Messages that reached the sink more than once (relay only).
    pub(super) duplicates: u64,
}

/// What idle connections came to.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct IdleRun {
    pub(super) connections: u32,
    /// Proportional set size of all the server's processes without and with the connections.
    pub(super) memory_before_bytes: u64,
    pub(super) memory_bytes: u64,
    /// User and system time of the server for opening one connection, up to its greeting.
    pub(super) cpu_us_per_connection: f64,
    /// Of one CPU while all connections say nothing.
    pub(super) cpu_idle_percent: f64,
}

impl Plan {
    /// Mail through a fresh server.
    ///
    /// # Errors
    /// The server does not start, the relay falls silent, a signal asked to stop.
    pub(super) fn run_mail(
        &self,
        subject: &Subject,
        scenario: Scenario,
        directory: &Path,
    ) -> io::Result<MailRun> {
        if scenario != Scenario::Relay {
            // Connections to it succeed, in the kernel, and nobody ever greets.
            let silent = net::listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), false)?;
            let duty = Duty::Hold { next_hop: silent.local_addr()? };
            let server = self.start(subject, directory, duty)?;
            self.send(&*server, scenario, Some(self.warm_up))?;
            let before = server.tree().cpu_time()?;
            let (report, _) = self.send(&*server, scenario, None)?;
            let cpu = server.tree().cpu_time()?.saturating_sub(before);
            return Ok(mail_run(&report, report.messages_per_second, cpu, 0));
        }
        let stop = self.stop.part();
        let sink = Sink::start(&self.sink_settings(), &stop)?;
        let duty = Duty::Relay { next_hop: sink.address() };
        let server = self.start(subject, directory, duty)?;
        let (warm_up, _) = self.send(&*server, scenario, Some(self.warm_up))?;
        self.wait_for(&sink, warm_up.accepted)?;
        thread::sleep(SETTLE);
        let before = server.tree().cpu_time()?;
        let (report, begin) = self.send(&*server, scenario, None)?;
        self.wait_for(&sink, warm_up.accepted + report.accepted)?;
        let time = sink.counters().last_message_at().saturating_duration_since(begin);
        thread::sleep(SETTLE);
        let cpu = server.tree().cpu_time()?.saturating_sub(before);
        stop.set();
        drop(server);
        let totals = sink.finish()?;
        let rate = report.accepted as f64 / time.as_secs_f64().max(report.measured_s);
        Ok(mail_run(&report, rate, cpu, totals.duplicates))
    }

    /// Idle connections to a fresh server.
    ///
    /// # Errors
    /// The server does not start or does not greet all of them.
    pub(super) fn run_idle(&self, subject: &Subject, directory: &Path) -> io::Result<IdleRun> {
        net::raise_file_limit(u64::from(self.idle_connections) + 64)?;
        let silent = net::listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), false)?;
        let duty = Duty::Hold { next_hop: silent.local_addr()? };
        let server = self.start(subject, directory, duty)?;
        self.rest()?;
        let memory_before_bytes = server.tree().memory_bytes()?;
        let tls = (self.tls == TlsMode::Implicit).then_some(&self.tls_client);
        let mut open = Vec::new();
        let cpu_before = server.tree().cpu_time()?;
        for number in 1..=self.idle_connections {
            self.check_stop()?;
            let greeted = handshakes::greeted(server.address(), tls).map_err(|error| {
                let name = subject.name();
                io::Error::other(format!("{name} did not greet connection {number}: {error}"))
            })?;
            open.push(greeted);
        }
        let cpu_opening = server.tree().cpu_time()?.saturating_sub(cpu_before);
        self.rest()?;
        let (cpu_before, begin) = (server.tree().cpu_time()?, Instant::now());
        for _ in 0..IDLE_RESTS {
            self.rest()?;
        }
        let cpu_idle = server.tree().cpu_time()?.saturating_sub(cpu_before);
        let memory_bytes = server.tree().memory_bytes()?;
        let opened = f64::from(self.idle_connections.max(1));
        Ok(IdleRun {
            connections: self.idle_connections,
            memory_before_bytes,
            memory_bytes,
            cpu_us_per_connection: cpu_opening.as_secs_f64() * 1e6 / opened,
            cpu_idle_percent: cpu_idle.as_secs_f64() * 100.0 / begin.elapsed().as_secs_f64(),
        })
    }

    /// Mail at a steady rate to a fresh server, alone and beside handshakes.
    ///
    /// # Errors
    /// The server does not start or takes no mail.
    pub(super) fn run_handshakes(
        &self,
        subject: &Subject,
        directory: &Path,
    ) -> io::Result<HandshakeRun> {
        let silent = net::listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), false)?;
        let duty = Duty::Hold { next_hop: silent.local_addr()? };
        let protection = Protection {
            mode: TlsMode::None,
            second_listener: true,
            files: self.certificate.clone(),
        };
        let server = self.start_with(subject, directory, duty, &protection)?;
        let second = server.implicit_tls_address();
        let second = second.ok_or_else(|| io::Error::other("the server has no second listener"))?;
        self.send(&*server, Scenario::Handshakes, Some(self.warm_up))?;
        let (alone, _) = self.send(&*server, Scenario::Handshakes, None)?;
        let storm = Storm::begin(second, &self.tls_client)?;
        let (beside, _) = self.send(&*server, Scenario::Handshakes, None)?;
        let (handshakes_per_second, handshakes_failed) = storm.end()?;
        Ok(HandshakeRun {
            message_rate: self.handshake_message_rate,
            latency_alone: latency(&alone),
            latency_beside: latency(&beside),
            handshakes_per_second,
            handshakes_failed,
        })
    }

    fn start(
        &self,
        subject: &Subject,
        directory: &Path,
        duty: Duty,
    ) -> io::Result<Box<dyn Server>> {
        let files = self.certificate.clone();
        let protection = Protection { mode: self.tls, second_listener: false, files };
        self.start_with(subject, directory, duty, &protection)
    }

    fn start_with(
        &self,
        subject: &Subject,
        directory: &Path,
        duty: Duty,
        protection: &Protection,
    ) -> io::Result<Box<dyn Server>> {
        self.check_stop()?;
        // The server and all that it starts inherit this.
        let _pinned = Pinned::new(self.server_cpus.as_slice())?;
        match subject {
            Subject::Ringpost { program } => {
                ringpost::start(program, directory, &self.server_cpus, duty, protection)
            }
            Subject::Peer(peer) => {
                let sessions = self.connections.max(self.idle_connections);
                peer.start(directory, sessions, duty, protection)
            }
        }
    }

    /// Sends `warm_up` messages, or what the plan says; the report and when it began.
    fn send(
        &self,
        server: &dyn Server,
        scenario: Scenario,
        warm_up: Option<u64>,
    ) -> io::Result<(SourceResults, Instant)> {
        let is_paced = scenario == Scenario::Handshakes && warm_up.is_none();
        let tls = if scenario == Scenario::Handshakes { TlsMode::None } else { self.tls };
        let date = date::rfc5322(SystemTime::now());
        let schedule = Schedule::steady(self.handshake_message_rate, Arrivals::Even);
        let settings = SourceSettings {
            target: server.address(),
            origins: Arc::default(),
            connections: self.connections as usize,
            messages: warm_up.or(self.messages),
            time: self.time.filter(|_| warm_up.is_none()),
            contents: Arc::new(Contents::plain(SENDER, &date, self.size_bytes)),
            messages_per_connection: u64::from(scenario == Scenario::AcceptSingle),
            client: ClientSettings {
                name: "loadgen.example".to_owned(),
                pipelining: self.pipelining,
                starttls: tls == TlsMode::Starttls,
                ..ClientSettings::default()
            },
            tls,
            tls_client: self.tls_client.clone(),
            run_ahead: false,
            envelopes: Envelopes::plain(SENDER, "recipient@sink.example")?,
            schedule: is_paced.then_some(schedule),
            warm_up: Duration::ZERO,
            cool_down: Duration::ZERO,
            seed: 1,
            cpus: Some(self.generator_cpus.clone()),
            timeout: REPLY_TIME_MAX,
            reconnect: false,
            acked: None,
            run: source::fresh_run(),
        };
        let source = Source::start(settings, &self.stop)?;
        while !source.has_ended() {
            thread::sleep(GLANCE);
        }
        let begin = source.begin();
        let report = source.finish()?;
        self.check_stop()?;
        if report.accepted == 0 && warm_up != Some(0) {
            return Err(io::Error::other(format!("no message was accepted: {report:?}")));
        }
        Ok((report, begin))
    }

    fn sink_settings(&self) -> SinkSettings {
        SinkSettings {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            cpus: Some(self.generator_cpus.clone()),
            policy: ServerPolicy {
                name: "sink.example".to_owned(),
                delay: Duration::ZERO,
                delay_end_of_data: Duration::ZERO,
                reject_rate: 0.0,
                defer_rate: 0.0,
                refuse_at: RefuseAt::Recipient,
                keep: false,
            },
            seed: 1,
            ids: None,
            bodies: None,
            exit_after: None,
        }
    }

    /// Waits until `wanted` different messages have reached the sink.
    fn wait_for(&self, sink: &Sink, wanted: u64) -> io::Result<()> {
        let (mut seen, mut since) = (0, Instant::now());
        loop {
            let fresh = sink.counters().fresh();
            if fresh >= wanted {
                return Ok(());
            }
            if fresh > seen {
                (seen, since) = (fresh, Instant::now());
            } else if since.elapsed() > SILENCE_MAX {
                return Err(io::Error::other(format!(
                    "{} of {wanted} messages did not reach the sink",
                    wanted - fresh
                )));
            }
            self.check_stop()?;
            thread::sleep(GLANCE);
        }
    }

    fn rest(&self) -> io::Result<()> {
        let begin = Instant::now();
        while begin.elapsed() < REST {
            self.check_stop()?;
            thread::sleep(GLANCE);
        }
        Ok(())
    }

    fn check_stop(&self) -> io::Result<()> {
        if self.stop.is_set() { Err(io::Error::other("stopped by a signal")) } else { Ok(()) }
    }
}

fn mail_run(report: &SourceResults, rate: f64, cpu: Duration, duplicates: u64) -> MailRun {
    MailRun {
        messages: report.accepted,
        failed: report.refused + report.lost + report.unsent,
        messages_per_second: rate,
        cpu_us_per_message: cpu.as_secs_f64() * 1e6 / report.accepted.max(1) as f64,
        latency: latency(report),
        duplicates,
    }
}

fn latency(report: &SourceResults) -> Option<Percentiles> {
    report.stages.message.as_ref().map(Percentiles::from)
}
