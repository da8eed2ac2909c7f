//! What a question to the name server costs: the query written, and a reply read as the relay reads
//! it, with the checks that keep foreign replies out.

#![allow(clippy::expect_used, clippy::panic)] // It stops at what should not be.

#[path = "common/allocator.rs"]
mod allocator;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

use ringpost::io::dns::codec::{RecordKind, Records, Reply, decode_reply, encode_query};

const ID: u16 = 0x1234;
const NAME: &str = "destination.example";

/// A reply as name servers write it, whose names point back to the first one (RFC 1035 §4.1.4):
/// `count` MX records of preference 10, 20, … to `mx0`, `mx1`, … below the name.
fn mx_reply(count: u8) -> Vec<u8> {
    const TTL_S: u32 = 3_600;
    let question = encode_query(ID, NAME, RecordKind::Mx, false).expect("it is a host name");
    let mut reply = question;
    // A response with recursion available (RFC 1035 §4.1.1), and the number of answers.
    reply[2] |= 0x80;
    reply[3] |= 0x80;
    reply[7] = count;
    for number in 0..count {
        reply.extend_from_slice(&[0xc0, 12, 0, 15, 0, 1]);
        reply.extend_from_slice(&TTL_S.to_be_bytes());
        reply.extend_from_slice(&[0, 8, 0, 10 * (number + 1)]);
        reply.extend_from_slice(&[3, b'm', b'x', b'0' + number, 0xc0, 12]);
    }
    reply
}

/// Reads a name byte by byte, following pointers; the name and what comes behind it.
fn read_name(bytes: &[u8], mut at: usize) -> Option<(String, usize)> {
    const POINTERS_MAX: usize = 16;
    let (mut name, mut end, mut pointers) = (String::new(), None, 0);
    loop {
        let length = usize::from(*bytes.get(at)?);
        if length >= 0xc0 {
            end.get_or_insert(at + 2);
            at = (length & 0x3f) << 8 | usize::from(*bytes.get(at + 1)?);
            pointers += 1;
            if pointers > POINTERS_MAX {
                return None;
            }
        } else if length == 0 {
            return Some((name, end.unwrap_or(at + 1)));
        } else {
            if !name.is_empty() {
                name.push('.');
            }
            for &byte in bytes.get(at + 1..at + 1 + length)? {
                name.push(char::from(byte.to_ascii_lowercase()));
            }
            at += 1 + length;
        }
    }
}

/// The exchangers that `bytes` name, with the id and the question checked and nothing else.
fn read_naively(bytes: &[u8]) -> Option<Vec<(u16, String)>> {
    let number = |at: usize| Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
    let (name, question) = read_name(bytes, 12)?;
    if number(0)? != ID || name != NAME {
        return None;
    }
    let mut at = question + 4;
    let mut found = Vec::new();
    for _ in 0..number(6)? {
        let (_, record) = read_name(bytes, at)?;
        found.push((number(record + 10)?, read_name(bytes, record + 12)?.0));
        at = record + 10 + usize::from(number(record + 8)?);
    }
    found.sort();
    Some(found)
}

fn messages(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("dns message");
    group.throughput(Throughput::Elements(1));
    group.bench_function("encode a query", |bencher| {
        bencher.iter(|| black_box(encode_query(ID, black_box(NAME), RecordKind::Mx, true)));
    });
    for count in [1, 8] {
        let reply = mx_reply(count);
        let decode = || decode_reply(black_box(&reply), ID, NAME, RecordKind::Mx);
        let Ok(Reply::Records { records: Records::Mx(records), .. }) = decode() else {
            panic!("the reply has records: {:?}", decode());
        };
        let naive = read_naively(&reply).expect("the reply is well");
        let same = records.iter().zip(&naive).all(|(record, (preference, exchange))| {
            record.preference == *preference && *record.exchange == **exchange
        });
        assert!(same && records.len() == naive.len(), "the twins differ: {records:?} {naive:?}");
        group.bench_function(BenchmarkId::new("decode a reply, MX records", count), |bencher| {
            bencher.iter(|| black_box(decode()));
        });
        group.bench_function(BenchmarkId::new("naive twin, MX records", count), |bencher| {
            bencher.iter(|| black_box(read_naively(black_box(&reply))));
        });
    }
    group.finish();
}

criterion_group!(benches, messages);
criterion_main!(benches);
