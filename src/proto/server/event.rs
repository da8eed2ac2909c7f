//! What the machine and its caller tell each other.

use super::Peer;
use crate::ids::MessageId;
use crate::span::Span;

/// What [`ServerSession::advance`](super::ServerSession::advance) came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Bytes of the input that are done with, once the event is.
    pub consumed: usize,
    /// What the caller does next.
    pub event: Event,
}

/// What the caller does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Wait for input; all of this one was taken.
    NeedInput,
    /// Open a body in the spool and begin it with
    /// [`write_received_header`](super::ServerSession::write_received_header): DATA or the first
    /// BDAT was accepted. If that fails, call
    /// [`refuse_content`](super::ServerSession::refuse_content).
    MessageBegin,
    /// Append this range of the input to the body; added dots are already left out.
    Content(Span),
    /// Append [`inserted`](super::ServerSession::inserted) to the body, like content.
    Inserted,
    /// Store the message: its data has ended. Take [`envelope`](super::ServerSession::envelope) and
    /// [`content_facts`](super::ServerSession::content_facts) before the next
    /// [`advance`](super::ServerSession::advance), and answer with
    /// [`handle_stored`](super::ServerSession::handle_stored).
    MessageEnd,
    /// Drop the open body: its message will not be accepted.
    MessageAbandoned,
    /// Transmit all, then begin the handshake of TLS, and call
    /// [`handle_tls`](super::ServerSession::handle_tls) when it is done. The rest of the input was
    /// consumed and dropped. What comes from now on belongs to TLS, and is not given to the session
    /// before.
    StartTls,
    /// Run what [`take_password_check`](super::ServerSession::take_password_check) has, elsewhere,
    /// and tell [`handle_password`](super::ServerSession::handle_password) what it came to.
    CheckPassword,
    /// [`peer`](super::ServerSession::peer) is another one from now on. Where that one meets a
    /// limit, call [`refuse_peer`](super::ServerSession::refuse_peer).
    PeerChanged,
    /// No input is looked at until the message that ended is answered, until a password is checked,
    /// until the answer to a failed authentication is due
    /// ([`poll_timeout`](super::ServerSession::poll_timeout)), or, if too many replies wait, until
    /// they are transmitted. [`is_blocked`](super::ServerSession::is_blocked) tells when to go on.
    Blocked,
    /// No input is looked at any more, and all that there was is taken. Transmit what is left, and
    /// close when [`wants_close`](super::ServerSession::wants_close).
    Close,
}

/// What became of a message that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It is durable under this name: `250`.
    Committed(MessageId),
    /// The write failed: `451 4.3.0`.
    Failed,
    /// There was no room: `452 4.3.1`.
    Full,
}

/// Why the spool could not take a piece of content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentRefusal {
    /// The write failed: `451 4.3.0`.
    Failed,
    /// There is no room: `452 4.3.1`.
    Full,
}

/// What is worth telling about a session.
#[derive(Clone, Copy, Debug)]
pub struct SessionFacts<'a> {
    /// The other side.
    pub peer: Peer,
    /// The argument of EHLO or HELO: printable ASCII, empty before it came.
    pub client_name: &'a [u8],
    /// Whether it was EHLO.
    pub is_extended: bool,
    /// Messages whose data has ended, but for those that were refused.
    pub message_count: u32,
    /// Errors since the last message.
    pub error_count: u32,
    /// What the session is about, as a phrase.
    pub phase: &'static str,
}
