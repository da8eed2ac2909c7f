//! One connection of a source: the socket, the session and the messages under way on it.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use mio::net::TcpStream;

use super::SourceSettings;
use super::outgoing::Outgoing;
use super::report::Timed;
use super::supply::{Supplied, UnderWay};
use super::worker::Desk;
use crate::client::{ClientSession, Event, Outcome, Stage};
use crate::content::Framing;
use crate::reply::{Next, ReplyLine, ReplyParser};
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
    /// The content of the current message was queued.
    content_begun: bool,
    session: ClientSession,
    parser: ReplyParser,
    outgoing: Outgoing,
    /// The message whose replies come next, and the one whose commands ran ahead of them.
    current: Option<UnderWay>,
    next: Option<UnderWay>,
    opened_at: Instant,
    active_at: Instant,
    /// When the last byte of the current content was handed to the kernel.
    content_sent_at: Option<Instant>,
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
            current: None,
            next: None,
            opened_at: now,
            active_at: now,
            content_sent_at: None,
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
        self.session.reset();
        self.parser.reset();
        self.outgoing.clear();
        (self.connected, self.greeted, self.quitting) = (false, false, false);
        (self.begun, self.answered) = (0, 0);
        self.content_begun = false;
        (self.opened_at, self.active_at) = (now, now);
        let stream = TcpStream::connect(settings.target)?;
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
        self.content_sent_at = None;
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

    /// Whether the server has let `timeout` pass without a sign.
    pub(super) fn is_late(&self, now: Instant, timeout: Duration) -> bool {
        let waits = self.session.awaits_reply() || !self.outgoing.is_empty();
        self.stream.is_some() && waits && now.saturating_duration_since(self.active_at) > timeout
    }

    /// The socket is ready for something.
    pub(super) fn turn(&mut self, desk: &mut Desk, buffer: &mut [u8], read_closed: bool) -> State {
        if !self.connected {
            match self.finish_connecting() {
                Ok(true) => self.connected = true,
                Ok(false) => return State::Waiting,
                Err(_) => return State::Over(End::Failed),
            }
        }
        if let State::Over(end) = self.flush(desk) {
            return State::Over(end);
        }
        loop {
            let Some(stream) = &mut self.stream else {
                return State::Waiting;
            };
            let read = match stream.read(buffer) {
                Ok(0) => return State::Over(self.end_of_stream()),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return State::Waiting,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return State::Over(self.end_of_stream()),
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
    pub(super) fn begin(&mut self, desk: &Desk, message: UnderWay) -> State {
        self.current = Some(message);
        self.queue_transaction(desk, message);
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
    }

    fn queue_transaction(&mut self, desk: &Desk, message: UnderWay) {
        self.begun += 1;
        let envelopes = &desk.settings.envelopes;
        self.session.queue_transaction(self.outgoing.end(), |out| {
            envelopes.write(message.number, out);
        });
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
        if self.outgoing.is_empty() {
            return State::Waiting;
        }
        match self.outgoing.flush(stream, &desk.settings.contents) {
            Ok(all_sent) => {
                self.active_at = Instant::now();
                if all_sent && self.session.stage() == Some(Stage::EndOfData) {
                    self.content_sent_at.get_or_insert(self.active_at);
                }
                State::Waiting
            }
            // What the server said before it closed is still to be read.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => State::Waiting,
            Err(_) => State::Over(self.end_of_stream()),
        }
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
                    if let Some(end) = self.take_line(desk, line) {
                        break Some(end);
                    }
                }
                Next::NeedInput => break None,
                Next::Broken => break Some(self.broken()),
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
        let content_is_out = self.outgoing.is_empty();
        let is_news = !self.session.has_failed();
        let event = self.session.handle_line(line, self.outgoing.end());
        if let Some(stage) = stage.filter(|_| is_news && line.last && line.code.0 >= 400) {
            desk.tally.note_refusal(stage, line.code, line.text);
        }
        if stage == Some(Stage::Greeting) && line.last && line.code.is_positive() {
            desk.tally.record(Timed::Connect, self.opened_at, self.active_at);
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
                self.session.protected(self.outgoing.end());
            }
            Event::SendContent => self.queue_content(desk),
            Event::SendNothing => {
                self.outgoing.end().extend_from_slice(b".\r\n");
                self.session.content_queued();
            }
            Event::Done(outcome) => {
                self.settle(desk, outcome);
                // A server that answers a content before its end is not in step any more.
                if stage == Some(Stage::EndOfData) && !content_is_out {
                    return Some(End::Broken);
                }
            }
            Event::Unwelcome { stage, code } => {
                if !self.is_untouched()
                    && let Some(message) = self.current.take()
                {
                    desk.refuse(message, code);
                }
                let in_session = self.greeted && stage != Stage::Greeting;
                return Some(if in_session { End::Broken } else { End::Failed });
            }
            Event::Closed => return Some(End::Quit),
            Event::Broken => return Some(self.broken()),
        }
        None
    }

    const fn broken(&self) -> End {
        if self.greeted { End::Broken } else { End::Failed }
    }

    /// Queues the content of the current message, and behind it what need not wait for its reply.
    fn queue_content(&mut self, desk: &mut Desk) {
        let Some(message) = self.current else {
            return;
        };
        let (id, framing) = (desk.id(message.number), Framing::Data);
        let written = desk.settings.contents.write(id, framing, self.outgoing.end());
        self.outgoing.put_body(written.body, framing);
        self.outgoing.end().extend_from_slice(b".\r\n");
        self.session.content_queued();
        self.content_begun = true;
        self.content_sent_at = None;
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

    /// The oldest message is answered.
    fn settle(&mut self, desk: &mut Desk, outcome: Outcome) {
        let content_sent_at = self.content_sent_at.take();
        self.answered += 1;
        self.content_begun = false;
        let Some(message) = self.current.take() else {
            return;
        };
        match outcome {
            Outcome::Accepted { recipients_refused } => {
                desk.tally.recipients_refused += u64::from(recipients_refused);
                desk.accept(message, content_sent_at, self.active_at);
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
