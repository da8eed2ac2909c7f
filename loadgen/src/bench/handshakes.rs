//! What TLS handshakes cost the sessions beside them: messages at a steady rate over plain
//! connections, first alone, then while clients connect with TLS as fast as the server lets them.
//!
//! # Bounds
//! [`CLIENTS`] handshakes are under way at a time.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::plan::{Load, Plan};
use super::server::Protection;
use super::subject::Subject;
use crate::results::HandshakeResult;
use crate::tls::{TlsClient, TlsMode, Wire};

/// Clients that shake hands at the same time, each over and over again.
const CLIENTS: usize = 16;

/// How long a client waits for the server.
const PATIENCE: Duration = Duration::from_secs(10);

impl Plan {
    /// Mail at a steady rate to a fresh server, alone and beside handshakes.
    ///
    /// # Errors
    /// The server does not start or takes no mail.
    pub(super) fn run_handshakes(
        &self,
        subject: &Subject,
        directory: &Path,
    ) -> io::Result<HandshakeResult> {
        let (_silent, duty) = Self::silent_hop()?;
        let protection = Protection {
            mode: TlsMode::None,
            second_listener: true,
            files: self.certificate.clone(),
        };
        let server = self.start_with(subject, directory, duty, &protection)?;
        let second = server.implicit_tls_address();
        let second = second.ok_or_else(|| io::Error::other("the server has no second listener"))?;
        let rate = Some(self.handshake_message_rate);
        let load = Load { rate, tls: TlsMode::None, ..self.load() };
        self.warm_up(&*server, load)?;
        let (alone, _) = self.send(&*server, load)?;
        let storm = Storm::begin(second, &self.tls_client)?;
        let (beside, _) = self.send(&*server, load)?;
        let (handshakes_per_second, handshakes_failed) = storm.end()?;
        Ok(HandshakeResult {
            server: subject.name().to_owned(),
            message_rate: self.handshake_message_rate,
            latency_alone: alone.stages.message,
            latency_beside: beside.stages.message,
            handshakes_per_second,
            handshakes_failed,
        })
    }
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
