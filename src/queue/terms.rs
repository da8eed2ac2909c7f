//! How long a message may wait, and what happens then.
//!
//! A message counts its age from its release: when it was received, or the end of its hold
//! (RFC 4865 §5). Two times lie ahead of it:
//!
//! - its **end**. A deferral at or after it is a bounce. By age, the last attempt falls on the end
//!   itself. At a deadline of the sender's (`BY=` with mode `R`, RFC 2852 §4) nothing is tried any
//!   more: what does not run then is given up at once.
//! - the time at which its sender is told of a **delay**: [`Terms::delay_notice`] after its
//!   release, or at the deadline that the sender set with mode `N` (RFC 2852 §4). Each recipient is
//!   told of once. A deadline that had passed before the message came here is none: the server
//!   where it passed has told (RFC 2852 §4).

use std::time::Duration;

use smallvec::SmallVec;

use super::decision::Decision;
use super::notice::delay_notice_is_owed;
use crate::clock::WallTime;
use crate::limits::FAILURE_TEXT_BYTES_MAX;
use crate::message::{DeliverByMode, Message, RecipientState};

/// What the end of a message comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// It has been in the queue for as long as the configuration allows.
    Age,
    /// The sender wants it back when it was not delivered by now (RFC 2852 §4).
    DeliverBy,
}

/// When a message ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) at: WallTime,
    pub(super) expiry: Expiry,
}

/// The times that the configuration sets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub(super) expire: Duration,
    pub(super) delay_notice: Duration,
}

impl Terms {
    pub(super) fn end(&self, message: &Message) -> End {
        let by_age = End { at: message.released() + self.expire, expiry: Expiry::Age };
        match message.deliver_by() {
            Some(by) if by.mode == DeliverByMode::Return && by.at < by_age.at => {
                End { at: by.at, expiry: Expiry::DeliverBy }
            }
            Some(_) | None => by_age,
        }
    }

    /// When the sender is to hear of a delay.
    fn delay_at(&self, message: &Message) -> WallTime {
        match message.deliver_by() {
            Some(by) if by.mode == DeliverByMode::Notify && by.at > message.received => by.at,
            Some(_) | None => message.released() + self.delay_notice,
        }
    }

    /// The next time, after `after` if there is one, at which something happens to the message
    /// without an attempt.
    pub(super) fn next_alarm(
        &self,
        message: &Message,
        after: Option<WallTime>,
    ) -> Option<WallTime> {
        let end = self.end(message);
        let deadline = (end.expiry == Expiry::DeliverBy).then_some(end.at);
        let delay = message
            .recipients
            .iter()
            .any(|recipient| delay_is_untold(message, recipient))
            .then(|| self.delay_at(message));
        let is_ahead = |at: &WallTime| after.is_none_or(|after| *at > after);
        deadline.into_iter().chain(delay).filter(is_ahead).min()
    }

    /// The recipients whose sender is to hear of the delay at `wall`.
    pub(super) fn delayed(&self, message: &Message, wall: WallTime) -> SmallVec<[u32; 4]> {
        if self.delay_at(message) > wall {
            return SmallVec::new();
        }
        (0..)
            .zip(&message.recipients)
            .filter(|(_, recipient)| delay_is_untold(message, recipient))
            .map(|(index, _)| index)
            .collect()
    }

    /// Why a recipient is given up whose message has reached its end.
    pub(super) fn end_reason(&self, expiry: Expiry, last_failure: &str) -> Box<str> {
        // RFC 3463 §3.5: X.4.7, delivery time expired.
        let why = match expiry {
            Expiry::Age => format!("4.4.7 not delivered within {}", span(self.expire)),
            Expiry::DeliverBy => "5.4.7 not delivered by the time that the sender set".to_owned(),
        };
        if last_failure.is_empty() {
            return why.into();
        }
        format!("{why}; last failure: {last_failure}").into()
    }

    /// The state of a recipient of `message` after a decision, and the reason if that is a bounce.
    /// `wait` says how long a deferral takes that is the so many-th.
    pub(super) fn judge(
        &self,
        decision: &Decision,
        before: &RecipientState,
        end: End,
        wall: WallTime,
        wait: impl Fn(u16) -> Duration,
    ) -> (RecipientState, Option<Box<str>>) {
        let RecipientState::Pending { attempts, delay_told, .. } = *before else {
            unreachable!("recipients of a task are pending")
        };
        match decision {
            Decision::Deliver => (RecipientState::Delivered, None),
            Decision::Bounce { reason } => (RecipientState::Bounced, Some(reason.clone())),
            Decision::Defer { reason } if wall >= end.at => {
                (RecipientState::Bounced, Some(self.end_reason(end.expiry, reason)))
            }
            Decision::Defer { reason } => {
                let attempts = attempts.saturating_add(1);
                let next_attempt = (wall + wait(attempts)).min(end.at);
                let last_failure = shortened(reason);
                let state =
                    RecipientState::Pending { attempts, next_attempt, last_failure, delay_told };
                (state, None)
            }
        }
    }
}

fn delay_is_untold(message: &Message, recipient: &crate::message::Recipient) -> bool {
    matches!(recipient.state, RecipientState::Pending { delay_told: false, .. })
        && delay_notice_is_owed(message, recipient)
}

fn span(expire: Duration) -> String {
    let seconds = expire.as_secs();
    match seconds {
        172_800.. => format!("{} days", seconds / 86_400),
        7_200.. => format!("{} hours", seconds / 3_600),
        _ => format!("{seconds} seconds"),
    }
}

/// At most [`FAILURE_TEXT_BYTES_MAX`] bytes of `text`, cut between characters.
fn shortened(text: &str) -> Box<str> {
    let end = text.floor_char_boundary(FAILURE_TEXT_BYTES_MAX);
    text[..end].into()
}
