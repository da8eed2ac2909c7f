//! What a source found out.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Distribution, Header, Stretch};

/// `loadgen source --json FILE`.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub(crate) struct SourceResults {
    #[serde(flatten)]
    pub(crate) header: Header,
    /// The name of the run in the ids, 16 hexadecimal digits.
    pub(crate) run: String,
    /// Messages answered with 250.
    pub(crate) accepted: u64,
    /// Messages answered with 4xx or 5xx, and not sent again.
    pub(crate) refused: u64,
    /// Recipients refused of messages that were accepted for others.
    pub(crate) recipients_refused: u64,
    /// Messages that got no answer.
    pub(crate) lost: u64,
    /// Messages that were to be sent and never began.
    pub(crate) unsent: u64,
    /// Messages that were sent once more.
    pub(crate) sent_again: u64,
    /// Content of the messages answered with 250, as RFC 1870 counts it.
    pub(crate) bytes: u64,
    /// Connections on which messages could begin.
    pub(crate) connections: u64,
    /// Connections that never got so far.
    pub(crate) connections_failed: u64,
    /// Connections that ended before QUIT.
    pub(crate) connections_broken: u64,
    /// Replies that did not come in time.
    pub(crate) timeouts: u64,
    pub(crate) refusals: Vec<RefusalCount>,
    /// The time that the figures below are of: without warm-up and cool-down, up to the last 250.
    pub(crate) measured_s: f64,
    /// Messages answered with 250 within it.
    pub(crate) measured_messages: u64,
    pub(crate) messages_per_second: f64,
    /// Bytes of content.
    pub(crate) bytes_per_second: f64,
    /// Messages that were due in a second; only of an open loop.
    pub(crate) offered_per_second: Option<f64>,
    pub(crate) stages: Stages,
    /// One for each step of `--steps`; warm-up and cool-down do not matter to them.
    pub(crate) steps: Vec<StepResults>,
    /// The whole run, warm-up and cool-down included.
    pub(crate) timeline: Vec<Second>,
    /// Messages answered with 250, each with the number of recipients that were accepted.
    pub(crate) acknowledged: Vec<Stretch>,
    /// Messages answered with 250 that there was no room any more to keep.
    pub(crate) acknowledged_not_kept: u64,
}

/// How long the stages of a session took; what did not happen is missing.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
pub(crate) struct Stages {
    /// Until the TCP connection stood.
    pub(crate) connect: Option<Distribution>,
    /// From there to the greeting; with implicit TLS from the end of its handshake.
    pub(crate) banner: Option<Distribution>,
    /// The TLS handshake.
    pub(crate) tls: Option<Distribution>,
    /// With STARTTLS both of a connection.
    pub(crate) ehlo: Option<Distribution>,
    /// The whole exchange.
    pub(crate) auth: Option<Distribution>,
    /// From before the system call that handed the command to the kernel until its reply was read;
    /// with PIPELINING commands depart together.
    pub(crate) mail: Option<Distribution>,
    pub(crate) rcpt: Option<Distribution>,
    pub(crate) data: Option<Distribution>,
    /// From the last byte of the content to its reply.
    pub(crate) end_of_data: Option<Distribution>,
    /// From MAIL to the reply to the content; in an open loop from when the message was due, which
    /// leaves no coordinated omission.
    pub(crate) message: Option<Distribution>,
    /// The same from MAIL in an open loop too: what a client sees that does not look at its queue.
    pub(crate) message_uncorrected: Option<Distribution>,
}

/// A step of an open loop.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub(crate) struct StepResults {
    /// From the beginning of the run.
    pub(crate) begin_s: f64,
    pub(crate) end_s: f64,
    /// Messages that were due in a second.
    pub(crate) offered_per_second: f64,
    /// Messages answered with 250 within the step.
    pub(crate) accepted: u64,
    /// Messages refused or lost within the step.
    pub(crate) failed: u64,
    pub(crate) messages_per_second: f64,
    /// Of the messages that were due within the step, from then on.
    pub(crate) message: Option<Distribution>,
}

/// Replies of one kind that refused something.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub(crate) struct RefusalCount {
    /// 0: this was no reply, but what kept this side from going on.
    pub(crate) code: u16,
    /// Where in the session, for instance `RCPT`.
    pub(crate) stage: String,
    pub(crate) count: u64,
    /// The text of the first.
    pub(crate) example: String,
}

/// A second of a run.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub(crate) struct Second {
    /// From the beginning; the first is 0.
    pub(crate) second: u32,
    /// Messages answered with 250.
    pub(crate) accepted: u64,
    /// Messages refused or lost.
    pub(crate) failed: u64,
    /// Of the messages answered in it.
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// Messages under way at its end.
    pub(crate) in_flight: u64,
}
