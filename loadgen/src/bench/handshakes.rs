//! What TLS handshakes cost the sessions beside them: messages at a steady rate over plain
//! connections, first alone, then while clients connect with TLS as fast as the server lets them.
//!
//! # Bounds
//! [`CLIENTS`] handshakes are under way at a time.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::stats::Percentiles;
use crate::tls::{TlsClient, Wire};

/// Clients that shake hands at the same time, each over and over again.
const CLIENTS: usize = 16;

/// How long a client waits for the server.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a run came to.
#[derive(Clone, Debug, Serialize)]
pub(super) struct HandshakeRun {
    /// Messages a second that were due over the plain connections.
    pub(super) message_rate: f64,
    /// From when a message was due to its 250, without handshakes beside it.
    pub(super) latency_alone: Option<Percentiles>,
    /// And with them.
    pub(super) latency_beside: Option<Percentiles>,
    /// Handshakes that were finished, up to the greeting, in a second.
    pub(super) handshakes_per_second: f64,
    /// Handshakes that failed.
    pub(super) handshakes_failed: u64,
}

/// Clients that shake hands until this is dropped.
#[derive(Debug)]
pub(super) struct Storm {
    over: Arc<AtomicBool>,
    finished: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
    begin: Instant,
    clients: Vec<thread::JoinHandle<()>>,
}

impl Storm {
    /// Begins to connect to `server`.
    ///
    /// # Errors
    /// No thread.
    pub(super) fn begin(server: SocketAddr, tls: &TlsClient) -> io::Result<Self> {
        let over = Arc::new(AtomicBool::new(false));
        let (finished, failed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let clients = (0..CLIENTS).map(|_| {
            let (over, finished, failed) =
                (Arc::clone(&over), Arc::clone(&finished), Arc::clone(&failed));
            let tls = tls.clone();
            thread::Builder::new().name("handshakes".to_owned()).spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    let count = match greeted(server, Some(&tls)) {
                        Ok(_) => &finished,
                        Err(_) => &failed,
                    };
                    count.fetch_add(1, Ordering::Relaxed);
                }
            })
        });
        let clients = clients.collect::<io::Result<_>>()?;
        Ok(Self { over, finished, failed, begin: Instant::now(), clients })
    }

    /// Ends it: handshakes a second, and those that failed.
    ///
    /// # Errors
    /// A client panicked.
    pub(super) fn end(self) -> io::Result<(f64, u64)> {
        let finished = self.finished.load(Ordering::Relaxed) as f64;
        let rate = finished / self.begin.elapsed().as_secs_f64();
        self.over.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.join().map_err(|_| io::Error::other("a client of the storm panicked"))?;
        }
        Ok((rate, self.failed.load(Ordering::Relaxed)))
    }
}

/// A connection whose greeting has come; over TLS from the first byte on with `tls`.
///
/// # Errors
/// The server cannot be reached, does not greet, or greets with something else than 220.
pub(super) fn greeted(server: SocketAddr, tls: Option<&TlsClient>) -> io::Result<Wire<TcpStream>> {
    let stream = TcpStream::connect(server)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    let mut wire = Wire::plain(stream);
    if let Some(tls) = tls {
        wire.protect(tls.connection()?);
        wire.flush()?;
    }
    let mut greeting = [0; 512];
    match wire.read(&mut greeting)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        read if greeting[..read].starts_with(b"220") => Ok(wire),
        read => Err(io::Error::other(String::from_utf8_lossy(&greeting[..read]).into_owned())),
    }
}
