//! Operations that the kernel is working on, with the memory that it must find unchanged until it
//! has answered.

use std::fs::File;
use std::rc::Rc;

use io_uring::types::Timespec;
use socket2::SockAddr;

use crate::arena::{Image, SharedBytes};
use crate::limits::SEND_PARTS_MAX;

/// One operation between its submission and its last completion.
#[derive(Debug)]
#[expect(dead_code, reason = "some memory is only held for the kernel and never looked at again")]
pub(super) enum Operation<O> {
    Accept { listener: usize },
    Receive { socket: usize },
    Connect { socket: usize, address: Box<SockAddr> },
    Send { socket: usize, payload: Payload },
    Write { owner: O, file: Rc<File>, bytes: SharedBytes },
    Read { owner: O, file: Rc<File>, image: Image, length: usize },
    Timer { at: Box<Timespec> },
    TimerChange { at: Box<Timespec> },
}

/// What one send operation puts on the wire.
#[derive(Debug)]
pub(super) enum Payload {
    Bytes { bytes: Vec<u8>, sent: usize },
    Parts(Box<PartsInFlight>),
}

impl Payload {
    /// Notes that `count` more bytes went out; returns whether all have.
    pub(super) fn advance(&mut self, count: usize) -> bool {
        match self {
            Self::Bytes { bytes, sent } => {
                *sent += count;
                assert!(*sent <= bytes.len(), "the kernel sent more than it was given");
                *sent == bytes.len()
            }
            Self::Parts(parts) => parts.advance(count),
        }
    }
}

/// A piece of what is sent in one operation.
#[derive(Debug)]
pub enum SendPart {
    /// Bytes of a message, sent from where they lie.
    Shared(SharedBytes),
    /// Bytes made for this operation.
    Owned(Vec<u8>),
    /// Bytes of the program itself.
    Static(&'static [u8]),
}

impl SendPart {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Shared(bytes) => bytes,
            Self::Owned(bytes) => bytes,
            Self::Static(bytes) => bytes,
        }
    }
}

/// The parts of a vectored send and the headers through which the kernel finds them. The headers
/// point into the parts and into each other, so the whole is boxed and never moves.
pub(super) struct PartsInFlight {
    parts: Vec<SendPart>,
    vectors: Vec<libc::iovec>,
    header: libc::msghdr,
    sent: usize,
    length: usize,
}

impl PartsInFlight {
    /// # Panics
    /// If there are no parts or more than [`SEND_PARTS_MAX`].
    pub(super) fn new(parts: Vec<SendPart>) -> Box<Self> {
        assert!(!parts.is_empty(), "a send without bytes has no completion to wait for");
        assert!(parts.len() <= SEND_PARTS_MAX, "more parts than one send takes");
        let length = parts.iter().map(|part| part.bytes().len()).sum();
        // SAFETY: all bytes zero is a valid `msghdr`: null pointers with zero lengths.
        let header = unsafe { std::mem::zeroed() };
        let vectors = Vec::with_capacity(parts.len());
        let mut in_flight = Box::new(Self { parts, vectors, header, sent: 0, length });
        in_flight.point();
        in_flight
    }

    /// The header for the kernel: valid until `self` is changed or dropped.
    pub(super) const fn header(&self) -> *const libc::msghdr {
        &raw const self.header
    }

    /// Notes that `count` more bytes went out; returns whether all have.
    pub(super) fn advance(&mut self, count: usize) -> bool {
        self.sent += count;
        assert!(self.sent <= self.length, "the kernel sent more than it was given");
        if self.sent < self.length {
            self.point();
        }
        self.sent == self.length
    }

    /// Points the vectors at what is left to send.
    fn point(&mut self) {
        self.vectors.clear();
        let mut skip = self.sent;
        for part in &self.parts {
            let bytes = part.bytes();
            let skipped = skip.min(bytes.len());
            skip -= skipped;
            let rest = &bytes[skipped..];
            if !rest.is_empty() {
                // The kernel only reads what a send's vectors point at.
                let base = rest.as_ptr().cast_mut().cast();
                self.vectors.push(libc::iovec { iov_base: base, iov_len: rest.len() });
            }
        }
        self.header.msg_iov = self.vectors.as_mut_ptr();
        self.header.msg_iovlen = self.vectors.len();
    }
}

impl std::fmt::Debug for PartsInFlight {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PartsInFlight")
            .field("parts", &self.parts.len())
            .field("sent", &self.sent)
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}
