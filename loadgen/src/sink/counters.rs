//! What is counted while a sink runs, over all its threads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Counts that others may look at meanwhile.
#[derive(Debug)]
pub(crate) struct Counters {
    origin: Instant,
    connections: AtomicU64,
    messages: AtomicU64,
    recipients: AtomicU64,
    bytes: AtomicU64,
    /// Messages of a source that came for the first time.
    fresh: AtomicU64,
    /// When the newest message came, in microseconds since `origin`.
    last_us: AtomicU64,
}

impl Counters {
    pub(super) fn new() -> Self {
        Self {
            origin: Instant::now(),
            connections: AtomicU64::new(0),
            messages: AtomicU64::new(0),
            recipients: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            fresh: AtomicU64::new(0),
            last_us: AtomicU64::new(0),
        }
    }

    /// Connections so far that were greeted.
    pub(super) fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Messages so far.
    pub(crate) fn messages(&self) -> u64 {
        self.messages.load(Ordering::Relaxed)
    }

    pub(super) fn recipients(&self) -> u64 {
        self.recipients.load(Ordering::Relaxed)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Different messages so far.
    pub(crate) fn fresh(&self) -> u64 {
        self.fresh.load(Ordering::Relaxed)
    }

    /// When the newest message came.
    pub(crate) fn last_message_at(&self) -> Instant {
        self.origin + Duration::from_micros(self.last_us.load(Ordering::Relaxed))
    }

    pub(super) fn note_connection(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    /// A message came; how many have.
    pub(super) fn note_message(&self, recipients: u64, bytes: u64, is_fresh: bool) -> u64 {
        self.recipients.fetch_add(recipients, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let us = u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.last_us.store(us, Ordering::Relaxed);
        self.fresh.fetch_add(u64::from(is_fresh), Ordering::Relaxed);
        self.messages.fetch_add(1, Ordering::Relaxed) + 1
    }
}
