//! A message as the queue and the spool know it: its envelope, the state of each recipient, and
//! where its content lies. The content itself is never in here.

use smallvec::SmallVec;

use crate::clock::WallTime;
use crate::ids::{Generation, MessageId};

/// One accepted message with the state of its delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its name in the spool, in `Received:` and in the reply to the client.
    pub id: MessageId,
    /// When the end of its data arrived; retries and expiry count from here.
    pub received: WallTime,
    /// Reverse-path without angle brackets; empty for the null sender (RFC 5321 §4.5.5).
    pub sender: Box<[u8]>,
    /// In the order of their RCPT commands; outcome records name them by index.
    pub recipients: Vec<Recipient>,
    /// Where the content lies.
    pub content: Content,
}

impl Message {
    /// Whether no recipient is left to deliver to.
    pub fn is_finished(&self) -> bool {
        self.recipients.iter().all(|recipient| recipient.state.is_final())
    }

    /// Whether it came with the null reverse-path, so that no bounce may answer it
    /// (RFC 5321 §6.1).
    pub fn has_null_sender(&self) -> bool {
        self.sender.is_empty()
    }
}

/// One recipient of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// Forward-path without angle brackets and source route.
    pub address: Box<[u8]>,
    /// How far its delivery has come.
    pub state: RecipientState,
}

/// How far the delivery to one recipient has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecipientState {
    /// To be delivered: at once if never tried, else not before `next_attempt`.
    Pending {
        /// Attempts that ended in a deferral.
        attempts: u16,
        /// Earliest time of the next attempt.
        next_attempt: WallTime,
        /// Why the last attempt failed, as one line of printable text; empty before the first.
        last_failure: Box<str>,
    },
    /// The next hop took responsibility (RFC 5321 §4.2.5), or the route discards.
    Delivered,
    /// Given up: a bounce went to the sender, or none was owed.
    Bounced,
}

impl RecipientState {
    /// A recipient that no attempt was made for yet.
    pub fn new(received: WallTime) -> Self {
        Self::Pending { attempts: 0, next_attempt: received, last_failure: Box::default() }
    }

    /// Whether nothing is left to do.
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::Delivered | Self::Bounced)
    }
}

/// Where the content of a message lies, and what the relay must know of it without looking.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// All bytes in order: the `Received:` line that was added, then what the client sent, with
    /// the dots of RFC 5321 §4.5.2 removed.
    pub extents: SmallVec<[Extent; 1]>,
    /// Sum of the extents' lengths.
    pub length_bytes: u64,
    /// Whether the client declared `BODY=8BITMIME` (RFC 6152).
    pub eight_bit: bool,
    /// Whether any line begins with a dot, so that the relay must stuff it.
    pub dot_lines: bool,
}

/// A run of content bytes in the spool: the payload of one chunk record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Extent {
    /// The use of the segment file that holds it.
    pub generation: Generation,
    /// Offset of the first content byte in the segment file.
    pub offset: u64,
    /// Number of content bytes.
    pub length: u32,
}

/// What became of some recipients of a message, as the relay reports it and the spool keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The message.
    pub message: MessageId,
    /// The new state of each recipient named by its index in [`Message::recipients`].
    pub recipients: Vec<(u32, RecipientState)>,
}
