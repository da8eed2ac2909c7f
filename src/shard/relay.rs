//! Connections to next hops: from a queue that wants one, over name look-up and connecting, to
//! sessions that carry one job after another.
//!
//! # Guarantees
//! - The servers of a site are tried in the order of its look-up, at most [`ENDPOINTS_TRIED_MAX`]
//!   for one job.
//! - A job is either carried by exactly one connection or in the queue.
//! - What becomes of a recipient is decided by [`decide`](crate::queue::outcome::decide) alone.
//!
//! # Bounds
//! As many connections as the configuration allows, each idle for at most
//! [`CONNECTION_IDLE_S`](crate::limits::CONNECTION_IDLE_S); connecting to one address takes at most
//! [`CONNECT_TIMEOUT_S`].

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use smallvec::SmallVec;

use crate::clock::Now;
use crate::io::dns::{LookUpId, SiteLookUp};
use crate::io::listen;
use crate::io::ring::SocketKey;
use crate::limits::{CONNECT_TIMEOUT_S, DISCARDED_JOBS_PER_TURN, ENDPOINTS_TRIED_MAX};
use crate::message::Message;
use crate::proto::client::{ClientSession, Failure, PassedOn, Scope, Severity};
use crate::proto::enhanced::EnhancedCode;
use crate::queue::notice::success_notice_is_owed;
use crate::queue::outcome::decide_at_last_server;
use crate::queue::{Decision, Job};
use crate::route::{DnsFailure, NextHop, Site};

use super::content;
use super::deadlines::{Scheduled, Waiting};
use super::reports::{Fate, News};
use super::talk::Talk;
use super::{Owner, Shard};

/// One connection to a next hop, from the wish for it to its end.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) next_hop: NextHop,
    /// Tells it from a later one in the same place.
    pub(super) serial: u64,
    pub(super) stage: Stage,
    /// Where to connect to, in order; known after the look-up.
    endpoints: Vec<Endpoint>,
    /// The next of `endpoints` to try.
    next_endpoint: usize,
    /// The job that it carries.
    pub(super) running: Option<Running>,
    /// Whether a session ever came up, so that the queue was told.
    opened: bool,
    pub(super) scheduled: Scheduled,
}

/// How far a connection has come.
#[derive(Debug)]
pub(super) enum Stage {
    /// The names of the site are being looked up.
    Resolving(LookUpId),
    /// The kernel is connecting.
    Connecting { socket: SocketKey, until: Now },
    /// A session is up.
    Talking(Box<Talk>),
    /// Between two of these.
    Between,
}

/// One address of one server of a site.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    pub(super) host: Box<str>,
    pub(super) address: SocketAddr,
}

/// A job and what is known of its recipients.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) job: Job,
    /// Indices in the message of the recipients that the running transaction is about.
    pub(super) asked: SmallVec<[u32; 4]>,
    /// Whether the message came with any wish or notice.
    pub(super) asks: bool,
    /// What is final, until the job is settled.
    pub(super) judged: Vec<Judged>,
    /// Recipients for the next server, or for the next transaction with this one.
    pub(super) left: Vec<Left>,
}

/// A recipient that another attempt is made for at once.
#[derive(Debug)]
pub(super) struct Left {
    /// Index in the message.
    pub(super) recipient: u32,
    /// Why the last attempt failed, with the name of the server that said so, if one did.
    pub(super) failure: (Failure, Option<Box<str>>),
}

/// What is final of one recipient.
#[derive(Debug)]
pub(super) struct Judged {
    /// Index in the message.
    pub(super) recipient: u32,
    pub(super) decision: Decision,
    /// Why, unless it was delivered, with the name of the server that said so, if one did.
    pub(super) failure: Option<(Failure, Option<Box<str>>)>,
    /// What the sender is owed to hear of a delivery.
    pub(super) success: Option<News>,
}

impl Judged {
    pub(super) const fn delivered(recipient: u32, success: Option<News>) -> Self {
        Self { recipient, decision: Decision::Deliver, failure: None, success }
    }

    /// A recipient that no server is left for.
    pub(super) fn failed(recipient: u32, failure: &Failure) -> Self {
        let decision = decide_at_last_server(failure);
        Self { recipient, decision, failure: Some((failure.clone(), None)), success: None }
    }
}

impl Running {
    pub(super) fn new(job: Job) -> Self {
        let asked = job.recipients.clone();
        Self { job, asked, asks: false, judged: Vec::new(), left: Vec::new() }
    }

    /// Judges all recipients that are not: by their own last failure, or else by `failure`.
    fn give_up(&mut self, failure: &Failure) {
        for Left { recipient, failure } in self.left.drain(..) {
            let decision = decide_at_last_server(&failure.0);
            let failure = Some(failure);
            self.judged.push(Judged { recipient, decision, failure, success: None });
        }
        for &recipient in &self.job.recipients {
            if self.judged.iter().all(|judged| judged.recipient != recipient) {
                self.judged.push(Judged::failed(recipient, failure));
            }
        }
    }
}

impl Connection {
    /// Name of the server that was connected to last.
    pub(super) fn host(&self) -> Option<Box<str>> {
        let last = self.next_endpoint.checked_sub(1)?;
        self.endpoints.get(last).map(|endpoint| endpoint.host.clone())
    }

    /// Whether a session over it ever came up.
    pub(super) const fn has_served(&self) -> bool {
        self.opened
    }
}

/// Connections that could carry a job, by next hop.
#[derive(Debug, Default)]
pub(super) struct IdleConnections(BTreeMap<NextHop, Vec<usize>>);

impl IdleConnections {
    pub(super) fn put(&mut self, next_hop: &NextHop, index: usize) {
        match self.0.get_mut(next_hop) {
            Some(idle) => idle.push(index),
            None => drop(self.0.insert(next_hop.clone(), vec![index])),
        }
    }

    fn take(&mut self, next_hop: &NextHop) -> Option<usize> {
        let idle = self.0.get_mut(next_hop)?;
        let taken = idle.pop();
        if idle.is_empty() {
            self.0.remove(next_hop);
        }
        taken
    }

    pub(super) fn forget(&mut self, next_hop: &NextHop, index: usize) {
        if let Some(idle) = self.0.get_mut(next_hop) {
            idle.retain(|&other| other != index);
            if idle.is_empty() {
                self.0.remove(next_hop);
            }
        }
    }
}

impl Shard {
    /// Brings the connections in line with what the queue wants.
    pub(super) fn pump_relay(&mut self) {
        self.record_outcomes();
        // What has passed its deadline is not tried any more.
        if !self.pump_lapsed() {
            return;
        }
        self.queue.promote_due(self.wall);
        self.pump_failed_sites();
        if self.stopping.is_some() || self.failed || !self.may_record_more() {
            return;
        }
        self.wake_idle_connections();
        while self.connections.len() < self.settings.connections_out_max {
            let Some(next_hop) = self.queue.poll_connect() else { break };
            if next_hop != NextHop::Discard {
                self.begin_connection(next_hop);
            } else if !self.discard(&next_hop) {
                // Its outcomes wake the shard for the rest.
                break;
            }
        }
        self.counters.connections_out = self.connections.len() as u64;
    }

    fn wake_idle_connections(&mut self) {
        let next_hops: Vec<NextHop> = self.idle.0.keys().cloned().collect();
        for next_hop in next_hops {
            while let Some(job) = self.idle_job(&next_hop) {
                let Some(index) = self.idle.take(&next_hop) else {
                    self.queue.give_back(&next_hop, job);
                    break;
                };
                self.begin_transaction(index, Running::new(job));
            }
        }
    }

    fn idle_job(&mut self, next_hop: &NextHop) -> Option<Job> {
        self.idle.0.contains_key(next_hop).then(|| self.queue.take_job(next_hop)).flatten()
    }

    /// Settles mail for the route that throws it away, a bounded number of jobs a turn; returns
    /// whether that was all.
    fn discard(&mut self, next_hop: &NextHop) -> bool {
        for _ in 0..DISCARDED_JOBS_PER_TURN {
            let Some(job) = self.queue.take_job(next_hop) else { return true };
            let message = self.queue.message(job.message);
            // It ends here, in time for every deadline.
            let passed_on = PassedOn { notices: false, deadline: true };
            let judged = job.recipients.iter().map(|&it| {
                let news = News { recipient: it, fate: Fate::Delivered, remote_mta: None };
                let is_owed = message.is_some_and(|message| owes_success(message, it, passed_on));
                Judged::delivered(it, is_owed.then_some(news))
            });
            let judged = judged.collect();
            self.settle(job, judged);
        }
        self.queue.connection_closed(next_hop);
        false
    }

    fn begin_connection(&mut self, next_hop: NextHop) {
        self.serial += 1;
        let index = self.connections.insert(Connection {
            next_hop,
            serial: self.serial,
            stage: Stage::Between,
            endpoints: Vec::new(),
            next_endpoint: 0,
            running: None,
            opened: false,
            scheduled: Scheduled::default(),
        });
        self.look_up(index);
    }

    fn look_up(&mut self, index: usize) {
        let connection = &mut self.connections[index];
        let look_up = match &connection.next_hop {
            NextHop::Mx { domain } => self.resolver.look_up_site(self.now, domain),
            NextHop::Smtp { host, .. } => self.resolver.look_up_host(self.now, host),
            NextHop::Discard => unreachable!("discarded mail takes no connection"),
        };
        match look_up {
            SiteLookUp::Known(result) => self.looked_up(index, result),
            SiteLookUp::Pending(id) => {
                connection.stage = Stage::Resolving(id);
                self.resolving.insert(id, index);
            }
        }
    }

    /// Takes the answer to a look-up.
    pub(super) fn looked_up(&mut self, index: usize, result: Result<Rc<Site>, DnsFailure>) {
        let connection = &mut self.connections[index];
        connection.stage = Stage::Between;
        match result {
            Ok(site) => {
                let port = match &connection.next_hop {
                    NextHop::Smtp { port, .. } => *port,
                    NextHop::Mx { .. } | NextHop::Discard => self.settings.delivery_port,
                };
                let addresses = site.hosts.iter().flat_map(|host| {
                    host.addresses.iter().map(|&address| Endpoint {
                        host: host.name.clone(),
                        address: SocketAddr::new(address, port),
                    })
                });
                connection.endpoints = addresses.take(ENDPOINTS_TRIED_MAX).collect();
                self.connect(index, &no_endpoint());
            }
            Err(failure) => {
                let severity = if failure.is_permanent() { Severity::Hard } else { Severity::Soft };
                let failure =
                    Failure::local(Scope::Site, severity, failure.status(), &failure.to_string());
                self.give_up_site(index, &failure);
            }
        }
    }

    /// Connects to the next endpoint, or gives up because of `failure`, the last one's.
    fn connect(&mut self, index: usize, failure: &Failure) {
        let connection = &mut self.connections[index];
        let Some(endpoint) = connection.endpoints.get(connection.next_endpoint) else {
            self.give_up_site(index, failure);
            return;
        };
        let address = endpoint.address;
        connection.next_endpoint += 1;
        match listen::outbound(address) {
            Ok(descriptor) => {
                let socket = self.ring.add(descriptor, Owner::Connection(index));
                self.ring.connect(&socket, address);
                let until = self.now + Duration::from_secs(CONNECT_TIMEOUT_S);
                connection.stage = Stage::Connecting { socket, until };
                let waiting = Waiting::Connection { index, serial: connection.serial };
                self.deadlines.schedule(&mut connection.scheduled, until, waiting);
                self.counters.connections_out_total += 1;
            }
            Err(error) => self.endpoint_failed(index, &error),
        }
    }

    /// Takes the kernel's word on connecting.
    pub(super) fn connected(&mut self, index: usize, result: io::Result<()>) {
        let connection = &mut self.connections[index];
        let stage = std::mem::replace(&mut connection.stage, Stage::Between);
        let Stage::Connecting { socket, .. } = stage else {
            unreachable!("a connect completes once, and closing the socket swallows it")
        };
        if let Err(error) = result {
            self.ring.close(socket);
            self.endpoint_failed(index, &error);
            return;
        }
        self.ring.receive(&socket);
        let machine = ClientSession::new(Rc::clone(&self.client), self.now);
        connection.stage = Stage::Talking(Box::new(Talk::new(socket, machine)));
        self.settle_talk(index);
    }

    fn endpoint_failed(&mut self, index: usize, error: &io::Error) {
        let connection = &self.connections[index];
        let endpoint = &connection.endpoints[connection.next_endpoint - 1];
        let text = format!("cannot connect to {}: {error}", endpoint_name(endpoint));
        let status = EnhancedCode::NO_ANSWER_4_4_1;
        let failure = Failure::local(Scope::Session, Severity::Network, status, &text);
        self.next_server(index, &failure);
    }

    /// Goes on with the next server of the site after `failure` of this one.
    pub(super) fn next_server(&mut self, index: usize, failure: &Failure) {
        let connection = &mut self.connections[index];
        if failure.retry_now {
            // What failed was the reuse of a session. The same server deserves a fresh one.
            connection.next_endpoint = connection.next_endpoint.saturating_sub(1);
        }
        tracing::debug!(next_hop = %connection.next_hop, "{failure}");
        self.connect(index, failure);
    }

    /// No server of the site is left: what the connection carries is settled, and the site's mail
    /// waits or is given up.
    fn give_up_site(&mut self, index: usize, failure: &Failure) {
        let connection = &mut self.connections[index];
        if let Some(mut running) = connection.running.take() {
            running.give_up(failure);
            self.settle(running.job, running.judged);
        }
        let connection = &self.connections[index];
        if !connection.opened {
            let next_hop = connection.next_hop.clone();
            tracing::info!(next_hop = %next_hop, "the next hop cannot be reached: {failure}");
            self.failed_sites.push_back((next_hop, failure.clone()));
        }
        self.end_connection(index);
        self.pump_failed_sites();
    }

    /// Forgets a connection whose socket is closed.
    pub(super) fn end_connection(&mut self, index: usize) {
        let connection = self.connections.remove(index);
        self.idle.forget(&connection.next_hop, index);
        if let Some(mut running) = connection.running {
            if self.stopping.is_some() {
                // The next start tries what is left without counting this as an attempt.
                self.record_delivered(&mut running);
            } else {
                running.give_up(&content::interrupted());
                self.settle(running.job, running.judged);
            }
        }
        self.queue.connection_closed(&connection.next_hop);
        self.counters.connections_out = self.connections.len() as u64;
    }

    /// Whether the job that connection `index` carries has no other server left.
    pub(super) fn at_last_server(&self, index: usize) -> bool {
        let connection = &self.connections[index];
        connection.next_endpoint >= connection.endpoints.len()
    }

    /// A session came up: the site is there.
    pub(super) fn session_up(&mut self, index: usize) {
        let connection = &mut self.connections[index];
        if !connection.opened {
            connection.opened = true;
            self.queue.connection_opened(&connection.next_hop);
        }
    }

    /// Looks whether a connection waits for too long.
    pub(super) fn connection_due(&mut self, index: usize, serial: u64, at: Now) {
        let Some(connection) = self.connections.get_mut(index).filter(|it| it.serial == serial)
        else {
            return;
        };
        if !connection.scheduled.came(at) {
            return;
        }
        match &connection.stage {
            Stage::Connecting { until, .. } if *until <= self.now => {
                let stage = std::mem::replace(&mut connection.stage, Stage::Between);
                if let Stage::Connecting { socket, .. } = stage {
                    self.ring.close(socket);
                }
                self.endpoint_failed(index, &io::ErrorKind::TimedOut.into());
            }
            Stage::Connecting { until, .. } => {
                let waiting = Waiting::Connection { index, serial };
                self.deadlines.schedule(&mut connection.scheduled, *until, waiting);
            }
            Stage::Talking(_) => self.talk_due(index),
            Stage::Resolving(_) | Stage::Between => {}
        }
    }
}

/// Whether the sender of `message` is to hear that a recipient was delivered to.
pub(super) fn owes_success(message: &Message, recipient: u32, passed_on: PassedOn) -> bool {
    let recipient = message.recipients.get(recipient as usize);
    recipient.is_some_and(|it| success_notice_is_owed(message, it, passed_on))
}

fn no_endpoint() -> Failure {
    Failure::local(
        Scope::Site,
        Severity::Soft,
        EnhancedCode::UNROUTABLE_4_4_4,
        "the next hop has no address",
    )
}

fn endpoint_name(endpoint: &Endpoint) -> String {
    format!("{}[{}]:{}", endpoint.host, endpoint.address.ip(), endpoint.address.port())
}
