//! What a transaction is to carry, and what came of it for one recipient.

use crate::clock::WallTime;
use crate::limits::PARAMETER_TIME_S_MAX;
use crate::message::{BodyType, DeliverBy, DeliverByMode, Notices, Notify, Wishes};
use crate::proto::ext::Extension;
use crate::proto::reply_parse::Reply;

use super::PeerExtensions;

/// A message for some recipients.
#[derive(Clone, Copy, Debug)]
pub struct TransactionRequest<'a> {
    /// Reverse-path without angle brackets; empty for the null sender.
    pub sender: &'a [u8],
    /// At most [`TRANSACTION_RECIPIENTS_MAX`](crate::limits::TRANSACTION_RECIPIENTS_MAX).
    pub recipients: &'a [Addressee<'a>],
    /// Size of the content in bytes, dots not doubled (RFC 1870 §3 counts so). Content of any bytes
    /// must have exactly this length, since the peer counts it (RFC 3030 §2).
    pub size_bytes: u64,
    /// What the content was declared to be.
    pub body_type: BodyType,
    /// What the client asked for with parameters of MAIL.
    pub wishes: Option<&'a Wishes>,
    /// The time, to tell what is left until a deadline.
    pub wall: WallTime,
}

/// One recipient of a transaction.
#[derive(Clone, Copy, Debug)]
pub struct Addressee<'a> {
    /// Forward-path without angle brackets.
    pub address: &'a [u8],
    /// What the client asked for with parameters of RCPT.
    pub notices: Option<&'a Notices>,
}

impl<'a> Addressee<'a> {
    /// One that nothing was asked for.
    pub const fn plain(address: &'a [u8]) -> Self {
        Self { address, notices: None }
    }
}

/// The peer took responsibility for a message for one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// Its answer to the end of data.
    pub reply: Reply,
    /// What it was told to care for.
    pub passed_on: PassedOn,
}

/// What of a message's wishes a peer cares for from now on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PassedOn {
    /// It tells the sender of success, failure and delay as the sender wants it (RFC 3461 §5.2.1).
    pub notices: bool,
    /// It keeps the deadline (RFC 2852 §4.1.4), or there is none ahead.
    pub deadline: bool,
}

impl TransactionRequest<'_> {
    pub(super) fn deliver_by(&self) -> Option<&DeliverBy> {
        self.wishes?.deliver_by.as_ref()
    }

    /// Whether any address needs more than ASCII.
    fn has_utf8_address(&self) -> bool {
        !self.sender.is_ascii() || self.recipients.iter().any(|it| !it.address.is_ascii())
    }

    /// Whether the transaction uses SMTPUTF8. A message that came with it has it passed on: the
    /// content is not searched for what needs it, which RFC 6531 §3.6 does not demand.
    pub(super) fn uses_utf8(&self, peer: &PeerExtensions) -> bool {
        let asks = self.wishes.is_some_and(|wishes| wishes.smtputf8);
        peer.has(Extension::SmtpUtf8) && (asks || self.has_utf8_address())
    }

    /// Whether the message came with SMTPUTF8 and may need it for its header. A header in UTF-8 is
    /// 8-bit content and declared as such (RFC 6531 §3.6), so that the addresses alone can have
    /// been the reason for the other messages.
    pub(super) fn may_have_utf8_header(&self) -> bool {
        self.wishes.is_some_and(|wishes| wishes.smtputf8) && self.body_type != BodyType::SevenBit
    }

    /// Whether the next hop must offer REQUIRETLS over a protected connection. A message of the
    /// null sender is a notice, and goes on all the same: RFC 8689 §5 would have it lost instead.
    pub(super) fn requires_tls(&self) -> bool {
        !self.sender.is_empty() && self.wishes.is_some_and(|wishes| wishes.require_tls)
    }

    /// Whole seconds until the deadline, negative when it has passed (RFC 2852 §4.1.4).
    pub(super) fn by_s(&self, by: &DeliverBy) -> i64 {
        let most = i64::from(PARAMETER_TIME_S_MAX);
        let ms = |time: WallTime| i64::try_from(time.as_unix_ms()).unwrap_or(i64::MAX);
        ms(by.at).saturating_sub(ms(self.wall)).div_euclid(1_000).clamp(-most, most)
    }

    /// What `peer` will care for when it takes the message.
    pub(super) fn passed_on(&self, peer: &PeerExtensions) -> PassedOn {
        let is_ahead = self.deliver_by().is_some_and(|by| by.at > self.wall);
        PassedOn {
            notices: peer.has(Extension::Dsn),
            deadline: !is_ahead || peer.has(Extension::DeliverBy),
        }
    }

    /// What `NOTIFY=` says to a peer with DSN. It is what the client said (RFC 3461 §5.2.1), but
    /// where a deadline is lost, a delay is asked to be told of (RFC 2852 §4.1.4.2).
    pub(super) fn notify(&self, addressee: &Addressee<'_>, passed_on: PassedOn) -> Option<Notify> {
        let notify = addressee.notices.and_then(|notices| notices.notify);
        let tells = self.deliver_by().is_some_and(|by| by.mode == DeliverByMode::Notify);
        if passed_on.deadline || !tells || notify == Some(Notify::default()) {
            return notify;
        }
        let by_default = Notify { success: false, failure: true, delay: true };
        Some(notify.map_or(by_default, |notify| Notify { delay: true, ..notify }))
    }
}
