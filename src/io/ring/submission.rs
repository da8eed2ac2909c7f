//! What the kernel is asked to do, and how it is told.

use std::io;

use io_uring::types::CancelBuilder;
use io_uring::{EnterFlags, opcode, squeue};

use super::buffers::BUFFER_GROUP;
use super::operation::{Operation, Payload};
use super::socket::Receiving;
use super::{CANCELLATION, Ring};

impl<O: Copy> Ring<O> {
    pub(super) fn start_receiving(&mut self, index: usize) {
        let socket = &mut self.sockets[index];
        if socket.closing || !socket.wanted || socket.receiving != Receiving::Off {
            return;
        }
        let operation = self.operations.insert(Operation::Receive { socket: index });
        socket.receiving = Receiving::On(operation);
        socket.operations += 1;
        let entry = opcode::RecvMulti::new(socket.fd(), BUFFER_GROUP).build();
        self.submit_later(entry.user_data(operation as u64));
    }

    pub(super) fn resume_starved(&mut self) {
        if self.starved.is_empty() || !self.buffers.has_free() {
            return;
        }
        for index in std::mem::take(&mut self.starved) {
            // It may have been closed or paused since, and its place taken by another.
            if let Some(socket) = self.sockets.get_mut(index)
                && socket.receiving == Receiving::Starved
            {
                socket.receiving = Receiving::Off;
                self.start_receiving(index);
            }
        }
    }

    pub(super) fn begin_send(&mut self, index: usize, payload: Payload) {
        let socket = &mut self.sockets[index];
        assert!(!socket.sending, "a second send could overtake the first");
        socket.sending = true;
        socket.operations += 1;
        let operation = self.operations.insert(Operation::Send { socket: index, payload });
        self.submit_send(operation);
    }

    /// Submits what is left of a send. `MSG_WAITALL` lets the kernel go on after a short one.
    pub(super) fn submit_send(&mut self, key: usize) {
        let Operation::Send { socket, payload } = &self.operations[key] else {
            unreachable!("only sends come here")
        };
        let fd = self.sockets[*socket].fd();
        let flags = libc::MSG_NOSIGNAL | libc::MSG_WAITALL;
        let entry = match payload {
            Payload::Bytes { bytes, sent } => {
                let rest = &bytes[*sent..];
                let length = u32::try_from(rest.len()).unwrap_or(u32::MAX);
                opcode::Send::new(fd, rest.as_ptr(), length).flags(flags).build()
            }
            Payload::Parts(parts) => {
                opcode::SendMsg::new(fd, parts.header()).flags(flags.cast_unsigned()).build()
            }
        };
        self.submit_later(entry.user_data(key as u64));
    }

    pub(super) fn cancel(&mut self, operation: usize) {
        self.submit_later(
            opcode::AsyncCancel::new(operation as u64)
                .build()
                .flags(squeue::Flags::SKIP_SUCCESS)
                .user_data(CANCELLATION),
        );
    }

    pub(super) fn submit_later(&mut self, entry: squeue::Entry) {
        if !self.backlog.is_empty() || !self.push(&entry) {
            self.backlog.push_back(entry);
        }
    }

    pub(super) fn push(&mut self, entry: &squeue::Entry) -> bool {
        // SAFETY: what the entry points at belongs to its operation in the slab, boxed or in a
        // vector of its own, and stays there until the last completion has been seen; `Drop`
        // waits for all of them.
        unsafe { self.uring.submission().push(entry) }.is_ok()
    }

    /// Moves what found the queue full into it, submitting as often as it takes.
    pub(super) fn drain_backlog(&mut self) -> io::Result<()> {
        while let Some(entry) = self.backlog.pop_front() {
            if self.push(&entry) {
                continue;
            }
            self.backlog.push_front(entry);
            self.enter(0)?;
            if self.uring.submission().is_full() {
                // The kernel takes nothing until completions are seen. The next turn goes on.
                break;
            }
        }
        Ok(())
    }

    pub(super) fn enter(&mut self, wait: u32) -> io::Result<()> {
        let waiting = self.uring.submission().len();
        let waiting = u32::try_from(waiting).unwrap_or(u32::MAX);
        let flags = EnterFlags::GETEVENTS.bits();
        // SAFETY: no argument structure is passed, and the count is that of the queue.
        let entered =
            unsafe { self.uring.submitter().enter::<libc::sigset_t>(waiting, wait, flags, None) };
        match entered {
            Ok(_) => Ok(()),
            Err(error) => match error.raw_os_error() {
                // The queue is kept; the next turn submits it.
                Some(libc::EINTR | libc::EAGAIN | libc::EBUSY | libc::ETIME) => Ok(()),
                Some(_) | None => Err(error),
            },
        }
    }
}

impl<O> Drop for Ring<O> {
    /// Waits until the kernel has let go of all memory.
    fn drop(&mut self) {
        // What was never submitted has no completion to wait for, but the kernel may know of some
        // of it already; a cancellation reaches those.
        for entry in self.backlog.drain(..) {
            let key = usize::try_from(entry.get_user_data()).unwrap_or(usize::MAX);
            self.operations.try_remove(key);
        }
        let cancel =
            opcode::AsyncCancel2::new(CancelBuilder::any().all()).build().user_data(CANCELLATION);
        let mut cancelled = false;
        while !self.operations.is_empty() {
            // SAFETY: a cancellation points at no memory.
            cancelled = cancelled || unsafe { self.uring.submission().push(&cancel) }.is_ok();
            if self.uring.submit_and_wait(1).is_err() {
                // Nothing more is learnt of the kernel. Memory that it may still use is leaked
                // rather than freed under its hands.
                for operation in self.operations.drain() {
                    Box::leak(Box::new(operation));
                }
            }
            loop {
                let Some(entry) = self.uring.completion().next() else { break };
                self.forget(&entry);
            }
        }
    }
}
