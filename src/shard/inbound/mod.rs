//! Sessions with clients: bytes from the ring into the session machine, content into the spool,
//! replies back.
//!
//! A connection comes in three stages, of which it may skip the first two: a proxy tells on whose
//! behalf it connects ([`arrival`]), TLS is agreed upon ([`protection`]), and the machine talks.
//!
//! # Guarantees
//! - Content goes from the receive buffer into the spool's image in one copy; nothing else is
//!   copied. Under TLS it is decrypted in the receive buffer before.
//! - The reply to the end of data is made only when the spool has said what became of the commit.
//! - What a client sent in the clear is never given to the machine after its handshake.
//! - A connection that fails, for whatever reason, ends nothing but itself.
//!
//! # Bounds
//! A session that waits holds [`HELD_BYTES_MAX`] of what its client goes on sending, and what was
//! on its way when its socket was paused for that. A session whose last reply went out is closed
//! after [`LINGER_S`] at the latest. At most `REFUSED_CONNECTIONS_MAX` clients that come on top
//! of a listener's connections are told so at a time; the others are dropped.
//!
//! # What a connection costs
//! Measured by `tests/idle_memory.rs`, beside the kernel's socket:
//!
//! | connection | bytes |
//! | --- | --- |
//! | plain, idle | 540 in the shard's table, 300 that the machine owns |
//! | under TLS, idle | 1,160 of [`TlsPump`] and some 2,600 of keys and the library's state more |
//! | in DATA | 650 of envelope more |
//!
//! In DATA a session owns no buffer: content lies in the receive buffers, of which a shard has
//! `RECEIVE_BUFFER_COUNT`, and in the image of the spool's segment. Under TLS the rest of a record
//! that did not come whole is held, `TLS_RECORD_BYTES_MAX` at most, and one record while it is
//! looked at.

use std::io;
use std::mem;
use std::time::Duration;

use crate::clock::Now;
use crate::io::ring::SocketKey;
use crate::io::tls::TlsPump;
use crate::limits::{
    HELD_BYTES_KEPT, HELD_BYTES_MAX, LINGER_S, OUTPUT_BYTES_MAX, REPLY_KEPT_BYTES,
};
use crate::proto::server::{Event, ServerSession, Stored};
use crate::spool::Room;

use super::Shard;
use super::deadlines::{Scheduled, Waiting};

mod arrival;
mod messages;
mod passwords;
mod protection;

pub(super) use arrival::{Arrival, Offer};
pub(super) use passwords::PasswordChecks;

use arrival::Place;
use messages::Receiving;

/// One connection from a client.
#[derive(Debug)]
pub(super) struct Session {
    place: Place,
    socket: SocketKey,
    machine: ServerSession,
    /// Stands between the socket and the machine, from the beginning or from STARTTLS on.
    tls: Option<Box<TlsPump>>,
    /// Tells it from a later session in the same place.
    serial: u64,
    /// The content that is being received.
    content: Option<Receiving>,
    /// What was received, and decrypted, and not looked at yet.
    held: Vec<u8>,
    /// What is to be sent as it is, once the send that runs is over.
    output: Vec<u8>,
    /// Authentications that failed and were counted.
    auth_failures: u32,
    /// It is authenticated, and that was counted.
    is_known: bool,
    flags: Flags,
    /// Everything is said; only the client's end is waited for, until this time.
    lingering: Option<Now>,
    scheduled: Scheduled,
}

/// What is or was done with a connection.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each stands for itself")]
struct Flags {
    /// It is in [`Shard::stalled`].
    stalled: bool,
    paused: bool,
    sending: bool,
    /// A handshake was begun, and not done.
    handshake_runs: bool,
    /// It is in [`Shard::handshakes`].
    handshake_waits: bool,
    /// TLS failed: what is in `output` is the last that it sends, and nothing is looked at.
    cut: bool,
    /// The client will send nothing more.
    input_over: bool,
    /// The machine knows that.
    end_told: bool,
    /// The client was told under TLS that nothing more comes.
    close_told: bool,
}

const _: () = assert!(
    size_of::<Session>() <= 576 && size_of::<TlsPump>() <= 1_280,
    "ten thousand idle connections take a few MiB, and with TLS a few more"
);

impl Shard {
    /// Takes what a client sent.
    pub(super) fn session_received(&mut self, index: usize, bytes: &mut [u8]) {
        let session = &mut self.sessions[index];
        if session.lingering.is_some() || session.flags.cut {
            return;
        }
        if session.tls.is_some() {
            self.ciphertext_received(index, bytes);
            return;
        }
        self.take_plaintext(index, bytes);
        self.settle_or_drive(index);
    }

    /// Takes the end of what a client sends.
    pub(super) fn session_ended(&mut self, index: usize, error: Option<&io::Error>) {
        let session = &mut self.sessions[index];
        if error.is_some() || session.lingering.is_some() {
            self.close_session(index);
            return;
        }
        session.flags.input_over = true;
        // What came before the end is looked at first.
        if !session.flags.handshake_waits {
            self.drive_session(index);
        }
    }

    /// Goes on after a send.
    pub(super) fn session_sent(&mut self, index: usize, result: &io::Result<()>, spare: Vec<u8>) {
        if result.is_err() {
            self.close_session(index);
            return;
        }
        let session = &mut self.sessions[index];
        session.flags.sending = false;
        if session.output.is_empty() && spare.capacity() <= REPLY_KEPT_BYTES {
            session.output = spare;
        }
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
                    // A client that takes nothing any more is not waited for.
                    if session.flags.sending && session.machine.wants_close() {
                        self.close_session(index);
                        return;
                    }
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
                session.flags.stalled = false;
                self.drive_session(index);
            }
        }
    }

    /// Tells all sessions that the server is about to stop.
    pub(super) fn drain_sessions(&mut self) {
        self.close_arrivals();
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

    /// Feeds the machine with what came, and holds what must wait. It is copied then, so that no
    /// client can keep a receive buffer from the others.
    fn take_plaintext(&mut self, index: usize, bytes: &[u8]) {
        let mut consumed = 0;
        if self.sessions[index].held.is_empty() {
            consumed = self.feed_session(index, bytes);
        }
        let rest = bytes.get(consumed..).unwrap_or_default();
        self.sessions[index].held.extend_from_slice(rest);
    }

    /// Goes on after input: with what is held, if there is any.
    fn settle_or_drive(&mut self, index: usize) {
        if self.sessions[index].held.is_empty() {
            self.settle_session(index);
        } else {
            self.drive_session(index);
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
            let rest = input.get(consumed..).unwrap_or_default();
            let session = &mut self.sessions[index];
            if session.flags.cut {
                return input.len();
            }
            if !rest.is_empty() && self.spool.room() == Room::Busy {
                if !session.flags.stalled {
                    session.flags.stalled = true;
                    self.stalled.push((index, session.serial));
                }
                return consumed;
            }
            let step = session.machine.advance(&conditions, rest);
            consumed += step.consumed;
            match step.event {
                Event::Content(span) => self.append_content(index, span.of(rest)),
                Event::Inserted => self.append_inserted(index),
                Event::MessageBegin => self.begin_message(index),
                Event::MessageEnd => self.end_message(index),
                Event::MessageAbandoned => self.abandon_content(index),
                Event::CheckPassword => self.check_password(index),
                Event::PeerChanged => self.peer_changed(index),
                // All of the input was dropped; what comes next is for TLS.
                Event::StartTls => {
                    self.begin_tls(index);
                    return input.len();
                }
                Event::NeedInput if session.flags.input_over && !session.flags.end_told => {
                    session.flags.end_told = true;
                    session.machine.handle_eof();
                }
                // What is blocked goes on after the commit or the send that it waits for.
                Event::NeedInput | Event::Blocked => return consumed,
                Event::Close => return input.len(),
            }
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
        self.count_authentications(index);
        if self.send_output(index) {
            self.close_session(index);
            return;
        }
        let session = &mut self.sessions[index];
        let full = session.held.len() >= HELD_BYTES_MAX || session.output.len() >= OUTPUT_BYTES_MAX;
        if full && !session.flags.paused {
            session.flags.paused = true;
            self.ring.pause(&session.socket);
        } else if session.flags.paused && session.held.is_empty() && session.output.is_empty() {
            session.flags.paused = false;
            self.ring.receive(&session.socket);
        }
        let at = session.lingering.unwrap_or_else(|| session.machine.poll_timeout().0);
        let waiting = Waiting::Session { index, serial: session.serial };
        self.deadlines.schedule(&mut session.scheduled, at, waiting);
    }

    /// Sends what may go out, if nothing is on its way. Returns whether all is said and heard, so
    /// that the connection is to be closed.
    fn send_output(&mut self, index: usize) -> bool {
        let session = &mut self.sessions[index];
        if session.flags.sending || session.lingering.is_some() {
            return false;
        }
        session.collect_replies(&mut self.scratch);
        let over = session.flags.cut || session.machine.wants_close();
        if session.output.is_empty() && over {
            session.say_goodbye();
        }
        if !session.output.is_empty() {
            self.ring.send(&session.socket, mem::take(&mut session.output));
            session.flags.sending = true;
        } else if over {
            if session.flags.input_over {
                return true;
            }
            self.ring.finish_sending(&session.socket);
            session.lingering = Some(self.now + Duration::from_secs(LINGER_S));
            session.held = Vec::new();
        }
        false
    }

    fn close_session(&mut self, index: usize) {
        self.abandon_content(index);
        let session = self.sessions.remove(index);
        self.counters.tls_handshakes_failed += u64::from(session.flags.handshake_runs);
        self.leave(&session.place);
        self.ring.close(session.socket);
        self.count_connections();
    }
}
