//! Replies that wait to be transmitted, in the order of their commands.
//!
//! # Guarantees
//! While the reply to a message is awaited, the replies to the commands behind it are held back
//! (RFC 2920 §3.2: replies come in the order of the commands).
//!
//! # Bounds
//! [`REPLIES_BYTES_MAX`], and one reply: whoever pushes asks [`is_full`](ReplyQueue::is_full)
//! before it looks at the next command.

use crate::limits::{REPLIES_BYTES_MAX, REPLY_KEPT_BYTES};

/// `ready <= bytes.len()`, and equal unless it is held.
///
/// ```text
/// 0             ready               bytes.len()
/// | may go out    | held: behind the   |
/// | at any time   | awaited reply      |
/// ```
#[derive(Debug, Default)]
pub(super) struct ReplyQueue {
    bytes: Vec<u8>,
    ready: usize,
    is_held: bool,
}

impl ReplyQueue {
    /// Appends the reply that `write` writes.
    pub(super) fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
        if !self.is_held {
            self.ready = self.bytes.len();
        }
        self.check();
    }

    /// Leaves a place for a reply that is not known yet.
    pub(super) fn hold(&mut self) {
        debug_assert!(!self.is_held, "two replies are awaited");
        self.is_held = true;
    }

    /// Puts the reply that `write` writes in the place that [`hold`](Self::hold) left.
    pub(super) fn release(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        debug_assert!(self.is_held, "no reply is awaited");
        self.is_held = false;
        let held_end = self.bytes.len();
        write(&mut self.bytes);
        let written = self.bytes.len() - held_end;
        self.bytes[self.ready..].rotate_right(written);
        self.ready = self.bytes.len();
        self.check();
    }

    /// Moves what may go out to the end of `out`; whether there was any.
    pub(super) fn transmit(&mut self, out: &mut Vec<u8>) -> bool {
        if self.ready == 0 {
            return false;
        }
        out.extend_from_slice(&self.bytes[..self.ready]);
        if self.ready < self.bytes.len() {
            self.bytes.drain(..self.ready);
        } else if self.bytes.capacity() > REPLY_KEPT_BYTES {
            self.bytes = Vec::new();
        } else {
            self.bytes.clear();
        }
        self.ready = 0;
        true
    }

    /// Drops everything.
    pub(super) fn discard(&mut self) {
        *self = Self::default();
    }

    /// Whether a reply is awaited.
    pub(super) const fn is_held(&self) -> bool {
        self.is_held
    }

    /// Whether nothing waits.
    pub(super) const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Whether so much waits that no further command may be looked at.
    pub(super) const fn is_full(&self) -> bool {
        self.bytes.len() >= REPLIES_BYTES_MAX
    }

    #[cfg(test)]
    pub(super) fn heap_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    fn check(&self) {
        debug_assert!(self.ready <= self.bytes.len(), "ready reaches past the replies");
        debug_assert!(self.is_held || self.ready == self.bytes.len(), "held for no reason");
    }
}
