//! What the spool costs without a disk: appending messages, encoding and checking records, and
//! reading a log back, with memory in the place of files.

#![allow(clippy::expect_used, clippy::panic)] // It stops at what should not be.

#[path = "common/allocator.rs"]
mod allocator;
#[path = "common/content.rs"]
mod content;
#[path = "common/log.rs"]
mod log;
#[path = "common/message.rs"]
mod message;

use std::cell::LazyCell;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

use ringpost::clock::WallTime;
use ringpost::ids::{Generation, MessageIds, ShardId};
use ringpost::limits::SEGMENT_BYTES;
use ringpost::spool::format::{RECORD_HEADER_BYTES, Record, RecordKind, seal_record};
use ringpost::spool::record::{encode_message, message_bytes};
use ringpost::spool::{RecoveredSegment, SegmentFiles, SegmentWrite, recover};

use content::content;
use log::{CONTENT_BYTES, Disk, Log, Null, WALL_MS};
use message::message;

/// Messages that are timed in one go, so that what surrounds them is not timed and the clock is
/// seldom read.
const ROUND: u64 = 1_024;

// The disk.

/// Keeps everything in memory.
#[derive(Default)]
struct Memory {
    segments: BTreeMap<u32, Vec<u8>>,
}

impl Disk for Memory {
    fn prepare(&mut self, slot: u32) {
        let length = usize::try_from(SEGMENT_BYTES).unwrap_or(usize::MAX);
        let mut segment = vec![0; length];
        // Written once, so that every page is memory of its own.
        black_box(&mut segment).fill(0);
        self.segments.insert(slot, segment);
    }

    fn write(&mut self, write: &SegmentWrite) {
        let start = usize::try_from(write.offset).unwrap_or(usize::MAX);
        let segment = self.segments.get_mut(&write.slot).expect("it was prepared");
        segment[start..start + write.bytes.len()].copy_from_slice(&write.bytes);
    }

    fn delete(&mut self, slot: u32) {
        self.segments.remove(&slot);
    }
}

impl SegmentFiles for Memory {
    type Error = Infallible;

    fn slots(&self) -> Result<Vec<u32>, Infallible> {
        Ok(self.segments.keys().copied().collect())
    }

    fn length(&self, slot: u32) -> Result<u64, Infallible> {
        Ok(self.segments.get(&slot).map_or(0, |segment| segment.len() as u64))
    }

    fn read_at(&self, slot: u32, offset: u64, buffer: &mut [u8]) -> Result<usize, Infallible> {
        let segment = self.segments.get(&slot).map(Vec::as_slice).unwrap_or_default();
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = segment.get(start..).unwrap_or_default();
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }
}

// Appending.

fn append(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append 2 KiB");
    let mut log = Log::<Null>::new();
    for per_group in [1, 32] {
        group.throughput(Throughput::ElementsAndBytes {
            elements: per_group,
            bytes: per_group * CONTENT_BYTES as u64,
        });
        group.bench_function(BenchmarkId::new("messages in a commit", per_group), |bencher| {
            bencher.iter_custom(|iterations| {
                in_rounds(iterations, ROUND / per_group, |count| {
                    let start = Instant::now();
                    (0..count).for_each(|_| log.append_group(per_group));
                    let elapsed = start.elapsed();
                    log.finish_all(ROUND);
                    elapsed
                })
            });
        });
        let name = "messages in a commit, with their outcomes";
        group.bench_function(BenchmarkId::new(name, per_group), |bencher| {
            bencher.iter(|| {
                log.append_group(per_group);
                log.finish_all(per_group);
            });
        });
    }
    group.throughput(Throughput::ElementsAndBytes { elements: 1, bytes: CONTENT_BYTES as u64 });
    let mut image = vec![0; 1 << 20];
    let mut at = 0;
    group.bench_function("floor: copy and checksum", |bencher| {
        bencher.iter(|| {
            let target = &mut image[at..at + CONTENT_BYTES];
            target.copy_from_slice(black_box(&log.content));
            at = (at + CONTENT_BYTES) % (1 << 20);
            black_box(crc32c::crc32c(target))
        });
    });
    group.finish();
}

/// Splits `iterations` into rounds of at most `count_max` and adds up what `round` says that they
/// took.
fn in_rounds(iterations: u64, count_max: u64, mut round: impl FnMut(u64) -> Duration) -> Duration {
    let mut elapsed = Duration::ZERO;
    let mut left = iterations;
    while left > 0 {
        let count = left.min(count_max);
        elapsed += round(count);
        left -= count;
    }
    elapsed
}

// Records.

/// CRC-32C by a table, one byte after the other.
struct NaiveChecksum {
    table: [u32; 256],
}

impl NaiveChecksum {
    fn new() -> Self {
        // The polynomial of Castagnoli, its bits reversed.
        const POLYNOMIAL: u32 = 0x82f6_3b78;
        let mut table = [0; 256];
        for (entry, byte) in table.iter_mut().zip(0_u32..) {
            *entry = (0..8).fold(byte, |rest, _| (rest >> 1) ^ (POLYNOMIAL * (rest & 1)));
        }
        Self { table }
    }

    fn of(&self, bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0, |rest, &byte| {
            let [low, ..] = rest.to_le_bytes();
            (rest >> 8) ^ self.table[usize::from(low ^ byte)]
        })
    }
}

fn records(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("record");
    for recipient_count in [1, 100] {
        let address: &[u8] = b"recipient@destination.example";
        let recipients = vec![address; recipient_count];
        let mut ids = MessageIds::new(ShardId(0), WALL_MS, None);
        let message = message(ids.take(), WallTime::from_unix_ms(WALL_MS), &recipients);
        let payload_bytes = message_bytes(&message, 0).expect("it is not too large");
        let mut record = vec![0; RECORD_HEADER_BYTES + payload_bytes];
        group.throughput(Throughput::Bytes(record.len() as u64));
        let id = BenchmarkId::new("encode and seal a message, recipients", recipient_count);
        group.bench_function(id, |bencher| {
            bencher.iter(|| {
                encode_message(black_box(&message), &mut record[RECORD_HEADER_BYTES..]);
                seal_record(&mut record, RecordKind::Message, Generation(1));
                black_box(&record);
            });
        });
    }

    let mut chunk = vec![0; RECORD_HEADER_BYTES];
    chunk.extend_from_slice(&content(CONTENT_BYTES, 0));
    group.throughput(Throughput::Bytes(chunk.len() as u64));
    group.bench_function("seal a chunk of 2 KiB", |bencher| {
        bencher.iter(|| {
            seal_record(&mut chunk, RecordKind::Chunk, Generation(1));
            black_box(&chunk);
        });
    });
    assert!(Record::decode(&chunk).is_some(), "it was just sealed");
    group.bench_function("check a chunk of 2 KiB", |bencher| {
        bencher.iter(|| black_box(Record::decode(black_box(&chunk))));
    });
    let naive = NaiveChecksum::new();
    assert_eq!(naive.of(&chunk), crc32c::crc32c(&chunk), "the twins differ");
    group.bench_function("naive twin: checksum by a table", |bencher| {
        bencher.iter(|| black_box(naive.of(black_box(&chunk))));
    });
    group.bench_function("floor: checksum", |bencher| {
        bencher.iter(|| black_box(crc32c::crc32c(black_box(&chunk))));
    });
    group.finish();
}

// Recovery.

/// Messages in each group of a log that is recovered; a divisor of their numbers.
const RECOVERED_PER_GROUP: u64 = 50;

/// A log of `count` messages, none of them delivered, and the segments that it uses.
fn full_log(count: u64) -> (Memory, Vec<RecoveredSegment>) {
    let mut log = Log::<Memory>::new();
    for _ in 0..count / RECOVERED_PER_GROUP {
        log.append_group(RECOVERED_PER_GROUP);
    }
    let recovered = recover(&log.disk, 1).expect("no version but this");
    assert_eq!(recovered.messages.len() as u64, count, "messages are missing");
    (log.disk, recovered.segments)
}

/// Reads and checks once what the log wrote to each of `segments`.
fn read_once(files: &Memory, segments: &[RecoveredSegment], buffer: &mut [u8]) -> u32 {
    let mut checksum = 0;
    for segment in segments {
        let mut offset = 0;
        while offset < segment.used_bytes {
            let left = usize::try_from(segment.used_bytes - offset).unwrap_or(usize::MAX);
            let length = left.min(buffer.len());
            let read = files.read_at(segment.slot, offset, &mut buffer[..length]);
            assert_eq!(read, Ok(length), "the log was written up to there");
            checksum = crc32c::crc32c_append(checksum, &buffer[..length]);
            offset += length as u64;
        }
    }
    checksum
}

fn recovery(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("recovery");
    group.sample_size(10);
    for count in [1_000, 10_000, 100_000, 1_000_000] {
        // Made when first needed: a filter may leave it out.
        let made = LazyCell::new(|| full_log(count));
        group.throughput(Throughput::Elements(count));
        group.bench_function(BenchmarkId::new("messages of 2 KiB", count), |bencher| {
            let (files, _) = &*made;
            bencher.iter_with_large_drop(|| recover(files, 1).expect("no version but this"));
        });
        let mut buffer = vec![0; 1 << 20];
        group.bench_function(BenchmarkId::new("floor: read and checksum", count), |bencher| {
            let (files, segments) = &*made;
            bencher.iter(|| black_box(read_once(files, segments, &mut buffer)));
        });
    }
    group.finish();
}

criterion_group!(benches, append, records, recovery);
criterion_main!(benches);
