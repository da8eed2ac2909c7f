//! A content on its way by BDAT (RFC 3030 §2), cut into pieces.
//!
//! # Guarantees
//! The sizes that the commands tell add up to the content.

use std::io::Write;

use super::outgoing::Outgoing;
use crate::content::{BodyKey, Contents, Framing};
use crate::stamp::Id;

/// The content of one message after another.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    /// What is the message's own.
    head: Vec<u8>,
    body: Option<BodyKey>,
    /// Bytes of the content, and those of them that are queued.
    bytes: usize,
    queued: usize,
}

impl Chunks {
    /// Begins with the message `id`.
    pub(super) fn begin(&mut self, contents: &Contents, id: Id, sent_unix_ms: u64) {
        self.head.clear();
        let written = contents.write(id, sent_unix_ms, Framing::Bdat, &mut self.head);
        self.body = Some(written.body);
        self.bytes = written.wire_bytes;
        self.queued = 0;
    }

    /// Queues the next piece of at most `chunk_bytes`, with its command; whether it is the last.
    pub(super) fn queue(&mut self, chunk_bytes: usize, outgoing: &mut Outgoing) -> bool {
        let from = self.queued;
        let to = self.bytes.min(from.saturating_add(chunk_bytes));
        let is_last = to == self.bytes;
        let last = if is_last { " LAST" } else { "" };
        // Writing to a Vec cannot fail.
        let _ = write!(outgoing.end(), "BDAT {}{last}\r\n", to - from);
        let own = self.head.len();
        outgoing.end().extend_from_slice(&self.head[from.min(own)..to.min(own)]);
        if let Some(body) = self.body {
            outgoing.put_body(body, Framing::Bdat, from.max(own) - own..to.max(own) - own);
        }
        self.queued = to;
        is_last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a server takes for the content.
    fn joined(mut wire: &[u8], chunk_bytes: usize) -> Vec<u8> {
        let mut content = Vec::new();
        loop {
            let end = memchr::memchr(b'\n', wire).unwrap();
            let line = std::str::from_utf8(&wire[..end]).unwrap().trim_end();
            let words: Vec<_> = line.split(' ').collect();
            let bytes: usize = words[1].parse().unwrap();
            assert!(words[0] == "BDAT" && bytes <= chunk_bytes, "{line}");
            let (chunk, rest) = wire[end + 1..].split_at(bytes);
            content.extend_from_slice(chunk);
            wire = rest;
            if words.get(2) == Some(&"LAST") {
                assert!(wire.is_empty());
                return content;
            }
            assert_eq!(bytes, chunk_bytes);
        }
    }

    #[test]
    fn a_content_is_the_same_however_it_is_cut() {
        let contents = Contents::plain("a@example.com", "x", 1_000);
        let id = Id { run: 1, number: 2 };
        let mut whole = Vec::new();
        let written = contents.write(id, 0, Framing::Bdat, &mut whole);
        whole.extend_from_slice(contents.body(written.body, Framing::Bdat));
        let mut chunks = Chunks::default();
        for chunk_bytes in (1..400).chain([999, 1_000, 1_001, usize::MAX]) {
            let mut outgoing = Outgoing::default();
            let mut wire = Vec::new();
            chunks.begin(&contents, id, 0);
            while !chunks.queue(chunk_bytes, &mut outgoing) {}
            while !outgoing.is_empty() {
                outgoing.send(&mut wire, &contents).unwrap();
            }
            assert_eq!(joined(&wire, chunk_bytes), whole, "in pieces of {chunk_bytes}");
        }
    }
}
