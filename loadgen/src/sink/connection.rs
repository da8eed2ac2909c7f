//! One connection of a sink: the socket, the session and what is under way between them.

use std::io::{self, Read, Write};
use std::mem;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::net::TcpStream;

use super::desk::Desk;
use super::door::Door;
use crate::behaviour::{Handshake, Tarpit};
use crate::server::{Event, ServerSession};
use crate::tls::{TlsMode, Wire};

/// Reads of one connection before others get their turn.
const READS_PER_TURN_MAX: usize = 16;

/// Parts of a second in which a slow reader reads.
const SLOW_READS_PER_SECOND: u64 = 10;

/// What is said where TLS should begin, by a server that has no TLS to offer.
const GARBAGE: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";

/// How a connection stands after its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It waits for the peer.
    Waiting,
    /// It may have more to read than its turn allowed.
    Unfinished,
    /// It waits for its pause to end, which began now.
    Paused(Duration),
    /// It is over.
    Closed,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    stream: Wire<TcpStream>,
    /// Tells connections apart that had the same place one after the other.
    pub(super) generation: u64,
    listening: usize,
    client: IpAddr,
    door: Arc<Door>,
    /// None of a client that is turned away.
    session: Option<ServerSession>,
    out: Vec<u8>,
    /// Of what is to be sent.
    sent: usize,
    /// Input that waits for the end of a pause or for room in the socket.
    backlog: Vec<u8>,
    is_plain: bool,
    paused: bool,
    /// When the next drops of a tarpit may fall.
    next_drops_at: Option<Instant>,
    closing: bool,
}

impl Connection {
    /// A connection that was just accepted at `listening`; what is said first waits in it.
    ///
    /// # Errors
    /// TLS cannot begin.
    pub(super) fn new(
        stream: TcpStream,
        generation: u64,
        (listening, client): (usize, IpAddr),
        door: &Arc<Door>,
        desk: &mut Desk,
    ) -> io::Result<Self> {
        let mut connection = Self {
            stream: Wire::plain(stream),
            generation,
            listening,
            client,
            door: Arc::clone(door),
            session: None,
            out: Vec::new(),
            sent: 0,
            backlog: Vec::new(),
            is_plain: true,
            paused: false,
            next_drops_at: None,
            closing: false,
        };
        let is_implicit = desk.shared.settings.listen[listening].behaviour.tls == TlsMode::Implicit;
        if is_implicit && !connection.protect()? {
            return Ok(connection);
        }
        if door.enter(client, Instant::now()) {
            let mut around = desk.around(listening, client);
            let session = ServerSession::new(&mut around, &mut connection.out);
            if session.is_welcome() {
                desk.shared.counters.note_connection();
            }
            connection.session = Some(session);
        } else {
            desk.totals.tally.connections_refused += 1;
            connection.out.extend_from_slice(b"421 4.7.0 Too many connections, try later\r\n");
            connection.closing = true;
        }
        Ok(connection)
    }

    /// The socket, to be registered.
    pub(super) fn socket(&mut self) -> &mut TcpStream {
        self.stream.socket()
    }

    /// Sends the greeting, or begins the pause before it; `None` if the session can go on.
    ///
    /// # Errors
    /// As for [`Self::turn`].
    pub(super) fn greet(&mut self, desk: &mut Desk) -> io::Result<Option<State>> {
        self.feed(desk, &[])
    }

    /// The pause is over.
    pub(super) fn end_pause(&mut self) {
        self.paused = false;
    }

    /// It is over.
    pub(super) fn end(mut self) {
        self.stream.say_goodbye();
        if self.session.is_some() {
            self.door.leave(self.client);
        }
    }

    /// Does what can be done without waiting.
    ///
    /// # Errors
    /// A message could not be recorded, which is fatal; the peer's faults close the connection.
    pub(super) fn turn(&mut self, desk: &mut Desk, buffer: &mut [u8]) -> io::Result<State> {
        if self.paused {
            return Ok(State::Waiting);
        }
        if let Some(state) = self.flush(desk) {
            return Ok(state);
        }
        let backlog = mem::take(&mut self.backlog);
        if let Some(state) = self.feed(desk, &backlog)? {
            return Ok(state);
        }
        let rate = desk.shared.settings.listen[self.listening].behaviour.read_bytes_per_second;
        let room = rate.map_or(buffer.len(), |rate| {
            let share = usize::try_from(rate / SLOW_READS_PER_SECOND).unwrap_or(usize::MAX);
            share.clamp(1, buffer.len())
        });
        for _ in 0..READS_PER_TURN_MAX {
            let read = match self.stream.read(&mut buffer[..room]) {
                Ok(0) => return Ok(State::Closed),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(State::Waiting);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return Ok(State::Closed),
            };
            let state = self.feed(desk, &buffer[..read])?;
            if let Some(rate) = rate {
                return Ok(self.rest(state, read, rate));
            }
            if let Some(state) = state {
                return Ok(state);
            }
            // epoll(7): with edge triggering a short read says as much as EAGAIN does. A FIN that
            // comes later is an edge of its own; one that came with the data is read next time,
            // because the caller sees the flag of the event and asks again.
            if self.is_plain && read < room {
                return Ok(State::Waiting);
            }
        }
        Ok(State::Unfinished)
    }

    /// A slow reader has read.
    fn rest(&mut self, state: Option<State>, read: usize, rate: u64) -> State {
        let rest = Duration::from_secs_f64(read as f64 / rate as f64);
        match state {
            Some(State::Closed) => State::Closed,
            Some(State::Paused(time)) => State::Paused(time + rest),
            Some(State::Waiting | State::Unfinished) | None => {
                self.paused = true;
                State::Paused(rest)
            }
        }
    }

    /// Hands input to the session and sends the replies; `None` if more can be read now.
    fn feed(&mut self, desk: &mut Desk, input: &[u8]) -> io::Result<Option<State>> {
        let mut rest = input;
        while let Some(session) = &mut self.session {
            let mut around = desk.around(self.listening, self.client);
            let step = session.advance(&mut around, rest, &mut self.out);
            rest = &rest[step.consumed..];
            match step.event {
                Event::NeedInput => break,
                Event::Message => desk.record(session.message())?,
                Event::Pause(time) => {
                    self.paused = true;
                    self.backlog.extend_from_slice(rest);
                    return Ok(Some(State::Paused(time)));
                }
                Event::StartTls => {
                    // Nobody but an attacker sends anything behind STARTTLS (RFC 3207 §6).
                    return self.start_tls(desk);
                }
                Event::Close => {
                    self.closing = true;
                    rest = &[];
                    break;
                }
            }
        }
        self.backlog.extend_from_slice(rest);
        Ok(self.flush(desk))
    }

    fn start_tls(&mut self, desk: &Desk) -> io::Result<Option<State>> {
        // The 220 leaves in the clear; a reply that short fits into every socket.
        if let Some(state) = self.flush(desk) {
            return Ok(Some(state));
        }
        if let Some(session) = &mut self.session {
            session.protected();
        }
        if self.protect()? { Ok(None) } else { Ok(self.flush(desk)) }
    }

    /// Begins TLS, or what the behaviour has instead; whether it was TLS.
    fn protect(&mut self) -> io::Result<bool> {
        match (self.door.handshake, &self.door.tls) {
            (Handshake::Sound, Some(tls)) => {
                self.stream.protect(tls.connection()?);
                self.is_plain = false;
                return Ok(true);
            }
            (Handshake::Garbage, _) => self.out.extend_from_slice(GARBAGE),
            (Handshake::Close | Handshake::Sound, _) => {}
        }
        self.closing = true;
        Ok(false)
    }

    /// Sends the replies; `None` if all are sent and the connection goes on.
    fn flush(&mut self, desk: &Desk) -> Option<State> {
        match self.stream.push() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Some(State::Waiting),
            Err(_) => return Some(State::Closed),
            Ok(()) => {}
        }
        let tarpit = desk.shared.settings.listen[self.listening].behaviour.tarpit;
        while self.sent < self.out.len() {
            let mut end = self.out.len();
            if let Some(Tarpit { bytes, every }) = tarpit {
                let now = Instant::now();
                if let Some(wait) = self.next_drops_at.and_then(|at| at.checked_duration_since(now))
                    && !wait.is_zero()
                {
                    self.paused = true;
                    return Some(State::Paused(wait));
                }
                self.next_drops_at = Some(now + every);
                end = end.min(self.sent + bytes);
            }
            match self.stream.write(&self.out[self.sent..end]) {
                Ok(0) => return Some(State::Closed),
                Ok(written) => self.sent += written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Some(State::Waiting);
                }
                Err(_) => return Some(State::Closed),
            }
        }
        self.out.clear();
        self.sent = 0;
        if self.closing && self.stream.is_handshaking() {
            // What was said waits for the end of the handshake, which needs to be read.
            return None;
        }
        self.closing.then_some(State::Closed)
    }
}
