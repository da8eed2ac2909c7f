//! Exact accounting: what was acknowledged, what was delivered, and what became of it in between.
//!
//! A source stamps each message ([`crate::stamp`]) with its id, a digest of all that follows the
//! stamp, and the time. It keeps which messages were acknowledged for how many recipients
//! ([`Acknowledged`]); the sink keeps what came ([`Ledger`]); [`verify()`] lays one on the other.
//!
//! What is counted is a message for one recipient, since a relay may split a message.

mod digest;
mod ledger;
mod verify;

pub(crate) use digest::{ContentDigest, Digested, digest_of, recipient_hash};
pub(crate) use ledger::{Acknowledged, Arrival, Ledger};
pub(crate) use verify::{Verdict, verify};
