//! What the kernel has done, from its entries to the shard's words.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

use io_uring::cqueue;

use crate::arena::SharedBytes;

use super::buffers::ReceivedBytes;
use super::operation::{Operation, Payload};
use super::socket::{ListenerKey, Receiving};
use super::{CANCELLATION, Ring};

/// What the kernel has done.
#[derive(Debug)]
pub enum Completion<O> {
    /// A connection came in.
    Accepted {
        /// Owner of the listener.
        owner: O,
        /// The connected socket.
        socket: OwnedFd,
    },
    /// No connection can be accepted; [`Ring::accept`] must be called again to go on.
    AcceptEnded {
        /// Owner of the listener.
        owner: O,
        /// Why, for instance `EMFILE`.
        error: io::Error,
    },
    /// A connection to a peer stands, or could not be made.
    Connected {
        /// Owner of the socket.
        owner: O,
        /// The kernel's word.
        result: io::Result<()>,
    },
    /// The peer sent something.
    Received {
        /// Owner of the socket.
        owner: O,
        /// Never empty.
        bytes: ReceivedBytes,
    },
    /// The peer will send nothing more.
    ReceiveEnded {
        /// Owner of the socket.
        owner: O,
        /// The error that ended it; `None` if the peer closed its side in good order.
        error: Option<io::Error>,
    },
    /// A send is over.
    Sent {
        /// Owner of the socket.
        owner: O,
        /// Whether all of it was taken by the kernel.
        result: io::Result<()>,
        /// The vector that [`Ring::send`] was given, emptied, for the next one.
        spare: Vec<u8>,
    },
    /// A write to a file is over; short writes are errors.
    Written {
        /// What the write was given.
        owner: O,
        /// Whether the bytes are where they shall be, and durable if that was asked for.
        result: io::Result<()>,
    },
    /// A read from a file is over.
    Read {
        /// What the read was given.
        owner: O,
        /// Exactly the bytes that were asked for; a file that ends before is an error.
        result: io::Result<SharedBytes>,
    },
    /// The time given to [`Ring::set_timer`] has come.
    TimerExpired,
}

impl<O: Copy> Ring<O> {
    pub(super) fn complete(&mut self, entry: &cqueue::Entry) -> Option<Completion<O>> {
        let Ok(key) = usize::try_from(entry.user_data()) else {
            unreachable!("user data is a key of this slab")
        };
        let (result, flags) = (check(entry.result()), entry.flags());
        match self.operations.get(key)? {
            Operation::Accept { listener } => {
                let listener = *listener;
                self.complete_accept(key, listener, result, cqueue::more(flags))
            }
            Operation::Receive { socket } => {
                let socket = *socket;
                self.complete_receive(key, socket, result, flags)
            }
            Operation::Send { .. } => self.complete_send(key, result),
            Operation::Connect { .. }
            | Operation::Write { .. }
            | Operation::Read { .. }
            | Operation::Timer { .. }
            | Operation::TimerChange { .. } => {
                let operation = self.operations.remove(key);
                self.complete_single(operation, result)
            }
        }
    }

    fn complete_single(
        &mut self,
        operation: Operation<O>,
        result: io::Result<usize>,
    ) -> Option<Completion<O>> {
        match operation {
            Operation::Connect { socket, .. } => {
                let owner = self.release(socket)?;
                Some(Completion::Connected { owner, result: result.map(drop) })
            }
            Operation::Write { owner, bytes, .. } => {
                let result = result.and_then(|written| whole(written, bytes.len()));
                Some(Completion::Written { owner, result })
            }
            Operation::Read { owner, mut image, length, .. } => {
                let result =
                    result.and_then(|read| whole(read, length)).map(|()| image.freeze(length));
                Some(Completion::Read { owner, result })
            }
            Operation::Timer { .. } => {
                self.timer = None;
                Some(Completion::TimerExpired)
            }
            // It fails when the timer has just gone off, which is told on its own.
            Operation::TimerChange { .. } => None,
            Operation::Accept { .. } | Operation::Receive { .. } | Operation::Send { .. } => {
                unreachable!("handled with its socket")
            }
        }
    }

    fn complete_accept(
        &mut self,
        key: usize,
        listener: usize,
        result: io::Result<usize>,
        more: bool,
    ) -> Option<Completion<O>> {
        let owner = self.listeners[listener].owner;
        let closing = self.listeners[listener].closing;
        if !more {
            self.operations.remove(key);
            self.listeners[listener].accepting = None;
            if closing {
                self.listeners.remove(listener);
            }
        }
        match result.map(adopt) {
            // A listener that is closing takes no connection any more; dropping the socket ends it.
            Ok(_) | Err(_) if closing => None,
            Ok(socket) => {
                if !more {
                    self.accept(&ListenerKey(listener));
                }
                Some(Completion::Accepted { owner, socket })
            }
            Err(error) => Some(Completion::AcceptEnded { owner, error }),
        }
    }

    fn complete_receive(
        &mut self,
        key: usize,
        index: usize,
        result: io::Result<usize>,
        flags: u32,
    ) -> Option<Completion<O>> {
        let bytes = match (&result, cqueue::buffer_select(flags)) {
            (Ok(length), Some(id)) => Some(self.buffers.take(id, *length)),
            (Err(_), Some(id)) => {
                drop(self.buffers.take(id, 0));
                None
            }
            (Ok(_) | Err(_), None) => None,
        };
        let owner = self.sockets[index].owner;
        let ended = !cqueue::more(flags);
        if ended {
            self.operations.remove(key);
            self.sockets[index].receiving = Receiving::Off;
            self.release(index)?;
        } else if self.sockets[index].closing {
            return None;
        }
        match result {
            Ok(length) if length > 0 => {
                if ended {
                    self.start_receiving(index);
                }
                bytes.map(|bytes| Completion::Received { owner, bytes })
            }
            Ok(_) => Some(Completion::ReceiveEnded { owner, error: None }),
            Err(error) => match error.raw_os_error() {
                Some(libc::ENOBUFS) => {
                    self.starved_count += 1;
                    self.sockets[index].receiving = Receiving::Starved;
                    self.starved.push(index);
                    None
                }
                Some(libc::ECANCELED | libc::EINTR | libc::EAGAIN) => {
                    self.start_receiving(index);
                    None
                }
                Some(_) | None => Some(Completion::ReceiveEnded { owner, error: Some(error) }),
            },
        }
    }

    fn complete_send(&mut self, key: usize, result: io::Result<usize>) -> Option<Completion<O>> {
        let Some(Operation::Send { socket, payload }) = self.operations.get_mut(key) else {
            unreachable!("only sends come here")
        };
        let socket = *socket;
        // Every send holds at least one byte, so that a count of zero cannot go on for ever.
        let over = result.as_ref().map_or(true, |&count| count == 0 || payload.advance(count));
        if !over && !self.sockets[socket].closing {
            self.submit_send(key);
            return None;
        }
        let mut spare = Vec::new();
        if let Operation::Send { payload: Payload::Bytes { bytes, .. }, .. } =
            self.operations.remove(key)
        {
            spare = bytes;
            spare.clear();
        }
        self.sockets[socket].sending = false;
        let owner = self.release(socket)?;
        let result = result.and_then(|count| whole(count.min(1), 1));
        Some(Completion::Sent { owner, result, spare })
    }

    /// Counts an operation of a socket as over. Returns its owner, or `None` if the socket is
    /// closing; the last operation then closes it.
    fn release(&mut self, index: usize) -> Option<O> {
        let socket = &mut self.sockets[index];
        socket.operations -= 1;
        if !socket.closing {
            return Some(socket.owner);
        }
        if socket.operations == 0 {
            drop(self.sockets.remove(index));
        }
        None
    }
}

impl<O> Ring<O> {
    /// Frees what a completion was about that nobody will hear of.
    pub(super) fn forget(&mut self, entry: &cqueue::Entry) {
        if entry.user_data() == CANCELLATION {
            return;
        }
        let key = usize::try_from(entry.user_data()).unwrap_or(usize::MAX);
        if let (Some(Operation::Accept { .. }), Ok(descriptor)) =
            (self.operations.get(key), check(entry.result()))
        {
            drop(adopt(descriptor));
        }
        if !cqueue::more(entry.flags()) {
            self.operations.try_remove(key);
        }
    }
}

fn check(result: i32) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result))
}

fn whole(done: usize, asked: usize) -> io::Result<()> {
    if done == asked {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("{done} of {asked} bytes moved")))
}

fn adopt(descriptor: usize) -> OwnedFd {
    let Ok(descriptor) = i32::try_from(descriptor) else {
        unreachable!("the result of an accept is a descriptor")
    };
    // SAFETY: the kernel has just opened it for this process, and nothing else knows it.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}
