//! Ids that were seen, as lines of a file, for other programs to compare.
//!
//! # Guarantees
//! A line is written whole, also when several threads write into one file and when the process is
//! killed between two writes.
//!
//! # Bounds
//! [`LOG_BYTES_MAX`] for what waits to be written.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use crate::stamp::Id;

/// When this much waits, it is written at once.
const LOG_BYTES_MAX: usize = 32_768;

/// Lines with ids on their way to a file. Each thread has its own, all write to one file.
#[derive(Debug)]
pub(crate) struct IdLog {
    file: Option<Arc<File>>,
    waiting: Vec<u8>,
}

impl IdLog {
    /// The file for all threads, emptied; none without a path.
    ///
    /// # Errors
    /// The file cannot be created.
    pub(crate) fn create(path: Option<&Path>) -> io::Result<Option<Arc<File>>> {
        let Some(path) = path else {
            return Ok(None);
        };
        File::create(path)?;
        // With O_APPEND each write lands whole behind the ones before.
        Ok(Some(Arc::new(OpenOptions::new().append(true).open(path)?)))
    }

    /// A log into `file`; without one it does nothing.
    pub(crate) fn new(file: Option<Arc<File>>) -> Self {
        Self { file, waiting: Vec::new() }
    }

    /// One more line: the id, or `-` for a message that carries none.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn push(&mut self, id: Option<Id>) -> io::Result<()> {
        if self.file.is_none() {
            return Ok(());
        }
        // Writing to a Vec cannot fail.
        let _ = match id {
            Some(id) => writeln!(self.waiting, "{id}"),
            None => writeln!(self.waiting, "-"),
        };
        if self.waiting.len() >= LOG_BYTES_MAX { self.flush() } else { Ok(()) }
    }

    /// Hands everything to the kernel, which keeps it if this process dies.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if let (Some(file), false) = (&self.file, self.waiting.is_empty()) {
            file.as_ref().write_all(&self.waiting)?;
            self.waiting.clear();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(run: u64, number: u64) -> Id {
        Id { run, number }
    }

    #[test]
    fn lines_of_several_logs_share_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ids");
        let file = IdLog::create(Some(&path)).unwrap();
        let (mut one, mut other) = (IdLog::new(file.clone()), IdLog::new(file));
        one.push(Some(id(1, 1))).unwrap();
        other.push(None).unwrap();
        one.flush().unwrap();
        other.flush().unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        assert_eq!(text, "0000000000000001-0000000001\n-\n");
    }
}
