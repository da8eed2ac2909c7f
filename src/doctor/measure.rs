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

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::io::commits::{self, CommitSegment, Wait};
use crate::limits::{BLOCK_BYTES, DOCTOR_COMMITS_MS, DOCTOR_SEGMENT_BYTES, GROUPS_IN_FLIGHT_MAX};

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
    let executor = commits::executor().map_err(|error| error.to_string())?;
    executor.run(measure(scratch)).map_err(|error| error.to_string())
}

async fn measure(scratch: &Path) -> io::Result<CommitFigures> {
    let mut segment = CommitSegment::new(scratch, DOCTOR_SEGMENT_BYTES)?;
    let (mut each_us, _) = for_a_time(&mut segment, BLOCK_BYTES, 1).await?;
    let (large, elapsed) = for_a_time(&mut segment, LARGE_BYTES, GROUPS_IN_FLIGHT_MAX).await?;
    each_us.sort_unstable();
    let at = |percent: usize| each_us.get(each_us.len() * percent / 100).copied();
    let ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
    Ok(CommitFigures {
        median_us: at(50).unwrap_or_default(),
        high_us: at(99).unwrap_or_default(),
        rate: large.len() as u64 * 1_000 / ms,
    })
}

/// The times of the commits of `length` bytes that [`DOCTOR_COMMITS_MS`] have room for, in
/// microseconds, and that of all together. They are waited for asleep, as a shard does.
async fn for_a_time(
    segment: &mut CommitSegment,
    length: usize,
    in_flight: usize,
) -> io::Result<(Vec<u64>, Duration)> {
    let (time, start) = (Duration::from_millis(DOCTOR_COMMITS_MS), Instant::now());
    let mut each_us = Vec::new();
    let more = |_| start.elapsed() < time;
    let done = |time: Duration| each_us.push(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    let payload = commits::payload(length);
    segment.commit(&payload, in_flight as u64, Wait::Sleep, more, done).await?;
    Ok((each_us, start.elapsed()))
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
