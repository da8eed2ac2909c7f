//! The memory watch with the allocator that the program has: a file of its own, since a process has
//! one allocator.

#![allow(clippy::expect_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use ringpost::io::memory::{MemorySource, MemoryWatch};
use ringpost::limits::MEMORY_LOOK_MS;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PEAK_BYTES: usize = 128 << 20;
/// Far more than it takes.
const LOOKS_MAX: usize = 600;

/// After a peak the shards rest, and the allocator would keep all that they freed: then memory
/// would be short for ever.
#[test]
fn memory_is_eased_after_a_peak_though_the_shards_rest() {
    let source = MemorySource::host();
    let before = source.resident_bytes().expect("the memory in use");
    let is_short = Arc::new(AtomicBool::new(false));
    let ceiling = before + PEAK_BYTES as u64 / 2;
    let watch = MemoryWatch::new(source, ceiling, Arc::clone(&is_short));
    let (step, steps) = mpsc::channel::<()>();
    let (done, dones) = mpsc::channel();
    let shard = thread::spawn(move || {
        let blocks: Vec<Vec<u8>> = (0..PEAK_BYTES / 4_096).map(|_| vec![1; 4_096]).collect();
        done.send(()).expect("the test waits");
        steps.recv().expect("the test goes on");
        drop(blocks);
        done.send(()).expect("the test waits");
        // It lives on and does nothing.
        steps.recv().expect("the test goes on");
    });
    dones.recv().expect("a peak");
    watch.look().expect("the memory in use");
    assert!(is_short.load(Ordering::Relaxed), "at the peak");
    step.send(()).expect("the shard waits");
    dones.recv().expect("the end of the peak");
    for _ in 0..LOOKS_MAX {
        watch.look().expect("the memory in use");
        if !is_short.load(Ordering::Relaxed) {
            break;
        }
        thread::sleep(Duration::from_millis(MEMORY_LOOK_MS));
    }
    assert!(!is_short.load(Ordering::Relaxed), "nothing is given back");
    step.send(()).expect("the shard waits");
    shard.join().expect("the shard ends");
}
