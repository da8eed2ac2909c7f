//! How a shard sleeps and how it is woken: one eventfd, which the kernel writes when its ring has
//! something to say and which other threads write when they have.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::sync::Arc;

use glommio::io::BufferedFile;
use rustix::event::{EventfdFlags, eventfd};

/// Wakes a sleeping shard from any thread.
#[derive(Clone, Debug)]
pub struct Waker {
    event: Arc<OwnedFd>,
}

impl Waker {
    /// A waker whose shard is made later with [`Sleep::new`].
    ///
    /// # Errors
    /// `EMFILE` or `ENFILE` when descriptors run out.
    pub fn new() -> io::Result<Self> {
        // A descriptor in non-blocking mode would make the ring's read fail at once instead of
        // waiting.
        let event = eventfd(0, EventfdFlags::CLOEXEC)?;
        Ok(Self { event: Arc::new(event) })
    }

    /// Wakes the shard, or keeps it from falling asleep.
    pub fn wake(&self) {
        // It fails only when the counter is full, and then the shard is about to wake anyway.
        let _ = rustix::io::write(&self.event, &1u64.to_ne_bytes());
    }

    pub(super) fn event(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

/// The sleeping side, used on the shard's own executor.
#[derive(Debug)]
pub struct Sleep {
    event: BufferedFile,
}

impl Sleep {
    /// The sleeping side of `waker`.
    ///
    /// # Errors
    /// `EMFILE` or `ENFILE` when descriptors run out.
    pub fn new(waker: &Waker) -> io::Result<Self> {
        let own = waker.event.try_clone()?;
        // SAFETY: the descriptor was just duplicated and is owned by nothing else.
        let event = unsafe { std::os::fd::FromRawFd::from_raw_fd(own.into_raw_fd()) };
        Ok(Self { event })
    }

    /// Waits until somebody has called [`Waker::wake`] or the kernel has completed something since
    /// the last wait, while other tasks of the executor run.
    ///
    /// # Errors
    /// What the executor's own ring says to the read.
    pub async fn wait(&self) -> io::Result<()> {
        self.event.read_at(0, size_of::<u64>()).await.map(drop).map_err(io::Error::from)
    }
}
