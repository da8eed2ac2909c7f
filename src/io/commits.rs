//! Commits as a shard makes them, to be timed: durable writes through its ring onto a segment that
//! was prepared as those of the spool are.
//!
//! # Never
//! Touches a spool: the segment lies in a directory of its own, which belongs to the caller.
//!
//! # Failures
//! What the disk and the ring say, with a word about which of them it was.
//!
//! # Bounds
//! The length of the segment, on which the writes begin anew.

use std::fs::File;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use glommio::{LocalExecutor, LocalExecutorBuilder, Placement};

use crate::arena::SharedBytes;
use crate::io::ring::{Completion, Ring, Sleep, Waker};
use crate::io::store::SpoolRoot;
use crate::limits::{EXECUTOR_IO_MEMORY_BYTES, EXECUTOR_RING_ENTRIES};
use crate::sim::Random;

/// How the wait for a commit is spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Looking at the ring again and again, as a shard that has other work does.
    Look,
    /// Asleep until the kernel wakes it, as a shard that has none.
    Sleep,
}

/// A payload of `length` bytes that no disk can make shorter.
pub fn payload(length: usize) -> SharedBytes {
    let mut bytes = vec![0; length];
    Random::new(1).fill(&mut bytes);
    SharedBytes::from(&bytes[..])
}

/// An executor like that of a shard, but for the CPU: it stays on no particular one.
///
/// # Errors
/// The host does not run shards.
pub fn executor() -> io::Result<LocalExecutor> {
    LocalExecutorBuilder::new(Placement::Unbound)
        .io_memory(EXECUTOR_IO_MEMORY_BYTES)
        .ring_depth(EXECUTOR_RING_ENTRIES)
        .make()
        .map_err(|error| io::Error::other(error.to_string()))
}

/// A segment, and the ring that writes to it.
#[derive(Debug)]
pub struct CommitSegment {
    ring: Ring<Instant>,
    sleep: Sleep,
    file: Rc<File>,
    length: u64,
    next_offset: u64,
}

impl CommitSegment {
    /// A segment of `length` bytes in `directory`, written once. To be called on an executor, by
    /// which alone it can sleep.
    ///
    /// # Errors
    /// There is no room for it, or the host has no io_uring.
    pub fn new(directory: &Path, length: u64) -> io::Result<Self> {
        const SLOT: u32 = 0;
        let shard = SpoolRoot::new(directory).shard(0).map_err(io::Error::other)?;
        shard.prepare(SLOT, length).map_err(io::Error::other)?;
        let file = Rc::new(shard.open_segment(SLOT).map_err(io::Error::other)?);
        let waker = Waker::new()?;
        let ring = Ring::new(&waker).map_err(io::Error::other)?;
        Ok(Self { ring, sleep: Sleep::new(&waker)?, file, length, next_offset: 0 })
    }

    /// Commits `bytes` at following offsets, up to `in_flight` at once, while `more`, asked with
    /// the number begun, says so, and until the last is durable; `done` gets the time of each.
    ///
    /// # Errors
    /// The ring does not work, or the disk does not take a commit.
    pub async fn commit(
        &mut self,
        bytes: &SharedBytes,
        in_flight: u64,
        wait: Wait,
        mut more: impl FnMut(u64) -> bool,
        mut done: impl FnMut(Duration),
    ) -> io::Result<()> {
        let (mut begun, mut ended) = (0, 0);
        loop {
            while begun - ended < in_flight && more(begun) {
                self.begin(bytes);
                begun += 1;
            }
            if begun == ended {
                return Ok(());
            }
            self.ring.turn().map_err(|error| with("the ring does not work", &error))?;
            let before = ended;
            while let Some(completion) = self.ring.next_completion() {
                let Completion::Written { owner: begun_at, result } = completion else { continue };
                result.map_err(|error| with("the disk does not take a commit", &error))?;
                done(begun_at.elapsed());
                ended += 1;
            }
            if wait == Wait::Sleep && ended == before {
                if self.ring.may_sleep() {
                    self.sleep.wait().await?;
                }
                self.ring.awake();
            }
        }
    }

    fn begin(&mut self, bytes: &SharedBytes) {
        let length = bytes.len() as u64;
        if self.next_offset + length > self.length {
            self.next_offset = 0;
        }
        self.ring.write(&self.file, self.next_offset, bytes.clone(), true, Instant::now());
        self.next_offset += length;
    }
}

fn with(what: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}
