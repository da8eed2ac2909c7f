//! Why an attempt did not deliver: what it says something about, how lasting it is, and in whose
//! words.
//!
//! A failure is a report, never a decision: `queue::outcome` makes one of it.
//!
//! # Guarantees
//! Every text that a failure yields is printable ASCII on one line, whatever the peer sent.
//!
//! # Bounds
//! [`FAILURE_CAUSE_BYTES_MAX`] for a local cause,
//! [`REPLY_TEXT_BYTES_MAX`](crate::limits::REPLY_TEXT_BYTES_MAX) for the words of the peer.

use std::fmt;

use crate::limits::FAILURE_CAUSE_BYTES_MAX;
use crate::proto::enhanced::EnhancedCode;
use crate::proto::reply_parse::{Reply, printable};

use super::states::ClientState;

/// What a failure says something about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// This connection or this server. Another server of the site may do better.
    Session,
    /// All servers of the site, or the way to find them.
    Site,
    /// This message, for all recipients of the transaction.
    Message,
    /// One recipient.
    Recipient,
}

/// How lasting a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The peer said "not now" (4yz), or it is known to be temporary.
    Soft,
    /// The peer said "never" (5yz), or it is known to be permanent.
    Hard,
    /// There was no usable answer: the connection failed, broke or timed out, or the peer did not
    /// speak SMTP.
    Network,
}

/// In whose words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// What the peer answered.
    Reply(Reply),
    /// What happened here: printable ASCII on one line.
    Local(Box<str>),
}

/// Why a session, a message or a recipient failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What it says something about.
    pub scope: Scope,
    /// How lasting it is.
    pub severity: Severity,
    /// The enhanced status code: the peer's, or the one that fits (RFC 3463).
    pub status: EnhancedCode,
    /// In whose words.
    pub cause: Cause,
    /// What the session was doing, if there was one.
    pub state: Option<ClientState>,
    /// It says nothing against trying again at once, over a connection made for it, even if no
    /// other server is left: a reused session was gone before the peer answered anything, or the
    /// transaction was full and others of its recipients were accepted (RFC 5321 §4.5.3.1.10).
    /// Both come only after something went well, so trying again at once makes no loop.
    pub retry_now: bool,
}

impl Failure {
    /// A failure that no peer's reply stands for: a refused connection, a name that does not
    /// resolve, a rule of our own. `text` is made printable and cut to its bound.
    pub fn local(scope: Scope, severity: Severity, status: EnhancedCode, text: &str) -> Self {
        Self {
            scope,
            severity,
            status,
            cause: Cause::Local(printable_line(text)),
            state: None,
            retry_now: false,
        }
    }

    /// The time for the delivery ran out; `last_failure` is why the last attempt failed.
    pub fn expired(last_failure: &str) -> Self {
        let text = if last_failure.is_empty() {
            "not delivered in time".to_owned()
        } else {
            format!("not delivered in time; the last attempt failed with: {last_failure}")
        };
        // RFC 3463 §3.5: X.4.7, delivery time expired.
        Self::local(Scope::Recipient, Severity::Hard, EnhancedCode::EXPIRED_4_4_7, &text)
    }

    /// What the peer said no with, in `state`.
    pub(super) fn refused(scope: Scope, state: ClientState, reply: &Reply) -> Self {
        let (severity, class) =
            if reply.code >= 500 { (Severity::Hard, 5) } else { (Severity::Soft, 4) };
        Self {
            scope,
            severity,
            status: reply.enhanced.unwrap_or_else(|| EnhancedCode::new(class, 0, 0)),
            cause: Cause::Reply(reply.clone()),
            state: Some(state),
            retry_now: false,
        }
    }

    /// The peer's reply, if that is the cause.
    pub const fn reply(&self) -> Option<&Reply> {
        match &self.cause {
            Cause::Reply(reply) => Some(reply),
            Cause::Local(_) => None,
        }
    }
}

/// One line for the log and the queue, for instance
/// `550 5.1.1 No such user (in reply to RCPT)` or
/// `4.4.2 connection lost while waiting for the greeting`.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.cause, self.state) {
            (Cause::Reply(reply), Some(state)) => write!(f, "{reply} ({})", state.answered()),
            (Cause::Reply(reply), None) => reply.fmt(f),
            (Cause::Local(text), Some(state)) => {
                write!(f, "{} {text} while {}", self.status, state.phrase())
            }
            (Cause::Local(text), None) => write!(f, "{} {text}", self.status),
        }
    }
}

/// `text` with everything replaced that cannot stand in one line of ASCII, cut to its bound.
fn printable_line(text: &str) -> Box<str> {
    text.bytes().take(FAILURE_CAUSE_BYTES_MAX).map(printable).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_one_printable_line() {
        let text = format!("caf\u{e9}\r\nBcc: x{}", "y".repeat(FAILURE_CAUSE_BYTES_MAX));
        let failure = Failure::local(
            Scope::Site,
            Severity::Soft,
            EnhancedCode::DIRECTORY_SERVER_4_4_3,
            &text,
        );
        let shown = failure.to_string();
        assert!(shown.starts_with("4.4.3 caf????Bcc: xyyy"), "{shown}");
        assert!(shown.len() <= FAILURE_CAUSE_BYTES_MAX + 6);
    }

    #[test]
    fn expiry_names_the_last_failure() {
        let failure = Failure::expired("450 4.2.1 later (in reply to RCPT)");
        assert_eq!(
            failure.to_string(),
            "4.4.7 not delivered in time; the last attempt failed with: \
             450 4.2.1 later (in reply to RCPT)"
        );
        assert_eq!(Failure::expired("").to_string(), "4.4.7 not delivered in time");
    }
}
