//! Whole sessions as text. `S:` is what the peer sends, `C:` what the session must send, `E:` an
//! event it must report, in exactly this order. The test's own moves are lines of `!`: `!begin`
//! with the options of [`Case`], `!sent`, `!quit`, `!eof`, `!timeout`, `!error`, `!progress`.
//!
//! Every transcript is replayed with each run of `S:` lines in one piece, byte by byte, and cut at
//! every offset.

mod endings;
mod random;
mod round_trip;
mod transactions;
mod wishes;

use std::time::Duration;

use super::*;
use crate::clock::WallTime;
use crate::message::{DeliverBy, DeliverByMode, Notices, Notify, ReturnedContent, Wishes};

/// The time at which every transaction begins.
const WALL: WallTime = WallTime::from_unix_ms(1_700_000_000_000);

/// How the peer's bytes are cut.
#[derive(Clone, Copy, Debug)]
enum Cut {
    Whole,
    EveryByte,
    /// After this many bytes of the whole session.
    At(usize),
}

struct Player {
    session: ClientSession,
    now: Now,
    cut: Cut,
    fed: usize,
    log: Vec<String>,
}

impl Player {
    fn feed(&mut self, bytes: &[u8]) {
        let pieces: Vec<&[u8]> = match self.cut {
            Cut::Whole => vec![bytes],
            Cut::EveryByte => bytes.chunks(1).collect(),
            Cut::At(at) => match at.checked_sub(self.fed) {
                Some(offset) if offset < bytes.len() => {
                    let (left, right) = bytes.split_at(offset);
                    vec![left, right]
                }
                _ => vec![bytes],
            },
        };
        self.fed += bytes.len();
        for piece in pieces {
            self.session.handle_input(self.now, piece);
            self.drain_events();
        }
    }

    /// Events only: what is to be sent waits until the peer has had its say, as it does when the
    /// peer's bytes come in one piece.
    fn drain_events(&mut self) {
        while let Some(event) = self.session.poll_event() {
            self.log.push(show(&event));
        }
    }

    fn drain_output(&mut self) {
        let mut out = Vec::new();
        self.session.transmit(&mut out);
        let text = String::from_utf8(out).unwrap();
        self.log.extend(text.split_terminator("\r\n").map(|line| format!("C: {line}")));
    }

    fn act(&mut self, action: &str, line: &str) {
        match action {
            "begin" => {
                let case = Case::parse(line);
                let recipients: Vec<Addressee<'_>> = case
                    .recipients
                    .iter()
                    .zip([Some(&case.notices)].into_iter().chain(std::iter::repeat(None)))
                    .map(|(address, notices)| Addressee { address: address.as_bytes(), notices })
                    .collect();
                self.session.begin(
                    self.now,
                    &TransactionRequest {
                        sender: case.sender.as_bytes(),
                        recipients: &recipients,
                        size_bytes: case.size,
                        body_type: case.body_type,
                        wishes: Some(&case.wishes),
                        wall: WALL,
                    },
                );
            }
            "sent" => self.session.content_sent(self.now),
            "progress" => {
                self.now = self.now + Duration::from_secs(100);
                self.session.handle_timeout(self.now);
                self.session.content_progress(self.now);
            }
            "quit" => self.session.quit(self.now),
            "eof" => self.session.handle_eof(),
            "error" => self.session.handle_io_error("connection reset by peer"),
            "timeout" => {
                let (deadline, _) = self.session.poll_timeout().expect("nothing to wait for");
                self.session.handle_timeout(Now::from_us(deadline.as_us() - 1));
                assert!(self.session.poll_event().is_none(), "timed out too early");
                self.now = deadline;
                self.session.handle_timeout(deadline);
            }
            other => panic!("unknown action {other}"),
        }
        self.drain_events();
    }
}

/// `!begin from=a@x to=b@y,c@y size=7 8bit`, where `CRLF` is one and `NOBODY` is the empty path, and
/// the wishes of the message; `notify=` and `orcpt=` are those of the first recipient.
#[derive(Default)]
struct Case {
    sender: String,
    recipients: Vec<String>,
    size: u64,
    body_type: BodyType,
    wishes: Wishes,
    notices: Notices,
}

impl Case {
    fn parse(line: &str) -> Self {
        let mut case = Self {
            sender: "a@x".into(),
            recipients: vec!["b@y".into()],
            size: 100,
            ..Self::default()
        };
        for word in line.split_whitespace().skip(1) {
            match word.split_once('=') {
                Some(("from", sender)) => case.sender = sender.replace("CRLF", "\r\n"),
                Some(("to", list)) => {
                    let list = list.replace("CRLF", "\r\n");
                    case.recipients = list
                        .split(',')
                        .filter(|one| !one.is_empty())
                        .map(|one| one.replace("NOBODY", ""))
                        .collect();
                }
                Some(("size", size)) => case.size = size.parse().unwrap(),
                None if word == "8bit" => case.body_type = BodyType::EightBit,
                None if word == "binary" => case.body_type = BodyType::Binary,
                _ => case.take_wish(word),
            }
        }
        case
    }

    fn take_wish(&mut self, word: &str) {
        let wishes = &mut self.wishes;
        let bytes = |value: &str| Some(value.replace("CRLF", "\r\n").into_bytes().into());
        match word.split_once('=') {
            None if word == "utf8" => wishes.smtputf8 = true,
            None if word == "tls" => wishes.require_tls = true,
            None if word == "held" => wishes.hold_until = Some(WALL),
            Some(("ret", "full")) => wishes.returned_content = Some(ReturnedContent::Full),
            Some(("ret", "hdrs")) => wishes.returned_content = Some(ReturnedContent::Headers),
            Some(("envid", id)) => wishes.envelope_id = bytes(id),
            Some(("priority", priority)) => wishes.priority = Some(priority.parse().unwrap()),
            Some(("by", by)) => {
                let (ms, mode) = by.split_once("ms;").unwrap();
                let at = WALL.as_unix_ms().checked_add_signed(ms.parse().unwrap()).unwrap();
                wishes.deliver_by = Some(DeliverBy {
                    at: WallTime::from_unix_ms(at),
                    mode: if mode.starts_with('R') {
                        DeliverByMode::Return
                    } else {
                        DeliverByMode::Notify
                    },
                    trace: mode.ends_with('T'),
                });
            }
            Some(("notify", list)) => {
                self.notices.notify = Some(Notify {
                    success: list.contains("SUCCESS"),
                    failure: list.contains("FAILURE"),
                    delay: list.contains("DELAY"),
                });
            }
            Some(("orcpt", original)) => self.notices.original_recipient = bytes(original),
            _ => panic!("unknown option {word}"),
        }
    }
}

fn show(event: &ClientEvent) -> String {
    let shown = match event {
        ClientEvent::Ready => "ready".into(),
        ClientEvent::SendContent(Framing::Lines) => "content".into(),
        ClientEvent::SendContent(Framing::Chunk) => "chunk".into(),
        ClientEvent::Recipient { index, result: Ok(Delivered { reply, passed_on }) } => {
            let notices = if passed_on.notices { " with notices" } else { "" };
            let deadline = if passed_on.deadline { "" } else { " without deadline" };
            format!("{index} ok {reply}{notices}{deadline}")
        }
        ClientEvent::Recipient { index, result: Err(failure) } => {
            format!("{index} {}", show_failure(failure))
        }
        ClientEvent::TransactionEnd => "end".into(),
        ClientEvent::Closed { failure: None } => "closed".into(),
        ClientEvent::Closed { failure: Some(failure) } => {
            format!("closed {}", show_failure(failure))
        }
    };
    format!("E: {shown}")
}

fn show_failure(failure: &Failure) -> String {
    let again = if failure.retry_now { " now" } else { "" };
    format!("{:?}/{:?}{again}: {failure}", failure.scope, failure.severity)
}

fn play(settings: &ClientSettings, transcript: &str, cut: Cut) -> Vec<String> {
    let now = Now::from_us(1_000_000);
    let session = ClientSession::new(Rc::new(settings.clone()), now);
    let mut player = Player { session, now, cut, fed: 0, log: Vec::new() };
    let mut pending = Vec::new();
    for line in transcript.lines().map(str::trim_start).filter(|line| !line.is_empty()) {
        if let Some(said) = line.strip_prefix("S:") {
            pending.extend_from_slice(said.strip_prefix(' ').unwrap_or(said).as_bytes());
            pending.extend_from_slice(b"\r\n");
            continue;
        }
        if !pending.is_empty() {
            player.feed(&std::mem::take(&mut pending));
            player.drain_output();
        }
        if let Some(action) = line.strip_prefix('!') {
            player.act(action.split_whitespace().next().unwrap(), line);
            player.drain_output();
        }
    }
    assert!(pending.is_empty(), "a transcript ends with what the session does");
    player.log
}

fn check_with(settings: &ClientSettings, transcript: &str) {
    let expected: Vec<&str> = transcript
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("C:") || line.starts_with("E:"))
        .collect();
    let total: usize = transcript
        .lines()
        .map(str::trim_start)
        .filter_map(|line| line.strip_prefix("S:"))
        .map(|said| said.strip_prefix(' ').unwrap_or(said).len() + 2)
        .sum();
    let cuts = [Cut::Whole, Cut::EveryByte].into_iter().chain((0..=total).map(Cut::At));
    for cut in cuts {
        assert_eq!(play(settings, transcript, cut), expected, "{cut:?}");
    }
}

fn check(transcript: &str) {
    check_with(&ClientSettings::new("me.example"), transcript);
}

const PIPELINING: &str = "
    S: 220 mx.example ESMTP
    C: EHLO me.example
    S: 250-mx.example greets you
    S: 250-PIPELINING
    S: 250-SIZE 1000
    S: 250-8BITMIME
    S: 250 ENHANCEDSTATUSCODES
    E: ready
";

/// A peer with every extension that the client uses.
const CAPABLE: &str = "
    S: 220 mx.example ESMTP
    C: EHLO me.example
    S: 250-mx.example greets you
    S: 250-PIPELINING
    S: 250-SIZE 1000
    S: 250-8BITMIME
    S: 250-ENHANCEDSTATUSCODES
    S: 250-CHUNKING
    S: 250-BINARYMIME
    S: 250-SMTPUTF8
    S: 250-DSN
    S: 250-DELIVERBY 10
    S: 250-FUTURERELEASE 604800 2027-01-01T00:00:00Z
    S: 250 MT-PRIORITY MIXER
    E: ready
";

const LOCK_STEP: &str = "
    S: 220-mx.example
    S: 220 here
    C: EHLO me.example
    S: 250 mx.example
    E: ready
";

fn pipelined(rest: &str) {
    check(&format!("{PIPELINING}{rest}"));
}

fn capable(rest: &str) {
    check(&format!("{CAPABLE}{rest}"));
}

fn lock_step(rest: &str) {
    check(&format!("{LOCK_STEP}{rest}"));
}
