//! What ends a session, or a part of it, other than a command.

use std::time::Duration;

use crate::clock::Now;
use crate::limits::SESSION_CLOSE_S;
use crate::proto::fault::{BoundFault, Fault, LocalFault};
use crate::proto::server::{Conditions, Phase, ServerSession};

impl ServerSession {
    /// The peer closed its side; call it once all that it sent before is consumed. What ended is
    /// still answered, what did not is given up.
    pub fn handle_eof(&mut self) {
        self.input_ended = true;
        match self.phase {
            Phase::Handshake => self.phase = Phase::Closed,
            Phase::Command
            | Phase::Denied
            | Phase::TlsAccepted
            | Phase::Exchange
            | Phase::PasswordCheck
            | Phase::AuthDelay
            | Phase::Renewed
            | Phase::Content => self.close(),
            Phase::ContentEnded | Phase::Closing | Phase::Closed => {}
        }
    }

    /// Ends the session if it is time to. The peer reads `421 4.4.2`, and if it does not take
    /// that either the session ends without a word. Or it is time for the answer to a failed
    /// authentication.
    pub fn handle_timeout(&mut self, conditions: &Conditions) {
        let (deadline, _) = self.poll_timeout();
        if conditions.now < deadline {
            return;
        }
        match self.phase {
            Phase::AuthDelay if conditions.now < self.session_end() => {
                self.answer_failure(conditions);
            }
            Phase::Command
            | Phase::Denied
            | Phase::TlsAccepted
            | Phase::Exchange
            | Phase::PasswordCheck
            | Phase::AuthDelay
            | Phase::Renewed
            | Phase::Content
            | Phase::ContentEnded => {
                self.active = conditions.now;
                self.refuse(Fault::Bound(BoundFault::Time));
            }
            Phase::Handshake | Phase::Closing | Phase::Closed => {
                self.phase = Phase::Closed;
                self.replies.discard();
            }
        }
    }

    /// The server is about to stop: a session outside of a transaction ends with `421 4.3.2`; one
    /// within ends at its next MAIL, if [`Conditions::draining`] still holds then.
    pub fn handle_drain(&mut self, conditions: &Conditions) {
        match self.phase {
            Phase::Command if !self.envelope_is_open() => {
                self.active = conditions.now;
                self.refuse(Fault::Local(LocalFault::Draining));
            }
            Phase::Denied | Phase::Exchange | Phase::AuthDelay => {
                self.active = conditions.now;
                self.refuse(Fault::Local(LocalFault::Draining));
            }
            // These end soon, and the session with the phase that comes behind.
            Phase::Handshake | Phase::TlsAccepted | Phase::PasswordCheck | Phase::Renewed => {}
            Phase::Command
            | Phase::Content
            | Phase::ContentEnded
            | Phase::Closing
            | Phase::Closed => {}
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), and what is waited for until then.
    #[must_use]
    pub fn poll_timeout(&self) -> (Now, &'static str) {
        let limits = &self.policy.limits;
        let session = (self.session_end(), "the end of the session");
        let content = (self.content_began + limits.content_time, "the end of the content");
        let sooner = |one: (Now, &'static str), other: (Now, &'static str)| {
            if other.0 < one.0 { other } else { one }
        };
        match self.phase {
            // What the peer waits for is no reason to cut it off.
            Phase::Command
            | Phase::TlsAccepted
            | Phase::Exchange
            | Phase::Renewed
            | Phase::ContentEnded
                if self.replies.is_held() =>
            {
                session
            }
            Phase::Command if self.body_is_open => {
                sooner(session, sooner((self.active + limits.idle_time, "a chunk"), content))
            }
            Phase::PasswordCheck => session,
            Phase::Command | Phase::TlsAccepted | Phase::Renewed | Phase::ContentEnded => {
                sooner(session, (self.active + limits.idle_time, "a command"))
            }
            Phase::Handshake => {
                sooner(session, (self.handshake_deadline(), "the handshake of TLS"))
            }
            Phase::Exchange => {
                sooner(session, (self.active + limits.idle_time, "a response to a challenge"))
            }
            Phase::AuthDelay => {
                sooner(session, (self.auth_answer_due(), "the answer to a failed authentication"))
            }
            Phase::Denied => {
                let close_time = Duration::from_secs(SESSION_CLOSE_S);
                sooner(session, (self.active + close_time, "a refused client to leave"))
            }
            Phase::Content => {
                let piece = (self.active + limits.idle_time, "a piece of content");
                sooner(session, sooner(piece, content))
            }
            Phase::Closing | Phase::Closed => {
                let close_time = Duration::from_secs(SESSION_CLOSE_S);
                (self.active + close_time, "the peer to take the last reply")
            }
        }
    }

    /// Whether nothing is left to be said and the connection shall be closed.
    #[must_use]
    pub fn wants_close(&self) -> bool {
        match self.phase {
            Phase::Closing => self.replies.is_empty() && !self.replies.is_held(),
            Phase::Closed => true,
            Phase::Handshake
            | Phase::Command
            | Phase::Denied
            | Phase::TlsAccepted
            | Phase::Exchange
            | Phase::PasswordCheck
            | Phase::AuthDelay
            | Phase::Renewed
            | Phase::Content
            | Phase::ContentEnded => false,
        }
    }

    pub(super) fn close(&mut self) {
        self.abandon_exchange();
        self.phase = Phase::Closing;
        self.lines.reset();
        // That of a message that just ended is still to be taken by the caller.
        if !self.envelope_ended {
            self.envelope.reset();
        }
    }

    /// Whatever else happens.
    fn session_end(&self) -> Now {
        self.began + self.policy.limits.session_time
    }
}

impl Drop for ServerSession {
    /// A client that is gone before its password is checked does not guess for free.
    fn drop(&mut self) {
        self.abandon_exchange();
    }
}
