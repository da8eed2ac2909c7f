//! When each command left, so that the time to its reply can be told, with PIPELINING too.
//!
//! # Guarantees
//! A command has left once its last byte was handed to the kernel; the time is that before the
//! system call, so that no reply is faster than it was. Over TLS it may be somewhat before: what is
//! encrypted counts as handed over.
//!
//! # Never
//! Reads a clock.
//!
//! # Bounds
//! As many as there are replies due.

use std::collections::VecDeque;
use std::time::Instant;

/// Commands whose replies are due, oldest first.
#[derive(Debug, Default)]
pub(super) struct Departures {
    /// When those left that have.
    left: VecDeque<Instant>,
    /// Where the others end, in bytes from the beginning of the connection.
    waiting: VecDeque<u64>,
}

impl Departures {
    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.left.len() + self.waiting.len()
    }

    /// Another command, which ends at byte `end` of the connection.
    pub(super) fn queue(&mut self, end: u64) {
        self.waiting.push_back(end);
    }

    /// The connection's first `handed` bytes are with the kernel, the last of them since `now`.
    pub(super) fn leave(&mut self, handed: u64, now: Instant) {
        while self.waiting.front().is_some_and(|end| *end <= handed) {
            self.waiting.pop_front();
            self.left.push_back(now);
        }
    }

    /// The oldest command is answered: when it left, if it had.
    pub(super) fn answer(&mut self) -> Option<Instant> {
        let left = self.left.pop_front();
        if left.is_none() {
            self.waiting.pop_front();
        }
        left
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.left.clear();
        self.waiting.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_command_leaves_with_its_last_byte() {
        let begin = Instant::now();
        let at = |ms| begin + Duration::from_millis(ms);
        let mut departures = Departures::default();
        departures.queue(10);
        departures.queue(10);
        departures.queue(1_000);
        departures.leave(10, at(1));
        departures.queue(1_010);
        assert_eq!(departures.answer(), Some(at(1)));
        departures.leave(999, at(2));
        departures.leave(1_010, at(3));
        assert_eq!(departures.count(), 3);
        assert_eq!(departures.answer(), Some(at(1)));
        assert_eq!(departures.answer(), Some(at(3)));
        assert_eq!(departures.answer(), Some(at(3)));
        departures.queue(2_000);
        assert_eq!(departures.answer(), None, "it was answered before it had left");
        assert_eq!((departures.count(), departures.answer()), (0, None));
    }
}
