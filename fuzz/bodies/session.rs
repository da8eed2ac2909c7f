//! The session machine: streams cut in every way, and events that come at any time.

use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;

use ringpost::clock::{Now, WallTime};
use ringpost::ids::MessageId;
use ringpost::proto::server::{
    Access, Conditions, ContentRefusal, Event, HeaderPolicy, Leniency, Peer, Role, ServerLimits,
    ServerPolicy, ServerSession, Storage, Stored,
};

use super::pieces::ways_of_cutting;

/// Bounds that a short input can meet.
fn limits() -> ServerLimits {
    ServerLimits {
        errors_max: 9,
        messages_max: 4,
        recipients_max: 3,
        message_bytes_max: 200,
        text_line_bytes_max: 80,
        hop_count_max: 1,
        ..ServerLimits::default()
    }
}

/// The listener that the first byte of an input asks for.
fn policy(choice: u8) -> ServerPolicy {
    let is = |bit: u8| choice & 1 << bit != 0;
    let plain = ServerPolicy::plain("mx.example.net", limits());
    let relay_from = if is(0) { plain.access.relay_from.clone() } else { Vec::new() };
    let accept_for = ["d.example".parse(), "*.e.example".parse()].into_iter().flatten().collect();
    ServerPolicy {
        role: if is(1) { Role::Submission } else { Role::Transfer },
        access: Access { relay_from, accept_for, ..plain.access.clone() },
        leniency: Leniency {
            space_before_path: is(2),
            missing_brackets: is(2),
            bare_lf: is(1) && is(2),
        },
        header: HeaderPolicy { add_missing: is(1), remove_own_results: is(3) },
        ..plain
    }
}

/// However a stream is cut, and whether commits return at once or as late as they can, the session
/// says the same and hands over the same messages.
pub fn run_cuts(input: &[u8]) {
    let (&choice, rest) = input.split_first().unwrap_or((&1, &[]));
    let mut expected = None;
    for pieces in ways_of_cutting(rest) {
        for commits_at_once in [true, false] {
            let mut driver = Driver::new(policy(choice), commits_at_once);
            for piece in &pieces {
                driver.feed(piece);
            }
            let got = driver.finish();
            let expected = expected.get_or_insert_with(|| got.clone());
            assert_eq!(&got, expected, "{} pieces, at once: {commits_at_once}", pieces.len());
        }
    }
}

/// Whatever happens, every message that begins ends, every reply is well formed, and the session
/// ends once the client is gone.
pub fn run_events(input: &[u8]) {
    let (&choice, mut rest) = input.split_first().unwrap_or((&1, &[]));
    let mut driver = Driver::new(policy(choice), choice & 1 << 7 != 0);
    while let Some((&operation, behind)) = rest.split_first() {
        rest = behind;
        match operation {
            0x00 => driver.conditions.storage = Storage::Full,
            0x01 => driver.conditions.storage = Storage::Ready,
            0x02 => driver.conditions.memory_is_short = true,
            0x03 => driver.conditions.memory_is_short = false,
            0x04 => driver.next_result = Some(Stored::Failed),
            0x05 => driver.next_result = Some(Stored::Full),
            0x06 => driver.next_refusal = Some(ContentRefusal::Full),
            0x07 => driver.next_refusal = Some(ContentRefusal::Failed),
            0x08 => driver.finish_commit(),
            0x09 => driver.wait_us(200_000_000),
            0x0b => driver.wait_for_deadline(),
            0x0c => driver.drain(),
            _ => {
                // One line, or what is left.
                let at = rest.iter().position(|&byte| byte == b'\n');
                let (line, behind) = rest.split_at(at.map_or(rest.len(), |at| at + 1));
                driver.feed(line);
                rest = behind;
            }
        }
        driver.feed(b"");
    }
    let (replies, _) = driver.finish();
    assert!(replies.ends_with(b"\r\n"));
    for line in replies.strip_suffix(b"\r\n").unwrap_or_default().split(|&byte| byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        assert!(line.iter().all(|byte| (b' '..=b'~').contains(byte)), "a reply with control bytes");
        assert!(line.len() + 2 <= 512, "RFC 5321 §4.5.3.1.5");
        assert!(line.get(..3).is_some_and(|code| code.iter().all(u8::is_ascii_digit)));
    }
}

/// Does what a shard does, and writes down what happens.
struct Driver {
    session: ServerSession,
    conditions: Conditions,
    replies: Vec<u8>,
    messages: Vec<String>,
    commits_at_once: bool,
    body: Option<Vec<u8>>,
    waiting: Option<Stored>,
    next_result: Option<Stored>,
    next_refusal: Option<ContentRefusal>,
    is_closed: bool,
}

impl Driver {
    fn new(policy: ServerPolicy, commits_at_once: bool) -> Self {
        let conditions = Conditions {
            now: Now::from_us(1_000_000_000),
            wall: WallTime::from_unix_ms(1_795_492_893_000),
            storage: Storage::Ready,
            memory_is_short: false,
            draining: false,
        };
        let peer = Peer { address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)), port: 40_000 };
        let session = ServerSession::new(Rc::new(policy), peer, 1, &conditions);
        let mut driver = Self {
            session,
            conditions,
            replies: Vec::new(),
            messages: Vec::new(),
            commits_at_once,
            body: None,
            waiting: None,
            next_result: None,
            next_refusal: None,
            is_closed: false,
        };
        driver.feed(b"");
        driver
    }

    /// Gives `input` to the session and does what it says, until it wants more.
    fn feed(&mut self, input: &[u8]) {
        let mut rest = input;
        loop {
            let step = self.session.advance(&self.conditions, rest);
            let (seen, behind) = rest.split_at(step.consumed);
            rest = behind;
            match step.event {
                Event::NeedInput => {
                    assert!(rest.is_empty(), "it needs input and left some");
                    assert!(!self.is_closed, "it was closed and goes on");
                    break;
                }
                Event::Blocked => {
                    assert!(self.session.is_blocked());
                    self.session.transmit(&mut self.replies);
                    if self.session.is_blocked() {
                        self.finish_commit();
                    }
                    assert!(!self.session.is_blocked(), "nothing unblocks it");
                }
                Event::Close => {
                    assert!(rest.is_empty(), "it closes and left input");
                    assert!(self.body.is_none(), "a body stays open");
                    self.is_closed = true;
                    break;
                }
                Event::MessageBegin => {
                    assert!(self.body.replace(Vec::new()).is_none(), "a body is open");
                    if let Some(why) = self.next_refusal.take() {
                        self.session.refuse_content(why);
                    }
                }
                Event::Content(span) => {
                    assert!(!span.is_empty());
                    self.body.as_mut().expect("a body").extend_from_slice(span.of(seen));
                }
                Event::Inserted => {
                    let inserted = self.session.inserted();
                    self.body.as_mut().expect("a body").extend_from_slice(inserted);
                }
                Event::StartTls | Event::CheckPassword | Event::PeerChanged => {
                    unreachable!("a plain listener offers no TLS, no AUTH and no XCLIENT")
                }
                Event::MessageEnd => self.end_message(),
                Event::MessageAbandoned => {
                    assert!(self.body.take().is_some(), "no body is open");
                    self.messages.push("abandoned".into());
                }
            }
        }
        self.session.transmit(&mut self.replies);
    }

    fn end_message(&mut self) {
        let body = self.body.take().expect("a body");
        let facts = self.session.content_facts();
        assert_eq!(facts.length_bytes, body.len() as u64);
        let envelope = self.session.envelope();
        let sender = envelope.sender.escape_ascii();
        let recipients: Vec<String> =
            envelope.recipients.map(|one| one.address.escape_ascii().to_string()).collect();
        assert!(!recipients.is_empty() && recipients.len() <= limits().recipients_max);
        let text = format!("<{sender}> to {recipients:?} {facts:?} {}", body.escape_ascii());
        self.messages.push(text);
        let committed = Stored::Committed(MessageId(self.messages.len() as u64));
        let result = self.next_result.take().unwrap_or(committed);
        assert!(self.waiting.replace(result).is_none(), "two messages wait");
        if self.commits_at_once {
            self.finish_commit();
        }
    }

    fn finish_commit(&mut self) {
        if let Some(result) = self.waiting.take() {
            self.session.handle_stored(&self.conditions, result);
        }
    }

    fn wait_us(&mut self, us: u64) {
        self.conditions.now = Now::from_us(self.conditions.now.as_us() + us);
        self.session.handle_timeout(&self.conditions);
    }

    fn wait_for_deadline(&mut self) {
        let (deadline, _) = self.session.poll_timeout();
        self.conditions.now = self.conditions.now.max(deadline);
        self.session.handle_timeout(&self.conditions);
        assert!(self.session.poll_timeout().0 > self.conditions.now || self.session.wants_close());
    }

    fn drain(&mut self) {
        self.conditions.draining = true;
        self.session.handle_drain(&self.conditions);
    }

    /// The client closes. What it was told, and what it sent.
    fn finish(mut self) -> (Vec<u8>, Vec<String>) {
        self.finish_commit();
        self.feed(b"");
        self.session.handle_eof();
        for _ in 0..2 {
            self.feed(b"");
            self.finish_commit();
        }
        self.feed(b"");
        assert!(self.session.wants_close(), "it does not end");
        assert!(self.body.is_none(), "a message neither ended nor was given up");
        (self.replies, self.messages)
    }
}
