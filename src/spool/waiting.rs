//! Outcomes that wait for a segment to be written to, in log order.
//!
//! # Bounds
//! The writer takes no more when [`OUTCOMES_WAITING_BYTES_MAX`] is reached; outcomes that a failed
//! write lost come on top, at most as many as were in flight.
//!
//! [`OUTCOMES_WAITING_BYTES_MAX`]: crate::limits::OUTCOMES_WAITING_BYTES_MAX

use std::collections::VecDeque;

use crate::ids::MessageId;

#[derive(Debug)]
pub(super) struct WaitingOutcome {
    pub(super) message: MessageId,
    /// Payload of the record.
    pub(super) payload: Box<[u8]>,
    /// The message is finished when it is durable.
    pub(super) finishes: bool,
}

#[derive(Debug, Default)]
pub(super) struct Waiting {
    outcomes: VecDeque<WaitingOutcome>,
    bytes: usize,
}

impl Waiting {
    pub(super) fn is_empty(&self) -> bool {
        self.outcomes.is_empty()
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn push_back(&mut self, message: MessageId, payload: Box<[u8]>) {
        self.bytes += payload.len();
        self.outcomes.push_back(WaitingOutcome { message, payload, finishes: false });
    }

    /// Puts outcomes before those that wait already.
    pub(super) fn push_front(&mut self, outcomes: Vec<WaitingOutcome>) {
        for outcome in outcomes.into_iter().rev() {
            self.bytes += outcome.payload.len();
            self.outcomes.push_front(outcome);
        }
    }

    pub(super) fn front_bytes(&self) -> Option<usize> {
        self.outcomes.front().map(|outcome| outcome.payload.len())
    }

    pub(super) fn pop_front(&mut self) -> Option<WaitingOutcome> {
        let outcome = self.outcomes.pop_front()?;
        self.bytes -= outcome.payload.len();
        Some(outcome)
    }

    /// The messages that are finished with an outcome that waits.
    pub(super) fn finished(&self) -> impl Iterator<Item = MessageId> {
        let finishing = self.outcomes.iter().filter(|outcome| outcome.finishes);
        finishing.map(|outcome| outcome.message)
    }

    /// Notes that `message` is finished with the last of its outcomes; false if none waits.
    pub(super) fn finish(&mut self, message: MessageId) -> bool {
        let last = self.outcomes.iter_mut().rev().find(|outcome| outcome.message == message);
        last.map(|outcome| outcome.finishes = true).is_some()
    }
}
