//! A shard's beginning: its spool is recovered, what other shards left behind is adopted, and only
//! then are connections taken.
//!
//! # Guarantees
//! - Every message that was answered with `250` and is not finished is in a queue before the first
//!   connection is accepted.
//! - A directory of a shard that is no more is removed only when all its messages are durable in
//!   the log of the shard that adopted them. A crash in between adopts the rest at the next start,
//!   each message once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use glommio::{ExecutorJoinHandle, LocalExecutorBuilder, Placement, PoolPlacement};
use slab::Slab;

use crate::counters::{Counters, PublishedCounters};
use crate::ids::{MessageId, MessageIds};
use crate::io::dns::Resolver;
use crate::io::ring::{Ring, RingError, Sleep};
use crate::io::store::{ShardDirectory, StoreError};
use crate::io::time;
use crate::limits::{EXECUTOR_IO_MEMORY_BYTES, EXECUTOR_RING_ENTRIES, PASSWORD_CHECKS_MAX};
use crate::queue::Queue;
use crate::seed::SeedStream;
use crate::spool::{self, Recovered, Room, SegmentFiles, Spool, SpoolOptions, read_extent};

use super::deadlines::{Deadlines, Scheduled};
use super::inbound::PasswordChecks;
use super::mesh::{Mesh, ShardHandle, mesh};
use super::names::QuerySockets;
use super::relay::IdleConnections;
use super::reports::Reports;
use super::settings::{ListenerSettings, ShardSettings};
use super::{Listener, Owner, Settings, Shard};

/// Bits of a serial behind those that name the shard: what is made unforgeable by a serial, as the
/// nonces of SCRAM are, must not come again on another shard.
const SERIAL_BITS: u32 = u64::BITS - u8::BITS;

/// Why a shard cannot start or had to end.
#[derive(Debug, thiserror::Error)]
pub enum ShardError {
    /// The executor cannot be made.
    #[error("cannot start the executor of a shard: {0}")]
    Executor(String),
    /// The kernel refused something that every shard needs.
    #[error("a shard cannot run: {0}")]
    System(#[from] io::Error),
    /// The ring cannot be made.
    #[error(transparent)]
    Ring(#[from] RingError),
    /// A file of the spool cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log of the shard cannot be recovered.
    #[error("the log in {path} cannot be recovered: {why}")]
    Recovery {
        /// The shard's directory.
        path: PathBuf,
        /// What was found.
        why: String,
    },
    /// Writes failed too often.
    #[error(
        "the spool takes nothing more after repeated write failures. Look at the disk (dmesg, \
         smartctl), then start the server again: nothing that was answered with 250 is lost"
    )]
    SpoolStopped,
    /// It ended before it was ready without saying why.
    #[error("a shard ended before it was ready")]
    Gone,
}

/// A shard that was started.
#[derive(Debug)]
pub struct Started {
    handle: ShardHandle,
    ready: Receiver<Result<Ready, ShardError>>,
    thread: ExecutorJoinHandle<Result<(), ShardError>>,
}

/// What a shard found when it started.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ready {
    /// Messages that its log held.
    pub recovered_count: usize,
    /// Messages that it took over from shards that are no more.
    pub adopted_count: usize,
}

impl Started {
    /// The end to talk to it.
    pub const fn handle(&self) -> &ShardHandle {
        &self.handle
    }

    /// Waits until it takes connections.
    ///
    /// # Errors
    /// Why it cannot.
    pub fn wait_until_ready(&self) -> Result<Ready, ShardError> {
        self.ready.recv().unwrap_or(Err(ShardError::Gone))
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// Why it had to.
    pub fn join(self) -> Result<(), ShardError> {
        self.thread.join().unwrap_or_else(|error| Err(ShardError::Executor(error.to_string())))
    }
}

/// Starts a shard on its CPU. It recovers `directory`, adopts the messages in `orphans`, shows its
/// counters in `published`, and calls `ended` when it ends.
///
/// # Errors
/// If its executor cannot be made. What comes later is told by [`Started::wait_until_ready`].
pub fn start(
    settings: ShardSettings,
    directory: ShardDirectory,
    orphans: Vec<ShardDirectory>,
    published: Arc<PublishedCounters>,
    ended: impl FnOnce() + Send + 'static,
) -> Result<Started, ShardError> {
    let (handle, mesh) = mesh()?;
    let (tell, ready) = sync_channel(1);
    let thread = LocalExecutorBuilder::new(Placement::Fixed(settings.cpu))
        .name(&format!("shard-{}", settings.id))
        .io_memory(EXECUTOR_IO_MEMORY_BYTES)
        .ring_depth(EXECUTOR_RING_ENTRIES)
        // Passwords must not keep the spool from its segments, nor either the shard from its CPU.
        .blocking_thread_pool_placement(PoolPlacement::Unbound(PASSWORD_CHECKS_MAX + 1))
        .spawn(move || async move {
            let result = live(settings, directory, orphans, published, mesh, tell).await;
            ended();
            result
        })
        .map_err(|error| ShardError::Executor(error.to_string()))?;
    Ok(Started { handle, ready, thread })
}

/// The life of a shard.
async fn live(
    settings: ShardSettings,
    directory: ShardDirectory,
    orphans: Vec<ShardDirectory>,
    published: Arc<PublishedCounters>,
    mesh: Mesh,
    tell: SyncSender<Result<Ready, ShardError>>,
) -> Result<(), ShardError> {
    let shard = prepare(settings, directory, orphans, published, mesh).await;
    match shard {
        Ok((shard, ready)) => {
            // Nobody listens only if the process is ending already.
            let _ = tell.send(Ok(ready));
            shard.run().await
        }
        Err(error) => {
            let _ = tell.send(Err(error));
            Ok(())
        }
    }
}

/// Recovers, adopts and begins to listen.
async fn prepare(
    mut settings: ShardSettings,
    directory: ShardDirectory,
    orphans: Vec<ShardDirectory>,
    published: Arc<PublishedCounters>,
    mesh: Mesh,
) -> Result<(Shard, Ready), ShardError> {
    let mut seeds = SeedStream::new(settings.seed);
    let own = recover(&directory, seeds.take())?;
    let mut left_behind = Vec::new();
    for orphan in orphans {
        let found = recover(&orphan, 0)?;
        left_behind.push((orphan, found));
    }
    let found = left_behind.iter().map(|(_, found)| found.highest_message);
    let highest_message = found.chain([own.highest_message]).max().flatten();
    let mut ready = Ready { recovered_count: own.messages.len(), adopted_count: 0 };
    let known: BTreeSet<MessageId> = own.messages.iter().map(|message| message.id).collect();
    let sockets = std::mem::take(&mut settings.listeners);
    let mut shard = Shard::new(settings, directory, &own, highest_message, published, mesh, seeds)?;
    shard.open_first_segment()?;
    for message in own.messages {
        shard.queue.insert(shard.wall, &shard.routes, message);
    }
    for (orphan, found) in left_behind {
        ready.adopted_count += shard.adopt(&orphan, &found, &known).await?;
    }
    shard.counters.queue_messages = shard.queue.len() as u64;
    for listener in sockets {
        shard.listen(listener);
    }
    Ok((shard, ready))
}

/// Recovers the log in `directory`; `log_id` names it if there is none yet.
fn recover(directory: &ShardDirectory, log_id: u64) -> Result<Recovered, ShardError> {
    let recovered = spool::recover(directory, log_id).map_err(|error| ShardError::Recovery {
        path: directory.path().to_owned(),
        why: error.to_string(),
    })?;
    for damage in &recovered.damage {
        tracing::error!(
            "damage in {}: {damage}. What else the log holds is delivered. Look at the disk: \
             dmesg, smartctl; then: ringpost spool verify {}",
            directory.path().display(),
            directory.path().parent().unwrap_or_else(|| directory.path()).display(),
        );
    }
    Ok(recovered)
}

const ADOPTION_NOT_WRITTEN: &str = "not all of its messages could be written to another shard's \
     log, and all stay where they are; look at the disk (dmesg, smartctl) and start again";
const NO_ROOM_TO_ADOPT: &str =
    "the spool of another shard has no room for its messages; free some space and start again";

impl Shard {
    fn new(
        settings: ShardSettings,
        directory: ShardDirectory,
        recovered: &Recovered,
        highest_message: Option<MessageId>,
        published: Arc<PublishedCounters>,
        mesh: Mesh,
        mut seeds: SeedStream,
    ) -> Result<Self, ShardError> {
        let (now, wall) = (time::monotonic(), time::wall());
        let mut segments = BTreeMap::new();
        for slot in directory.slots()? {
            segments.insert(slot, Rc::new(directory.open_segment(slot)?));
        }
        let options = SpoolOptions {
            segment_bytes: settings.segment_bytes,
            cache_bytes: settings.cache_bytes,
            ..SpoolOptions::default()
        };
        Ok(Self {
            ring: Ring::new(&mesh.waker)?,
            sleep: Sleep::new(&mesh.waker)?,
            spool: Spool::new(options, recovered),
            ids: MessageIds::new(settings.id, wall.as_unix_ms(), highest_message),
            queue: Queue::new(settings.queue),
            resolver: Resolver::new(settings.resolver, seeds.take()),
            client: Rc::new(settings.client),
            routes: settings.routes,
            settings: Settings {
                id: settings.id,
                hostname: settings.hostname,
                segment_bytes: settings.segment_bytes,
                durable: settings.durable,
                delivery_port: settings.delivery_port,
                connections_out_max: settings.connections_out_max,
                grace: settings.grace,
            },
            now,
            wall,
            mesh,
            deadlines: Deadlines::default(),
            seeds,
            serial: u64::from(settings.id.0) << SERIAL_BITS,
            counters: Counters::default(),
            published,
            shared: settings.shared,
            process_connections_max: settings.connections_max,
            listeners: Vec::new(),
            arrivals: Slab::new(),
            sessions: Slab::new(),
            stalled: Vec::new(),
            handshakes: VecDeque::new(),
            passwords: PasswordChecks::default(),
            scratch: Vec::new(),
            directory,
            segments,
            waiters: VecDeque::new(),
            preparing: false,
            segment_work: Rc::default(),
            no_space_told: false,
            spool_tick: Scheduled::default(),
            own_again: VecDeque::new(),
            moves: VecDeque::new(),
            chunk_reads: Slab::new(),
            relocation: None,
            connections: Slab::new(),
            idle: IdleConnections::default(),
            touched: Vec::new(),
            failed_sites: VecDeque::new(),
            unrecorded: VecDeque::new(),
            reports: Reports::default(),
            resolving: BTreeMap::new(),
            queries: QuerySockets::default(),
            stopping: None,
            cut_off: false,
            failed: false,
        })
    }

    /// Sees to it that the first commit finds a segment. A full disk does not keep the server from
    /// starting: what is in the queue can be delivered and makes room.
    fn open_first_segment(&mut self) -> Result<(), ShardError> {
        if let Some(slot) = self.spool.poll_segment_wanted() {
            match self.directory.prepare(slot, self.settings.segment_bytes) {
                Ok(()) => {
                    self.segments.insert(slot, Rc::new(self.directory.open_segment(slot)?));
                    self.spool.handle_segment_ready(slot);
                }
                Err(error) if error.is_out_of_space() => self.no_segment(&error),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn listen(&mut self, listener: ListenerSettings) {
        let key = self.ring.listen(listener.socket, Owner::Listener(self.listeners.len()));
        self.listeners.push(Listener::new(key, listener.reload));
    }

    /// Appends the messages that `found` holds to the shard's own log and returns how many there
    /// were, once they are durable. Those in `known` were adopted before a crash.
    async fn adopt(
        &mut self,
        orphan: &ShardDirectory,
        found: &Recovered,
        known: &BTreeSet<MessageId>,
    ) -> Result<usize, ShardError> {
        let unreadable = |why: String| ShardError::Recovery { path: orphan.path().to_owned(), why };
        let failures_before = self.counters.spool_commit_failures;
        let mut adopted = Vec::new();
        let mut bytes = Vec::new();
        for mut message in found.messages.iter().cloned() {
            if known.contains(&message.id) {
                continue;
            }
            let body = self.spool.begin_own_body();
            for extent in std::mem::take(&mut message.content.extents) {
                bytes.clear();
                let slot = found.slot_of(extent.generation);
                let slot = slot.ok_or_else(|| unreadable(format!("message {}", message.id)))?;
                read_extent(orphan, slot, &extent, &mut bytes)
                    .map_err(|error| unreadable(format!("message {}: {error}", message.id)))?;
                while self.spool.room() != Room::Ready && !self.no_space_told {
                    self.turn_or_sleep().await?;
                }
                let appended = self.spool.append_body(body, &bytes);
                appended.map_err(|_| unreadable(NO_ROOM_TO_ADOPT.into()))?;
            }
            let appended = self.spool.append_message(body, &mut message);
            appended.map_err(|_| unreadable(NO_ROOM_TO_ADOPT.into()))?;
            adopted.push(message);
        }
        while !self.spool.is_idle() {
            self.turn_or_sleep().await?;
        }
        if self.failed || self.counters.spool_commit_failures > failures_before {
            return Err(unreadable(ADOPTION_NOT_WRITTEN.into()));
        }
        // Before any of them is delivered: what is finished here must not come back from there.
        orphan.remove()?;
        let count = adopted.len();
        for message in adopted {
            self.queue.insert(self.wall, &self.routes, message);
        }
        Ok(count)
    }
}
