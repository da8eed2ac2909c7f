//! What a connection is still to send: commands and what is a message's own, and between them
//! stretches of bodies that messages share.
//!
//! # Guarantees
//! The parts leave in the order in which they were put, whole, however little the socket takes at
//! a time.
//!
//! # Never
//! Copies a shared body.
//!
//! # Bounds
//! Parts: what the session lets be queued, two for each piece of a content.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Write};
use std::ops::Range;

use crate::content::{BodyKey, Contents, Framing};

/// Parts that one system call is given.
const SLICES_MAX: usize = 16;

/// Bytes that were sent and are kept, before the rest is moved over them.
const SENT_BYTES_MAX: usize = 64 << 10;

/// A stretch of a shared body, behind so many bytes of our own since the stretch before.
#[derive(Clone, Debug)]
struct Shared {
    own_before: usize,
    body: BodyKey,
    framing: Framing,
    range: Range<usize>,
}

/// Bytes on their way out.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    own: Vec<u8>,
    own_sent: usize,
    /// Where the last shared stretch stands in `own`.
    own_placed: usize,
    shared: VecDeque<Shared>,
    shared_bytes: usize,
    /// Bytes sent since the connection began.
    handed: u64,
}

impl Outgoing {
    /// Where commands are written.
    pub(super) const fn end(&mut self) -> &mut Vec<u8> {
        &mut self.own
    }

    /// A stretch of a shared body comes next.
    pub(super) fn put_body(&mut self, body: BodyKey, framing: Framing, range: Range<usize>) {
        if range.is_empty() {
            return;
        }
        let own_before = self.own.len() - self.own_placed;
        self.own_placed = self.own.len();
        self.shared_bytes += range.len();
        self.shared.push_back(Shared { own_before, body, framing, range });
    }

    /// Whether everything is sent.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting() == 0
    }

    /// Bytes sent since the connection began.
    pub(super) const fn handed(&self) -> u64 {
        self.handed
    }

    /// What [`Self::handed`] will be when all that is queued now is sent.
    pub(super) fn queued(&self) -> u64 {
        self.handed + self.waiting() as u64
    }

    /// Forgets everything, for the next connection.
    pub(super) fn clear(&mut self) {
        self.own.clear();
        (self.own_sent, self.own_placed) = (0, 0);
        self.shared.clear();
        self.shared_bytes = 0;
        self.handed = 0;
    }

    /// Sends what `socket` takes in one system call; whether that was anything.
    ///
    /// # Errors
    /// The socket's, but not that it would block.
    pub(super) fn send(
        &mut self,
        socket: &mut impl Write,
        contents: &Contents,
    ) -> io::Result<bool> {
        let written = if self.shared.is_empty() {
            socket.write(&self.own[self.own_sent..])
        } else {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let count = self.gather(&mut slices, contents);
            socket.write_vectored(&slices[..count])
        };
        match written {
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                self.advance(written);
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(true),
            Err(error) => Err(error),
        }
    }

    fn waiting(&self) -> usize {
        self.own.len() - self.own_sent + self.shared_bytes
    }

    /// The first parts; how many there are.
    fn gather<'a>(&'a self, slices: &mut [IoSlice<'a>], contents: &'a Contents) -> usize {
        let mut own = &self.own[self.own_sent..];
        let mut count = 0;
        for part in &self.shared {
            if count + 2 > slices.len() {
                return count;
            }
            let (before, behind) = own.split_at(part.own_before);
            own = behind;
            let body = &contents.body(part.body, part.framing)[part.range.clone()];
            for slice in [before, body] {
                if !slice.is_empty() {
                    slices[count] = IoSlice::new(slice);
                    count += 1;
                }
            }
        }
        if count < slices.len() && !own.is_empty() {
            slices[count] = IoSlice::new(own);
            count += 1;
        }
        count
    }

    fn advance(&mut self, mut written: usize) {
        self.handed += written as u64;
        while let Some(part) = self.shared.front_mut() {
            let own = written.min(part.own_before);
            part.own_before -= own;
            self.own_sent += own;
            let shared = (written - own).min(part.range.len());
            part.range.start += shared;
            self.shared_bytes -= shared;
            written -= own + shared;
            if !part.range.is_empty() {
                return;
            }
            self.shared.pop_front();
        }
        self.own_sent += written;
        if self.own_sent == self.own.len() {
            self.own.clear();
            (self.own_sent, self.own_placed) = (0, 0);
        } else if self.own_sent >= SENT_BYTES_MAX {
            self.own.drain(..self.own_sent);
            self.own_placed = self.own_placed.saturating_sub(self.own_sent);
            self.own_sent = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stamp::Id;

    /// Takes `room` bytes at a time and would block every second time.
    struct Narrow {
        room: usize,
        got: Vec<u8>,
        blocks: bool,
    }

    impl Write for Narrow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.write_vectored(&[IoSlice::new(bytes)])
        }

        fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
            self.blocks = !self.blocks;
            if self.blocks {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let all = parts.iter().flat_map(|part| part.iter().copied());
            let before = self.got.len();
            self.got.extend(all.take(self.room));
            Ok(self.got.len() - before)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn send_all(outgoing: &mut Outgoing, socket: &mut Narrow, contents: &Contents) {
        let mut calls = 0;
        while !outgoing.is_empty() {
            outgoing.send(socket, contents).unwrap();
            calls += 1;
            assert!(calls < 20_000);
        }
    }

    #[test]
    fn parts_leave_in_order_however_narrow_the_socket() {
        let contents = Contents::plain("a@example.com", "x", 2_048);
        let id = Id { run: 1, number: 2 };
        let framing = Framing::Bdat;
        let mut head = Vec::new();
        let key = contents.write(id, 0, framing, &mut head).body;
        let body = contents.body(key, framing);
        for room in [1, 2, 3, 5, 7, 80, 81, 500, 1_000, 1_700, 100_000] {
            let mut socket = Narrow { room, got: Vec::new(), blocks: false };
            let mut outgoing = Outgoing::default();
            let mut wanted = Vec::new();
            for round in 0..2 {
                // More parts than a system call takes.
                for part in 0..12 {
                    outgoing.end().extend_from_slice(b"own ");
                    let from = part * 100;
                    outgoing.put_body(key, framing, from..from + 100);
                    wanted.extend_from_slice(b"own ");
                    wanted.extend_from_slice(&body[from..from + 100]);
                }
                outgoing.put_body(key, framing, 7..7);
                outgoing.put_body(key, framing, 7..9);
                wanted.extend_from_slice(&body[7..9]);
                outgoing.end().extend_from_slice(b"tail");
                wanted.extend_from_slice(b"tail");
                assert_eq!(outgoing.queued(), wanted.len() as u64);
                if round == 0 {
                    // The second round is put behind what is left of the first.
                    outgoing.send(&mut socket, &contents).unwrap();
                    outgoing.send(&mut socket, &contents).unwrap();
                }
            }
            send_all(&mut outgoing, &mut socket, &contents);
            assert_eq!(outgoing.handed(), wanted.len() as u64);
            assert_eq!(String::from_utf8_lossy(&socket.got), String::from_utf8_lossy(&wanted));
        }
    }

    #[test]
    fn what_was_sent_is_not_kept_for_ever() {
        let contents = Contents::plain("a@example.com", "x", 2_048);
        let mut socket = Narrow { room: 10_000, got: Vec::new(), blocks: false };
        let mut outgoing = Outgoing::default();
        for _ in 0..100 {
            outgoing.end().extend_from_slice(&[b'x'; 10_001]);
            outgoing.send(&mut socket, &contents).unwrap();
            outgoing.send(&mut socket, &contents).unwrap();
        }
        assert!(outgoing.end().len() < 2 * SENT_BYTES_MAX);
        send_all(&mut outgoing, &mut socket, &contents);
        assert_eq!(socket.got.len(), 100 * 10_001);
    }
}
