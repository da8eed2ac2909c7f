//! The files of a spool: one directory a shard, and the segment files in it.
//!
//! # Guarantees
//! - A segment file that is there under its name has its full length, was written once from end to
//!   end, and its directory entry is durable. It is prepared under another name before, so that a
//!   crash leaves nothing that looks ready.
//! - Segment files are opened for direct access (`O_DIRECT`), so that a write goes to the disk and
//!   not into memory that somebody else must flush.
//!
//! # Never
//! It does not know what is in a segment.
//!
//! # Failures
//! Every error names the path and what was attempted.
//!
//! # Bounds
//! [`SEGMENT_SLOT_COUNT_MAX`] segment files a directory.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, OFlags, fallocate};

use crate::arena::Image;
use crate::limits::{BLOCK_BYTES, SEGMENT_SLOT_COUNT_MAX, SHARD_COUNT_MAX};
use crate::spool::SegmentFiles;

const SHARD_PREFIX: &str = "shard-";
const SEGMENT_PREFIX: &str = "segment-";
const UNFINISHED_SUFFIX: &str = ".new";

/// Bytes of zeros written at a time when a segment file is prepared.
const PREPARE_BYTES: usize = 1 << 20;

/// Why a file of the spool cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The system refused.
    #[error("cannot {action} {path}: {source}")]
    System {
        /// What was attempted, as a verb phrase.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's word.
        #[source]
        source: io::Error,
    },
    /// A directory holds more segments than one shard may have.
    #[error("{path} holds more than {SEGMENT_SLOT_COUNT_MAX} segment files")]
    TooManySegments {
        /// The shard's directory.
        path: PathBuf,
    },
}

impl StoreError {
    /// The system's error, where there is one.
    pub fn system(&self) -> Option<&io::Error> {
        match self {
            Self::System { source, .. } => Some(source),
            Self::TooManySegments { .. } => None,
        }
    }

    /// Whether the file system, or the user's share of it, is full.
    pub fn is_out_of_space(&self) -> bool {
        let code = self.system().and_then(io::Error::raw_os_error);
        matches!(code, Some(libc::ENOSPC | libc::EDQUOT))
    }
}

/// Says which file an error of the system is about.
trait At<T> {
    fn at(self, action: &'static str, path: &Path) -> Result<T, StoreError>;
}

impl<T, E: Into<io::Error>> At<T> for Result<T, E> {
    fn at(self, action: &'static str, path: &Path) -> Result<T, StoreError> {
        self.map_err(|source| StoreError::System {
            action,
            path: path.to_owned(),
            source: source.into(),
        })
    }
}

/// The directory of a spool. Whoever writes to it holds its lock, which the host check takes.
#[derive(Clone, Debug)]
pub struct SpoolRoot {
    path: PathBuf,
}

impl SpoolRoot {
    /// The spool in the directory at `path`, which must be there.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// The indexes of the shards that have a directory, in rising order.
    ///
    /// # Errors
    /// What the system says to reading the directory.
    pub fn shards(&self) -> Result<Vec<usize>, StoreError> {
        let path = &self.path;
        let mut shards = Vec::new();
        for entry in fs::read_dir(path).at("read the spool directory", path)? {
            let name = entry.at("read the spool directory", path)?.file_name();
            let index = name.to_str().and_then(|name| name.strip_prefix(SHARD_PREFIX));
            if let Some(index) = index.and_then(|index| index.parse().ok())
                && index < SHARD_COUNT_MAX
            {
                shards.push(index);
            }
        }
        shards.sort_unstable();
        Ok(shards)
    }

    /// The directory of shard `index`, made if it is not there.
    ///
    /// # Errors
    /// What the system says.
    pub fn shard(&self, index: usize) -> Result<ShardDirectory, StoreError> {
        let path = self.shard_path(index);
        match fs::DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            created => created.at("create the shard directory", &path)?,
        }
        sync_directory(&self.path)?;
        ShardDirectory::open(path)
    }

    /// The directory of shard `index` for reading alone: nothing is made or removed.
    pub fn shard_to_read(&self, index: usize) -> ShardDirectory {
        ShardDirectory { path: self.shard_path(index) }
    }

    fn shard_path(&self, index: usize) -> PathBuf {
        self.path.join(format!("{SHARD_PREFIX}{index}"))
    }
}

/// The segment files of one shard.
#[derive(Clone, Debug)]
pub struct ShardDirectory {
    path: PathBuf,
}

impl ShardDirectory {
    /// The directory at `path`, which must be there. Segment files whose preparation a crash cut
    /// short are removed.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(path: PathBuf) -> Result<Self, StoreError> {
        for entry in fs::read_dir(&path).at("read the shard directory", &path)? {
            let entry = entry.at("read the shard directory", &path)?;
            if entry.file_name().to_string_lossy().ends_with(UNFINISHED_SUFFIX) {
                let unfinished = entry.path();
                fs::remove_file(&unfinished).at("remove the unfinished segment", &unfinished)?;
            }
        }
        Ok(Self { path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the segment file of `slot`, `segment_bytes` long, and returns when it is durable. It
    /// blocks for as long as the disk takes to write it once.
    ///
    /// # Errors
    /// `ENOSPC` when the file system is full; nothing is left behind then.
    pub fn prepare(&self, slot: u32, segment_bytes: u64) -> Result<(), StoreError> {
        let path = self.segment_path(slot);
        let unfinished = path.with_extension(&UNFINISHED_SUFFIX[1..]);
        let prepared = self.prepare_as(&unfinished, segment_bytes).and_then(|()| {
            fs::rename(&unfinished, &path).at("rename the segment", &path)?;
            sync_directory(&self.path)
        });
        if prepared.is_err() {
            // What is left of it would only take space; the next start removes it at the latest.
            let _ = fs::remove_file(&unfinished);
        }
        prepared
    }

    /// Opens the segment file of `slot` for direct reads and writes.
    ///
    /// # Errors
    /// What the system says.
    pub fn open_segment(&self, slot: u32) -> Result<File, StoreError> {
        let path = self.segment_path(slot);
        open_direct(File::options().read(true).write(true), &path).at("open the segment", &path)
    }

    /// Removes the segment file of `slot`.
    ///
    /// # Errors
    /// What the system says.
    pub fn delete(&self, slot: u32) -> Result<(), StoreError> {
        let path = self.segment_path(slot);
        fs::remove_file(&path).at("remove the segment", &path)?;
        sync_directory(&self.path)
    }

    /// Removes the directory with all that is in it.
    ///
    /// # Errors
    /// What the system says.
    pub fn remove(&self) -> Result<(), StoreError> {
        fs::remove_dir_all(&self.path).at("remove the shard directory", &self.path)?;
        self.path.parent().map_or(Ok(()), sync_directory)
    }

    fn segment_path(&self, slot: u32) -> PathBuf {
        self.path.join(format!("{SEGMENT_PREFIX}{slot:08}"))
    }

    fn prepare_as(&self, path: &Path, segment_bytes: u64) -> Result<(), StoreError> {
        let mut options = File::options();
        options.create(true).truncate(true).write(true).mode(0o600);
        let file = open_direct(&options, path).at("create the segment", path)?;
        fallocate(&file, FallocateFlags::empty(), 0, segment_bytes)
            .at("allocate space for the segment", path)?;
        // Written once, the extents are no longer marked unwritten, so that a commit changes no
        // metadata of the file system.
        let mut image = Image::new(PREPARE_BYTES);
        let zeros = image.freeze(PREPARE_BYTES);
        let mut offset = 0;
        while offset < segment_bytes {
            let rest = usize::try_from(segment_bytes - offset).unwrap_or(usize::MAX);
            let piece = &zeros[..rest.min(PREPARE_BYTES)];
            file.write_all_at(piece, offset).at("write the segment", path)?;
            offset += piece.len() as u64;
        }
        file.sync_all().at("sync the segment", path)
    }
}

impl SegmentFiles for ShardDirectory {
    type Error = StoreError;

    fn slots(&self) -> Result<Vec<u32>, StoreError> {
        let mut slots = Vec::new();
        for entry in fs::read_dir(&self.path).at("read the shard directory", &self.path)? {
            let name = entry.at("read the shard directory", &self.path)?.file_name();
            let slot = name.to_str().and_then(|name| name.strip_prefix(SEGMENT_PREFIX));
            slots.extend(slot.and_then(|slot| slot.parse::<u32>().ok()));
            if slots.len() > SEGMENT_SLOT_COUNT_MAX {
                return Err(StoreError::TooManySegments { path: self.path.clone() });
            }
        }
        slots.sort_unstable();
        Ok(slots)
    }

    fn length(&self, slot: u32) -> Result<u64, StoreError> {
        let path = self.segment_path(slot);
        fs::metadata(&path).map(|metadata| metadata.len()).at("look at the segment", &path)
    }

    fn read_at(&self, slot: u32, offset: u64, buffer: &mut [u8]) -> Result<usize, StoreError> {
        let path = self.segment_path(slot);
        let file = File::open(&path).at("open the segment", &path)?;
        let mut read = 0;
        while read < buffer.len() {
            let at = offset + read as u64;
            match file.read_at(&mut buffer[read..], at) {
                Ok(0) => break,
                Ok(count) => read += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error).at("read the segment", &path),
            }
        }
        Ok(read)
    }
}

/// Opens with `O_DIRECT`, or without on a file system that does not know it; the host check advises
/// against those.
fn open_direct(options: &fs::OpenOptions, path: &Path) -> io::Result<File> {
    let direct = i32::try_from(OFlags::DIRECT.bits()).unwrap_or(0);
    let opened = options.clone().custom_flags(direct).open(path);
    match opened {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => options.open(path),
        Ok(_) | Err(_) => opened,
    }
}

/// Makes the entries of a directory durable.
fn sync_directory(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|directory| directory.sync_all()).at("sync the directory", path)
}

const _: () = assert!(PREPARE_BYTES.is_multiple_of(BLOCK_BYTES), "direct writes are whole blocks");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_and_segments_are_found_again() {
        let directory = tempfile::tempdir().unwrap();
        let root = SpoolRoot::new(directory.path());
        root.shard(10).unwrap();
        let shard = root.shard(2).unwrap();
        assert_eq!(root.shards().unwrap(), [2, 10]);
        shard.prepare(7, 3 << 20).unwrap();
        shard.prepare(3, 1 << 20).unwrap();
        assert_eq!(shard.slots().unwrap(), [3, 7]);
        assert_eq!(shard.length(7).unwrap(), 3 << 20);
        let mut bytes = vec![1; 4096];
        assert_eq!(shard.read_at(7, (3 << 20) - 96, &mut bytes).unwrap(), 96);
        assert!(bytes[..96].iter().all(|&byte| byte == 0));
        shard.delete(3).unwrap();
        assert_eq!(shard.slots().unwrap(), [7]);
        root.shard(2).unwrap().remove().unwrap();
        assert_eq!(root.shards().unwrap(), [10]);
    }

    #[test]
    fn an_unfinished_segment_is_no_segment() {
        let directory = tempfile::tempdir().unwrap();
        let root = SpoolRoot::new(directory.path());
        let shard = root.shard(0).unwrap();
        let unfinished = shard.path().join("segment-00000001.new");
        fs::write(&unfinished, b"half").unwrap();
        assert!(shard.slots().unwrap().is_empty());
        root.shard(0).unwrap();
        assert!(!unfinished.exists());
    }

    #[test]
    fn errors_name_the_path() {
        let directory = tempfile::tempdir().unwrap();
        let error = SpoolRoot::new(&directory.path().join("none")).shard(3).unwrap_err();
        let error = error.to_string();
        assert!(error.starts_with("cannot create the shard directory"), "{error}");
        assert!(error.contains("none/shard-3"), "{error}");
    }
}
