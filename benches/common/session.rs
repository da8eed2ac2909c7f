//! The server's session machine with what a shard does around it, the client's with a peer that
//! takes everything, and the decoder by itself.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;

use ringpost::clock::{Now, WallTime};
use ringpost::ids::MessageId;
use ringpost::limits::{
    HEADER_BYTES_MAX, HEADER_FIELDS_MAX, HOP_COUNT_MAX, MESSAGE_BYTES_MAX, RECEIVE_BUFFER_BYTES,
    TEXT_LINE_BYTES_MAX,
};
use ringpost::message::BodyType;
use ringpost::proto::client::{
    Addressee, ClientEvent, ClientSession, ClientSettings, TransactionRequest,
};
use ringpost::proto::data::{DataDecoder, DataLimits, DataRules, Framing, Piece};
use ringpost::proto::server::{
    Conditions, Event, Peer, ServerLimits, ServerPolicy, ServerSession, Storage, Stored,
};

const WALL: WallTime = WallTime::from_unix_ms(1_795_492_893_000);

const EHLO: &[u8] = b"EHLO client.example\r\n";
/// What begins a transaction, a command each.
pub(crate) const ENVELOPE: [&[u8]; 3] = [
    b"MAIL FROM:<bounces-0123456789@client.example> BODY=8BITMIME\r\n",
    b"RCPT TO:<recipient@destination.example>\r\n",
    b"DATA\r\n",
];

/// A session with a client that has said EHLO, and what the server does around it.
pub(crate) struct Server {
    session: ServerSession,
    conditions: Conditions,
    /// What the spool would have been given.
    pub(crate) body: Vec<u8>,
    pub(crate) replies: Vec<u8>,
}

impl Server {
    pub(crate) fn new() -> Self {
        let limits = ServerLimits { messages_max: u32::MAX, ..ServerLimits::default() };
        let policy = Rc::new(ServerPolicy::plain("mx.example.net", limits));
        let peer = Peer { address: IpAddr::V4(Ipv4Addr::LOCALHOST), port: 40_000 };
        let conditions = Conditions {
            now: Now::from_us(1),
            wall: WALL,
            storage: Storage::Ready,
            memory_is_short: false,
            draining: false,
        };
        let session = ServerSession::new(policy, peer, 1, &conditions);
        let (body, replies) = (Vec::new(), Vec::new());
        let mut server = Self { session, conditions, body, replies };
        server.receive(EHLO);
        server
    }

    /// Takes `input` as it comes out of the receive buffers, and makes the replies.
    fn receive(&mut self, input: &[u8]) {
        for piece in input.chunks(RECEIVE_BUFFER_BYTES as usize) {
            self.receive_piece(piece);
        }
        self.replies.clear();
        self.session.transmit(&mut self.replies);
    }

    fn receive_piece(&mut self, piece: &[u8]) {
        const ID: MessageId = MessageId(0x0123_4567_89ab_cdef);
        let Self { session, conditions, body, .. } = self;
        let mut rest = piece;
        loop {
            let step = session.advance(conditions, rest);
            match step.event {
                Event::NeedInput => break,
                Event::MessageBegin => {
                    body.clear();
                    session.write_received_header(ID, conditions, body);
                }
                Event::Content(span) => body.extend_from_slice(span.of(rest)),
                Event::Inserted => body.extend_from_slice(session.inserted()),
                Event::MessageEnd => {
                    let envelope = session.envelope();
                    black_box(envelope.sender);
                    envelope.recipients.for_each(|recipient| {
                        black_box(recipient.address);
                    });
                    session.handle_stored(conditions, Stored::Committed(ID));
                }
                Event::MessageAbandoned
                | Event::StartTls
                | Event::CheckPassword
                | Event::PeerChanged
                | Event::Blocked
                | Event::Close => panic!("the client did nothing wrong: {:?}", step.event),
            }
            rest = &rest[step.consumed..];
        }
    }

    /// What `inputs` say, one after the other.
    pub(crate) fn transaction(&mut self, inputs: &[&[u8]]) {
        for input in inputs {
            self.receive(input);
            black_box(&self.replies);
        }
        black_box(&self.body);
    }
}

/// `content` as a client sends it: with dots added (RFC 5321 §4.5.2) and the end of data.
pub(crate) fn wire(content: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    for line in content.split_inclusive(|&byte| byte == b'\n') {
        if line.first() == Some(&b'.') {
            wire.push(b'.');
        }
        wire.extend_from_slice(line);
    }
    wire.extend_from_slice(b".\r\n");
    wire
}

/// A session with a next hop that offers PIPELINING and takes every message.
pub(crate) struct Client {
    session: ClientSession,
    out: Vec<u8>,
    /// Messages that the next hop took.
    pub(crate) delivered: u64,
}

impl Client {
    pub(crate) fn new() -> Self {
        let now = Now::from_us(1);
        let session = ClientSession::new(Rc::new(ClientSettings::new("client.example")), now);
        let mut client = Self { session, out: Vec::new(), delivered: 0 };
        client.hear(b"220 next.example ESMTP\r\n");
        client.hear(b"250-next.example\r\n250-PIPELINING\r\n250-SIZE 0\r\n250 8BITMIME\r\n");
        assert!(client.session.is_idle(), "the next hop said all that it must");
        client
    }

    fn hear(&mut self, replies: &[u8]) {
        self.session.handle_input(Now::from_us(2), replies);
        self.speak();
        while let Some(event) = self.session.poll_event() {
            if let ClientEvent::Recipient { result, .. } = event {
                assert!(result.is_ok(), "the next hop takes everything");
                self.delivered += 1;
            }
        }
    }

    fn speak(&mut self) {
        self.out.clear();
        self.session.transmit(&mut self.out);
        black_box(&self.out);
    }

    /// One message to one recipient, without its content, which the machine never sees.
    pub(crate) fn transaction(&mut self) {
        let recipients = [Addressee::plain(b"recipient@destination.example")];
        let request = TransactionRequest {
            sender: b"bounces-0123456789@client.example",
            recipients: &recipients,
            size_bytes: 2_048,
            body_type: BodyType::SevenBit,
            wishes: None,
            wall: WALL,
        };
        self.session.begin(Now::from_us(3), &request);
        self.speak();
        self.hear(b"250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 Go on\r\n");
        self.session.content_sent(Now::from_us(4));
        self.hear(b"250 2.0.0 Queued\r\n");
    }
}

const RULES: DataRules<'_> = DataRules {
    limits: DataLimits {
        message_bytes_max: MESSAGE_BYTES_MAX,
        text_line_bytes_max: TEXT_LINE_BYTES_MAX,
        hop_count_max: HOP_COUNT_MAX,
        header_bytes_max: HEADER_BYTES_MAX,
        header_fields_max: HEADER_FIELDS_MAX,
    },
    framing: Framing::Dots,
    mends_bare_lf: false,
    own_name: None,
    stamp: None,
};

/// What a content comes to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) wire_bytes: usize,
    pub(crate) is_refused: bool,
    pub(crate) dot_lines: bool,
    pub(crate) hop_count: u32,
}

/// Takes the data at the start of `wire` with the server's decoder, and appends it to `content`.
pub(crate) fn decode(wire: &[u8], content: &mut Vec<u8>) -> Facts {
    let mut decoder = DataDecoder::new();
    let mut at = 0;
    loop {
        let rest = &wire[at..];
        let decoded = decoder.decode(&RULES, rest);
        at += decoded.consumed;
        match decoded.piece {
            Piece::Content(span) => content.extend_from_slice(span.of(rest)),
            Piece::End => break,
            Piece::NeedInput | Piece::Inserted | Piece::Refused => {
                panic!("the data is whole and well, and nothing is to be filtered")
            }
        }
    }
    Facts {
        wire_bytes: at,
        is_refused: decoder.fault().is_some(),
        dot_lines: decoder.has_dot_lines(),
        hop_count: decoder.hop_count(),
    }
}
