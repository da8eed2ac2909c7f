//! The directory of the spool: made, made durable, tried out and taken.
//!
//! # Guarantees
//! While a [`SpoolLock`] lives no other process holds one on the same directory. The kernel drops
//! it with the process, however that ends, so a lock is never left behind.
//!
//! # Failures
//! A [`Complaint`] that names the directory. A full disk is none: the server starts and refuses
//! mail until there is room.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;

use crate::arena::Image;
use crate::limits::BLOCK_BYTES;

use super::Complaint;

/// Holds the number of the process that has the spool, for whoever wonders.
const LOCK_FILE: &str = "lock";
/// Written and removed again.
const PROBE_FILE: &str = "probe";

/// The right of this process to the spool.
#[derive(Debug)]
pub struct SpoolLock {
    /// The lock is on the open file and lasts as long as it.
    _file: File,
}

/// Makes the directory at `path` ready for use and takes it.
///
/// # Errors
/// Why it cannot be used.
pub(super) fn prepare(path: &Path) -> Result<SpoolLock, Complaint> {
    make_durable_directory(path).map_err(|error| directory_complaint(path, &error))?;
    let lock = take(path)?;
    try_direct_write(path)?;
    Ok(lock)
}

/// Why the file system of the directory at `path` cannot hold a spool; a block is written to it and
/// removed again.
pub(crate) fn complaint(path: &Path) -> Option<Complaint> {
    try_direct_write(path).err()
}

/// The process that has the spool at `path`, if one does that can be found out.
pub(crate) fn holder(path: &Path) -> Option<u32> {
    let file = File::open(path.join(LOCK_FILE)).ok()?;
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Err(Errno::WOULDBLOCK) => read_holder(&file),
        Ok(()) | Err(_) => None,
    }
}

/// The number that the holder of a lock has written to it.
fn read_holder(file: &File) -> Option<u32> {
    let mut holder = String::new();
    file.take(20).read_to_string(&mut holder).ok()?;
    holder.trim().parse().ok()
}

/// Makes `path` and what is missing above it, each durable before the next: otherwise a crash could
/// take away a spool whose mail was acknowledged.
fn make_durable_directory(path: &Path) -> io::Result<()> {
    let mut missing = Vec::new();
    let mut above = path;
    while !above.as_os_str().is_empty() && !above.try_exists()? {
        missing.push(above);
        let Some(parent) = above.parent() else { break };
        above = parent;
    }
    for directory in missing.into_iter().rev() {
        // What is in it is mail: for the owner alone.
        fs::DirBuilder::new().mode(0o700).create(directory).or_else(|error| {
            let is_there = error.kind() == io::ErrorKind::AlreadyExists && directory.is_dir();
            if is_there { Ok(()) } else { Err(error) }
        })?;
        let parent = match directory.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            Some(_) | None => Path::new("."),
        };
        File::open(parent)?.sync_all()?;
    }
    if path.is_dir() { Ok(()) } else { Err(Errno::NOTDIR.into()) }
}

fn take(path: &Path) -> Result<SpoolLock, Complaint> {
    let file_path = path.join(LOCK_FILE);
    let opened = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&file_path);
    let mut file = opened.map_err(|error| directory_complaint(path, &error))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => {
            // Only for the message: what cannot be read is left out.
            let holder = read_holder(&file).map(|process| format!(" (process {process})"));
            let holder = holder.unwrap_or_default();
            return Err(Complaint::new(
                format!("the spool {} is in use by another ringpost{holder}", path.display()),
                "stop that one, or give this one a spool.path of its own",
            ));
        }
        Err(error) => return Err(directory_complaint(path, &error.into())),
    }
    // Without the number the lock is as good.
    let _ = file.set_len(0).and_then(|()| file.rewind());
    let _ = writeln!(file, "{}", std::process::id());
    Ok(SpoolLock { _file: file })
}

/// Writes a block past the page cache, as the spool does.
fn try_direct_write(path: &Path) -> Result<(), Complaint> {
    let file_path = path.join(PROBE_FILE);
    let direct = i32::try_from(OFlags::DIRECT.bits()).unwrap_or(0);
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .custom_flags(direct)
        .open(&file_path)
        .and_then(|file| file.write_all_at(Image::new(BLOCK_BYTES).free(), 0));
    // It may not be there, and if it stays it is in nobody's way.
    let _ = fs::remove_file(&file_path);
    match written {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::StorageFull => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::QuotaExceeded => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Err(Complaint::new(
            format!(
                "the file system of the spool {} does not support O_DIRECT in blocks of \
                 {BLOCK_BYTES} bytes",
                path.display()
            ),
            format!(
                "set spool.path to a directory on ext4 or XFS; df --output=fstype {} shows what \
                 it is on",
                path.display()
            ),
        )),
        Err(error) => Err(directory_complaint(path, &error)),
    }
}

fn directory_complaint(path: &Path, error: &io::Error) -> Complaint {
    let what = format!("the spool {} cannot be used: {error}", path.display());
    let path = path.display();
    let remedy = match Errno::from_io_error(error) {
        Some(Errno::ACCESS | Errno::PERM) => {
            format!(
                "as root: install -d -m 700 -o USER {path}; or set spool.path to a directory of \
                 this user"
            )
        }
        Some(Errno::ROFS) => {
            "set spool.path to a file system that is mounted for writing (under systemd \
             StateDirectory= or ReadWritePaths=)"
                .to_owned()
        }
        Some(Errno::NOTDIR | Errno::EXIST) => {
            "set spool.path to a directory: a file of that name is in the way".to_owned()
        }
        Some(_) | None => {
            format!("set spool.path to a directory on a local disk; look at: ls -ld {path}")
        }
    };
    Complaint::new(what, remedy)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::tests::temporary_directory;
    use super::*;

    #[test]
    fn a_missing_directory_is_made_for_its_owner_alone() {
        let root = temporary_directory();
        let path = root.path().join("a/b/spool");
        let _lock = prepare(&path).expect("usable");
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let files: Vec<_> = fs::read_dir(&path).expect("readable").flatten().collect();
        assert_eq!(files.len(), 1, "only the lock stays: {files:?}");
        let text = fs::read_to_string(path.join(LOCK_FILE)).expect("readable");
        assert_eq!(text, format!("{}\n", std::process::id()));
    }

    #[test]
    fn a_spool_has_one_holder_at_a_time() {
        let root = temporary_directory();
        let lock = prepare(root.path()).expect("usable");
        let complaint = prepare(root.path()).expect_err("taken").to_string();
        let expected = format!(
            "the spool {} is in use by another ringpost (process {}); stop that one, or give this \
             one a spool.path of its own",
            root.path().display(),
            std::process::id()
        );
        assert_eq!(complaint, expected);
        drop(lock);
        prepare(root.path()).expect("free again");
    }

    #[test]
    fn a_file_in_the_way() {
        let root = temporary_directory();
        let file = root.path().join("file");
        fs::write(&file, b"x").expect("written");
        for path in [file.clone(), file.join("spool")] {
            let complaint = prepare(&path).expect_err("no directory");
            assert!(complaint.what.contains("Not a directory"), "{complaint}");
            assert!(complaint.remedy.contains("in the way"), "{complaint}");
        }
    }

    #[test]
    fn a_file_system_that_lets_nothing_be_made() {
        // Even root cannot make a directory in /proc.
        let complaint = prepare(Path::new("/proc/ringpost-spool")).expect_err("not writable");
        assert!(complaint.what.starts_with("the spool /proc/ringpost-spool cannot be used"));
    }

    #[test]
    fn complaints_by_error() {
        let path = Path::new("/s");
        let cases = [
            (Errno::ACCESS, "as root: install -d -m 700"),
            (Errno::ROFS, "set spool.path to a file system that is mounted for writing"),
            (Errno::NOTDIR, "set spool.path to a directory: a file"),
            (Errno::IO, "set spool.path to a directory on a local disk"),
        ];
        for (errno, remedy) in cases {
            let complaint = directory_complaint(path, &errno.into());
            assert!(complaint.remedy.starts_with(remedy), "{complaint}");
        }
    }
}
