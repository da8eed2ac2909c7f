//! One io_uring ring: all sockets and all spool writes of a shard.
//!
//! # Guarantees
//! - One `io_uring_enter` a turn: what is asked for between two turns is submitted together.
//! - Memory that the kernel reads or writes belongs to the operation until its last completion,
//!   whatever becomes of the connection in the meantime.
//! - After [`Ring::close`] no completion of that socket is handed out any more. Its descriptor is
//!   closed when the kernel has let go of the last operation, so that no number is reused under it.
//! - A send is reported once, when all of it went out or it failed: short sends are continued here.
//! - A multishot receive that the kernel ended, for want of buffers or for reasons of its own, goes
//!   on by itself.
//!
//! # Never
//! It knows nothing of what the bytes mean, and it never blocks.
//!
//! # Failures
//! Setting up fails with [`RingError`], which says what to do. Later failures are results of single
//! operations.
//!
//! # Bounds
//! [`RING_ENTRIES`] submissions a batch, [`RECEIVE_BUFFER_COUNT`] receive buffers, one send in
//! flight a socket, [`SEND_PARTS_MAX`](crate::limits::SEND_PARTS_MAX) parts a send.
//!
//! Source: `io_uring(7)`, `io_uring_enter(2)`, `io_uring_register(2)`,
//! `io_uring_prep_recv_multishot(3)`.

#![allow(unsafe_code)]

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;
use std::sync::atomic::{Ordering, fence};

use io_uring::types::{CancelBuilder, Fd, TimeoutFlags, Timespec};
use io_uring::{IoUring, opcode, squeue};
use slab::Slab;
use socket2::{SockAddr, SockRef};

use crate::arena::{Image, SharedBytes};
use crate::clock::Now;
use crate::limits::{
    BLOCK_BYTES, RECEIVE_BUFFER_BYTES, RECEIVE_BUFFER_COUNT, RING_COMPLETIONS, RING_ENTRIES,
};

mod buffers;
mod completion;
mod operation;
mod socket;
mod submission;
mod support;
mod wakeup;

#[cfg(test)]
mod tests;

pub use buffers::ReceivedBytes;
pub use completion::Completion;
pub use operation::SendPart;
pub use socket::{ListenerKey, SocketKey};
pub use support::missing_operations;
pub use wakeup::{Sleep, Waker};

use buffers::BufferGroup;
use operation::{Operation, PartsInFlight, Payload};
use socket::{Listener, Receiving, Socket};

/// User data of cancellations, whose completions say nothing of interest.
const CANCELLATION: u64 = u64::MAX;

/// Why a ring could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum RingError {
    /// The kernel refused to make the ring.
    #[error("cannot create an io_uring ring: {0}")]
    Setup(#[source] io::Error),
    /// The kernel refused the receive buffers or the eventfd.
    #[error("cannot register receive buffers with the io_uring ring: {0}")]
    Register(#[source] io::Error),
}

/// A shard's ring. `O` names the owner of each operation and is handed back with its completions.
pub struct Ring<O> {
    // The kernel's ring goes first when this is dropped: only then may its memory be freed.
    uring: IoUring,
    buffers: Rc<BufferGroup>,
    operations: Slab<Operation<O>>,
    sockets: Slab<Socket<O>>,
    listeners: Slab<Listener<O>>,
    /// Entries that found the submission queue full.
    backlog: VecDeque<squeue::Entry>,
    /// Sockets whose receive waits for a free buffer.
    starved: Vec<usize>,
    starved_count: u64,
    timer: Option<(usize, Now)>,
}

impl<O> std::fmt::Debug for Ring<O> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring")
            .field("sockets", &self.sockets.len())
            .field("operations", &self.operations.len())
            .finish_non_exhaustive()
    }
}

impl<O: Copy> Ring<O> {
    /// A ring for the calling thread, which alone may use it. `waker` is written when a completion
    /// arrives while nobody looks.
    ///
    /// # Errors
    /// What the kernel refuses; the host check names the cure.
    pub fn new(waker: &Waker) -> Result<Self, RingError> {
        let uring = IoUring::builder()
            .setup_single_issuer()
            .setup_coop_taskrun()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_cqsize(RING_COMPLETIONS)
            .build(RING_ENTRIES)
            .map_err(RingError::Setup)?;
        let submitter = uring.submitter();
        let buffers = BufferGroup::register(&submitter, RECEIVE_BUFFER_COUNT, RECEIVE_BUFFER_BYTES)
            .map_err(RingError::Register)?;
        submitter.register_eventfd(waker.event().as_raw_fd()).map_err(RingError::Register)?;
        Ok(Self {
            uring,
            buffers,
            operations: Slab::new(),
            sockets: Slab::new(),
            listeners: Slab::new(),
            backlog: VecDeque::new(),
            starved: Vec::new(),
            starved_count: 0,
            timer: None,
        })
    }

    // Commands.

    /// Takes a listening socket; connections are accepted from the next turn on.
    pub fn listen(&mut self, descriptor: OwnedFd, owner: O) -> ListenerKey {
        let key =
            self.listeners.insert(Listener { descriptor, owner, accepting: None, closing: false });
        let key = ListenerKey(key);
        self.accept(&key);
        key
    }

    /// Accepts again after [`Completion::AcceptEnded`].
    pub fn accept(&mut self, key: &ListenerKey) {
        if self.listeners[key.0].accepting.is_some() {
            return;
        }
        let operation = self.operations.insert(Operation::Accept { listener: key.0 });
        let listener = &mut self.listeners[key.0];
        listener.accepting = Some(operation);
        let entry = opcode::AcceptMulti::new(Fd(listener.descriptor.as_raw_fd()))
            .flags(libc::SOCK_CLOEXEC)
            .build();
        self.submit_later(entry.user_data(operation as u64));
    }

    /// Stops accepting. Connections that the kernel has accepted already are closed.
    pub fn close_listener(&mut self, key: ListenerKey) {
        let listener = &mut self.listeners[key.0];
        listener.closing = true;
        match listener.accepting {
            Some(operation) => self.cancel(operation),
            None => drop(self.listeners.remove(key.0)),
        }
    }

    /// Takes a socket. Nothing is received before [`receive`](Self::receive).
    pub fn add(&mut self, descriptor: OwnedFd, owner: O) -> SocketKey {
        SocketKey(self.sockets.insert(Socket {
            descriptor,
            owner,
            receiving: Receiving::Off,
            wanted: false,
            sending: false,
            closing: false,
            operations: 0,
        }))
    }

    /// Makes another the owner of a socket: what the kernel says of it from now on is for that
    /// one.
    pub fn hand_over(&mut self, key: &SocketKey, owner: O) {
        self.sockets[key.0].owner = owner;
    }

    /// Connects a socket; [`Completion::Connected`] tells the result.
    pub fn connect(&mut self, key: &SocketKey, address: SocketAddr) {
        let address = Box::new(SockAddr::from(address));
        // The address types of libc and of the socket crate describe the same bytes.
        let (start, length) = (address.as_ptr().cast::<libc::sockaddr>(), address.len());
        let operation = self.operations.insert(Operation::Connect { socket: key.0, address });
        let socket = &mut self.sockets[key.0];
        socket.operations += 1;
        let entry = opcode::Connect::new(socket.fd(), start, length).build();
        self.submit_later(entry.user_data(operation as u64));
    }

    /// Receives from the socket until the peer ends, [`pause`](Self::pause) or
    /// [`close`](Self::close).
    pub fn receive(&mut self, key: &SocketKey) {
        self.sockets[key.0].wanted = true;
        self.start_receiving(key.0);
    }

    /// Lets the socket's receive come to rest. What the kernel has received already is still handed
    /// out.
    pub fn pause(&mut self, key: &SocketKey) {
        let socket = &mut self.sockets[key.0];
        socket.wanted = false;
        match socket.receiving {
            Receiving::On(operation) => self.cancel(operation),
            Receiving::Starved => socket.receiving = Receiving::Off,
            Receiving::Off => {}
        }
    }

    /// Sends `bytes`.
    ///
    /// # Panics
    /// If they are empty, or a send on this socket is not over.
    pub fn send(&mut self, key: &SocketKey, bytes: Vec<u8>) {
        assert!(!bytes.is_empty(), "a send without bytes has no completion to wait for");
        self.begin_send(key.0, Payload::Bytes { bytes, sent: 0 });
    }

    /// Sends `parts` one behind the other without copying them.
    ///
    /// # Panics
    /// If there are none, more than [`SEND_PARTS_MAX`](crate::limits::SEND_PARTS_MAX), or a send on
    /// this socket is not over.
    pub fn send_parts(&mut self, key: &SocketKey, parts: Vec<SendPart>) {
        self.begin_send(key.0, Payload::Parts(PartsInFlight::new(parts)));
    }

    /// Tells the peer that nothing more will be sent. What was sent before still arrives.
    pub fn finish_sending(&self, key: &SocketKey) {
        // It fails when the peer is gone, which the receive side tells.
        let _ = SockRef::from(&self.sockets[key.0].descriptor).shutdown(Shutdown::Write);
    }

    /// Ends a socket. Operations in flight are cancelled; their completions are not handed out.
    pub fn close(&mut self, key: SocketKey) {
        let socket = &mut self.sockets[key.0];
        socket.closing = true;
        socket.wanted = false;
        if socket.operations == 0 {
            drop(self.sockets.remove(key.0));
            return;
        }
        let fd = socket.fd();
        self.submit_later(
            opcode::AsyncCancel2::new(CancelBuilder::fd(fd).all())
                .build()
                .flags(squeue::Flags::SKIP_SUCCESS)
                .user_data(CANCELLATION),
        );
    }

    /// Writes `bytes` at `offset` of `file`; with `durable` the completion means that they are on
    /// stable storage (`RWF_DSYNC`, `pwritev2(2)`).
    ///
    /// # Panics
    /// If there are more than 4 GiB.
    pub fn write(
        &mut self,
        file: &Rc<File>,
        offset: u64,
        bytes: SharedBytes,
        durable: bool,
        owner: O,
    ) {
        let Ok(length) = u32::try_from(bytes.len()) else {
            unreachable!("a commit group is far below 4 GiB")
        };
        let entry = opcode::Write::new(Fd(file.as_raw_fd()), bytes.as_ptr(), length)
            .offset(offset)
            .rw_flags(if durable { libc::RWF_DSYNC } else { 0 })
            .build();
        let file = Rc::clone(file);
        let operation = self.operations.insert(Operation::Write { owner, file, bytes });
        self.submit_later(entry.user_data(operation as u64));
    }

    /// Reads `length` bytes at `offset` of `file`. Both must be multiples of [`BLOCK_BYTES`] where
    /// the file is open for direct access.
    pub fn read(&mut self, file: &Rc<File>, offset: u64, length: usize, owner: O) {
        let mut image = Image::new(length.next_multiple_of(BLOCK_BYTES).max(BLOCK_BYTES));
        let Ok(length_bytes) = u32::try_from(length) else {
            unreachable!("an extent is shorter than 4 GiB")
        };
        let start = image.free().as_mut_ptr();
        let entry =
            opcode::Read::new(Fd(file.as_raw_fd()), start, length_bytes).offset(offset).build();
        let file = Rc::clone(file);
        let operation = self.operations.insert(Operation::Read { owner, file, image, length });
        self.submit_later(entry.user_data(operation as u64));
    }

    /// Asks for [`Completion::TimerExpired`] at `deadline` or, if an earlier time is set already,
    /// then. `Now` counts microseconds of `CLOCK_MONOTONIC`.
    pub fn set_timer(&mut self, deadline: Now) {
        let at = Box::new(timespec(deadline));
        let address = &raw const *at;
        match self.timer {
            Some((_, earlier)) if earlier <= deadline => {}
            Some((timer, _)) => {
                self.timer = Some((timer, deadline));
                let operation = self.operations.insert(Operation::TimerChange { at });
                let entry = opcode::TimeoutUpdate::new(timer as u64, address)
                    .flags(TimeoutFlags::ABS)
                    .build();
                self.submit_later(entry.user_data(operation as u64));
            }
            None => {
                let operation = self.operations.insert(Operation::Timer { at });
                self.timer = Some((operation, deadline));
                let entry = opcode::Timeout::new(address).flags(TimeoutFlags::ABS).build();
                self.submit_later(entry.user_data(operation as u64));
            }
        }
    }

    // A turn.

    /// Submits what was asked for and lets the kernel deliver what it has done, without waiting.
    ///
    /// # Errors
    /// What the kernel says to `io_uring_enter` beyond "try again".
    pub fn turn(&mut self) -> io::Result<()> {
        self.resume_starved();
        self.drain_backlog()?;
        self.enter(0)
    }

    /// The next completion, in the order of the kernel; `None` until the next turn.
    pub fn next_completion(&mut self) -> Option<Completion<O>> {
        loop {
            let entry = self.uring.completion().next()?;
            if entry.user_data() == CANCELLATION {
                continue;
            }
            if let Some(completion) = self.complete(&entry) {
                return Some(completion);
            }
        }
    }

    /// Whether the shard may fall asleep: nothing waits to be submitted or handed out. If so, the
    /// next thing that the kernel has to say wakes it; [`awake`](Self::awake) ends that.
    pub fn may_sleep(&mut self) -> bool {
        // The order matters: what the kernel queues before the eventfd is on sets the task flag,
        // what it queues after writes the eventfd.
        self.uring.completion().enable_eventfd();
        fence(Ordering::SeqCst);
        let submission = self.uring.submission();
        let quiet = submission.is_empty() && !submission.taskrun() && !submission.cq_overflow();
        drop(submission);
        quiet
            && self.backlog.is_empty()
            && (self.starved.is_empty() || !self.buffers.has_free())
            && self.uring.completion().is_empty()
    }

    /// The shard looks at the ring by itself again and need not be woken.
    pub fn awake(&mut self) {
        self.uring.completion().disable_eventfd();
    }

    // Facts.

    /// Times that a receive found no free buffer.
    pub const fn starved_count(&self) -> u64 {
        self.starved_count
    }

    /// Operations that the kernel is working on.
    pub fn operations_in_flight(&self) -> usize {
        self.operations.len()
    }

    /// The descriptor of a socket, for socket options and addresses.
    pub fn socket(&self, key: &SocketKey) -> SockRef<'_> {
        SockRef::from(&self.sockets[key.0].descriptor)
    }
}

fn timespec(at: Now) -> Timespec {
    let us = at.as_us();
    let nanoseconds = u32::try_from(us % 1_000_000).unwrap_or(0) * 1_000;
    Timespec::new().sec(us / 1_000_000).nsec(nanoseconds)
}
