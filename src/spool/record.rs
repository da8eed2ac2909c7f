//! The payload of message and outcome records.
//!
//! # Guarantees
//! What was encoded is decoded equal, but for the text of a recipient's last failure, which is cut
//! to [`SPOOL_FAILURE_BYTES_MAX`].
//!
//! # Never
//! It panics on no input, and allocates no more than the input's length justifies.
//!
//! # Bounds
//! A message or an outcome that would pass [`RECORD_BYTES_MAX`] has no encoding.

use smallvec::SmallVec;

use super::codec::{Decoder, Encoder};
use super::wishes::{
    NOTICES_BYTES_MIN, decode_notices, decode_wishes, encode_notices, encode_wishes, notices_bytes,
    wishes_bytes,
};
use crate::clock::WallTime;
use crate::ids::{Generation, MessageId};
use crate::limits::{RECORD_BYTES_MAX, SPOOL_FAILURE_BYTES_MAX};
use crate::message::{BodyType, Content, Extent, Message, Outcome, Recipient, RecipientState};

const FLAG_EIGHT_BIT: u8 = 1;
const FLAG_DOT_LINES: u8 = 2;
const FLAG_BINARY: u8 = 4;
const FLAG_WISHES: u8 = 8;
const FLAG_NOTICES: u8 = 16;
const FLAGS_KNOWN: u8 = 31;

const STATE_PENDING: u8 = 0;
const STATE_DELIVERED: u8 = 1;
const STATE_BOUNCED: u8 = 2;
/// As [`STATE_PENDING`], and the sender was told of the delay.
const STATE_DELAY_TOLD: u8 = 3;

/// id, received, flags, content length, number of extents, of sender bytes and of recipients.
const MESSAGE_FIXED_BYTES: usize = 8 + 8 + 1 + 8 + 4 + 2 + 4;
/// generation, offset, length.
const EXTENT_BYTES: usize = 8 + 8 + 4;
/// Number of address bytes and a final state.
const RECIPIENT_BYTES_MIN: usize = 2 + 1;
/// attempts, next attempt, number of failure bytes.
const PENDING_FIXED_BYTES: usize = 2 + 8 + 2;
/// id, number of recipients.
const OUTCOME_FIXED_BYTES: usize = 8 + 4;
/// Index and a final state.
const OUTCOME_RECIPIENT_BYTES_MIN: usize = 4 + 1;

/// Bytes of the payload of a message record whose content has `extent_count` extents.
///
/// `None` if the message is larger than a record may be or an address longer than any may be.
pub fn message_bytes(message: &Message, extent_count: usize) -> Option<usize> {
    let mut length = MESSAGE_FIXED_BYTES + text_bytes(&message.sender)?;
    length += EXTENT_BYTES.checked_mul(extent_count)?;
    for recipient in &message.recipients {
        length += 2 + text_bytes(&recipient.address)? + state_bytes(&recipient.state);
    }
    if let Some(wishes) = &message.wishes {
        length += wishes_bytes(wishes)?;
    }
    if has_notices(message) {
        for recipient in &message.recipients {
            length += notices_bytes(recipient)?;
        }
    }
    (length <= RECORD_BYTES_MAX - super::format::RECORD_HEADER_BYTES).then_some(length)
}

/// Writes `message` to `payload`, which has the length that [`message_bytes`] said.
///
/// # Panics
/// If it has another.
pub fn encode_message(message: &Message, payload: &mut [u8]) {
    let mut encoder = Encoder::new(payload);
    encoder.u64(message.id.0);
    encoder.u64(message.received.as_unix_ms());
    encoder.u8(flags_of(message));
    let content = &message.content;
    encoder.u64(content.length_bytes);
    encoder.u32(count(content.extents.len()));
    for extent in &content.extents {
        encoder.u64(extent.generation.0);
        encoder.u64(extent.offset);
        encoder.u32(extent.length);
    }
    encode_text(&mut encoder, &message.sender);
    encoder.u32(count(message.recipients.len()));
    for recipient in &message.recipients {
        encode_text(&mut encoder, &recipient.address);
        encode_state(&mut encoder, &recipient.state);
    }
    if let Some(wishes) = &message.wishes {
        encode_wishes(&mut encoder, wishes);
    }
    if has_notices(message) {
        for recipient in &message.recipients {
            encode_notices(&mut encoder, recipient);
        }
    }
    assert_eq!(encoder.left(), 0, "a message record is as long as was said");
}

fn flags_of(message: &Message) -> u8 {
    let content = &message.content;
    let body = match content.body_type {
        BodyType::SevenBit => 0,
        BodyType::EightBit => FLAG_EIGHT_BIT,
        BodyType::Binary => FLAG_BINARY,
    };
    let dot_lines = if content.dot_lines { FLAG_DOT_LINES } else { 0 };
    let wishes = if message.wishes.is_some() { FLAG_WISHES } else { 0 };
    let notices = if has_notices(message) { FLAG_NOTICES } else { 0 };
    body | dot_lines | wishes | notices
}

fn has_notices(message: &Message) -> bool {
    message.recipients.iter().any(|recipient| recipient.notices.is_some())
}

/// Reads the payload of a message record; `None` if it is none.
pub(super) fn decode_message(payload: &[u8]) -> Option<Message> {
    let mut decoder = Decoder::new(payload);
    let id = MessageId(decoder.u64()?);
    let received = WallTime::from_unix_ms(decoder.u64()?);
    let flags = decoder.u8()?;
    if flags & !FLAGS_KNOWN != 0 {
        return None;
    }
    let length_bytes = decoder.u64()?;
    let extents = decode_extents(&mut decoder)?;
    let sender = decode_text(&mut decoder)?;
    let mut recipients = decode_recipients(&mut decoder)?;
    let wishes = if flags & FLAG_WISHES != 0 { Some(decode_wishes(&mut decoder)?) } else { None };
    if flags & FLAG_NOTICES != 0 {
        decode_all_notices(&mut decoder, &mut recipients)?;
    }
    let body_type = match flags & (FLAG_EIGHT_BIT | FLAG_BINARY) {
        0 => BodyType::SevenBit,
        FLAG_EIGHT_BIT => BodyType::EightBit,
        FLAG_BINARY => BodyType::Binary,
        _ => return None,
    };
    let dot_lines = flags & FLAG_DOT_LINES != 0;
    let content = Content { extents, length_bytes, body_type, dot_lines };
    let message = Message { id, received, sender, recipients, content, wishes };
    (decoder.left() == 0).then_some(message)
}

/// At least one of the recipients has notices, or the record would not have them.
fn decode_all_notices(decoder: &mut Decoder<'_>, recipients: &mut [Recipient]) -> Option<()> {
    if recipients.len().checked_mul(NOTICES_BYTES_MIN)? > decoder.left() {
        return None;
    }
    let mut any = false;
    for recipient in recipients {
        recipient.notices = decode_notices(decoder)?;
        any |= recipient.notices.is_some();
    }
    any.then_some(())
}

fn decode_extents(decoder: &mut Decoder<'_>) -> Option<SmallVec<[Extent; 1]>> {
    let extent_count = decode_count(decoder, EXTENT_BYTES)?;
    let mut extents = SmallVec::with_capacity(extent_count);
    for _ in 0..extent_count {
        extents.push(Extent {
            generation: Generation(decoder.u64()?),
            offset: decoder.u64()?,
            length: decoder.u32()?,
        });
    }
    Some(extents)
}

fn decode_recipients(decoder: &mut Decoder<'_>) -> Option<Vec<Recipient>> {
    let recipient_count = decode_count(decoder, RECIPIENT_BYTES_MIN)?;
    let mut recipients = Vec::with_capacity(recipient_count);
    for _ in 0..recipient_count {
        let address = decode_text(decoder)?;
        recipients.push(Recipient { address, state: decode_state(decoder)?, notices: None });
    }
    Some(recipients)
}

/// Bytes of the payload of an outcome record for these recipients.
pub(super) fn outcome_bytes(recipients: &[(u32, RecipientState)]) -> usize {
    let states = recipients.iter().map(|(_, state)| 4 + state_bytes(state));
    OUTCOME_FIXED_BYTES + states.sum::<usize>()
}

/// How many of the first `recipients` fit in an outcome record of `bound_bytes`; one always does.
pub(super) fn outcome_fit(recipients: &[(u32, RecipientState)], bound_bytes: usize) -> usize {
    let mut length = OUTCOME_FIXED_BYTES;
    let fitting = recipients.iter().take_while(|(_, state)| {
        length += 4 + state_bytes(state);
        length <= bound_bytes
    });
    fitting.count().max(1).min(recipients.len())
}

/// Writes an outcome to `payload`, which has the length that [`outcome_bytes`] said.
pub(super) fn encode_outcome(
    message: MessageId,
    recipients: &[(u32, RecipientState)],
    payload: &mut [u8],
) {
    let mut encoder = Encoder::new(payload);
    encoder.u64(message.0);
    encoder.u32(count(recipients.len()));
    for (index, state) in recipients {
        encoder.u32(*index);
        encode_state(&mut encoder, state);
    }
    assert_eq!(encoder.left(), 0, "an outcome record is as long as was said");
}

/// Reads the payload of an outcome record; `None` if it is none.
pub(super) fn decode_outcome(payload: &[u8]) -> Option<Outcome> {
    let mut decoder = Decoder::new(payload);
    let message = MessageId(decoder.u64()?);
    let recipient_count = decode_count(&mut decoder, OUTCOME_RECIPIENT_BYTES_MIN)?;
    let mut recipients = Vec::with_capacity(recipient_count);
    for _ in 0..recipient_count {
        let index = decoder.u32()?;
        recipients.push((index, decode_state(&mut decoder)?));
    }
    (decoder.left() == 0).then_some(Outcome { message, recipients })
}

/// The message that the payload of a message or outcome record is about.
pub(super) fn message_of(payload: &[u8]) -> Option<MessageId> {
    Decoder::new(payload).u64().map(MessageId)
}

fn state_bytes(state: &RecipientState) -> usize {
    match state {
        RecipientState::Pending { last_failure, .. } => {
            1 + PENDING_FIXED_BYTES + kept_failure(last_failure).len()
        }
        RecipientState::Delivered | RecipientState::Bounced => 1,
    }
}

fn encode_state(encoder: &mut Encoder<'_>, state: &RecipientState) {
    match state {
        RecipientState::Pending { attempts, next_attempt, last_failure, delay_told } => {
            encoder.u8(if *delay_told { STATE_DELAY_TOLD } else { STATE_PENDING });
            encoder.u16(*attempts);
            encoder.u64(next_attempt.as_unix_ms());
            encode_text(encoder, kept_failure(last_failure).as_bytes());
        }
        RecipientState::Delivered => encoder.u8(STATE_DELIVERED),
        RecipientState::Bounced => encoder.u8(STATE_BOUNCED),
    }
}

fn decode_state(decoder: &mut Decoder<'_>) -> Option<RecipientState> {
    match decoder.u8()? {
        tag @ (STATE_PENDING | STATE_DELAY_TOLD) => Some(RecipientState::Pending {
            attempts: decoder.u16()?,
            next_attempt: WallTime::from_unix_ms(decoder.u64()?),
            last_failure: {
                let length = usize::from(decoder.u16()?);
                std::str::from_utf8(decoder.take(length)?).ok()?.into()
            },
            delay_told: tag == STATE_DELAY_TOLD,
        }),
        STATE_DELIVERED => Some(RecipientState::Delivered),
        STATE_BOUNCED => Some(RecipientState::Bounced),
        _ => None,
    }
}

/// The part of a failure's text that is kept: it is for people, and a queue of millions holds it.
fn kept_failure(text: &str) -> &str {
    if text.len() <= SPOOL_FAILURE_BYTES_MAX {
        return text;
    }
    let end = (0..=SPOOL_FAILURE_BYTES_MAX).rev().find(|&end| text.is_char_boundary(end));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}

/// Length of a sender, an address or a parameter, which must fit in two bytes.
pub(super) fn text_bytes(text: &[u8]) -> Option<usize> {
    (text.len() <= usize::from(u16::MAX)).then_some(text.len())
}

pub(super) fn encode_text(encoder: &mut Encoder<'_>, text: &[u8]) {
    encoder.u16(u16::try_from(text.len()).unwrap_or(u16::MAX));
    encoder.bytes(text);
}

pub(super) fn decode_text(decoder: &mut Decoder<'_>) -> Option<Box<[u8]>> {
    let length = usize::from(decoder.u16()?);
    decoder.take(length).map(Into::into)
}

/// A number of items; the sizes of records are checked before, so that it always fits.
fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// A number of items of at least `item_bytes` each; `None` if what is left cannot hold them.
fn decode_count(decoder: &mut Decoder<'_>, item_bytes: usize) -> Option<usize> {
    let item_count = usize::try_from(decoder.u32()?).ok()?;
    (item_count.checked_mul(item_bytes)? <= decoder.left()).then_some(item_count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{DeliverBy, DeliverByMode, Notices, Notify, ReturnedContent, Wishes};
    use proptest::prelude::*;

    fn state() -> impl Strategy<Value = RecipientState> {
        prop_oneof![
            Just(RecipientState::Delivered),
            Just(RecipientState::Bounced),
            (any::<u16>(), any::<u64>(), ".{0,40}", any::<bool>()).prop_map(
                |(attempts, at, failure, delay_told)| RecipientState::Pending {
                    attempts,
                    next_attempt: WallTime::from_unix_ms(at),
                    last_failure: failure.into(),
                    delay_told,
                }
            ),
        ]
    }

    fn bytes(max: usize) -> impl Strategy<Value = Box<[u8]>> {
        prop::collection::vec(any::<u8>(), 0..max).prop_map(Into::into)
    }

    prop_compose! {
        fn extent()(generation in any::<u64>(), offset in any::<u64>(), length in any::<u32>())
            -> Extent
        {
            Extent { generation: Generation(generation), offset, length }
        }
    }

    prop_compose! {
        fn wishes()(
            envelope_id in prop::option::of(bytes(120)),
            returned_content in prop::option::of(prop_oneof![
                Just(ReturnedContent::Full),
                Just(ReturnedContent::Headers),
            ]),
            smtputf8 in any::<bool>(),
            require_tls in any::<bool>(),
            priority in prop::option::of(-9_i8..=9),
            hold_until in prop::option::of(any::<u64>().prop_map(WallTime::from_unix_ms)),
            deliver_by in prop::option::of((any::<u64>(), any::<bool>(), any::<bool>())),
        ) -> Wishes {
            let deliver_by = deliver_by.map(|(at, notify, trace)| DeliverBy {
                at: WallTime::from_unix_ms(at),
                mode: if notify { DeliverByMode::Notify } else { DeliverByMode::Return },
                trace,
            });
            Wishes {
                envelope_id,
                returned_content,
                smtputf8,
                require_tls,
                priority,
                hold_until,
                deliver_by,
            }
        }
    }

    prop_compose! {
        fn notices()(
            notify in prop::option::of((any::<bool>(), any::<bool>(), any::<bool>())),
            original_recipient in prop::option::of(bytes(300)),
        ) -> Notices {
            let notify =
                notify.map(|(success, failure, delay)| Notify { success, failure, delay });
            Notices { notify, original_recipient }
        }
    }

    prop_compose! {
        fn recipient()(
            address in bytes(300),
            state in state(),
            notices in prop::option::weighted(0.3, notices()),
        ) -> Recipient {
            Recipient { address, state, notices: notices.map(Box::new) }
        }
    }

    prop_compose! {
        fn message()(
            id in any::<u64>(),
            received in any::<u64>(),
            sender in bytes(300),
            recipients in prop::collection::vec(recipient(), 0..5),
            extents in prop::collection::vec(extent(), 0..5),
            length_bytes in any::<u64>(),
            body_type in prop_oneof![
                Just(BodyType::SevenBit),
                Just(BodyType::EightBit),
                Just(BodyType::Binary),
            ],
            dot_lines in any::<bool>(),
            wishes in prop::option::of(wishes()),
        ) -> Message {
            Message {
                id: MessageId(id),
                received: WallTime::from_unix_ms(received),
                sender,
                recipients,
                content: Content { extents: extents.into(), length_bytes, body_type, dot_lines },
                wishes: wishes.map(Box::new),
            }
        }
    }

    fn encoded_message(message: &Message) -> Vec<u8> {
        let mut payload = vec![0; message_bytes(message, message.content.extents.len()).unwrap()];
        encode_message(message, &mut payload);
        payload
    }

    fn encoded_outcome(outcome: &Outcome) -> Vec<u8> {
        let mut payload = vec![0; outcome_bytes(&outcome.recipients)];
        encode_outcome(outcome.message, &outcome.recipients, &mut payload);
        payload
    }

    proptest! {
        #[test]
        fn messages_are_read_back(message in message()) {
            let payload = encoded_message(&message);
            prop_assert_eq!(decode_message(&payload), Some(message.clone()));
            prop_assert_eq!(message_of(&payload), Some(message.id));
            for end in 0..payload.len() {
                prop_assert_eq!(decode_message(&payload[..end]), None);
            }
        }

        #[test]
        fn outcomes_are_read_back(
            id in any::<u64>(),
            recipients in prop::collection::vec((any::<u32>(), state()), 0..5),
        ) {
            let outcome = Outcome { message: MessageId(id), recipients };
            let payload = encoded_outcome(&outcome);
            prop_assert_eq!(decode_outcome(&payload), Some(outcome.clone()));
            prop_assert_eq!(message_of(&payload), Some(outcome.message));
            for end in 0..payload.len() {
                prop_assert_eq!(decode_outcome(&payload[..end]), None);
            }
        }

        #[test]
        fn no_input_makes_it_panic(payload in prop::collection::vec(any::<u8>(), 0..200)) {
            decode_message(&payload);
            decode_outcome(&payload);
        }
    }

    fn deferred(text: &str) -> RecipientState {
        RecipientState::Pending {
            attempts: 1,
            next_attempt: WallTime::from_unix_ms(1),
            last_failure: text.into(),
            delay_told: false,
        }
    }

    fn plain_message() -> Message {
        let recipient =
            Recipient { address: b"bob@x".as_slice().into(), state: deferred("no"), notices: None };
        Message {
            id: MessageId(0x0102),
            received: WallTime::from_unix_ms(3),
            sender: b"a@b".as_slice().into(),
            recipients: vec![recipient],
            content: Content { dot_lines: true, ..Content::default() },
            wishes: None,
        }
    }

    /// The bytes of a record as they were before a message could have wishes.
    const OLD_RECORD: &[u8] = b"\x02\x01\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\0\0\0\0\0\
        \x03\0a@b\x01\0\0\0\x05\0bob@x\0\x01\0\x01\0\0\0\0\0\0\0\x02\0no";

    #[test]
    fn a_message_without_wishes_is_written_as_ever() {
        let message = plain_message();
        assert_eq!(encoded_message(&message), OLD_RECORD);
        assert_eq!(decode_message(OLD_RECORD), Some(message));
    }

    #[test]
    fn flags_that_mean_nothing_are_refused() {
        let flags_at = 16;
        for flags in 0..=u8::MAX {
            let mut record = OLD_RECORD.to_vec();
            record[flags_at] = flags;
            let known = [0, FLAG_EIGHT_BIT, FLAG_BINARY];
            let is_known = known.contains(&(flags & !FLAG_DOT_LINES));
            assert_eq!(decode_message(&record).is_some(), is_known, "{flags:#x}");
        }
        // Notices that nobody has, conditions without `NOTIFY=`, unknown bits.
        for tail in [0, 1 | 4, 2, 1 | 64, 128] {
            let mut record = OLD_RECORD.to_vec();
            record[flags_at] |= FLAG_NOTICES;
            record.push(tail);
            assert_eq!(decode_message(&record), None, "{tail}");
        }
    }

    #[test]
    fn a_long_failure_is_cut_between_characters() {
        let text = format!("x{}", "ä".repeat(SPOOL_FAILURE_BYTES_MAX));
        let outcome = Outcome { message: MessageId(1), recipients: vec![(0, deferred(&text))] };
        let decoded = decode_outcome(&encoded_outcome(&outcome)).unwrap();
        let kept = format!("x{}", "ä".repeat(SPOOL_FAILURE_BYTES_MAX / 2 - 1));
        assert_eq!(decoded.recipients, [(0, deferred(&kept))]);
    }

    #[test]
    fn a_message_that_is_too_large_has_no_encoding() {
        let recipient =
            Recipient { address: vec![b'x'; 510].into(), state: deferred(""), notices: None };
        let mut message = Message {
            id: MessageId(1),
            received: WallTime::default(),
            sender: Box::default(),
            recipients: vec![recipient; 1_000],
            content: Content::default(),
            wishes: None,
        };
        assert!(message_bytes(&message, 1).is_some());
        assert!(message_bytes(&message, RECORD_BYTES_MAX / EXTENT_BYTES).is_none());
        message.recipients[7].address = vec![b'x'; 65_536].into();
        assert!(message_bytes(&message, 1).is_none());
    }

    #[test]
    fn a_large_outcome_is_cut_into_records() {
        let recipients: Vec<_> = (0..1_000).map(|index| (index, deferred("refused"))).collect();
        let fit = outcome_fit(&recipients, 2_000);
        assert!(outcome_bytes(&recipients[..fit]) <= 2_000);
        assert!(outcome_bytes(&recipients[..=fit]) > 2_000);
        assert_eq!(outcome_fit(&recipients, 1), 1);
        assert_eq!(outcome_fit(&[], 1), 0);
    }
}
