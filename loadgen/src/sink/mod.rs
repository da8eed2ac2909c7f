//! The sink: accepts mail as quickly as it can, or as badly as it is told to, counts it, and keeps
//! none unless asked to.
//!
//! # Guarantees
//! A message is counted, and its id handed to the log, before its 250 is sent.
//!
//! # Failures
//! A connection that breaks costs only itself. A file that cannot be written ends the sink.
//!
//! # Bounds
//! Memory grows with connections and with the messages of sources ([`crate::accounts::Ledger`]),
//! not with what they hold.

mod authority;
mod connection;
mod counters;
mod desk;
mod door;
mod text;
mod worker;

use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::accounts::Ledger;
use crate::behaviour::{Greylist, Listening};
use crate::cpus::CpuList;
use crate::net;
use crate::results::{Header, SinkResults};
use crate::server::Tally;
use crate::stop::Stop;
use authority::Authority;
use counters::Counters;
use door::Door;
use worker::Worker;

pub(crate) use text::text;

/// Without other words a message that is under way for longer is late.
pub(crate) const LATE_AFTER_DEFAULT: Duration = Duration::from_secs(3_600);

/// What a sink needs to know.
#[derive(Clone, Debug)]
pub(crate) struct SinkSettings {
    /// Where it listens and what it does there.
    pub(crate) listen: Vec<Listening>,
    /// One pinned thread each; without it one thread that is not pinned.
    pub(crate) cpus: Option<CpuList>,
    /// Seed of all chance.
    pub(crate) seed: u64,
    /// Where a line for each message goes.
    pub(crate) ids: Option<Arc<File>>,
    /// The directory that each message is kept in.
    pub(crate) bodies: Option<PathBuf>,
    /// Stop after this many messages.
    pub(crate) exit_after: Option<u64>,
    /// A message that was under way for longer is late.
    pub(crate) late_after: Duration,
    /// Where the certificate of the authority goes that signs those of the sink.
    pub(crate) authority: Option<PathBuf>,
}

impl SinkSettings {
    /// A sink that takes everything at once.
    pub(crate) fn plain(address: SocketAddr, cpus: Option<CpuList>) -> Self {
        Self {
            listen: vec![Listening::plain(address)],
            cpus,
            seed: 1,
            ids: None,
            bodies: None,
            exit_after: None,
            late_after: LATE_AFTER_DEFAULT,
            authority: None,
        }
    }
}

/// What the threads of a sink share.
#[derive(Debug)]
struct Shared {
    settings: SinkSettings,
    counters: Counters,
    ledger: Mutex<Ledger>,
    /// Only where something greylists.
    greylist: Option<Mutex<Greylist>>,
    stop: Stop,
}

/// A running sink.
#[derive(Debug)]
pub(crate) struct Sink {
    addresses: Vec<SocketAddr>,
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<io::Result<WorkerTotals>>>,
}

/// What one thread counted for itself.
#[derive(Debug, Default)]
struct WorkerTotals {
    unmarked: u64,
    tally: Tally,
}

impl Sink {
    /// Binds and serves until `stop`.
    ///
    /// # Errors
    /// An address is taken, a certificate cannot be made, or a thread cannot be pinned.
    pub(crate) fn start(settings: SinkSettings, stop: &Stop) -> io::Result<Self> {
        let threads = settings.cpus.as_ref().map_or(1, |cpus| cpus.as_slice().len());
        let mut listeners = Vec::new();
        for listening in &settings.listen {
            listeners.push(bind(listening, threads)?);
        }
        Self::serve(listeners, settings, stop)
    }

    /// Serves on a listener that is there already, whatever `settings` say of the address:
    /// connections that wait in it are taken.
    ///
    /// # Errors
    /// No thread or no epoll.
    pub(crate) fn start_on(
        listener: &TcpListener,
        settings: SinkSettings,
        stop: &Stop,
    ) -> io::Result<Self> {
        let threads = settings.cpus.as_ref().map_or(1, |cpus| cpus.as_slice().len());
        let clones: io::Result<Vec<TcpListener>> =
            (0..threads).map(|_| listener.try_clone()).collect();
        Self::serve(vec![clones?], settings, stop)
    }

    /// `listeners` has for each address a listener for each thread.
    fn serve(
        listeners: Vec<Vec<TcpListener>>,
        settings: SinkSettings,
        stop: &Stop,
    ) -> io::Result<Self> {
        let greylists = settings.listen.iter().any(|listening| {
            let of_domain =
                |(_, behaviour): &(_, crate::behaviour::Behaviour)| behaviour.greylist.is_some();
            listening.behaviour.greylist.is_some() || listening.domains.iter().any(of_domain)
        });
        let authority = Authority::new()?;
        if let Some(path) = &settings.authority {
            authority.write(path)?;
        }
        let door = |it: &Listening| Door::new(&it.behaviour, &authority).map(Arc::new);
        let doors = settings.listen.iter().map(door);
        let doors = doors.collect::<io::Result<Vec<Arc<Door>>>>()?;
        let cpus: Vec<Option<usize>> = match &settings.cpus {
            Some(cpus) => cpus.as_slice().iter().copied().map(Some).collect(),
            None => vec![None],
        };
        let first = listeners.iter().filter_map(|of_threads| of_threads.first());
        let addresses = first.map(TcpListener::local_addr).collect::<io::Result<_>>()?;
        let shared = Arc::new(Shared {
            settings,
            counters: Counters::new(),
            ledger: Mutex::new(Ledger::default()),
            greylist: greylists.then(Mutex::default),
            stop: stop.clone(),
        });
        let mut of_threads: Vec<Vec<TcpListener>> = cpus.iter().map(|_| Vec::new()).collect();
        for listeners in listeners {
            for (own, listener) in of_threads.iter_mut().zip(listeners) {
                own.push(listener);
            }
        }
        let mut workers = Vec::new();
        for ((index, cpu), listeners) in (0..).zip(cpus).zip(of_threads) {
            let seed = shared.settings.seed.wrapping_add(index);
            let worker = Worker::new(&shared, seed, listeners, &doors)?;
            let thread = std::thread::Builder::new().name("sink".to_owned());
            workers.push(thread.spawn(move || worker.run(cpu))?);
        }
        Ok(Self { addresses, shared, workers })
    }

    /// Where it listens, in the order of its settings.
    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// What came in so far.
    pub(crate) fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// Whether a thread has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.workers.iter().any(JoinHandle::is_finished)
    }

    /// Waits for the threads, which end some time after the stop flag is set.
    ///
    /// # Errors
    /// What ended a thread early.
    pub(crate) fn finish(mut self, header: Header) -> io::Result<SinkResults> {
        let whole = self.join()?;
        let Shared { counters, ledger, settings, .. } = &*self.shared;
        let ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
        let messages = counters.messages();
        Ok(SinkResults {
            header,
            connections: counters.connections(),
            connections_refused: whole.tally.connections_refused,
            connections_dropped: whole.tally.connections_dropped,
            messages,
            recipients: counters.recipients(),
            bytes: counters.bytes(),
            unmarked: whole.unmarked,
            distinct: ledger.distinct(),
            duplicates: ledger.copies(),
            refusals: whole.tally.refusals(),
            domains: whole.tally.domains(),
            late_after_s: settings.late_after.as_secs_f64(),
            not_told_apart: ledger.not_told_apart(),
            delivered: ledger.delivered(),
        })
    }

    /// The same, for who wants to know of duplicates alone: how often a message came once more.
    ///
    /// # Errors
    /// As for [`Self::finish`].
    pub(crate) fn finish_counting(mut self) -> io::Result<u64> {
        self.join()?;
        Ok(self.shared.ledger.lock().unwrap_or_else(PoisonError::into_inner).copies())
    }

    fn join(&mut self) -> io::Result<WorkerTotals> {
        let mut whole = WorkerTotals::default();
        for worker in self.workers.drain(..) {
            let totals =
                worker.join().map_err(|_| io::Error::other("a thread of the sink panicked"))??;
            whole.unmarked += totals.unmarked;
            whole.tally.add(totals.tally);
        }
        Ok(whole)
    }
}

/// A listener for each of `threads` threads on one address.
fn bind(listening: &Listening, threads: usize) -> io::Result<Vec<TcpListener>> {
    let mut address = listening.address;
    let wanted = address;
    let taken = |error: io::Error| {
        io::Error::new(error.kind(), format!("cannot listen on {wanted}: {error}"))
    };
    let is_shared = threads > 1;
    if is_shared && address.port() != 0 {
        // Whoever shares a port already would not mind us: ask in a way that it minds.
        net::listen(address, false).map_err(taken)?;
    }
    let mut listeners = Vec::new();
    for _ in 0..threads {
        let listener = net::listen(address, is_shared).map_err(taken)?;
        if let Some(bytes) = listening.behaviour.receive_buffer_bytes {
            // Connections inherit it, so that the first window they offer is small already.
            socket2::SockRef::from(&listener).set_recv_buffer_size(bytes)?;
        }
        // A port that the kernel chose is the port of all.
        address = listener.local_addr()?;
        listeners.push(listener);
    }
    Ok(listeners)
}
