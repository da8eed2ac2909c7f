//! A socket that the ring works on, and the handle through which the shard speaks of it.

use std::os::fd::{AsRawFd, OwnedFd};

use io_uring::types::Fd;

/// A socket that was given to the ring. Only [`Ring::close`](super::Ring::close) ends it, and
/// closing takes the key, so that nothing can be asked of a socket that is gone.
#[derive(Debug)]
pub struct SocketKey(pub(super) usize);

/// A listening socket that was given to the ring.
#[derive(Debug)]
pub struct ListenerKey(pub(super) usize);

/// What a socket's receive side is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Receiving {
    /// Nothing: not asked for yet, paused, or over.
    Off,
    /// The multishot receive with this operation key is in flight.
    On(usize),
    /// It shall go on as soon as there is a free buffer.
    Starved,
}

#[derive(Debug)]
pub(super) struct Socket<O> {
    pub(super) descriptor: OwnedFd,
    pub(super) owner: O,
    pub(super) receiving: Receiving,
    /// Whether the shard wants to receive; false while paused.
    pub(super) wanted: bool,
    pub(super) sending: bool,
    /// Whether `close` was called: completions are swallowed, and the descriptor is closed with
    /// the last of them.
    pub(super) closing: bool,
    /// Operations in flight.
    pub(super) operations: u32,
}

impl<O> Socket<O> {
    pub(super) fn fd(&self) -> Fd {
        Fd(self.descriptor.as_raw_fd())
    }
}

#[derive(Debug)]
pub(super) struct Listener<O> {
    pub(super) descriptor: OwnedFd,
    pub(super) owner: O,
    pub(super) accepting: Option<usize>,
    pub(super) closing: bool,
}
