//! The sending side of SMTP as a machine without sockets: replies go in, commands come out.
//!
//! The order of a session: greeting, EHLO (HELO where that is refused), STARTTLS and AUTH if asked
//! for, then for each message MAIL, RCPT, DATA and the content, then QUIT.
//!
//! With PIPELINING (RFC 2920) MAIL, every RCPT and DATA travel together;
//! [`ClientSession::queue_transaction`] may then be called again as soon as the content of the
//! message before is queued, because the end of data may be followed by more. BDAT (RFC 3030) needs
//! no 354: MAIL, every RCPT and the content travel together, but in a transaction that runs ahead
//! of a reply to the content before; its content follows the replies to its recipients.
//!
//! # Guarantees
//! Each message that was begun ends in exactly one [`Event::Done`], in the order of beginning, as
//! long as the connection lives. What is open when it dies is the caller's to count. A password is
//! said only over TLS, unless the settings say otherwise.
//!
//! # Never
//! Reads a clock or touches a socket; allocates for a message, once its buffers have grown.
//!
//! # Failures
//! A reply that nothing asked for, or no SMTP: [`Event::Broken`]; the caller closes. A server
//! that does not offer what the settings need: [`Event::Unfit`].
//!
//! # Bounds
//! Replies awaited at once: two transactions of the configured number of recipients, and
//! `CHUNKS_AWAITED_MAX` pieces of a content.

mod login;
mod settings;

use std::collections::VecDeque;
use std::io::Write;
use std::sync::Arc;

use crate::reply::{Code, ReplyLine};
use settings::Offers;

pub(crate) use login::{Login, Mechanism};
pub(crate) use settings::{ClientSettings, Transfer, Unfit};

/// Pieces of a content by BDAT that are sent ahead of their replies (RFC 3030 §4.2).
const CHUNKS_AWAITED_MAX: u32 = 64;

/// Where in a session something was said or failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// TCP; no reply belongs to it.
    Connect,
    Greeting,
    Hello,
    StartTls,
    /// The handshake; no reply belongs to it.
    Tls,
    Auth,
    Reset,
    Mail,
    Recipient,
    Data,
    /// A piece of a content that is not the last.
    Bdat,
    /// The end of the content, be it by DATA or BDAT.
    EndOfData,
    Quit,
}

impl Stage {
    /// For people: "451 at end of data".
    pub(crate) const fn phrase(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Greeting => "greeting",
            Self::Hello => "EHLO",
            Self::StartTls => "STARTTLS",
            Self::Tls => "TLS handshake",
            Self::Auth => "AUTH",
            Self::Reset => "RSET",
            Self::Mail => "MAIL",
            Self::Recipient => "RCPT",
            Self::Data => "DATA",
            Self::Bdat => "BDAT",
            Self::EndOfData => "end of data",
            Self::Quit => "QUIT",
        }
    }
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The server took it for at least one recipient.
    Accepted { recipients_refused: u32 },
    /// The server said no; the reply that decided it.
    Refused { stage: Stage, code: Code },
}

/// What a reply line means for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Nothing to do but to send what was written.
    None,
    /// The session is open: messages may begin.
    Ready,
    /// STARTTLS was accepted: the caller protects the connection and then calls
    /// [`ClientSession::protected`].
    StartTls,
    /// The server waits for the content. By DATA the caller queues it and its end, then calls
    /// [`ClientSession::content_queued`]; by BDAT it queues pieces as long as
    /// [`ClientSession::wants_chunk`].
    SendContent,
    /// The server said 354 though every recipient was refused: the caller queues an end of data
    /// alone (RFC 2920 §3.1) and calls [`ClientSession::content_queued`].
    SendNothing,
    /// The oldest message is answered.
    Done(Outcome),
    /// The server said 421, or refused the session before a message could begin: the connection is
    /// of no more use. A message that is open was not taken.
    Unwelcome { stage: Stage, code: Code },
    /// The server does not offer what the settings need.
    Unfit(Unfit),
    /// QUIT was answered.
    Closed,
    /// The session is out of step.
    Broken,
}

/// How far the content of a transaction by BDAT is. By DATA it is the replies that tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    /// There is none, or all of it is queued.
    None,
    /// It may follow once the recipients are answered.
    Due,
    /// Pieces of it may be queued.
    Open,
}

/// What MAIL says besides the sender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MailParameters {
    size_bytes: Option<usize>,
    is_8bit: bool,
    is_utf8: bool,
}

impl MailParameters {
    /// Appends each with a space before it.
    pub(crate) fn write(self, out: &mut Vec<u8>) {
        if let Some(size_bytes) = self.size_bytes {
            // RFC 1870 §6. Writing to a Vec cannot fail.
            let _ = write!(out, " SIZE={size_bytes}");
        }
        if self.is_8bit {
            // RFC 6152 §3.
            out.extend_from_slice(b" BODY=8BITMIME");
        }
        if self.is_utf8 {
            // RFC 6531 §3.4.
            out.extend_from_slice(b" SMTPUTF8");
        }
    }
}

/// One session; [`ClientSession::reset`] makes it ready for the next connection.
#[derive(Debug)]
pub(crate) struct ClientSession {
    settings: Arc<ClientSettings>,
    /// What the replies to come belong to, oldest first.
    awaited: VecDeque<Stage>,
    /// Those of them that belong to pieces of a content.
    chunks_awaited: u32,
    /// Commands of the transaction that are still to be said, without pipelining; each with CRLF.
    unsaid: Vec<u8>,
    unsaid_from: usize,
    content: Content,
    offers: Offers,
    is_protected: bool,
    /// EHLO was refused, HELO is the last attempt.
    said_helo: bool,
    /// Answers of AUTH that were said.
    answers_said: usize,
    /// A refused transaction may have left a sender behind in the server.
    needs_reset: bool,
    recipients_accepted: u32,
    recipients_refused: u32,
    refusal: Option<(Stage, Code)>,
}

impl ClientSession {
    /// A session that waits for the greeting.
    pub(crate) fn new(settings: Arc<ClientSettings>) -> Self {
        let mut session = Self {
            settings,
            awaited: VecDeque::new(),
            chunks_awaited: 0,
            unsaid: Vec::new(),
            unsaid_from: 0,
            content: Content::None,
            offers: Offers::default(),
            is_protected: false,
            said_helo: false,
            answers_said: 0,
            needs_reset: false,
            recipients_accepted: 0,
            recipients_refused: 0,
            refusal: None,
        };
        session.reset(false);
        session
    }

    /// Begins again on another connection, which may be protected from its first byte on.
    pub(crate) fn reset(&mut self, is_protected: bool) {
        self.awaited.clear();
        self.awaited.push_back(Stage::Greeting);
        self.chunks_awaited = 0;
        self.unsaid.clear();
        self.unsaid_from = 0;
        self.content = Content::None;
        self.offers = Offers::default();
        self.is_protected = is_protected;
        self.said_helo = false;
        self.answers_said = 0;
        self.needs_reset = false;
        self.forget_replies();
    }

    /// The connection is protected: the session begins anew with EHLO (RFC 3207 §4.2).
    pub(crate) fn protected(&mut self, out: &mut Vec<u8>) {
        self.offers = Offers::default();
        self.is_protected = true;
        self.say_hello("EHLO", out);
    }

    /// Whether commands may run ahead of replies on this connection.
    pub(crate) fn pipelines(&self) -> bool {
        self.offers.pipelining && self.settings.pipelining
    }

    /// Whether TLS protects the connection, from its beginning or by STARTTLS.
    pub(crate) const fn is_protected(&self) -> bool {
        self.is_protected
    }

    /// How the content of a message travels.
    pub(crate) fn transfer(&self) -> Transfer {
        self.settings.transfer
    }

    /// Whether a reply is due.
    pub(crate) fn awaits_reply(&self) -> bool {
        !self.awaited.is_empty()
    }

    /// How many replies are due.
    pub(crate) fn awaited(&self) -> usize {
        self.awaited.len()
    }

    /// The stage of the next reply, for a message about a session that ended without it.
    pub(crate) fn stage(&self) -> Option<Stage> {
        self.awaited.front().copied()
    }

    /// Whether the transaction has failed already, so that a refusal that comes next is nothing but
    /// the consequence: 503 at RCPT after a refused MAIL, 554 at DATA without a recipient.
    pub(crate) fn has_failed(&self) -> bool {
        self.refusal.is_some_and(|(cause, _)| {
            let after_recipients =
                matches!(self.stage(), Some(Stage::Data | Stage::Bdat | Stage::EndOfData));
            matches!(cause, Stage::Mail | Stage::Bdat)
                || (after_recipients && self.recipients_accepted == 0)
        })
    }

    /// Begins a transaction of a message of `size_bytes`: `write_commands` appends the MAIL and
    /// RCPT lines, each with its CRLF. Only after [`Event::Ready`] or [`Event::Done`], or with
    /// pipelining once the content of the message before is queued. By BDAT the content may follow
    /// at once, if [`Self::wants_chunk`].
    pub(crate) fn queue_transaction(
        &mut self,
        size_bytes: usize,
        out: &mut Vec<u8>,
        write_commands: impl FnOnce(MailParameters, &mut Vec<u8>),
    ) {
        assert!(self.unsaid_from == self.unsaid.len(), "one transaction is said at a time");
        assert!(self.content == Content::None, "one content is sent at a time");
        let runs_ahead = self.awaits_reply();
        self.unsaid.clear();
        self.unsaid_from = 0;
        if self.needs_reset {
            self.needs_reset = false;
            self.unsaid.extend_from_slice(b"RSET\r\n");
        }
        let declares_size = self.settings.declares_size && self.offers.size;
        let parameters = MailParameters {
            size_bytes: declares_size.then_some(size_bytes),
            is_8bit: self.settings.is_8bit,
            is_utf8: self.settings.is_utf8,
        };
        write_commands(parameters, &mut self.unsaid);
        match self.settings.transfer {
            Transfer::Data => self.unsaid.extend_from_slice(b"DATA\r\n"),
            Transfer::Bdat { .. } if self.pipelines() && !runs_ahead => {
                self.content = Content::Open;
            }
            Transfer::Bdat { .. } => self.content = Content::Due,
        }
        self.say_next(out);
        if self.pipelines() {
            while self.say_next(out) {}
        }
    }

    /// The content and its end are queued; their reply is awaited.
    pub(crate) fn content_queued(&mut self) {
        self.awaited.push_back(Stage::EndOfData);
    }

    /// Whether the next piece of the content may be queued, by BDAT.
    pub(crate) fn wants_chunk(&self) -> bool {
        self.content == Content::Open
            && if self.pipelines() {
                self.chunks_awaited < CHUNKS_AWAITED_MAX
            } else {
                !self.awaits_reply()
            }
    }

    /// A piece is queued with its BDAT; `is_last` if that said LAST.
    pub(crate) fn chunk_queued(&mut self, is_last: bool) {
        if is_last {
            self.content = Content::None;
            self.awaited.push_back(Stage::EndOfData);
        } else {
            self.chunks_awaited += 1;
            self.awaited.push_back(Stage::Bdat);
        }
    }

    /// Says QUIT; with pipelining it may follow the end of data at once (RFC 2920 §3.1).
    pub(crate) fn queue_quit(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"QUIT\r\n");
        self.awaited.push_back(Stage::Quit);
    }

    /// Takes a line of the server, and appends what is to be sent next.
    pub(crate) fn handle_line(&mut self, line: ReplyLine<'_>, out: &mut Vec<u8>) -> Event {
        let Some(stage) = self.stage() else {
            // RFC 5321 §3.8: a server may close with 421 at any time.
            let (stage, code) = (Stage::Quit, line.code);
            return if code == SHUTTING_DOWN {
                Event::Unwelcome { stage, code }
            } else {
                Event::Broken
            };
        };
        if stage == Stage::Hello && line.code.is_positive() {
            self.offers.take(line.text);
        }
        if !line.last {
            return Event::None;
        }
        self.awaited.pop_front();
        if line.code == SHUTTING_DOWN && stage != Stage::Quit {
            return Event::Unwelcome { stage, code: line.code };
        }
        let event = self.handle_reply(stage, line.code, out);
        if event == Event::None && !self.pipelines() {
            self.say_next(out);
        }
        event
    }

    fn handle_reply(&mut self, stage: Stage, code: Code, out: &mut Vec<u8>) -> Event {
        match stage {
            Stage::Greeting if code.is_positive() => {
                self.say_hello("EHLO", out);
                Event::None
            }
            Stage::Hello if code.is_positive() => self.handle_hello(out),
            // RFC 5321 §4.1.4: a server that knows no EHLO is greeted with HELO. A second refusal
            // is final.
            Stage::Hello if !self.said_helo && !code.is_transient() => {
                self.said_helo = true;
                self.say_hello("HELO", out);
                Event::None
            }
            Stage::StartTls if code.is_positive() => Event::StartTls,
            Stage::Auth => self.handle_auth_reply(code, out),
            // No reply belongs to the last two.
            Stage::Greeting | Stage::Hello | Stage::StartTls | Stage::Connect | Stage::Tls => {
                Event::Unwelcome { stage, code }
            }
            Stage::Reset => self.handle_envelope(),
            Stage::Mail | Stage::Recipient => {
                let is_recipient = u32::from(stage == Stage::Recipient);
                if code.is_positive() {
                    self.recipients_accepted += is_recipient;
                } else {
                    self.recipients_refused += is_recipient;
                    self.refusal.get_or_insert((stage, code));
                }
                self.handle_envelope()
            }
            Stage::Data => self.handle_data_reply(code),
            Stage::Bdat => self.handle_chunk_reply(code),
            Stage::EndOfData => self.finish(stage, code),
            Stage::Quit => Event::Closed,
        }
    }

    fn handle_hello(&mut self, out: &mut Vec<u8>) -> Event {
        if self.settings.starttls && !self.is_protected {
            if !self.offers.starttls {
                return Event::Unfit(Unfit::NoStarttls);
            }
            out.extend_from_slice(b"STARTTLS\r\n");
            self.awaited.push_back(Stage::StartTls);
            return Event::None;
        }
        if let Some(unfit) = self.settings.unfit_for(&self.offers, self.is_protected) {
            return Event::Unfit(unfit);
        }
        let Some(login) = &self.settings.login else {
            return Event::Ready;
        };
        self.answers_said = login.begin(out);
        self.awaited.push_back(Stage::Auth);
        Event::None
    }

    fn handle_auth_reply(&mut self, code: Code, out: &mut Vec<u8>) -> Event {
        const CONTINUE: Code = Code(334);
        match &self.settings.login {
            Some(_) if code.is_positive() => Event::Ready,
            Some(login) if code == CONTINUE && login.answer(self.answers_said, out) => {
                self.answers_said += 1;
                self.awaited.push_back(Stage::Auth);
                Event::None
            }
            // It asks for more than the mechanism has.
            Some(_) if code == CONTINUE => Event::Broken,
            Some(_) | None => Event::Unwelcome { stage: Stage::Auth, code },
        }
    }

    /// RSET, MAIL or RCPT is answered. Without pipelining the client need not say what cannot
    /// succeed any more; and a content by BDAT may have waited for this.
    fn handle_envelope(&mut self) -> Event {
        if self.awaits_reply() {
            return Event::None;
        }
        let unsaid = &self.unsaid[self.unsaid_from..];
        let is_complete = unsaid.is_empty() || unsaid == b"DATA\r\n";
        let cause = self.refusal.filter(|(stage, _)| {
            *stage == Stage::Mail || (is_complete && self.recipients_accepted == 0)
        });
        if let Some((stage, code)) = cause {
            self.unsaid_from = self.unsaid.len();
            self.content = Content::None;
            self.needs_reset = true;
            return self.finish(stage, code);
        }
        if unsaid.is_empty() && self.content == Content::Due {
            self.content = Content::Open;
            return Event::SendContent;
        }
        Event::None
    }

    fn handle_data_reply(&mut self, code: Code) -> Event {
        const START_MAIL_INPUT: Code = Code(354);
        match code {
            START_MAIL_INPUT if self.recipients_accepted > 0 => Event::SendContent,
            START_MAIL_INPUT => Event::SendNothing,
            Code(_) => {
                self.needs_reset = true;
                self.finish(Stage::Data, code)
            }
        }
    }

    /// A piece that is not the last is answered. RFC 3030 §2: after a refusal no more is sent.
    fn handle_chunk_reply(&mut self, code: Code) -> Event {
        self.chunks_awaited -= 1;
        if code.is_positive() {
            let goes_on = self.content == Content::Open;
            return if goes_on { Event::SendContent } else { Event::None };
        }
        match self.refusal {
            Some((Stage::Bdat, _)) => {}
            // A recipient that was refused is not why the others get nothing.
            Some(_) if self.recipients_accepted == 0 => {}
            Some(_) | None => self.refusal = Some((Stage::Bdat, code)),
        }
        if self.content == Content::Open {
            self.content = Content::None;
        }
        if matches!(self.stage(), Some(Stage::Bdat | Stage::EndOfData)) {
            return Event::None;
        }
        self.finish(Stage::Bdat, code)
    }

    /// The end of a transaction whose last reply was `code` at `stage`. An earlier refusal is the
    /// cause of a later one.
    fn finish(&mut self, stage: Stage, code: Code) -> Event {
        let outcome = if self.recipients_accepted > 0 && code.is_positive() {
            Outcome::Accepted { recipients_refused: self.recipients_refused }
        } else {
            // RFC 3030 §2: what a refused BDAT leaves behind is cleared by RSET.
            self.needs_reset |= self.settings.transfer != Transfer::Data;
            let is_cause =
                |(stage, _): &(Stage, Code)| self.recipients_accepted == 0 || *stage == Stage::Bdat;
            let (stage, code) = self.refusal.filter(is_cause).unwrap_or((stage, code));
            Outcome::Refused { stage, code }
        };
        self.forget_replies();
        Event::Done(outcome)
    }

    fn forget_replies(&mut self) {
        self.recipients_accepted = 0;
        self.recipients_refused = 0;
        self.refusal = None;
    }

    /// Says one command of the transaction; false if none is left.
    fn say_next(&mut self, out: &mut Vec<u8>) -> bool {
        let rest = &self.unsaid[self.unsaid_from..];
        let Some(end) = memchr::memchr(b'\n', rest) else {
            return false;
        };
        let command = &rest[..=end];
        let stage = match command {
            [b'R', b'S', ..] => Stage::Reset,
            [b'M', ..] => Stage::Mail,
            [b'R', ..] => Stage::Recipient,
            _ => Stage::Data,
        };
        out.extend_from_slice(command);
        self.unsaid_from += end + 1;
        self.awaited.push_back(stage);
        true
    }

    fn say_hello(&mut self, verb: &str, out: &mut Vec<u8>) {
        for part in [verb, " ", &self.settings.name, "\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
        self.awaited.push_back(Stage::Hello);
    }
}

/// RFC 5321 §3.8: service not available, closing transmission channel.
const SHUTTING_DOWN: Code = Code(421);

#[cfg(test)]
mod tests;
