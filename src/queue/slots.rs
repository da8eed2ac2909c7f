//! Places for things that are found again by a small key, in chunks.
//!
//! # Guarantees
//! Taking, freeing and finding a place is O(1) and moves nothing, so that a queue that grows to a
//! million messages never stops to copy itself.
//!
//! # Bounds
//! Memory is that of the most things held at once; freed places are used again, the last freed
//! first.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Index, IndexMut};

/// Places that are allocated together.
const CHUNK: usize = 256;

/// Names a place in a [`Slots<T>`].
pub(super) struct Key<T>(u32, PhantomData<fn() -> T>);

impl<T> Key<T> {
    /// Names no place.
    pub(super) const NONE: Self = Self(u32::MAX, PhantomData);

    /// The key, unless it names no place.
    pub(super) fn some(self) -> Option<Self> {
        (self != Self::NONE).then_some(self)
    }

    fn place(self) -> (usize, usize) {
        let index = self.0 as usize;
        (index / CHUNK, index % CHUNK)
    }
}

// By hand, because derived ones would ask the same of `T`.
impl<T> Clone for Key<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Key<T> {}

impl<T> PartialEq for Key<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<T> Eq for Key<T> {}

impl<T> PartialOrd for Key<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Key<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}

impl<T> fmt::Debug for Key<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[derive(Debug)]
enum Slot<T> {
    Free { next: Key<T> },
    Used(T),
}

/// The places. `used` of them hold something; the free ones form a list from `free`.
#[derive(Debug)]
pub(super) struct Slots<T> {
    chunks: Vec<Vec<Slot<T>>>,
    free: Key<T>,
    used: usize,
}

impl<T> Slots<T> {
    pub(super) const fn new() -> Self {
        Self { chunks: Vec::new(), free: Key::NONE, used: 0 }
    }

    pub(super) fn insert(&mut self, value: T) -> Key<T> {
        self.used += 1;
        if let Some(key) = self.free.some() {
            let (chunk, place) = key.place();
            let slot = &mut self.chunks[chunk][place];
            let Slot::Free { next } = *slot else { unreachable!("the free list holds free slots") };
            self.free = next;
            *slot = Slot::Used(value);
            return key;
        }
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let before = (self.chunks.len() - 1) * CHUNK;
        let Some(last) = self.chunks.last_mut() else { unreachable!("just pushed if none") };
        let Ok(index) = u32::try_from(before + last.len()) else {
            unreachable!("2^32 slots do not fit in memory")
        };
        last.push(Slot::Used(value));
        Key(index, PhantomData)
    }

    /// # Panics
    /// If nothing is there: a key outlived what it names.
    pub(super) fn remove(&mut self, key: Key<T>) -> T {
        let (chunk, place) = key.place();
        let slot =
            std::mem::replace(&mut self.chunks[chunk][place], Slot::Free { next: self.free });
        let Slot::Used(value) = slot else { unreachable!("a key outlived what it names") };
        self.free = key;
        self.used -= 1;
        value
    }

    pub(super) fn get(&self, key: Key<T>) -> Option<&T> {
        let (chunk, place) = key.place();
        match self.chunks.get(chunk)?.get(place)? {
            Slot::Used(value) => Some(value),
            Slot::Free { .. } => None,
        }
    }

    #[cfg(test)]
    pub(super) const fn len(&self) -> usize {
        self.used
    }
}

impl<T> Index<Key<T>> for Slots<T> {
    type Output = T;

    fn index(&self, key: Key<T>) -> &T {
        match self.get(key) {
            Some(value) => value,
            None => unreachable!("a key outlived what it names"),
        }
    }
}

impl<T> IndexMut<Key<T>> for Slots<T> {
    fn index_mut(&mut self, key: Key<T>) -> &mut T {
        let (chunk, place) = key.place();
        match &mut self.chunks[chunk][place] {
            Slot::Used(value) => value,
            Slot::Free { .. } => unreachable!("a key outlived what it names"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn freed_places_are_used_again() {
        let mut slots = Slots::new();
        let keys: Vec<_> = (0..CHUNK * 2 + 1).map(|n| slots.insert(n)).collect();
        assert_eq!(slots[keys[CHUNK]], CHUNK);
        assert_eq!(slots.remove(keys[3]), 3);
        assert_eq!(slots.remove(keys[CHUNK * 2]), CHUNK * 2);
        assert_eq!(slots.get(keys[3]), None);
        assert_eq!(slots.get(Key::NONE), None);
        assert_eq!(slots.insert(77), keys[CHUNK * 2]);
        assert_eq!(slots.insert(78), keys[3]);
        slots[keys[3]] += 1;
        assert_eq!(slots[keys[3]], 79);
        assert_eq!(slots.len(), CHUNK * 2 + 1);
    }
}
