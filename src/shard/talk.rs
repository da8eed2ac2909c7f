//! A session with a next hop: replies from the ring into the client machine, commands and content
//! back, what the machine reports into decisions.
//!
//! # Guarantees
//! Every recipient of a job is decided once, from what the machine reported. A session that ends
//! in the middle leaves no recipient behind: the machine reports them all.
//!
//! # Bounds
//! One send in flight.

use std::io;
use std::mem;
use std::time::Duration;

use smallvec::SmallVec;

use crate::clock::Now;
use crate::io::ring::{ReceivedBytes, SocketKey};
use crate::limits::CONNECTION_IDLE_S;
use crate::proto::client::{
    Addressee, ClientEvent, ClientSession, Delivered, Failure, PassedOn, TransactionRequest,
};
use crate::queue::Decision;
use crate::queue::outcome::{Verdict, decide};

use super::Shard;
use super::content;
use super::deadlines::Waiting;
use super::relay::{Judged, Left, Running, Stage, owes_success};
use super::reports::{Fate, News};
use super::sending::Sending;

/// A session that is up.
#[derive(Debug)]
pub(super) struct Talk {
    pub(super) socket: SocketKey,
    pub(super) machine: ClientSession,
    /// Whether a send is on its way.
    pub(super) sending: bool,
    /// Memory for the next commands.
    spare: Vec<u8>,
    /// The content that is being sent.
    pub(super) content: Option<Sending>,
    /// Without a job it is ended at this time.
    idle_until: Option<Now>,
}

impl Talk {
    pub(super) fn new(socket: SocketKey, machine: ClientSession) -> Self {
        Self { socket, machine, sending: false, spare: Vec::new(), content: None, idle_until: None }
    }
}

impl Shard {
    /// The session of connection `index`, if one is up.
    pub(super) fn talk(&mut self, index: usize) -> Option<&mut Talk> {
        match &mut self.connections.get_mut(index)?.stage {
            Stage::Talking(talk) => Some(talk),
            Stage::Resolving(_) | Stage::Connecting { .. } | Stage::Between => None,
        }
    }

    /// Takes what the peer sent.
    pub(super) fn talk_received(&mut self, index: usize, bytes: &ReceivedBytes) {
        let now = self.now;
        if let Some(talk) = self.talk(index) {
            talk.machine.handle_input(now, bytes);
            self.settle_talk(index);
        }
    }

    /// Takes the end of what the peer sends.
    pub(super) fn talk_ended(&mut self, index: usize, error: Option<&io::Error>) {
        if let Some(talk) = self.talk(index) {
            match error {
                None => talk.machine.handle_eof(),
                Some(error) => talk.machine.handle_io_error(&error.to_string()),
            }
            self.settle_talk(index);
        }
    }

    /// Goes on after a send.
    pub(super) fn talk_sent(&mut self, index: usize, result: &io::Result<()>, spare: Vec<u8>) {
        let now = self.now;
        let Some(talk) = self.talk(index) else { return };
        talk.sending = false;
        talk.spare = spare;
        match result {
            Ok(()) => talk.machine.content_progress(now),
            Err(error) => talk.machine.handle_io_error(&error.to_string()),
        }
        self.settle_talk(index);
    }

    /// Looks whether the session waits for too long.
    pub(super) fn talk_due(&mut self, index: usize) {
        let now = self.now;
        let Some(talk) = self.talk(index) else { return };
        if talk.idle_until.is_some_and(|until| until <= now) {
            talk.idle_until = None;
            talk.machine.quit(now);
            self.forget_idle(index);
        }
        if let Some(talk) = self.talk(index)
            && talk.machine.poll_timeout().is_some_and(|(at, _)| at <= now)
        {
            talk.machine.handle_timeout(now);
        }
        self.settle_talk(index);
    }

    /// Ends all sessions that carry nothing, and with `all` the others, too.
    pub(super) fn quit_connections(&mut self, all: bool) {
        let indexes: Vec<usize> = self.connections.iter().map(|(index, _)| index).collect();
        let now = self.now;
        for index in indexes {
            if !all && self.connections[index].running.is_some() {
                continue;
            }
            self.forget_idle(index);
            match self.talk(index) {
                Some(talk) => {
                    talk.idle_until = None;
                    talk.machine.quit(now);
                    self.settle_talk(index);
                }
                None => self.drop_connection(index),
            }
        }
    }

    pub(super) fn drop_connection(&mut self, index: usize) {
        let stage = mem::replace(&mut self.connections[index].stage, Stage::Between);
        match stage {
            Stage::Connecting { socket, .. } => self.ring.close(socket),
            Stage::Talking(talk) => self.ring.close(talk.socket),
            Stage::Resolving(id) => drop(self.resolving.remove(&id)),
            Stage::Between => {}
        }
        self.end_connection(index);
    }

    /// After anything that changed a session: acts on its events, sends, and schedules the next
    /// look.
    pub(super) fn settle_talk(&mut self, index: usize) {
        while let Some(event) = self.talk(index).and_then(|talk| talk.machine.poll_event()) {
            match event {
                ClientEvent::Ready => self.session_ready(index),
                ClientEvent::SendContent(framing) => self.begin_content(index, framing),
                ClientEvent::Recipient { index: place, result } => {
                    self.recipient_answered(index, place, &result);
                }
                ClientEvent::TransactionEnd => self.transaction_ended(index),
                ClientEvent::Closed { failure } => {
                    self.session_closed(index, failure);
                    return;
                }
            }
        }
        self.push_talk(index);
        self.schedule_talk(index);
    }

    fn schedule_talk(&mut self, index: usize) {
        let Some(connection) = self.connections.get_mut(index) else { return };
        let Stage::Talking(talk) = &connection.stage else { return };
        let timeout = talk.machine.poll_timeout().map(|(at, _)| at);
        if let Some(at) = timeout.into_iter().chain(talk.idle_until).min() {
            let waiting = Waiting::Connection { index, serial: connection.serial };
            self.deadlines.schedule(&mut connection.scheduled, at, waiting);
        }
    }

    /// A transaction may begin.
    fn session_ready(&mut self, index: usize) {
        self.session_up(index);
        let connection = &mut self.connections[index];
        if let Some(mut running) = connection.running.take() {
            running.asked = running.left.drain(..).map(|left| left.recipient).collect();
            self.begin_transaction(index, running);
            return;
        }
        let next_hop = connection.next_hop.clone();
        if self.stopping.is_none()
            && self.may_record_more()
            && let Some(job) = self.queue.take_job(&next_hop)
        {
            self.begin_transaction(index, Running::new(job));
            return;
        }
        let now = self.now;
        let stopping = self.stopping.is_some();
        let Some(talk) = self.talk(index) else { return };
        if stopping {
            talk.machine.quit(now);
        } else {
            talk.idle_until = Some(now + Duration::from_secs(CONNECTION_IDLE_S));
            self.idle.put(&next_hop, index);
        }
    }

    /// Carries `running` over the session of connection `index`, which is ready.
    pub(super) fn begin_transaction(&mut self, index: usize, mut running: Running) {
        let Some(message) = self.queue.message(running.job.message) else {
            // It was withdrawn; the queue knows.
            self.settle(running.job, Vec::new());
            return;
        };
        let recipients: SmallVec<[Addressee<'_>; 4]> = running
            .asked
            .iter()
            .filter_map(|&place| message.recipients.get(place as usize))
            .map(|it| Addressee { address: &it.address, notices: it.notices.as_deref() })
            .collect();
        let request = TransactionRequest {
            sender: &message.sender,
            recipients: &recipients,
            size_bytes: message.content.length_bytes,
            body_type: message.content.body_type,
            wishes: message.wishes.as_deref(),
            wall: self.wall,
        };
        running.asks = message.wishes.is_some()
            || message.recipients.iter().any(|recipient| recipient.notices.is_some());
        let connection = &mut self.connections[index];
        let Stage::Talking(talk) = &mut connection.stage else {
            unreachable!("only a session that is ready is given a job")
        };
        talk.idle_until = None;
        talk.machine.begin(self.now, &request);
        connection.running = Some(running);
        self.touched.push(index);
    }

    fn recipient_answered(
        &mut self,
        index: usize,
        place: usize,
        result: &Result<Delivered, Failure>,
    ) {
        let verdict = decide(result, self.at_last_server(index));
        let owes_success =
            result.as_ref().is_ok_and(|it| self.owes_success(index, place, it.passed_on));
        let connection = &mut self.connections[index];
        let host = connection.host();
        let Some(running) = &mut connection.running else {
            unreachable!("the machine reports only recipients of the running transaction")
        };
        let Some(&recipient) = running.asked.get(place) else {
            unreachable!("the machine reports only recipients that it was given")
        };
        match result {
            Ok(delivered) => tracing::debug!(
                message = %running.job.message, recipient, next_hop = %connection.next_hop,
                "delivered: {}", delivered.reply
            ),
            Err(failure) => tracing::info!(
                message = %running.job.message, recipient, next_hop = %connection.next_hop,
                "{}: {failure}", verb(&verdict)
            ),
        }
        let (failure, success) = match result {
            Err(failure) => (Some((failure.clone(), failure.reply().and(host))), None),
            Ok(delivered) if owes_success => {
                let fate = Fate::Relayed(delivered.reply.clone());
                (None, Some(News { recipient, fate, remote_mta: host }))
            }
            Ok(_) => (None, None),
        };
        match (verdict, failure) {
            (Verdict::Final(decision), failure) => {
                running.judged.push(Judged { recipient, decision, failure, success });
            }
            (Verdict::TryNextServer, Some(failure)) => {
                running.left.push(Left { recipient, failure });
            }
            (Verdict::TryNextServer, None) => unreachable!("what was delivered is final"),
        }
    }

    /// Whether the sender is to hear that the recipient at `place` of the running transaction was
    /// taken by a server that cares for `passed_on`.
    fn owes_success(&self, index: usize, place: usize, passed_on: PassedOn) -> bool {
        let running = self.connections[index].running.as_ref().filter(|running| running.asks);
        running.is_some_and(|running| {
            let message = self.queue.message(running.job.message);
            message
                .zip(running.asked.get(place))
                .is_some_and(|(message, &recipient)| owes_success(message, recipient, passed_on))
        })
    }

    fn transaction_ended(&mut self, index: usize) {
        let now = self.now;
        let connection = &mut self.connections[index];
        if let Stage::Talking(talk) = &mut connection.stage {
            talk.content = None;
        }
        let Some(mut running) = connection.running.take() else { return };
        if running.left.is_empty() {
            self.settle(running.job, running.judged);
            return;
        }
        // What was delivered must not wait for the others to become durable.
        self.record_delivered(&mut running);
        // A server that only had enough for one transaction takes the rest in the next.
        let same_server = running.left.iter().all(|left| left.failure.0.retry_now);
        self.connections[index].running = Some(running);
        if let Some(talk) = self.talk(index)
            && !same_server
        {
            talk.machine.quit(now);
        }
    }

    fn session_closed(&mut self, index: usize, failure: Option<Failure>) {
        self.forget_idle(index);
        let stage = mem::replace(&mut self.connections[index].stage, Stage::Between);
        if let Stage::Talking(talk) = stage {
            self.ring.close(talk.socket);
        }
        let connection = &self.connections[index];
        match (&connection.running, failure) {
            (Some(_), failure) if self.stopping.is_none() => {
                let failure = failure.unwrap_or_else(content::next_server_wanted);
                self.next_server(index, &failure);
            }
            // It came up and ended while it carried nothing: the queue asks for another if it
            // wants one.
            (None, None) => self.end_connection(index),
            (None, Some(_)) if connection.has_served() => self.end_connection(index),
            (None, Some(failure)) if self.stopping.is_none() => self.next_server(index, &failure),
            (None | Some(_), _) => self.end_connection(index),
        }
    }

    fn forget_idle(&mut self, index: usize) {
        let next_hop = self.connections[index].next_hop.clone();
        self.idle.forget(&next_hop, index);
    }

    /// Sends what may go out next, if nothing is on its way.
    fn push_talk(&mut self, index: usize) {
        let Some(connection) = self.connections.get_mut(index) else { return };
        let Stage::Talking(talk) = &mut connection.stage else { return };
        if talk.sending {
            return;
        }
        let mut commands = mem::take(&mut talk.spare);
        if talk.machine.transmit(&mut commands) {
            talk.sending = true;
            self.ring.send(&talk.socket, commands);
            return;
        }
        talk.spare = commands;
        if talk.content.is_some() {
            self.push_content(index);
        }
    }
}

const fn verb(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Final(Decision::Deliver) => "delivered",
        Verdict::Final(Decision::Defer { .. }) => "deferred",
        Verdict::Final(Decision::Bounce { .. }) => "bounced",
        Verdict::TryNextServer => "trying the next server",
    }
}
