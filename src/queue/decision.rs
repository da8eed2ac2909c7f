//! What becomes of one recipient after an attempt.

/// The judgement on one recipient. Reasons are one line of printable text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The next hop took responsibility.
    Deliver,
    /// Another attempt later; past the message's expiry it becomes a bounce.
    Defer {
        /// Why, for the queue listing and for the bounce that may come of it.
        reason: Box<str>,
    },
    /// No further attempt.
    Bounce {
        /// Why, for the bounce to the sender.
        reason: Box<str>,
    },
}
