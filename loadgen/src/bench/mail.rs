//! One run of one scenario with mail, with one server: from a fresh directory to figures.

use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::meter::{Cost, Meter};
use super::plan::{Load, Plan};
use super::scenario::Scenario;
use super::server::{Duty, Server};
use super::subject::Subject;
use crate::results::{CountedRun, MailRun, SourceResults};
use crate::sink::Sink;

/// After the last message has arrived, time for the server to note it; its CPU counts.
const SETTLE: Duration = Duration::from_millis(200);

/// Counting takes time of every event, and the figures are per message: a short run will do.
const COUNTED_TIME_MAX: Duration = Duration::from_secs(2);
const COUNTED_BACKLOG_MAX: u64 = 2_000;

/// What a run is of.
#[derive(Clone, Copy, Debug)]
pub(super) struct MailTask<'a> {
    pub(super) subject: &'a Subject,
    pub(super) scenario: Scenario,
    /// Messages a second; without it as many as the server takes.
    pub(super) rate: Option<f64>,
    /// Where its files go.
    pub(super) directory: &'a Path,
}

/// What was found out of a server besides a run's figures.
#[derive(Debug)]
struct Measured {
    run: MailRun,
    cost: Cost,
    version: Option<String>,
}

impl Plan {
    /// A run whose figures count, and the server's version.
    ///
    /// # Errors
    /// The server does not start, the relay falls silent, a signal asked to stop.
    pub(super) fn run_mail(&self, task: MailTask<'_>) -> io::Result<(MailRun, Option<String>)> {
        let measured = self.measure(task, false)?;
        Ok((measured.run, measured.version))
    }

    /// A run in which events are counted.
    ///
    /// # Errors
    /// As for [`Self::run_mail`], and whatever keeps `perf` from counting.
    pub(super) fn count_mail(&self, task: MailTask<'_>) -> io::Result<Option<CountedRun>> {
        let plan = Self {
            time: self.time.map(|time| time.min(COUNTED_TIME_MAX)),
            backlog: self.backlog.min(COUNTED_BACKLOG_MAX),
            ..self.clone()
        };
        let measured = plan.measure(task, true)?;
        Ok(measured.cost.events.map(|events| events.per_message(measured.run.messages)))
    }

    fn measure(&self, task: MailTask<'_>, counts: bool) -> io::Result<Measured> {
        match task.scenario {
            Scenario::Relay => self.relay(task, counts),
            Scenario::Drain => self.drain(task, counts),
            Scenario::AcceptKept
            | Scenario::AcceptSingle
            | Scenario::Latency { .. }
            | Scenario::Idle
            | Scenario::Handshakes => self.accept(task, counts),
        }
    }

    /// Mail in, and held.
    fn accept(&self, task: MailTask<'_>, counts: bool) -> io::Result<Measured> {
        let (_silent, duty) = Self::silent_hop()?;
        let server = self.start(task.subject, task.directory, duty)?;
        let load = Load {
            messages_per_connection: u64::from(task.scenario == Scenario::AcceptSingle),
            rate: task.rate,
            ..self.load()
        };
        self.warm_up(&*server, load)?;
        let meter = Meter::begin(&*server, task.directory, counts)?;
        let (results, _) = self.send(&*server, load)?;
        let cost = meter.end(&*server)?;
        let rate = results.messages_per_second;
        Ok(self.measured(&*server, mail_run(&results, rate, &cost), cost))
    }

    /// Mail in and out at the same time.
    fn relay(&self, task: MailTask<'_>, counts: bool) -> io::Result<Measured> {
        let stop = self.stop.part();
        let sink = Sink::start(self.sink_settings(), &stop)?;
        let server = self.start(
            task.subject,
            task.directory,
            Duty::Relay { next_hop: sink.addresses()[0] },
        )?;
        let before = self.warm_up(&*server, self.load())?;
        self.wait_for(&sink, before)?;
        thread::sleep(SETTLE);
        let meter = Meter::begin(&*server, task.directory, counts)?;
        let (results, begin) = self.send(&*server, self.load())?;
        self.wait_for(&sink, before + results.accepted)?;
        let time = sink.counters().last_message_at().saturating_duration_since(begin);
        thread::sleep(SETTLE);
        let cost = meter.end(&*server)?;
        stop.set();
        let rate = results.accepted as f64 / time.as_secs_f64().max(results.measured_s);
        let mut measured = self.measured(&*server, mail_run(&results, rate, &cost), cost);
        drop(server);
        measured.run.duplicates = sink.finish_counting()?;
        Ok(measured)
    }

    /// Mail out that was held. The rate counts from the first message that comes out, since servers
    /// are let go in different ways; CPU counts from before.
    fn drain(&self, task: MailTask<'_>, counts: bool) -> io::Result<Measured> {
        let (silent, duty) = Self::silent_hop()?;
        let next_hop = duty.next_hop();
        let mut server = self.start(task.subject, task.directory, duty)?;
        let load = Load { messages: Some(self.backlog), time: None, ..self.load() };
        let (results, _) = self.send(&*server, load)?;
        thread::sleep(SETTLE);
        let meter = Meter::begin(&*server, task.directory, counts)?;
        let stop = self.stop.part();
        let sink = Sink::start_on(&silent, self.sink_settings(), &stop)?;
        server.release(next_hop)?;
        let mut first = (0, Instant::now());
        while first.0 == 0 {
            self.wait_for(&sink, 1)?;
            first = (sink.counters().fresh(), Instant::now());
        }
        self.wait_for(&sink, results.accepted)?;
        let time = sink.counters().last_message_at().saturating_duration_since(first.1);
        thread::sleep(SETTLE);
        let cost = meter.end(&*server)?;
        stop.set();
        let rate = results.accepted.saturating_sub(first.0) as f64 / time.as_secs_f64().max(1e-6);
        let mut run = mail_run(&results, rate, &cost);
        // The source's times are those of the backlog coming in, which is not what is measured.
        (run.latency, run.end_of_data) = (None, None);
        run.timeline.clear();
        let mut measured = self.measured(&*server, run, cost);
        drop(server);
        measured.run.duplicates = sink.finish_counting()?;
        Ok(measured)
    }

    fn measured(&self, server: &dyn Server, run: MailRun, cost: Cost) -> Measured {
        Measured { run, cost, version: server.version() }
    }
}

fn mail_run(results: &SourceResults, rate: f64, cost: &Cost) -> MailRun {
    let messages = results.accepted;
    let us_per_message = |time: Duration| time.as_secs_f64() * 1e6 / messages.max(1) as f64;
    MailRun {
        messages,
        failed: results.refused + results.lost + results.unsent,
        duplicates: 0,
        messages_per_second: rate,
        bytes_per_second: rate * results.bytes as f64 / messages.max(1) as f64,
        cpu_user_us_per_message: us_per_message(cost.cpu.user),
        cpu_system_us_per_message: us_per_message(cost.cpu.system),
        memory_bytes: cost.memory_bytes,
        latency: results.stages.message.clone(),
        end_of_data: results.stages.end_of_data.clone(),
        stored: cost.stored(messages, results.bytes),
        timeline: results.timeline.clone(),
    }
}
