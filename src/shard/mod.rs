//! One core: a loop that owns a ring, a spool, a queue and all sessions and connections of its
//! CPU, and shares nothing.
//!
//! # One turn
//! 1. The ring submits what the last turn asked for and hands out what the kernel has done.
//! 2. Each completion goes to the machine that it concerns.
//! 3. Deadlines, messages of other threads, name look-ups, the relay and the spool are pumped.
//! 4. If nothing is left to do, the shard sleeps until the kernel or another thread wakes it.
//!
//! # Guarantees
//! - No `250` to a message before the commit that holds it has returned (see
//!   `spooling`).
//! - Nothing in here waits: what may block (making and removing segment files) runs on a thread of
//!   its own.
//!
//! # Bounds
//! Every table in here has a named bound in [`limits`](crate::limits) or is proportional to the
//! messages in the queue.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use slab::Slab;

use crate::clock::{Now, WallTime};
use crate::counters::{Counters, PublishedCounters};
use crate::ids::MessageIds;
use crate::io::dns::{LookUpId, QueryId, Resolver};
use crate::io::ring::{Completion, ListenerKey, Ring, Sleep};
use crate::io::store::ShardDirectory;
use crate::io::time;
use crate::limits::ACCEPT_RETRY_MS;
use crate::network::Network;
use crate::proto::client::{ClientSettings, Failure};
use crate::proto::server::{Conditions, Storage};
use crate::queue::Queue;
use crate::route::{NextHop, RouteTable};
use crate::seed::SeedStream;
use crate::spool::{Room, Spool, WriteId};

mod content;
mod deadlines;
mod inbound;
mod mesh;
mod names;
mod outcomes;
mod relay;
mod relocation;
mod reports;
mod sending;
mod settings;
mod spooling;
mod start;
mod talk;

pub use mesh::{Mesh, ShardHandle, Shared, ToShard, mesh};
pub use settings::{ListenerReload, ListenerSettings, Reload, ShardSettings};
pub use start::{Ready, ShardError, Started, start};

use content::ChunkRead;
use deadlines::{Deadlines, Scheduled, Waiting};
use inbound::{Arrival, Offer, PasswordChecks, Session};
use names::QuerySockets;
use outcomes::{OwnMessage, Unrecorded};
use relay::{Connection, IdleConnections};
use relocation::{Move, Relocation};
use reports::Reports;
use spooling::{SegmentWork, Waiter};

/// Whose operation the ring has completed.
#[derive(Clone, Copy, Debug)]
enum Owner {
    Listener(usize),
    Arrival(usize),
    Session(usize),
    Connection(usize),
    Query(QueryId),
    Commit { write: WriteId, began: Now },
    Chunk(usize),
}

/// A listening socket with what it offers.
#[derive(Debug)]
struct Listener {
    key: Option<ListenerKey>,
    offer: Rc<Offer>,
    proxy_from: Vec<Network>,
    connections_max: usize,
    /// Connections that are open.
    connections: usize,
    /// Connections on top of them, which are told that there is no room.
    refused: usize,
}

impl Listener {
    fn new(key: ListenerKey, reload: ListenerReload) -> Self {
        let ListenerReload { policy, tls, proxy_from, connections_max } = reload;
        let offer = Rc::new(Offer { policy: Rc::new(policy), tls });
        Self { key: Some(key), offer, proxy_from, connections_max, connections: 0, refused: 0 }
    }

    fn reload(&mut self, reload: ListenerReload) {
        let ListenerReload { policy, tls, proxy_from, connections_max } = reload;
        self.offer = Rc::new(Offer { policy: Rc::new(policy), tls });
        self.proxy_from = proxy_from;
        self.connections_max = connections_max;
    }
}

/// See the [module](self).
#[derive(Debug)]
struct Shard {
    settings: Settings,
    now: Now,
    wall: WallTime,
    ring: Ring<Owner>,
    sleep: Sleep,
    mesh: Mesh,
    deadlines: Deadlines,
    seeds: SeedStream,
    /// Rises with each session and connection.
    serial: u64,
    counters: Counters,
    published: Arc<PublishedCounters>,
    shared: Shared,
    /// Connections from clients that the process takes.
    process_connections_max: usize,

    // Reception.
    listeners: Vec<Listener>,
    /// Connections of proxies that have not told their client yet.
    arrivals: Slab<Arrival>,
    sessions: Slab<Session>,
    /// Sessions that wait for the spool to take more.
    stalled: Vec<(usize, u64)>,
    /// Sessions whose handshake has input, in the order of its arrival.
    handshakes: VecDeque<(usize, u64)>,
    passwords: PasswordChecks,
    ids: MessageIds,
    /// For trace lines, and for replies before they are encrypted.
    scratch: Vec<u8>,

    // Spool.
    directory: ShardDirectory,
    segments: BTreeMap<u32, Rc<File>>,
    spool: Spool,
    waiters: VecDeque<Waiter>,
    preparing: bool,
    segment_work: Rc<RefCell<Vec<SegmentWork>>>,
    no_space_told: bool,
    spool_tick: Scheduled,
    /// Messages of the server's own whose commit failed.
    own_again: VecDeque<OwnMessage>,
    /// Messages that were moved within the spool and are not durable at their new place.
    moves: VecDeque<Move>,
    chunk_reads: Slab<ChunkRead>,
    relocation: Option<Relocation>,

    // Relay.
    queue: Queue,
    routes: RouteTable,
    client: Rc<ClientSettings>,
    connections: Slab<Connection>,
    idle: IdleConnections,
    /// Connections whose session was given a job outside of its own events.
    touched: Vec<usize>,
    failed_sites: VecDeque<(NextHop, Failure)>,
    unrecorded: VecDeque<Unrecorded>,
    reports: Reports,
    resolver: Resolver,
    resolving: BTreeMap<LookUpId, usize>,
    queries: QuerySockets,

    // The end.
    /// The server stops; what still runs at this time is cut off.
    stopping: Option<Now>,
    /// All connections were told.
    cut_off: bool,
    /// The spool takes nothing more.
    failed: bool,
}

/// What stays the same for as long as the shard runs.
#[derive(Debug)]
struct Settings {
    id: crate::ids::ShardId,
    hostname: Box<str>,
    segment_bytes: u64,
    durable: bool,
    delivery_port: u16,
    connections_out_max: usize,
    grace: Duration,
}

impl Shard {
    /// Runs until the shard was told to stop and has committed everything, or its spool failed.
    ///
    /// # Errors
    /// What the kernel says to the ring or to sleeping on it, or that the spool stopped.
    async fn run(mut self) -> Result<(), ShardError> {
        while !self.is_over() {
            self.turn_or_sleep().await?;
        }
        if self.failed { Err(ShardError::SpoolStopped) } else { Ok(()) }
    }

    /// One turn, and if there was nothing to do, sleep until there is.
    async fn turn_or_sleep(&mut self) -> io::Result<()> {
        let busy = self.turn()?;
        // Before the next turn sends what this one has to say: whoever reads a reply and then the
        // counters finds in them what the reply tells.
        self.published.publish(&self.counters);
        if busy {
            glommio::yield_if_needed().await;
            return Ok(());
        }
        if let Some(at) = self.next_deadline() {
            self.ring.set_timer(at);
        }
        if self.ring.may_sleep() && !self.is_over() {
            self.sleep.wait().await?;
        }
        self.ring.awake();
        Ok(())
    }

    /// One turn; returns whether anything happened.
    fn turn(&mut self) -> io::Result<bool> {
        self.ring.turn()?;
        self.now = time::monotonic();
        self.wall = time::wall();
        self.counters.turns += 1;
        let mut busy = false;
        while let Some(completion) = self.ring.next_completion() {
            busy = true;
            self.complete(completion);
        }
        while let Some(message) = self.mesh.take() {
            busy = true;
            self.told(message);
        }
        while let Some((at, waiting)) = self.deadlines.take_due(self.now) {
            busy = true;
            self.due(at, waiting);
        }
        self.pump();
        // Those that wait for the next turn wait for nothing else.
        Ok(busy || !self.handshakes.is_empty())
    }

    /// Lets everything that does not wait for the kernel go on.
    fn pump(&mut self) {
        self.pump_handshakes();
        self.pump_passwords();
        self.pump_spool();
        self.pump_relay();
        self.pump_names();
        for index in std::mem::take(&mut self.touched) {
            self.settle_talk(index);
        }
        self.pump_relocation();
        self.start_writes();
        self.pump_stop();
        self.counters.receive_buffers_exhausted = self.ring.starved_count();
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "an owner that never asks for an operation is a mistake, whichever it is"
    )]
    fn complete(&mut self, completion: Completion<Owner>) {
        match completion {
            Completion::Accepted { owner: Owner::Listener(listener), socket } => {
                self.accepted(listener, socket);
            }
            Completion::AcceptEnded { owner: Owner::Listener(_), error } => {
                tracing::error!(
                    "cannot accept connections: {error}; trying again. If descriptors ran out, \
                     raise the limit: LimitNOFILE= in the unit, or ulimit -n"
                );
                let at = self.now + Duration::from_millis(ACCEPT_RETRY_MS);
                self.deadlines.schedule(&mut Scheduled::default(), at, Waiting::AcceptAgain);
            }
            Completion::Received { owner, mut bytes } => match owner {
                Owner::Arrival(index) => self.arrival_received(index, &bytes),
                Owner::Session(index) => self.session_received(index, &mut bytes),
                Owner::Connection(index) => self.talk_received(index, &bytes),
                Owner::Query(query) => self.query_received(query, &bytes),
                owner => unexpected(owner),
            },
            Completion::ReceiveEnded { owner, error } => match owner {
                Owner::Arrival(index) => self.arrival_ended(index),
                Owner::Session(index) => self.session_ended(index, error.as_ref()),
                Owner::Connection(index) => self.talk_ended(index, error.as_ref()),
                Owner::Query(query) => self.query_ended(query, error),
                owner => unexpected(owner),
            },
            Completion::Sent { owner, result, spare } => match owner {
                Owner::Session(index) => self.session_sent(index, &result, spare),
                Owner::Connection(index) => self.talk_sent(index, &result, spare),
                // A query that was not sent is not answered, and the resolver tries again.
                Owner::Query(_) => {}
                owner => unexpected(owner),
            },
            Completion::Connected { owner, result } => match owner {
                Owner::Connection(index) => self.connected(index, result),
                Owner::Query(query) => self.query_connected(query, result),
                owner => unexpected(owner),
            },
            Completion::Written { owner: Owner::Commit { write, began }, result } => {
                self.written(write, began, &result);
            }
            Completion::Read { owner: Owner::Chunk(key), result } => {
                self.chunk_read(key, result);
            }
            Completion::Accepted { owner, .. }
            | Completion::AcceptEnded { owner, .. }
            | Completion::Written { owner, .. }
            | Completion::Read { owner, .. } => unexpected(owner),
            Completion::TimerExpired => {}
        }
    }

    fn due(&mut self, at: Now, waiting: Waiting) {
        match waiting {
            Waiting::Arrival { index, serial } => self.arrival_due(index, serial),
            Waiting::Session { index, serial } => self.session_due(index, serial, at),
            Waiting::Connection { index, serial } => self.connection_due(index, serial, at),
            Waiting::AcceptAgain => {
                for listener in &self.listeners {
                    if let Some(key) = &listener.key {
                        self.ring.accept(key);
                    }
                }
            }
            Waiting::SpoolTick => self.spool_tick(at),
        }
    }

    fn told(&mut self, message: ToShard) {
        match message {
            ToShard::Stop => {
                if self.stopping.is_none() {
                    self.stopping = Some(self.now + self.settings.grace);
                    for listener in &mut self.listeners {
                        if let Some(key) = listener.key.take() {
                            self.ring.close_listener(key);
                        }
                    }
                    self.drain_sessions();
                    self.quit_connections(false);
                }
            }
            ToShard::Reload(reload) => {
                self.routes = reload.routes;
                self.process_connections_max = reload.connections_max;
                for (listener, reload) in self.listeners.iter_mut().zip(reload.listeners) {
                    listener.reload(reload);
                }
            }
        }
    }

    /// Cuts off what still runs when the time to stop has come.
    fn pump_stop(&mut self) {
        if self.stopping.is_some_and(|until| until <= self.now) && !self.cut_off {
            self.cut_off = true;
            self.cut_off_sessions();
            self.quit_connections(true);
        }
    }

    fn is_over(&self) -> bool {
        let quiet = self.arrivals.is_empty() && self.sessions.is_empty();
        let quiet = quiet && self.connections.is_empty();
        let recorded = self.unrecorded.is_empty() && self.reports.is_empty();
        let recorded = self.cut_off || (recorded && self.own_again.is_empty());
        let committed = recorded && self.waiters.is_empty() && self.spool.is_idle();
        // The executor must not go while a thread of its own has something to tell it.
        let beside = Rc::strong_count(&self.segment_work) > 1 || self.passwords.are_running();
        !beside && (self.failed || (self.stopping.is_some() && quiet && committed))
    }

    /// The earliest time at which something is to be done even if nothing arrives.
    fn next_deadline(&self) -> Option<Now> {
        let lapse = self.queue.next_lapse().filter(|_| self.may_record_more());
        let due = self.queue.next_due().into_iter().chain(lapse).min();
        let due = due.filter(|_| self.stopping.is_none());
        let due = due.map(|at| self.now + at.saturating_since(self.wall));
        let stop = self.stopping.filter(|_| !self.cut_off);
        [self.deadlines.next(), self.resolver.poll_timeout(), due, stop].into_iter().flatten().min()
    }

    /// What the session machines are told of the rest of the server.
    fn conditions(&self) -> Conditions {
        Conditions {
            now: self.now,
            wall: self.wall,
            storage: match self.spool.room() {
                Room::Ready | Room::Busy => Storage::Ready,
                Room::Full => Storage::Full,
            },
            memory_is_short: self.shared.memory_is_short(),
            draining: self.stopping.is_some(),
        }
    }
}

/// The ring hands an operation back with the owner that it was given.
fn unexpected(owner: Owner) -> ! {
    unreachable!("{owner:?} never asked for this")
}
