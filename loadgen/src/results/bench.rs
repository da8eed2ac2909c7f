//! What a bench found out.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Distribution, Header, Second};

/// `loadgen bench --json FILE`.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub(crate) struct BenchResults {
    #[serde(flatten)]
    pub(crate) header: Header,
    pub(crate) message_bytes: u64,
    pub(crate) connections: u32,
    pub(crate) pipelining: bool,
    pub(crate) tls: String,
    pub(crate) server_cpus: String,
    pub(crate) generator_cpus: String,
    /// Scenarios with mail, in the order in which they were run.
    pub(crate) mail: Vec<MailResult>,
    /// Connections that say nothing.
    pub(crate) idle: Vec<IdleResult>,
    /// Mail beside TLS handshakes.
    #[serde(default)]
    pub(crate) handshakes: Vec<HandshakeResult>,
    /// What could not be measured, and why: a sentence each.
    #[serde(default)]
    pub(crate) notes: Vec<String>,
}

/// A scenario with mail.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub(crate) struct MailResult {
    /// A stable name, for instance `accept-kept`, `relay`, `latency-80`.
    pub(crate) scenario: String,
    /// What it is, for people.
    pub(crate) title: String,
    /// Ringpost first, then the peers, then the floor, as far as they took part.
    pub(crate) servers: Vec<ServerRuns>,
}

/// The runs of one server.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub(crate) struct ServerRuns {
    /// `ringpost`, a peer's name, or `floor`.
    pub(crate) server: String,
    /// As the server tells it.
    pub(crate) version: Option<String>,
    /// What it was given to do; without it as much as it takes.
    pub(crate) offered_per_second: Option<f64>,
    /// The runs in their order; those of the servers of a scenario alternate.
    pub(crate) runs: Vec<MailRun>,
    /// A further run in which events were counted, which slows it: no rate is taken from it.
    pub(crate) counted: Option<CountedRun>,
}

/// One run with mail.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub(crate) struct MailRun {
    pub(crate) messages: u64,
    /// Messages refused, lost or not sent.
    pub(crate) failed: u64,
    /// Messages that reached the sink more than once.
    pub(crate) duplicates: u64,
    pub(crate) messages_per_second: f64,
    /// Bytes of content.
    pub(crate) bytes_per_second: f64,
    /// Of all the server's processes and nobody else's.
    pub(crate) cpu_user_us_per_message: f64,
    pub(crate) cpu_system_us_per_message: f64,
    /// Proportional set size of all the server's processes at the end of the run.
    pub(crate) memory_bytes: u64,
    /// From MAIL to the reply to the content; with an offered rate from when the message was due.
    pub(crate) latency: Option<Distribution>,
    /// From the last byte of the content to its reply, which is the commit and little else.
    pub(crate) end_of_data: Option<Distribution>,
    pub(crate) stored: Option<StoredRun>,
    pub(crate) timeline: Vec<Second>,
}

impl MailRun {
    /// User and system time together.
    pub(crate) fn cpu_us_per_message(&self) -> f64 {
        self.cpu_user_us_per_message + self.cpu_system_us_per_message
    }
}

/// What a run did to the disk.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub(crate) struct StoredRun {
    /// Bytes that reached the device of the spool's file system, by its own count, divided by the
    /// bytes of content. Whatever else writes to the device counts too.
    pub(crate) write_amplification: Option<f64>,
    /// Time of a commit as the server itself counts it; only of a server that does.
    pub(crate) commit_mean_ms: Option<f64>,
    /// The same as bounds of a histogram: the upper bound of the bucket in which it lies.
    pub(crate) commit_p50_ms: Option<f64>,
    pub(crate) commit_p99_ms: Option<f64>,
    /// Messages in a commit.
    pub(crate) messages_per_commit: Option<f64>,
}

/// Events counted by `perf`, divided by messages.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub(crate) struct CountedRun {
    pub(crate) system_calls_per_message: f64,
    /// Entries submitted to io_uring rings.
    pub(crate) ring_entries_per_message: f64,
    pub(crate) context_switches_per_message: f64,
}

/// One server with connections that say nothing.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub(crate) struct IdleResult {
    pub(crate) server: String,
    pub(crate) connections: u32,
    /// Proportional set size of all the server's processes without and with the connections.
    pub(crate) memory_before_bytes: u64,
    pub(crate) memory_bytes: u64,
    /// User and system time of the server for opening one connection, up to its greeting.
    pub(crate) cpu_us_per_connection: f64,
    /// Share of one CPU while all connections say nothing.
    pub(crate) cpu_idle_share: f64,
}

/// One run of one server that takes mail at a steady rate over plain connections, alone and then
/// beside clients that make TLS handshakes as fast as the server lets them.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub(crate) struct HandshakeResult {
    pub(crate) server: String,
    /// Messages a second that were due.
    pub(crate) message_rate: f64,
    /// From when a message was due to its 250, without handshakes beside it.
    pub(crate) latency_alone: Option<Distribution>,
    /// And with them.
    pub(crate) latency_beside: Option<Distribution>,
    /// Handshakes that were finished, up to the greeting, in a second.
    pub(crate) handshakes_per_second: f64,
    pub(crate) handshakes_failed: u64,
}
