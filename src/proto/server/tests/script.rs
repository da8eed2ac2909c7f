//! Replays transcripts. A transcript is a text of lines:
//!
//! - `O: key=value …` options of the session; only at the beginning
//! - `S: …` a line that the server sends, without its CRLF
//! - `C: …` a line that the client sends, a CRLF is added; `c: …` the same without CRLF
//! - `E: …` an event, see [`Driver::note`]
//! - `!: …` something else that happens, see [`Driver::happen`]
//! - `# …` a comment
//!
//! In client lines `\r`, `\n`, `\0`, `\t`, `\\` and `\xNN` stand for bytes, `\{x*9}` for nine times
//! `x`; in events, what is not printable is written so too.
//!
//! Each transcript is replayed as it is written, with the server's lines compared after each of the
//! client's; then with all that the client sends between two happenings in one piece, byte by
//! byte, and cut at every offset; all of that with commits that return at once and with commits
//! that return only when nothing else can go on. The server's bytes and the events must always be
//! the same.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::WallTime;
use crate::ids::MessageId;
use crate::message::{BodyType, DeliverBy, Notices, Notify, ReturnedContent, Wishes};
use crate::proto::server::{
    AuthOffer, Conditions, ContentRefusal, Event, Peer, Role, ServerLimits, ServerPolicy,
    ServerSession, Storage, Stored, TlsOffer,
};
use crate::throttle::ThrottleLimits;

use super::escapes::{escape, unescape};
use super::parties::{conditions, network, peer, tls_facts, users};

/// One line of a transcript.
#[derive(Clone, Debug)]
enum Line {
    Client(Vec<u8>),
    Server(String),
    Event(String),
    Happens(String),
}

/// A parsed transcript.
#[derive(Clone, Debug)]
pub(super) struct Script {
    pub(super) policy: ServerPolicy,
    peer: Peer,
    draining: bool,
    lines: Vec<Line>,
}

impl Script {
    pub(super) fn parse(text: &str) -> Self {
        let mut script = Self {
            policy: ServerPolicy::plain("mx.example.net", ServerLimits::default()),
            peer: peer("192.0.2.7"),
            draining: false,
            lines: Vec::new(),
        };
        for line in text.lines() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (kind, rest) = line.split_at(2);
            let rest = rest.strip_prefix(' ').unwrap_or(rest);
            match kind {
                "O:" => rest.split_whitespace().for_each(|option| script.set(option)),
                "C:" => script.lines.push(Line::Client([&unescape(rest)[..], b"\r\n"].concat())),
                "c:" => script.lines.push(Line::Client(unescape(rest))),
                "S:" => script.lines.push(Line::Server(format!("{rest}\r\n"))),
                "E:" => script.lines.push(Line::Event(rest.into())),
                "!:" => script.lines.push(Line::Happens(rest.into())),
                _ => panic!("not a line of a transcript: {line}"),
            }
        }
        script
    }

    fn set(&mut self, option: &str) {
        let (key, value) = option.split_once('=').expect("key=value");
        let number = || value.parse().expect("a number");
        match key {
            "address" => self.peer.address = value.parse().expect("an address"),
            "may_relay" if value == "no" => self.policy.access.relay_from.clear(),
            "accept_for" => {
                let domains = value.split(',').map(|domain| domain.parse().expect("a domain"));
                self.policy.access.accept_for = domains.collect();
            }
            "starttls" => self.policy.tls = TlsOffer::StartTls { required: value == "required" },
            "tls" if value == "implicit" => self.policy.tls = TlsOffer::Implicit,
            "auth" => {
                self.policy.auth = match value {
                    "required" => AuthOffer::Required { without_tls: true },
                    "without_tls" => AuthOffer::Optional { without_tls: true },
                    "with_tls" => AuthOffer::Optional { without_tls: false },
                    _ => panic!("no offer: {value}"),
                }
            }
            "users" => self.policy.users = Arc::new(users(&value.split(',').collect::<Vec<_>>())),
            "auth_failures_max" => {
                let limits = &mut self.policy.throttle_limits;
                limits.auth_failures_per_minute_max = value.parse().expect("a number");
            }
            "allow_from" => self.policy.access.allow_from.push(network(value)),
            "deny_from" => self.policy.access.deny_from.push(network(value)),
            "relay_from" => self.policy.access.relay_from = vec![network(value)],
            "xclient_from" => self.policy.access.xclient_from.push(network(value)),
            "relay_certificate" => {
                self.policy.access.relay_certificates.push(value.into());
            }
            "hold_s_max" => self.policy.limits.hold_time_max = Duration::from_secs(number()),
            "space_before_path" => self.policy.leniency.space_before_path = value == "yes",
            "missing_brackets" => self.policy.leniency.missing_brackets = value == "yes",
            "bare_lf" => {
                self.policy.leniency.bare_lf = true;
                self.policy.role = Role::Submission;
            }
            "filter" => self.policy.header.remove_own_results = true,
            "stamp" => self.policy.header.add_missing = true,
            "header_bytes_max" => self.policy.limits.header_bytes_max = number(),
            "header_fields_max" => {
                self.policy.limits.header_fields_max = value.parse().expect("a number");
            }
            "draining" => self.draining = value == "yes",
            "message_bytes_max" => self.policy.limits.message_bytes_max = number(),
            "text_line_bytes_max" => self.policy.limits.text_line_bytes_max = number(),
            "recipients_max" => {
                self.policy.limits.recipients_max = value.parse().expect("a number")
            }
            "errors_max" => self.policy.limits.errors_max = value.parse().expect("a number"),
            "messages_max" => self.policy.limits.messages_max = value.parse().expect("a number"),
            "hop_count_max" => self.policy.limits.hop_count_max = value.parse().expect("a number"),
            _ => panic!("no option: {option}"),
        }
    }

    /// All that the client sends.
    pub(super) fn client_bytes(&self) -> Vec<u8> {
        let client = |line: &Line| match line {
            Line::Client(bytes) => bytes.clone(),
            Line::Server(_) | Line::Event(_) | Line::Happens(_) => Vec::new(),
        };
        self.lines.iter().flat_map(client).collect()
    }
}

/// When the commit of a message returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Commit {
    AtOnce,
    Late,
}

/// Does what the shard does, and writes down what happens.
pub(super) struct Driver {
    pub(super) session: ServerSession,
    pub(super) conditions: Conditions,
    pub(super) out: Vec<u8>,
    pub(super) events: Vec<String>,
    pub(super) commit: Commit,
    body: Option<Vec<u8>>,
    waiting: VecDeque<Stored>,
    next_result: Option<Stored>,
    next_refusal: Option<ContentRefusal>,
    message_count: u64,
    closed: bool,
}

impl Driver {
    pub(super) fn new(script: &Script, commit: Commit) -> Self {
        let mut policy = script.policy.clone();
        if policy.throttle_limits != ThrottleLimits::default() {
            policy.throttles = Arc::default();
        }
        let conditions = Conditions { draining: script.draining, ..conditions(1_000) };
        let session = ServerSession::new(Rc::new(policy), script.peer, 1, &conditions);
        let mut driver = Self {
            session,
            conditions,
            out: Vec::new(),
            events: Vec::new(),
            commit,
            body: None,
            waiting: VecDeque::new(),
            next_result: None,
            next_refusal: None,
            message_count: 0,
            closed: false,
        };
        driver.feed(b"");
        driver
    }

    /// Gives `input` to the session and does what it says until it needs more.
    pub(super) fn feed(&mut self, input: &[u8]) {
        let mut rest = input;
        loop {
            let step = self.session.advance(&self.conditions, rest);
            assert!(step.consumed <= rest.len());
            let seen = rest;
            rest = &rest[step.consumed..];
            self.note(step.event, seen, step.consumed);
            match step.event {
                Event::NeedInput => {
                    assert!(rest.is_empty(), "needs input but left some");
                    break;
                }
                Event::Blocked => {
                    assert!(self.session.is_blocked());
                    self.session.transmit(&mut self.out);
                    self.unblock();
                    assert!(!self.session.is_blocked(), "nothing unblocks it");
                }
                Event::Close => {
                    assert!(rest.is_empty(), "closes but left input");
                    break;
                }
                Event::MessageEnd if self.commit == Commit::AtOnce => self.finish_commit(),
                Event::CheckPassword if self.commit == Commit::AtOnce => self.finish_check(),
                Event::StartTls => {
                    self.session.transmit(&mut self.out);
                    assert!(self.session.tls_is_wanted());
                    assert!(rest.is_empty(), "input from before the handshake is left");
                }
                Event::MessageBegin
                | Event::Content(_)
                | Event::Inserted
                | Event::MessageEnd
                | Event::MessageAbandoned
                | Event::CheckPassword
                | Event::PeerChanged => {}
            }
        }
        self.session.transmit(&mut self.out);
    }

    /// Does what the session waits for.
    fn unblock(&mut self) {
        if self.session.is_blocked() {
            self.finish_check();
        }
        if self.session.is_blocked() {
            self.finish_commit();
        }
        if self.session.is_blocked() {
            self.conditions.now = self.session.poll_timeout().0;
            self.session.handle_timeout(&self.conditions);
        }
    }

    fn finish_check(&mut self) {
        if let Some(check) = self.session.take_password_check() {
            self.session.handle_password(&self.conditions, check.run());
        }
    }

    /// Writes an event down: `begin`, `end` with the envelope and the content, `abandoned`,
    /// `starttls`, `password`, `peer` with its address and port, `close`. How the content was cut
    /// is not written down.
    fn note(&mut self, event: Event, input: &[u8], consumed: usize) {
        match event {
            Event::NeedInput | Event::Blocked => assert!(!self.closed),
            Event::MessageBegin => {
                assert!(self.body.replace(Vec::new()).is_none(), "a body is open");
                self.events.push("begin".into());
                let id = MessageId(self.message_count + 1);
                self.session.write_received_header(id, &self.conditions, &mut Vec::new());
                if let Some(why) = self.next_refusal.take() {
                    self.session.refuse_content(why);
                }
            }
            Event::Content(span) => {
                assert!(!span.is_empty());
                assert!(span.end() <= consumed);
                self.body.as_mut().expect("a body").extend_from_slice(span.of(input));
            }
            Event::Inserted => {
                let body = self.body.as_mut().expect("a body");
                body.extend_from_slice(self.session.inserted());
            }
            Event::StartTls => self.events.push("starttls".into()),
            Event::CheckPassword => self.events.push("password".into()),
            Event::PeerChanged => {
                let Peer { address, port } = self.session.peer();
                self.events.push(format!("peer {address} {port}"));
            }
            Event::MessageEnd => {
                let body = self.body.take().expect("a body");
                self.events.push(self.describe(&body));
                self.message_count += 1;
                let committed = Stored::Committed(MessageId(self.message_count));
                self.waiting.push_back(self.next_result.take().unwrap_or(committed));
                assert_eq!(self.waiting.len(), 1, "two messages wait");
            }
            Event::MessageAbandoned => {
                assert!(self.body.take().is_some(), "no body is open");
                self.events.push("abandoned".into());
            }
            Event::Close => {
                assert!(self.body.is_none(), "a body stayed open");
                if !self.closed {
                    self.events.push("close".into());
                }
                self.closed = true;
            }
        }
    }

    fn describe(&self, body: &[u8]) -> String {
        let envelope = self.session.envelope();
        let facts = self.session.content_facts();
        assert_eq!(facts.length_bytes, body.len() as u64);
        let mut text = format!("end <{}> to", escape(envelope.sender));
        assert!(envelope.recipients.len() > 0);
        for recipient in envelope.recipients {
            text += &format!(" <{}>", escape(recipient.address));
            text += &recipient.notices.map(describe_notices).unwrap_or_default();
        }
        if let Some(bytes) = envelope.declared_bytes {
            text += &format!(" size={bytes}");
        }
        text += match envelope.body_type {
            BodyType::SevenBit => "",
            BodyType::EightBit => " 8bit",
            BodyType::Binary => " binary",
        };
        text += &envelope.wishes.map(|wishes| self.describe_wishes(wishes)).unwrap_or_default();
        text += if facts.dot_lines { " dots" } else { "" };
        text + " " + &escape(body)
    }

    /// Times are given in seconds from now.
    fn describe_wishes(&self, wishes: &Wishes) -> String {
        let mut text = String::new();
        text += if wishes.smtputf8 { " utf8" } else { "" };
        text += if wishes.require_tls { " requiretls" } else { "" };
        text += match wishes.returned_content {
            None => "",
            Some(ReturnedContent::Full) => " ret=full",
            Some(ReturnedContent::Headers) => " ret=headers",
        };
        if let Some(id) = &wishes.envelope_id {
            text += &format!(" envid={}", escape(id));
        }
        if let Some(priority) = wishes.priority {
            text += &format!(" priority={priority}");
        }
        let now_ms = self.conditions.wall.as_unix_ms().cast_signed();
        let ahead_s = |time: WallTime| (time.as_unix_ms().cast_signed() - now_ms) / 1_000;
        if let Some(time) = wishes.hold_until {
            text += &format!(" hold={}", ahead_s(time));
        }
        if let Some(DeliverBy { at, mode, trace }) = wishes.deliver_by {
            text += &format!(" by={} {mode:?}{}", ahead_s(at), if trace { " trace" } else { "" });
        }
        text
    }

    pub(super) fn finish_commit(&mut self) {
        if let Some(result) = self.waiting.pop_front() {
            self.session.handle_stored(&self.conditions, result);
        }
    }

    /// Lets everything happen that can without more input.
    pub(super) fn settle(&mut self) {
        self.finish_commit();
        self.feed(b"");
        self.finish_commit();
        self.feed(b"");
    }

    /// Something other than input: `storage full`, `storage ready`, `memory short`, `memory there`,
    /// `drain`, `commit failed` and `commit full` (of the next message that ends), `refuse failed`
    /// and `refuse full` (of the next that begins), `wait N` (seconds), `timeout`, `eof`,
    /// `tls NAME…` (a handshake is done, with a client's certificate if there are names).
    pub(super) fn happen(&mut self, what: &str) {
        match what.split_whitespace().collect::<Vec<_>>()[..] {
            ["storage", "full"] => self.conditions.storage = Storage::Full,
            ["storage", "ready"] => self.conditions.storage = Storage::Ready,
            ["memory", "short"] => self.conditions.memory_is_short = true,
            ["memory", "there"] => self.conditions.memory_is_short = false,
            ["drain"] => {
                self.conditions.draining = true;
                self.session.handle_drain(&self.conditions);
            }
            ["commit", "failed"] => self.next_result = Some(Stored::Failed),
            ["commit", "full"] => self.next_result = Some(Stored::Full),
            ["refuse", "failed"] => self.next_refusal = Some(ContentRefusal::Failed),
            ["refuse", "full"] => self.next_refusal = Some(ContentRefusal::Full),
            ["wait", seconds] => {
                let span = Duration::from_secs(seconds.parse().expect("seconds"));
                self.conditions.now = self.conditions.now + span;
            }
            ["tls", ref names @ ..] => {
                self.session.handle_tls(&self.conditions, tls_facts(names));
            }
            ["timeout"] => self.session.handle_timeout(&self.conditions),
            ["eof"] => self.session.handle_eof(),
            _ => panic!("cannot happen: {what}"),
        }
        self.feed(b"");
    }

    fn replies(&self) -> String {
        escape(&self.out).replace("\\r\\n", "\n")
    }
}

fn describe_notices(notices: &Notices) -> String {
    let mut text = String::new();
    if let Some(Notify { success, failure, delay }) = notices.notify {
        let conditions = [(success, "success"), (failure, "failure"), (delay, "delay")];
        let given = conditions.iter().filter(|(given, _)| *given).map(|(_, name)| *name);
        text += &format!(" notify={}", given.collect::<Vec<_>>().join(","));
    }
    if let Some(original) = &notices.original_recipient {
        text += &format!(" orcpt={}", escape(original));
    }
    text
}

/// Replays the transcript in every way.
pub(super) fn check(text: &str) {
    let script = Script::parse(text);
    let (replies, events) = expected(&script);
    replay_as_written(&script);
    let length = script.client_bytes().len();
    for commit in [Commit::AtOnce, Commit::Late] {
        for cut in (0..=length).map(Some).chain([None]) {
            let (got_replies, got_events) = replay_cut(&script, commit, cut);
            let how = format!("commit {commit:?}, cut at {cut:?} (none: byte by byte)");
            assert_eq!(got_replies, replies, "{how}");
            assert_eq!(got_events, events, "{how}");
        }
    }
}

fn expected(script: &Script) -> (String, Vec<String>) {
    let mut replies = String::new();
    let mut events = Vec::new();
    for line in &script.lines {
        match line {
            Line::Server(text) => replies += &escape(text.as_bytes()).replace("\\r\\n", "\n"),
            Line::Event(text) => events.push(text.clone()),
            Line::Client(_) | Line::Happens(_) => {}
        }
    }
    (replies, events)
}

/// Line by line: each reply must come with its command.
fn replay_as_written(script: &Script) {
    let mut driver = Driver::new(script, Commit::AtOnce);
    let mut replies = String::new();
    let mut events = Vec::new();
    for (index, line) in script.lines.iter().enumerate() {
        match line {
            Line::Server(text) => replies += &escape(text.as_bytes()).replace("\\r\\n", "\n"),
            Line::Event(text) => events.push(text.clone()),
            Line::Client(_) | Line::Happens(_) => {
                assert_eq!(driver.replies(), replies, "before line {index}: {line:?}");
                assert_eq!(driver.events, events, "before line {index}: {line:?}");
            }
        }
        match line {
            Line::Client(bytes) => driver.feed(bytes),
            Line::Happens(what) => driver.happen(what),
            Line::Server(_) | Line::Event(_) => {}
        }
    }
    assert_eq!(driver.replies(), replies);
    assert_eq!(driver.events, events);
}

/// What the client sends between two happenings in one piece, but cut at offset `cut` of all it
/// sends, or byte by byte.
fn replay_cut(script: &Script, commit: Commit, cut: Option<usize>) -> (String, Vec<String>) {
    let mut driver = Driver::new(script, commit);
    let mut sent = 0;
    let mut piece = Vec::new();
    let flush = |driver: &mut Driver, piece: &mut Vec<u8>| {
        if cut.is_none() {
            piece.chunks(1).for_each(|byte| driver.feed(byte));
        } else if !piece.is_empty() {
            driver.feed(piece);
        }
        piece.clear();
    };
    for line in &script.lines {
        match line {
            Line::Client(bytes) => {
                for byte in bytes {
                    if Some(sent) == cut {
                        flush(&mut driver, &mut piece);
                    }
                    piece.push(*byte);
                    sent += 1;
                }
            }
            Line::Happens(what) => {
                flush(&mut driver, &mut piece);
                driver.settle();
                driver.happen(what);
            }
            Line::Server(_) | Line::Event(_) => {}
        }
    }
    flush(&mut driver, &mut piece);
    driver.settle();
    (driver.replies(), driver.events)
}
