//! Whether the sender of a message is told what became of a recipient (RFC 3461 §4.1, §5.2).
//!
//! | what happened | without `NOTIFY=` | with `NOTIFY=` |
//! | --- | --- | --- |
//! | given up | told | if it names FAILURE |
//! | delayed | not told, unless `BY=` has the mode `N` | if it names DELAY |
//! | handed on to a server that tells no further | not told | if it names SUCCESS |
//! | handed on to a server that does not keep the deadline of `BY=` | told | unless it is NEVER |
//! | handed on, with `T` in `BY=` | told | unless it is NEVER |
//!
//! Nobody answers the null sender (RFC 5321 §4.5.5, §6.1), or notices would answer notices for
//! ever.
//!
//! RFC 3461 §5.2.5 leaves a server free to tell of delays when nothing was asked for. This one does
//! not: those who send in bulk through it would get one for every slow destination.

use crate::message::{DeliverByMode, Message, Notify, Recipient};
use crate::proto::client::PassedOn;

/// Whether the sender is told that `recipient` was given up.
pub fn failure_notice_is_owed(message: &Message, recipient: &Recipient) -> bool {
    !message.has_null_sender() && notify(recipient).is_none_or(|notify| notify.failure)
}

/// Whether the sender is told that the delivery to `recipient` takes long (RFC 3461 §5.2.5,
/// RFC 2852 §4).
pub fn delay_notice_is_owed(message: &Message, recipient: &Recipient) -> bool {
    !message.has_null_sender()
        && match notify(recipient) {
            Some(notify) => notify.delay,
            None => message.deliver_by().is_some_and(|by| by.mode == DeliverByMode::Notify),
        }
}

/// Whether the sender is told that the message went on to the next hop, which cares for what
/// `passed_on` says: told so, it tells of success itself (RFC 3461 §5.2.1).
pub fn success_notice_is_owed(
    message: &Message,
    recipient: &Recipient,
    passed_on: PassedOn,
) -> bool {
    let notify = notify(recipient);
    let wants_success = notify.is_some_and(|notify| notify.success);
    // RFC 2852 §4.1.4: each server on the way tells, whatever the next one can. §4.1.4.2: so does
    // the one behind which nobody knows the deadline.
    let wants_trace = message.deliver_by().is_some_and(|by| by.trace || !passed_on.deadline)
        && notify.is_none_or(|notify| notify != Notify::default());
    !message.has_null_sender() && ((wants_success && !passed_on.notices) || wants_trace)
}

fn notify(recipient: &Recipient) -> Option<Notify> {
    recipient.notices.as_ref().and_then(|notices| notices.notify)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::WallTime;
    use crate::message::{DeliverBy, Notices, Wishes};
    use crate::queue::model::{at, message};

    fn with(notify: Option<Notify>, by: Option<DeliverBy>) -> Message {
        let mut message = message(1, at(0), &["u@one.test"]);
        message.recipients[0].notices =
            notify.map(|notify| Box::new(Notices { notify: Some(notify), ..Notices::default() }));
        message.wishes =
            by.map(|by| Box::new(Wishes { deliver_by: Some(by), ..Wishes::default() }));
        message
    }

    /// Failure, delay, and success to a server that cares for nothing but the deadline, for all,
    /// and for nothing but the notices.
    fn owed(message: &Message) -> [bool; 5] {
        let recipient = &message.recipients[0];
        let success = |notices, deadline| {
            success_notice_is_owed(message, recipient, PassedOn { notices, deadline })
        };
        [
            failure_notice_is_owed(message, recipient),
            delay_notice_is_owed(message, recipient),
            success(false, true),
            success(true, true),
            success(true, false),
        ]
    }

    #[test]
    fn what_is_owed_is_what_the_table_says() {
        let never = Notify::default();
        let success = Notify { success: true, ..never };
        let failure = Notify { failure: true, ..never };
        let delay = Notify { delay: true, ..never };
        let by = |mode, trace| Some(DeliverBy { at: WallTime::default(), mode, trace });
        let (returned, told) = (DeliverByMode::Return, DeliverByMode::Notify);
        let cases = [
            (None, None, [true, false, false, false, false]),
            (Some(never), None, [false, false, false, false, false]),
            (Some(success), None, [false, false, true, false, false]),
            (Some(failure), None, [true, false, false, false, false]),
            (Some(delay), None, [false, true, false, false, false]),
            (None, by(returned, false), [true, false, false, false, true]),
            (None, by(told, false), [true, true, false, false, true]),
            (Some(failure), by(told, false), [true, false, false, false, true]),
            (None, by(returned, true), [true, false, true, true, true]),
            (Some(never), by(told, true), [false, false, false, false, false]),
            (Some(failure), by(returned, true), [true, false, true, true, true]),
        ];
        for (notify, by, expected) in cases {
            let mut message = with(notify, by);
            assert_eq!(owed(&message), expected, "{notify:?} {by:?}");
            message.sender = Box::default();
            assert_eq!(owed(&message), [false; 5], "the null sender is owed nothing");
        }
    }
}
