//! DATA, the content behind it, its end, and the `Received:` field that is put before it.

use std::io::Write;
use std::net::IpAddr;

use crate::ids::MessageId;
use crate::proto::data::{DataDecoder, Piece};
use crate::proto::fault::{Fault, LocalFault};
use crate::proto::reply::{Code, Reply};
use crate::proto::server::{
    Conditions, ContentRefusal, Event, Hello, Phase, ServerSession, Storage,
};

/// What the relay must know of a content without looking at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentFacts {
    /// All content, without what the caller wrote before it, in bytes.
    pub length_bytes: u64,
    /// Whether a line begins with a dot, so that whoever sends it must add one
    /// (RFC 5321 §4.5.2).
    pub dot_lines: bool,
    /// `Received:` fields that the header had.
    pub hop_count: u32,
}

impl ServerSession {
    /// About the message that is received, complete at [`Event::MessageEnd`] and until the next
    /// call of [`advance`](Self::advance).
    pub const fn content_facts(&self) -> ContentFacts {
        ContentFacts {
            length_bytes: self.decoder.content_bytes(),
            dot_lines: self.decoder.has_dot_lines(),
            hop_count: self.decoder.hop_count(),
        }
    }

    /// The spool could not open a body or take a piece of content. The rest of the content is
    /// swallowed, and answered at its end. [`Event::MessageAbandoned`] comes next.
    pub fn refuse_content(&mut self, why: ContentRefusal) {
        debug_assert!(self.body_is_open, "refused content that was not offered");
        self.refusal = Some(why);
    }

    /// Appends the trace field of RFC 5321 §4.4 to `out`: what the message of the current
    /// transaction begins with under the name `id`. Valid between [`Event::MessageBegin`] and the
    /// next call of [`advance`](Self::advance) after [`Event::MessageEnd`].
    ///
    /// Three lines, none longer than 600 bytes.
    pub fn write_received_header(&self, id: MessageId, conditions: &Conditions, out: &mut Vec<u8>) {
        let protocol = match self.hello {
            Hello::None | Hello::Helo => "SMTP",
            Hello::Ehlo => "ESMTP",
        };
        let hostname = &self.policy.hostname;
        let date = conditions.wall.rfc5322();
        out.extend_from_slice(b"Received: from ");
        out.extend(self.client_name.iter().map(|&byte| header_safe(byte)));
        // RFC 5321 §4.1.3; a peer that speaks IPv4 to an IPv6 socket is shown as what it is.
        // Writing to a vector never fails.
        let _ = match self.peer.address.to_canonical() {
            IpAddr::V4(address) => write!(out, " ([{address}])"),
            IpAddr::V6(address) => write!(out, " ([IPv6:{address}])"),
        };
        let _ =
            write!(out, "\r\n\tby {hostname} (Ringpost) with {protocol} id {id};\r\n\t{date}\r\n");
    }

    /// RFC 5321 §4.1.1.4.
    pub(super) fn data(&mut self, conditions: &Conditions) -> Result<(), Fault> {
        self.check_envelope()?;
        if conditions.storage == Storage::Full {
            return Err(Fault::Local(LocalFault::StorageFull));
        }
        self.phase = Phase::Content;
        self.decoder = DataDecoder::new();
        self.refusal = None;
        self.body_is_open = true;
        self.content_began = conditions.now;
        self.reply(Reply::plain(Code::START_CONTENT_354, "Send the message, end it with CRLF.CRLF"))
    }

    pub(super) fn read_content(
        &mut self,
        conditions: &Conditions,
        input: &[u8],
    ) -> (usize, Option<Event>) {
        if self.refusal.is_some() && self.body_is_open {
            self.body_is_open = false;
            return (0, Some(Event::MessageAbandoned));
        }
        if !input.is_empty() {
            self.active = conditions.now;
        }
        let decoded = self.decoder.decode(&self.policy.limits.data(), input);
        let event = match decoded.piece {
            Piece::NeedInput => Some(Event::NeedInput),
            Piece::Content(span) => self.body_is_open.then_some(Event::Content(span)),
            Piece::Refused => {
                let was_open = std::mem::take(&mut self.body_is_open);
                was_open.then_some(Event::MessageAbandoned)
            }
            Piece::End => {
                self.phase = Phase::ContentEnded;
                None
            }
        };
        (decoded.consumed, event)
    }

    /// Acts upon the end of data. The transaction ends here, whatever comes of it
    /// (RFC 5321 §4.1.1.4).
    pub(super) fn end_content(&mut self) -> Option<Event> {
        let storage_fault = self.refusal.map(|refusal| match refusal {
            ContentRefusal::Failed => Fault::Local(LocalFault::StorageFailed),
            ContentRefusal::Full => Fault::Local(LocalFault::StorageFull),
        });
        // What is wrong for good comes first: trying again would not help.
        if let Some(fault) = self.decoder.fault().map(Fault::Content).or(storage_fault) {
            debug_assert!(!self.body_is_open, "a body is dropped before its message is refused");
            self.phase = Phase::Command;
            self.envelope.reset();
            self.refuse(fault);
            return None;
        }
        if self.replies.is_held() {
            return Some(Event::Blocked);
        }
        self.phase = Phase::Command;
        self.body_is_open = false;
        self.envelope_ended = true;
        self.message_count = self.message_count.saturating_add(1);
        self.error_count = 0;
        self.replies.hold();
        if self.input_ended {
            self.close();
        }
        Some(Event::MessageEnd)
    }
}

/// `byte` as it may stand in a header field next to a comment: what a host name or an address
/// literal has, and `?` for all else, so that nothing a client calls itself looks like a part of
/// the field.
const fn header_safe(byte: u8) -> u8 {
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => byte,
        b'.' | b'-' | b'_' | b':' | b'[' | b']' => byte,
        _ => b'?',
    }
}
