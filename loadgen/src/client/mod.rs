//! The sending side of SMTP as a machine without sockets: replies go in, commands come out.
//!
//! The order of a session: greeting, EHLO (HELO where that is refused), then for each message MAIL,
//! RCPT, DATA and the content, then QUIT. With PIPELINING (RFC 2920) MAIL, every RCPT and DATA
//! travel together; [`ClientSession::queue_transaction`] may then be called again as soon as the
//! content of the message before is queued, because the end of data may be followed by more.
//!
//! # Guarantees
//! Each message that was begun ends in exactly one [`Event::Done`], in the order of beginning, as
//! long as the connection lives. What is open when it dies is the caller's to count.
//!
//! # Never
//! Reads a clock or touches a socket; allocates for a message, once its buffers have grown.
//!
//! # Failures
//! A reply that nothing asked for, or no SMTP at all: [`Event::Broken`]; the caller closes.
//!
//! # Bounds
//! Replies awaited at once: two transactions of the configured number of recipients.

use std::collections::VecDeque;

use crate::reply::{Code, ReplyLine};

/// Where in a session a reply was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    Greeting,
    Hello,
    StartTls,
    Reset,
    Mail,
    Recipient,
    Data,
    EndOfData,
    Quit,
}

impl Stage {
    /// For people: "451 at end of data".
    pub(crate) const fn phrase(self) -> &'static str {
        match self {
            Self::Greeting => "greeting",
            Self::Hello => "EHLO",
            Self::StartTls => "STARTTLS",
            Self::Reset => "RSET",
            Self::Mail => "MAIL",
            Self::Recipient => "RCPT",
            Self::Data => "DATA",
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
    /// The greeting and EHLO are done: messages may begin.
    Ready,
    /// STARTTLS was accepted: the caller protects the connection and then calls
    /// [`ClientSession::protected`].
    StartTls,
    /// The server waits for the content: the caller queues it and its end, then calls
    /// [`ClientSession::content_queued`].
    SendContent,
    /// The server said 354 though every recipient was refused: the caller queues an end of data
    /// alone (RFC 2920 §3.1) and calls [`ClientSession::content_queued`].
    SendNothing,
    /// The oldest message is answered.
    Done(Outcome),
    /// The server said 421, or refused the session before a message could begin: the connection is
    /// of no more use. A message that is open was not taken.
    Unwelcome { stage: Stage, code: Code },
    /// QUIT was answered.
    Closed,
    /// The session is out of step.
    Broken,
}

/// What a session says and how.
#[derive(Clone, Debug)]
pub(crate) struct ClientSettings {
    /// The name in EHLO.
    pub(crate) name: String,
    /// Use PIPELINING where it is offered.
    pub(crate) pipelining: bool,
    /// Say STARTTLS before anything else; a server that does not offer it is of no use then.
    pub(crate) starttls: bool,
}

/// One session; [`ClientSession::reset`] makes it ready for the next connection.
#[derive(Debug)]
pub(crate) struct ClientSession {
    settings: ClientSettings,
    /// What the replies to come belong to, oldest first.
    awaited: VecDeque<Stage>,
    /// Commands of the transaction that are still to be said, without pipelining; each with CRLF.
    unsaid: Vec<u8>,
    unsaid_from: usize,
    offers_pipelining: bool,
    offers_starttls: bool,
    is_protected: bool,
    /// EHLO was refused, HELO is the last attempt.
    said_helo: bool,
    /// A refused transaction may have left a sender behind in the server.
    needs_reset: bool,
    recipients_accepted: u32,
    recipients_refused: u32,
    refusal: Option<(Stage, Code)>,
}

impl ClientSession {
    /// A session that waits for the greeting.
    pub(crate) fn new(settings: ClientSettings) -> Self {
        let mut session = Self {
            settings,
            awaited: VecDeque::new(),
            unsaid: Vec::new(),
            unsaid_from: 0,
            offers_pipelining: false,
            offers_starttls: false,
            is_protected: false,
            said_helo: false,
            needs_reset: false,
            recipients_accepted: 0,
            recipients_refused: 0,
            refusal: None,
        };
        session.reset();
        session
    }

    /// Begins again on another connection.
    pub(crate) fn reset(&mut self) {
        self.awaited.clear();
        self.awaited.push_back(Stage::Greeting);
        self.forget_extensions();
        self.is_protected = false;
        self.said_helo = false;
        self.needs_reset = false;
        self.unsaid.clear();
        self.unsaid_from = 0;
        self.forget_replies();
    }

    /// The connection is protected: the session begins anew with EHLO (RFC 3207 §4.2).
    pub(crate) fn protected(&mut self, out: &mut Vec<u8>) {
        self.forget_extensions();
        self.is_protected = true;
        self.say_hello("EHLO", out);
    }

    fn forget_extensions(&mut self) {
        self.offers_pipelining = false;
        self.offers_starttls = false;
    }

    /// Whether commands may run ahead of replies on this connection.
    pub(crate) fn pipelines(&self) -> bool {
        self.offers_pipelining && self.settings.pipelining
    }

    /// Whether a reply is due.
    pub(crate) fn awaits_reply(&self) -> bool {
        !self.awaited.is_empty()
    }

    /// The stage of the next reply, for a message about a session that ended without it.
    pub(crate) fn stage(&self) -> Option<Stage> {
        self.awaited.front().copied()
    }

    /// Whether the transaction has failed already, so that a refusal that comes next is nothing but
    /// the consequence: 503 at RCPT after a refused MAIL, 554 at DATA without a recipient.
    pub(crate) fn has_failed(&self) -> bool {
        self.refusal.is_some_and(|(cause, _)| {
            let after_recipients = matches!(self.stage(), Some(Stage::Data | Stage::EndOfData));
            cause == Stage::Mail || (after_recipients && self.recipients_accepted == 0)
        })
    }

    /// Begins a transaction: `write_commands` appends the MAIL and RCPT lines, each with its CRLF.
    /// Only after [`Event::Ready`] or [`Event::Done`], or with pipelining once the content of the
    /// message before is queued.
    pub(crate) fn queue_transaction(
        &mut self,
        out: &mut Vec<u8>,
        write_commands: impl FnOnce(&mut Vec<u8>),
    ) {
        assert!(self.unsaid_from == self.unsaid.len(), "one transaction is said at a time");
        self.unsaid.clear();
        self.unsaid_from = 0;
        if self.needs_reset {
            self.needs_reset = false;
            self.unsaid.extend_from_slice(b"RSET\r\n");
        }
        write_commands(&mut self.unsaid);
        self.unsaid.extend_from_slice(b"DATA\r\n");
        self.say_next(out);
        if self.pipelines() {
            while self.say_next(out) {}
        }
    }

    /// The content and its end are queued; their reply is awaited.
    pub(crate) fn content_queued(&mut self) {
        self.awaited.push_back(Stage::EndOfData);
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
            self.take_extension(line.text);
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
            Stage::Greeting if code.is_positive() => self.say_hello("EHLO", out),
            Stage::Hello if code.is_positive() && self.settings.starttls && !self.is_protected => {
                if !self.offers_starttls {
                    return Event::Unwelcome { stage: Stage::StartTls, code: NOT_IMPLEMENTED };
                }
                out.extend_from_slice(b"STARTTLS\r\n");
                self.awaited.push_back(Stage::StartTls);
            }
            Stage::StartTls if code.is_positive() => return Event::StartTls,
            Stage::StartTls => return Event::Unwelcome { stage, code },
            Stage::Hello if code.is_positive() => return Event::Ready,
            // RFC 5321 §4.1.4: a server that knows no EHLO is greeted with HELO. A second refusal
            // is final.
            Stage::Hello if !self.said_helo && !code.is_transient() => {
                self.said_helo = true;
                self.say_hello("HELO", out);
            }
            Stage::Greeting | Stage::Hello => return Event::Unwelcome { stage, code },
            Stage::Reset => {}
            Stage::Mail if code.is_positive() => {}
            Stage::Recipient if code.is_positive() => self.recipients_accepted += 1,
            Stage::Recipient => {
                self.recipients_refused += 1;
                self.refusal.get_or_insert((stage, code));
            }
            Stage::Mail => {
                self.refusal.get_or_insert((stage, code));
            }
            Stage::Data => return self.handle_data_reply(code),
            Stage::EndOfData => return self.finish(stage, code),
            Stage::Quit => return Event::Closed,
        }
        self.skip_unsaid_after_refusal()
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

    /// Without pipelining the client need not say what cannot succeed any more.
    fn skip_unsaid_after_refusal(&mut self) -> Event {
        let Some((stage, code)) = self.refusal else {
            return Event::None;
        };
        let only_data_is_left = &self.unsaid[self.unsaid_from..] == b"DATA\r\n";
        let hopeless = stage == Stage::Mail || (only_data_is_left && self.recipients_accepted == 0);
        if self.awaits_reply() || !hopeless {
            return Event::None;
        }
        self.unsaid_from = self.unsaid.len();
        self.needs_reset = true;
        self.finish(stage, code)
    }

    /// The end of a transaction whose last reply was `code` at `stage`. An earlier refusal is the
    /// cause of a later one.
    fn finish(&mut self, stage: Stage, code: Code) -> Event {
        let outcome = if self.recipients_accepted > 0 && code.is_positive() {
            Outcome::Accepted { recipients_refused: self.recipients_refused }
        } else {
            let cause = self.refusal.filter(|_| self.recipients_accepted == 0);
            let (stage, code) = cause.unwrap_or((stage, code));
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

    fn take_extension(&mut self, text: &[u8]) {
        let keyword = text.split(|byte| *byte == b' ').next().unwrap_or_default();
        self.offers_pipelining |= keyword.eq_ignore_ascii_case(b"PIPELINING");
        self.offers_starttls |= keyword.eq_ignore_ascii_case(b"STARTTLS");
    }
}

/// RFC 5321 §3.8: service not available, closing transmission channel.
const SHUTTING_DOWN: Code = Code(421);

/// What a server would say to a command that it does not offer (RFC 5321 §4.2.4).
const NOT_IMPLEMENTED: Code = Code(502);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reply::{Next, ReplyParser};

    struct Talk {
        session: ClientSession,
        out: Vec<u8>,
    }

    impl Talk {
        fn new(pipelining: bool) -> Self {
            let settings = ClientSettings { name: "me".to_owned(), pipelining, starttls: false };
            Self { session: ClientSession::new(settings), out: Vec::new() }
        }

        /// The event of the last line of `replies`; those before it must mean nothing.
        fn hear(&mut self, replies: &str) -> Event {
            let mut parser = ReplyParser::default();
            let mut rest = replies.as_bytes();
            let mut last = Event::None;
            while !rest.is_empty() {
                assert_eq!(last, Event::None, "before {:?}", String::from_utf8_lossy(rest));
                let Next::Line { consumed, line } = parser.next(rest) else {
                    panic!("no reply");
                };
                last = self.session.handle_line(line, &mut self.out);
                rest = &rest[consumed..];
            }
            last
        }

        fn said(&mut self) -> String {
            String::from_utf8(std::mem::take(&mut self.out)).unwrap()
        }

        fn greeted(pipelining: bool) -> Self {
            let mut talk = Self::new(pipelining);
            assert_eq!(talk.hear("220 hi\r\n"), Event::None);
            assert_eq!(talk.said(), "EHLO me\r\n");
            assert_eq!(talk.hear("250-you\r\n250-pipelining\r\n250 SIZE\r\n"), Event::Ready);
            talk
        }

        fn begin(&mut self) {
            self.session.queue_transaction(&mut self.out, |out| {
                out.extend_from_slice(b"MAIL FROM:<a>\r\nRCPT TO:<b>\r\nRCPT TO:<c>\r\n");
            });
        }
    }

    const ACCEPTED: Event = Event::Done(Outcome::Accepted { recipients_refused: 0 });

    fn refused(stage: Stage, code: u16) -> Event {
        Event::Done(Outcome::Refused { stage, code: Code(code) })
    }

    #[test]
    fn a_group_of_commands_travels_together() {
        let mut talk = Talk::greeted(true);
        talk.begin();
        assert_eq!(talk.said(), "MAIL FROM:<a>\r\nRCPT TO:<b>\r\nRCPT TO:<c>\r\nDATA\r\n");
        assert_eq!(talk.hear("250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n"), Event::SendContent);
        talk.session.content_queued();
        talk.session.queue_quit(&mut talk.out);
        assert_eq!(talk.hear("250 queued\r\n"), ACCEPTED);
        assert_eq!(talk.hear("221 bye\r\n"), Event::Closed);
        assert!(!talk.session.awaits_reply());
    }

    #[test]
    fn the_next_transaction_may_follow_the_content() {
        let mut talk = Talk::greeted(true);
        talk.begin();
        assert_eq!(talk.hear("250 a\r\n250 a\r\n250 a\r\n354 go\r\n"), Event::SendContent);
        talk.session.content_queued();
        talk.begin();
        assert_eq!(talk.hear("250 queued\r\n"), ACCEPTED);
        assert_eq!(talk.hear("250 a\r\n550 a\r\n250 a\r\n354 go\r\n"), Event::SendContent);
        talk.session.content_queued();
        let partly = Event::Done(Outcome::Accepted { recipients_refused: 1 });
        assert_eq!(talk.hear("250 queued\r\n"), partly);
    }

    #[test]
    fn without_pipelining_each_command_waits() {
        let mut talk = Talk::greeted(false);
        talk.begin();
        for (said, reply) in [
            ("MAIL FROM:<a>\r\n", "250-long\r\n250 ok\r\n"),
            ("RCPT TO:<b>\r\n", "550 no\r\n"),
            ("RCPT TO:<c>\r\n", "250 ok\r\n"),
        ] {
            assert_eq!(talk.said(), said);
            assert_eq!(talk.hear(reply), Event::None);
        }
        assert_eq!(talk.said(), "DATA\r\n");
        assert_eq!(talk.hear("354 go\r\n"), Event::SendContent);
        talk.session.content_queued();
        assert_eq!(talk.hear("451 4.3.0 disk\r\n"), refused(Stage::EndOfData, 451));
    }

    #[test]
    fn a_refusal_is_reported_with_its_cause_and_the_session_goes_on() {
        let mut talk = Talk::greeted(true);
        talk.begin();
        assert_eq!(talk.hear("250 ok\r\n550 no\r\n"), Event::None);
        assert!(!talk.session.has_failed(), "another recipient may be taken");
        assert_eq!(talk.hear("451 no\r\n"), Event::None);
        assert!(talk.session.has_failed());
        assert_eq!(talk.hear("554 no valid recipients\r\n"), refused(Stage::Recipient, 550));
        assert!(!talk.session.has_failed());
        talk.said();
        talk.begin();
        assert!(talk.said().starts_with("RSET\r\nMAIL"));
        let replies = "250 ok\r\n250 ok\r\n550 no\r\n550 no\r\n354 well\r\n";
        assert_eq!(talk.hear(replies), Event::SendNothing);
        talk.session.content_queued();
        assert_eq!(talk.hear("554 nobody\r\n"), refused(Stage::Recipient, 550));
        talk.begin();
        let replies = "452 full\r\n503 order\r\n503 order\r\n503 order\r\n";
        assert_eq!(talk.hear(replies), refused(Stage::Mail, 452));
    }

    #[test]
    fn without_pipelining_a_hopeless_transaction_ends_early() {
        let mut talk = Talk::greeted(false);
        talk.begin();
        assert_eq!(talk.hear("452 full\r\n"), refused(Stage::Mail, 452));
        talk.said();
        talk.begin();
        assert_eq!(talk.said(), "RSET\r\n");
        assert_eq!(talk.hear("250 ok\r\n250 ok\r\n550 no\r\n"), Event::None);
        assert_eq!(talk.hear("550 no\r\n"), refused(Stage::Recipient, 550));
        assert!(!talk.said().contains("DATA"));
    }

    #[test]
    fn starttls_comes_before_all_else() {
        let mut talk = Talk::new(true);
        talk.session.settings.starttls = true;
        assert_eq!(
            talk.hear("220 hi\r\n250-you\r\n250-PIPELINING\r\n250 STARTTLS\r\n"),
            Event::None
        );
        assert_eq!(talk.said(), "EHLO me\r\nSTARTTLS\r\n");
        assert_eq!(talk.hear("220 go\r\n"), Event::StartTls);
        talk.session.protected(&mut talk.out);
        assert_eq!(talk.said(), "EHLO me\r\n");
        assert_eq!(talk.hear("250 you\r\n"), Event::Ready);
        assert!(!talk.session.pipelines(), "what was offered before TLS is forgotten");
        let mut talk = Talk::new(true);
        talk.session.settings.starttls = true;
        let unwelcome = Event::Unwelcome { stage: Stage::StartTls, code: Code(502) };
        assert_eq!(talk.hear("220 hi\r\n250 you\r\n"), unwelcome);
    }

    #[test]
    fn helo_follows_a_refused_ehlo() {
        let mut talk = Talk::new(true);
        assert_eq!(talk.hear("220 hi\r\n502 what\r\n"), Event::None);
        assert_eq!(talk.said(), "EHLO me\r\nHELO me\r\n");
        assert_eq!(talk.hear("250 hi\r\n"), Event::Ready);
        assert!(!talk.session.pipelines());
        let mut talk = Talk::new(true);
        let unwelcome = Event::Unwelcome { stage: Stage::Hello, code: Code(550) };
        assert_eq!(talk.hear("220 hi\r\n502 what\r\n550 go away\r\n"), unwelcome);
    }

    #[test]
    fn a_closing_server_is_told_from_a_broken_one() {
        let mut talk = Talk::greeted(true);
        let closing = Event::Unwelcome { stage: Stage::Quit, code: Code(421) };
        assert_eq!(talk.hear("421 bye\r\n"), closing);
        let mut talk = Talk::greeted(true);
        assert_eq!(talk.hear("250 what\r\n"), Event::Broken);
        let mut talk = Talk::greeted(true);
        talk.begin();
        let closing = Event::Unwelcome { stage: Stage::Mail, code: Code(421) };
        assert_eq!(talk.hear("421 bye\r\n"), closing);
        let mut talk = Talk::new(true);
        let busy = Event::Unwelcome { stage: Stage::Greeting, code: Code(554) };
        assert_eq!(talk.hear("554 no\r\n"), busy);
    }
}
