//! What the rest of the server tells a session: what is offered, who the peer is, and how things
//! stand at the moment of a call.

use std::net::IpAddr;
use std::time::Duration;

use crate::clock::{Now, WallTime};
use crate::limits::{
    CONTENT_S, HOP_COUNT_MAX, MESSAGE_BYTES_MAX, RECIPIENTS_MAX, SESSION_ERRORS_MAX,
    SESSION_IDLE_S, SESSION_MESSAGES_MAX, SESSION_S, TEXT_LINE_BYTES_MAX,
};
use crate::proto::data::DataLimits;

/// What one listener offers and allows; shared by its sessions.
#[derive(Clone, Debug)]
pub struct ServerPolicy {
    /// The server's own name in greetings and `Received:` fields: a domain name of at most
    /// `DOMAIN_BYTES_MAX` printable characters.
    pub hostname: Box<str>,
    /// The bounds of a session.
    pub limits: ServerLimits,
}

/// The bounds of a session. Every default is in [`limits`](crate::limits), with its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerLimits {
    /// Content of one message in bytes; more is answered with 552.
    pub message_bytes_max: u64,
    /// Recipients of one transaction; more are answered with 452.
    pub recipients_max: usize,
    /// Errors since the last message; one more is answered with 421.
    pub errors_max: u32,
    /// Messages of one session; one more is answered with 421.
    pub messages_max: u32,
    /// `Received:` fields of a message; more are answered with 554.
    pub hop_count_max: u32,
    /// Line of the content with its CRLF, in bytes; longer ones are answered with 554.
    pub text_line_bytes_max: u64,
    /// Wait for a whole command, and for any piece of content.
    pub idle_time: Duration,
    /// From DATA to the end of the content.
    pub content_time: Duration,
    /// From the greeting to the end of the session.
    pub session_time: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            message_bytes_max: MESSAGE_BYTES_MAX,
            recipients_max: RECIPIENTS_MAX,
            errors_max: SESSION_ERRORS_MAX,
            messages_max: SESSION_MESSAGES_MAX,
            hop_count_max: HOP_COUNT_MAX,
            text_line_bytes_max: TEXT_LINE_BYTES_MAX,
            idle_time: Duration::from_secs(SESSION_IDLE_S),
            content_time: Duration::from_secs(CONTENT_S),
            session_time: Duration::from_secs(SESSION_S),
        }
    }
}

impl ServerLimits {
    pub(super) const fn data(&self) -> DataLimits {
        DataLimits {
            message_bytes_max: self.message_bytes_max,
            text_line_bytes_max: self.text_line_bytes_max,
            hop_count_max: self.hop_count_max,
        }
    }
}

/// The other side of a session, decided from its connection and the listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Where it connects from.
    pub address: IpAddr,
    /// The TCP port there.
    pub port: u16,
    /// Whether its mail is taken. No domain is local, so that there is nothing else to take.
    pub may_relay: bool,
}

/// How things stand at the moment of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conditions {
    /// The monotonic time; it must not go back between the calls for one session.
    pub now: Now,
    /// The time of day, for `Received:` fields.
    pub wall: WallTime,
    /// Whether the spool has room for messages.
    pub storage: Storage,
    /// Whether the server is about to stop, so that no transaction may begin.
    pub draining: bool,
}

/// Whether the spool has room for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// It has.
    Ready,
    /// It has not: MAIL and DATA are answered with `452 4.3.1`.
    Full,
}
