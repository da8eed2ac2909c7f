//! Messages on their way from a session into the spool.

use crate::ids::MessageId;
use crate::message::{Content, Message, Recipient, RecipientState};
use crate::proto::server::{ContentRefusal, Stored};
use crate::shard::Shard;
use crate::shard::spooling::{Awaiting, Waiter};
use crate::spool::{AppendError, BodyId};

/// A message between the answer to DATA and its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Receiving {
    id: MessageId,
    body: BodyId,
}

impl Shard {
    /// Opens the content of a message in the spool and writes the trace line at its head.
    pub(super) fn begin_message(&mut self, index: usize) {
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

    /// Copies a piece of content into the spool.
    pub(super) fn append_content(&mut self, index: usize, bytes: &[u8]) {
        if let Some(content) = self.sessions[index].content {
            let result = self.spool.append_body(content.body, bytes);
            self.appended(index, result);
        }
    }

    /// Puts what the machine adds to a message into the spool.
    pub(super) fn append_inserted(&mut self, index: usize) {
        let session = &self.sessions[index];
        if let Some(content) = session.content {
            let result = self.spool.append_body(content.body, session.machine.inserted());
            self.appended(index, result);
        }
    }

    /// Tells the machine if the spool did not take a piece.
    fn appended(&mut self, index: usize, result: Result<(), AppendError>) {
        if let Err(error) = result {
            self.counters.refused_storage_full += u64::from(error == AppendError::Full);
            self.sessions[index].machine.refuse_content(refusal(error));
        }
    }

    /// Puts the message into the open commit group; its session is answered when that is durable.
    pub(super) fn end_message(&mut self, index: usize) {
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

    pub(super) fn abandon_content(&mut self, index: usize) {
        if let Some(receiving) = self.sessions[index].content.take() {
            self.spool.abandon_body(receiving.body);
        }
    }
}

/// What the machine is told when the spool does not take content.
const fn refusal(error: AppendError) -> ContentRefusal {
    match error {
        AppendError::Full => ContentRefusal::Full,
        AppendError::Failed => ContentRefusal::Failed,
    }
}
