//! The client side of an SMTP session: one connection to a next hop, over which any number of
//! transactions go one after the other.
//!
//! The steps of a delivery: the peer greets; EHLO tells what it offers, or HELO if it refuses
//! EHLO; [`ClientEvent::Ready`]. The caller begins a transaction; MAIL, every RCPT and DATA go out,
//! as one group if the peer offers PIPELINING (RFC 2920), else one after the other.
//! [`ClientEvent::SendContent`]: the caller sends the content with its dots doubled and the end of
//! data, see [`transmit`](super::transmit). The answer to the end of data is the result of every
//! recipient that was accepted. [`ClientEvent::TransactionEnd`], and `Ready` again.
//!
//! What may run ahead of what: a group is MAIL, RCPT, … , DATA, with an RSET in front if the last
//! transaction left something open. DATA is always the last of its group (RFC 2920 §3.1), and
//! nothing follows before all its answers are in. Content never runs ahead of the 354. So an answer
//! that comes while commands wait to be taken by [`ClientSession::transmit`] answers nothing, and
//! the peer is out of step.
//!
//! # Guarantees
//! Every recipient of every transaction that was begun is reported exactly once, between
//! [`ClientSession::begin`] and the transaction's one `TransactionEnd`, whatever the peer does and
//! wherever it stops. `Closed` is reported once, after everything else: a transaction that a caller
//! begins on a `Ready` that the end has overtaken is still reported before it. No address can
//! smuggle in a command. How the peer's bytes are cut between two calls of
//! [`ClientSession::transmit`] makes no difference.
//!
//! # Never
//! It never decides what becomes of a recipient: it reports what the peer said, with a scope, and
//! `queue::outcome` decides. It never sends content that no recipient was accepted for: if the
//! peer lets such a DATA through, an empty message goes out (RFC 2920 §3.1).
//!
//! # Failures
//! [`Failure`], see there. When the connection is lost, times out or falls out of step after the
//! end of data was sent and before its answer is in, the peer may have taken the message or not. It
//! is reported as not delivered, with [`Scope::Message`] and [`Severity::Network`], and the
//! recipients may get it twice (RFC 5321 §6.1 and RFC 1047 prefer that to a loss).
//!
//! # Bounds
//! [`TRANSACTION_RECIPIENTS_MAX`] recipients; the commands of one transaction; what the
//! [reply parser](super::reply_parse) keeps; two events a recipient and two more.

mod commands;
mod extensions;
mod failure;
mod replies;
mod states;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::rc::Rc;

use crate::clock::Now;
use crate::limits::TRANSACTION_RECIPIENTS_MAX;
use crate::proto::enhanced::EnhancedCode;
use crate::proto::reply_parse::{Parsed, Reply, ReplyParser};

use commands::{Commands, is_sendable};

pub use extensions::{PeerExtensions, SizeExtension};
pub use failure::{Cause, Failure, Scope, Severity};
pub use states::{ClientState, ClientTimeouts};

/// What all sessions of a source have in common.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// The name that EHLO gives: fully qualified, or an address literal (RFC 5321 §4.1.1.1).
    pub ehlo_name: Box<str>,
    /// How long to wait in each state.
    pub timeouts: ClientTimeouts,
    /// 8-bit content for a peer without 8BITMIME.
    pub eight_bit_to_seven_bit_peer: EightBitToSevenBitPeer,
}

impl ClientSettings {
    /// `ehlo_name` and the defaults.
    pub fn new(ehlo_name: &str) -> Self {
        Self {
            ehlo_name: ehlo_name.into(),
            timeouts: ClientTimeouts::default(),
            eight_bit_to_seven_bit_peer: EightBitToSevenBitPeer::Bounce,
        }
    }
}

/// What to do with content that was declared as 8-bit when the peer does not offer 8BITMIME.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EightBitToSevenBitPeer {
    /// Report the message as failed with 5.6.3. RFC 6152 §3 leaves a client two ways: convert to
    /// seven bits, which would break signatures and which this relay does not do, or treat it as a
    /// permanent error.
    Bounce,
    /// Send it as it is, without `BODY=`. A violation of RFC 6152 §3 that nearly every peer bears.
    SendAsIs,
}

/// A message for some recipients.
#[derive(Clone, Copy, Debug)]
pub struct TransactionRequest<'a> {
    /// Reverse-path without angle brackets; empty for the null sender.
    pub sender: &'a [u8],
    /// Forward-paths without angle brackets, at most [`TRANSACTION_RECIPIENTS_MAX`].
    pub recipients: &'a [&'a [u8]],
    /// Size of the content in bytes, dots not doubled (RFC 1870 §3 counts so).
    pub size_bytes: u64,
    /// Whether the content was declared `BODY=8BITMIME`.
    pub eight_bit: bool,
}

/// What a session tells its caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientEvent {
    /// A transaction may begin: after the greeting, and after each transaction that left the
    /// session usable.
    Ready,
    /// Send the content and the end of data, then call [`ClientSession::content_sent`].
    SendContent,
    /// What became of one recipient. `Ok` is the peer's answer to the end of data.
    Recipient {
        /// Its place in [`TransactionRequest::recipients`].
        index: usize,
        /// The peer took responsibility for the message, or not.
        result: Result<Reply, Failure>,
    },
    /// Every recipient of the transaction was reported.
    TransactionEnd,
    /// The session is over: close the connection, whatever was not sent.
    Closed {
        /// Why, unless the caller wanted it. It was also the result of every recipient that was
        /// not reported before.
        failure: Option<Failure>,
    },
}

/// How far one recipient of the running transaction has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// Its RCPT is not answered.
    Waiting,
    /// Its RCPT was answered with 2yz.
    Accepted,
    /// Its result was reported.
    Reported,
}

/// The running transaction; between two it is the finished one, with nothing to report.
/// `unreported` is the number of recipients that are not [`Progress::Reported`], `accepted` the
/// number that are [`Progress::Accepted`], `replies <= addressed.len()`.
#[derive(Debug, Default)]
struct Transaction {
    /// Whether its `TransactionEnd` is still owed.
    open: bool,
    recipients: Vec<Progress>,
    unreported: usize,
    accepted: usize,
    /// The recipients that have a RCPT among the commands, in its order.
    addressed: Vec<usize>,
    /// Answers to RCPT that came.
    replies: usize,
    /// Whether the peer answered anything since it began.
    answered: bool,
    commands: Commands,
}

/// One session, from the moment the connection is made.
///
/// - Getters: [`state`](Self::state), [`is_idle`](Self::is_idle),
///   [`extensions`](Self::extensions), [`transactions_begun`](Self::transactions_begun).
/// - Inputs: [`handle_input`](Self::handle_input), [`handle_eof`](Self::handle_eof),
///   [`handle_timeout`](Self::handle_timeout), [`handle_io_error`](Self::handle_io_error).
/// - Wishes of the caller: [`begin`](Self::begin), [`content_progress`](Self::content_progress),
///   [`content_sent`](Self::content_sent), [`quit`](Self::quit).
/// - Outputs, to be asked after any of the two above, in this order:
///   [`poll_event`](Self::poll_event) until `None` (acting on an event may make more),
///   [`transmit`](Self::transmit), [`poll_timeout`](Self::poll_timeout).
///
/// Time must not run backwards from call to call.
#[derive(Debug)]
pub struct ClientSession {
    settings: Rc<ClientSettings>,
    state: ClientState,
    deadline: Option<Now>,
    parser: ReplyParser,
    extensions: PeerExtensions,
    /// Commands that the caller has not taken.
    out: Vec<u8>,
    transaction: Transaction,
    transactions_begun: u64,
    /// MAIL was accepted, and nothing since then has ended the peer's transaction.
    needs_reset: bool,
    /// Why the session ends, while the QUIT is on its way.
    failure: Option<Failure>,
    events: VecDeque<ClientEvent>,
    /// `Closed`, until it is reported as the last event.
    end: Option<ClientEvent>,
}

impl ClientSession {
    /// A session over a connection that was just made; the peer speaks first (RFC 5321 §3.1).
    pub fn new(settings: Rc<ClientSettings>, now: Now) -> Self {
        let mut session = Self {
            settings,
            state: ClientState::Greeting,
            deadline: None,
            parser: ReplyParser::default(),
            extensions: PeerExtensions::default(),
            out: Vec::new(),
            transaction: Transaction::default(),
            transactions_begun: 0,
            needs_reset: false,
            failure: None,
            events: VecDeque::new(),
            end: None,
        };
        session.enter(now, ClientState::Greeting);
        session
    }

    /// Takes all of `input`, the next bytes of the peer.
    pub fn handle_input(&mut self, now: Now, input: &[u8]) {
        let mut rest = input;
        while !rest.is_empty() && self.state != ClientState::Closed {
            let is_ehlo = self.state == ClientState::Ehlo;
            let extensions = &mut self.extensions;
            let (consumed, parsed) = self.parser.advance(rest, |number, line| {
                // The first line is the peer's name and a greeting (RFC 5321 §4.1.1.1).
                if is_ehlo && number > 0 {
                    extensions.note(line);
                }
            });
            rest = rest.get(consumed..).unwrap_or_default();
            match parsed {
                Parsed::NeedInput => {}
                Parsed::Reply(reply) => self.handle_reply(now, &reply),
                Parsed::Malformed(why) => self.violation(&format!("the peer sent {why}")),
            }
        }
    }

    /// The peer closed its side. What it sent before must have been handed in.
    pub fn handle_eof(&mut self) {
        self.lose(EnhancedCode::BAD_CONNECTION_4_4_2, "the peer closed the connection");
    }

    /// The connection broke, with the system's words for it.
    pub fn handle_io_error(&mut self, what: &str) {
        self.lose(EnhancedCode::BAD_CONNECTION_4_4_2, what);
    }

    /// Time has passed. Does nothing before the time of [`Self::poll_timeout`].
    pub fn handle_timeout(&mut self, now: Now) {
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.lose(EnhancedCode::BAD_CONNECTION_4_4_2, "timed out");
        }
    }

    /// Begins a transaction. If the session is over already, which the caller may not know yet,
    /// all recipients are reported as failed.
    ///
    /// # Panics
    /// If a transaction is running or the session is not ready for the first, see
    /// [`Self::is_idle`], or if there are more than [`TRANSACTION_RECIPIENTS_MAX`] recipients.
    pub fn begin(&mut self, now: Now, request: &TransactionRequest<'_>) {
        let is_over = matches!(self.state, ClientState::Quit | ClientState::Closed);
        assert!(is_over || self.is_idle(), "a transaction begins when the session is idle");
        assert!(request.recipients.len() <= TRANSACTION_RECIPIENTS_MAX, "too many recipients");
        self.open_transaction(request.recipients.len());
        if is_over {
            let mut failure = self.lost(EnhancedCode::BAD_CONNECTION_4_4_2, "the session was over");
            failure.retry_now = true;
            self.report_rest(&failure);
            self.end_transaction();
            return;
        }
        self.transactions_begun += 1;
        if let Some(failure) = self.find_obstacle(request) {
            self.report_rest(&failure);
        } else {
            self.write_commands(request);
        }
        if self.transaction.addressed.is_empty() {
            self.finish_transaction(now);
            return;
        }
        let first = if self.needs_reset { ClientState::Reset } else { ClientState::Mail };
        self.enter(now, first);
        if self.extensions.pipelining {
            self.transaction.commands.send_all(&mut self.out);
        } else {
            self.transaction.commands.send_one(&mut self.out);
        }
    }

    /// Part of the content has left: the time-out of RFC 5321 §4.5.3.2.5 begins anew.
    pub fn content_progress(&mut self, now: Now) {
        if self.state == ClientState::Content {
            self.enter(now, ClientState::Content);
        }
    }

    /// The last of the content and the end of data were handed to the kernel. To be called before
    /// any input that came later is handed in, since an answer that comes earlier is none.
    /// Without effect if the session has ended meanwhile.
    pub fn content_sent(&mut self, now: Now) {
        if self.state == ClientState::Content {
            self.enter(now, ClientState::EndOfData);
        }
    }

    /// Ends the session: with QUIT when it is idle (RFC 5321 §4.1.1.10). In the middle of anything
    /// else a QUIT could be taken for content, so the session is just over; recipients that were
    /// not reported have failed, with nothing said against trying again at once.
    pub fn quit(&mut self, now: Now) {
        match self.state {
            ClientState::Idle => self.send_quit(now, None),
            ClientState::Greeting | ClientState::Ehlo | ClientState::Helo => self.close(None),
            ClientState::Reset
            | ClientState::Mail
            | ClientState::Rcpt
            | ClientState::Data
            | ClientState::Content
            | ClientState::EndOfData
            | ClientState::EndOfNothing => {
                let mut failure = self.lost(EnhancedCode::BAD_CONNECTION_4_4_2, "given up");
                failure.retry_now = self.state != ClientState::EndOfData;
                self.report_rest(&failure);
                self.close(None);
            }
            ClientState::Quit | ClientState::Closed => {}
        }
    }

    /// Moves what shall be sent to the end of `out`; whether that was anything.
    pub fn transmit(&mut self, out: &mut Vec<u8>) -> bool {
        let any = !self.out.is_empty();
        out.append(&mut self.out);
        any
    }

    /// The next event.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<ClientEvent> {
        self.events.pop_front().or_else(|| self.end.take())
    }

    /// When [`Self::handle_timeout`] wants to be called, and what the session is doing until then.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Now, &'static str)> {
        self.deadline.map(|deadline| (deadline, self.state.phrase()))
    }

    /// Whether a transaction may begin.
    pub fn is_idle(&self) -> bool {
        self.state == ClientState::Idle
    }

    /// Where the session stands.
    pub const fn state(&self) -> ClientState {
        self.state
    }

    /// What the peer offers; nothing before the first `Ready`.
    pub const fn extensions(&self) -> &PeerExtensions {
        &self.extensions
    }

    /// Transactions that were begun over this session, the running one included.
    pub const fn transactions_begun(&self) -> u64 {
        self.transactions_begun
    }

    /// Why the peer will not get this message at all, before it is even asked.
    fn find_obstacle(&self, request: &TransactionRequest<'_>) -> Option<Failure> {
        let message =
            |status, text: &str| Some(Failure::local(Scope::Message, Severity::Hard, status, text));
        if !is_sendable(request.sender) {
            // X.1.7, bad sender's mailbox address syntax (RFC 3463 §3.2).
            let status = EnhancedCode::SENDER_SYNTAX_5_1_7;
            return message(status, "the sender's address cannot be sent over SMTP");
        }
        if let SizeExtension::Maximum { bytes } = self.extensions.size
            && request.size_bytes > bytes
        {
            // RFC 1870 §6.1 lets a client give up by itself. X.3.4, message too big for system.
            let size = request.size_bytes;
            let text = format!("the message has {size} bytes, and the peer takes at most {bytes}");
            return message(EnhancedCode::TOO_BIG_5_3_4, &text);
        }
        let bounces = match self.settings.eight_bit_to_seven_bit_peer {
            EightBitToSevenBitPeer::Bounce => true,
            EightBitToSevenBitPeer::SendAsIs => false,
        };
        if request.eight_bit && !self.extensions.eight_bit_mime && bounces {
            // RFC 6152 §3. X.6.3, conversion required but not supported (RFC 3463 §3.7).
            let status = EnhancedCode::CONVERSION_5_6_3;
            return message(status, "the message has 8-bit content, which the peer does not take");
        }
        None
    }

    /// Writes the commands of the transaction, without recipients whose address cannot be sent;
    /// those are reported.
    fn write_commands(&mut self, request: &TransactionRequest<'_>) {
        if self.needs_reset {
            self.transaction.commands.push_reset();
        }
        self.transaction.commands.push_mail(request, &self.extensions);
        for (index, recipient) in request.recipients.iter().enumerate() {
            if is_sendable(recipient) && !recipient.is_empty() {
                self.transaction.commands.push_rcpt(recipient);
                self.transaction.addressed.push(index);
            } else {
                // X.1.3, bad destination mailbox address syntax (RFC 3463 §3.2).
                let status = EnhancedCode::RECIPIENT_SYNTAX_5_1_3;
                let text = "the address cannot be sent over SMTP";
                let failure = Failure::local(Scope::Recipient, Severity::Hard, status, text);
                self.report(index, Err(failure));
            }
        }
        self.transaction.commands.push_data();
    }
}
