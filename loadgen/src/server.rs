//! The receiving side of SMTP as a machine without sockets: commands and content go in, replies
//! come out. It takes whatever is offered (RFC 5321 without checks of addresses), as quickly as it
//! can, and refuses or dawdles where the policy says so.
//!
//! # Guarantees
//! One [`Event::Message`] for each content that is answered with 250, before that reply leaves the
//! caller's hands. Replies come in the order of commands, so a client may pipeline (RFC 2920).
//!
//! # Never
//! Reads a clock or touches a socket; keeps content, unless the policy asks for it.
//!
//! # Failures
//! None: what cannot be understood is answered with 5xx.
//!
//! # Bounds
//! `COMMAND_LINE_BYTES_MAX`, `HEAD_BYTES_MAX` and, where content is kept, `KEPT_BYTES_MAX`.

use std::time::Duration;

use crate::dice::Dice;
use crate::end_of_data::EndOfData;

/// A command line with its end; RFC 5321 §4.5.3.1.4 wants 512, extensions add to it.
const COMMAND_LINE_BYTES_MAX: usize = 4_096;

/// How much of a message's beginning is kept to look for the id: relays put their trace lines
/// before it.
const HEAD_BYTES_MAX: usize = 4_096;

/// The longest content that is kept in memory to be written to a file.
const KEPT_BYTES_MAX: usize = 256 << 20;

/// What is refused by chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RefuseAt {
    Recipient,
    EndOfData,
}

/// How a sink behaves.
#[derive(Clone, Debug)]
pub(crate) struct ServerPolicy {
    /// The name in the greeting.
    pub(crate) name: String,
    /// Time before each reply.
    pub(crate) delay: Duration,
    /// Further time before the reply to a content.
    pub(crate) delay_end_of_data: Duration,
    /// Share of the replies at `refuse_at` that are 5xx, from 0 to 1.
    pub(crate) reject_rate: f64,
    /// Share of the replies at `refuse_at` that are 4xx, from 0 to 1.
    pub(crate) defer_rate: f64,
    pub(crate) refuse_at: RefuseAt,
    /// Keep the envelope and the content of each message for the caller.
    pub(crate) keep: bool,
}

/// What the caller does after a call of [`ServerSession::advance`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// All input is used up.
    NeedInput,
    /// A message came and is accepted; [`ServerSession::message`] has it until the next call.
    Message,
    /// The replies written so far leave after this time, and nothing is looked at before.
    Pause(Duration),
    /// The session is over once the replies are sent.
    Close,
}

/// How far a call went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) consumed: usize,
    pub(crate) event: Event,
}

/// A message that was accepted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Received<'a> {
    /// The first bytes, for the id.
    pub(crate) head: &'a [u8],
    /// Length of the content on the wire, dots and all, without the end mark's last three bytes.
    pub(crate) bytes: u64,
    /// Recipients that were accepted.
    pub(crate) recipients: u64,
    /// MAIL and RCPT lines as they came, if the policy keeps them.
    pub(crate) envelope: &'a [u8],
    /// The content as it came, with its end mark, if the policy keeps it.
    pub(crate) content: &'a [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Command,
    /// The command line is too long: the rest of it is dropped.
    LongLine,
    Content,
    Closed,
}

/// One session.
#[derive(Debug)]
pub(crate) struct ServerSession {
    phase: Phase,
    partial: Vec<u8>,
    pause: Option<Duration>,
    has_sender: bool,
    recipients: u64,
    end: EndOfData,
    bytes: u64,
    head: Vec<u8>,
    envelope: Vec<u8>,
    content: Vec<u8>,
}

impl ServerSession {
    /// A session on a fresh connection; the greeting is appended to `out`.
    pub(crate) fn new(policy: &ServerPolicy, out: &mut Vec<u8>) -> Self {
        let mut session = Self {
            phase: Phase::Command,
            partial: Vec::new(),
            pause: None,
            has_sender: false,
            recipients: 0,
            end: EndOfData::new(),
            bytes: 0,
            head: Vec::new(),
            envelope: Vec::new(),
            content: Vec::new(),
        };
        session.say(&[b"220 ", policy.name.as_bytes(), b" ESMTP loadgen sink\r\n"], policy, out);
        session
    }

    /// Goes on to the next event; the caller drops `consumed` bytes of `input` and calls again
    /// with the rest until [`Event::NeedInput`].
    pub(crate) fn advance(
        &mut self,
        policy: &ServerPolicy,
        dice: &mut Dice,
        input: &[u8],
        out: &mut Vec<u8>,
    ) -> Step {
        let mut consumed = 0;
        loop {
            if let Some(pause) = self.pause.take() {
                return Step { consumed, event: Event::Pause(pause) };
            }
            let rest = &input[consumed..];
            if self.phase == Phase::Closed {
                return Step { consumed, event: Event::Close };
            }
            if rest.is_empty() {
                return Step { consumed, event: Event::NeedInput };
            }
            if self.phase != Phase::Content {
                consumed += self.take_command_bytes(policy, dice, rest, out);
                continue;
            }
            let (taken, done) = self.end.scan(rest);
            consumed += taken;
            self.take_content(policy, &rest[..taken]);
            if done && self.finish_content(policy, dice, out) {
                return Step { consumed, event: Event::Message };
            }
        }
    }

    /// The message of the last [`Event::Message`].
    pub(crate) fn message(&self) -> Received<'_> {
        Received {
            head: &self.head,
            // The CRLF before the dot belongs to the content, unless there is none.
            bytes: self.bytes - 3,
            recipients: self.recipients,
            envelope: &self.envelope,
            content: &self.content,
        }
    }

    /// Takes a command line, or a part of one; how many bytes.
    fn take_command_bytes(
        &mut self,
        policy: &ServerPolicy,
        dice: &mut Dice,
        input: &[u8],
        out: &mut Vec<u8>,
    ) -> usize {
        let end = memchr::memchr(b'\n', input);
        let taken = end.map_or(input.len(), |end| end + 1);
        let piece = &input[..taken];
        if self.phase == Phase::Command && self.partial.len() + taken > COMMAND_LINE_BYTES_MAX {
            self.phase = Phase::LongLine;
            self.partial.clear();
        }
        match (self.phase, end) {
            (Phase::LongLine, Some(_)) => {
                self.phase = Phase::Command;
                self.say(&[b"500 5.5.2 Line too long\r\n"], policy, out);
            }
            (Phase::LongLine, None) => {}
            (_, None) => self.partial.extend_from_slice(piece),
            (_, Some(_)) if self.partial.is_empty() => {
                self.handle_command(policy, dice, piece, out);
            }
            (_, Some(_)) => {
                let mut line = std::mem::take(&mut self.partial);
                line.extend_from_slice(piece);
                self.handle_command(policy, dice, &line, out);
                line.clear();
                self.partial = line;
            }
        }
        taken
    }

    fn handle_command(
        &mut self,
        policy: &ServerPolicy,
        dice: &mut Dice,
        line: &[u8],
        out: &mut Vec<u8>,
    ) {
        let line = line.trim_ascii_end();
        let verb = line.get(..4).unwrap_or(line);
        let is = |name: &[u8; 4]| {
            verb.eq_ignore_ascii_case(name) && line.get(4).is_none_or(|byte| *byte == b' ')
        };
        if is(b"MAIL") {
            self.handle_mail(policy, line, out);
        } else if is(b"RCPT") {
            self.handle_recipient(policy, dice, line, out);
        } else if is(b"DATA") {
            self.handle_data(policy, out);
        } else if is(b"EHLO") {
            self.forget_transaction();
            // RFC 5321 §4.1.1.1, RFC 2920 §3, RFC 1870 §4 (0: no fixed bound), RFC 6152 §2,
            // RFC 2034 §3.
            let keywords: &[u8] = b"\r\n250-PIPELINING\r\n250-SIZE 0\r\n250-8BITMIME\r\n\
                                    250 ENHANCEDSTATUSCODES\r\n";
            self.say(&[b"250-", policy.name.as_bytes(), keywords], policy, out);
        } else if is(b"HELO") {
            self.forget_transaction();
            self.say(&[b"250 ", policy.name.as_bytes(), b"\r\n"], policy, out);
        } else if is(b"RSET") {
            self.forget_transaction();
            self.say(&[b"250 2.0.0 Ok\r\n"], policy, out);
        } else if is(b"NOOP") {
            self.say(&[b"250 2.0.0 Ok\r\n"], policy, out);
        } else if is(b"VRFY") {
            self.say(&[b"252 2.0.0 Send mail and see\r\n"], policy, out);
        } else if is(b"QUIT") {
            self.phase = Phase::Closed;
            self.say(&[b"221 2.0.0 Bye\r\n"], policy, out);
        } else {
            self.say(&[b"500 5.5.2 Command not known\r\n"], policy, out);
        }
    }

    fn handle_mail(&mut self, policy: &ServerPolicy, line: &[u8], out: &mut Vec<u8>) {
        if self.has_sender {
            // RFC 5321 §4.1.4: one transaction at a time.
            self.say(&[b"503 5.5.1 A transaction is open\r\n"], policy, out);
            return;
        }
        self.forget_transaction();
        self.has_sender = true;
        self.keep_envelope(policy, line);
        self.say(&[b"250 2.1.0 Ok\r\n"], policy, out);
    }

    fn handle_recipient(
        &mut self,
        policy: &ServerPolicy,
        dice: &mut Dice,
        line: &[u8],
        out: &mut Vec<u8>,
    ) {
        if !self.has_sender {
            self.say(&[b"503 5.5.1 MAIL comes first\r\n"], policy, out);
            return;
        }
        let refusal = refusal_by_chance(policy, dice, RefuseAt::Recipient);
        if let Some(refusal) = refusal {
            self.say(&[refusal], policy, out);
            return;
        }
        self.recipients += 1;
        self.keep_envelope(policy, line);
        self.say(&[b"250 2.1.5 Ok\r\n"], policy, out);
    }

    fn handle_data(&mut self, policy: &ServerPolicy, out: &mut Vec<u8>) {
        if !self.has_sender || self.recipients == 0 {
            let reply: &[u8] = if self.has_sender {
                b"554 5.5.1 No valid recipients\r\n"
            } else {
                b"503 5.5.1 MAIL comes first\r\n"
            };
            self.say(&[reply], policy, out);
            return;
        }
        self.phase = Phase::Content;
        self.end.begin();
        self.bytes = 0;
        self.head.clear();
        self.content.clear();
        self.say(&[b"354 End data with <CR><LF>.<CR><LF>\r\n"], policy, out);
    }

    fn take_content(&mut self, policy: &ServerPolicy, piece: &[u8]) {
        self.bytes += piece.len() as u64;
        let free = HEAD_BYTES_MAX - self.head.len();
        if free > 0 {
            self.head.extend_from_slice(&piece[..piece.len().min(free)]);
        }
        if policy.keep && self.bytes <= KEPT_BYTES_MAX as u64 {
            self.content.extend_from_slice(piece);
        }
    }

    /// Answers the content; whether it is accepted.
    fn finish_content(
        &mut self,
        policy: &ServerPolicy,
        dice: &mut Dice,
        out: &mut Vec<u8>,
    ) -> bool {
        self.phase = Phase::Command;
        self.has_sender = false;
        let refusal = if policy.keep && self.bytes > KEPT_BYTES_MAX as u64 {
            Some(&b"552 5.3.4 Too big to be kept\r\n"[..])
        } else {
            refusal_by_chance(policy, dice, RefuseAt::EndOfData)
        };
        self.say(&[refusal.unwrap_or(b"250 2.0.0 Ok\r\n")], policy, out);
        if !policy.delay_end_of_data.is_zero() {
            self.pause = Some(self.pause.unwrap_or_default() + policy.delay_end_of_data);
        }
        refusal.is_none()
    }

    fn keep_envelope(&mut self, policy: &ServerPolicy, line: &[u8]) {
        if policy.keep {
            self.envelope.extend_from_slice(line);
            self.envelope.push(b'\n');
        }
    }

    fn forget_transaction(&mut self) {
        self.has_sender = false;
        self.recipients = 0;
        self.envelope.clear();
    }

    fn say(&mut self, parts: &[&[u8]], policy: &ServerPolicy, out: &mut Vec<u8>) {
        for part in parts {
            out.extend_from_slice(part);
        }
        if !policy.delay.is_zero() {
            self.pause = Some(policy.delay);
        }
    }
}

fn refusal_by_chance(
    policy: &ServerPolicy,
    dice: &mut Dice,
    place: RefuseAt,
) -> Option<&'static [u8]> {
    let chance = policy.reject_rate + policy.defer_rate;
    if place != policy.refuse_at || chance <= 0.0 {
        return None;
    }
    let thrown = dice.throw();
    if thrown < policy.reject_rate {
        Some(b"550 5.7.1 Refused by chance\r\n")
    } else if thrown < chance {
        Some(b"451 4.3.0 Deferred by chance\r\n")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> ServerPolicy {
        ServerPolicy {
            name: "sink".to_owned(),
            delay: Duration::ZERO,
            delay_end_of_data: Duration::ZERO,
            reject_rate: 0.0,
            defer_rate: 0.0,
            refuse_at: RefuseAt::Recipient,
            keep: true,
        }
    }

    /// The codes said and the messages heard, for a dialogue that arrives in `pieces`.
    fn converse(policy: &ServerPolicy, pieces: &[&[u8]]) -> (Vec<String>, Vec<String>) {
        let (mut out, mut dice) = (Vec::new(), Dice::new(1));
        let mut messages = Vec::new();
        let mut session = ServerSession::new(policy, &mut out);
        'pieces: for piece in pieces {
            let mut rest = *piece;
            loop {
                let step = session.advance(policy, &mut dice, rest, &mut out);
                rest = &rest[step.consumed..];
                match step.event {
                    Event::NeedInput => break,
                    Event::Message => {
                        let message = session.message();
                        assert!(message.content.starts_with(message.head));
                        assert_eq!(message.bytes + 3, message.content.len() as u64);
                        messages.push(format!(
                            "{}{}",
                            String::from_utf8_lossy(message.envelope),
                            String::from_utf8_lossy(message.content)
                        ));
                    }
                    Event::Pause(_) => {}
                    Event::Close => break 'pieces,
                }
            }
        }
        let codes = String::from_utf8(out).unwrap();
        let codes = codes.lines().filter(|line| line.as_bytes()[3] == b' ');
        (codes.map(|line| line[..3].to_owned()).collect(), messages)
    }

    const DIALOGUE: &[u8] = b"EHLO me\r\nmail from:<a>\r\nRCPT TO:<b>\r\nRCPT TO:<c>\r\nDATA\r\n\
        one\r\n..two\r\n.\r\nMAIL FROM:<>\r\nRCPT TO:<d>\r\nDATA\r\n.\r\nRSET\r\nNOOP\r\nQUIT\r\n";

    #[test]
    fn a_dialogue_is_the_same_wherever_it_is_cut() {
        let policy = policy();
        let whole = converse(&policy, &[DIALOGUE]);
        let codes = "220 250 250 250 250 354 250 250 250 354 250 250 250 221";
        assert_eq!(whole.0.join(" "), codes);
        let first = "mail from:<a>\nRCPT TO:<b>\nRCPT TO:<c>\none\r\n..two\r\n.\r\n";
        assert_eq!(whole.1, [first, "MAIL FROM:<>\nRCPT TO:<d>\n.\r\n"]);
        for cut in 0..=DIALOGUE.len() {
            let (head, tail) = DIALOGUE.split_at(cut);
            assert_eq!(converse(&policy, &[head, tail]), whole, "cut at {cut}");
        }
        let bytes: Vec<&[u8]> = DIALOGUE.chunks(1).collect();
        assert_eq!(converse(&policy, &bytes), whole);
    }

    #[test]
    fn what_is_out_of_order_or_unknown_is_refused() {
        let long = [b'x'; COMMAND_LINE_BYTES_MAX];
        let dialogue: [&[u8]; 4] = [
            b"DATA\r\nRCPT TO:<b>\r\nMAIL FROM:<a>\r\nMAIL FROM:<a>\r\n\
              DATA\r\nDATAX\r\nHELP\r\n\r\n",
            &long,
            b"x\r\nHELO me\r\nVRFY x\r\n",
            b"MAIL FROM:<a>\r\nRCPT TO:<b>\r\nDATA\r\n.\r\nDATA\r\nQUIT\r\nNOOP\r\n",
        ];
        let (codes, messages) = converse(&policy(), &dialogue);
        assert_eq!(
            codes.join(" "),
            "220 503 503 250 503 554 500 500 500 500 250 252 250 250 354 250 503 221"
        );
        assert_eq!(messages.len(), 1);
    }

    #[test]
    fn shares_are_refused_by_chance() {
        let mut policy = policy();
        (policy.reject_rate, policy.defer_rate) = (0.2, 0.3);
        let mut dialogue = Vec::new();
        for _ in 0..10_000 {
            dialogue.extend_from_slice(b"MAIL FROM:<a>\r\nRCPT TO:<b>\r\nRSET\r\n");
        }
        let (codes, _) = converse(&policy, &[&dialogue]);
        let count = |code: &str| codes.iter().filter(|said| *said == code).count();
        assert!((1_800..2_200).contains(&count("550")), "{}", count("550"));
        assert!((2_700..3_300).contains(&count("451")), "{}", count("451"));
        policy.refuse_at = RefuseAt::EndOfData;
        (policy.reject_rate, policy.defer_rate) = (0.0, 1.0);
        let (codes, messages) =
            converse(&policy, &[b"MAIL FROM:<a>\r\nRCPT TO:<b>\r\nDATA\r\n.\r\nQUIT\r\n"]);
        assert_eq!(codes.join(" "), "220 250 250 354 451 221");
        assert!(messages.is_empty());
    }

    #[test]
    fn delays_hold_back_one_reply_each() {
        let mut policy = policy();
        policy.delay = Duration::from_millis(5);
        policy.delay_end_of_data = Duration::from_millis(7);
        let (mut out, mut dice) = (Vec::new(), Dice::new(1));
        let mut session = ServerSession::new(&policy, &mut out);
        let mut rest = &b"MAIL FROM:<a>\r\nRCPT TO:<b>\r\nDATA\r\n.\r\n"[..];
        let mut pauses = Vec::new();
        loop {
            let step = session.advance(&policy, &mut dice, rest, &mut out);
            rest = &rest[step.consumed..];
            match step.event {
                Event::Pause(pause) => pauses.push(pause.as_millis()),
                Event::Message => {}
                Event::NeedInput | Event::Close => break,
            }
        }
        assert_eq!(pauses, [5, 5, 5, 5, 12]);
    }
}
