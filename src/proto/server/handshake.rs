//! STARTTLS, and the handshake of TLS, which another machine runs while this one waits.
//!
//! # Guarantees
//! Nothing that a client sent before the handshake is obeyed after it (RFC 3207 §4.2): whoever sat
//! between could have put it there. That is what it said, commands that came with STARTTLS, a line
//! that was begun, and what XCLIENT told.

use crate::clock::Now;
use crate::limits::TLS_HANDSHAKE_S;
use crate::proto::enhanced::EnhancedCode;
use crate::proto::fault::{Fault, SequenceFault, SyntaxFault};
use crate::proto::reply::{Code, Reply};
use crate::proto::server::{Conditions, Event, Phase, ServerSession, TlsFacts, TlsOffer};

impl ServerSession {
    /// The handshake of TLS is done. The session begins anew (RFC 3207 §4.2), and with
    /// [`TlsOffer::Implicit`] its greeting is due only now.
    pub fn handle_tls(&mut self, conditions: &Conditions, facts: TlsFacts) {
        if self.phase != Phase::Handshake {
            debug_assert!(self.phase == Phase::Closed, "a handshake that was not asked for");
            return;
        }
        self.active = conditions.now;
        self.tls = Some(Box::new(facts));
        self.forget_client();
        self.phase = Phase::Command;
        if self.policy.tls == TlsOffer::Implicit {
            self.greet(conditions);
        }
    }

    /// Whether what the client sends is not for this machine but for that of TLS, until
    /// [`handle_tls`](Self::handle_tls).
    #[must_use]
    pub const fn tls_is_wanted(&self) -> bool {
        matches!(self.phase, Phase::Handshake)
    }

    /// What the handshake of TLS came to, if the connection is protected.
    pub fn tls_facts(&self) -> Option<&TlsFacts> {
        self.tls.as_deref()
    }

    /// RFC 3207 §4. The reply is the last that is sent without protection.
    pub(super) fn start_tls(&mut self) -> Result<(), Fault> {
        if self.tls.is_some() {
            return Err(Fault::Sequence(SequenceFault::TlsDone));
        }
        if !matches!(self.policy.tls, TlsOffer::StartTls { .. }) {
            return Err(SyntaxFault::NotImplemented.into());
        }
        if self.is_vouched_for {
            return Err(Fault::Sequence(SequenceFault::TlsTooLate));
        }
        self.envelope.reset();
        self.phase = Phase::TlsAccepted;
        self.reply(Reply::new(Code::READY_220, EnhancedCode::OK_2_0_0, "Ready to start TLS"))
    }

    /// Drops what came behind STARTTLS, once the reply to it may go out.
    pub(super) fn begin_handshake(&mut self, input: &[u8]) -> (usize, Option<Event>) {
        if let Some(event) = self.abandon_chunks() {
            return (0, Some(event));
        }
        // The reply to a message must not come under protection after that to STARTTLS.
        if self.replies.is_held() {
            return (0, Some(Event::Blocked));
        }
        self.phase = Phase::Handshake;
        (input.len(), Some(Event::StartTls))
    }

    /// When a handshake that is not done fails.
    pub(super) fn handshake_deadline(&self) -> Now {
        let handshake_time = std::time::Duration::from_secs(TLS_HANDSHAKE_S);
        self.active + self.policy.limits.idle_time.min(handshake_time)
    }
}
