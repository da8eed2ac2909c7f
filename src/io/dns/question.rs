//! One question on its way: which server, over which transport, for how long.
//!
//! # Strategies
//! **Rotation.** A server that does not answer, cannot be reached or fails is followed by the next.
//! Once every server has said that it fails, the question has failed; silence is tried up to the
//! maximum number of attempts. Once all were asked and the last could not be reached, there is a
//! pause as long as the wait for an answer would be: a server that is being restarted refuses
//! at once, and mail shall not be deferred for that.
//!
//! **Doubling.** Each attempt waits twice as long as the one before, up to
//! [`DNS_ATTEMPT_TIMEOUT_S_MAX`].
//!
//! **Fallbacks.** A truncated answer is fetched from the same server over TCP (RFC 7766 §5). A
//! server that does not understand a query with EDNS gets it without (RFC 6891 §7).

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use super::cache::Answer;
use super::codec::{NotAReply, RecordKind, Records, Reply, decode_reply};
use super::resolver::{LookUpKey, QueryId, Transport};
use crate::clock::Now;
use crate::limits::{
    DNS_ATTEMPT_TIMEOUT_S_MAX, DNS_FAILURE_TTL_S, DNS_NEGATIVE_TTL_S_MAX, DNS_TTL_S_MAX,
};

/// Bytes of the length that goes before a message over TCP (RFC 1035 §4.2.2).
const LENGTH_BYTES: usize = 2;

/// A question that has no answer yet.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) name: Rc<str>,
    pub(super) kind: RecordKind,
    /// Look-ups that wait for the answer.
    pub(super) waiting: Vec<LookUpKey>,
    /// The attempt under way, if it may have a socket.
    pub(super) attempt: Option<Attempt>,
    /// Index of the server that is asked.
    pub(super) server: usize,
    pub(super) transport: Transport,
    pub(super) edns: bool,
    /// Attempts that came to nothing.
    attempts: u32,
    /// Servers that said that they have no answer.
    refusals: usize,
}

/// One exchange with one server.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) query: QueryId,
    pub(super) id: u16,
    pub(super) deadline: Now,
    /// The caller has been given the query, so that it may hold a socket for it.
    pub(super) is_sent: bool,
    /// What came over TCP of a message that is not whole.
    stream: Vec<u8>,
}

impl Attempt {
    pub(super) const fn new(query: QueryId, id: u16, deadline: Now) -> Self {
        Self { query, id, deadline, is_sent: false, stream: Vec::new() }
    }
}

/// What is to be done after something came or did not come.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The question is answered, for so long.
    Answered(Answer, Duration),
    /// A new attempt, as the question says now.
    TryAgain,
    /// A new attempt after so long.
    Pause(Duration),
    /// Go on waiting.
    Wait,
}

impl Question {
    pub(super) const fn new(name: Rc<str>, kind: RecordKind, server: usize) -> Self {
        Self {
            name,
            kind,
            waiting: Vec::new(),
            attempt: None,
            server,
            transport: Transport::Udp,
            edns: true,
            attempts: 0,
            refusals: 0,
        }
    }

    /// How long the next attempt waits, if the first one waits for `first`.
    pub(super) fn patience(&self, first: Duration) -> Duration {
        let longest = Duration::from_secs(DNS_ATTEMPT_TIMEOUT_S_MAX);
        first.saturating_mul(1 << self.attempts.min(16)).min(longest)
    }

    /// A datagram came for the attempt. What is no reply to the query is passed over: the reply may
    /// still come.
    pub(super) fn handle_datagram(&mut self, bytes: &[u8], servers: &Servers<'_>) -> Verdict {
        let Some(attempt) = &self.attempt else { return Verdict::Wait };
        if self.transport != Transport::Udp {
            return Verdict::Wait;
        }
        match decode_reply(bytes, attempt.id, &self.name, self.kind) {
            Ok(reply) => self.handle_reply(reply, servers),
            Err(NotAReply::Malformed | NotAReply::Foreign) => Verdict::Wait,
        }
    }

    /// Bytes came over TCP for the attempt, cut anywhere. A message that is no reply ends it, as
    /// nothing better can follow.
    pub(super) fn handle_stream(&mut self, bytes: &[u8], servers: &Servers<'_>) -> Verdict {
        let Some(attempt) = &mut self.attempt else { return Verdict::Wait };
        if self.transport != Transport::Tcp {
            return Verdict::Wait;
        }
        // No more is kept than one message with its length, 64 KiB.
        let room = LENGTH_BYTES + usize::from(u16::MAX) - attempt.stream.len();
        attempt.stream.extend_from_slice(&bytes[..bytes.len().min(room)]);
        let Some((&length, rest)) = attempt.stream.split_first_chunk::<LENGTH_BYTES>() else {
            return Verdict::Wait;
        };
        let Some(message) = rest.get(..usize::from(u16::from_be_bytes(length))) else {
            return Verdict::Wait;
        };
        match decode_reply(message, attempt.id, &self.name, self.kind) {
            Ok(reply) => self.handle_reply(reply, servers),
            Err(error) => self.fail(&error.to_string(), servers),
        }
    }

    fn handle_reply(&mut self, reply: Reply, servers: &Servers<'_>) -> Verdict {
        let known = |answer, ttl_s: u32, max_s: u32| {
            Verdict::Answered(answer, Duration::from_secs(u64::from(ttl_s.min(max_s))))
        };
        match reply {
            Reply::Records { records, ttl_s } => {
                let answer = match records {
                    Records::Addresses(addresses) => Answer::Addresses(addresses.into()),
                    Records::Mx(records) => Answer::Mx(records.into()),
                };
                known(answer, ttl_s, DNS_TTL_S_MAX)
            }
            Reply::Alias { target, ttl_s } => {
                known(Answer::Alias(target.into()), ttl_s, DNS_TTL_S_MAX)
            }
            Reply::NoRecords { ttl_s } => known(Answer::NoRecords, ttl_s, DNS_NEGATIVE_TTL_S_MAX),
            Reply::NoSuchName { ttl_s } => known(Answer::NoSuchName, ttl_s, DNS_NEGATIVE_TTL_S_MAX),
            Reply::Truncated if self.transport == Transport::Udp => {
                self.transport = Transport::Tcp;
                Verdict::TryAgain
            }
            Reply::Truncated => self.refuse("truncated over TCP", servers),
            Reply::NotUnderstood if self.edns => {
                self.edns = false;
                Verdict::TryAgain
            }
            Reply::NotUnderstood => self.refuse("the server does not understand", servers),
            Reply::ServerFailed { why } => self.refuse(&why, servers),
        }
    }

    /// The server said that it has no answer.
    fn refuse(&mut self, why: &str, servers: &Servers<'_>) -> Verdict {
        self.refusals += 1;
        if self.refusals >= servers.addresses.len() {
            return self.give_up(why, servers);
        }
        self.fail(why, servers)
    }

    /// The attempt came to nothing: on to the next server, or the end.
    pub(super) fn fail(&mut self, why: &str, servers: &Servers<'_>) -> Verdict {
        self.attempts += 1;
        if self.attempts >= servers.attempts_max {
            return self.give_up(why, servers);
        }
        self.server = (self.server + 1) % servers.addresses.len();
        self.transport = Transport::Udp;
        self.edns = true;
        Verdict::TryAgain
    }

    /// The server could not be reached, or the connection to it was lost.
    pub(super) fn lose(&mut self, why: &str, servers: &Servers<'_>) -> Verdict {
        let verdict = self.fail(why, servers);
        let asked_all = self.server_turns(servers) == 0;
        if verdict == Verdict::TryAgain && asked_all {
            Verdict::Pause(self.patience(servers.patience))
        } else {
            verdict
        }
    }

    /// Attempts since all servers were asked equally often.
    fn server_turns(&self, servers: &Servers<'_>) -> usize {
        usize::try_from(self.attempts).unwrap_or(usize::MAX) % servers.addresses.len()
    }

    fn give_up(&self, why: &str, servers: &Servers<'_>) -> Verdict {
        let server = servers.addresses[self.server];
        let text = format!("{} {}: {why} from {server}", self.name, self.kind);
        let span = Duration::from_secs(u64::from(DNS_FAILURE_TTL_S));
        Verdict::Answered(Answer::Failed(text.into()), span)
    }
}

/// Whom a question may go to.
#[derive(Debug)]
pub(super) struct Servers<'a> {
    /// At least one.
    pub(super) addresses: &'a [SocketAddr],
    pub(super) attempts_max: u32,
    /// How long the first attempt waits.
    pub(super) patience: Duration,
}
