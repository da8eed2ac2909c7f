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
    /// What the client asked for beyond plain delivery; most messages have none.
    pub wishes: Option<Box<Wishes>>,
}

impl Message {
    /// Whether no recipient is left to deliver to.
    pub fn is_finished(&self) -> bool {
        self.recipients.iter().all(|recipient| recipient.state.is_final())
    }

    /// From when on it is to be delivered, and its age counts: when it was received, or later if
    /// its sender wanted it held (RFC 4865 §5).
    pub fn released(&self) -> WallTime {
        let hold = self.wishes.as_ref().and_then(|wishes| wishes.hold_until);
        hold.map_or(self.received, |until| until.max(self.received))
    }

    /// What the client asked for with `BY=`, if it did.
    pub fn deliver_by(&self) -> Option<&DeliverBy> {
        self.wishes.as_ref()?.deliver_by.as_ref()
    }

    /// How much it presses, -9 to 9 (RFC 6710 §4.1).
    pub fn priority(&self) -> i8 {
        self.wishes.as_ref().and_then(|wishes| wishes.priority).unwrap_or(0)
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
    /// What its RCPT command said about notifications; most have nothing.
    pub notices: Option<Box<Notices>>,
}

/// What a client asked for with parameters of MAIL that the delivery must know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// `ENVID=` as it was sent, in xtext (RFC 3461 §4.4).
    pub envelope_id: Option<Box<[u8]>>,
    /// `RET=` (RFC 3461 §4.3).
    pub returned_content: Option<ReturnedContent>,
    /// `SMTPUTF8`: addresses or header fields hold UTF-8 (RFC 6531 §3.4).
    pub smtputf8: bool,
    /// `REQUIRETLS`: never over a connection that is not protected (RFC 8689 §2).
    pub require_tls: bool,
    /// `MT-PRIORITY=`, -9 to 9, where 0 is that of a message without (RFC 6710 §4.1).
    pub priority: Option<i8>,
    /// Not to be delivered before: `HOLDFOR=` or `HOLDUNTIL=` (RFC 4865 §4).
    pub hold_until: Option<WallTime>,
    /// `BY=` (RFC 2852 §4).
    pub deliver_by: Option<DeliverBy>,
}

/// What of a message goes back with a failure notice (RFC 3461 §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReturnedContent {
    /// `RET=FULL`.
    Full,
    /// `RET=HDRS`.
    Headers,
}

/// Until when a message is to be delivered (RFC 2852 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeliverBy {
    /// The deadline.
    pub at: WallTime,
    /// What happens when it has passed.
    pub mode: DeliverByMode,
    /// Whether each relay shall tell the sender that it passed the message on.
    pub trace: bool,
}

/// What happens to a message whose deadline has passed (RFC 2852 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliverByMode {
    /// It is given up and its sender is told.
    Return,
    /// Its sender is told, and the delivery goes on.
    Notify,
}

/// What a RCPT command said about notifications (RFC 3461 §4.1, §4.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notices {
    /// `NOTIFY=`; without it the sender is told of failures, and of delays if the server likes.
    pub notify: Option<Notify>,
    /// `ORCPT=` as it was sent: an address type, `;` and the address in xtext or, with SMTPUTF8,
    /// as RFC 6533 §3 writes it.
    pub original_recipient: Option<Box<[u8]>>,
}

/// The conditions of `NOTIFY=` (RFC 3461 §4.1). None of them is `NOTIFY=NEVER`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Notify {
    /// `SUCCESS`.
    pub success: bool,
    /// `FAILURE`.
    pub failure: bool,
    /// `DELAY`.
    pub delay: bool,
}

/// What the client declared about the content with `BODY=` (RFC 6152 §2, RFC 3030 §3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyType {
    /// `7BIT`, or nothing.
    #[default]
    SevenBit,
    /// `8BITMIME`: lines with bytes beyond ASCII.
    EightBit,
    /// `BINARYMIME`: any bytes, so that only BDAT can carry it.
    Binary,
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
        /// Whether the sender was told that the delivery takes long (RFC 3461 §5.2.5). It is told
        /// once.
        delay_told: bool,
    },
    /// The next hop took responsibility (RFC 5321 §4.2.5), or the route discards.
    Delivered,
    /// Given up: a bounce went to the sender, or none was owed.
    Bounced,
}

impl RecipientState {
    /// A recipient that no attempt was made for yet.
    pub fn new(received: WallTime) -> Self {
        Self::Pending {
            attempts: 0,
            next_attempt: received,
            last_failure: Box::default(),
            delay_told: false,
        }
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
    /// What the client declared it to be.
    pub body_type: BodyType,
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
