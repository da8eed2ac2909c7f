//! The server side of one SMTP session (RFC 5321), as a machine without any I/O.
//!
//! # How it is driven
//! Four kinds of method, as in every machine here:
//! - inputs: [`advance`](ServerSession::advance) with what the peer sent,
//!   [`handle_stored`](ServerSession::handle_stored) and
//!   [`refuse_content`](ServerSession::refuse_content) with what the spool did,
//!   [`handle_tls`](ServerSession::handle_tls) and
//!   [`handle_password`](ServerSession::handle_password) with what was done for it elsewhere,
//!   [`handle_eof`](ServerSession::handle_eof), [`handle_timeout`](ServerSession::handle_timeout)
//!   and [`handle_drain`](ServerSession::handle_drain). After each of them call `advance` again,
//!   with an empty input if there is no other, until it returns [`Event::NeedInput`],
//!   [`Event::Blocked`] or [`Event::Close`]. Then
//! - outputs: [`transmit`](ServerSession::transmit),
//!   [`poll_timeout`](ServerSession::poll_timeout), [`wants_close`](ServerSession::wants_close);
//! - what the events point at: [`envelope`](ServerSession::envelope),
//!   [`content_facts`](ServerSession::content_facts), [`inserted`](ServerSession::inserted),
//!   [`write_received_header`](ServerSession::write_received_header);
//! - for the log: [`facts`](ServerSession::facts).
//!
//! # What may run ahead of what
//! After the end of a message the session goes on with the commands that follow, while the message
//! waits for its commit (RFC 2920 lets clients send them). Their replies wait behind the reply to
//! the message, in order. So may the content of a second message be taken and even its end be
//! seen; there the session stops ([`Event::Blocked`]) until the first message is answered.
//!
//! A password is checked while nothing that came behind it is looked at, and so is the answer to a
//! failed authentication waited for. What came behind STARTTLS is dropped, not run ahead.
//!
//! # Guarantees
//! - Replies are transmitted in the order of the commands, one for each.
//! - Each [`Event::MessageBegin`] is followed by exactly one [`Event::MessageEnd`] or
//!   [`Event::MessageAbandoned`], with [`Event::Content`] and [`Event::Inserted`] only between.
//! - The `250` to a message is written by [`handle_stored`](ServerSession::handle_stored) alone.
//! - How the input was cut, and when a commit or a check returns, changes no reply and no event's
//!   content; but what is dropped behind STARTTLS is what had come until then.
//! - Whether a client may relay is decided by its address, its user and its certificate as they are
//!   at that command: TLS and XCLIENT forget what was known before.
//!
//! # Never
//! No password is hashed here, and none is kept when its exchange is over.
//!
//! It never waits for the peer to be slower: input before the greeting is taken like any other.
//! Peers that may relay are known, all others are refused at RCPT, so that nothing is gained by
//! telling the impatient from the polite.
//!
//! # Failures
//! Whatever a peer sends ends in a reply of [`Fault::reply`], and in the end of the session where
//! that is 421.
//!
//! # Bounds
//! `COMMAND_LINE_BYTES_MAX` for a begun command, `AUTH_LINE_BYTES_MAX` for a begun response,
//! `REPLIES_BYTES_MAX` and one reply for what is not transmitted, `ENVELOPE_BYTES_MAX` for the
//! envelope; content is never kept. Recipients, errors, messages and times are bounded by
//! [`ServerLimits`], failed authentications by `AUTH_FAILURES_MAX`. An idle session owns its
//! client's name, its user's, what is known of TLS, and buffers of at most `REPLY_KEPT_BYTES`,
//! `COMMAND_LINE_KEPT_BYTES` and about `ENVELOPE_KEPT_BYTES`.

mod authentication;
mod content;
mod ending;
mod envelope;
mod event;
mod greeting;
mod handshake;
mod offer;
mod policy;
mod queue;
#[cfg(test)]
mod tests;
mod xclient;

use std::rc::Rc;

use crate::clock::Now;
use crate::ids::MessageId;
use crate::proto::command::Command;
use crate::proto::enhanced::EnhancedCode;
use crate::proto::fault::{BoundFault, Fault, LocalFault};
use crate::proto::line::{Found, LineAssembler};
use crate::proto::reply::{self, Code, Reply};
use crate::span::Span;

use self::authentication::Authentication;
pub use self::content::ContentFacts;
use self::content::Intake;
use self::envelope::Envelope;
pub use self::envelope::{EnvelopeView, RecipientView, Recipients};
pub use self::event::{ContentRefusal, Event, SessionFacts, Step, Stored};
pub use self::policy::{
    Access, AuthOffer, Conditions, HeaderPolicy, Leniency, Peer, Role, ServerLimits, ServerPolicy,
    Storage, TlsFacts, TlsOffer,
};
use self::queue::ReplyQueue;

/// In protocol order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// TLS is being agreed upon; nothing is looked at.
    Handshake,
    /// A command is to come.
    Command,
    /// A command is to come, but only QUIT is obeyed.
    Denied,
    /// STARTTLS was obeyed, and its reply cannot go out yet.
    TlsAccepted,
    /// A response to a challenge is to come.
    Exchange,
    /// The caller checks a password.
    PasswordCheck,
    /// The answer to a failed authentication is not due yet.
    AuthDelay,
    /// A proxy told of another client, which is not greeted yet.
    Renewed,
    /// Between 354 and the end of data, or within a chunk.
    Content,
    /// The end of data came and is not acted upon yet.
    ContentEnded,
    /// Nothing more is looked at; the last replies are to go out.
    Closing,
    /// Nothing is left to be said either.
    Closed,
}

/// In protocol order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hello {
    None,
    Helo,
    Ehlo,
}

/// One session; see the [module](self).
#[derive(Debug)]
pub struct ServerSession {
    policy: Rc<ServerPolicy>,
    peer: Peer,
    serial: u64,
    phase: Phase,
    hello: Hello,
    client_name: Box<[u8]>,
    /// `hello` and `client_name` were told by XCLIENT.
    hello_is_vouched_for: bool,
    /// The name of the user who authenticated.
    user: Option<Box<[u8]>>,
    /// It was told by XCLIENT.
    user_is_vouched_for: bool,
    /// XCLIENT told of the peer.
    is_vouched_for: bool,
    tls: Option<Box<TlsFacts>>,
    authentication: Option<Box<Authentication>>,
    auth_failures: u32,
    lines: LineAssembler,
    replies: ReplyQueue,
    envelope: Envelope,
    /// The envelope is kept only until the next call of `advance`.
    envelope_ended: bool,
    /// Made for the first message.
    intake: Option<Box<Intake>>,
    /// `MessageBegin` was told, and neither `MessageEnd` nor `MessageAbandoned` since.
    body_is_open: bool,
    refusal: Option<ContentRefusal>,
    /// The peer will send no more.
    input_ended: bool,
    message_count: u32,
    error_count: u32,
    began: Now,
    /// The last time that the peer did what it was waited for.
    active: Now,
    content_began: Now,
}

const _: () = assert!(
    size_of::<ServerSession>() <= 416,
    "an idle session costs little more than the kernel's buffers for it"
);

impl ServerSession {
    /// A session with a peer that just connected; no other of this process has its `serial`. The
    /// greeting waits to be transmitted, or with [`TlsOffer::Implicit`] the handshake to be run.
    pub fn new(policy: Rc<ServerPolicy>, peer: Peer, serial: u64, conditions: &Conditions) -> Self {
        let mut session = Self::silent(policy, peer, serial, conditions);
        session.welcome(conditions);
        session
    }

    /// A session with a peer that just connected and meets a limit: its greeting is that of
    /// `fault`, whose reply is 421, and it ends; with [`TlsOffer::Implicit`] without a word.
    pub fn refused(
        policy: Rc<ServerPolicy>,
        peer: Peer,
        serial: u64,
        conditions: &Conditions,
        fault: Fault,
    ) -> Self {
        let mut session = Self::silent(policy, peer, serial, conditions);
        session.dismiss(fault);
        session
    }

    fn silent(policy: Rc<ServerPolicy>, peer: Peer, serial: u64, conditions: &Conditions) -> Self {
        Self {
            policy,
            peer,
            serial,
            phase: Phase::Command,
            hello: Hello::None,
            client_name: Box::default(),
            hello_is_vouched_for: false,
            user: None,
            user_is_vouched_for: false,
            is_vouched_for: false,
            tls: None,
            authentication: None,
            auth_failures: 0,
            lines: LineAssembler::default(),
            replies: ReplyQueue::default(),
            envelope: Envelope::default(),
            envelope_ended: false,
            intake: None,
            body_is_open: false,
            refusal: None,
            input_ended: false,
            message_count: 0,
            error_count: 0,
            began: conditions.now,
            active: conditions.now,
            content_began: conditions.now,
        }
    }

    /// Looks at `input` in place and goes on to the next event. The caller drops the first
    /// `consumed` bytes, does what the event says, and calls again with the rest. A command that
    /// is not complete is kept inside, so that after [`Event::NeedInput`] all of `input` is
    /// consumed.
    #[must_use]
    pub fn advance(&mut self, conditions: &Conditions, input: &[u8]) -> Step {
        if self.envelope_ended {
            self.envelope_ended = false;
            self.envelope.reset();
        }
        let mut consumed = 0;
        loop {
            let rest = input.get(consumed..).unwrap_or_default();
            let (used, event) = match self.phase {
                // What is for TLS is never obeyed.
                Phase::Handshake => (rest.len(), Some(Event::NeedInput)),
                Phase::Command | Phase::Denied => self.read_command(conditions, rest),
                Phase::TlsAccepted => self.begin_handshake(rest),
                Phase::Exchange => self.read_response(conditions, rest),
                Phase::PasswordCheck | Phase::AuthDelay => (0, Some(Event::Blocked)),
                Phase::Renewed => {
                    self.welcome(conditions);
                    (0, None)
                }
                Phase::Content => self.read_content(conditions, rest),
                Phase::ContentEnded => (0, self.end_content()),
                Phase::Closing | Phase::Closed => self.ignore(rest),
            };
            debug_assert!(used <= rest.len(), "consumed more than there was");
            let event = match event {
                Some(Event::Content(span)) => {
                    Some(Event::Content(Span { start: span.start + consumed, ..span }))
                }
                other => other,
            };
            consumed += used;
            if let Some(event) = event {
                return Step { consumed, event };
            }
        }
    }

    /// Answers the message that ended first of those that are not answered; nothing if there is
    /// none.
    pub fn handle_stored(&mut self, conditions: &Conditions, result: Stored) {
        if !self.replies.is_held() {
            debug_assert!(self.phase == Phase::Closed, "stored a message that did not end");
            return;
        }
        self.active = conditions.now;
        self.replies.release(|out| match result {
            Stored::Committed(id) => write_queued(out, id),
            Stored::Failed => Fault::Local(LocalFault::StorageFailed).reply().write(out),
            Stored::Full => Fault::Local(LocalFault::StorageFull).reply().write(out),
        });
    }

    /// Appends the replies that may go out now to `out`; whether there were any.
    pub fn transmit(&mut self, out: &mut Vec<u8>) -> bool {
        self.replies.transmit(out)
    }

    /// Whether [`Event::Blocked`] still holds.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        match self.phase {
            Phase::Command | Phase::Denied | Phase::Exchange => self.replies.is_full(),
            Phase::TlsAccepted | Phase::ContentEnded => self.replies.is_held(),
            Phase::PasswordCheck | Phase::AuthDelay => true,
            Phase::Handshake | Phase::Renewed | Phase::Content | Phase::Closing | Phase::Closed => {
                false
            }
        }
    }

    /// The other side.
    pub const fn peer(&self) -> Peer {
        self.peer
    }

    /// What is worth telling about the session.
    pub fn facts(&self) -> SessionFacts<'_> {
        SessionFacts {
            peer: self.peer,
            client_name: &self.client_name,
            is_extended: self.hello == Hello::Ehlo,
            message_count: self.message_count,
            error_count: self.error_count,
            phase: match self.phase {
                Phase::Command if self.body_is_open => "between chunks",
                Phase::Handshake | Phase::TlsAccepted => "agreeing upon TLS",
                Phase::Denied => "waiting for a refused client to leave",
                Phase::Exchange | Phase::PasswordCheck | Phase::AuthDelay => "authenticating",
                Phase::Renewed => "taking a client from a proxy",
                Phase::Command if self.envelope_is_open() => "receiving an envelope",
                Phase::Command => "between transactions",
                Phase::Content => "receiving content",
                Phase::ContentEnded => "waiting for the commit of the message before",
                Phase::Closing | Phase::Closed => "closing",
            },
        }
    }

    /// What the session owns besides itself, but for the arena, which is dropped when it was large.
    #[cfg(test)]
    fn heap_bytes(&self) -> usize {
        self.client_name.len()
            + self.user.as_ref().map_or(0, |name| name.len())
            + self.tls.as_ref().map_or(0, |_| size_of::<TlsFacts>())
            + self.authentication.as_ref().map_or(0, |_| size_of::<Authentication>())
            + self.intake.as_ref().map_or(0, |intake| intake.heap_bytes())
            + self.lines.heap_bytes()
            + self.replies.heap_bytes()
            + self.envelope.heap_bytes()
    }

    fn read_command(&mut self, conditions: &Conditions, input: &[u8]) -> (usize, Option<Event>) {
        if let Some(event) = self.abandon_chunks() {
            return (0, Some(event));
        }
        if self.replies.is_full() {
            return (0, Some(Event::Blocked));
        }
        let scan = self.lines.next_line(input);
        let event = match scan.found {
            Found::NeedInput => Some(Event::NeedInput),
            Found::InInput(line) => self.execute(conditions, line.of(input)),
            Found::Kept => {
                let line = self.lines.take();
                let event = self.execute(conditions, &line);
                self.lines.give_back(line);
                event
            }
            Found::Refused(fault) => {
                self.note_activity(conditions);
                self.refuse(Fault::Line(fault));
                None
            }
        };
        (scan.consumed, event)
    }

    fn execute(&mut self, conditions: &Conditions, line: &[u8]) -> Option<Event> {
        self.note_activity(conditions);
        if self.phase == Phase::Denied {
            return self.execute_denied(line);
        }
        let done = match self.parse(line) {
            Err(fault) => {
                self.envelope.note_refusal(fault);
                Err(fault)
            }
            Ok(Command::Ehlo(name)) => self.ehlo(conditions, name.of(line)),
            Ok(Command::Helo(name)) => self.helo(name.of(line)),
            Ok(Command::Mail(mail)) => self.mail(conditions, line, mail),
            Ok(Command::Rcpt(rcpt)) => self.rcpt(conditions, line, rcpt),
            Ok(Command::Data) => match self.data(conditions) {
                Ok(()) => return Some(Event::MessageBegin),
                Err(fault) => Err(fault),
            },
            Ok(Command::Rset) => self.rset(),
            Ok(Command::Vrfy) => self.vrfy(),
            Ok(Command::Help) => self.help(),
            Ok(Command::Noop) => self.reply(OK),
            Ok(Command::Quit) => self.quit(),
            Ok(Command::StartTls) => self.start_tls(),
            Ok(Command::Auth { mechanism, initial }) => {
                return self.auth(conditions, line, mechanism, initial);
            }
            Ok(Command::Xclient(attributes)) => match self.xclient(attributes.of(line)) {
                Ok(event) => return event,
                Err(fault) => Err(fault),
            },
            Ok(Command::Bdat { size_bytes, last }) => {
                return self.bdat(conditions, size_bytes, last);
            }
        };
        if let Err(fault) = done {
            self.refuse(fault);
        }
        None
    }

    /// The client did something; one that is refused gains no time by it.
    fn note_activity(&mut self, conditions: &Conditions) {
        if self.phase != Phase::Denied {
            self.active = conditions.now;
        }
    }

    /// Whether the client's mail is taken for every domain: because of its address, its user, or
    /// its certificate, unless that is of a proxy.
    pub(super) fn is_trusted(&self) -> bool {
        let Access { relay_from, relay_certificates, .. } = &self.policy.access;
        let certified =
            |name: &str| relay_certificates.iter().any(|listed| listed.eq_ignore_ascii_case(name));
        self.user.is_some()
            || relay_from.iter().any(|network| network.contains(self.peer.address))
            || (!self.is_vouched_for
                && self
                    .tls
                    .as_ref()
                    .is_some_and(|tls| tls.client_names.iter().any(|name| certified(name))))
    }

    /// Forgets what a client said, but for what it did wrong.
    fn forget_client(&mut self) {
        self.lines.reset();
        self.hello = Hello::None;
        self.client_name = Box::default();
        self.user = None;
    }

    /// Writes the reply to a command that went well.
    #[expect(clippy::unnecessary_wraps, reason = "every command ends in a result")]
    fn reply(&mut self, reply: Reply) -> Result<(), Fault> {
        self.replies.push(|out| reply.write(out));
        Ok(())
    }

    /// Writes the reply to one that did not, and ends the session if that is what it says.
    fn refuse(&mut self, fault: Fault) {
        let mut reply = fault.reply();
        if fault.counts_as_error() {
            if self.error_count >= self.policy.limits.errors_max {
                reply = Fault::Bound(BoundFault::Errors).reply();
            }
            self.error_count = self.error_count.saturating_add(1);
        }
        self.replies.push(|out| reply.write(out));
        // RFC 5321 §3.8: 421 tells that the channel closes.
        if reply.code == Code::UNAVAILABLE_421 || fault.loses_step() {
            self.close();
        }
    }

    fn ignore(&mut self, input: &[u8]) -> (usize, Option<Event>) {
        if self.body_is_open {
            self.body_is_open = false;
            return (0, Some(Event::MessageAbandoned));
        }
        (input.len(), Some(Event::Close))
    }
}

const OK: Reply = Reply::new(Code::OK_250, EnhancedCode::OK_2_0_0, "Ok");

fn write_queued(out: &mut Vec<u8>, id: MessageId) {
    let mut digits = [0; 16];
    for (index, digit) in digits.iter_mut().rev().enumerate() {
        *digit = b"0123456789abcdef"[usize::try_from(id.0 >> (4 * index) & 0xf).unwrap_or(0)];
    }
    let parts: [&[u8]; 2] = [b"Ok: queued as ", &digits];
    reply::write_line(out, Code::OK_250, Some(EnhancedCode::OK_2_0_0), &parts);
}
