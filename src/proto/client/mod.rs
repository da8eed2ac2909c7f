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
//! Content of any bytes goes in one chunk behind a BDAT, as soon as the last RCPT is answered
//! (RFC 3030). Other content goes behind DATA even where CHUNKING is offered: every server has seen
//! DATA, its 354 shows that both sides are in step before the content goes out, and faults in the
//! younger BDAT have cost others mail. What BDAT saves is one wait, and the dots of the few messages
//! that have some.
//!
//! What the client of a message asked for is passed on to a peer that offers it: RET, ENVID,
//! NOTIFY and ORCPT (RFC 3461 §5.2.1), SMTPUTF8 (RFC 6531 §3.4), BY with the time that is left
//! (RFC 2852 §4.1.4), MT-PRIORITY (RFC 6710 §5). What must not go to a peer without is an obstacle
//! that fails the message; [`PassedOn`] tells what else was not passed on, so that this server does
//! it. One choice of RFC 3461 §5.2.2 is left alone: recipients with `NOTIFY=NEVER` share the
//! transaction and the sender of the others.
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
mod obstacles;
mod replies;
mod request;
mod spelling;
mod states;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::rc::Rc;

use crate::clock::Now;
use crate::limits::TRANSACTION_RECIPIENTS_MAX;
use crate::message::BodyType;
use crate::proto::enhanced::EnhancedCode;
use crate::proto::ext::Extension;
use crate::proto::reply_parse::{Parsed, ReplyParser};
use crate::proto::transmit::Framing;

use commands::Commands;
use spelling::{Unsendable, spell};

pub use extensions::{PeerExtensions, SizeExtension};
pub use failure::{Cause, Failure, Scope, Severity};
pub use request::{Addressee, Delivered, PassedOn, TransactionRequest};
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

/// What a session tells its caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientEvent {
    /// A transaction may begin: after the greeting, and after each transaction that left the
    /// session usable.
    Ready,
    /// Send what [`ClientSession::transmit`] has, then the content in this form, then call
    /// [`ClientSession::content_sent`].
    SendContent(Framing),
    /// What became of one recipient.
    Recipient {
        /// Its place in [`TransactionRequest::recipients`].
        index: usize,
        /// The peer took responsibility for the message, or not.
        result: Result<Delivered, Failure>,
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
    /// What the peer cares for if it takes the message.
    passed_on: PassedOn,
    /// Length of the content if BDAT announces it instead of DATA.
    chunk_bytes: Option<u64>,
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
        if self.extensions.has(Extension::Pipelining) {
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

    /// Writes the commands of the transaction, without recipients whose address cannot be sent;
    /// those are reported. DATA ends the group, and BDAT is no part of it: content goes out only
    /// when somebody is there to get it.
    fn write_commands(&mut self, request: &TransactionRequest<'_>) {
        let utf8 = request.uses_utf8(&self.extensions);
        let passed_on = request.passed_on(&self.extensions);
        self.transaction.passed_on = passed_on;
        self.transaction.chunk_bytes =
            (request.body_type == BodyType::Binary).then_some(request.size_bytes);
        if self.needs_reset {
            self.transaction.commands.push_reset();
        }
        let Ok(sender) = spell(request.sender, utf8) else {
            unreachable!("a sender that cannot be sent is an obstacle")
        };
        self.transaction.commands.push_mail(&sender, request, &self.extensions);
        for (index, addressee) in request.recipients.iter().enumerate() {
            match spell(addressee.address, utf8) {
                Ok(path) if !path.is_empty() => {
                    let commands = &mut self.transaction.commands;
                    commands.push_rcpt(&path, addressee, request, passed_on, utf8);
                    self.transaction.addressed.push(index);
                }
                result => {
                    let failure = unsendable(result.err().unwrap_or(Unsendable::Syntax));
                    self.report(index, Err(failure));
                }
            }
        }
        if self.transaction.chunk_bytes.is_none() {
            self.transaction.commands.push_data();
        }
    }
}

/// Why a recipient gets no RCPT.
fn unsendable(why: Unsendable) -> Failure {
    let (status, text) = match why {
        // X.1.3, bad destination mailbox address syntax (RFC 3463 §3.2).
        Unsendable::Syntax => {
            (EnhancedCode::RECIPIENT_SYNTAX_5_1_3, "the address cannot be sent over SMTP")
        }
        Unsendable::BeyondAscii => (
            EnhancedCode::NON_ASCII_5_6_7,
            "the address is not ASCII, and the peer takes no other (SMTPUTF8)",
        ),
    };
    Failure::local(Scope::Recipient, Severity::Hard, status, text)
}
