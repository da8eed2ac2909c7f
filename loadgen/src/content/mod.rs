//! What the messages of a run consist of.
//!
//! A message has a part of its own, which begins with the stamp `X-Loadgen-Id`, and a rest that it
//! shares with others, so that the rest is never copied. Messages are made up ([`generated`]), read
//! from a folder of files ([`folder`]), or a text is filled in for each ([`template`]).
//!
//! # Guarantees
//! The same id always gives the same bytes behind the stamp: a message that is sent again is the
//! same message. The stamp is the first line of every message, and its digest is of all that
//! follows. Every message ends with CRLF.
//!
//! # Never
//! Allocates for a message, once the caller's buffer has grown to its size.
//!
//! # Bounds
//! [`SIZE_BYTES_MAX`] for a message that is made up; those of the kinds of contents.

mod folder;
mod framing;
mod generated;
mod sizes;
mod stored;
mod template;
mod text;

use std::io;
use std::path::Path;

use crate::accounts;
use crate::console::naming;
use crate::source::Envelopes;
use crate::stamp::{Id, NUMBER_DIGITS, STAMP_BYTES_MIN, Stamp};
use folder::read;
use generated::Generated;
use stored::Stored;
use template::Template;

pub(crate) use framing::Framing;
pub(crate) use generated::Look;
pub(crate) use sizes::Sizes;
pub(crate) use template::Constants;

/// The largest message that is made up. The shared text is as large as the largest message.
pub(crate) const SIZE_BYTES_MAX: usize = 1 << 30;

/// The shared rest of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BodyKey {
    /// How many lines at the end of the shared text, or which file of the folder.
    key: usize,
}

/// What was written of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    /// The shared rest, which comes next.
    pub(crate) body: BodyKey,
    /// Bytes of the whole message as RFC 1870 §3 counts them: without the dots of dot-stuffing.
    pub(crate) size_bytes: usize,
    /// Bytes of the whole message as it travels, without what ends it.
    pub(crate) wire_bytes: usize,
}

/// The messages of a run.
#[derive(Debug)]
pub(crate) struct Contents {
    kind: Kind,
    is_8bit: bool,
}

#[derive(Debug)]
enum Kind {
    Generated(Generated),
    Folder(Vec<Stored>),
    Template(Template),
}

impl Contents {
    /// Messages that are made up.
    pub(crate) fn generated(look: &Look<'_>, sizes: Sizes) -> Self {
        let stamp_bytes = stamp_bytes(Id { run: 0, number: 0 });
        Self {
            kind: Kind::Generated(Generated::new(look, sizes, stamp_bytes)),
            is_8bit: look.is_8bit || look.has_8bit_header,
        }
    }

    /// Messages of `size_bytes` from `from`, dated `date` (RFC 5322 §3.3). A size below that of the
    /// headers gives messages of headers alone.
    pub(crate) fn plain(from: &str, date: &str, size_bytes: usize) -> Self {
        let look = Look { from, date, is_8bit: false, has_8bit_header: false, seed: 0 };
        Self::generated(&look, Sizes::Fixed(size_bytes.min(SIZE_BYTES_MAX)))
    }

    /// The `.eml` files of `directory` in turn, each with a stamp in front.
    ///
    /// # Errors
    /// One cannot be read, there is none, or they are too many or too large.
    pub(crate) fn folder(directory: &Path) -> io::Result<Self> {
        let messages = read(directory)?;
        Ok(Self { is_8bit: messages.iter().any(Stored::is_8bit), kind: Kind::Folder(messages) })
    }

    /// The text of the file at `path`, its fields filled in for each message to `envelopes`.
    ///
    /// # Errors
    /// It cannot be read or has a field that is none.
    pub(crate) fn template(
        path: &Path,
        envelopes: Envelopes,
        constants: &Constants<'_>,
    ) -> io::Result<Self> {
        let text = std::fs::read(path).map_err(naming(path))?;
        let template = Template::new(&text, envelopes, constants)
            .map_err(|error| naming(path)(io::Error::other(error)))?;
        Ok(Self { is_8bit: template.is_8bit(), kind: Kind::Template(template) })
    }

    /// Appends the part of the message `id` that is its own, framed; the rest is a shared body.
    /// The stamp says that it was written at `sent_unix_ms`.
    pub(crate) fn write(
        &self,
        id: Id,
        sent_unix_ms: u64,
        framing: Framing,
        out: &mut Vec<u8>,
    ) -> Written {
        let from = out.len();
        // The digest is of what comes next.
        Stamp { id, digest: 0, sent_unix_ms }.write(out);
        let stamp_bytes = out.len() - from;
        let (key, own_bytes, body_bytes) = match &self.kind {
            Kind::Generated(generated) => {
                let lines = generated.write(id, out);
                let own_bytes = out.len() - from - stamp_bytes;
                (lines, own_bytes, generated.body(lines).len())
            }
            Kind::Folder(messages) => {
                let place = place_of(id, messages);
                (place, 0, messages[place].size_bytes())
            }
            Kind::Template(template) => {
                (0, template.write(id, framing, out), template.rest().size_bytes())
            }
        };
        let body = BodyKey { key };
        let own = &out[from + stamp_bytes..];
        let digest = accounts::digest_of(framing, &[own, self.body(body, framing)]);
        Stamp::set_digest(&mut out[from..from + stamp_bytes], digest);
        Written {
            body,
            size_bytes: stamp_bytes + own_bytes + body_bytes,
            wire_bytes: out.len() - from + self.body(body, framing).len(),
        }
    }

    /// Bytes of the message `id` as RFC 1870 §3 counts them: what [`Self::write`] will tell.
    pub(crate) fn size_bytes(&self, id: Id) -> usize {
        match &self.kind {
            Kind::Generated(generated) => generated.size_bytes(id.number),
            Kind::Folder(messages) => {
                stamp_bytes(id) + messages[place_of(id, messages)].size_bytes()
            }
            Kind::Template(template) => {
                stamp_bytes(id) + template.own_bytes(id) + template.rest().size_bytes()
            }
        }
    }

    /// The shared rest, framed; may be empty.
    pub(crate) fn body(&self, key: BodyKey, framing: Framing) -> &[u8] {
        match &self.kind {
            Kind::Generated(generated) => generated.body(key.key),
            Kind::Folder(messages) => {
                messages.get(key.key).map_or(&[][..], |message| message.framed(framing))
            }
            Kind::Template(template) => template.rest().framed(framing),
        }
    }

    /// Whether any message has bytes above 127 (RFC 6152).
    pub(crate) const fn is_8bit(&self) -> bool {
        self.is_8bit
    }
}

/// Bytes of the stamp of the message `id`.
fn stamp_bytes(id: Id) -> usize {
    let digits = id.number.checked_ilog10().map_or(1, |log| log as usize + 1);
    STAMP_BYTES_MIN + digits.saturating_sub(NUMBER_DIGITS)
}

/// The files take turns.
fn place_of(id: Id, messages: &[Stored]) -> usize {
    usize::try_from(id.number % messages.len() as u64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stamp::StampFinder;

    const DATE: &str = "Tue, 24 Nov 2026 04:01:33 +0000";
    const SENT_MS: u64 = 1_795_492_893_000;
    const FRAMINGS: [Framing; 2] = [Framing::Data, Framing::Bdat];

    fn look(is_8bit: bool, has_8bit_header: bool) -> Look<'static> {
        Look { from: "a@example.com", date: DATE, is_8bit, has_8bit_header, seed: 1 }
    }

    /// The message as it is without framing; framed it must be the same with dots doubled.
    #[track_caller]
    fn message(contents: &Contents, id: Id) -> Vec<u8> {
        let [framed, plain] = FRAMINGS.map(|framing| {
            let mut out = b"before".to_vec();
            let written = contents.write(id, SENT_MS, framing, &mut out);
            out.extend_from_slice(contents.body(written.body, framing));
            let message = out.split_off(b"before".len());
            assert_eq!(out, b"before");
            assert_eq!(message.len(), written.wire_bytes);
            assert_eq!(contents.size_bytes(id), written.size_bytes);
            message
        });
        assert_eq!(contents.size_bytes(id), plain.len());
        assert_eq!(framed, framing::stuffed(&plain));
        let (stamp, behind) = StampFinder::new().find(&plain).unwrap();
        assert_eq!((stamp.id, stamp.sent_unix_ms), (id, SENT_MS));
        assert_eq!(stamp.digest, accounts::digest_of(Framing::Bdat, &[&plain[behind..]]));
        assert!(plain.starts_with(b"X-Loadgen-Id: ") && plain.ends_with(b"\r\n"));
        plain
    }

    #[test]
    fn the_stamp_is_found() {
        let contents = Contents::plain("a@example.com", DATE, 2_048);
        let id = Id { run: 0xfeed, number: 42 };
        let message = message(&contents, id);
        let received = [b"Received: from x by y\r\n with ESMTP\r\n", &message[..]].concat();
        assert_eq!(StampFinder::new().find(&received).unwrap().0.id, id);
    }

    #[test]
    fn every_size_is_met_with_whole_lines() {
        let id = Id { run: 1, number: 9_999_999_999 };
        for look in [look(false, false), look(true, true)] {
            let of_size = |size| message(&Contents::generated(&look, Sizes::Fixed(size)), id);
            let least = of_size(0).len();
            for size in least + 2..least + 400 {
                let message = of_size(size);
                assert_eq!(message.len(), size);
                assert!(std::str::from_utf8(&message).is_ok());
                for line in message.split_inclusive(|byte| *byte == b'\n') {
                    assert!(line.ends_with(b"\r\n") && line.len() <= 80, "{line:?}");
                }
            }
            for size in [1, least, least + 1] {
                assert_eq!(of_size(size).len(), least);
            }
        }
    }

    #[test]
    fn sizes_are_those_drawn() {
        let contents = Contents::generated(&look(false, false), "1k:1,2k:1".parse().unwrap());
        let sizes: Vec<usize> =
            (0..1_000).map(|number| message(&contents, Id { run: number, number }).len()).collect();
        let large = sizes.iter().filter(|size| **size == 2_000).count();
        assert!((400..600).contains(&large), "{large}");
        assert_eq!(sizes.iter().filter(|size| **size == 1_000).count(), 1_000 - large);
        let uniform = Contents::generated(&look(false, false), "1k-50k".parse().unwrap());
        for number in 0..500 {
            assert!((1_000..=50_000).contains(&message(&uniform, Id { run: 1, number }).len()));
        }
    }

    #[test]
    fn bytes_above_127_are_where_they_are_wanted() {
        let id = Id { run: 1, number: 1 };
        for (is_8bit, has_8bit_header) in [(false, false), (true, false), (false, true)] {
            let look = look(is_8bit, has_8bit_header);
            let contents = Contents::generated(&look, Sizes::Fixed(2_000));
            let message = message(&contents, id);
            let header_bytes = memchr::memmem::find(&message, b"\r\n\r\n").unwrap();
            assert_eq!(!message[..header_bytes].is_ascii(), has_8bit_header);
            assert_eq!(!message[header_bytes..].is_ascii(), is_8bit);
            assert_eq!(contents.is_8bit(), is_8bit || has_8bit_header);
        }
    }

    #[test]
    fn files_take_turns_behind_the_stamp() {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in [("a.eml", "Subject: a\n\n.dot\n"), ("b.eml", "Subject: ß\n\nb")] {
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        let contents = Contents::folder(directory.path()).unwrap();
        assert!(contents.is_8bit());
        let late = 10_000_000_001;
        for (number, text) in [(0, "Subject: a\r\n\r\n.dot\r\n"), (late, "Subject: ß\r\n\r\nb\r\n")]
        {
            let message = String::from_utf8(message(&contents, Id { run: 1, number })).unwrap();
            assert_eq!(message.split_once("\r\n").unwrap().1, text);
        }
    }

    #[test]
    fn templates_are_filled_in_behind_the_stamp() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("template");
        let envelopes = || Envelopes::plain("a@b.example", "c@d.example").unwrap();
        let constants = Constants { date: DATE, run: 1, seed: 1 };
        std::fs::write(&path, "Subject: {random:9}\n\n.{n}\n.\n").unwrap();
        let contents = Contents::template(&path, envelopes(), &constants).unwrap();
        let message = message(&contents, Id { run: 1, number: 5 });
        assert!(message.ends_with(b"\r\n\r\n.5\r\n.\r\n"), "{}", String::from_utf8_lossy(&message));
        std::fs::write(&path, "{no}").unwrap();
        let error = Contents::template(&path, envelopes(), &constants).unwrap_err().to_string();
        assert!(error.contains("template") && error.contains("{no}"), "{error}");
    }
}
