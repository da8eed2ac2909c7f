//! When a shard must look at a session or a connection again, even if nothing arrives.
//!
//! A deadline that moves back with every command is not moved in here: its owner has one entry at
//! the earliest time it was ever scheduled for, and when that comes, the owner says what it really
//! waits for. So an entry costs nothing per command.
//!
//! # Bounds
//! At most one entry an owner and reschedule to an earlier time; an entry that finds its owner
//! gone is dropped when its time comes.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::clock::Now;

/// Who is to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Waiting {
    Arrival { index: usize, serial: u64 },
    Session { index: usize, serial: u64 },
    Connection { index: usize, serial: u64 },
    AcceptAgain,
    SpoolTick,
}

/// One owner's earliest scheduled time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Scheduled(Option<Now>);

#[derive(Debug, Default)]
pub(super) struct Deadlines {
    heap: BinaryHeap<Reverse<(Now, Waiting)>>,
}

impl Deadlines {
    /// Makes sure that `waiting` is looked at by `at`.
    pub(super) fn schedule(&mut self, scheduled: &mut Scheduled, at: Now, waiting: Waiting) {
        if scheduled.0.is_some_and(|earlier| earlier <= at) {
            return;
        }
        scheduled.0 = Some(at);
        self.heap.push(Reverse((at, waiting)));
    }

    /// The next one whose time has come. It must be told through [`Scheduled::came`].
    pub(super) fn take_due(&mut self, now: Now) -> Option<(Now, Waiting)> {
        let Reverse((at, _)) = self.heap.peek()?;
        if *at > now {
            return None;
        }
        self.heap.pop().map(|Reverse(due)| due)
    }

    /// The earliest time that anything waits for.
    pub(super) fn next(&self) -> Option<Now> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }
}

impl Scheduled {
    /// Notes that the entry for `at` is used up. Returns whether it was the current one; an entry
    /// that an earlier one has overtaken says nothing.
    pub(super) fn came(&mut self, at: Now) -> bool {
        let current = self.0 == Some(at);
        if current {
            self.0 = None;
        }
        current
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_deadline_needs_no_entry_and_an_earlier_one_overtakes() {
        let mut deadlines = Deadlines::default();
        let mut scheduled = Scheduled::default();
        let who = Waiting::Session { index: 1, serial: 2 };
        deadlines.schedule(&mut scheduled, Now::from_us(50), who);
        deadlines.schedule(&mut scheduled, Now::from_us(90), who);
        assert_eq!(deadlines.heap.len(), 1);
        deadlines.schedule(&mut scheduled, Now::from_us(20), who);
        assert_eq!(deadlines.next(), Some(Now::from_us(20)));
        assert_eq!(deadlines.take_due(Now::from_us(10)), None);
        let (at, due) = deadlines.take_due(Now::from_us(60)).unwrap();
        assert_eq!(due, who);
        assert!(scheduled.came(at));
        let (at, _) = deadlines.take_due(Now::from_us(60)).unwrap();
        assert!(!scheduled.came(at));
        assert_eq!(deadlines.next(), None);
    }
}
