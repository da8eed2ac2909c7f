//! Work to be counted in instructions: a case, so many times. `benches/instructions/check` runs it
//! under callgrind.
//!
//! ```console
//! $ instructions                  # the names of all cases
//! $ instructions CASE COUNT       # the case, COUNT times
//! ```

#![allow(clippy::expect_used, clippy::panic)] // It stops at what should not be.

#[path = "../common/content.rs"]
mod content;
#[path = "../common/log.rs"]
mod log;
#[path = "../common/message.rs"]
mod message;
#[path = "../common/session.rs"]
mod session;

use std::env;
use std::hint::black_box;
use std::io::{Write, stdout};

use ringpost::clock::WallTime;
use ringpost::ids::{Generation, MessageIds, ShardId};
use ringpost::proto::command::{self, Grammar};
use ringpost::proto::enhanced::EnhancedCode;
use ringpost::proto::line::{Found, LineAssembler};
use ringpost::proto::reply::{Code, Reply};
use ringpost::spool::format::{RECORD_HEADER_BYTES, Record, RecordKind, seal_record};
use ringpost::spool::record::{encode_message, message_bytes};

use content::content;
use log::{CONTENT_BYTES, Log, Null, WALL_MS};
use message::message;
use session::{Client, ENVELOPE, Server, decode, wire};

/// Makes everything ready, then does the work so many times.
type Case = fn(u64);

/// In the order of `benches/instructions/counts`.
const CASES: [(&str, Case); 13] = [
    ("transaction-pipelined-2k", |count| transactions(count, 2 << 10, true)),
    ("transaction-pipelined-100k", |count| transactions(count, 100 << 10, true)),
    ("transaction-stepwise-2k", |count| transactions(count, 2 << 10, false)),
    ("delivery-pipelined", deliveries),
    ("decode-100k-dot-lines", decodes),
    ("scan-300-lines", scans),
    ("parse-rcpt", |count| parses(count, b"RCPT TO:<recipient@destination.example>")),
    ("parse-mail", |count| {
        parses(count, b"MAIL FROM:<bounces-0123456789@client.example> SIZE=2048 BODY=8BITMIME");
    }),
    ("reply", replies),
    ("encode-message-record", encodes),
    ("seal-2k-chunk", seals),
    ("check-2k-chunk", checks),
    ("spool-32-messages-and-outcomes", spools),
];

fn main() {
    let arguments: Vec<String> = env::args().skip(1).filter(|word| word != "--bench").collect();
    match &arguments[..] {
        [] => {
            for (name, _) in CASES {
                writeln!(stdout(), "{name}").expect("somebody reads this");
            }
        }
        // As `cargo bench -- --test` asks: each once, to see that it runs.
        [word] if word == "--test" => CASES.iter().for_each(|(_, case)| case(1)),
        [name, count] => {
            let (_, case) = CASES.iter().find(|(known, _)| known == name).expect("no such case");
            case(count.parse().expect("COUNT is a number"));
        }
        _ => panic!("instructions [CASE COUNT]"),
    }
}

fn transactions(count: u64, length: usize, is_pipelined: bool) {
    let content = content(length, 0);
    let data = wire(&content);
    let envelope = ENVELOPE.concat();
    let [mail, rcpt, begin] = ENVELOPE;
    let inputs: &[&[u8]] =
        if is_pipelined { &[&envelope, &data] } else { &[mail, rcpt, begin, &data] };
    let mut server = Server::new();
    for _ in 0..count {
        server.transaction(inputs);
        assert!(server.replies.starts_with(b"250 2.0.0"), "the message was not taken");
    }
    assert!(server.body.ends_with(&content), "the content changed");
}

fn deliveries(count: u64) {
    let mut client = Client::new();
    for _ in 0..count {
        client.transaction();
    }
    assert_eq!(client.delivered, count, "the next hop takes everything");
}

fn decodes(count: u64) {
    let content = content(100 << 10, 4);
    let data = wire(&content);
    let mut taken = Vec::with_capacity(data.len());
    for _ in 0..count {
        taken.clear();
        let facts = decode(&data, &mut taken);
        assert!(!facts.is_refused && facts.dot_lines, "the content is well");
        assert_eq!((facts.wire_bytes, facts.hop_count), (data.len(), 0), "something is left");
    }
    assert!(taken == content, "the content changed");
}

fn scans(count: u64) {
    let input = ENVELOPE.concat().repeat(100);
    for _ in 0..count {
        let mut assembler = LineAssembler::default();
        let (mut rest, mut lines) = (&input[..], 0);
        loop {
            let scan = assembler.next_line(rest);
            match scan.found {
                Found::InInput(line) => lines += usize::from(!black_box(line.of(rest)).is_empty()),
                Found::NeedInput => break,
                Found::Kept | Found::Refused(_) => panic!("the lines are whole and well"),
            }
            rest = &rest[scan.consumed..];
        }
        assert_eq!(lines, 3 * 100, "lines are missing");
    }
}

fn parses(count: u64, line: &[u8]) {
    for _ in 0..count {
        assert!(command::parse(black_box(line), &Grammar::EVERYTHING).is_ok(), "it is well");
    }
}

fn replies(count: u64) {
    let mut out = Vec::with_capacity(256);
    for _ in 0..count {
        out.clear();
        black_box(Reply::new(Code::OK_250, EnhancedCode::OK_2_0_0, "Ok")).write(&mut out);
        assert_eq!(out.len(), 14, "a reply of that length");
    }
}

fn encodes(count: u64) {
    let mut ids = MessageIds::new(ShardId(0), WALL_MS, None);
    let wall = WallTime::from_unix_ms(WALL_MS);
    let message = message(ids.take(), wall, &[b"recipient@destination.example"]);
    let payload_bytes = message_bytes(&message, 0).expect("it is not too large");
    let mut record = vec![0; RECORD_HEADER_BYTES + payload_bytes];
    for _ in 0..count {
        encode_message(black_box(&message), &mut record[RECORD_HEADER_BYTES..]);
        seal_record(&mut record, RecordKind::Message, Generation(1));
        black_box(&record);
    }
}

/// A record of a content, sealed.
fn chunk() -> Vec<u8> {
    let mut chunk = vec![0; RECORD_HEADER_BYTES];
    chunk.extend_from_slice(&content(CONTENT_BYTES, 0));
    seal_record(&mut chunk, RecordKind::Chunk, Generation(1));
    chunk
}

fn seals(count: u64) {
    let mut chunk = chunk();
    for _ in 0..count {
        seal_record(&mut chunk, RecordKind::Chunk, Generation(1));
        black_box(&chunk);
    }
}

fn checks(count: u64) {
    let chunk = chunk();
    for _ in 0..count {
        assert!(Record::decode(black_box(&chunk)).is_some(), "it was just sealed");
    }
}

fn spools(count: u64) {
    let mut log = Log::<Null>::new();
    for _ in 0..count {
        log.append_group(32);
        log.finish_all(32);
    }
}
