//! The ring of provided buffers that the kernel takes receive buffers from
//! (`io_uring_register_buf_ring(3)`).
//!
//! # Guarantees
//! A buffer belongs either to the kernel (it lies in the ring) or to one [`ReceivedBytes`], which
//! gives it back when it is dropped. So no buffer is read while the kernel may write to it.
//!
//! # Bounds
//! `count` buffers of `buffer_bytes` each; a receive that finds none ends with `ENOBUFS`.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::cell::Cell;
use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::rc::Rc;
use std::slice;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::Submitter;
use io_uring::types::BufRingEntry;

/// The id of the one buffer group of a ring.
pub(super) const BUFFER_GROUP: u16 = 0;

const PAGE_BYTES: usize = 4_096;

/// The buffers and the ring in which the kernel finds them. Both live in one allocation each, for
/// as long as the ring or any received bytes do.
pub(super) struct BufferGroup {
    entries: NonNull<BufRingEntry>,
    buffers: NonNull<u8>,
    count: u16,
    buffer_bytes: u32,
    /// Where the next buffer is put; the kernel sees it through the shared tail.
    tail: Cell<u16>,
    /// Buffers that [`ReceivedBytes`] hold.
    held: Cell<u16>,
}

impl BufferGroup {
    /// Allocates the group and hands all buffers to the kernel through `submitter`.
    ///
    /// # Errors
    /// What the kernel says to the registration: `ENOMEM` for too small a memory lock limit,
    /// `EINVAL` before Linux 5.19.
    pub(super) fn register(
        submitter: &Submitter<'_>,
        count: u16,
        buffer_bytes: u32,
    ) -> io::Result<Rc<Self>> {
        assert!(count.is_power_of_two(), "the kernel masks the tail");
        let entries = allocate(Self::entries_layout(count)).cast::<BufRingEntry>();
        let buffers = allocate(Self::buffers_layout(count, buffer_bytes));
        let group =
            Self { entries, buffers, count, buffer_bytes, tail: Cell::new(0), held: Cell::new(0) };
        let address = entries.as_ptr() as u64;
        // SAFETY: the entries are page aligned, `count` long and zeroed. They are freed only with
        // the group, which the ring holds and drops after the kernel's ring.
        unsafe { submitter.register_buf_ring_with_flags(address, count, BUFFER_GROUP, 0) }?;
        for id in 0..count {
            group.provide(id);
        }
        Ok(Rc::new(group))
    }

    /// Whether the kernel has a buffer left to receive into.
    pub(super) const fn has_free(&self) -> bool {
        self.held.get() < self.count
    }

    /// The first `length` bytes of buffer `id`, which the kernel has just filled.
    pub(super) fn take(self: &Rc<Self>, id: u16, length: usize) -> ReceivedBytes {
        assert!(id < self.count, "the kernel named a buffer that it was not given");
        assert!(length <= self.buffer_bytes as usize, "the kernel filled more than the buffer");
        self.held.set(self.held.get() + 1);
        ReceivedBytes { group: Rc::clone(self), id, start: 0, length }
    }

    /// Puts buffer `id` behind the tail and moves the tail.
    fn provide(&self, id: u16) {
        let tail = self.tail.get();
        let index = usize::from(tail & (self.count - 1));
        // SAFETY: the index is below `count`, so that the entry lies in the allocation.
        let entry = unsafe { self.entries.as_ptr().add(index) };
        let address = self.buffer(id) as u64;
        // SAFETY: the kernel reads entries only between head and tail; this one lies behind the
        // tail. Only this thread writes entries. The field behind `bid` is not touched, since in
        // the first entry it is the tail.
        let entry = unsafe { &mut *entry };
        entry.set_addr(address);
        entry.set_len(self.buffer_bytes);
        entry.set_bid(id);
        let tail = tail.wrapping_add(1);
        self.tail.set(tail);
        // SAFETY: the address is that of the first entry of a registered ring.
        let shared = unsafe { BufRingEntry::tail(self.entries.as_ptr()) };
        // SAFETY: the tail is a 16-bit field, aligned, that the kernel only loads.
        let shared = unsafe { &*shared.cast::<AtomicU16>() };
        // Release: the entry is seen whole by whoever sees the tail.
        shared.store(tail, Ordering::Release);
    }

    fn buffer(&self, id: u16) -> *mut u8 {
        let offset = usize::from(id) * self.buffer_bytes as usize;
        // SAFETY: `id` is below `count`, so that the offset lies in the allocation.
        unsafe { self.buffers.as_ptr().add(offset) }
    }

    fn entries_layout(count: u16) -> Layout {
        layout(usize::from(count) * size_of::<BufRingEntry>())
    }

    fn buffers_layout(count: u16, buffer_bytes: u32) -> Layout {
        layout(usize::from(count) * buffer_bytes as usize)
    }
}

impl Drop for BufferGroup {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout in `register`; the kernel's ring is gone, since it
        // holds this group and is dropped first.
        unsafe { dealloc(self.entries.as_ptr().cast(), Self::entries_layout(self.count)) };
        // SAFETY: as above, and no `ReceivedBytes` is left, since each holds the group.
        unsafe {
            dealloc(self.buffers.as_ptr(), Self::buffers_layout(self.count, self.buffer_bytes));
        }
    }
}

impl fmt::Debug for BufferGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufferGroup")
            .field("count", &self.count)
            .field("held", &self.held.get())
            .finish_non_exhaustive()
    }
}

fn layout(bytes: usize) -> Layout {
    match Layout::from_size_align(bytes.max(1), PAGE_BYTES) {
        Ok(layout) => layout,
        Err(_) => unreachable!("the alignment is a power of two and the counts are 16 bit"),
    }
}

fn allocate(layout: Layout) -> NonNull<u8> {
    // SAFETY: `layout` never has a size of zero.
    let start = unsafe { alloc_zeroed(layout) };
    NonNull::new(start).unwrap_or_else(|| handle_alloc_error(layout))
}

/// Bytes from a peer, read in place in the buffer that the kernel received them into, and changed
/// there by whoever decrypts them. Dropping them gives the buffer back to the kernel.
pub struct ReceivedBytes {
    group: Rc<BufferGroup>,
    id: u16,
    start: usize,
    length: usize,
}

impl ReceivedBytes {
    /// Forgets the first `count` bytes.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn advance(&mut self, count: usize) {
        assert!(count <= self.length, "advanced past what was received");
        self.start += count;
        self.length -= count;
    }
}

impl Deref for ReceivedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `take` checked that `start + length` is at most the buffer's size, and `advance`
        // keeps the sum.
        let start = unsafe { self.group.buffer(self.id).add(self.start) };
        // SAFETY: the buffer is this object's alone until it is dropped, it is initialised
        // (zeroed, then written by the kernel), and the group keeps it allocated.
        unsafe { slice::from_raw_parts(start, self.length) }
    }
}

impl DerefMut for ReceivedBytes {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`.
        let start = unsafe { self.group.buffer(self.id).add(self.start) };
        // SAFETY: as in `deref`; and `&mut self` is the only way to these bytes: nothing else
        // names a buffer that the kernel does not have.
        unsafe { slice::from_raw_parts_mut(start, self.length) }
    }
}

impl Drop for ReceivedBytes {
    fn drop(&mut self) {
        self.group.held.set(self.group.held.get() - 1);
        self.group.provide(self.id);
    }
}

impl fmt::Debug for ReceivedBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceivedBytes").field("length", &self.length).finish_non_exhaustive()
    }
}
