//! The source: sends messages over many connections at once and measures how they fare.
//!
//! In a closed loop each connection sends its next message when the one before is answered. With a
//! schedule it is an open loop: messages are due at times of its own, wait for a free connection,
//! and their latency counts from when they were due.
//!
//! # Guarantees
//! An id is in the log of acknowledged messages only if its 250 arrived. A message that is sent
//! again keeps its id and its envelope.
//!
//! # Never
//! Allocates for a message, once the buffers have grown to their size.
//!
//! # Failures
//! Of a server: they are counted. Of a file or of the pinning: they end the source.

mod addresses;
mod chunks;
mod connection;
mod departures;
mod origins;
mod outgoing;
mod pace;
mod report;
mod supply;
mod text;
mod timeline;
mod worker;

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use crate::client::ClientSettings;
use crate::content::Contents;
use crate::cpus::CpuList;
use crate::dice::Dice;
use crate::machine;
use crate::net;
use crate::results::{Header, Kind, Second, SourceResults};
use crate::stop::Stop;
use crate::tls::{TlsClient, TlsMode};
use report::{Run, Tally, Window};
use supply::Progress;
use timeline::Timeline;
use worker::Worker;

pub(crate) use addresses::{Domains, Envelopes, Pattern, RecipientCount, is_path_byte};
pub(crate) use origins::{AddressList, Origins};
pub(crate) use pace::{Arrivals, STEPS_MAX, Schedule};
pub(crate) use text::text;

/// What a source needs to know.
#[derive(Clone, Debug)]
pub(crate) struct SourceSettings {
    pub(crate) target: SocketAddr,
    /// Where connections come from.
    pub(crate) origins: Arc<Origins>,
    pub(crate) connections: usize,
    /// Stop after this many messages; without it the time decides.
    pub(crate) messages: Option<u64>,
    /// Begin no message after this time.
    pub(crate) time: Option<Duration>,
    /// What the messages consist of.
    pub(crate) contents: Arc<Contents>,
    /// 0: as many as there are.
    pub(crate) messages_per_connection: u64,
    pub(crate) client: ClientSettings,
    pub(crate) tls: TlsMode,
    pub(crate) tls_client: TlsClient,
    /// With pipelining, send the next transaction's commands behind a content.
    pub(crate) run_ahead: bool,
    pub(crate) envelopes: Envelopes,
    /// When messages are due; without it a closed loop.
    pub(crate) schedule: Option<Schedule>,
    /// Time at the beginning and at the end of `time` that figures are not taken from.
    pub(crate) warm_up: Duration,
    pub(crate) cool_down: Duration,
    /// Of everything that is drawn by lot.
    pub(crate) seed: u64,
    /// One pinned thread each; without it one thread that is not pinned.
    pub(crate) cpus: Option<CpuList>,
    /// Time to wait for the server.
    pub(crate) timeout: Duration,
    /// Go on when connections fail, and send again what was not acknowledged.
    pub(crate) reconnect: bool,
    /// Where the ids of acknowledged messages go.
    pub(crate) acked: Option<Arc<File>>,
    /// The name of this run in the ids.
    pub(crate) run: u64,
}

/// A name for a run that hardly any other has.
pub(crate) fn fresh_run() -> u64 {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let nanoseconds = u64::from(since_epoch.subsec_nanos());
    let seed = since_epoch.as_secs() << 30 ^ nanoseconds ^ u64::from(std::process::id()) << 44;
    Dice::new(seed).next()
}

/// A running source.
#[derive(Debug)]
pub(crate) struct Source {
    header: Header,
    run: u64,
    progress: Arc<Progress>,
    timeline: Arc<Timeline>,
    window: Window,
    workers: Vec<JoinHandle<io::Result<Tally>>>,
}

impl Source {
    /// Begins to send.
    ///
    /// # Errors
    /// No thread or no epoll.
    pub(crate) fn start(settings: SourceSettings, stop: &Stop) -> io::Result<Self> {
        // Besides the connections: epoll, log files, the standard streams.
        net::raise_file_limit(settings.connections as u64 + 32)?;
        let cpus: Vec<Option<usize>> = match &settings.cpus {
            // A thread without a connection could not do its share.
            Some(cpus) => {
                cpus.as_slice().iter().copied().map(Some).take(settings.connections).collect()
            }
            None => vec![None],
        };
        let (header, run) = (machine::header(Kind::Source, None)?, settings.run);
        let progress =
            Arc::new(Progress::new(settings.messages, settings.time, settings.schedule.clone()));
        let timeline = Arc::new(Timeline::new(progress.begin));
        let window = Window {
            from: progress.begin + settings.warm_up,
            // Without a cool-down what was due before the deadline counts though it comes later.
            until: progress
                .deadline
                .filter(|_| !settings.cool_down.is_zero())
                .and_then(|end| end.checked_sub(settings.cool_down)),
        };
        let settings = Arc::new(settings);
        let workers = cpus.iter().enumerate().map(|(index, cpu)| {
            let place = (index, cpus.len());
            let worker = Worker::new(&settings, (&progress, &timeline), window, stop, place)?;
            let cpu = *cpu;
            std::thread::Builder::new().name("source".to_owned()).spawn(move || worker.run(cpu))
        });
        let workers = workers.collect::<io::Result<_>>()?;
        Ok(Self { header, run, progress, timeline, window, workers })
    }

    /// When it began.
    pub(crate) fn begin(&self) -> Instant {
        self.progress.begin
    }

    /// Messages accepted so far.
    pub(crate) fn accepted(&self) -> u64 {
        self.progress.accepted()
    }

    /// Messages refused or lost so far.
    pub(crate) fn failed(&self) -> u64 {
        self.progress.failed()
    }

    /// The latest whole second.
    pub(crate) fn latest_second(&self) -> Option<Second> {
        self.timeline.latest(Instant::now())
    }

    /// Whether all threads have ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.workers.iter().all(JoinHandle::is_finished)
    }

    /// Waits for the end and tells what came of it.
    ///
    /// # Errors
    /// What ended a thread early.
    pub(crate) fn finish(self) -> io::Result<SourceResults> {
        let mut whole = Tally::new(self.window, &self.progress);
        for worker in self.workers {
            let tally = worker
                .join()
                .map_err(|_| io::Error::other("a thread of the source panicked"))??;
            whole.add(tally);
        }
        Ok(whole.results(Run {
            header: self.header,
            id: self.run,
            progress: &self.progress,
            ended: Instant::now(),
            timeline: self.timeline.seconds(),
        }))
    }
}
