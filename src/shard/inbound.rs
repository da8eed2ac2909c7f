//! Sessions with clients: bytes from the ring into the session machine, content into the spool,
//! replies back.
//!
//! # Guarantees
//! - Content goes from the receive buffer into the spool's image in one copy; nothing else is
//!   copied.
//! - The reply to the end of data is made only when the spool has said what became of the commit.
//!
//! # Bounds
//! A session that waits holds [`HELD_BYTES_MAX`] of what its client goes on sending, and what was
//! on its way when its socket was paused for that. A session whose last reply went out is closed
//! after [`LINGER_S`] at the latest. At most [`REFUSED_CONNECTIONS_MAX`] clients that come on top
//! of a listener's connections are told so at a time; the others are dropped.

use std::io;
use std::mem;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use crate::clock::Now;
use crate::ids::MessageId;
use crate::io::listen;
use crate::io::ring::{ReceivedBytes, SocketKey};
use crate::limits::{HELD_BYTES_KEPT, HELD_BYTES_MAX, LINGER_S, REFUSED_CONNECTIONS_MAX};
use crate::message::{Content, Message, Recipient, RecipientState};
use crate::proto::server::{ContentRefusal, Event, Peer, ServerSession, Stored};
use crate::spool::{AppendError, BodyId, Room};

use super::deadlines::{Scheduled, Waiting};
use super::spooling::{Awaiting, Waiter};
use super::{Owner, Shard};

/// One connection from a client.
#[derive(Debug)]
pub(super) struct Session {
    listener: usize,
    socket: SocketKey,
    machine: ServerSession,
    /// Tells it from a later session in the same place.
    serial: u64,
    /// The content that is being received.
    content: Option<Receiving>,
    /// What was received and not looked at yet.
    held: Vec<u8>,
    /// It is in [`Shard::stalled`].
    stalled: bool,
    paused: bool,
    sending: bool,
    /// The client will send nothing more.
    input_over: bool,
    /// The machine knows that.
    end_told: bool,
    /// Everything is said; only the client's end is waited for, until this time.
    lingering: Option<Now>,
    /// Memory for the next replies.
    spare: Vec<u8>,
    scheduled: Scheduled,
}

/// A message between the answer to DATA and its end.
#[derive(Clone, Copy, Debug)]
struct Receiving {
    id: MessageId,
    body: BodyId,
}

impl Shard {
    /// Greets a client that has just connected to listener `listener`.
    pub(super) fn begin_session(&mut self, listener_index: usize, descriptor: OwnedFd) {
        let socket = socket2::SockRef::from(&descriptor);
        let Ok(address) = listen::peer(&socket) else {
            return;
        };
        listen::prepare(&socket);
        let mut conditions = self.conditions();
        let listener = &mut self.listeners[listener_index];
        let peer = Peer { address: address.ip(), port: address.port() };
        // A client over the limit gets the same 421 as one that comes while the server stops.
        let full = listener.connections >= listener.connections_max;
        self.counters.connections_refused += u64::from(full);
        if listener.connections >= listener.connections_max + REFUSED_CONNECTIONS_MAX {
            // Too many are being told so already.
            return;
        }
        conditions.draining |= full;
        listener.connections += 1;
        self.counters.connections_in_total += 1;
        self.serial += 1;
        let policy = Rc::clone(&listener.policy);
        let machine = ServerSession::new(policy, peer, self.serial, &conditions);
        let entry = self.sessions.vacant_entry();
        let index = entry.key();
        let socket = self.ring.add(descriptor, Owner::Session(index));
        self.ring.receive(&socket);
        entry.insert(Session {
            listener: listener_index,
            socket,
            machine,
            serial: self.serial,
            content: None,
            held: Vec::new(),
            stalled: false,
            paused: false,
            sending: false,
            input_over: false,
            end_told: false,
            lingering: None,
            spare: Vec::new(),
            scheduled: Scheduled::default(),
        });
        self.counters.connections_in = self.sessions.len() as u64;
        self.settle_session(index);
    }

    /// Takes what a client sent.
    pub(super) fn session_received(&mut self, index: usize, bytes: &ReceivedBytes) {
        let session = &mut self.sessions[index];
        if session.lingering.is_some() {
            return;
        }
        if session.held.is_empty() {
            let consumed = self.feed_session(index, bytes);
            // What waits is copied, so that no client can keep a receive buffer from the others.
            self.sessions[index].held.extend_from_slice(&bytes[consumed..]);
            self.settle_session(index);
        } else {
            session.held.extend_from_slice(bytes);
            self.drive_session(index);
        }
    }

    /// Takes the end of what a client sends.
    pub(super) fn session_ended(&mut self, index: usize, error: Option<&io::Error>) {
        let session = &mut self.sessions[index];
        if error.is_some() || session.lingering.is_some() {
            self.close_session(index);
            return;
        }
        session.input_over = true;
        self.drive_session(index);
    }

    /// Goes on after a send.
    pub(super) fn session_sent(&mut self, index: usize, result: &io::Result<()>, spare: Vec<u8>) {
        if result.is_err() {
            self.close_session(index);
            return;
        }
        let session = &mut self.sessions[index];
        session.sending = false;
        session.spare = spare;
        self.drive_session(index);
    }

    /// Tells a session what became of its message, if it is still there.
    pub(super) fn session_stored(&mut self, index: usize, serial: u64, stored: Stored) {
        let conditions = self.conditions();
        let Some(session) = self.sessions.get_mut(index).filter(|it| it.serial == serial) else {
            return;
        };
        session.machine.handle_stored(&conditions, stored);
        self.drive_session(index);
    }

    /// Looks whether a session waits for too long.
    pub(super) fn session_due(&mut self, index: usize, serial: u64, at: Now) {
        let conditions = self.conditions();
        let Some(session) = self.sessions.get_mut(index).filter(|it| it.serial == serial) else {
            return;
        };
        if !session.scheduled.came(at) {
            return;
        }
        match session.lingering {
            Some(until) if until <= self.now => {
                self.close_session(index);
                return;
            }
            Some(_) => {}
            None => {
                if session.machine.poll_timeout().0 <= self.now {
                    session.machine.handle_timeout(&conditions);
                }
            }
        }
        self.drive_session(index);
    }

    /// Goes on with sessions that waited for the spool to take more.
    pub(super) fn resume_stalled(&mut self) {
        if self.stalled.is_empty() || self.spool.room() == Room::Busy {
            return;
        }
        for (index, serial) in mem::take(&mut self.stalled) {
            let session = self.sessions.get_mut(index).filter(|it| it.serial == serial);
            if let Some(session) = session {
                session.stalled = false;
                self.drive_session(index);
            }
        }
    }

    /// Tells all sessions that the server is about to stop.
    pub(super) fn drain_sessions(&mut self) {
        let indexes: Vec<usize> = self.sessions.iter().map(|(index, _)| index).collect();
        for index in indexes {
            self.settle_session(index);
        }
    }

    /// Closes all sessions. A message that waits for its commit is still committed, and its client,
    /// who was not told, sends it again.
    pub(super) fn cut_off_sessions(&mut self) {
        let indexes: Vec<usize> = self.sessions.iter().map(|(index, _)| index).collect();
        for index in indexes {
            self.close_session(index);
        }
    }

    /// Goes on with what the session holds.
    fn drive_session(&mut self, index: usize) {
        let mut held = mem::take(&mut self.sessions[index].held);
        let consumed = self.feed_session(index, &held);
        held.drain(..consumed);
        if held.is_empty() && held.capacity() > HELD_BYTES_KEPT {
            held = Vec::new();
        }
        self.sessions[index].held = held;
        self.settle_session(index);
    }

    /// Feeds the machine with `input` until it needs more or must wait; returns how much is done
    /// with.
    fn feed_session(&mut self, index: usize, input: &[u8]) -> usize {
        let conditions = self.conditions();
        let mut consumed = 0;
        loop {
            let rest = &input[consumed..];
            let session = &mut self.sessions[index];
            if !rest.is_empty() && self.spool.room() == Room::Busy {
                if !session.stalled {
                    session.stalled = true;
                    self.stalled.push((index, session.serial));
                }
                return consumed;
            }
            let step = session.machine.advance(&conditions, rest);
            if let Event::Content(span) = step.event
                && let Some(content) = session.content
                && let Err(error) = self.spool.append_body(content.body, span.of(rest))
            {
                self.counters.refused_storage_full += u64::from(error == AppendError::Full);
                session.machine.refuse_content(refusal(error));
            }
            consumed += step.consumed;
            match step.event {
                Event::Content(_) => {}
                // No policy of this process offers these yet.
                Event::Inserted | Event::StartTls | Event::CheckPassword | Event::PeerChanged => {}
                Event::MessageBegin => self.begin_message(index),
                Event::MessageEnd => self.end_message(index),
                Event::MessageAbandoned => self.abandon_content(index),
                Event::NeedInput if session.input_over && !session.end_told => {
                    session.end_told = true;
                    session.machine.handle_eof();
                }
                // What is blocked goes on after the commit or the send that it waits for.
                Event::NeedInput | Event::Blocked => return consumed,
                Event::Close => return input.len(),
            }
        }
    }

    /// Opens the content of a message in the spool and writes the trace line at its head.
    fn begin_message(&mut self, index: usize) {
        let conditions = self.conditions();
        let id = self.ids.take();
        let session = &mut self.sessions[index];
        self.scratch.clear();
        session.machine.write_received_header(id, &conditions, &mut self.scratch);
        let body = self.spool.begin_body();
        match self.spool.append_body(body, &self.scratch) {
            Ok(()) => session.content = Some(Receiving { id, body }),
            Err(error) => {
                self.spool.abandon_body(body);
                session.machine.refuse_content(refusal(error));
            }
        }
    }

    /// Puts the message into the open commit group; its session is answered when that is durable.
    fn end_message(&mut self, index: usize) {
        let conditions = self.conditions();
        let session = &mut self.sessions[index];
        let Some(receiving) = session.content.take() else {
            unreachable!("the machine ends a message only after its content was taken whole")
        };
        let envelope = session.machine.envelope();
        let recipients = envelope
            .recipients
            .map(|recipient| Recipient {
                address: recipient.address.into(),
                state: RecipientState::new(self.wall),
                notices: recipient.notices.cloned().map(Box::new),
            })
            .collect();
        let mut message = Message {
            id: receiving.id,
            received: self.wall,
            sender: envelope.sender.into(),
            recipients,
            content: Content {
                body_type: envelope.body_type,
                dot_lines: session.machine.content_facts().dot_lines,
                ..Content::default()
            },
            wishes: envelope.wishes.cloned().map(Box::new),
        };
        match self.spool.append_message(receiving.body, &mut message) {
            Ok(group) => self.waiters.push_back(Waiter {
                group,
                message,
                awaiting: Awaiting::Session { index, serial: session.serial },
            }),
            Err(AppendError::Full) => {
                self.counters.refused_storage_full += 1;
                session.machine.handle_stored(&conditions, Stored::Full);
            }
            Err(AppendError::Failed) => session.machine.handle_stored(&conditions, Stored::Failed),
        }
    }

    fn abandon_content(&mut self, index: usize) {
        if let Some(receiving) = self.sessions[index].content.take() {
            self.spool.abandon_body(receiving.body);
        }
    }

    /// After anything that changed a session: sends what may go out, pauses or resumes its socket,
    /// closes it when all is said, and schedules the next look.
    fn settle_session(&mut self, index: usize) {
        let conditions = self.conditions();
        let session = &mut self.sessions[index];
        if conditions.draining {
            // A session whose transaction has ended meanwhile is told, too.
            session.machine.handle_drain(&conditions);
        }
        if !session.sending && session.lingering.is_none() {
            let mut replies = mem::take(&mut session.spare);
            if session.machine.transmit(&mut replies) {
                self.ring.send(&session.socket, replies);
                session.sending = true;
            } else {
                session.spare = replies;
                if session.machine.wants_close() {
                    if session.input_over {
                        self.close_session(index);
                        return;
                    }
                    self.ring.finish_sending(&session.socket);
                    session.lingering = Some(self.now + Duration::from_secs(LINGER_S));
                    session.held = Vec::new();
                }
            }
        }
        let full = session.held.len() >= HELD_BYTES_MAX;
        if full && !session.paused {
            session.paused = true;
            self.ring.pause(&session.socket);
        } else if session.paused && session.held.is_empty() {
            session.paused = false;
            self.ring.receive(&session.socket);
        }
        let at = session.lingering.unwrap_or_else(|| session.machine.poll_timeout().0);
        let waiting = Waiting::Session { index, serial: session.serial };
        self.deadlines.schedule(&mut session.scheduled, at, waiting);
    }

    fn close_session(&mut self, index: usize) {
        self.abandon_content(index);
        let session = self.sessions.remove(index);
        self.listeners[session.listener].connections -= 1;
        self.ring.close(session.socket);
        self.counters.connections_in = self.sessions.len() as u64;
    }
}

/// What the machine is told when the spool does not take content.
const fn refusal(error: AppendError) -> ContentRefusal {
    match error {
        AppendError::Full => ContentRefusal::Full,
        AppendError::Failed => ContentRefusal::Failed,
    }
}
