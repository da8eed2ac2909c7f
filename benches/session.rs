//! What the protocol costs without a socket: whole transactions through the server's session
//! machine, and the parts that look at every byte or at every command.

#![allow(clippy::expect_used, clippy::panic)] // It stops at what should not be.

#[path = "common/allocator.rs"]
mod allocator;
#[path = "common/content.rs"]
mod content;
#[path = "common/session.rs"]
mod session;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

use ringpost::limits::{
    COMMAND_LINE_BYTES_MAX, HOP_COUNT_MAX, MESSAGE_BYTES_MAX, TEXT_LINE_BYTES_MAX,
};
use ringpost::proto::command::{self, Grammar};
use ringpost::proto::enhanced::EnhancedCode;
use ringpost::proto::line::{Found, LineAssembler};
use ringpost::proto::reply::{Code, Reply, write_lines};

use content::content;
use session::{Client, ENVELOPE, Facts, Server, decode, wire};

const SIZES: [(&str, usize); 2] = [("2 KiB", 2 << 10), ("100 KiB", 100 << 10)];

// Transactions.

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

// Replies.

/// A reply of one line by the formatting of the standard library.
fn format_reply(code: u16, enhanced: &str, text: &str) -> String {
    format!("{code} {enhanced} {text}\r\n")
}

/// A reply of several lines the same way.
fn format_lines(code: u16, lines: &[&str]) -> String {
    let (last, others) = lines.split_last().expect("there is a line");
    let others: String = others.iter().map(|line| format!("{code}-{line}\r\n")).collect();
    format!("{others}{code} {last}\r\n")
}

fn replies(criterion: &mut Criterion) {
    const OFFER: [&str; 6] =
        ["mx.example.net", "PIPELINING", "SIZE 52428800", "8BITMIME", "CHUNKING", "SMTPUTF8"];
    let lines = OFFER.map(str::as_bytes);
    let reply = Reply::new(Code::OK_250, EnhancedCode::OK_2_0_0, "Ok");
    let mut out = Vec::with_capacity(256);
    reply.write(&mut out);
    assert_eq!(out, format_reply(250, "2.0.0", "Ok").as_bytes(), "the twins differ");
    out.clear();
    write_lines(&mut out, Code::OK_250, None, &lines);
    assert_eq!(out, format_lines(250, &OFFER).as_bytes(), "the twins differ");

    let mut group = criterion.benchmark_group("reply");
    group.throughput(Throughput::Elements(1));
    group.bench_function("one line", |bencher| {
        bencher.iter(|| {
            out.clear();
            black_box(reply).write(&mut out);
            black_box(&out);
        });
    });
    group.bench_function("naive twin, one line", |bencher| {
        bencher.iter(|| black_box(format_reply(black_box(250), "2.0.0", black_box("Ok"))));
    });
    group.bench_function("the lines after EHLO", |bencher| {
        bencher.iter(|| {
            out.clear();
            write_lines(&mut out, Code::OK_250, None, black_box(&lines));
            black_box(&out);
        });
    });
    group.bench_function("naive twin, the lines after EHLO", |bencher| {
        bencher.iter(|| black_box(format_lines(black_box(250), black_box(&OFFER))));
    });
    group.finish();
}

// The client's side.

fn deliveries(criterion: &mut Criterion) {
    let mut client = Client::new();
    client.transaction();
    assert_eq!(client.delivered, 1, "the next hop took it");
    let mut group = criterion.benchmark_group("delivery");
    group.throughput(Throughput::Elements(1));
    group.bench_function("pipelined, without its content", |bencher| {
        bencher.iter(|| client.transaction());
    });
    group.finish();
}

criterion_group!(benches, transactions, contents, lines, commands, replies, deliveries);
criterion_main!(benches);
