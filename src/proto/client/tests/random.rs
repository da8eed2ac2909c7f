//! Sessions with a peer that follows no script: whatever it answers, however its bytes are cut and
//! wherever it stops, each recipient of each transaction is reported exactly once.

use std::time::Duration;

use proptest::prelude::*;

use super::super::*;
use super::WALL;

/// One move of the peer or of the network.
#[derive(Clone, Debug)]
enum Move {
    /// The right answer to the oldest command that is not answered.
    Comply,
    /// A refusal of it.
    Refuse(&'static str),
    /// Bytes without regard to anything.
    Babble(&'static str),
    Eof,
    Timeout,
    Error,
    /// The caller ends the session.
    Quit,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let refusals = vec![
        "421 bye\r\n",
        "450 4.2.1 later\r\n",
        "452 4.5.3 enough\r\n",
        "550-5.1.1 no\r\n550 5.1.1 never\r\n",
        "552 full\r\n",
        "503 order\r\n",
    ];
    let noise = vec![
        "250 ok\r\n",
        "354 go\r\n",
        "220 hello\r\n",
        "250-more\r\n",
        "250-a\r\n550 b\r\n",
        "what?\r\n",
        "2",
        "\r\n",
        "334 VXNlcm5hbWU6\r\n",
    ];
    let step = prop_oneof![
        40 => Just(Move::Comply),
        8 => prop::sample::select(refusals).prop_map(Move::Refuse),
        1 => prop::sample::select(noise).prop_map(Move::Babble),
        1 => Just(Move::Eof),
        1 => Just(Move::Timeout),
        1 => Just(Move::Error),
        1 => Just(Move::Quit),
    ];
    prop::collection::vec(step, 0..60)
}

/// A transaction as the test plans it.
#[derive(Clone, Debug)]
struct Plan {
    recipients: Vec<&'static [u8]>,
    size_bytes: u64,
    body_type: BodyType,
}

fn plans() -> impl Strategy<Value = Vec<Plan>> {
    let address = prop::sample::select(vec![
        b"a@x".as_slice(),
        b"b@x",
        b"\"c d\"@x",
        b"evil@x>\r\nDATA\r\n",
        b"",
    ]);
    let plan = (
        prop::collection::vec(address, 0..5),
        prop_oneof![9 => Just(10u64), 1 => Just(2_000u64)],
        prop_oneof![
            5 => Just(BodyType::SevenBit),
            1 => Just(BodyType::EightBit),
            4 => Just(BodyType::Binary),
        ],
    )
        .prop_map(|(recipients, size_bytes, body_type)| Plan {
            recipients,
            size_bytes,
            body_type,
        });
    prop::collection::vec(plan, 1..6)
}

/// What the test keeps of the running transaction.
#[derive(Default)]
struct Running {
    reported: Vec<usize>,
    /// RCPT commands that were answered with 2yz.
    accepted: usize,
    contents: usize,
}

/// A caller and a peer around one session.
struct World {
    session: ClientSession,
    now: Now,
    pipelining: bool,
    piece_bytes: usize,
    plans: Vec<Plan>,
    next_plan: usize,
    running: Option<Running>,
    ended: usize,
    closed: bool,
    /// Lines that the peer got and has not answered.
    unanswered: VecDeque<String>,
    /// The peer said something on its own, which may be taken for the answer to a RCPT. Content
    /// behind BDAT then goes to a peer that is out of step, since no 354 comes first.
    babbled: bool,
}

impl World {
    fn new(plans: Vec<Plan>, pipelining: bool, piece_bytes: usize) -> Self {
        let now = Now::from_us(0);
        let settings = Rc::new(ClientSettings::new("me.example"));
        let mut world = Self {
            session: ClientSession::new(settings, now),
            now,
            pipelining,
            piece_bytes,
            plans,
            next_plan: 0,
            running: None,
            ended: 0,
            closed: false,
            unanswered: VecDeque::from(["(connection)".to_owned()]),
            babbled: false,
        };
        world.settle();
        world
    }

    fn make(&mut self, step: &Move) {
        self.now = self.now + Duration::from_millis(10);
        match step {
            Move::Comply => {
                if let Some(line) = self.unanswered.pop_front() {
                    let reply = self.right_answer(&line);
                    self.feed(reply.as_bytes());
                }
            }
            Move::Refuse(reply) => {
                if self.unanswered.pop_front().is_some() {
                    self.feed(reply.as_bytes());
                }
            }
            Move::Babble(bytes) => {
                self.babbled = true;
                self.feed(bytes.as_bytes());
            }
            Move::Eof => self.session.handle_eof(),
            Move::Error => self.session.handle_io_error("broken pipe"),
            Move::Timeout => {
                if let Some((deadline, _)) = self.session.poll_timeout() {
                    self.now = deadline;
                    self.session.handle_timeout(deadline);
                }
            }
            Move::Quit => self.session.quit(self.now),
        }
        self.settle();
    }

    fn right_answer(&mut self, line: &str) -> String {
        let verb = line.split(' ').next().unwrap();
        match verb {
            "(connection)" => "220 mx\r\n".into(),
            "EHLO" if self.pipelining => {
                "250-mx\r\n250-SIZE 1000\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 BINARYMIME\r\n"
                    .into()
            }
            "EHLO" => "250-mx\r\n250-8BITMIME\r\n250-CHUNKING\r\n250 BINARYMIME\r\n".into(),
            "HELO" | "MAIL" | "RSET" | "." | "BDAT" => "250 ok\r\n".into(),
            "RCPT" => {
                if let Some(running) = &mut self.running {
                    running.accepted += 1;
                }
                "250 ok\r\n".into()
            }
            "DATA" => "354 go on\r\n".into(),
            "QUIT" => "221 bye\r\n".into(),
            other => panic!("the session sent {other}"),
        }
    }

    fn feed(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(self.piece_bytes) {
            self.session.handle_input(self.now, piece);
        }
    }

    /// Acts on all events, then hands what the session sends to the peer.
    fn settle(&mut self) {
        while let Some(event) = self.session.poll_event() {
            assert!(!self.closed, "nothing follows the end: {event:?}");
            self.act(event);
        }
        self.take_output();
        assert_eq!(self.closed, self.session.state() == ClientState::Closed);
        assert!(!self.closed || self.session.poll_timeout().is_none());
    }

    fn take_output(&mut self) {
        let mut out = Vec::new();
        assert_eq!(self.session.transmit(&mut out), !out.is_empty());
        let text = String::from_utf8(out).expect("commands are ASCII");
        assert!(text.is_empty() || text.ends_with("\r\n"));
        for line in text.split_terminator("\r\n") {
            assert!(!line.contains(['\r', '\n']) && !line.contains("evil"), "{line}");
            self.unanswered.push_back(line.to_owned());
        }
    }

    fn act(&mut self, event: ClientEvent) {
        match event {
            ClientEvent::Ready => {
                assert!(self.running.is_none(), "ready in the middle of a transaction");
                // The session may be over already; a caller need not look.
                self.begin_next();
            }
            ClientEvent::SendContent(framing) => {
                let running = self.running.as_mut().expect("content without a transaction");
                running.contents += 1;
                assert_eq!(running.contents, 1, "content is sent once");
                assert!(running.accepted > 0 || self.babbled, "content for nobody");
                if self.session.state() == ClientState::Content {
                    self.session.content_progress(self.now);
                    self.take_output();
                    self.session.content_sent(self.now);
                    if framing == Framing::Lines {
                        self.unanswered.push_back(".".to_owned());
                    } else {
                        let size_bytes = self.plans[self.next_plan - 1].size_bytes;
                        let last = self.unanswered.back().expect("a length before the chunk");
                        assert_eq!(*last, format!("BDAT {size_bytes} LAST"));
                    }
                }
            }
            ClientEvent::Recipient { index, result } => {
                let running = self.running.as_mut().expect("a result without a transaction");
                assert!(!running.reported.contains(&index), "{index} was reported twice");
                running.reported.push(index);
                if let Ok(Delivered { reply, .. }) = result {
                    assert_eq!(reply.code / 100, 2);
                    assert_eq!(running.contents, 1, "delivered without content");
                }
            }
            ClientEvent::TransactionEnd => {
                let running = self.running.take().expect("an end without a transaction");
                let planned = self.plans[self.next_plan - 1].recipients.len();
                assert_eq!(running.reported.len(), planned, "a recipient was forgotten");
                self.ended += 1;
            }
            ClientEvent::Closed { .. } => {
                assert!(self.running.is_none(), "closed in the middle of a transaction");
                self.closed = true;
            }
        }
    }

    fn begin_next(&mut self) {
        let Some(plan) = self.plans.get(self.next_plan).cloned() else {
            self.session.quit(self.now);
            return;
        };
        self.next_plan += 1;
        self.running = Some(Running::default());
        let recipients: Vec<Addressee<'_>> =
            plan.recipients.iter().map(|address| Addressee::plain(address)).collect();
        self.session.begin(
            self.now,
            &TransactionRequest {
                sender: b"s@x",
                recipients: &recipients,
                size_bytes: plan.size_bytes,
                body_type: plan.body_type,
                wishes: None,
                wall: WALL,
            },
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_recipient_is_reported_exactly_once(
        plans in plans(),
        steps in moves(),
        pipelining in any::<bool>(),
        piece_bytes in 1usize..40,
    ) {
        let mut world = World::new(plans, pipelining, piece_bytes);
        for step in &steps {
            world.make(step);
        }
        // Whatever state that left: the connection ends, and everything is accounted for.
        world.make(&Move::Eof);
        prop_assert!(world.closed);
        prop_assert_eq!(world.ended, world.next_plan);
        if world.next_plan < world.plans.len() {
            // A caller that did not know begins all the same.
            world.begin_next();
            world.closed = false;
            while let Some(event) = world.session.poll_event() {
                world.act(event);
            }
            prop_assert_eq!(world.ended, world.next_plan);
        }
    }
}

#[test]
fn a_peer_that_complies_gets_everything() {
    let recipients: Vec<&[u8]> = vec![b"a@x", b"b@x"];
    for body_type in [BodyType::SevenBit, BodyType::Binary] {
        let plan = Plan { recipients: recipients.clone(), size_bytes: 10, body_type };
        for pipelining in [false, true] {
            let mut world = World::new(vec![plan.clone(); 3], pipelining, 7);
            for _ in 0..100 {
                world.make(&Move::Comply);
            }
            assert!(world.closed);
            assert_eq!(world.ended, 3);
        }
    }
}
