//! Deferred tasks by the time at which they are due.
//!
//! # Guarantees
//! The earliest comes first; of those due at the same millisecond the one in the lower slot, which
//! is arbitrary but the same in every run. Every operation is O(log n).

use std::collections::BTreeSet;

use super::slots::Key;
use super::task::Task;
use crate::clock::WallTime;

/// The set of deferred tasks.
#[derive(Debug)]
pub(super) struct Deferred {
    by_due: BTreeSet<(WallTime, Key<Task>)>,
}

impl Deferred {
    pub(super) const fn new() -> Self {
        Self { by_due: BTreeSet::new() }
    }

    pub(super) fn insert(&mut self, due: WallTime, task: Key<Task>) {
        let is_new = self.by_due.insert((due, task));
        debug_assert!(is_new, "a task was deferred twice");
    }

    pub(super) fn remove(&mut self, due: WallTime, task: Key<Task>) {
        let was_there = self.by_due.remove(&(due, task));
        debug_assert!(was_there, "a deferred task was not among the deferred");
    }

    /// When the earliest is due.
    pub(super) fn next_due(&self) -> Option<WallTime> {
        self.by_due.first().map(|&(due, _)| due)
    }

    /// Takes the earliest out if it is due at `wall`.
    pub(super) fn pop_due(&mut self, wall: WallTime) -> Option<Key<Task>> {
        if self.next_due()? > wall {
            return None;
        }
        self.by_due.pop_first().map(|(_, task)| task)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.by_due.len()
    }
}
