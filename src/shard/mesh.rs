//! What crosses from other threads into a shard, and nothing else does.
//!
//! # Bounds
//! [`MESH_MESSAGES_MAX`] messages wait for a shard; a sender that finds more is told so and never
//! waits.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::io::ring::Waker;
use crate::limits::MESH_MESSAGES_MAX;

use super::settings::Reload;

/// What a shard can be told.
#[derive(Debug)]
pub enum ToShard {
    /// Take no new connections and no new mail, let running transactions end, commit, and end.
    Stop,
    /// Go on with these settings.
    Reload(Box<Reload>),
}

/// What all shards of the process share, besides the counts of its policies: one of these, cloned
/// for each shard.
#[derive(Clone, Debug, Default)]
pub struct Shared {
    connections: Arc<AtomicUsize>,
    memory_is_short: Arc<AtomicBool>,
}

impl Shared {
    /// With no connections yet. Others set `memory_is_short` when it is.
    pub fn new(memory_is_short: Arc<AtomicBool>) -> Self {
        Self { connections: Arc::default(), memory_is_short }
    }

    /// Counts one more connection from a client, unless there are `connections_max`.
    pub(super) fn enter(&self, connections_max: usize) -> bool {
        // Relaxed: only the number matters, and nothing is read by it.
        let before = self.connections.fetch_add(1, Ordering::Relaxed);
        let is_room = before < connections_max;
        if !is_room {
            self.leave();
        }
        is_room
    }

    /// Counts one less.
    pub(super) fn leave(&self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn memory_is_short(&self) -> bool {
        self.memory_is_short.load(Ordering::Relaxed)
    }
}

/// The end that other threads hold.
#[derive(Clone, Debug)]
pub struct ShardHandle {
    sender: SyncSender<ToShard>,
    waker: Waker,
}

impl ShardHandle {
    /// Sends `message` and wakes the shard. Returns whether it was taken: not if the shard has
    /// ended or too many messages wait.
    pub fn send(&self, message: ToShard) -> bool {
        let taken = self.sender.try_send(message).is_ok();
        self.waker.wake();
        taken
    }
}

/// The shard's end.
#[derive(Debug)]
pub struct Mesh {
    receiver: Receiver<ToShard>,
    pub(super) waker: Waker,
}

impl Mesh {
    /// The next message, if one is there.
    pub(super) fn take(&self) -> Option<ToShard> {
        self.receiver.try_recv().ok()
    }
}

/// Both ends.
///
/// # Errors
/// `EMFILE` or `ENFILE` when descriptors run out.
pub fn mesh() -> io::Result<(ShardHandle, Mesh)> {
    let waker = Waker::new()?;
    let (sender, receiver) = sync_channel(MESH_MESSAGES_MAX);
    Ok((ShardHandle { sender, waker: waker.clone() }, Mesh { receiver, waker }))
}
