//! What a client asked for beyond plain delivery, in the payload of a message record: the wishes
//! for the message, and what is wanted of notices to its sender.
//!
//! Both stand behind everything that a record without them has, and only if a flag of the record
//! says so. So records that were written before there were any are read, and a message that asks
//! for nothing costs no byte.
//!
//! # Guarantees
//! What was encoded is decoded equal; anything else that could mean the same is refused.

use super::codec::{Decoder, Encoder};
use super::record::{decode_text, encode_text, text_bytes};
use crate::clock::WallTime;
use crate::message::{
    DeliverBy, DeliverByMode, Notices, Notify, Recipient, ReturnedContent, Wishes,
};

const WISH_ENVELOPE_ID: u8 = 1;
const WISH_RETURN: u8 = 2;
const WISH_SMTPUTF8: u8 = 4;
const WISH_REQUIRE_TLS: u8 = 8;
const WISH_PRIORITY: u8 = 16;
const WISH_HOLD: u8 = 32;
const WISH_DELIVER_BY: u8 = 64;
const WISHES_KNOWN: u8 = 127;

const RETURN_FULL: u8 = 0;
const RETURN_HEADERS: u8 = 1;

const DELIVER_BY_NOTIFY: u8 = 1;
const DELIVER_BY_TRACE: u8 = 2;
const DELIVER_BY_KNOWN: u8 = 3;

/// The recipient has notices at all.
const NOTICES: u8 = 1;
const NOTICES_NOTIFY: u8 = 2;
const NOTICES_SUCCESS: u8 = 4;
const NOTICES_FAILURE: u8 = 8;
const NOTICES_DELAY: u8 = 16;
const NOTICES_ORIGINAL: u8 = 32;
const NOTICES_KNOWN: u8 = 63;
const NOTICES_CONDITIONS: u8 = NOTICES_SUCCESS | NOTICES_FAILURE | NOTICES_DELAY;

/// Least bytes of the notices of one recipient.
pub(super) const NOTICES_BYTES_MIN: usize = 1;

/// Bytes of `wishes`; `None` if a text in them is longer than any may be.
pub(super) fn wishes_bytes(wishes: &Wishes) -> Option<usize> {
    let envelope_id = match &wishes.envelope_id {
        Some(id) => 2 + text_bytes(id)?,
        None => 0,
    };
    let returned = usize::from(wishes.returned_content.is_some());
    let priority = usize::from(wishes.priority.is_some());
    let hold = if wishes.hold_until.is_some() { 8 } else { 0 };
    let deliver_by = if wishes.deliver_by.is_some() { 8 + 1 } else { 0 };
    Some(1 + envelope_id + returned + priority + hold + deliver_by)
}

pub(super) fn encode_wishes(encoder: &mut Encoder<'_>, wishes: &Wishes) {
    encoder.u8(flag(wishes.envelope_id.is_some(), WISH_ENVELOPE_ID)
        | flag(wishes.returned_content.is_some(), WISH_RETURN)
        | flag(wishes.smtputf8, WISH_SMTPUTF8)
        | flag(wishes.require_tls, WISH_REQUIRE_TLS)
        | flag(wishes.priority.is_some(), WISH_PRIORITY)
        | flag(wishes.hold_until.is_some(), WISH_HOLD)
        | flag(wishes.deliver_by.is_some(), WISH_DELIVER_BY));
    if let Some(id) = &wishes.envelope_id {
        encode_text(encoder, id);
    }
    match wishes.returned_content {
        Some(ReturnedContent::Full) => encoder.u8(RETURN_FULL),
        Some(ReturnedContent::Headers) => encoder.u8(RETURN_HEADERS),
        None => {}
    }
    if let Some(priority) = wishes.priority {
        encoder.u8(priority.cast_unsigned());
    }
    if let Some(until) = wishes.hold_until {
        encoder.u64(until.as_unix_ms());
    }
    if let Some(by) = wishes.deliver_by {
        encoder.u64(by.at.as_unix_ms());
        encoder.u8(flag(by.mode == DeliverByMode::Notify, DELIVER_BY_NOTIFY)
            | flag(by.trace, DELIVER_BY_TRACE));
    }
}

pub(super) fn decode_wishes(decoder: &mut Decoder<'_>) -> Option<Box<Wishes>> {
    let flags = known(decoder.u8()?, WISHES_KNOWN)?;
    let has = |flag: u8| flags & flag != 0;
    let mut wishes = Wishes {
        smtputf8: has(WISH_SMTPUTF8),
        require_tls: has(WISH_REQUIRE_TLS),
        ..Wishes::default()
    };
    if has(WISH_ENVELOPE_ID) {
        wishes.envelope_id = Some(decode_text(decoder)?);
    }
    if has(WISH_RETURN) {
        wishes.returned_content = Some(match decoder.u8()? {
            RETURN_FULL => ReturnedContent::Full,
            RETURN_HEADERS => ReturnedContent::Headers,
            _ => return None,
        });
    }
    if has(WISH_PRIORITY) {
        wishes.priority = Some(decoder.u8()?.cast_signed());
    }
    if has(WISH_HOLD) {
        wishes.hold_until = Some(WallTime::from_unix_ms(decoder.u64()?));
    }
    if has(WISH_DELIVER_BY) {
        let at = WallTime::from_unix_ms(decoder.u64()?);
        let flags = known(decoder.u8()?, DELIVER_BY_KNOWN)?;
        let notify = flags & DELIVER_BY_NOTIFY != 0;
        let mode = if notify { DeliverByMode::Notify } else { DeliverByMode::Return };
        wishes.deliver_by = Some(DeliverBy { at, mode, trace: flags & DELIVER_BY_TRACE != 0 });
    }
    Some(Box::new(wishes))
}

/// Bytes of the notices of one recipient, which may have none; `None` if a text in them is longer
/// than any may be.
pub(super) fn notices_bytes(recipient: &Recipient) -> Option<usize> {
    let original = recipient.notices.as_ref().and_then(|it| it.original_recipient.as_ref());
    match original {
        Some(original) => Some(NOTICES_BYTES_MIN + 2 + text_bytes(original)?),
        None => Some(NOTICES_BYTES_MIN),
    }
}

pub(super) fn encode_notices(encoder: &mut Encoder<'_>, recipient: &Recipient) {
    let Some(notices) = &recipient.notices else {
        encoder.u8(0);
        return;
    };
    let notify = notices.notify.unwrap_or_default();
    encoder.u8(NOTICES
        | flag(notices.notify.is_some(), NOTICES_NOTIFY)
        | flag(notify.success, NOTICES_SUCCESS)
        | flag(notify.failure, NOTICES_FAILURE)
        | flag(notify.delay, NOTICES_DELAY)
        | flag(notices.original_recipient.is_some(), NOTICES_ORIGINAL));
    if let Some(original) = &notices.original_recipient {
        encode_text(encoder, original);
    }
}

/// The outer `None` if it is none, the inner if the recipient has no notices.
pub(super) fn decode_notices(decoder: &mut Decoder<'_>) -> Option<Option<Box<Notices>>> {
    let flags = known(decoder.u8()?, NOTICES_KNOWN)?;
    let has = |flag: u8| flags & flag != 0;
    if !has(NOTICES) {
        return (flags == 0).then_some(None);
    }
    if !has(NOTICES_NOTIFY) && has(NOTICES_CONDITIONS) {
        return None;
    }
    let notify = has(NOTICES_NOTIFY).then(|| Notify {
        success: has(NOTICES_SUCCESS),
        failure: has(NOTICES_FAILURE),
        delay: has(NOTICES_DELAY),
    });
    let original_recipient = if has(NOTICES_ORIGINAL) { Some(decode_text(decoder)?) } else { None };
    Some(Some(Box::new(Notices { notify, original_recipient })))
}

const fn flag(is_set: bool, flag: u8) -> u8 {
    if is_set { flag } else { 0 }
}

fn known(flags: u8, known: u8) -> Option<u8> {
    (flags & !known == 0).then_some(flags)
}
