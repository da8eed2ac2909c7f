//! What reaches the disk, by the count of the device itself.
//!
//! # Failures
//! A file system without a device of its own (tmpfs, overlay, btrfs) tells nothing.
//!
//! # Bounds
//! Whoever else writes to the device counts too: measure on a quiet machine.

use std::fs::{self, File};
use std::io;
use std::os::linux::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{major, minor, syncfs};

/// Sectors in the kernel's counts are of this size, whatever those of the device are (kernel
/// documentation, block/stat.rst).
const SECTOR_BYTES: u64 = 512;

/// The device under a directory.
#[derive(Debug)]
pub(super) struct Device {
    directory: File,
    statistics: PathBuf,
}

impl Device {
    /// The device that holds `directory`; none if it has none of its own.
    ///
    /// # Errors
    /// The directory cannot be opened.
    pub(super) fn under(directory: &Path) -> io::Result<Option<Self>> {
        let number = fs::metadata(directory)?.st_dev();
        let place = format!("/sys/dev/block/{}:{}/stat", major(number), minor(number));
        let statistics = PathBuf::from(place);
        let directory = File::open(directory)?;
        Ok(statistics.exists().then_some(Self { directory, statistics }))
    }

    /// Bytes written to it so far. What the file system still keeps in memory is written first.
    ///
    /// # Errors
    /// Writing fails, or the kernel does not tell.
    pub(super) fn written_bytes(&self) -> io::Result<u64> {
        syncfs(&self.directory)?;
        let text = fs::read_to_string(&self.statistics)?;
        let sectors = parse_sectors(&text).ok_or_else(|| {
            io::Error::other(format!("{} is of another form", self.statistics.display()))
        })?;
        Ok(sectors * SECTOR_BYTES)
    }
}

/// The seventh field: sectors written.
fn parse_sectors(text: &str) -> Option<u64> {
    text.split_ascii_whitespace().nth(6)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn sectors_are_read() {
        let text = "   13540  4379  1137074  5270  146340  76210  4458016  80770  0 51330 86040\n";
        assert_eq!(parse_sectors(text), Some(4_458_016));
        assert_eq!(parse_sectors("1 2 3"), None);
    }

    #[test]
    fn what_is_written_counts() {
        let directory = tempfile::tempdir().unwrap();
        let Some(device) = Device::under(directory.path()).unwrap() else { return };
        let before = device.written_bytes().unwrap();
        let mut file = File::create(directory.path().join("file")).unwrap();
        file.write_all(&vec![7; 1 << 20]).unwrap();
        assert!(device.written_bytes().unwrap() >= before + (1 << 20));
    }
}
