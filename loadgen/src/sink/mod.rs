//! The sink: accepts mail as quickly as it can, counts it, and keeps none unless asked to.
//!
//! # Guarantees
//! A message is counted, and its id handed to the log, before its 250 is sent.
//!
//! # Failures
//! A connection that breaks costs only itself. A file that cannot be written ends the sink.
//!
//! # Bounds
//! Memory grows with connections and with the ids seen ([`crate::ids::IdSet`]), not with messages.

mod connection;
mod text;
mod worker;

use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::cpus::CpuList;
use crate::ids::IdSet;
use crate::net;
use crate::server::ServerPolicy;
use crate::stop::Stop;
use worker::Worker;

pub(crate) use text::text;

/// What a sink needs to know.
#[derive(Clone, Debug)]
pub(crate) struct SinkSettings {
    pub(crate) listen: SocketAddr,
    /// One pinned thread each; without it one thread that is not pinned.
    pub(crate) cpus: Option<CpuList>,
    pub(crate) policy: ServerPolicy,
    /// Seed of what is refused by chance.
    pub(crate) seed: u64,
    /// Where a line for each message goes.
    pub(crate) ids: Option<Arc<File>>,
    /// The directory that each message is kept in.
    pub(crate) bodies: Option<PathBuf>,
    /// Stop after this many messages.
    pub(crate) exit_after: Option<u64>,
}

/// What is counted while a sink runs, over all its threads.
#[derive(Debug)]
pub(crate) struct Counters {
    origin: Instant,
    connections: AtomicU64,
    messages: AtomicU64,
    recipients: AtomicU64,
    bytes: AtomicU64,
    /// Ids that a thread saw for the first time.
    fresh: AtomicU64,
    /// When the newest message came, in microseconds since `origin`.
    last_us: AtomicU64,
}

impl Counters {
    fn new() -> Self {
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

    /// Messages so far.
    pub(crate) fn messages(&self) -> u64 {
        self.messages.load(Ordering::Relaxed)
    }

    /// Different ids so far; with several threads one that came to two of them counts twice.
    pub(crate) fn fresh(&self) -> u64 {
        self.fresh.load(Ordering::Relaxed)
    }

    /// When the newest message came.
    pub(crate) fn last_message_at(&self) -> Instant {
        self.origin + Duration::from_micros(self.last_us.load(Ordering::Relaxed))
    }

    fn note_last(&self) {
        let us = u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.last_us.store(us, Ordering::Relaxed);
    }
}

/// What came in.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct SinkTotals {
    pub(crate) connections: u64,
    pub(crate) messages: u64,
    pub(crate) recipients: u64,
    pub(crate) bytes: u64,
    /// Messages that carry no id of ours.
    pub(crate) unmarked: u64,
    /// Different ids.
    pub(crate) distinct: u64,
    /// Messages whose id had come before.
    pub(crate) duplicates: u64,
}

/// A running sink.
#[derive(Debug)]
pub(crate) struct Sink {
    address: SocketAddr,
    counters: Arc<Counters>,
    workers: Vec<JoinHandle<io::Result<WorkerTotals>>>,
}

/// What one thread counted for itself.
#[derive(Debug, Default)]
struct WorkerTotals {
    unmarked: u64,
    ids: IdSet,
}

impl Sink {
    /// Binds and serves until `stop`.
    ///
    /// # Errors
    /// The address is taken, or a thread cannot be pinned.
    pub(crate) fn start(settings: &SinkSettings, stop: &Stop) -> io::Result<Self> {
        let counters = Arc::new(Counters::new());
        let cpus: Vec<Option<usize>> = match &settings.cpus {
            Some(cpus) => cpus.as_slice().iter().copied().map(Some).collect(),
            None => vec![None],
        };
        let mut address = settings.listen;
        let mut ready = Vec::new();
        let wanted = settings.listen;
        let taken = |error: io::Error| {
            io::Error::new(error.kind(), format!("cannot listen on {wanted}: {error}"))
        };
        let shared = cpus.len() > 1;
        if shared && address.port() != 0 {
            // Whoever shares a port already would not mind us: ask in a way that it minds.
            net::listen(address, false).map_err(taken)?;
        }
        for (index, cpu) in cpus.iter().enumerate() {
            let listener = net::listen(address, shared).map_err(taken)?;
            // A port that the kernel chose is the port of all.
            address = listener.local_addr()?;
            let seed = settings.seed.wrapping_add(index as u64);
            ready.push((*cpu, Worker::new(settings, seed, listener, stop, &counters)?));
        }
        Self::spawn(address, counters, ready)
    }

    /// Serves on a listener that is there already, whatever `settings` say of the address:
    /// connections that wait in it are taken.
    ///
    /// # Errors
    /// No thread or no epoll.
    pub(crate) fn start_on(
        listener: TcpListener,
        settings: &SinkSettings,
        stop: &Stop,
    ) -> io::Result<Self> {
        let counters = Arc::new(Counters::new());
        let address = listener.local_addr()?;
        let cpus = settings.cpus.as_ref().map_or(&[][..], CpuList::as_slice);
        let cpus: Vec<Option<usize>> = cpus.iter().copied().map(Some).collect();
        let mut ready = Vec::new();
        for (index, cpu) in if cpus.is_empty() { vec![None] } else { cpus }.into_iter().enumerate()
        {
            let seed = settings.seed.wrapping_add(index as u64);
            let listener = listener.try_clone()?;
            ready.push((cpu, Worker::new(settings, seed, listener, stop, &counters)?));
        }
        Self::spawn(address, counters, ready)
    }

    fn spawn(
        address: SocketAddr,
        counters: Arc<Counters>,
        ready: Vec<(Option<usize>, Worker)>,
    ) -> io::Result<Self> {
        let workers = ready.into_iter().map(|(cpu, worker)| {
            std::thread::Builder::new().name("sink".to_owned()).spawn(move || worker.run(cpu))
        });
        let workers = workers.collect::<io::Result<_>>()?;
        Ok(Self { address, counters, workers })
    }

    /// Where it listens.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What came in so far.
    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Whether a thread has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.workers.iter().any(JoinHandle::is_finished)
    }

    /// Waits for the threads, which end some time after the stop flag is set.
    ///
    /// # Errors
    /// What ended a thread early.
    pub(crate) fn finish(self) -> io::Result<SinkTotals> {
        let mut whole = WorkerTotals::default();
        for worker in self.workers {
            let totals =
                worker.join().map_err(|_| io::Error::other("a thread of the sink panicked"))??;
            whole.unmarked += totals.unmarked;
            whole.ids.add(totals.ids);
        }
        let messages = self.counters.messages();
        let distinct = whole.ids.len();
        Ok(SinkTotals {
            connections: self.counters.connections.load(Ordering::Relaxed),
            messages,
            recipients: self.counters.recipients.load(Ordering::Relaxed),
            bytes: self.counters.bytes.load(Ordering::Relaxed),
            unmarked: whole.unmarked,
            distinct,
            duplicates: messages - whole.unmarked - distinct,
        })
    }
}
