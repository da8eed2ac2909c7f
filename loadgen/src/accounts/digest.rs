//! The digest of a content as it arrives, to be held against the one in its stamp.
//!
//! # Guarantees
//! The digest is of every byte behind the stamp's line as its author wrote it: without the dots of
//! dot-stuffing (RFC 5321 §4.5.2) and without the end mark, wherever the stream is cut. So what
//! relays put before the stamp (RFC 5321 §4.4) makes no difference, and anything else does.
//!
//! # Bounds
//! [`HEAD_BYTES_MAX`] bytes are searched for the stamp, and kept when they come in pieces.

use crc32fast::Hasher;
use memchr::memmem;
use twox_hash::XxHash3_64;

use crate::content::Framing;
use crate::stamp::{Stamp, StampFinder};

/// How much of a message's beginning is searched for the stamp: relays put trace lines before it.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// The last bytes of a content behind DATA: what ends it, and is not of it.
const END_BYTES: usize = b".\r\n".len();

/// The hash of `address`, a recipient, to tell recipients of one message apart. Letters count
/// alike in both cases, since a relay may change that of the domain.
pub(crate) fn recipient_hash(address: &[u8]) -> u64 {
    const PIECE_BYTES: usize = 64;
    let mut hash = 0;
    for piece in address.chunks(PIECE_BYTES) {
        let mut lower = [0; PIECE_BYTES];
        lower[..piece.len()].copy_from_slice(piece);
        lower.make_ascii_lowercase();
        hash = XxHash3_64::oneshot_with_seed(hash, &lower[..piece.len()]);
    }
    hash
}

/// The digest of a content in `parts`, framed so, without what ends it; it begins a line.
pub(crate) fn digest_of(framing: Framing, parts: &[&[u8]]) -> u32 {
    let mut text = Text::new();
    for part in parts {
        match framing {
            Framing::Data => text.take_dotted(part),
            Framing::Bdat => text.hasher.update(part),
        }
    }
    text.hasher.finalize()
}

/// The text of a content as its author wrote it, digested.
#[derive(Debug)]
struct Text {
    hasher: Hasher,
    /// The last two bytes that went by, to see where lines begin.
    last: [u8; 2],
}

impl Text {
    fn new() -> Self {
        Self { hasher: Hasher::new(), last: *b"\r\n" }
    }

    /// The next bytes of a text whose dots are doubled.
    fn take_dotted(&mut self, bytes: &[u8]) {
        let Some(&first) = bytes.first() else {
            return;
        };
        let mut rest = bytes;
        if self.last == *b"\r\n" && first == b'.' {
            rest = &rest[1..];
        } else if self.last[1] == b'\r' && rest.starts_with(b"\n.") {
            self.hasher.update(b"\n");
            rest = &rest[2..];
        }
        while let Some(at) = memmem::find(rest, b"\r\n.") {
            self.hasher.update(&rest[..at + 2]);
            rest = &rest[at + 3..];
        }
        self.hasher.update(rest);
        self.last = match bytes {
            [.., before, last] => [*before, *last],
            _ => [self.last[1], first],
        };
    }
}

/// What a stamped content came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Digested {
    /// What its stamp says.
    pub(crate) stamp: Stamp,
    /// The digest of what came.
    pub(crate) digest: u32,
}

/// Digests one content after the other.
#[derive(Debug)]
pub(crate) struct ContentDigest {
    finder: StampFinder,
    framing: Framing,
    /// The beginning of the content, while its stamp is looked for.
    head: Vec<u8>,
    stamp: Option<Stamp>,
    gave_up: bool,
    text: Text,
    /// The newest bytes behind DATA, which may turn out to end the content.
    held: [u8; END_BYTES],
    held_len: usize,
}

impl ContentDigest {
    /// Ready for a content.
    pub(crate) fn new() -> Self {
        Self {
            finder: StampFinder::new(),
            framing: Framing::Data,
            head: Vec::new(),
            stamp: None,
            gave_up: false,
            text: Text::new(),
            held: [0; END_BYTES],
            held_len: 0,
        }
    }

    /// A content begins.
    pub(crate) fn begin(&mut self, framing: Framing) {
        self.framing = framing;
        self.head.clear();
        self.stamp = None;
        self.gave_up = false;
        self.text = Text::new();
        self.held_len = 0;
    }

    /// The next piece of it, as it came; behind DATA with the end mark.
    pub(crate) fn update(&mut self, piece: &[u8]) {
        if self.stamp.is_some() {
            self.take(piece);
        } else if self.gave_up {
            // It is nobody's.
        } else if self.head.is_empty() {
            // Most contents come in one piece, which is then never copied.
            match self.finder.find(&piece[..piece.len().min(HEAD_BYTES_MAX)]) {
                Some((stamp, behind)) => {
                    self.stamp = Some(stamp);
                    self.take(&piece[behind..]);
                }
                None => self.keep(piece),
            }
        } else {
            self.keep(piece);
            if let Some((stamp, behind)) = self.finder.find(&self.head) {
                self.stamp = Some(stamp);
                let head = std::mem::take(&mut self.head);
                self.take(&head[behind..]);
                self.head = head;
            }
        }
    }

    /// The content is over; nothing if it has no stamp.
    pub(crate) fn finish(&mut self) -> Option<Digested> {
        let stamp = self.stamp.take()?;
        Some(Digested { stamp, digest: self.text.hasher.clone().finalize() })
    }

    fn keep(&mut self, piece: &[u8]) {
        self.head.extend_from_slice(piece);
        // The piece that crosses the bound is searched whole, so no stamp is cut by it.
        self.gave_up = self.head.len() - piece.len() >= HEAD_BYTES_MAX;
    }

    /// Bytes behind the stamp.
    fn take(&mut self, piece: &[u8]) {
        if self.framing == Framing::Bdat {
            self.text.hasher.update(piece);
            return;
        }
        if piece.len() >= END_BYTES {
            let (held, held_len) = (self.held, self.held_len);
            self.text.take_dotted(&held[..held_len]);
            let (sure, held) = piece.split_at(piece.len() - END_BYTES);
            self.text.take_dotted(sure);
            self.held.copy_from_slice(held);
            self.held_len = END_BYTES;
            return;
        }
        for &byte in piece {
            if self.held_len == END_BYTES {
                let [oldest, rest @ ..] = self.held;
                self.text.take_dotted(&[oldest]);
                self.held[..END_BYTES - 1].copy_from_slice(&rest);
                self.held_len -= 1;
            }
            self.held[self.held_len] = byte;
            self.held_len += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::end_of_data::unstuff;
    use crate::stamp::Id;

    const STAMP: Stamp = Stamp {
        id: Id { run: 0xfeed, number: 42 },
        digest: 0x1234,
        sent_unix_ms: 1_795_492_893_000,
    };

    /// A content with trace lines, the stamp, and `rest`.
    fn stamped(rest: &[u8]) -> Vec<u8> {
        let mut content = b"Received: from x\r\n\tby y\r\n".to_vec();
        STAMP.write(&mut content);
        content.extend_from_slice(rest);
        content
    }

    fn digest(framing: Framing, pieces: &[&[u8]]) -> Option<Digested> {
        let mut digest = ContentDigest::new();
        // What came before must not show.
        digest.begin(Framing::Data);
        digest.update(b"X-Loadgen-Id: half of one\r\n..\r\n.\r");
        digest.begin(framing);
        pieces.iter().for_each(|piece| digest.update(piece));
        digest.finish()
    }

    #[test]
    fn the_digest_is_of_the_unstuffed_rest_wherever_the_stream_is_cut() {
        let rests: [&[u8]; 7] = [
            b"",
            b"Subject: x\r\n\r\nbody\r\n",
            b"..\r\n..a\r\nb.c\r\n",
            b"\r\n..\r\n..\r\n\r\n",
            b"\n.a\r.\r\n",
            b"a\r\n...b\r\n",
            b"\r\r\n..x\r\n",
        ];
        for rest in rests {
            let wire = [&stamped(rest)[..], b".\r\n"].concat();
            let plain = unstuff(&[rest, b".\r\n"].concat());
            let wanted = Some(Digested { stamp: STAMP, digest: crc32fast::hash(&plain) });
            assert_eq!(digest(Framing::Data, &[&wire]), wanted, "{rest:?}");
            for cut in 0..=wire.len() {
                let (head, tail) = wire.split_at(cut);
                assert_eq!(digest(Framing::Data, &[head, tail]), wanted, "{rest:?} at {cut}");
            }
            let bytes: Vec<&[u8]> = wire.chunks(1).collect();
            assert_eq!(digest(Framing::Data, &bytes), wanted, "{rest:?} byte by byte");
            let chunk = stamped(&plain);
            let (head, tail) = chunk.split_at(chunk.len() / 2);
            assert_eq!(digest(Framing::Bdat, &[head, tail]), wanted, "{rest:?} in chunks");
        }
    }

    #[test]
    fn without_a_stamp_there_is_no_digest() {
        let long = vec![b'x'; HEAD_BYTES_MAX];
        let stamped = stamped(b"\r\n");
        assert_eq!(digest(Framing::Data, &[b"Subject: x\r\n\r\n.\r\n"]), None);
        assert_eq!(digest(Framing::Data, &[&long, b"\r\n", &stamped, b".\r\n"]), None);
        let found = digest(Framing::Data, &[&long[1_000..], b"\r\n", &stamped, b".\r\n"]);
        assert_eq!(found.map(|found| found.stamp), Some(STAMP));
    }

    #[test]
    fn recipients_are_told_apart_but_not_by_case() {
        let long = [&b"x"[..]; 200].concat();
        assert_eq!(recipient_hash(b"a@B.example"), recipient_hash(b"A@b.EXAMPLE"));
        assert_ne!(recipient_hash(b"a@b.example"), recipient_hash(b"b@b.example"));
        assert_ne!(recipient_hash(&long), recipient_hash(&long[1..]));
    }
}
