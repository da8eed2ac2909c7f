//! The content of a message, behind DATA or in chunks.

use super::{Chunks, KEPT_BYTES_MAX, Phase, ServerSession, Surroundings, replies};
use crate::behaviour::{Drop, DropAt, Point, ReplyText};
use crate::content::Framing;
use crate::end_of_data;

impl ServerSession {
    pub(super) fn begin_content(&mut self, around: &mut Surroundings<'_>, framing: Framing) {
        self.end.begin();
        self.digest.begin(framing);
        self.bytes = 0;
        self.content.clear();
        let behaviour = self.behaviour(around);
        self.drop = Drop::choose(&behaviour.drops, around.dice);
    }

    pub(super) fn take_content(&mut self, around: &mut Surroundings<'_>, piece: &[u8]) {
        self.bytes += piece.len() as u64;
        self.digest.update(piece);
        if around.keep && self.bytes <= KEPT_BYTES_MAX {
            self.content.extend_from_slice(piece);
        }
        let drops_here = |drop: Drop| drop.at == DropAt::Within && self.bytes >= drop.after_bytes;
        if self.drop.is_some_and(drops_here) {
            self.leave(around);
        }
    }

    /// Takes bytes of a chunk; how many.
    pub(super) fn take_chunk(
        &mut self,
        around: &mut Surroundings<'_>,
        left: u64,
        input: &[u8],
    ) -> usize {
        let taken = usize::try_from(left).map_or(input.len(), |left| left.min(input.len()));
        if let Phase::Chunk { left, is_refused, .. } = &mut self.phase {
            *left -= taken as u64;
            if !*is_refused {
                self.take_content(around, &input[..taken]);
            }
        }
        taken
    }

    /// A chunk is complete; whether a message is with it.
    pub(super) fn end_chunk(
        &mut self,
        around: &mut Surroundings<'_>,
        is_last: bool,
        is_refused: bool,
        out: &mut Vec<u8>,
    ) -> bool {
        self.phase = Phase::Command;
        if is_refused {
            // RFC 3030 §2: the chunk is read, and then refused.
            let reply: &[u8] = if self.has_sender {
                b"554 5.5.1 No valid recipients\r\n"
            } else {
                b"503 5.5.1 MAIL comes first\r\n"
            };
            out.extend_from_slice(reply);
            if is_last {
                // RFC 3030 §2: the transaction is over all the same.
                self.forget_transaction();
            }
            return false;
        }
        if is_last {
            return self.finish(around, out);
        }
        replies::write(self.behaviour(around), &[b"250 2.0.0 Chunk taken"], out);
        false
    }

    /// The content behind DATA is complete; whether it is taken.
    pub(super) fn finish_content(
        &mut self,
        around: &mut Surroundings<'_>,
        out: &mut Vec<u8>,
    ) -> bool {
        // The dot, CR and LF that end it are not of it; the CRLF before them is.
        self.bytes -= 3;
        if self.phase == Phase::Closed {
            return false;
        }
        self.phase = Phase::Command;
        if around.keep && self.bytes <= KEPT_BYTES_MAX {
            self.content = end_of_data::unstuff(&self.content);
        }
        self.finish(around, out)
    }

    fn finish(&mut self, around: &mut Surroundings<'_>, out: &mut Vec<u8>) -> bool {
        if self.phase == Phase::Closed {
            return false;
        }
        self.digested = self.digest.finish();
        self.has_sender = false;
        self.chunks = Chunks::None;
        let behaviour = self.behaviour(around);
        let size_max = behaviour.size_max_bytes.unwrap_or(u64::MAX);
        if let Some(drop) = self.drop.filter(|drop| drop.at == DropAt::Behind) {
            if drop.taken {
                self.note_recipients(around, true);
            }
            self.leave(around);
            return drop.taken;
        }
        let too_big = ReplyText { code: 552, lines: vec!["5.3.4 Too big".to_owned()] };
        let is_too_big = self.bytes > size_max || (around.keep && self.bytes > KEPT_BYTES_MAX);
        let refusal = if is_too_big {
            Some(&too_big)
        } else {
            self.refusal(around, behaviour, Point::EndOfData, b"")
        };
        match refusal {
            Some(refusal) => self.refuse(around, Point::EndOfData, refusal, out),
            None => replies::write(behaviour, &[b"250 2.0.0 Ok"], out),
        }
        self.note_recipients(around, refusal.is_none());
        self.hold_back(around, behaviour, Point::EndOfData);
        refusal.is_none()
    }

    fn note_recipients(&self, around: &mut Surroundings<'_>, is_taken: bool) {
        for &place in &self.domains {
            around.tally.note_recipient(place, is_taken);
        }
    }
}
