//! What a commit costs on the spool's disk: writes through the ring onto a prepared segment, as the
//! server makes them.
//!
//! # Guarantees
//! Nothing is left behind but for a crash: then a directory `.ringpost-doctor-PID` is.
//!
//! # Never
//! Touches what is in the spool.
//!
//! # Bounds
//! [`DOCTOR_COMMITS_MS`] for each of the two measurements, [`DOCTOR_SEGMENT_BYTES`] on the disk.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::arena::SharedBytes;
use crate::io::ring::{Completion, Ring, Waker};
use crate::io::store::SpoolRoot;
use crate::limits::{BLOCK_BYTES, DOCTOR_COMMITS_MS, DOCTOR_SEGMENT_BYTES, GROUPS_IN_FLIGHT_MAX};
use crate::sim::Random;

/// What the measurement of commits gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CommitFigures {
    /// Median of a commit of [`BLOCK_BYTES`].
    pub(super) median_us: u64,
    /// Its 99th percentile.
    pub(super) high_us: u64,
    /// Commits of [`LARGE_BYTES`] a second, [`GROUPS_IN_FLIGHT_MAX`] at once.
    pub(super) rate: u64,
}

const LARGE_BYTES: usize = 64 << 10;

/// Gives `work` a directory of its own in `place`, and removes it with all that is in it.
pub(super) fn in_scratch<T>(
    place: &Path,
    work: impl FnOnce(&Path) -> Result<T, String>,
) -> Result<T, String> {
    let scratch = Scratch::new(place).map_err(|error| {
        let place = place.display();
        format!("{place} cannot be written to by this user: {error}; as root it can be told")
    })?;
    work(&scratch.0)
}

struct Scratch(PathBuf);

impl Scratch {
    fn new(place: &Path) -> io::Result<Self> {
        let path = place.join(format!(".ringpost-doctor-{}", std::process::id()));
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is named for what it is.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Measures commits in the directory `scratch`.
pub(super) fn commits(scratch: &Path) -> Result<CommitFigures, String> {
    let mut segment = Segment::new(scratch)?;
    let mut times = segment.commit(BLOCK_BYTES, 1)?;
    let large = segment.commit(LARGE_BYTES, GROUPS_IN_FLIGHT_MAX)?;
    times.each.sort_unstable();
    let at = |percent: usize| {
        times.each.get(times.each.len() * percent / 100).copied().unwrap_or_default()
    };
    let ms = u64::try_from(large.elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
    Ok(CommitFigures {
        median_us: at(50),
        high_us: at(99),
        rate: large.each.len() as u64 * 1_000 / ms,
    })
}

/// The times of commits in microseconds, and of all together.
struct Times {
    each: Vec<u64>,
    elapsed: Duration,
}

struct Segment {
    ring: Ring<Instant>,
    file: Rc<File>,
    next_offset: u64,
}

impl Segment {
    fn new(scratch: &Path) -> Result<Self, String> {
        const SLOT: u32 = 0;
        let shard = SpoolRoot::new(scratch).shard(0).map_err(|error| error.to_string())?;
        shard.prepare(SLOT, DOCTOR_SEGMENT_BYTES).map_err(|error| error.to_string())?;
        let file = shard.open_segment(SLOT).map_err(|error| error.to_string())?;
        let waker = Waker::new().map_err(|error| error.to_string())?;
        let ring = Ring::new(&waker).map_err(|error| error.to_string())?;
        Ok(Self { ring, file: Rc::new(file), next_offset: 0 })
    }

    /// Commits blocks of `length` bytes, `in_flight` at once, for [`DOCTOR_COMMITS_MS`], and until
    /// the last is done.
    fn commit(&mut self, length: usize, in_flight: usize) -> Result<Times, String> {
        let mut bytes = vec![0; length];
        // What no disk can make shorter.
        Random::new(1).fill(&mut bytes);
        let bytes = SharedBytes::from(&bytes[..]);
        let time = Duration::from_millis(DOCTOR_COMMITS_MS);
        let start = Instant::now();
        let mut each = Vec::new();
        let mut waiting = 0;
        while waiting > 0 || start.elapsed() < time {
            while waiting < in_flight && start.elapsed() < time {
                self.begin(&bytes);
                waiting += 1;
            }
            self.ring.turn().map_err(|error| format!("the ring does not work: {error}"))?;
            while let Some(completion) = self.ring.next_completion() {
                let Completion::Written { owner: begun, result } = completion else { continue };
                result.map_err(|error| format!("the disk does not take a commit: {error}"))?;
                each.push(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX));
                waiting -= 1;
            }
        }
        Ok(Times { each, elapsed: start.elapsed() })
    }

    fn begin(&mut self, bytes: &SharedBytes) {
        let length = bytes.len() as u64;
        if self.next_offset + length > DOCTOR_SEGMENT_BYTES {
            self.next_offset = 0;
        }
        self.ring.write(&self.file, self.next_offset, bytes.clone(), true, Instant::now());
        self.next_offset += length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_are_measured_and_nothing_is_left_behind() {
        let place =
            tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR").to_owned() + "/target").unwrap();
        let figures = in_scratch(place.path(), commits).expect("the disk takes them");
        assert!(figures.median_us > 0 && figures.median_us <= figures.high_us, "{figures:?}");
        assert!(figures.rate > 0, "{figures:?}");
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_place_that_cannot_be_written_to_is_named() {
        let reason = in_scratch(Path::new("/proc"), |_| Ok(())).expect_err("not even by root");
        assert!(reason.starts_with("/proc cannot be written to"), "{reason}");
    }
}
