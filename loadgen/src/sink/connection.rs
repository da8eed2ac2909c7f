//! One connection of a sink: the socket, the session and what is under way between them.

use std::io::{self, Read, Write};
use std::mem;

use mio::net::TcpStream;

use super::worker::Desk;
use crate::server::{Event, ServerSession};

/// Reads of one connection before others get their turn.
const READS_PER_TURN_MAX: usize = 16;

/// How a connection stands after its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It waits for the peer.
    Waiting,
    /// It may have more to read than its turn allowed.
    Unfinished,
    /// It waits for its pause to end, which began now.
    Paused(std::time::Duration),
    /// It is over.
    Closed,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) stream: TcpStream,
    /// Tells connections apart that had the same place one after the other.
    pub(super) generation: u64,
    session: ServerSession,
    out: Vec<u8>,
    /// Input that waits for the end of a pause or for room in the socket.
    backlog: Vec<u8>,
    paused: bool,
    closing: bool,
}

impl Connection {
    /// A connection that was just accepted; the greeting waits in it.
    pub(super) fn new(stream: TcpStream, generation: u64, desk: &Desk) -> Self {
        let mut out = Vec::new();
        let session = ServerSession::new(&desk.policy, &mut out);
        Self {
            stream,
            generation,
            session,
            out,
            backlog: Vec::new(),
            paused: false,
            closing: false,
        }
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

    /// Does what can be done without waiting.
    ///
    /// # Errors
    /// A message could not be recorded, which is fatal; the peer's faults close the connection.
    pub(super) fn turn(&mut self, desk: &mut Desk, buffer: &mut [u8]) -> io::Result<State> {
        if self.paused {
            return Ok(State::Waiting);
        }
        if let Some(state) = self.flush() {
            return Ok(state);
        }
        let backlog = mem::take(&mut self.backlog);
        if let Some(state) = self.feed(desk, &backlog)? {
            return Ok(state);
        }
        for _ in 0..READS_PER_TURN_MAX {
            let read = match self.stream.read(buffer) {
                Ok(0) => return Ok(State::Closed),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(State::Waiting);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return Ok(State::Closed),
            };
            if let Some(state) = self.feed(desk, &buffer[..read])? {
                return Ok(state);
            }
            // epoll(7): with edge triggering a short read says as much as EAGAIN does. A FIN that
            // comes later is an edge of its own; one that came with the data is read next time,
            // because the caller sees the flag of the event and asks again.
            if read < buffer.len() {
                return Ok(State::Waiting);
            }
        }
        Ok(State::Unfinished)
    }

    /// Hands input to the session and sends the replies; `None` if more can be read now.
    fn feed(&mut self, desk: &mut Desk, input: &[u8]) -> io::Result<Option<State>> {
        let mut rest = input;
        let mut pause = None;
        loop {
            let step = self.session.advance(&desk.policy, &mut desk.dice, rest, &mut self.out);
            rest = &rest[step.consumed..];
            match step.event {
                Event::NeedInput => break,
                Event::Message => desk.record(self.session.message())?,
                Event::Pause(time) => {
                    pause = Some(time);
                    break;
                }
                Event::Close => {
                    self.closing = true;
                    rest = &[];
                    break;
                }
            }
        }
        self.backlog.extend_from_slice(rest);
        if let Some(time) = pause {
            self.paused = true;
            return Ok(Some(State::Paused(time)));
        }
        Ok(self.flush())
    }

    /// Sends the replies; `None` if all are sent and the connection goes on.
    fn flush(&mut self) -> Option<State> {
        let mut sent = 0;
        while sent < self.out.len() {
            match self.stream.write(&self.out[sent..]) {
                Ok(0) => return Some(State::Closed),
                Ok(written) => sent += written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.out.drain(..sent);
                    return Some(State::Waiting);
                }
                Err(_) => return Some(State::Closed),
            }
        }
        self.out.clear();
        self.closing.then_some(State::Closed)
    }
}
