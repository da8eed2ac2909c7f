//! A next hop that serves nobody.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::SMTP_PORT;

/// Between two looks for a connection.
const ACCEPT_INTERVAL: Duration = Duration::from_millis(5);

/// Accepts each connection, says one thing and closes. Dropping it frees its port.
#[derive(Debug)]
pub(crate) struct Refuser {
    ip: Ipv4Addr,
    visits: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    server: Option<JoinHandle<()>>,
}

impl Refuser {
    /// Starts one on `ip`. `greeting` is all that a client ever gets; it may be empty.
    pub(crate) fn start(ip: Ipv4Addr, greeting: &'static str) -> Self {
        let listener = TcpListener::bind((ip, SMTP_PORT)).expect("a free port");
        listener.set_nonblocking(true).expect("a listener that need not wait");
        let (visits, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (visits_of_server, stop_of_server) = (Arc::clone(&visits), Arc::clone(&stop));
        let server = thread::spawn(move || {
            while !stop_of_server.load(Ordering::Relaxed) {
                let Ok((mut stream, _)) = listener.accept() else {
                    thread::sleep(ACCEPT_INTERVAL);
                    continue;
                };
                // The client may have gone; that is its right.
                let _ = stream.write_all(greeting.as_bytes());
                visits_of_server.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { ip, visits, stop, server: Some(server) }
    }

    /// The address of its host, for a server that takes its place.
    pub(crate) fn ip(&self) -> Ipv4Addr {
        self.ip
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from((self.ip, SMTP_PORT))
    }

    /// Connections so far.
    pub(crate) fn visits(&self) -> usize {
        self.visits.load(Ordering::Relaxed)
    }
}

impl Drop for Refuser {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(server) = self.server.take() {
            server.join().expect("the refusing server does not panic");
        }
    }
}
