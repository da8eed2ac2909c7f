//! DATA and BDAT, the content behind them, its end, and the `Received:` field that goes before it.
//!
//! # Chunks
//! The bytes of a chunk follow its command whatever the reply, so a chunk that is refused is
//! swallowed to the byte (RFC 3030 §2), or what is in it would be taken for commands. That holds
//! for any size: the bound is `content_time`, as for content that is too big behind DATA. A client
//! that is cut off in the midst of a chunk would not read why, and try again. Only where the size
//! itself is not understood is there nothing to count, and the session ends.
//!
//! Once one chunk of a message is refused the message is, and every further chunk of it is answered
//! alike, until `LAST`, RSET or EHLO.

use std::io::Write;
use std::net::IpAddr;

use crate::ids::MessageId;
use crate::message::BodyType;
use crate::proto::data::{DataDecoder, DataRules, Framing, Piece, Stamp};
use crate::proto::enhanced::EnhancedCode;
use crate::proto::fault::{ContentFault, Fault, LocalFault, SequenceFault, SyntaxFault};
use crate::proto::reply::{Code, Reply};
use crate::proto::server::{
    Conditions, ContentRefusal, Event, Hello, Phase, Role, ServerPolicy, ServerSession, Storage,
};

/// What the relay must know of a content without looking at it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ContentFacts {
    /// All content that was told of, without what the caller wrote before it, in bytes.
    pub length_bytes: u64,
    /// Whether a line begins with a dot, so that whoever sends it must add one
    /// (RFC 5321 §4.5.2).
    pub dot_lines: bool,
    /// `Received:` fields that the header had.
    pub hop_count: u32,
}

/// What a session has to take content with, from its first message on.
#[derive(Debug, Default)]
pub(super) struct Intake {
    decoder: DataDecoder,
    framing: Framing,
    /// The name of the message, as soon as the caller has given it one.
    id: Option<MessageId>,
    /// Bytes of the chunk that are still to come.
    chunk_bytes: u64,
    chunk_is_last: bool,
    /// The chunk is of a message that is refused.
    swallows: bool,
}

/// How far a message in chunks has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Chunks {
    /// None came.
    #[default]
    None,
    /// All that came are taken.
    Taken,
    /// One was refused, and not the last.
    Refused(Fault),
}

impl Intake {
    #[cfg(test)]
    pub(super) fn heap_bytes(&self) -> usize {
        size_of::<Self>() + self.decoder.heap_bytes()
    }

    fn rules<'a>(&self, policy: &'a ServerPolicy, conditions: &Conditions) -> DataRules<'a> {
        let hostname = &*policy.hostname;
        let stamp = self.id.filter(|_| policy.header.add_missing);
        DataRules {
            limits: policy.limits.data(),
            framing: self.framing,
            mends_bare_lf: policy.leniency.bare_lf && policy.role == Role::Submission,
            own_name: policy.header.remove_own_results.then_some(hostname),
            stamp: stamp.map(|id| Stamp { wall: conditions.wall, id, hostname }),
        }
    }
}

impl ServerSession {
    /// About the message that is received, complete at [`Event::MessageEnd`] and until the next
    /// call of [`advance`](Self::advance).
    pub fn content_facts(&self) -> ContentFacts {
        self.intake.as_ref().map_or_else(ContentFacts::default, |intake| ContentFacts {
            length_bytes: intake.decoder.content_bytes(),
            dot_lines: intake.decoder.has_dot_lines(),
            hop_count: intake.decoder.hop_count(),
        })
    }

    /// What [`Event::Inserted`] tells of, until the next call of [`advance`](Self::advance). At
    /// most `HEADER_HELD_BYTES_MAX` and the fields that this server adds.
    pub fn inserted(&self) -> &[u8] {
        self.intake.as_ref().map_or(&[], |intake| intake.decoder.inserted())
    }

    /// The spool could not open a body or take a piece of content. The rest of the content is
    /// swallowed, and answered at its end. [`Event::MessageAbandoned`] comes next.
    pub fn refuse_content(&mut self, why: ContentRefusal) {
        debug_assert!(self.body_is_open, "refused content that was not offered");
        self.refusal = Some(why);
    }

    /// Appends the trace field of RFC 5321 §4.4 to `out`: what the message of the current
    /// transaction begins with under the name `id`, from which its `Message-ID:` is made if it has
    /// none. To be called at [`Event::MessageBegin`]. Nothing in it tells who authenticated.
    ///
    /// Four lines at most, none longer than 600 bytes.
    pub fn write_received_header(
        &mut self,
        id: MessageId,
        conditions: &Conditions,
        out: &mut Vec<u8>,
    ) {
        if let Some(intake) = &mut self.intake {
            intake.id = Some(id);
        }
        // RFC 3848 for what EHLO began, RFC 6531 §4.3 for UTF-8.
        let is_utf8 = self.envelope().wishes.is_some_and(|wishes| wishes.smtputf8);
        let protocol = match self.hello {
            Hello::None | Hello::Helo => "SMTP",
            Hello::Ehlo if is_utf8 => "UTF8SMTP",
            Hello::Ehlo => "ESMTP",
        };
        let is_extended = self.hello == Hello::Ehlo;
        let tls = self.tls_facts();
        let protected = if is_extended && tls.is_some() { "S" } else { "" };
        let authenticated = if is_extended && self.user().is_some() { "A" } else { "" };
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
        let _ = write!(
            out,
            "\r\n\tby {hostname} (Ringpost) with {protocol}{protected}{authenticated} id {id}"
        );
        // RFC 8314 §4.3.
        if let Some(tls) = tls {
            let _ = write!(out, "\r\n\ttls {} ({})", tls.cipher_suite, tls.version);
        }
        let _ = write!(out, ";\r\n\t{date}\r\n");
    }

    /// RFC 5321 §4.1.1.4.
    pub(super) fn data(&mut self, conditions: &Conditions) -> Result<(), Fault> {
        // RFC 3030 §2.
        if self.envelope.chunks != Chunks::None {
            return Err(Fault::Sequence(SequenceFault::ChunksBegun));
        }
        self.check_envelope()?;
        // RFC 3030 §3: a line with a dot means nothing in it.
        if self.envelope().body_type == BodyType::Binary {
            return Err(Fault::Sequence(SequenceFault::ChunksMissing));
        }
        if conditions.storage == Storage::Full {
            return Err(Fault::Local(LocalFault::StorageFull));
        }
        self.begin_content(conditions, Framing::Dots);
        self.reply(Reply::plain(Code::START_CONTENT_354, "Send the message, end it with CRLF.CRLF"))
    }

    /// RFC 3030 §2.
    pub(super) fn bdat(
        &mut self,
        conditions: &Conditions,
        size_bytes: u64,
        is_last: bool,
    ) -> Option<Event> {
        let checked = self.check_chunk(conditions, size_bytes);
        let mut is_first = false;
        if let Err(fault) = checked {
            self.refuse(fault);
            if self.phase == Phase::Closing {
                return None;
            }
            if is_last {
                self.envelope.reset();
            } else if self.envelope_is_open() {
                self.envelope.chunks = Chunks::Refused(fault);
            }
            self.phase = Phase::Content;
            self.content_began = conditions.now;
        } else if self.envelope.chunks == Chunks::None {
            is_first = true;
            self.envelope.chunks = Chunks::Taken;
            let is_binary = self.envelope().body_type == BodyType::Binary;
            let framing = if is_binary { Framing::Binary } else { Framing::Chunks };
            self.begin_content(conditions, framing);
        } else {
            self.phase = Phase::Content;
        }
        let intake = self.intake.get_or_insert_default();
        intake.chunk_bytes = size_bytes;
        intake.chunk_is_last = is_last;
        intake.swallows = checked.is_err();
        is_first.then_some(Event::MessageBegin)
    }

    fn check_chunk(&self, conditions: &Conditions, size_bytes: u64) -> Result<(), Fault> {
        let received_bytes = match self.envelope.chunks {
            Chunks::Refused(fault) => return Err(fault),
            Chunks::Taken => {
                self.intake.as_ref().map_or(0, |intake| intake.decoder.received_bytes())
            }
            // With HELO a client asks for no extension (RFC 5321 §2.2.1).
            Chunks::None if self.hello == Hello::Helo => {
                return Err(SyntaxFault::NotImplemented.into());
            }
            Chunks::None => {
                self.check_envelope()?;
                if conditions.storage == Storage::Full {
                    return Err(Fault::Local(LocalFault::StorageFull));
                }
                0
            }
        };
        // RFC 1870 §6.2: it need not be received to be known.
        if received_bytes.saturating_add(size_bytes) > self.policy.limits.message_bytes_max {
            return Err(Fault::Content(ContentFault::TooBig));
        }
        Ok(())
    }

    fn begin_content(&mut self, conditions: &Conditions, framing: Framing) {
        self.phase = Phase::Content;
        let intake = self.intake.get_or_insert_default();
        intake.decoder.reset();
        intake.framing = framing;
        intake.id = None;
        intake.swallows = false;
        self.refusal = None;
        self.body_is_open = true;
        self.content_began = conditions.now;
    }

    pub(super) fn read_content(
        &mut self,
        conditions: &Conditions,
        input: &[u8],
    ) -> (usize, Option<Event>) {
        let Some(intake) = self.intake.as_deref_mut() else {
            debug_assert!(false, "content came before the session could take it");
            self.phase = Phase::Command;
            return (0, None);
        };
        if self.body_is_open && (self.refusal.is_some() || intake.swallows) {
            self.body_is_open = false;
            return (0, Some(Event::MessageAbandoned));
        }
        if !input.is_empty() {
            self.active = conditions.now;
        }
        let rules = intake.rules(&self.policy, conditions);
        if rules.framing == Framing::Dots && !intake.swallows {
            let decoded = intake.decoder.decode(&rules, input);
            let event = self.take_piece(decoded.piece);
            return (decoded.consumed, event);
        }
        let length = usize::try_from(intake.chunk_bytes).unwrap_or(usize::MAX).min(input.len());
        let chunk = &input[..length];
        let (consumed, piece) = if intake.swallows {
            (length, Piece::NeedInput)
        } else if intake.chunk_bytes == 0 && intake.chunk_is_last {
            (0, intake.decoder.finish(&rules))
        } else {
            let decoded = intake.decoder.decode(&rules, chunk);
            (decoded.consumed, decoded.piece)
        };
        intake.chunk_bytes -= consumed as u64;
        let chunk_is_over = intake.chunk_bytes == 0 && piece == Piece::NeedInput;
        let event = if !chunk_is_over {
            self.take_piece(piece)
        } else if intake.swallows {
            intake.swallows = false;
            self.phase = Phase::Command;
            None
        } else if intake.chunk_is_last {
            // The decoder finishes in the next round.
            None
        } else {
            self.end_chunk();
            None
        };
        (consumed, event)
    }

    /// What a piece of content is to the caller.
    fn take_piece(&mut self, piece: Piece) -> Option<Event> {
        match piece {
            Piece::NeedInput => Some(Event::NeedInput),
            Piece::Content(span) => self.body_is_open.then_some(Event::Content(span)),
            Piece::Inserted => self.body_is_open.then_some(Event::Inserted),
            Piece::Refused => {
                let was_open = std::mem::take(&mut self.body_is_open);
                was_open.then_some(Event::MessageAbandoned)
            }
            Piece::End => {
                self.phase = Phase::ContentEnded;
                None
            }
        }
    }

    /// Answers a chunk behind which another one is to come (RFC 3030 §2).
    fn end_chunk(&mut self) {
        self.phase = Phase::Command;
        match self.content_fault() {
            None => self.replies.push(|out| CHUNK_TAKEN.write(out)),
            Some(fault) => {
                self.envelope.chunks = Chunks::Refused(fault);
                self.refuse(fault);
            }
        }
    }

    /// Why the content that came cannot be taken. What is wrong for good comes first: trying again
    /// would not help.
    fn content_fault(&self) -> Option<Fault> {
        let content_fault = self.intake.as_ref().and_then(|intake| intake.decoder.fault());
        let storage_fault = self.refusal.map(|refusal| match refusal {
            ContentRefusal::Failed => Fault::Local(LocalFault::StorageFailed),
            ContentRefusal::Full => Fault::Local(LocalFault::StorageFull),
        });
        content_fault.map(Fault::Content).or(storage_fault)
    }

    /// Acts upon the end of data. The transaction ends here, whatever comes of it
    /// (RFC 5321 §4.1.1.4).
    pub(super) fn end_content(&mut self) -> Option<Event> {
        if let Some(fault) = self.content_fault() {
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

    /// The body of a message in chunks whose transaction ended without them, by RSET or EHLO.
    pub(super) fn abandon_chunks(&mut self) -> Option<Event> {
        let is_left = self.body_is_open && self.envelope.chunks != Chunks::Taken;
        self.body_is_open &= !is_left;
        is_left.then_some(Event::MessageAbandoned)
    }
}

const CHUNK_TAKEN: Reply = Reply::new(Code::OK_250, EnhancedCode::OK_2_0_0, "Chunk taken");

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
