//! The receiving side of SMTP as a machine without sockets: commands and content go in, replies
//! come out. It takes whatever is offered (RFC 5321 without checks of addresses), as quickly as it
//! can, and refuses, dawdles or leaves where its behaviour says so.
//!
//! # Guarantees
//! One [`Event::Message`] for each content that is taken, before its 250 leaves the caller's hands.
//! Replies come in the order of commands, so a client may pipeline (RFC 2920).
//!
//! # Never
//! Reads a clock or touches a socket; keeps content, unless the caller asks for it.
//!
//! # Failures
//! None: what cannot be understood is answered with 5xx.
//!
//! # Bounds
//! [`COMMAND_LINE_BYTES_MAX`], [`RECIPIENTS_MAX`] and, where content is kept, [`KEPT_BYTES_MAX`].

mod commands;
mod content;
mod replies;
mod tally;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::accounts::{ContentDigest, Digested};
use crate::behaviour::{Behaviour, Drop, Greylist, Listening, Point, ReplyRule, ReplyText};
use crate::dice::Dice;
use crate::end_of_data::EndOfData;

pub(crate) use tally::Tally;

/// A command line with its end; RFC 5321 §4.5.3.1.4 wants 512, extensions add to it. AUTH may need
/// 12,288 (RFC 4954 §4), which no password of a load generator does.
const COMMAND_LINE_BYTES_MAX: usize = 4_096;

/// Recipients of a message.
const RECIPIENTS_MAX: usize = 100_000;

/// The longest content that is kept in memory to be written to a file.
const KEPT_BYTES_MAX: u64 = 256 << 20;

/// What the caller does after a call of [`ServerSession::advance`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// All input is used up.
    NeedInput,
    /// A message came and is taken; [`ServerSession::message`] has it until the next call.
    Message,
    /// The last reply leaves after this time, and nothing is looked at before. It begins at
    /// `held_from` of the output; what is before it may leave at once.
    Pause { time: Duration, held_from: usize },
    /// Once the replies are sent, TLS begins (RFC 3207 §4); input that came before it is dropped
    /// (§6), and [`ServerSession::protected`] is called.
    StartTls,
    /// The session is over once the replies are sent.
    Close,
}

/// How far a call went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) consumed: usize,
    pub(crate) event: Event,
}

/// A message that was taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Received<'a> {
    /// What its stamp says and what came, if it has a stamp.
    pub(crate) digested: Option<Digested>,
    /// Length of the content as it came, without what ends it.
    pub(crate) bytes: u64,
    /// [`recipient_hash`](crate::accounts::recipient_hash) of each that was accepted.
    pub(crate) recipients: &'a [u64],
    /// MAIL and RCPT lines as they came, if they are kept.
    pub(crate) envelope: &'a [u8],
    /// The content without the dots of dot-stuffing, if it is kept.
    pub(crate) content: &'a [u8],
}

/// What a session stands in.
#[derive(Debug)]
pub(crate) struct Surroundings<'a> {
    /// The address that the client came to.
    pub(crate) listening: &'a Listening,
    pub(crate) client: IpAddr,
    pub(crate) dice: &'a mut Dice,
    pub(crate) tally: &'a mut Tally,
    /// Shared by all threads, and the time; only of a sink that greylists.
    pub(crate) greylist: Option<(&'a std::sync::Mutex<Greylist>, Instant)>,
    /// Keep the envelope and the content of each message for the caller.
    pub(crate) keep: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Command,
    /// The command line is too long: the rest of it is dropped.
    LongLine,
    /// A content behind DATA.
    Content,
    /// So many bytes of a chunk are to come (RFC 3030 §2).
    Chunk {
        left: u64,
        is_last: bool,
        is_refused: bool,
    },
    /// So many lines of a login are to come (RFC 4954 §4), whatever they say.
    Login {
        lines: u8,
    },
    /// STARTTLS was answered.
    StartTls,
    Closed,
}

/// How far the chunks of a message are (RFC 3030 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chunks {
    /// None has come.
    None,
    /// All that came are well.
    Open,
    /// One was refused: so are all that follow.
    Spoilt,
}

/// One session.
#[derive(Debug)]
pub(crate) struct ServerSession {
    phase: Phase,
    partial: Vec<u8>,
    pause: Option<Duration>,
    /// Where the newest reply begins in the output.
    reply_from: usize,
    is_protected: bool,
    /// The greeting was a refusal: only QUIT is welcome (RFC 5321 §3.1).
    is_unwelcome: bool,
    has_sender: bool,
    /// The sender's address, for the greylist.
    sender: Vec<u8>,
    recipients: Vec<u64>,
    /// Places of the accepted recipients' domains in the tally.
    domains: Vec<usize>,
    /// The rule of the accepted recipients' domains, and whether all have the same.
    rule: Option<usize>,
    rules_agree: bool,
    drop: Option<Drop>,
    chunks: Chunks,
    end: EndOfData,
    digest: ContentDigest,
    digested: Option<Digested>,
    bytes: u64,
    envelope: Vec<u8>,
    content: Vec<u8>,
}

impl ServerSession {
    /// A session on a fresh connection; the greeting is appended to `out`.
    pub(crate) fn new(around: &mut Surroundings<'_>, out: &mut Vec<u8>) -> Self {
        let mut session = Self {
            phase: Phase::Command,
            partial: Vec::new(),
            pause: None,
            reply_from: out.len(),
            is_protected: false,
            is_unwelcome: false,
            has_sender: false,
            sender: Vec::new(),
            recipients: Vec::new(),
            domains: Vec::new(),
            rule: None,
            rules_agree: true,
            drop: None,
            chunks: Chunks::None,
            end: EndOfData::new(),
            digest: ContentDigest::new(),
            digested: None,
            bytes: 0,
            envelope: Vec::new(),
            content: Vec::new(),
        };
        session.greet(around, out);
        session
    }

    /// Goes on to the next event; the caller drops `consumed` bytes of `input` and calls again
    /// with the rest until [`Event::NeedInput`].
    pub(crate) fn advance(
        &mut self,
        around: &mut Surroundings<'_>,
        input: &[u8],
        out: &mut Vec<u8>,
    ) -> Step {
        let mut consumed = 0;
        loop {
            if let Some(time) = self.pause.take() {
                let held_from = self.reply_from;
                return Step { consumed, event: Event::Pause { time, held_from } };
            }
            // Each round gives one reply at most.
            self.reply_from = out.len();
            let rest = &input[consumed..];
            match self.phase {
                Phase::Closed => return Step { consumed, event: Event::Close },
                Phase::StartTls => return Step { consumed, event: Event::StartTls },
                Phase::Chunk { left: 0, is_last, is_refused } => {
                    if self.end_chunk(around, is_last, is_refused, out) {
                        return Step { consumed, event: Event::Message };
                    }
                    continue;
                }
                Phase::Command
                | Phase::LongLine
                | Phase::Login { .. }
                | Phase::Content
                | Phase::Chunk { .. } => {}
            }
            if rest.is_empty() {
                return Step { consumed, event: Event::NeedInput };
            }
            match self.phase {
                Phase::Content => {
                    let (taken, is_done) = self.end.scan(rest);
                    consumed += taken;
                    self.take_content(around, &rest[..taken]);
                    if is_done && self.finish_content(around, out) {
                        return Step { consumed, event: Event::Message };
                    }
                }
                Phase::Chunk { left, .. } => consumed += self.take_chunk(around, left, rest),
                Phase::Command
                | Phase::LongLine
                | Phase::Login { .. }
                | Phase::StartTls
                | Phase::Closed => consumed += self.take_command_bytes(around, rest, out),
            }
        }
    }

    /// The message of the last [`Event::Message`].
    pub(crate) fn message(&self) -> Received<'_> {
        Received {
            digested: self.digested,
            bytes: self.bytes,
            recipients: &self.recipients,
            envelope: &self.envelope,
            content: &self.content,
        }
    }

    /// Whether the client was greeted by something else than a refusal.
    pub(crate) const fn is_welcome(&self) -> bool {
        !self.is_unwelcome
    }

    /// TLS has begun: what was said before counts no more (RFC 3207 §4.2).
    pub(crate) fn protected(&mut self) {
        self.is_protected = true;
        self.phase = Phase::Command;
        self.partial.clear();
        self.forget_transaction();
    }

    fn greet(&mut self, around: &mut Surroundings<'_>, out: &mut Vec<u8>) {
        let behaviour = &around.listening.behaviour;
        match self.refusal(around, behaviour, Point::Greeting, b"") {
            Some(refusal) => {
                around.tally.connections_refused += 1;
                self.is_unwelcome = true;
                self.refuse(around, Point::Greeting, refusal, out);
            }
            None => {
                let name = behaviour.name.as_bytes();
                replies::write(behaviour, &[b"220 ", name, b" ESMTP loadgen sink"], out);
            }
        }
        self.hold_back(around, behaviour, Point::Greeting);
    }

    /// What decides over the message: the rule of its recipients' domains if they have one rule.
    fn behaviour<'a>(&self, around: &Surroundings<'a>) -> &'a Behaviour {
        around.listening.behaviour_of(self.rule.filter(|_| self.rules_agree))
    }

    /// The refusal that chance, or a list, has for this point.
    fn refusal<'a>(
        &self,
        around: &mut Surroundings<'_>,
        behaviour: &'a Behaviour,
        point: Point,
        local_part: &[u8],
    ) -> Option<&'a ReplyText> {
        ReplyRule::choose(&behaviour.replies, point, local_part, around.dice)
    }

    fn refuse(
        &mut self,
        around: &mut Surroundings<'_>,
        point: Point,
        refusal: &ReplyText,
        out: &mut Vec<u8>,
    ) {
        let text = refusal.lines.first().map(String::as_str).unwrap_or_default();
        around.tally.note_refusal(point.phrase(), refusal.code, text);
        refusal.write(out);
        // RFC 5321 §3.8: who says 421 closes.
        if refusal.code == 421 {
            self.phase = Phase::Closed;
        }
    }

    /// Holds back what was just said as long as the behaviour wants.
    fn hold_back(&mut self, around: &mut Surroundings<'_>, behaviour: &Behaviour, point: Point) {
        if let Some(delay) = &behaviour.delays[point as usize] {
            self.pause = Some(delay.draw(around.dice));
        }
    }

    /// Leaves without a word.
    fn leave(&mut self, around: &mut Surroundings<'_>) {
        around.tally.connections_dropped += 1;
        self.phase = Phase::Closed;
    }

    fn forget_transaction(&mut self) {
        self.has_sender = false;
        self.recipients.clear();
        self.domains.clear();
        self.rule = None;
        self.rules_agree = true;
        self.drop = None;
        self.chunks = Chunks::None;
        self.bytes = 0;
        self.envelope.clear();
        self.content.clear();
    }
}
