//! What a connection is still to send: commands and the head of a message, then a body that
//! messages share, then what follows it.
//!
//! # Guarantees
//! The parts leave in this order, whole, however little the socket takes at a time.
//!
//! # Never
//! Copies the body.

use std::io::{self, IoSlice, Write};

use crate::content::{BodyKey, Contents, Framing};

/// Bytes on their way out.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    head: Vec<u8>,
    body: Option<(BodyKey, Framing)>,
    tail: Vec<u8>,
    sent: usize,
}

impl Outgoing {
    /// Where commands are written; behind the body if one waits.
    pub(super) fn end(&mut self) -> &mut Vec<u8> {
        if self.body.is_some() { &mut self.tail } else { &mut self.head }
    }

    /// A shared body comes next. Only one can wait.
    pub(super) fn put_body(&mut self, key: BodyKey, framing: Framing) {
        assert!(self.body.is_none(), "one content is sent at a time");
        self.body = Some((key, framing));
    }

    /// Whether everything is sent.
    pub(super) fn is_empty(&self) -> bool {
        self.head.is_empty() && self.body.is_none() && self.tail.is_empty()
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.head.clear();
        self.body = None;
        self.tail.clear();
        self.sent = 0;
    }

    /// Sends as much as `socket` takes; whether all is sent.
    ///
    /// # Errors
    /// The socket's, but not that it would block.
    pub(super) fn flush(
        &mut self,
        socket: &mut impl Write,
        contents: &Contents,
    ) -> io::Result<bool> {
        let body = self.body.map_or(&[][..], |(key, framing)| contents.body(key, framing));
        let total = self.head.len() + body.len() + self.tail.len();
        while self.sent < total {
            let written = if self.head.len() == total {
                socket.write(&self.head[self.sent..])
            } else {
                socket.write_vectored(&rest([&self.head, body, &self.tail], self.sent))
            };
            match written {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => self.sent += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.clear();
        Ok(true)
    }
}

/// `parts` without their first `skip` bytes.
fn rest(parts: [&[u8]; 3], mut skip: usize) -> [IoSlice<'_>; 3] {
    parts.map(|part| {
        let from = skip.min(part.len());
        skip -= from;
        IoSlice::new(&part[from..])
    })
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
            self.blocks = !self.blocks;
            if self.blocks {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let taken = bytes.len().min(self.room);
            self.got.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn parts_leave_in_order_however_narrow_the_socket() {
        let contents = Contents::plain("a@b", "", 500);
        let mut message = Vec::new();
        let written = contents.write(Id { run: 0, number: 0 }, Framing::Data, &mut message);
        let body = contents.body(written.body, Framing::Data);
        assert!(!body.is_empty());
        for room in 1..20 {
            let mut socket = Narrow { room, got: Vec::new(), blocks: false };
            let mut outgoing = Outgoing::default();
            outgoing.end().extend_from_slice(b"head ");
            outgoing.put_body(written.body, Framing::Data);
            outgoing.end().extend_from_slice(b" tail");
            let mut turns = 0;
            while !outgoing.flush(&mut socket, &contents).unwrap() {
                turns += 1;
                assert!(turns < 1_000);
            }
            assert!(outgoing.is_empty());
            outgoing.end().extend_from_slice(b" more");
            while !outgoing.flush(&mut socket, &contents).unwrap() {}
            assert_eq!(socket.got, [b"head ", body, b" tail more"].concat());
        }
    }
}
