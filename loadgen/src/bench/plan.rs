//! How everything is measured: servers are started and mail is sent by the same rules whatever the
//! scenario.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use super::certificate::CertificateFiles;
use super::server::{Duty, Protection, Server};
use super::subject::Subject;
use crate::client::ClientSettings;
use crate::content::Contents;
use crate::cpus::{CpuList, Pinned};
use crate::date;
use crate::net;
use crate::results::SourceResults;
use crate::sink::{Sink, SinkSettings};
use crate::source::{self, Arrivals, Envelopes, Schedule, Source, SourceSettings};
use crate::stop::Stop;
use crate::tls::{TlsClient, TlsMode};

/// How often the bench looks whether its parts are done.
pub(super) const GLANCE: Duration = Duration::from_millis(5);

/// A relay that delivers nothing for this long has lost what is missing.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Time to wait for a reply.
const REPLY_TIME_MAX: Duration = Duration::from_secs(60);

/// Time for a server to come to rest before and after the idle connections.
const REST: Duration = Duration::from_secs(1);

/// Who sends what the bench sends.
const SENDER: &str = "sender@loadgen.example";

/// How it is measured.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) messages: Option<u64>,
    pub(super) time: Option<Duration>,
    pub(super) warm_up: u64,
    /// Messages that are held before they are let go.
    pub(super) backlog: u64,
    pub(super) connections: u32,
    pub(super) size_bytes: usize,
    pub(super) pipelining: bool,
    /// Rising.
    pub(super) idle_connections: Vec<u32>,
    pub(super) server_cpus: CpuList,
    pub(super) generator_cpus: CpuList,
    /// Protection of the connections, what the server shows, and the client's side of it.
    pub(super) tls: TlsMode,
    pub(super) certificate: CertificateFiles,
    pub(super) tls_client: TlsClient,
    pub(super) handshake_message_rate: f64,
    pub(super) stop: Stop,
}

/// What is sent in one go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    /// With neither a number nor a time it would have no end.
    pub(super) messages: Option<u64>,
    pub(super) time: Option<Duration>,
    /// 0: as many as there are.
    pub(super) messages_per_connection: u64,
    /// Messages a second; without it as many as the server takes.
    pub(super) rate: Option<f64>,
    pub(super) tls: TlsMode,
}

impl Plan {
    /// A closed loop over connections that stay, for as long as the plan says.
    pub(super) fn load(&self) -> Load {
        Load {
            messages: self.messages,
            time: self.time,
            messages_per_connection: 0,
            rate: None,
            tls: self.tls,
        }
    }

    /// Starts a server with the plan's protection.
    ///
    /// # Errors
    /// It does not get ready, or a signal asked to stop.
    pub(super) fn start(
        &self,
        subject: &Subject,
        directory: &Path,
        duty: Duty,
    ) -> io::Result<Box<dyn Server>> {
        let files = self.certificate.clone();
        let protection = Protection { mode: self.tls, second_listener: false, files };
        self.start_with(subject, directory, duty, &protection)
    }

    /// Starts a server.
    ///
    /// # Errors
    /// It does not get ready, or a signal asked to stop.
    pub(super) fn start_with(
        &self,
        subject: &Subject,
        directory: &Path,
        duty: Duty,
        protection: &Protection,
    ) -> io::Result<Box<dyn Server>> {
        self.check_stop()?;
        // The server and all that it starts inherit this.
        let _pinned = Pinned::new(self.server_cpus.as_slice())?;
        let idle = self.idle_connections.iter().copied().max();
        let sessions = self.connections.max(idle.unwrap_or(0));
        subject.start(directory, &self.server_cpus, sessions, duty, protection)
    }

    /// Sends `load`; the results and when it began.
    ///
    /// # Errors
    /// Nothing was accepted, or a signal asked to stop.
    pub(super) fn send(
        &self,
        server: &dyn Server,
        load: Load,
    ) -> io::Result<(SourceResults, Instant)> {
        let date = date::rfc5322(SystemTime::now());
        let settings = SourceSettings {
            target: server.address(),
            origins: Arc::default(),
            connections: self.connections as usize,
            messages: load.messages,
            time: load.time,
            contents: Arc::new(Contents::plain(SENDER, &date, self.size_bytes)),
            messages_per_connection: load.messages_per_connection,
            client: ClientSettings {
                name: "loadgen.example".to_owned(),
                pipelining: self.pipelining,
                starttls: load.tls == TlsMode::Starttls,
                ..ClientSettings::default()
            },
            tls: load.tls,
            tls_client: self.tls_client.clone(),
            run_ahead: false,
            envelopes: Envelopes::plain(SENDER, "recipient@sink.example")?,
            schedule: load.rate.map(|rate| Schedule::steady(rate, Arrivals::Even)),
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
        let results = source.finish()?;
        self.check_stop()?;
        if results.accepted == 0 && load.messages != Some(0) {
            let refusals = &results.refusals;
            return Err(io::Error::other(format!("no message was accepted: {refusals:?}")));
        }
        Ok((results, begin))
    }

    /// Sends what goes before each measurement; how many were accepted.
    ///
    /// # Errors
    /// See [`Self::send`].
    pub(super) fn warm_up(&self, server: &dyn Server, load: Load) -> io::Result<u64> {
        let messages = Some(self.warm_up);
        let load = Load { messages, time: None, rate: None, ..load };
        Ok(self.send(server, load)?.0.accepted)
    }

    /// A next hop to which connections succeed, in the kernel, and which never greets: relays wait
    /// for it and costs no CPU meanwhile, while one that refuses would be tried again and again.
    ///
    /// # Errors
    /// No port is free.
    pub(super) fn silent_hop() -> io::Result<(TcpListener, Duty)> {
        let silent = net::listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), false)?;
        let next_hop = silent.local_addr()?;
        Ok((silent, Duty::Hold { next_hop }))
    }

    /// What takes all that is relayed.
    pub(super) fn sink_settings(&self) -> SinkSettings {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        SinkSettings::plain(address, Some(self.generator_cpus.clone()))
    }

    /// Waits until `wanted` different messages have reached the sink.
    ///
    /// # Errors
    /// None comes for a long time, or a signal asked to stop.
    pub(super) fn wait_for(&self, sink: &Sink, wanted: u64) -> io::Result<()> {
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

    /// Lets a server come to rest.
    ///
    /// # Errors
    /// A signal asked to stop.
    pub(super) fn rest(&self) -> io::Result<()> {
        let begin = Instant::now();
        while begin.elapsed() < REST {
            self.check_stop()?;
            thread::sleep(GLANCE);
        }
        Ok(())
    }

    /// # Errors
    /// A signal asked to stop.
    pub(super) fn check_stop(&self) -> io::Result<()> {
        if self.stop.is_set() { Err(io::Error::other("stopped by a signal")) } else { Ok(()) }
    }
}
