//! Being asked to stop: by SIGTERM, SIGINT or another part of the program.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};

/// A flag that all its clones see.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop {
    signalled: Arc<AtomicBool>,
    asked: Arc<AtomicBool>,
}

impl Stop {
    /// A flag that SIGTERM and SIGINT set.
    ///
    /// # Errors
    /// The signals cannot be caught.
    pub(crate) fn on_signals() -> io::Result<Self> {
        let stop = Self::default();
        for signal in [SIGTERM, SIGINT] {
            signal_hook::flag::register(signal, Arc::clone(&stop.signalled))?;
        }
        Ok(stop)
    }

    /// A flag of its own that the same signals set.
    pub(crate) fn part(&self) -> Self {
        Self { signalled: Arc::clone(&self.signalled), asked: Arc::default() }
    }

    /// Asks to stop.
    pub(crate) fn set(&self) {
        self.asked.store(true, Ordering::Relaxed);
    }

    /// Whether someone asked or a signal came.
    pub(crate) fn is_set(&self) -> bool {
        self.asked.load(Ordering::Relaxed) || self.is_signalled()
    }

    /// Whether a signal came.
    pub(crate) fn is_signalled(&self) -> bool {
        self.signalled.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_stops_alone() {
        let whole = Stop::default();
        let part = whole.part();
        part.set();
        assert!(part.is_set());
        assert!(!part.is_signalled());
        assert!(!whole.is_set());
    }
}
