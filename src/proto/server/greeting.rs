//! The commands that have nothing to do with a transaction, and those that begin a session.

use crate::proto::enhanced::EnhancedCode;
use crate::proto::fault::{Fault, LocalFault, PolicyFault, SequenceFault};
use crate::proto::reply::{self, Code, Reply};
use crate::proto::server::{Conditions, Event, Hello, OK, Phase, ServerSession, TlsOffer};

impl ServerSession {
    /// Begins a session with a client that just connected, or of which a proxy just told.
    pub(super) fn welcome(&mut self, conditions: &Conditions) {
        if !self.policy.access.admits(self.peer.address) {
            self.dismiss(Fault::Policy(PolicyFault::AccessDenied));
        } else if conditions.draining {
            self.dismiss(Fault::Local(LocalFault::Draining));
        } else if self.policy.tls == TlsOffer::Implicit && self.tls.is_none() {
            self.phase = Phase::Handshake;
        } else {
            self.greet(conditions);
        }
    }

    /// Ends a session before it begins. `fault` is what the greeting says, without its enhanced
    /// code (RFC 2034 §4).
    ///
    /// Where TLS comes before the greeting nothing is said: a handshake is the very work that a
    /// client without a place here must not cause, and without one it could not read the words.
    pub(super) fn dismiss(&mut self, fault: Fault) {
        if self.policy.tls == TlsOffer::Implicit && self.tls.is_none() {
            self.phase = Phase::Closed;
            return;
        }
        let Reply { code, text, .. } = fault.reply();
        self.replies.push(|out| Reply::plain(code, text).write(out));
        if code == Code::UNAVAILABLE_421 {
            self.close();
        } else {
            self.phase = Phase::Denied;
        }
    }

    /// Obeys nothing but QUIT (RFC 5321 §3.1): after 554 in the greeting the client is to take its
    /// leave.
    pub(super) fn execute_denied(&mut self, line: &[u8]) -> Option<Event> {
        let done = if line.trim_ascii_end().eq_ignore_ascii_case(b"QUIT") {
            self.quit()
        } else {
            Err(Fault::Sequence(SequenceFault::Denied))
        };
        if let Err(fault) = done {
            self.refuse(fault);
        }
        None
    }

    /// The greeting (RFC 5321 §4.2, §4.3.1), or 421 if no session may begin. Neither carries an
    /// enhanced code (RFC 2034 §4).
    pub(super) fn greet(&mut self, conditions: &Conditions) {
        self.phase = Phase::Command;
        if conditions.draining {
            self.dismiss(Fault::Local(LocalFault::Draining));
            return;
        }
        let parts: [&[u8]; 2] = [self.policy.hostname.as_bytes(), b" ESMTP Ringpost"];
        self.replies.push(|out| reply::write_line(out, Code::READY_220, None, &parts));
    }

    /// RFC 5321 §4.1.1.1. Like RSET, it ends a transaction (§4.1.4).
    pub(super) fn ehlo(&mut self, conditions: &Conditions, name: &[u8]) -> Result<(), Fault> {
        self.begin(Hello::Ehlo, name);
        let mut replies = std::mem::take(&mut self.replies);
        replies.push(|out| {
            out.extend_from_slice(b"250-");
            out.extend_from_slice(self.policy.hostname.as_bytes());
            out.extend_from_slice(b"\r\n");
            self.write_offer(conditions, out);
        });
        self.replies = replies;
        Ok(())
    }

    /// RFC 5321 §4.1.1.1.
    pub(super) fn helo(&mut self, name: &[u8]) -> Result<(), Fault> {
        self.begin(Hello::Helo, name);
        let parts = [self.policy.hostname.as_bytes()];
        self.replies.push(|out| reply::write_line(out, Code::OK_250, None, &parts));
        Ok(())
    }

    /// RFC 5321 §4.1.1.5.
    pub(super) fn rset(&mut self) -> Result<(), Fault> {
        self.envelope.reset();
        self.reply(OK)
    }

    /// RFC 5321 §3.5.3: whether an address is good is known only to the server that it leads to.
    pub(super) fn vrfy(&mut self) -> Result<(), Fault> {
        let text = "Cannot verify the address: send the message and see";
        self.reply(Reply::new(Code::CANNOT_VERIFY_252, EnhancedCode::OK_2_0_0, text))
    }

    /// RFC 5321 §4.1.1.8.
    pub(super) fn help(&mut self) -> Result<(), Fault> {
        let lines: [&[u8]; 2] = [
            b"Commands: EHLO HELO STARTTLS AUTH MAIL RCPT DATA BDAT RSET VRFY HELP NOOP QUIT",
            b"EHLO lists the extensions; RFC 5321 says the rest",
        ];
        self.replies.push(|out| {
            reply::write_lines(out, Code::HELP_214, Some(EnhancedCode::OK_2_0_0), &lines)
        });
        Ok(())
    }

    /// RFC 5321 §4.1.1.10.
    pub(super) fn quit(&mut self) -> Result<(), Fault> {
        self.close();
        self.reply(Reply::new(Code::CLOSING_221, EnhancedCode::OK_2_0_0, "Goodbye"))
    }

    fn begin(&mut self, hello: Hello, name: &[u8]) {
        self.envelope.reset();
        self.hello = hello;
        self.hello_is_vouched_for = false;
        if *self.client_name != *name {
            self.client_name = name.into();
        }
    }
}
