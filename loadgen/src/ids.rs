//! Ids that were seen: as a set, to count losses and duplicates, and as lines of a file, for other
//! programs to compare.
//!
//! # Guarantees
//! A line is written whole, also when several threads write into one file and when the process is
//! killed between two writes.
//!
//! # Bounds
//! `PAGES_MAX` for the set: ids past it are counted as not told apart. `LOG_BYTES_MAX` for what
//! waits to be written.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use crate::stamp::Id;

const PAGE_WORDS: usize = 512;
const PAGE_IDS: u64 = PAGE_WORDS as u64 * 64;

/// 4 KiB each, so 1 GiB and room for eight thousand million ids in a row.
const PAGES_MAX: usize = 262_144;

/// A set of ids: bits in pages, since the numbers of a run are dense.
#[derive(Debug, Default)]
pub(crate) struct IdSet {
    pages: HashMap<(u64, u64), Box<[u64; PAGE_WORDS]>>,
    len: u64,
}

impl IdSet {
    /// Adds `id`; whether it was not in before. False too if the set is full.
    pub(crate) fn insert(&mut self, id: Id) -> bool {
        let key = (id.run, id.number / PAGE_IDS);
        if self.pages.len() >= PAGES_MAX && !self.pages.contains_key(&key) {
            return false;
        }
        let page = self.pages.entry(key).or_insert_with(|| Box::new([0; PAGE_WORDS]));
        let place = id.number % PAGE_IDS;
        // place / 64 < PAGE_WORDS, which fits.
        let word = usize::try_from(place / 64).unwrap_or_default();
        let bit = 1_u64 << (place % 64);
        let fresh = page[word] & bit == 0;
        page[word] |= bit;
        self.len += u64::from(fresh);
        fresh
    }

    /// How many ids are in.
    pub(crate) const fn len(&self) -> u64 {
        self.len
    }

    /// Adds all of `other`.
    pub(crate) fn add(&mut self, other: Self) {
        for (key, page) in other.pages {
            let own = self.pages.entry(key).or_insert_with(|| Box::new([0; PAGE_WORDS]));
            for (own, other) in own.iter_mut().zip(page.iter()) {
                self.len += u64::from((other & !*own).count_ones());
                *own |= other;
            }
        }
    }
}

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
    fn a_set_tells_ids_apart() {
        let mut set = IdSet::default();
        for (entry, fresh) in [
            (id(1, 0), true),
            (id(1, 0), false),
            (id(2, 0), true),
            (id(1, 63), true),
            (id(1, 64), true),
            (id(1, PAGE_IDS), true),
            (id(1, u64::MAX), true),
            (id(1, u64::MAX), false),
        ] {
            assert_eq!(set.insert(entry), fresh, "{entry}");
        }
        assert_eq!(set.len(), 6);
    }

    #[test]
    fn sets_add_up() {
        let (mut one, mut other) = (IdSet::default(), IdSet::default());
        for number in 0..100_000 {
            one.insert(id(7, number));
            other.insert(id(7, number + 50_000));
        }
        other.insert(id(8, 1));
        one.add(other);
        assert_eq!(one.len(), 150_001);
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
