//! The admin server: metrics, the API and the web monitor over HTTP, and the signals of the
//! process. It runs on a thread of its own, off the shards' CPUs where there are others.
//!
//! | path | what |
//! | --- | --- |
//! | `/` | web monitor |
//! | `/metrics` | figures for Prometheus |
//! | `/api/v1/status` | the same figures as JSON |
//!
//! # Guarantees
//! Every answer is made from the counters that the shards published; asking costs them nothing.
//!
//! # Never
//! Delays a message: the mail path does not know that this thread exists.
//!
//! # Failures
//! Only the start can fail. After that a request that goes wrong is its client's loss.
//!
//! # Bounds
//! [`ADMIN_CONNECTION_COUNT_MAX`](crate::limits::ADMIN_CONNECTION_COUNT_MAX) connections, each
//! closed after [`ADMIN_IDLE_S`](crate::limits::ADMIN_IDLE_S) without a byte.

mod figures;
mod listen;
mod metrics;
mod status;
#[cfg(test)]
mod tests;

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Instant;
use std::{io, thread};

use axum::Router;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use prometheus_client::registry::Registry;
use rustix::thread::{sched_getaffinity, sched_setaffinity};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal as SignalStream, SignalKind, signal};
use tokio::sync::oneshot;

use crate::clock::WallTime;
use crate::config::DomainName;
use crate::counters::PublishedCounters;
use crate::host_check::Complaint;
use crate::log::DroppedLines;

/// What an operator asks of the process by a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM or SIGINT: end running transactions, then stop.
    Stop,
    /// SIGHUP: read the configuration again.
    Reload,
}

/// One shard as the admin server sees it.
#[derive(Clone, Debug)]
pub struct ShardView {
    /// The CPU that it is pinned to.
    pub cpu: u16,
    /// What it publishes.
    pub counters: Arc<PublishedCounters>,
}

/// What the admin server shows.
#[derive(Debug)]
pub struct Monitored {
    /// The name of this server.
    pub hostname: DomainName,
    /// When the process started, by the wall clock.
    pub started: WallTime,
    /// When the process started, by the monotonic clock.
    pub started_at: Instant,
    /// The shards in the order of their numbers.
    pub shards: Vec<ShardView>,
    /// Lines that the log lost.
    pub dropped_log_lines: DroppedLines,
}

/// The running admin server.
#[derive(Debug)]
pub struct Admin {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Admin {
    /// Starts it on `address`. From then on the signals of the process go to `signals`.
    ///
    /// # Errors
    /// The address cannot be listened on, or the thread cannot be started.
    pub fn start(
        address: SocketAddr,
        monitored: Monitored,
        signals: mpsc::Sender<Signal>,
    ) -> Result<Self, Complaint> {
        let listener = listen::bind(address)?;
        let failed = |error: io::Error| Complaint {
            what: format!("the admin server cannot be started: {error}"),
            remedy: "look at the limits of the process: ulimit -a".to_owned(),
        };
        let address = listener.local_addr().map_err(failed)?;
        let (ready_sender, ready) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new()
            .name("ringpost-admin".to_owned())
            .spawn(move || {
                leave_cpus(&monitored.shards);
                match prepare(listener, signals) {
                    Ok((runtime, listener)) => {
                        // Whoever started this waits for it.
                        let _ = ready_sender.send(Ok(()));
                        runtime.block_on(serve(listener, monitored, stopped));
                    }
                    Err(error) => {
                        let _ = ready_sender.send(Err(error));
                    }
                }
            })
            .map_err(failed)?;
        match ready.recv() {
            Ok(Ok(())) => Ok(Self { address, stop, thread }),
            Ok(Err(error)) => Err(failed(error)),
            Err(mpsc::RecvError) => Err(failed(io::Error::other("its thread ended"))),
        }
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops it. Requests that are being answered are cut off.
    pub fn stop(self) {
        // If it has ended by itself there is nobody to tell.
        let _ = self.stop.send(());
        let _ = self.thread.join();
    }
}

/// Moves this thread to the CPUs that have no shard, if there are any.
fn leave_cpus(shards: &[ShardView]) {
    let Ok(mut cpus) = sched_getaffinity(None) else { return };
    for shard in shards {
        cpus.unset(usize::from(shard.cpu));
    }
    if cpus.count() > 0 {
        // It is a kindness to the shards and no need.
        let _ = sched_setaffinity(None, &cpus);
    }
}

fn prepare(
    listener: TcpListener,
    signals: mpsc::Sender<Signal>,
) -> io::Result<(Runtime, listen::BoundedListener)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let context = runtime.enter();
    let listener = listen::BoundedListener::new(listener)?;
    let kinds = [
        (SignalKind::terminate(), Signal::Stop),
        (SignalKind::interrupt(), Signal::Stop),
        (SignalKind::hangup(), Signal::Reload),
    ];
    for (kind, meaning) in kinds {
        runtime.spawn(forward(signal(kind)?, meaning, signals.clone()));
    }
    drop(context);
    Ok((runtime, listener))
}

async fn forward(mut stream: SignalStream, meaning: Signal, signals: mpsc::Sender<Signal>) {
    while stream.recv().await.is_some() {
        if signals.send(meaning).is_err() {
            // The process is about to end.
            return;
        }
    }
}

async fn serve(
    listener: listen::BoundedListener,
    monitored: Monitored,
    stopped: oneshot::Receiver<()>,
) {
    let app = router(Arc::new(monitored));
    let answering = async {
        if let Err(error) = axum::serve(listener, app).await {
            tracing::error!(%error, "the admin server ended; mail is not affected");
        }
        // The signals still have to be forwarded.
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = answering => {}
        // That its sender is gone says the same.
        _ = stopped => {}
    }
}

/// What each request needs.
struct Shared {
    monitored: Arc<Monitored>,
    registry: Registry,
}

fn router(monitored: Arc<Monitored>) -> Router {
    let registry = metrics::registry(Arc::clone(&monitored));
    Router::new()
        .route("/", get(monitor))
        .route("/metrics", get(metrics))
        .route("/api/v1/status", get(status))
        .with_state(Arc::new(Shared { monitored, registry }))
}

/// The page has its style and script inside and asks this server alone.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; \
                           script-src 'unsafe-inline'; connect-src 'self'; \
                           frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

// axum wants async functions; none of these waits for anything.
#[allow(clippy::unused_async)]
async fn monitor() -> impl IntoResponse {
    ([(CONTENT_SECURITY_POLICY, PAGE_POLICY)], Html(include_str!("monitor.html")))
}

#[allow(clippy::unused_async)]
async fn metrics(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    let text = metrics::encode(&shared.registry);
    ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text)
}

#[allow(clippy::unused_async)]
async fn status(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    let status = status::Status::of(&shared.monitored);
    ([(CACHE_CONTROL, "no-store")], axum::Json(status))
}
