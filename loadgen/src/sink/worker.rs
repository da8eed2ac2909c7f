//! One thread of a sink: accepts, gives each connection its turns, keeps their pauses.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use super::connection::{Connection, State};
use super::desk::Desk;
use super::door::Door;
use super::{Shared, WorkerTotals};
use crate::cpus;

/// How often the thread looks up, also to write the ids.
const TICK: Duration = Duration::from_millis(100);

/// How long open sessions may go on once the sink shall stop, so that the reply to the last message
/// still reaches its client.
const GRACE: Duration = Duration::from_millis(250);

const READ_BYTES: usize = 256 << 10;
const EVENTS_PER_TURN: usize = 1_024;

/// The listeners have the highest tokens, from the last one down.
const fn listener_token(index: usize) -> Token {
    Token(usize::MAX - index)
}

/// One thread.
#[derive(Debug)]
pub(super) struct Worker {
    poll: Poll,
    listeners: Vec<TcpListener>,
    /// One for each listener.
    doors: Vec<Arc<Door>>,
    connections: Slab<Connection>,
    generation: u64,
    /// Ends of pauses: when, place and generation of the connection.
    pauses: BinaryHeap<Reverse<(Instant, usize, u64)>>,
    /// Connections whose turn was cut short.
    unfinished: Vec<usize>,
    /// A connection could not be accepted for want of a file.
    accept_again: bool,
    buffer: Box<[u8]>,
    desk: Desk,
}

impl Worker {
    /// A thread to be, on a bound listener for each address.
    ///
    /// # Errors
    /// No epoll.
    pub(super) fn new(
        shared: &Arc<Shared>,
        seed: u64,
        listeners: Vec<std::net::TcpListener>,
        doors: &[Arc<Door>],
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut listeners: Vec<TcpListener> =
            listeners.into_iter().map(TcpListener::from_std).collect();
        for (index, listener) in listeners.iter_mut().enumerate() {
            poll.registry().register(listener, listener_token(index), Interest::READABLE)?;
        }
        Ok(Self {
            poll,
            listeners,
            doors: doors.to_vec(),
            connections: Slab::new(),
            generation: 0,
            pauses: BinaryHeap::new(),
            unfinished: Vec::new(),
            accept_again: false,
            buffer: vec![0; READ_BYTES].into_boxed_slice(),
            desk: Desk::new(shared, seed),
        })
    }

    /// Serves until asked to stop.
    ///
    /// # Errors
    /// The thread cannot be pinned; a file cannot be written.
    pub(super) fn run(mut self, cpu: Option<usize>) -> io::Result<WorkerTotals> {
        if let Some(cpu) = cpu {
            cpus::pin(&[cpu])?;
        }
        let mut events = Events::with_capacity(EVENTS_PER_TURN);
        let mut next_tick = Instant::now() + TICK;
        let mut stop_at = None;
        loop {
            match self.poll.poll(&mut events, Some(self.patience(next_tick))) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                Err(_) | Ok(()) => {}
            }
            for event in &events {
                let listener = usize::MAX - event.token().0;
                if listener >= self.listeners.len() {
                    self.turn(event.token().0, event.is_read_closed())?;
                } else if stop_at.is_none() {
                    self.accept(listener)?;
                }
            }
            for key in std::mem::take(&mut self.unfinished) {
                self.turn(key, false)?;
            }
            let now = Instant::now();
            self.end_pauses(now)?;
            if now >= next_tick {
                next_tick = now + TICK;
                self.desk.log.flush()?;
                if std::mem::take(&mut self.accept_again) && stop_at.is_none() {
                    for listener in 0..self.listeners.len() {
                        self.accept(listener)?;
                    }
                }
            }
            if self.desk.shared.stop.is_set() {
                let stop_at = *stop_at.get_or_insert(now + GRACE);
                next_tick = next_tick.min(stop_at);
                if self.connections.is_empty() || now >= stop_at {
                    break;
                }
            }
        }
        self.desk.log.flush()?;
        Ok(self.desk.totals)
    }

    fn patience(&self, next_tick: Instant) -> Duration {
        if !self.unfinished.is_empty() {
            return Duration::ZERO;
        }
        let next =
            self.pauses.peek().map_or(next_tick, |Reverse((end, _, _))| *end.min(&next_tick));
        next.saturating_duration_since(Instant::now())
    }

    fn accept(&mut self, listener: usize) -> io::Result<()> {
        loop {
            match self.listeners[listener].accept() {
                Ok((stream, client)) => self.welcome(stream, listener, client)?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The peer gave up already, or files are short: there is nothing to do about the
                // first, and the second passes.
                Err(_) => {
                    self.accept_again = true;
                    return Ok(());
                }
            }
        }
    }

    fn welcome(
        &mut self,
        stream: mio::net::TcpStream,
        listener: usize,
        client: SocketAddr,
    ) -> io::Result<()> {
        // A socket that will not have it still works.
        let _ = stream.set_nodelay(true);
        self.generation += 1;
        let (place, door) = ((listener, client.ip()), &self.doors[listener]);
        let mut connection = Connection::new(stream, self.generation, place, door);
        let entry = self.connections.vacant_entry();
        let key = entry.key();
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(connection.socket(), Token(key), interest)?;
        let state = connection.begin(&mut self.desk)?;
        entry.insert(connection);
        match state {
            Some(state) => self.apply(key, state),
            None => self.turn(key, false)?,
        }
        Ok(())
    }

    /// Gives a connection its turn. After a closed peer's last bytes it gets another one, which
    /// finds the end.
    fn turn(&mut self, key: usize, read_closed: bool) -> io::Result<()> {
        // An event may be older than the connection in its place, or come after its end.
        let Some(connection) = self.connections.get_mut(key) else {
            return Ok(());
        };
        let mut state = connection.turn(&mut self.desk, &mut self.buffer)?;
        if state == State::Waiting && read_closed {
            state = connection.turn(&mut self.desk, &mut self.buffer)?;
        }
        self.apply(key, state);
        Ok(())
    }

    fn apply(&mut self, key: usize, state: State) {
        match state {
            State::Waiting => {}
            State::Unfinished => self.unfinished.push(key),
            State::Paused(time) => {
                let generation = self.connections[key].generation;
                self.pauses.push(Reverse((Instant::now() + time, key, generation)));
            }
            // Closing the descriptor takes it out of epoll.
            State::Closed => self.connections.remove(key).end(),
        }
    }

    fn end_pauses(&mut self, now: Instant) -> io::Result<()> {
        while let Some(Reverse((end, key, generation))) = self.pauses.peek().copied() {
            if end > now {
                break;
            }
            self.pauses.pop();
            let connection = self.connections.get_mut(key);
            if let Some(connection) = connection.filter(|found| found.generation == generation) {
                connection.end_pause();
                // The edge of a closed peer may have passed during the pause.
                self.turn(key, true)?;
            }
        }
        Ok(())
    }
}
