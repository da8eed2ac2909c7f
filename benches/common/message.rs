//! A message as the queue and the spool know it.

use ringpost::clock::WallTime;
use ringpost::ids::MessageId;
use ringpost::message::{Content, Message, Recipient, RecipientState};

/// A message to `recipients`, for none of whom an attempt was made.
pub(crate) fn message(id: MessageId, received: WallTime, recipients: &[&[u8]]) -> Message {
    let recipient = |address: &&[u8]| Recipient {
        address: (*address).into(),
        state: RecipientState::new(received),
        notices: None,
    };
    Message {
        id,
        received,
        sender: b"bounces-0123456789@client.example"[..].into(),
        recipients: recipients.iter().map(recipient).collect(),
        content: Content::default(),
        wishes: None,
    }
}
