//! The commands that have nothing to do with a transaction, and those that begin a session.

use crate::proto::enhanced::EnhancedCode;
use crate::proto::fault::{Fault, LocalFault};
use crate::proto::reply::{self, Code, Reply};
use crate::proto::server::{Conditions, Hello, OK, ServerSession};

impl ServerSession {
    /// The greeting (RFC 5321 §4.2, §4.3.1), or 421 if no session may begin. Neither carries an
    /// enhanced code (RFC 2034 §4).
    pub(super) fn greet(&mut self, conditions: &Conditions) {
        if conditions.draining {
            let text = Fault::Local(LocalFault::Draining).reply().text;
            self.replies.push(|out| Reply::plain(Code::UNAVAILABLE_421, text).write(out));
            self.close();
            return;
        }
        let parts: [&[u8]; 2] = [self.policy.hostname.as_bytes(), b" ESMTP Ringpost"];
        self.replies.push(|out| reply::write_line(out, Code::READY_220, None, &parts));
    }

    /// RFC 5321 §4.1.1.1. Like RSET, it ends a transaction (§4.1.4).
    pub(super) fn ehlo(&mut self, conditions: &Conditions, name: &[u8]) -> Result<(), Fault> {
        self.begin(Hello::Ehlo, name);
        self.offer = self.decide_offer();
        let mut lines = std::mem::take(&mut self.replies);
        lines.push(|out| {
            out.extend_from_slice(b"250-");
            out.extend_from_slice(self.policy.hostname.as_bytes());
            out.extend_from_slice(b"\r\n");
            self.write_offer(conditions, out);
        });
        self.replies = lines;
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
        if *self.client_name != *name {
            self.client_name = name.into();
        }
    }
}
