//! Messages to which something happens at a time, whether an attempt is made or not.
//!
//! # Guarantees
//! The earliest comes first. Every operation is O(log n) in the messages that have an alarm, which
//! are few: those whose client asked for it.

use std::collections::BTreeSet;

use super::schedule::Entry;
use super::slots::Key;
use crate::clock::WallTime;

/// The alarms of all messages, at most one for each.
#[derive(Debug, Default)]
pub(super) struct Alarms {
    by_time: BTreeSet<(WallTime, Key<Entry>)>,
}

impl Alarms {
    /// Moves the alarm of `entry` from `old` to `new`.
    pub(super) fn set(&mut self, entry: Key<Entry>, old: Option<WallTime>, new: Option<WallTime>) {
        if let Some(old) = old {
            let was_there = self.by_time.remove(&(old, entry));
            debug_assert!(was_there, "an alarm was lost");
        }
        if let Some(new) = new {
            self.by_time.insert((new, entry));
        }
    }

    /// When the first is due.
    pub(super) fn next_due(&self) -> Option<WallTime> {
        self.by_time.first().map(|&(at, _)| at)
    }

    /// Whose alarm is first, if it is due at `wall`; it stays set.
    pub(super) fn first_due(&self, wall: WallTime) -> Option<Key<Entry>> {
        self.by_time.first().filter(|(at, _)| *at <= wall).map(|&(_, entry)| entry)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.by_time.len()
    }
}
