//! What the protocol costs without a socket: whole transactions through the server's session
//! machine, and the parts that look at every byte or at every command.

#![allow(clippy::expect_used, clippy::panic)] // It stops at what should not be.

#[path = "common/allocator.rs"]
mod allocator;
#[path = "common/content.rs"]
mod content;

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

use ringpost::clock::{Now, WallTime};
use ringpost::ids::MessageId;
use ringpost::limits::{
    COMMAND_LINE_BYTES_MAX, HEADER_BYTES_MAX, HEADER_FIELDS_MAX, HOP_COUNT_MAX, MESSAGE_BYTES_MAX,
    RECEIVE_BUFFER_BYTES, TEXT_LINE_BYTES_MAX,
};
use ringpost::proto::command::{self, Grammar};
use ringpost::proto::data::{DataDecoder, DataLimits, DataRules, Framing, Piece};
use ringpost::proto::line::{Found, LineAssembler};
use ringpost::proto::server::{
    Conditions, Event, Peer, ServerLimits, ServerPolicy, ServerSession, Storage, Stored,
};

use content::content;

const SIZES: [(&str, usize); 2] = [("2 KiB", 2 << 10), ("100 KiB", 100 << 10)];

const EHLO: &[u8] = b"EHLO client.example\r\n";
const ENVELOPE: [&[u8]; 3] = [
    b"MAIL FROM:<bounces-0123456789@client.example> BODY=8BITMIME\r\n",
    b"RCPT TO:<recipient@destination.example>\r\n",
    b"DATA\r\n",
];

// Transactions.

/// A session with a client that has said EHLO, and what the server does around it.
struct Server {
    session: ServerSession,
    conditions: Conditions,
    /// What the spool would have been given.
    body: Vec<u8>,
    replies: Vec<u8>,
}

impl Server {
    fn new() -> Self {
        let limits = ServerLimits { messages_max: u32::MAX, ..ServerLimits::default() };
        let policy = Rc::new(ServerPolicy::plain("mx.example.net", limits));
        let peer = Peer { address: IpAddr::V4(Ipv4Addr::LOCALHOST), port: 40_000 };
        let conditions = Conditions {
            now: Now::from_us(1),
            wall: WallTime::from_unix_ms(1_795_492_893_000),
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

    fn transaction(&mut self, inputs: &[&[u8]]) {
        for input in inputs {
            self.receive(input);
            black_box(&self.replies);
        }
        black_box(&self.body);
    }
}

/// `content` as a client sends it: with dots added (RFC 5321 §4.5.2) and the end of data.
fn wire(content: &[u8]) -> Vec<u8> {
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

fn transactions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("transaction");
    for (size, length) in SIZES {
        let content = content(length, 0);
        let data = wire(&content);
        let envelope = ENVELOPE.concat();
        let pipelined = [&envelope, &data[..]];
        let [mail, rcpt, begin] = ENVELOPE;
        let step_by_step = [mail, rcpt, begin, &data[..]];

        let mut server = Server::new();
        server.transaction(&pipelined);
        assert!(server.replies.starts_with(b"250 2.0.0"), "the message was not taken");
        assert!(server.body.ends_with(&content), "the content changed");

        group.throughput(Throughput::ElementsAndBytes { elements: 1, bytes: length as u64 });
        group.bench_function(BenchmarkId::new("pipelined", size), |bencher| {
            bencher.iter(|| server.transaction(&pipelined));
        });
        group.bench_function(BenchmarkId::new("a command at a time", size), |bencher| {
            bencher.iter(|| server.transaction(&step_by_step));
        });
        let mut copy = Vec::with_capacity(data.len());
        group.bench_function(BenchmarkId::new("floor: one copy", size), |bencher| {
            bencher.iter(|| {
                copy.clear();
                copy.extend_from_slice(black_box(&data));
                black_box(&copy);
            });
        });
    }
    group.finish();
}

// Content.

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
struct Facts {
    wire_bytes: usize,
    is_refused: bool,
    dot_lines: bool,
    hop_count: u32,
}

/// Takes the data at the start of `wire` with the server's decoder, and appends it to `content`.
fn decode(wire: &[u8], content: &mut Vec<u8>) -> Facts {
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

/// The same by looking at one byte after the other.
fn decode_naively(wire: &[u8], content: &mut Vec<u8>) -> Facts {
    let mut facts = Facts::default();
    let (mut line_start, mut is_dotted, mut in_header) = (content.len(), false, true);
    for &byte in wire {
        facts.wire_bytes += 1;
        if content.len() == line_start && byte == b'.' && !is_dotted {
            is_dotted = true;
            continue;
        }
        content.push(byte);
        let line = &content[line_start..];
        let follows_cr = line.len() > 1 && line[line.len() - 2] == b'\r';
        if byte != b'\n' || !follows_cr {
            facts.is_refused |= byte == b'\n' || follows_cr;
            continue;
        }
        let is_empty = line.len() == 2;
        if is_dotted && is_empty {
            content.truncate(line_start);
            break;
        }
        in_header &= !is_empty;
        let is_trace = line.len() > 9 && line[..9].eq_ignore_ascii_case(b"received:");
        facts.hop_count += u32::from(in_header && is_trace);
        facts.dot_lines |= line[0] == b'.';
        facts.is_refused |= line.len() as u64 > TEXT_LINE_BYTES_MAX;
        (line_start, is_dotted) = (content.len(), false);
    }
    facts.is_refused |= content.len() as u64 > MESSAGE_BYTES_MAX;
    facts.is_refused |= facts.hop_count > HOP_COUNT_MAX;
    facts
}

/// One of two that come to the same.
struct Twin {
    name: &'static str,
    decode: fn(&[u8], &mut Vec<u8>) -> Facts,
}

const DECODERS: [Twin; 2] =
    [Twin { name: "decoder", decode }, Twin { name: "naive twin", decode: decode_naively }];

fn contents(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("content");
    let dotted = ("100 KiB with dot lines", 100 << 10);
    let cases = [(SIZES[0], 0), (SIZES[1], 0), (dotted, 4)];
    for ((name, length), dot_line_every) in cases {
        let expected = content(length, dot_line_every);
        let data = wire(&expected);
        let mut taken = Vec::with_capacity(data.len());
        let facts = DECODERS.map(|twin| {
            taken.clear();
            let facts = (twin.decode)(&data, &mut taken);
            assert!(taken == expected, "the content changed");
            facts
        });
        assert_eq!(facts[0], facts[1], "the twins differ");
        assert_eq!(facts[0].wire_bytes, data.len(), "something is left");

        group.throughput(Throughput::Bytes(data.len() as u64));
        for twin in DECODERS {
            group.bench_function(BenchmarkId::new(twin.name, name), |bencher| {
                bencher.iter(|| {
                    taken.clear();
                    black_box((twin.decode)(black_box(&data), &mut taken))
                });
            });
        }
    }
    group.finish();
}

// Lines and commands.

/// Counts the command lines in `input`, which comes in pieces of `piece_bytes`.
fn count_lines(input: &[u8], piece_bytes: usize) -> usize {
    let mut assembler = LineAssembler::default();
    let mut count = 0;
    for piece in input.chunks(piece_bytes) {
        let mut rest = piece;
        loop {
            let scan = assembler.next_line(rest);
            match scan.found {
                Found::NeedInput => break,
                Found::InInput(line) => count += usize::from(!black_box(line.of(rest)).is_empty()),
                Found::Kept => {
                    let line = assembler.take();
                    count += usize::from(!black_box(&line).is_empty());
                    assembler.give_back(line);
                }
                Found::Refused(fault) => panic!("the lines are well: {fault:?}"),
            }
            rest = &rest[scan.consumed..];
        }
    }
    count
}

/// The same for an input in one piece, one byte after the other.
fn count_lines_naively(input: &[u8]) -> usize {
    let (mut count, mut start) = (0, 0);
    for (at, &byte) in input.iter().enumerate() {
        if byte == b'\n' {
            let is_sound = at > start && input[at - 1] == b'\r';
            assert!(is_sound && at - start < COMMAND_LINE_BYTES_MAX, "the lines are well");
            count += usize::from(!black_box(&input[start..at - 1]).is_empty());
            start = at + 1;
        }
    }
    count
}

fn lines(criterion: &mut Criterion) {
    let input = ENVELOPE.concat().repeat(100);
    let count = 3 * 100;
    let cut = 100;
    assert_eq!(count_lines(&input, input.len()), count);
    assert_eq!(count_lines(&input, cut), count);
    assert_eq!(count_lines_naively(&input), count);

    let mut group = criterion.benchmark_group("line scan");
    let throughput =
        Throughput::ElementsAndBytes { elements: count as u64, bytes: input.len() as u64 };
    group.throughput(throughput);
    group.bench_function("assembler", |bencher| {
        bencher.iter(|| count_lines(black_box(&input), input.len()));
    });
    group.bench_function("assembler, input cut every 100 bytes", |bencher| {
        bencher.iter(|| count_lines(black_box(&input), cut));
    });
    group.bench_function("naive twin", |bencher| {
        bencher.iter(|| count_lines_naively(black_box(&input)));
    });
    group.bench_function("floor: memchr", |bencher| {
        bencher.iter(|| {
            memchr::memchr_iter(b'\n', black_box(&input)).for_each(|at| {
                black_box(at);
            });
        });
    });
    group.finish();
}

/// Verb and path of a command, each copied, with hardly any of the checks that the server makes.
fn split_and_copy(line: &[u8]) -> Option<(String, Option<String>)> {
    let line = std::str::from_utf8(line).ok()?;
    let (verb, arguments) = line.split_once(' ').unwrap_or((line, ""));
    let path = arguments.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    Some((verb.to_ascii_uppercase(), path.map(|(path, _)| path.to_owned())))
}

fn commands(criterion: &mut Criterion) {
    let verp = [b"RCPT TO:<", &[b'v'; 60][..], b"@long.name.of.a.destination.example>"].concat();
    let cases: [(&str, &[u8]); 5] = [
        ("EHLO", b"EHLO client.example"),
        ("MAIL", b"MAIL FROM:<bounces-0123456789@client.example> SIZE=2048 BODY=8BITMIME"),
        ("RCPT", b"RCPT TO:<recipient@destination.example>"),
        ("RCPT, long", &verp),
        ("DATA", b"DATA"),
    ];
    let mut group = criterion.benchmark_group("command");
    for (name, line) in cases {
        assert!(command::parse(line, &Grammar::EVERYTHING).is_ok(), "{name} is well");
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::new("parser", name), |bencher| {
            bencher.iter(|| black_box(command::parse(black_box(line), &Grammar::EVERYTHING)));
        });
        group.bench_function(BenchmarkId::new("floor: split and copy", name), |bencher| {
            bencher.iter(|| black_box(split_and_copy(black_box(line))));
        });
    }
    group.finish();
}

criterion_group!(benches, transactions, contents, lines, commands);
criterion_main!(benches);
