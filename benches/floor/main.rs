//! The floor of a server on this ring: it answers the dialogue of SMTP and does nothing else. No
//! command is parsed, no content copied, nothing kept, nothing written. What a server costs above
//! it is what its work costs; what is below it only another kernel can save.
//!
//! `ringpost-floor ADDRESS:PORT` runs a thread on each CPU that it is allowed (`taskset -c 0`) and
//! prints `floor ready: ADDRESS:PORT`. `loadgen bench --floor` starts it beside the other servers.
//!
//! # Never
//! A server: it says 250 to mail that it throws away.
//!
//! # Failures
//! A host without io_uring, or an address that is taken: exit status 1.
//!
//! # Bounds
//! A session keeps a few bytes, and its replies until they are sent.

use std::env;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::process::ExitCode;

use glommio::{LocalExecutorBuilder, Placement};
use rustix::process::{Resource, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity};
use slab::Slab;

use ringpost::io::listen;
use ringpost::io::ring::{Completion, Ring, Sleep, SocketKey, Waker};
use ringpost::limits::{EXECUTOR_IO_MEMORY_BYTES, EXECUTOR_RING_ENTRIES};

use session::{GREETING, Next, Session};

mod session;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr().lock(), "ringpost-floor: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Serves until a signal ends the process, or a thread fails.
fn run() -> io::Result<()> {
    let address =
        address().ok_or_else(|| io::Error::other("usage: ringpost-floor ADDRESS:PORT"))?;
    let mut files = getrlimit(Resource::Nofile);
    files.current = files.maximum;
    // Where this is not allowed fewer connections are accepted.
    let _ = setrlimit(Resource::Nofile, files);
    let allowed = sched_getaffinity(None)?;
    let cpus: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu)).collect();
    let address = with_port(address)?;
    let threads = listen::bind(address, cpus.len())?.into_iter().zip(cpus).map(|(socket, cpu)| {
        LocalExecutorBuilder::new(Placement::Fixed(cpu))
            .name("floor")
            .io_memory(EXECUTOR_IO_MEMORY_BYTES)
            .ring_depth(EXECUTOR_RING_ENTRIES)
            .spawn(move || serve(socket))
            .map_err(|error| io::Error::other(error.to_string()))
    });
    let threads: Vec<_> = threads.collect::<io::Result<_>>()?;
    writeln!(io::stdout().lock(), "floor ready: {address}")?;
    for thread in threads {
        thread.join().map_err(|error| io::Error::other(error.to_string()))??;
    }
    Ok(())
}

/// The one argument.
fn address() -> Option<SocketAddr> {
    let mut arguments = env::args().skip(1);
    let address = arguments.next()?.parse().ok()?;
    arguments.next().is_none().then_some(address)
}

/// For port 0 a free one, which all threads then share.
fn with_port(address: SocketAddr) -> io::Result<SocketAddr> {
    if address.port() == 0 { TcpListener::bind(address)?.local_addr() } else { Ok(address) }
}

/// Whose operation the ring has completed.
#[derive(Clone, Copy, Debug)]
enum Owner {
    Listener,
    Connection(usize),
}

#[derive(Debug)]
struct Connection {
    socket: SocketKey,
    session: Session,
    replies: Vec<u8>,
    /// For the next replies, while those before are on their way.
    spare: Vec<u8>,
    sending: bool,
    /// What to do once everything is sent.
    next: Next,
}

/// One thread's work, turn by turn as a shard of the server does it.
async fn serve(listener: OwnedFd) -> io::Result<()> {
    let waker = Waker::new()?;
    let ring = Ring::new(&waker).map_err(|error| io::Error::other(error.to_string()))?;
    let sleep = Sleep::new(&waker)?;
    let mut floor = Floor { ring, connections: Slab::new() };
    // Closing it would end the accepting.
    let _listener = floor.ring.listen(listener, Owner::Listener);
    loop {
        floor.ring.turn()?;
        let mut busy = false;
        while let Some(completion) = floor.ring.next_completion() {
            busy = true;
            if let Completion::AcceptEnded { error, .. } = &completion {
                return Err(io::Error::new(error.kind(), format!("cannot accept: {error}")));
            }
            floor.complete(completion);
        }
        if busy {
            glommio::yield_if_needed().await;
            continue;
        }
        if floor.ring.may_sleep() {
            sleep.wait().await?;
        }
        floor.ring.awake();
    }
}

#[derive(Debug)]
struct Floor {
    ring: Ring<Owner>,
    connections: Slab<Connection>,
}

impl Floor {
    fn complete(&mut self, completion: Completion<Owner>) {
        match completion {
            Completion::Accepted { socket, .. } => self.accept(socket),
            Completion::Received { owner: Owner::Connection(key), bytes } => {
                let connection = &mut self.connections[key];
                if connection.next == Next::Receive {
                    connection.next = connection.session.receive(&bytes, &mut connection.replies);
                    self.send(key);
                }
            }
            Completion::Sent { owner: Owner::Connection(key), result, spare } => {
                let connection = &mut self.connections[key];
                (connection.sending, connection.spare) = (false, spare);
                match result {
                    Ok(()) => self.send(key),
                    Err(_) => self.close(key),
                }
            }
            Completion::ReceiveEnded { owner: Owner::Connection(key), .. } => self.close(key),
            // Nothing else was asked for.
            Completion::Received { .. }
            | Completion::Sent { .. }
            | Completion::ReceiveEnded { .. }
            | Completion::AcceptEnded { .. }
            | Completion::Connected { .. }
            | Completion::Written { .. }
            | Completion::Read { .. }
            | Completion::TimerExpired => {}
        }
    }

    fn accept(&mut self, socket: OwnedFd) {
        let entry = self.connections.vacant_entry();
        let key = entry.key();
        let socket = self.ring.add(socket, Owner::Connection(key));
        listen::prepare(&self.ring.socket(&socket));
        self.ring.receive(&socket);
        entry.insert(Connection {
            socket,
            session: Session::new(),
            replies: GREETING.to_vec(),
            spare: Vec::new(),
            sending: false,
            next: Next::Receive,
        });
        self.send(key);
    }

    /// Sends the replies, if those before are sent, or closes after the last.
    fn send(&mut self, key: usize) {
        let connection = &mut self.connections[key];
        if connection.sending {
            return;
        }
        if connection.replies.is_empty() {
            if connection.next == Next::Close {
                self.close(key);
            }
            return;
        }
        connection.sending = true;
        let spare = std::mem::take(&mut connection.spare);
        let replies = std::mem::replace(&mut connection.replies, spare);
        self.ring.send(&connection.socket, replies);
    }

    fn close(&mut self, key: usize) {
        let connection = self.connections.remove(key);
        self.ring.close(connection.socket);
    }
}
