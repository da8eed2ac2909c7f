//! What each reply means in each state, how recipients are reported, and how a session ends.

use crate::clock::Now;
use crate::proto::enhanced::EnhancedCode;
use crate::proto::ext::Extension;
use crate::proto::reply_parse::{Reply, ReplyClass};
use crate::proto::transmit::Framing;

use super::extensions::PeerExtensions;
use super::request::{Delivered, PassedOn};
use super::{ClientEvent, ClientSession, ClientState, Failure, Progress, Scope, Severity};

/// The server shuts down its side of the session, in reply to any command (RFC 5321 §4.2.3).
const SERVICE_NOT_AVAILABLE: u16 = 421;

impl ClientSession {
    pub(super) fn handle_reply(&mut self, now: Now, reply: &Reply) {
        if self.state == ClientState::Quit {
            // Whatever it is, the peer has seen the QUIT or does not mean to answer it.
            let failure = self.failure.take();
            self.close(failure);
            return;
        }
        if reply.code == SERVICE_NOT_AVAILABLE {
            let mut failure = Failure::refused(Scope::Session, self.state, reply);
            failure.retry_now = self.is_stale();
            self.fail_session(failure);
            return;
        }
        if !self.out.is_empty() {
            self.violation(&format!("the peer answered before it was asked: {reply}"));
            return;
        }
        match self.state {
            ClientState::Greeting => self.handle_greeting(now, reply),
            ClientState::Ehlo => self.handle_ehlo_reply(now, reply),
            ClientState::Helo => self.handle_helo_reply(now, reply),
            ClientState::Reset => self.handle_reset_reply(now, reply),
            ClientState::Mail => self.handle_mail_reply(now, reply),
            ClientState::Rcpt => self.handle_rcpt_reply(now, reply),
            ClientState::Data => self.handle_data_reply(now, reply),
            ClientState::Content => self.handle_early_reply(reply),
            ClientState::EndOfData => self.handle_end_of_data_reply(now, reply),
            ClientState::EndOfNothing => {
                // The end of data clears the peer's buffers, taken or not (RFC 5321 §4.1.1.4).
                self.needs_reset = false;
                self.finish_transaction(now);
            }
            ClientState::Idle | ClientState::Quit | ClientState::Closed => {
                self.violation(&format!("the peer answered what was not asked: {reply}"));
            }
        }
    }

    /// RFC 5321 §3.1, §4.3.1. The peer's name in it is of no use: EHLO gives it again.
    fn handle_greeting(&mut self, now: Now, reply: &Reply) {
        match reply.class() {
            ReplyClass::Completed => self.say_hello(now, "EHLO", ClientState::Ehlo),
            ReplyClass::Intermediate => self.contradict(reply),
            // A server that has nothing to offer says 554 and waits for QUIT (RFC 5321 §3.1).
            ReplyClass::Transient | ReplyClass::Permanent => {
                let failure = Failure::refused(Scope::Session, self.state, reply);
                self.send_quit(now, Some(failure));
            }
        }
    }

    fn handle_ehlo_reply(&mut self, now: Now, reply: &Reply) {
        match reply.class() {
            ReplyClass::Completed => self.become_idle(now),
            ReplyClass::Intermediate => self.contradict(reply),
            ReplyClass::Transient => {
                let failure = Failure::refused(Scope::Session, self.state, reply);
                self.send_quit(now, Some(failure));
            }
            // RFC 5321 §3.2: a server that does not know EHLO answers 500 or 502; others of the
            // fifty-odd kind are tried too, as HELO costs little and refuses again if it was meant.
            ReplyClass::Permanent => {
                self.extensions = PeerExtensions::default();
                self.say_hello(now, "HELO", ClientState::Helo);
            }
        }
    }

    fn handle_helo_reply(&mut self, now: Now, reply: &Reply) {
        let scope = match reply.class() {
            ReplyClass::Completed => return self.become_idle(now),
            ReplyClass::Intermediate => return self.contradict(reply),
            ReplyClass::Transient => Scope::Session,
            // It does not want to talk to this host under this name, and its neighbours, which
            // have the same rules, would not either.
            ReplyClass::Permanent => Scope::Site,
        };
        let failure = Failure::refused(scope, self.state, reply);
        self.send_quit(now, Some(failure));
    }

    fn handle_reset_reply(&mut self, now: Now, reply: &Reply) {
        match reply.class() {
            ReplyClass::Completed => {
                self.transaction.answered = true;
                self.needs_reset = false;
                self.enter(now, ClientState::Mail);
                self.send_next();
            }
            ReplyClass::Intermediate => self.contradict(reply),
            // RFC 5321 §4.1.1.5 knows only 250. What the peer thinks of the transaction is unknown,
            // so this session is of no use, and that says nothing about the message.
            ReplyClass::Transient | ReplyClass::Permanent => {
                let mut failure = Failure::refused(Scope::Session, self.state, reply);
                failure.severity = Severity::Network;
                failure.retry_now = true;
                self.fail_session(failure);
            }
        }
    }

    fn handle_mail_reply(&mut self, now: Now, reply: &Reply) {
        match reply.class() {
            ReplyClass::Completed => {
                self.transaction.answered = true;
                self.needs_reset = true;
                self.enter(now, ClientState::Rcpt);
                self.send_next();
            }
            ReplyClass::Intermediate => self.contradict(reply),
            ReplyClass::Transient | ReplyClass::Permanent => {
                self.transaction.answered = true;
                self.report_rest(&Failure::refused(Scope::Message, self.state, reply));
                if self.extensions.has(Extension::Pipelining) {
                    // The rest of the group is on its way; its answers have to be heard.
                    self.end_transaction();
                    self.enter(now, ClientState::Rcpt);
                } else {
                    self.finish_transaction(now);
                }
            }
        }
    }

    fn handle_rcpt_reply(&mut self, now: Now, reply: &Reply) {
        let index = self.transaction.addressed[self.transaction.replies];
        let is_waiting = self.transaction.recipients[index] == Progress::Waiting;
        match reply.class() {
            ReplyClass::Intermediate => return self.contradict(reply),
            // A peer that refused MAIL may say what it likes about the recipients.
            _ if !is_waiting => {}
            // 251: the peer forwards (RFC 5321 §3.4).
            ReplyClass::Completed => {
                self.transaction.recipients[index] = Progress::Accepted;
                self.transaction.accepted += 1;
            }
            ReplyClass::Transient | ReplyClass::Permanent => {
                let failure = self.recipient_failure(reply);
                self.report(index, Err(failure));
            }
        }
        self.transaction.replies += 1;
        if self.transaction.replies < self.transaction.addressed.len() {
            self.enter(now, ClientState::Rcpt);
            self.send_next();
        } else if let Some(bytes) = self.transaction.chunk_bytes {
            self.begin_chunk(now, bytes);
        } else if self.transaction.accepted > 0 || self.extensions.has(Extension::Pipelining) {
            self.enter(now, ClientState::Data);
            self.send_next();
        } else {
            self.finish_transaction(now);
        }
        if self.transaction.unreported == 0 {
            self.end_transaction();
        }
    }

    /// RFC 3030 §2: the content follows its BDAT without an answer in between.
    fn begin_chunk(&mut self, now: Now, bytes: u64) {
        if self.transaction.accepted == 0 {
            self.finish_transaction(now);
            return;
        }
        self.out.extend_from_slice(format!("BDAT {bytes} LAST\r\n").as_bytes());
        self.enter(now, ClientState::Content);
        self.events.push_back(ClientEvent::SendContent(Framing::Chunk));
    }

    /// RFC 5321 §4.5.3.1.10: a server that takes no more recipients in this transaction says 452,
    /// or 552 as RFC 821 had it; the rest goes into another transaction at once. A full mailbox
    /// has the same codes, so this is believed only if there is no enhanced code that says
    /// otherwise and others were accepted before.
    fn recipient_failure(&self, reply: &Reply) -> Failure {
        let mut failure = Failure::refused(Scope::Recipient, self.state, reply);
        let says_so = reply.enhanced.is_none_or(|code| {
            let expected = EnhancedCode::TOO_MANY_RECIPIENTS_4_5_3;
            (code.subject, code.detail) == (expected.subject, expected.detail)
        });
        if matches!(reply.code, 452 | 552) && says_so && self.transaction.accepted > 0 {
            failure.severity = Severity::Soft;
            failure.status = EnhancedCode::TOO_MANY_RECIPIENTS_4_5_3;
            failure.retry_now = true;
        }
        failure
    }

    fn handle_data_reply(&mut self, now: Now, reply: &Reply) {
        match reply.class() {
            ReplyClass::Completed => self.contradict(reply),
            ReplyClass::Intermediate if self.transaction.accepted > 0 => {
                self.enter(now, ClientState::Content);
                self.events.push_back(ClientEvent::SendContent(Framing::Lines));
            }
            ReplyClass::Intermediate => {
                // RFC 2920 §3.1: nobody is there to get the content, so it is a lone dot.
                self.out.extend_from_slice(b".\r\n");
                self.enter(now, ClientState::EndOfNothing);
            }
            ReplyClass::Transient | ReplyClass::Permanent => {
                self.report_rest(&Failure::refused(Scope::Message, self.state, reply));
                self.finish_transaction(now);
            }
        }
    }

    /// An answer before the end of data was sent. A refusal is a refusal, but the rest of the
    /// content cannot be called back, so the session ends; anything else is out of step.
    fn handle_early_reply(&mut self, reply: &Reply) {
        match reply.class() {
            ReplyClass::Completed | ReplyClass::Intermediate => self.contradict(reply),
            ReplyClass::Transient | ReplyClass::Permanent => {
                self.fail_session(Failure::refused(Scope::Message, self.state, reply));
            }
        }
    }

    fn handle_end_of_data_reply(&mut self, now: Now, reply: &Reply) {
        match reply.class() {
            ReplyClass::Completed => {
                let passed_on = self.transaction.passed_on;
                for index in 0..self.transaction.recipients.len() {
                    if self.transaction.recipients[index] != Progress::Reported {
                        let delivered = Delivered { reply: reply.clone(), passed_on };
                        self.report(index, Ok(delivered));
                    }
                }
            }
            ReplyClass::Intermediate => return self.contradict(reply),
            ReplyClass::Transient | ReplyClass::Permanent => {
                self.report_rest(&Failure::refused(Scope::Message, self.state, reply));
            }
        }
        // The end of data clears the peer's buffers, taken or not (RFC 5321 §4.1.1.4). After a
        // BDAT that was refused nobody knows (RFC 3030 §2).
        let is_chunk = self.transaction.chunk_bytes.is_some();
        self.needs_reset = is_chunk && reply.class() != ReplyClass::Completed;
        self.finish_transaction(now);
    }

    fn say_hello(&mut self, now: Now, verb: &str, state: ClientState) {
        self.out.extend_from_slice(verb.as_bytes());
        self.out.push(b' ');
        let name = self.settings.ehlo_name.bytes().filter(u8::is_ascii_graphic);
        self.out.extend(name);
        self.out.extend_from_slice(b"\r\n");
        self.enter(now, state);
    }

    pub(super) fn enter(&mut self, now: Now, state: ClientState) {
        self.state = state;
        self.deadline = state.timeout(&self.settings.timeouts).map(|timeout| now + timeout);
    }

    fn become_idle(&mut self, now: Now) {
        self.enter(now, ClientState::Idle);
        self.events.push_back(ClientEvent::Ready);
    }

    /// Without PIPELINING the next command goes out when the last was answered.
    fn send_next(&mut self) {
        if !self.extensions.has(Extension::Pipelining) {
            self.transaction.commands.send_one(&mut self.out);
        }
    }

    /// A transaction for `count` recipients of which nothing is known.
    pub(super) fn open_transaction(&mut self, count: usize) {
        let transaction = &mut self.transaction;
        assert!(!transaction.open, "one transaction at a time");
        transaction.open = true;
        transaction.recipients.clear();
        transaction.recipients.resize(count, Progress::Waiting);
        transaction.unreported = count;
        transaction.accepted = 0;
        transaction.addressed.clear();
        transaction.replies = 0;
        transaction.answered = false;
        transaction.passed_on = PassedOn::default();
        transaction.chunk_bytes = None;
        transaction.commands.clear();
    }

    /// The one place where a recipient's result leaves the machine.
    pub(super) fn report(&mut self, index: usize, result: Result<Delivered, Failure>) {
        let progress = &mut self.transaction.recipients[index];
        assert!(*progress != Progress::Reported, "a recipient is reported once");
        if *progress == Progress::Accepted {
            self.transaction.accepted -= 1;
        }
        *progress = Progress::Reported;
        self.transaction.unreported -= 1;
        self.events.push_back(ClientEvent::Recipient { index, result });
    }

    pub(super) fn report_rest(&mut self, failure: &Failure) {
        for index in 0..self.transaction.recipients.len() {
            if self.transaction.recipients[index] != Progress::Reported {
                self.report(index, Err(failure.clone()));
            }
        }
    }

    /// Says that all recipients were reported, if that was not said.
    pub(super) fn end_transaction(&mut self) {
        if self.transaction.open {
            assert!(self.transaction.unreported == 0, "a recipient was forgotten");
            self.transaction.open = false;
            self.events.push_back(ClientEvent::TransactionEnd);
        }
    }

    pub(super) fn finish_transaction(&mut self, now: Now) {
        self.end_transaction();
        self.become_idle(now);
    }

    /// The session was used before, and the peer has not answered anything of what is running
    /// now: most likely it had closed the idle connection already.
    fn is_stale(&self) -> bool {
        let reused = self.transactions_begun > u64::from(self.transaction.open);
        reused && !(self.transaction.open && self.transaction.answered)
    }

    /// No answer will come. What a message in doubt makes of it, see the module's failures.
    pub(super) fn lost(&self, status: EnhancedCode, what: &str) -> Failure {
        let scope =
            if self.state == ClientState::EndOfData { Scope::Message } else { Scope::Session };
        let mut failure = Failure::local(scope, Severity::Network, status, what);
        failure.state = Some(self.state);
        failure.retry_now = self.is_stale();
        failure
    }

    pub(super) fn lose(&mut self, status: EnhancedCode, what: &str) {
        match self.state {
            ClientState::Closed => {}
            ClientState::Quit => {
                let failure = self.failure.take();
                self.close(failure);
            }
            ClientState::Greeting
            | ClientState::Ehlo
            | ClientState::Helo
            | ClientState::Idle
            | ClientState::Reset
            | ClientState::Mail
            | ClientState::Rcpt
            | ClientState::Data
            | ClientState::Content
            | ClientState::EndOfData
            | ClientState::EndOfNothing => {
                let failure = self.lost(status, what);
                self.fail_session(failure);
            }
        }
    }

    /// A reply of a kind that the command cannot have.
    fn contradict(&mut self, reply: &Reply) {
        self.violation(&format!("the peer gave an answer that makes no sense: {reply}"));
    }

    /// The peer is out of step or does not speak SMTP. An early answer to the content counts as a
    /// message in doubt: the peer may have seen an end where none was meant.
    pub(super) fn violation(&mut self, what: &str) {
        let mut failure = self.lost(EnhancedCode::PROTOCOL_4_5_0, what);
        failure.retry_now = false;
        if self.state == ClientState::Content {
            failure.scope = Scope::Message;
        }
        if self.state == ClientState::Quit {
            let failure = self.failure.take();
            self.close(failure);
        } else {
            self.fail_session(failure);
        }
    }

    fn fail_session(&mut self, failure: Failure) {
        self.report_rest(&failure);
        self.close(Some(failure));
    }

    pub(super) fn send_quit(&mut self, now: Now, failure: Option<Failure>) {
        self.out.extend_from_slice(b"QUIT\r\n"); // RFC 5321 §4.1.1.10
        self.failure = failure;
        self.enter(now, ClientState::Quit);
    }

    pub(super) fn close(&mut self, failure: Option<Failure>) {
        self.end_transaction();
        self.state = ClientState::Closed;
        self.deadline = None;
        self.out.clear();
        self.end = Some(ClientEvent::Closed { failure });
    }
}
