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
    /// The door counts it.
    is_admitted: bool,
    /// None before the greeting, and of a client that is turned away.
    session: Option<ServerSession>,
    out: Vec<u8>,
    /// Of what is to be sent.
    sent: usize,
    /// Input that waits for the end of a pause.
    backlog: Vec<u8>,
    /// How much of it the session has had.
    backlog_taken: usize,
    is_plain: bool,
    /// A handshake is under way: nothing is said before its end.
    is_shaking_hands: bool,
    paused: bool,
    /// When the next drops of a tarpit may fall.
    next_drops_at: Option<Instant>,
    closing: bool,
}

impl Connection {
    /// A connection that was just accepted at `listening`.
    pub(super) fn new(
        stream: TcpStream,
        generation: u64,
        (listening, client): (usize, IpAddr),
        door: &Arc<Door>,
    ) -> Self {
        Self {
            stream: Wire::plain(stream),
            generation,
            listening,
            client,
            door: Arc::clone(door),
            is_admitted: false,
            session: None,
            out: Vec::new(),
            sent: 0,
            backlog: Vec::new(),
            backlog_taken: 0,
            is_plain: true,
            is_shaking_hands: false,
            paused: false,
            next_drops_at: None,
            closing: false,
        }
    }

    /// The socket, to be registered.
    pub(super) fn socket(&mut self) -> &mut TcpStream {
        self.stream.socket()
    }

    /// Begins TLS, or greets, or begins the pause before that; `None` if it can go on.
    ///
    /// # Errors
    /// As for [`Self::turn`].
    pub(super) fn begin(&mut self, desk: &mut Desk) -> io::Result<Option<State>> {
        self.is_admitted = self.door.enter(self.client, Instant::now());
        let behaviour = &desk.shared.settings.listen[self.listening].behaviour;
        if behaviour.tls == TlsMode::Implicit { self.protect(desk) } else { self.greet(desk) }
    }

    /// The pause is over.
    pub(super) fn end_pause(&mut self) {
        self.paused = false;
    }

    /// It is over.
    pub(super) fn end(mut self) {
        self.stream.say_goodbye();
        if self.is_admitted {
            self.door.leave(self.client);
        }
    }

    /// Does what can be done without waiting.
    ///
    /// # Errors
    /// TLS cannot begin, or a message could not be recorded, which is fatal; the peer's faults
    /// close the connection.
    pub(super) fn turn(&mut self, desk: &mut Desk, buffer: &mut [u8]) -> io::Result<State> {
        if self.paused {
            return Ok(State::Waiting);
        }
        if let Some(state) = self.resume(desk)? {
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
            let (taken, state) = self.feed(desk, &buffer[..read])?;
            self.backlog.extend_from_slice(&buffer[taken..read]);
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

    /// Goes on with what an earlier turn left; `None` if more can be read now.
    fn resume(&mut self, desk: &mut Desk) -> io::Result<Option<State>> {
        if self.is_shaking_hands {
            match self.stream.shake_hands() {
                Ok(()) => self.is_shaking_hands = false,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Some(State::Waiting));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    return Ok(Some(State::Unfinished));
                }
                Err(_) => return Ok(Some(State::Closed)),
            }
            if self.session.is_none()
                && let Some(state) = self.greet(desk)?
            {
                return Ok(Some(state));
            }
        }
        if let Some(state) = self.flush(desk) {
            return Ok(Some(state));
        }
        let backlog = mem::take(&mut self.backlog);
        let (taken, state) = self.feed(desk, &backlog[self.backlog_taken..])?;
        self.backlog_taken += taken;
        if self.backlog_taken < backlog.len() {
            self.backlog = backlog;
        } else {
            self.backlog_taken = 0;
        }
        Ok(state)
    }

    /// Greets the client, or turns it away; `None` if the session can go on.
    fn greet(&mut self, desk: &mut Desk) -> io::Result<Option<State>> {
        if self.is_admitted {
            let mut around = desk.around(self.listening, self.client);
            let session = ServerSession::new(&mut around, &mut self.out);
            if session.is_welcome() {
                desk.shared.counters.note_connection();
            }
            self.session = Some(session);
        } else {
            desk.totals.tally.connections_refused += 1;
            self.out.extend_from_slice(b"421 4.7.0 Too many connections, try later\r\n");
            self.closing = true;
        }
        Ok(self.feed(desk, &[])?.1)
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

    /// Hands input to the session and sends the replies: how much the session took, and `None` if
    /// that was all and more can be read now.
    fn feed(&mut self, desk: &mut Desk, input: &[u8]) -> io::Result<(usize, Option<State>)> {
        let mut taken = 0;
        while let Some(session) = &mut self.session {
            let mut around = desk.around(self.listening, self.client);
            let step = session.advance(&mut around, &input[taken..], &mut self.out);
            taken += step.consumed;
            match step.event {
                Event::NeedInput => break,
                Event::Message => desk.record(session.message())?,
                Event::Pause { time, held_from } => {
                    self.paused = true;
                    // What was said before does not wait for it, but where each byte does.
                    let is_over = !self.is_dripping(desk)
                        && self.send(desk, held_from) == Some(State::Closed);
                    let state = if is_over { State::Closed } else { State::Paused(time) };
                    return Ok((taken, Some(state)));
                }
                // Nobody but an attacker sends anything behind STARTTLS (RFC 3207 §6).
                Event::StartTls => return Ok((input.len(), self.start_tls(desk)?)),
                Event::Close => {
                    self.closing = true;
                    break;
                }
            }
        }
        // What comes behind the end is for nobody.
        Ok((input.len(), self.flush(desk)))
    }

    fn start_tls(&mut self, desk: &mut Desk) -> io::Result<Option<State>> {
        // The 220 leaves in the clear.
        if let Some(state) = self.flush(desk) {
            return Ok(Some(state));
        }
        if let Some(session) = &mut self.session {
            session.protected();
        }
        self.protect(desk)
    }

    /// Begins TLS, which the next turn goes on with, or does what the behaviour has instead.
    fn protect(&mut self, desk: &mut Desk) -> io::Result<Option<State>> {
        if let (Handshake::Sound, Some(tls)) = (self.door.handshake, &self.door.tls) {
            self.stream.protect(tls.connection()?);
            self.is_plain = false;
            self.is_shaking_hands = true;
            return Ok(Some(State::Unfinished));
        }
        if self.door.handshake == Handshake::Garbage {
            self.out.extend_from_slice(GARBAGE);
        }
        desk.totals.tally.connections_dropped += 1;
        self.closing = true;
        Ok(self.flush(desk))
    }

    /// Sends the replies; `None` if all are sent and the connection goes on.
    fn flush(&mut self, desk: &Desk) -> Option<State> {
        match self.stream.push() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Some(State::Waiting),
            Err(_) => return Some(State::Closed),
            Ok(()) => {}
        }
        if let Some(state) = self.send(desk, self.out.len()) {
            return Some(state);
        }
        self.out.clear();
        self.sent = 0;
        self.closing.then_some(State::Closed)
    }

    /// Sends the replies up to `end`; `None` if all of that is sent.
    fn send(&mut self, desk: &Desk, end: usize) -> Option<State> {
        let tarpit = desk.shared.settings.listen[self.listening].behaviour.tarpit;
        while self.sent < end {
            let mut piece_end = end;
            if let Some(Tarpit { bytes, every }) = tarpit {
                let now = Instant::now();
                if let Some(wait) = self.next_drops_at.and_then(|at| at.checked_duration_since(now))
                    && !wait.is_zero()
                {
                    self.paused = true;
                    return Some(State::Paused(wait));
                }
                self.next_drops_at = Some(now + every);
                piece_end = piece_end.min(self.sent.saturating_add(bytes));
            }
            match self.stream.write(&self.out[self.sent..piece_end]) {
                Ok(0) => return Some(State::Closed),
                Ok(written) => self.sent += written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Some(State::Waiting);
                }
                Err(_) => return Some(State::Closed),
            }
        }
        None
    }

    fn is_dripping(&self, desk: &Desk) -> bool {
        desk.shared.settings.listen[self.listening].behaviour.tarpit.is_some()
    }
}
