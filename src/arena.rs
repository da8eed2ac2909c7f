//! Memory that is handed out in runs and given back as a whole: the image of a spool segment, and
//! the arena of a mail transaction.
//!
//! # Guarantees
//! Bytes that were frozen in an [`Image`] never change again and never move, so the kernel may
//! read them for a disk write and a socket send at once while the image goes on filling up behind
//! them. An [`ArenaBytes`] handle outlives the call that made it but not the transaction.
//!
//! # Bounds
//! An image never grows. A [`TransactionArena`] counts what it holds and refuses what would pass
//! its bound.

#![allow(unsafe_code)]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::fmt;
use std::ops::Deref;
use std::ptr::NonNull;
use std::rc::Rc;
use std::slice;

use bumpalo::Bump;

use crate::limits::BLOCK_BYTES;

/// The allocation behind an image, freed with its last holder.
struct Memory {
    start: NonNull<u8>,
    capacity: usize,
}

impl Memory {
    fn layout(capacity: usize) -> Layout {
        match Layout::from_size_align(capacity, BLOCK_BYTES) {
            Ok(layout) => layout,
            Err(_) => unreachable!("the alignment is a power of two and capacities are small"),
        }
    }

    /// The address of the byte at `offset`.
    ///
    /// # Panics
    /// If `offset` lies past the end.
    fn at(&self, offset: usize) -> *mut u8 {
        assert!(offset <= self.capacity, "an offset past the end of an image");
        // SAFETY: the offset stays within the allocation or one byte behind it, as just asserted.
        unsafe { self.start.as_ptr().add(offset) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: `start` came from `alloc_zeroed` with this very layout, and the last `Rc` to it
        // is going away, so that nothing points into it any more.
        unsafe { dealloc(self.start.as_ptr(), Self::layout(self.capacity)) }
    }
}

/// Append-only memory, aligned to [`BLOCK_BYTES`]: `0 <= frozen <= capacity`.
///
/// ```text
/// 0                frozen                     capacity
/// |  never changes  |  free: only the image's  |
/// |  again, shared  |  one owner writes here   |
/// ```
pub struct Image {
    memory: Rc<Memory>,
    frozen: usize,
}

impl Image {
    /// An image of `capacity` zero bytes.
    ///
    /// # Panics
    /// If `capacity` is zero or not a multiple of [`BLOCK_BYTES`].
    pub fn new(capacity: usize) -> Self {
        assert!(capacity > 0, "an image holds at least one block");
        assert!(capacity.is_multiple_of(BLOCK_BYTES), "an image is a whole number of blocks");
        let layout = Memory::layout(capacity);
        // SAFETY: the layout's size was just checked to be greater than zero.
        let Some(start) = NonNull::new(unsafe { alloc_zeroed(layout) }) else {
            handle_alloc_error(layout)
        };
        Self { memory: Rc::new(Memory { start, capacity }), frozen: 0 }
    }

    /// Number of bytes that can be frozen in all.
    pub fn capacity(&self) -> usize {
        self.memory.capacity
    }

    /// Number of bytes that no longer change.
    pub const fn frozen(&self) -> usize {
        self.frozen
    }

    /// The bytes behind the frozen ones, to be written. They keep what was written until they are
    /// frozen.
    pub fn free(&mut self) -> &mut [u8] {
        let length = self.memory.capacity - self.frozen;
        // SAFETY: `frozen..capacity` lies in the allocation, which is initialised (zeroed). Shared
        // slices reach only below `frozen`, and `&mut self` is the only way to this part.
        unsafe { slice::from_raw_parts_mut(self.memory.at(self.frozen), length) }
    }

    /// Freezes the first `length` free bytes and returns them.
    ///
    /// # Panics
    /// If fewer are free.
    pub fn freeze(&mut self, length: usize) -> SharedBytes {
        assert!(length <= self.memory.capacity - self.frozen, "froze more than is free");
        let start = self.frozen;
        self.frozen += length;
        SharedBytes { memory: Rc::clone(&self.memory), start, length }
    }

    /// `length` frozen bytes from `start`.
    ///
    /// # Panics
    /// If any of them is not frozen.
    pub fn share(&self, start: usize, length: usize) -> SharedBytes {
        assert!(start <= self.frozen, "shared bytes that still change");
        assert!(length <= self.frozen - start, "shared bytes that still change");
        SharedBytes { memory: Rc::clone(&self.memory), start, length }
    }
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Image")
            .field("frozen", &self.frozen)
            .field("capacity", &self.memory.capacity)
            .finish()
    }
}

/// A run of frozen bytes. Cloning it copies no byte; the memory lives as long as any clone.
#[derive(Clone)]
pub struct SharedBytes {
    memory: Rc<Memory>,
    start: usize,
    length: usize,
}

impl SharedBytes {
    /// The bytes `from..from + length` of these.
    ///
    /// # Panics
    /// If they reach past the end.
    pub fn slice(&self, from: usize, length: usize) -> Self {
        assert!(from <= self.length, "a slice starts past the end");
        assert!(length <= self.length - from, "a slice reaches past the end");
        Self { memory: Rc::clone(&self.memory), start: self.start + from, length }
    }
}

impl From<&[u8]> for SharedBytes {
    /// Copies `bytes` into an allocation of their own.
    fn from(bytes: &[u8]) -> Self {
        let mut image = Image::new(bytes.len().next_multiple_of(BLOCK_BYTES).max(BLOCK_BYTES));
        image.free()[..bytes.len()].copy_from_slice(bytes);
        image.freeze(bytes.len())
    }
}

impl Deref for SharedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `start..start + length` was frozen when this was made, which every constructor
        // asserts; frozen bytes are initialised, never written again, and live as long as
        // `memory`.
        unsafe { slice::from_raw_parts(self.memory.at(self.start), self.length) }
    }
}

impl fmt::Debug for SharedBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedBytes").field("length", &self.length).finish()
    }
}

/// The bump arena of one mail transaction: what outlives the receive buffer (the envelope) lies
/// here and is given back in one step when the transaction ends.
#[derive(Debug, Default)]
pub struct TransactionArena {
    bump: Bump,
    used_bytes: usize,
    transaction: u32,
}

/// Bytes in a [`TransactionArena`], named without a borrow.
#[derive(Clone, Copy, Debug)]
pub struct ArenaBytes {
    start: NonNull<u8>,
    length: usize,
    transaction: u32,
}

impl TransactionArena {
    /// An arena that holds nothing and has allocated nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Copies `bytes` in; `None` if the arena would then hold more than `bound_bytes`.
    pub fn store(&mut self, bytes: &[u8], bound_bytes: usize) -> Option<ArenaBytes> {
        self.hold(bytes.len(), bound_bytes, |bump| bump.alloc_slice_copy(bytes))
    }

    /// Copies `first` and `second` in, one behind the other; `None` as for [`store`](Self::store).
    pub fn store_joined(
        &mut self,
        first: &[u8],
        second: &[u8],
        bound_bytes: usize,
    ) -> Option<ArenaBytes> {
        let length = first.len().checked_add(second.len())?;
        self.hold(length, bound_bytes, |bump| {
            let stored = bump.alloc_slice_fill_copy(length, 0);
            let (front, back) = stored.split_at_mut(first.len());
            front.copy_from_slice(first);
            back.copy_from_slice(second);
            stored
        })
    }

    fn hold(
        &mut self,
        length: usize,
        bound_bytes: usize,
        copy: impl FnOnce(&Bump) -> &mut [u8],
    ) -> Option<ArenaBytes> {
        let used_bytes = self.used_bytes.checked_add(length)?;
        if used_bytes > bound_bytes {
            return None;
        }
        self.used_bytes = used_bytes;
        let stored = copy(&self.bump);
        let start = NonNull::from(&mut *stored).cast();
        Some(ArenaBytes { start, length: stored.len(), transaction: self.transaction })
    }

    /// The bytes that `handle` names.
    ///
    /// # Panics
    /// If they were stored before the last [`reset`](Self::reset).
    pub fn get(&self, handle: ArenaBytes) -> &[u8] {
        assert_eq!(handle.transaction, self.transaction, "a handle outlived its transaction");
        // SAFETY: only `hold` makes a handle, of bytes that stay in place, and are lent to nobody
        // mutably, until `reset` changes `transaction`, which the assertion above rules out. The
        // returned borrow holds `self`, so that no reset can happen while it lives.
        unsafe { slice::from_raw_parts(handle.start.as_ptr(), handle.length) }
    }

    /// Gives everything back and keeps the largest chunk for the next transaction.
    pub fn reset(&mut self) {
        self.bump.reset();
        self.used_bytes = 0;
        self.transaction = self.transaction.wrapping_add(1);
    }

    /// Bytes held.
    pub const fn used_bytes(&self) -> usize {
        self.used_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frozen_bytes_stay_while_the_image_fills_up_behind_them() {
        let mut image = Image::new(BLOCK_BYTES);
        image.free()[..5].copy_from_slice(b"first");
        let first = image.freeze(5);
        image.free()[..6].copy_from_slice(b"second");
        let second = image.freeze(6);
        let both = image.share(0, 11);
        drop(image);
        assert_eq!(&*first, b"first");
        assert_eq!(&*second, b"second");
        assert_eq!(&*both.slice(3, 5), b"stsec");
    }

    #[test]
    #[should_panic(expected = "still change")]
    fn bytes_that_still_change_are_not_shared() {
        let mut image = Image::new(BLOCK_BYTES);
        image.freeze(4);
        image.share(2, 3);
    }

    #[test]
    fn an_image_is_aligned_for_direct_writes() {
        let mut image = Image::new(3 * BLOCK_BYTES);
        assert_eq!(image.free().as_ptr().align_offset(BLOCK_BYTES), 0);
    }

    #[test]
    fn a_transaction_keeps_its_bytes_and_its_bound() {
        let mut arena = TransactionArena::new();
        let handles: Vec<_> = (0..100u32)
            .map(|n| arena.store(format!("recipient-{n}@example.com").as_bytes(), 4_000))
            .map(|handle| handle.expect("fits"))
            .collect();
        assert_eq!(arena.get(handles[0]), b"recipient-0@example.com");
        assert_eq!(arena.get(handles[99]), b"recipient-99@example.com");
        let joined = arena.store_joined(b"postmaster@", b"example.com", 4_000).expect("fits");
        assert_eq!(arena.get(joined), b"postmaster@example.com");
        assert!(arena.store(&[0; 4_000], 4_000).is_none());
        arena.reset();
        assert_eq!(arena.used_bytes(), 0);
        assert!(arena.store(&[0; 4_000], 4_000).is_some());
    }

    #[test]
    #[should_panic(expected = "outlived its transaction")]
    fn a_handle_ends_with_its_transaction() {
        let mut arena = TransactionArena::new();
        let handle = arena.store(b"x", 10).expect("fits");
        arena.reset();
        arena.get(handle);
    }
}
