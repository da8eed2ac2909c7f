//! One connection of a source: the socket, the session and the messages under way on it.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use mio::net::TcpStream;

use super::SourceSettings;
use super::chunks::Chunks;
use super::departures::Departures;
use super::outgoing::Outgoing;
use super::report::Timed;
use super::supply::{Supplied, UnderWay};
use super::worker::Desk;
use crate::client::{ClientSession, Event, Outcome, Stage, Transfer};
use crate::content::Framing;
use crate::date;
use crate::reply::{Code, Next, ReplyLine, ReplyParser};
use crate::tls::{TlsMode, Wire};

/// How a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It waits for the server.
    Waiting,
    /// It is over, and this is how.
    Over(End),
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// After QUIT.
    Quit,
    /// It never came to a greeting, or the server would not have it.
    Failed,
    /// The server does not go together with the settings, and will not later.
    Unfit,
    /// In the middle.
    Broken,
}

/// What a connection leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Interrupted {
    /// It may have arrived, but nobody said so.
    pub(super) unanswered: Option<UnderWay>,
    /// These have not arrived.
    pub(super) untouched: [Option<UnderWay>; 2],
}

/// A place for one connection after another.
#[derive(Debug)]
pub(super) struct Connection {
    index: usize,
    pub(super) stream: Option<Wire<TcpStream>>,
    connected: bool,
    greeted: bool,
    quitting: bool,
    /// Messages begun on this connection, and those of them that are answered.
    begun: u64,
    answered: u64,
    /// The content of the current message was queued, or some of it.
    content_begun: bool,
    session: ClientSession,
    parser: ReplyParser,
    outgoing: Outgoing,
    departures: Departures,
    /// The content of the current message, by BDAT.
    chunks: Chunks,
    /// The message whose replies come next, and the one whose commands ran ahead of them.
    current: Option<UnderWay>,
    next: Option<UnderWay>,
    /// When that began which comes before the first command: connecting, the TLS handshake, the
    /// wait for the greeting.
    waits_since: Instant,
    auth_began_at: Option<Instant>,
    active_at: Instant,
}

impl Connection {
    /// A place without a connection.
    pub(super) fn new(index: usize, session: ClientSession, now: Instant) -> Self {
        Self {
            index,
            stream: None,
            connected: false,
            greeted: false,
            quitting: false,
            begun: 0,
            answered: 0,
            content_begun: false,
            session,
            parser: ReplyParser::default(),
            outgoing: Outgoing::default(),
            departures: Departures::default(),
            chunks: Chunks::default(),
            current: None,
            next: None,
            waits_since: now,
            auth_began_at: None,
            active_at: now,
        }
    }

    /// Begins to connect; the stream is then to be registered.
    ///
    /// # Errors
    /// What `connect` says at once.
    pub(super) fn open(
        &mut self,
        settings: &SourceSettings,
        now: Instant,
    ) -> io::Result<&mut TcpStream> {
        self.session.reset(settings.tls == TlsMode::Implicit);
        self.parser.reset();
        self.outgoing.clear();
        self.departures.clear();
        self.note_queued();
        (self.connected, self.greeted, self.quitting) = (false, false, false);
        (self.begun, self.answered) = (0, 0);
        self.content_begun = false;
        (self.waits_since, self.auth_began_at, self.active_at) = (now, None, now);
        let stream = settings.origins.connect(settings.target)?;
        // Commands are small and the next waits for their reply. A socket that refuses still works.
        let _ = stream.set_nodelay(true);
        let wire = self.stream.insert(Wire::plain(stream));
        if settings.tls == TlsMode::Implicit {
            wire.protect(settings.tls_client.connection()?);
        }
        Ok(wire.socket())
    }

    /// Closes, and gives out the messages that were under way.
    pub(super) fn close(&mut self) -> Interrupted {
        if let Some(mut wire) = self.stream.take() {
            wire.say_goodbye();
        }
        let untouched = self.is_untouched();
        let (current, next) = (self.current.take(), self.next.take());
        if untouched {
            Interrupted { unanswered: None, untouched: [current, next] }
        } else {
            Interrupted { unanswered: current, untouched: [None, next] }
        }
    }

    /// Whether the current message may move to another connection: the server took messages on
    /// this one and closed before the content of the next, as servers do that bound a session.
    /// Because of the first condition no message moves for ever.
    const fn is_untouched(&self) -> bool {
        self.answered > 0 && !self.content_begun
    }

    /// Whether a message may begin.
    pub(super) fn is_ready(&self) -> bool {
        self.stream.is_some() && self.greeted && !self.quitting && self.current.is_none()
    }

    /// Whether it is open, and the dialogue has not come to where messages may begin.
    pub(super) fn awaits_greeting(&self) -> bool {
        self.stream.is_some() && !self.greeted && !self.quitting
    }

    /// Whether the server has let `timeout` pass without a sign.
    pub(super) fn is_late(&self, now: Instant, timeout: Duration) -> bool {
        let waits = self.session.awaits_reply() || !self.outgoing.is_empty();
        self.stream.is_some() && waits && now.saturating_duration_since(self.active_at) > timeout
    }

    /// The socket is ready for something.
    pub(super) fn turn(&mut self, desk: &mut Desk, buffer: &mut [u8], read_closed: bool) -> State {
        if !self.connected {
            match self.finish_connecting() {
                Ok(true) => {
                    self.connected = true;
                    let now = Instant::now();
                    desk.tally.record(Timed::Connect, self.waits_since, now);
                    self.waits_since = now;
                }
                Ok(false) => return State::Waiting,
                Err(error) => {
                    desk.tally.note_fault(Stage::Connect, &error);
                    return State::Over(End::Failed);
                }
            }
        }
        if let State::Over(end) = self.flush(desk) {
            return State::Over(end);
        }
        loop {
            let Some(stream) = &mut self.stream else {
                return State::Waiting;
            };
            let read = stream.read(buffer);
            if let Some(ended_at) = stream.take_handshake_end() {
                desk.tally.record(Timed::Tls, self.waits_since, ended_at);
                self.waits_since = ended_at;
            }
            let read = match read {
                Ok(0) => Err(io::Error::other("the server closed the connection")),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return State::Waiting,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read,
            };
            let read = match read {
                Ok(read) => read,
                Err(error) => return State::Over(self.end_with(desk, &error)),
            };
            if let Some(end) = self.take_replies(desk, &buffer[..read]) {
                return State::Over(end);
            }
            // epoll(7): a short read says as much as EAGAIN does, unless the peer closed behind it.
            let is_plain = desk.settings.tls == TlsMode::None;
            if is_plain && read < buffer.len() && !read_closed {
                return State::Waiting;
            }
        }
    }

    /// Begins a message; only if [`Self::is_ready`].
    pub(super) fn begin(&mut self, desk: &mut Desk, message: UnderWay) -> State {
        self.current = Some(message);
        self.queue_transaction(desk, message);
        self.queue_chunks(desk);
        self.flush(desk)
    }

    /// Says QUIT; only if [`Self::is_ready`].
    pub(super) fn quit(&mut self, desk: &Desk) -> State {
        self.queue_quit();
        self.flush(desk)
    }

    fn queue_quit(&mut self) {
        self.quitting = true;
        self.session.queue_quit(self.outgoing.end());
        self.note_queued();
    }

    /// What was queued since the last call leaves when all that is queued now has left.
    fn note_queued(&mut self) {
        let end = self.outgoing.queued();
        while self.departures.count() < self.session.awaited() {
            self.departures.queue(end);
        }
    }

    fn queue_transaction(&mut self, desk: &Desk, message: UnderWay) {
        self.begun += 1;
        let SourceSettings { envelopes, contents, .. } = &*desk.settings;
        let size_bytes = contents.size_bytes(desk.id(message.number));
        self.session.queue_transaction(size_bytes, self.outgoing.end(), |parameters, out| {
            envelopes.write(message.number, parameters, out);
        });
        self.note_queued();
    }

    /// Whether the connection came about; false while it is still under way.
    fn finish_connecting(&mut self) -> io::Result<bool> {
        let Some(wire) = &mut self.stream else {
            return Ok(false);
        };
        let stream = wire.socket();
        if let Some(error) = stream.take_error()? {
            return Err(error);
        }
        match stream.peer_addr() {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// How the connection ends after `error`, which is told if it ends something.
    fn end_with(&self, desk: &mut Desk, error: &io::Error) -> End {
        // What is no TLS is told by that kind.
        let in_tls = error.kind() == io::ErrorKind::InvalidData;
        let stage = if in_tls { Some(Stage::Tls) } else { self.session.stage() };
        let end = self.end_of_stream();
        if let Some(stage) = stage.filter(|_| end != End::Quit) {
            desk.tally.note_fault(stage, error);
        }
        end
    }

    /// How a connection ended that the server, or time, cut off.
    pub(super) const fn end_of_stream(&self) -> End {
        if self.quitting && self.current.is_none() {
            End::Quit
        } else if self.greeted {
            End::Broken
        } else {
            End::Failed
        }
    }

    fn flush(&mut self, desk: &Desk) -> State {
        let Some(stream) = &mut self.stream else {
            return State::Waiting;
        };
        if !self.connected {
            return State::Waiting;
        }
        // What was encrypted before goes first; its end is news to nobody but the kernel.
        match stream.push() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return State::Waiting,
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                return State::Over(self.end_of_stream());
            }
            Ok(()) | Err(_) => {}
        }
        while !self.outgoing.is_empty() {
            // Before the system call: within it the server may answer already.
            let now = Instant::now();
            match self.outgoing.send(stream, &desk.settings.contents) {
                Ok(true) => {
                    self.active_at = now;
                    self.departures.leave(self.outgoing.handed(), now);
                }
                Ok(false) => return State::Waiting,
                // What the server said before it closed is still to be read.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return State::Waiting,
                Err(_) => return State::Over(self.end_of_stream()),
            }
        }
        State::Waiting
    }

    /// Handles what the server said and sends what that asks for.
    fn take_replies(&mut self, desk: &mut Desk, input: &[u8]) -> Option<End> {
        self.active_at = Instant::now();
        let mut parser = std::mem::take(&mut self.parser);
        let mut rest = input;
        let end = loop {
            match parser.next(rest) {
                Next::Line { consumed, line } => {
                    rest = &rest[consumed..];
                    let was_protected = self.session.is_protected();
                    if let Some(end) = self.take_line(desk, line) {
                        break Some(end);
                    }
                    // RFC 3207 §4.2: what came before the handshake counts for nothing after it.
                    if self.session.is_protected() != was_protected && !rest.is_empty() {
                        break Some(self.broken(desk, "the server spoke on in the clear"));
                    }
                }
                Next::NeedInput => break None,
                Next::Broken => break Some(self.broken(desk, "what came is no reply")),
            }
        };
        self.parser = parser;
        if end.is_some() {
            return end;
        }
        match self.flush(desk) {
            State::Waiting => None,
            State::Over(end) => Some(end),
        }
    }

    fn take_line(&mut self, desk: &mut Desk, line: ReplyLine<'_>) -> Option<End> {
        let stage = self.session.stage();
        let is_news = !self.session.has_failed();
        let event = self.session.handle_line(line, self.outgoing.end());
        let departed_at =
            if line.last && stage.is_some() { self.departures.answer() } else { None };
        self.note_queued();
        if let Some(stage) = stage.filter(|_| line.last) {
            if is_news && line.code.0 >= 400 {
                desk.tally.note_refusal(stage, line.code, line.text);
            }
            self.time_reply(desk, stage, departed_at);
        }
        match event {
            Event::None => {}
            Event::Ready => {
                self.greeted = true;
                desk.tally.connections += 1;
                desk.idle.push_back(self.index);
            }
            Event::StartTls => {
                let Ok(tls) = desk.settings.tls_client.connection() else {
                    return Some(End::Failed);
                };
                if let Some(wire) = &mut self.stream {
                    wire.protect(tls);
                }
                self.waits_since = self.active_at;
                self.session.protected(self.outgoing.end());
                self.note_queued();
            }
            Event::SendContent => self.queue_content(desk),
            Event::SendNothing => {
                self.outgoing.end().extend_from_slice(b".\r\n");
                self.session.content_queued();
                self.note_queued();
            }
            Event::Done(outcome) => {
                self.settle(desk, outcome, departed_at);
                // A server that answers a content before its end is not in step any more.
                if stage == Some(Stage::EndOfData) && departed_at.is_none() {
                    return Some(self.broken(desk, "a content was answered before its end"));
                }
            }
            Event::Unwelcome { stage, code } => return Some(self.leave(desk, stage, code)),
            Event::Unfit(unfit) => {
                desk.tally.note_fault(unfit.stage(), &unfit);
                return Some(End::Unfit);
            }
            Event::Closed => return Some(End::Quit),
            Event::Broken => return Some(self.broken(desk, "a reply came that nothing asked for")),
        }
        None
    }

    /// The reply to a command of `stage` has come, which left at `departed_at`.
    fn time_reply(&mut self, desk: &mut Desk, stage: Stage, departed_at: Option<Instant>) {
        let (what, from) = match stage {
            Stage::Greeting => (Timed::Banner, Some(self.waits_since)),
            Stage::Hello => (Timed::Ehlo, departed_at),
            Stage::Auth => {
                // The login may take several commands.
                self.auth_began_at = self.auth_began_at.or(departed_at);
                if self.session.stage() == Some(Stage::Auth) {
                    return;
                }
                (Timed::Auth, self.auth_began_at.take())
            }
            Stage::Mail => (Timed::Mail, departed_at),
            Stage::Recipient => (Timed::Rcpt, departed_at),
            Stage::Data => (Timed::Data, departed_at),
            // That of a message which is accepted is told with the message.
            Stage::EndOfData
            | Stage::Connect
            | Stage::StartTls
            | Stage::Tls
            | Stage::Reset
            | Stage::Bdat
            | Stage::Quit => return,
        };
        if let Some(from) = from {
            desk.tally.record(what, from, self.active_at);
        }
    }

    /// The server wants no more of this connection: it said `code` at `stage`.
    fn leave(&mut self, desk: &mut Desk, stage: Stage, code: Code) -> End {
        if !matches!(stage, Stage::Bdat | Stage::EndOfData) {
            // By BDAT the content may have run ahead of this reply, and nobody took it.
            self.content_begun = false;
        }
        if !self.is_untouched()
            && let Some(message) = self.current.take()
        {
            desk.refuse(message, code);
        }
        if stage == Stage::Auth && !code.is_transient() {
            // A wrong password stays wrong.
            End::Unfit
        } else if self.greeted && stage != Stage::Greeting {
            End::Broken
        } else {
            End::Failed
        }
    }

    /// The server does not keep to the protocol.
    fn broken(&self, desk: &mut Desk, how: &str) -> End {
        desk.tally.note_fault(self.session.stage().unwrap_or(Stage::Quit), &how);
        if self.greeted { End::Broken } else { End::Failed }
    }

    /// Queues the content of the current message, and behind it what need not wait for its reply.
    fn queue_content(&mut self, desk: &mut Desk) {
        if self.session.transfer() != Transfer::Data {
            self.queue_chunks(desk);
            return;
        }
        let Some(message) = self.current else {
            return;
        };
        let contents = &desk.settings.contents;
        let framing = Framing::Data;
        let written =
            contents.write(desk.id(message.number), date::unix_ms(), framing, self.outgoing.end());
        let body_bytes = contents.body(written.body, framing).len();
        self.outgoing.put_body(written.body, framing, 0..body_bytes);
        self.outgoing.end().extend_from_slice(b".\r\n");
        self.session.content_queued();
        self.note_queued();
        self.content_begun = true;
        self.run_ahead(desk);
    }

    /// Queues as much of the current message as may be sent by BDAT now.
    fn queue_chunks(&mut self, desk: &mut Desk) {
        let (Transfer::Bdat { chunk_bytes }, Some(message)) =
            (self.session.transfer(), self.current)
        else {
            return;
        };
        let mut is_last = false;
        while self.session.wants_chunk() {
            if !self.content_begun {
                self.content_begun = true;
                self.chunks.begin(
                    &desk.settings.contents,
                    desk.id(message.number),
                    date::unix_ms(),
                );
            }
            is_last = self.chunks.queue(chunk_bytes, &mut self.outgoing);
            self.session.chunk_queued(is_last);
            self.note_queued();
        }
        if is_last {
            self.run_ahead(desk);
        }
    }

    /// With pipelining, queues behind a content what need not wait for its reply.
    fn run_ahead(&mut self, desk: &mut Desk) {
        if !self.session.pipelines() {
            return;
        }
        if desk.is_last(self.begun) {
            self.queue_quit();
        } else if desk.settings.run_ahead
            && let Supplied::Message(next) = desk.supply.next(self.active_at)
        {
            self.next = Some(next);
            self.queue_transaction(desk, next);
        }
    }

    /// The oldest message is answered; its end left at `departed_at`.
    fn settle(&mut self, desk: &mut Desk, outcome: Outcome, departed_at: Option<Instant>) {
        self.answered += 1;
        self.content_begun = false;
        let Some(message) = self.current.take() else {
            return;
        };
        match outcome {
            Outcome::Accepted { recipients_refused } => {
                desk.tally.recipients_refused += u64::from(recipients_refused);
                desk.accept(message, recipients_refused, departed_at, self.active_at);
            }
            Outcome::Refused { code, .. } => desk.refuse(message, code),
        }
        self.current = self.next.take();
        if self.current.is_some() || self.quitting {
            return;
        }
        if desk.is_last(self.begun) {
            self.queue_quit();
        } else {
            desk.idle.push_back(self.index);
        }
    }
}
