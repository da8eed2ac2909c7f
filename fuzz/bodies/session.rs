//! The session machine: streams cut in every way, and events that come at any time.

use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::sync::Arc;

use ringpost::clock::{Now, WallTime};
use ringpost::credentials::{Credential, User, Users};
use ringpost::ids::MessageId;
use ringpost::network::Network;
use ringpost::proto::fault::{BoundFault, Fault};
use ringpost::proto::server::{
    Access, AuthOffer, Conditions, ContentRefusal, Event, HeaderPolicy, Leniency, Peer, Role,
    ServerLimits, ServerPolicy, ServerSession, Storage, Stored, TlsFacts, TlsOffer,
};
use ringpost::throttle::ThrottleLimits;

use super::pieces::{Lengths, WAYS};
use super::sasl::VERIFIER;

/// Stands between what comes before a handshake of TLS and what comes after it.
const TLS_MARK: &[u8] = b"\xfe\xfe";

/// However a stream is cut, and whether commits and password checks return at once or as late as
/// they can, the session says the same and hands over the same messages.
pub fn run_cuts(input: &[u8]) {
    let (listener, rest) = Listener::of(input);
    let (lengths, stream) = Lengths::of(rest);
    let mut expected = None;
    for way in WAYS {
        for pace in [Pace::AtOnce, Pace::Late] {
            let mut driver = Driver::new(listener, pace);
            for segment in segments(stream) {
                let tls_count = driver.tls_count;
                for piece in lengths.cut(way, segment) {
                    driver.feed(piece);
                    // What comes behind STARTTLS in the same piece is dropped. What comes later
                    // would be garbage to the machine of TLS.
                    if driver.tls_count > tls_count {
                        break;
                    }
                }
                if driver.tls_count == tls_count {
                    break;
                }
            }
            let got = driver.finish();
            let expected = expected.get_or_insert_with(|| got.clone());
            assert_eq!(&got, expected, "{way:?}, {pace:?}");
        }
    }
}

/// Whatever happens, every message that begins ends, every reply is well formed, and the session
/// ends once the client is gone.
pub fn run_events(input: &[u8]) {
    let (listener, mut rest) = Listener::of(input);
    let mut driver = Driver::new(listener, Pace::AsTold);
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
            0x0e => driver.finish_check(),
            0x0f => driver.session.refuse_password_check(&driver.conditions),
            0x10 => driver.finish_handshake(),
            0x11 => driver.refuses_peers = true,
            0x12 => driver.wait_us(1_000_000),
            _ => {
                // One line, or what is left.
                let at = rest.iter().position(|&byte| byte == b'\n');
                let (line, behind) = rest.split_at(at.map_or(rest.len(), |at| at + 1));
                driver.finish_handshake();
                driver.feed(line);
                rest = behind;
            }
        }
        driver.feed(b"");
    }
    let (replies, _) = driver.finish();
    for line in replies.split_inclusive(|&byte| byte == b'\n') {
        let text = line.strip_suffix(b"\r\n").expect("a reply ends in CRLF");
        assert!(text.iter().all(|byte| (b' '..=b'~').contains(byte)), "a reply with control bytes");
        assert!(text.len() + 2 <= 512, "RFC 5321 §4.5.3.1.5");
        assert!(text.get(..3).is_some_and(|code| code.iter().all(u8::is_ascii_digit)));
    }
}

fn segments(stream: &[u8]) -> Vec<&[u8]> {
    let mut segments = Vec::new();
    let mut rest = stream;
    while let Some(at) = rest.windows(TLS_MARK.len()).position(|pair| pair == TLS_MARK) {
        segments.push(&rest[..at]);
        rest = &rest[at + TLS_MARK.len()..];
    }
    segments.push(rest);
    segments
}

/// The listener that the first two bytes of an input ask for.
#[derive(Clone, Copy)]
struct Listener([u8; 2]);

impl Listener {
    fn of(input: &[u8]) -> (Self, &[u8]) {
        match input.split_first_chunk() {
            Some((&choice, rest)) => (Self(choice), rest),
            None => (Self([1, 0]), &[]),
        }
    }

    fn has(self, byte: usize, bit: u8) -> bool {
        self.0[byte] & 1 << bit != 0
    }

    fn may_relay(self) -> bool {
        self.has(0, 0)
    }

    fn is_submission(self) -> bool {
        self.has(0, 1)
    }

    fn has_xclient(self) -> bool {
        self.has(1, 4)
    }

    fn passwords_are_right(self) -> bool {
        self.has(1, 5)
    }

    fn tls(self) -> TlsOffer {
        match self.0[1] & 3 {
            0 => TlsOffer::None,
            1 => TlsOffer::StartTls { required: false },
            2 => TlsOffer::StartTls { required: true },
            _ => TlsOffer::Implicit,
        }
    }

    fn auth(self) -> AuthOffer {
        match self.0[1] >> 2 & 3 {
            0 => AuthOffer::Off,
            1 => AuthOffer::Optional { without_tls: false },
            2 => AuthOffer::Optional { without_tls: true },
            _ => AuthOffer::Required { without_tls: true },
        }
    }

    /// Bounds that a short input can meet.
    fn limits() -> ServerLimits {
        ServerLimits {
            errors_max: 9,
            messages_max: 4,
            recipients_max: 3,
            message_bytes_max: 200,
            text_line_bytes_max: 80,
            hop_count_max: 1,
            header_bytes_max: 150,
            header_fields_max: 6,
            ..ServerLimits::default()
        }
    }

    fn policy(self) -> ServerPolicy {
        let plain = ServerPolicy::plain("mx.example.net", Self::limits());
        let all: Vec<Network> = plain.access.relay_from.clone();
        let domains = ["d.example".parse(), "*.e.example".parse()];
        let user = User {
            name: "user".into(),
            credential: Arc::new(Credential::parse(VERIFIER).expect("a verifier")),
            senders: vec!["b.example".parse().expect("a pattern")],
        };
        let rate = u32::from(self.has(1, 6)) * 2;
        ServerPolicy {
            role: if self.is_submission() { Role::Submission } else { Role::Transfer },
            tls: self.tls(),
            auth: self.auth(),
            users: Arc::new(Users::new([user])),
            access: Access {
                relay_from: if self.may_relay() { all.clone() } else { Vec::new() },
                xclient_from: if self.has_xclient() { all.clone() } else { Vec::new() },
                deny_from: if self.has(1, 7) { all } else { Vec::new() },
                accept_for: domains.into_iter().map(|one| one.expect("a pattern")).collect(),
                ..Access::default()
            },
            leniency: Leniency {
                space_before_path: self.has(0, 2),
                missing_brackets: self.has(0, 2),
                bare_lf: self.is_submission() && self.has(0, 4),
            },
            header: HeaderPolicy {
                add_missing: self.is_submission(),
                remove_own_results: self.has(0, 3),
            },
            throttle_limits: ThrottleLimits {
                address_messages_per_minute_max: rate,
                address_recipients_per_minute_max: rate * 2,
                user_messages_per_minute_max: rate,
                auth_failures_per_minute_max: rate,
                ..ThrottleLimits::default()
            },
            ..plain
        }
    }
}

/// When commits and password checks return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    AtOnce,
    /// When the session cannot go on without.
    Late,
    /// When the input says so, or the client is gone.
    AsTold,
}

/// Does what a shard does, and writes down what happens.
struct Driver {
    session: ServerSession,
    listener: Listener,
    conditions: Conditions,
    pace: Pace,
    /// Input that the session did not look at yet.
    input: Vec<u8>,
    replies: Vec<u8>,
    messages: Vec<String>,
    body: Option<Vec<u8>>,
    waiting: Option<Stored>,
    next_result: Option<Stored>,
    next_refusal: Option<ContentRefusal>,
    refuses_peers: bool,
    tls_count: u32,
    is_closed: bool,
}

impl Driver {
    fn new(listener: Listener, pace: Pace) -> Self {
        let conditions = Conditions {
            now: Now::from_us(1_000_000_000),
            wall: WallTime::from_unix_ms(1_795_492_893_000),
            storage: Storage::Ready,
            memory_is_short: false,
            draining: false,
        };
        let peer = Peer { address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)), port: 40_000 };
        let session = ServerSession::new(Rc::new(listener.policy()), peer, 1, &conditions);
        let mut driver = Self {
            session,
            listener,
            conditions,
            pace,
            input: Vec::new(),
            replies: Vec::new(),
            messages: Vec::new(),
            body: None,
            waiting: None,
            next_result: None,
            next_refusal: None,
            refuses_peers: false,
            tls_count: 0,
            is_closed: false,
        };
        if pace != Pace::AsTold {
            driver.finish_handshake();
        }
        driver.feed(b"");
        driver
    }

    /// Gives `input` to the session and does what it says, until it wants more or cannot go on.
    fn feed(&mut self, input: &[u8]) {
        self.input.extend_from_slice(input);
        while !self.session.tls_is_wanted() {
            let step = self.session.advance(&self.conditions, &self.input);
            let seen: Vec<u8> = self.input.drain(..step.consumed).collect();
            let goes_on = self.handle(step.event, &seen);
            self.session.transmit(&mut self.replies);
            if !goes_on {
                return;
            }
        }
        // Before the handshake there is nothing but what the machine of TLS reads.
        self.input.clear();
        self.session.transmit(&mut self.replies);
    }

    /// Whether the session goes on.
    fn handle(&mut self, event: Event, seen: &[u8]) -> bool {
        match event {
            Event::NeedInput => {
                assert!(self.input.is_empty(), "it needs input and left some");
                assert!(!self.is_closed, "it was closed and goes on");
                return false;
            }
            Event::Blocked => {
                assert!(self.session.is_blocked());
                self.session.transmit(&mut self.replies);
                if self.pace == Pace::AsTold {
                    return !self.session.is_blocked();
                }
                self.unblock();
                assert!(!self.session.is_blocked(), "nothing unblocks it");
            }
            Event::Close => {
                assert!(self.input.is_empty(), "it closes and left input");
                assert!(self.body.is_none(), "a body stays open");
                self.is_closed = true;
                return false;
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
                let body = self.body.as_mut().expect("a body");
                body.extend_from_slice(self.session.inserted());
            }
            Event::MessageEnd => self.end_message(),
            Event::MessageAbandoned => {
                assert!(self.body.take().is_some(), "no body is open");
                self.messages.push("abandoned".into());
            }
            Event::StartTls => {
                assert!(self.session.tls_is_wanted());
                assert!(self.input.is_empty(), "input from before the handshake is left");
                self.messages.push("TLS".into());
                if self.pace != Pace::AsTold {
                    self.finish_handshake();
                }
            }
            Event::CheckPassword => {
                self.messages.push("password".into());
                if self.pace == Pace::AtOnce {
                    self.finish_check();
                }
            }
            Event::PeerChanged => {
                self.messages.push(format!("{:?}", self.session.peer()));
                if self.refuses_peers {
                    let fault = Fault::Bound(BoundFault::ListenerConnections);
                    self.session.refuse_peer(&self.conditions, fault);
                }
            }
        }
        true
    }

    fn end_message(&mut self) {
        let body = self.body.take().expect("a body");
        let facts = self.session.content_facts();
        assert_eq!(facts.length_bytes, body.len() as u64);
        let envelope = self.session.envelope();
        let sender = envelope.sender.escape_ascii().to_string();
        let recipients: Vec<String> =
            envelope.recipients.map(|one| one.address.escape_ascii().to_string()).collect();
        assert!(!recipients.is_empty() && recipients.len() <= Listener::limits().recipients_max);
        self.check_trust(&sender, &recipients);
        let text = format!("<{sender}> to {recipients:?} {facts:?} {}", body.escape_ascii());
        self.messages.push(text);
        let committed = Stored::Committed(MessageId(self.messages.len() as u64));
        let result = self.next_result.take().unwrap_or(committed);
        assert!(self.waiting.replace(result).is_none(), "two messages wait");
        if self.pace == Pace::AtOnce {
            self.finish_commit();
        }
    }

    /// A stranger sends to the domains that mail is taken for, and a user as whom they may.
    fn check_trust(&self, sender: &str, recipients: &[String]) {
        let user = self.session.user();
        let is_own = |domain: &str| {
            let domain = domain.to_ascii_lowercase();
            domain == "d.example" || domain.ends_with(".e.example")
        };
        if user.is_none() && !self.listener.may_relay() {
            for recipient in recipients {
                let domain = recipient.rsplit_once('@').map(|(_, domain)| domain);
                assert!(domain.is_none_or(is_own), "an open relay to {recipient}");
            }
        }
        if user == Some(b"user") {
            let domain = sender.rsplit_once('@').map(|(_, domain)| domain.to_ascii_lowercase());
            let is_right = sender.is_empty() || domain.is_some_and(|one| one == "b.example");
            assert!(is_right, "user sends as {sender}");
        }
        if let AuthOffer::Required { .. } = self.listener.auth() {
            assert!(user.is_some(), "a message of nobody");
        }
        if let TlsOffer::StartTls { required: true } | TlsOffer::Implicit = self.listener.tls() {
            assert!(self.tls_count > 0, "a message without TLS");
        }
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
            self.wait_for_deadline();
        }
    }

    fn finish_handshake(&mut self) {
        if self.session.tls_is_wanted() {
            self.session.transmit(&mut self.replies);
            let facts = TlsFacts { version: "TLSv1.3", ..TlsFacts::default() };
            self.session.handle_tls(&self.conditions, facts);
            self.tls_count += 1;
        }
    }

    /// Hashing is not what is fuzzed.
    fn finish_check(&mut self) {
        if self.session.take_password_check().is_some() {
            self.session.handle_password(&self.conditions, self.listener.passwords_are_right());
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
        let (next, what) = self.session.poll_timeout();
        assert!(next > self.conditions.now || self.session.wants_close(), "{what} is due again");
    }

    fn drain(&mut self) {
        self.conditions.draining = true;
        self.session.handle_drain(&self.conditions);
    }

    /// The client closes. What it was told, and what it sent.
    fn finish(mut self) -> (Vec<u8>, Vec<String>) {
        self.feed(b"");
        for _ in 0..8 {
            self.unblock();
            self.finish_commit();
            self.feed(b"");
        }
        assert!(self.input.is_empty(), "input is left");
        self.session.handle_eof();
        for _ in 0..2 {
            self.feed(b"");
            self.finish_check();
            self.finish_commit();
        }
        self.feed(b"");
        assert!(self.session.wants_close(), "it does not end");
        assert!(self.body.is_none(), "a message neither ended nor was given up");
        (self.replies, self.messages)
    }
}
