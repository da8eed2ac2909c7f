//! A disk with the segment files of one shard, that crashes.
//!
//! # Guarantees
//! 1. A write is pending until it completes. A write that completed well survives every crash; one
//!    that failed may have changed any of its blocks.
//! 2. At a crash each pending write leaves any subset of its blocks, often a prefix, and one block
//!    may be garbage. Some may go on to land for a while: a killed process does not call back what
//!    it gave to the kernel.
//! 3. A file that is being created is there or not after a crash, whole and zero; one that is being
//!    deleted too.
//! 4. Operations complete in any order.
//! 5. Writes fail, the disk is full, reads are short, and blocks become unreadable, as told.
//! 6. The same seed and calls give the same [`trace`](SimDisk::trace).
//!
//! # Bounds
//! As many files as [`SimDiskOptions::segment_count_max`] says.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::Random;
use crate::arena::SharedBytes;
use crate::limits::BLOCK_BYTES;
use crate::spool::{SegmentFiles, SegmentWrite, WriteId};

/// What goes wrong on a [`SimDisk`].
#[derive(Clone, Copy, Debug)]
pub struct SimDiskOptions {
    /// Length of each file.
    pub segment_bytes: usize,
    /// Files that there is space for.
    pub segment_count_max: usize,
    /// Writes in a thousand that fail.
    pub write_failures_permille: usize,
    /// Crashes in a thousand pending writes that leave a block of garbage.
    pub garbage_permille: usize,
    /// Pending writes in a thousand that land some time after a crash.
    pub late_permille: usize,
}

/// The error of a simulated read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SimError {
    /// No such file.
    NotFound,
    /// The disk cannot read a block (`EIO`).
    Unreadable,
}

impl fmt::Display for SimError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "no such file",
            Self::Unreadable => "input/output error",
        })
    }
}

/// Something that was started has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completion {
    /// A write; whether all of it is durable.
    Written {
        /// Which.
        id: WriteId,
        /// Whether it succeeded.
        is_durable: bool,
    },
    /// The creation of a file.
    Created {
        /// The slot.
        slot: u32,
        /// Whether there was space.
        is_durable: bool,
    },
    /// The deletion of a file.
    Deleted {
        /// The slot.
        slot: u32,
    },
}

#[derive(Debug)]
enum Pending {
    Write { id: WriteId, slot: u32, offset: usize, bytes: SharedBytes },
    Create { slot: u32 },
    Delete { slot: u32 },
}

/// The disk; see the head of this module.
#[derive(Debug)]
pub struct SimDisk {
    options: SimDiskOptions,
    random: Random,
    /// Chooses short reads; apart, so that reading changes nothing of what happens.
    read_random: RefCell<Random>,
    files: BTreeMap<u32, Vec<u8>>,
    pending: Vec<Pending>,
    /// Writes of a process that was killed, on their way still.
    late: Vec<Pending>,
    unreadable: BTreeSet<(u32, usize)>,
    trace: u64,
}

impl SimDisk {
    /// An empty disk.
    pub fn new(seed: u64, options: SimDiskOptions) -> Self {
        Self {
            options,
            random: Random::new(seed),
            read_random: RefCell::new(Random::new(!seed)),
            files: BTreeMap::new(),
            pending: Vec::new(),
            late: Vec::new(),
            unreadable: BTreeSet::new(),
            trace: 0,
        }
    }

    /// Changes what goes wrong from now on.
    pub const fn set_options(&mut self, options: SimDiskOptions) {
        self.options = options;
    }

    /// A number that follows from everything that happened.
    pub const fn trace(&self) -> u64 {
        self.trace
    }

    /// Number of files.
    pub fn file_count(&self) -> usize {
        self.files.len()
    }

    /// Whether anything was started and has not ended.
    pub const fn is_busy(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Starts a write.
    pub fn write(&mut self, write: &SegmentWrite) {
        let offset = usize::try_from(write.offset).unwrap_or(usize::MAX);
        assert!(offset.is_multiple_of(BLOCK_BYTES), "direct writes begin at a block");
        assert!(write.bytes.len().is_multiple_of(BLOCK_BYTES), "direct writes are whole blocks");
        assert!(offset + write.bytes.len() <= self.options.segment_bytes, "files do not grow");
        self.note(1, u64::from(write.slot), write.offset);
        self.pending.push(Pending::Write {
            id: write.id,
            slot: write.slot,
            offset,
            bytes: write.bytes.clone(),
        });
    }

    /// Starts the creation of the file of `slot`.
    pub fn create(&mut self, slot: u32) {
        self.note(2, u64::from(slot), 0);
        self.pending.push(Pending::Create { slot });
    }

    /// Starts the deletion of the file of `slot`.
    pub fn delete(&mut self, slot: u32) {
        self.note(3, u64::from(slot), 0);
        self.pending.push(Pending::Delete { slot });
    }

    /// Ends one of the operations that were started, whichever.
    pub fn complete(&mut self) -> Option<Completion> {
        self.land();
        if self.pending.is_empty() {
            return None;
        }
        let chosen = self.random.below(self.pending.len());
        let completion = match self.pending.swap_remove(chosen) {
            Pending::Write { id, slot, offset, bytes } => {
                let fails = self.random.chance(self.options.write_failures_permille);
                if fails {
                    self.apply_partly(slot, offset, &bytes);
                } else {
                    self.apply(slot, offset, &bytes);
                }
                self.note(4, u64::from(slot), u64::from(fails));
                Completion::Written { id, is_durable: !fails }
            }
            Pending::Create { slot } => {
                let fits = self.files.len() < self.options.segment_count_max;
                if fits {
                    assert!(!self.files.contains_key(&slot), "created a file that is there");
                    self.files.insert(slot, vec![0; self.options.segment_bytes]);
                }
                self.note(5, u64::from(slot), u64::from(fits));
                Completion::Created { slot, is_durable: fits }
            }
            Pending::Delete { slot } => {
                self.files.remove(&slot);
                Completion::Deleted { slot }
            }
        };
        Some(completion)
    }

    /// The power fails, or the process is killed: what was pending is there in part.
    pub fn crash(&mut self) {
        self.land();
        for pending in std::mem::take(&mut self.pending) {
            let random = &mut self.random;
            match pending {
                Pending::Write { .. } if random.chance(self.options.late_permille) => {
                    self.late.push(pending);
                }
                Pending::Write { slot, offset, bytes, .. } => {
                    self.apply_partly(slot, offset, &bytes);
                }
                Pending::Create { slot } => {
                    if random.chance(500) {
                        self.files.insert(slot, vec![0; self.options.segment_bytes]);
                    }
                }
                Pending::Delete { slot } => {
                    if random.chance(500) {
                        self.files.remove(&slot);
                    }
                }
            }
        }
        self.note(6, 0, 0);
    }

    /// Whether writes from before the last crash may still land.
    pub const fn has_late_writes(&self) -> bool {
        !self.late.is_empty()
    }

    /// Lets the writes of a killed process land.
    pub fn land(&mut self) {
        for pending in std::mem::take(&mut self.late) {
            if let Pending::Write { slot, offset, bytes, .. } = pending {
                self.apply(slot, offset, &bytes);
            }
        }
    }

    /// Makes the block at `offset` of the file of `slot` unreadable.
    pub fn break_block(&mut self, slot: u32, offset: u64) {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        self.unreadable.insert((slot, offset / BLOCK_BYTES));
    }

    /// The bytes of the file of `slot`, to be looked at and changed behind the log's back.
    pub fn bytes_mut(&mut self, slot: u32) -> Option<&mut [u8]> {
        self.files.get_mut(&slot).map(Vec::as_mut_slice)
    }

    fn apply(&mut self, slot: u32, offset: usize, bytes: &[u8]) {
        if let Some(file) = self.files.get_mut(&slot) {
            file[offset..offset + bytes.len()].copy_from_slice(bytes);
        }
    }

    /// Leaves any of the blocks: a prefix or a subset; perhaps one of them garbage.
    fn apply_partly(&mut self, slot: u32, offset: usize, bytes: &[u8]) {
        let Some(file) = self.files.get_mut(&slot) else { return };
        let random = &mut self.random;
        let block_count = bytes.len() / BLOCK_BYTES;
        let prefix = random.chance(600).then(|| random.below(block_count + 1));
        let is_garbage = random.chance(self.options.garbage_permille);
        let garbage = is_garbage.then(|| random.below(block_count));
        let target = &mut file[offset..offset + bytes.len()];
        let blocks = target.chunks_mut(BLOCK_BYTES).zip(bytes.chunks(BLOCK_BYTES));
        for (at, (old, new)) in blocks.enumerate() {
            if garbage == Some(at) {
                random.fill(old);
            } else if prefix.map_or_else(|| random.chance(500), |prefix| at < prefix) {
                old.copy_from_slice(new);
            }
        }
    }

    fn note(&mut self, what: u64, one: u64, other: u64) {
        for number in [what, one, other, self.random.clone().next_u64()] {
            self.trace = (self.trace ^ number).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
        }
    }
}

impl SegmentFiles for SimDisk {
    type Error = SimError;

    fn slots(&self) -> Result<Vec<u32>, SimError> {
        Ok(self.files.keys().copied().collect())
    }

    fn length(&self, slot: u32) -> Result<u64, SimError> {
        self.files.get(&slot).map(|file| file.len() as u64).ok_or(SimError::NotFound)
    }

    fn read_at(&self, slot: u32, offset: u64, buffer: &mut [u8]) -> Result<usize, SimError> {
        let file = self.files.get(&slot).ok_or(SimError::NotFound)?;
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(file.len());
        let mut length = buffer.len().min(file.len() - start);
        if length > BLOCK_BYTES && self.read_random.borrow_mut().chance(50) {
            length -= BLOCK_BYTES;
        }
        let blocks = start / BLOCK_BYTES..=(start + length.max(1) - 1) / BLOCK_BYTES;
        if length > 0 && blocks.into_iter().any(|block| self.unreadable.contains(&(slot, block))) {
            return Err(SimError::Unreadable);
        }
        buffer[..length].copy_from_slice(&file[start..start + length]);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(seed: u64) -> SimDisk {
        SimDisk::new(
            seed,
            SimDiskOptions {
                segment_bytes: 8 * BLOCK_BYTES,
                segment_count_max: 1,
                write_failures_permille: 0,
                garbage_permille: 0,
                late_permille: 0,
            },
        )
    }

    #[test]
    fn a_full_disk_says_so_and_an_unreadable_block_too() {
        let mut disk = disk(1);
        disk.create(3);
        assert_eq!(disk.complete(), Some(Completion::Created { slot: 3, is_durable: true }));
        disk.create(4);
        assert_eq!(disk.complete(), Some(Completion::Created { slot: 4, is_durable: false }));
        assert_eq!(disk.slots(), Ok(vec![3]));
        disk.break_block(3, BLOCK_BYTES as u64);
        let mut buffer = [0; BLOCK_BYTES];
        assert_eq!(disk.read_at(3, 0, &mut buffer), Ok(BLOCK_BYTES));
        assert_eq!(disk.read_at(3, 1, &mut buffer), Err(SimError::Unreadable));
        assert_eq!(disk.read_at(3, 8 * BLOCK_BYTES as u64, &mut buffer), Ok(0));
        disk.delete(3);
        disk.complete();
        assert_eq!(disk.length(3), Err(SimError::NotFound));
    }
}
