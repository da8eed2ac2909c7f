//! What the disk costs: commits through the shard's ring onto a prepared segment, as the server
//! makes them, beside the other ways to write a log.
//!
//! The files lie under the build directory, or where `RINGPOST_BENCH_DIR` says: a directory on the
//! disk that is to be measured.

#![allow(clippy::expect_used, clippy::panic)] // It stops at what should not be.

use std::env;
use std::fs::File;
use std::future::Future;
use std::io::{IoSlice, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
};
use glommio::LocalExecutor;
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::{ReadWriteFlags, pwritev2};
use tempfile::TempDir;

use ringpost::io::commits::{CommitSegment, Wait, executor, payload};
use ringpost::io::store::{ShardDirectory, SpoolRoot};
use ringpost::limits::SEGMENT_BYTES;

const SIZES: [(&str, usize); 4] =
    [("4 KiB", 4 << 10), ("64 KiB", 64 << 10), ("256 KiB", 256 << 10), ("1 MiB", 1 << 20)];

const SLOT: u32 = 0;

/// A directory of its own on the disk that is measured, gone at the end.
fn directory() -> TempDir {
    let parent = env::var_os("RINGPOST_BENCH_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
    let made = TempDir::with_prefix_in("ringpost-bench-", &parent);
    made.unwrap_or_else(|error| panic!("cannot write to {}: {error}", parent.display()))
}

fn throughput(length: usize) -> Throughput {
    Throughput::ElementsAndBytes { elements: 1, bytes: length as u64 }
}

/// Long enough for a disk whose writes differ, short enough for all of these together.
fn settle_for(group: &mut BenchmarkGroup<'_, WallTime>) {
    group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(3));
}

// Through the ring.

fn timed(executor: &LocalExecutor, work: impl Future<Output = ()>) -> Duration {
    let start = Instant::now();
    executor.run(work);
    start.elapsed()
}

fn commits(criterion: &mut Criterion) {
    let directory = directory();
    let executor = executor().expect("the host runs shards");
    let segment = || CommitSegment::new(directory.path(), SEGMENT_BYTES).expect("there is room");
    // Made when first needed: a filter may leave all out.
    let mut made = None;
    let mut group = criterion.benchmark_group("commit");
    settle_for(&mut group);
    let cases = [
        ("1 in flight", 1, Wait::Look),
        ("1 in flight, asleep", 1, Wait::Sleep),
        ("8 in flight", 8, Wait::Look),
    ];
    for (name, in_flight, wait) in cases {
        for (size, length) in SIZES {
            let bytes = payload(length);
            group.throughput(throughput(length));
            group.bench_function(BenchmarkId::new(name, size), |bencher| {
                let segment = made.get_or_insert_with(|| executor.run(async { segment() }));
                bencher.iter_custom(|count| {
                    let more = |begun| begun < count;
                    timed(&executor, async {
                        let commits = segment.commit(&bytes, in_flight, wait, more, |_| {});
                        commits.await.expect("the disk takes them");
                    })
                });
            });
        }
    }
    group.finish();
    // What sleeps belongs to the executor and goes with it.
    executor.run(async { drop(made) });
}

// By system calls.

/// One way of writing a log, by one thread that waits for each write.
struct Way {
    name: &'static str,
    /// A file for [`SEGMENT_BYTES`].
    open: fn(&ShardDirectory) -> File,
    write: fn(&File, &[u8], u64),
}

const WAYS: [Way; 4] = [
    Way { name: "growing file, write + fdatasync", open: open_empty, write: append_and_sync },
    Way {
        name: "allocated, never written, O_DIRECT + fdatasync",
        open: open_allocated,
        write: write_and_sync,
    },
    Way { name: "written before, O_DIRECT + RWF_DSYNC", open: open_written, write: write_durably },
    Way { name: "floor: growing file, not durable", open: open_empty, write: append },
];

fn open_empty(shard: &ShardDirectory) -> File {
    let file = File::create(shard.path().join("growing")).expect("the directory is there");
    file.sync_all().expect("the disk takes it");
    file
}

fn open_allocated(shard: &ShardDirectory) -> File {
    let path = shard.path().join("allocated");
    let mut options = File::options();
    // Without its old blocks the file gets others, which count as never written.
    options.create(true).truncate(true).write(true).custom_flags(libc::O_DIRECT);
    let file = options.open(path).expect("the file system has direct access");
    fallocate(&file, FallocateFlags::empty(), 0, SEGMENT_BYTES).expect("there is room");
    file.sync_all().expect("the disk takes it");
    file
}

/// The segment that is prepared by whoever calls first.
fn open_written(shard: &ShardDirectory) -> File {
    shard.open_segment(SLOT).unwrap_or_else(|_| {
        shard.prepare(SLOT, SEGMENT_BYTES).expect("there is room for one segment");
        shard.open_segment(SLOT).expect("it was just made")
    })
}

fn append(mut file: &File, bytes: &[u8], _offset: u64) {
    file.write_all(bytes).expect("the disk takes it");
}

fn append_and_sync(file: &File, bytes: &[u8], offset: u64) {
    append(file, bytes, offset);
    file.sync_data().expect("the disk takes it");
}

fn write_and_sync(file: &File, bytes: &[u8], offset: u64) {
    file.write_all_at(bytes, offset).expect("the disk takes it");
    file.sync_data().expect("the disk takes it");
}

fn write_durably(file: &File, bytes: &[u8], offset: u64) {
    let written = pwritev2(file, &[IoSlice::new(bytes)], offset, ReadWriteFlags::DSYNC);
    assert_eq!(written, Ok(bytes.len()), "the disk takes it");
}

impl Way {
    /// Writes `bytes` `count` times, and takes the time of the writes alone.
    fn time(&self, shard: &ShardDirectory, bytes: &[u8], count: u64) -> Duration {
        let length = bytes.len() as u64;
        let mut elapsed = Duration::ZERO;
        let mut left = count;
        while left > 0 {
            let in_this_file = left.min(SEGMENT_BYTES / length);
            let file = (self.open)(shard);
            let start = Instant::now();
            for index in 0..in_this_file {
                (self.write)(&file, bytes, index * length);
            }
            elapsed += start.elapsed();
            // What was not durable shall not be written while something else is measured.
            file.sync_all().expect("the disk takes it");
            left -= in_this_file;
        }
        elapsed
    }
}

fn system_calls(criterion: &mut Criterion) {
    let directory = directory();
    let shard = SpoolRoot::new(directory.path()).shard(0).expect("the directory is there");
    let mut group = criterion.benchmark_group("one writer");
    settle_for(&mut group);
    for way in WAYS {
        for (size, length) in SIZES {
            let bytes = payload(length);
            group.throughput(throughput(length));
            group.bench_function(BenchmarkId::new(way.name, size), |bencher| {
                bencher.iter_custom(|count| way.time(&shard, &bytes, count));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, commits, system_calls);
criterion_main!(benches);
