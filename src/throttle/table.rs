//! A table of counts that all shards change at once, without a lock.
//!
//! A slot is one atomic word, which holds the key's mark and its count: one compare-and-swap
//! changes a count only while it still belongs to the key. A key may lie in any slot of two buckets
//! that its hash picks. It must never have two counts, although a slot is given away as soon as its
//! count says nothing any more. So a newcomer takes a slot in two steps.
//!
//! 1. It *claims* the slot: the word has the key's mark and a number that no other claim has.
//! 2. It looks at all slots of the key again. Only if the claim is the only one, and no count is
//!    there, the claim becomes a count, by a compare-and-swap that fails if the claim was removed
//!    in between. Otherwise the claim in the lowest slot stays and whoever sees the others removes
//!    them, or all of them if there is a count.
//!
//! Were there two counts of a key, each of them had been a claim that was looked around from, so
//! that each had been made before the look that did not find it: each before the other. All
//! operations have one order ([`Ordering::SeqCst`]), so that cannot be.
//!
//! # Guarantees
//! A key has one count or none. No thread waits for another: a step that has to be done again is so
//! because another thread's was done.
//!
//! # Failures
//! If no slot of a newcomer is free, it takes that of the rate which is nearest to being free, and
//! what was known of that rate is forgotten and counted in [`forgotten`](Table::forgotten). A count
//! that somebody will take back is never forgotten: if all slots hold such, the newcomer has
//! [no room](Outcome::NoRoom), which is counted in [`turned_away`](Table::turned_away).
//!
//! # Bounds
//! The slots are made with the table and never become more.

use std::iter;
use std::sync::atomic::{AtomicU64, Ordering};

use super::rate::{Tick, ahead};

/// Slots of a bucket: a line of the cache.
const BUCKET_SLOTS: usize = 8;
/// Slots where a key may lie.
const KEY_SLOTS: usize = 2 * BUCKET_SLOTS;

/// Bits of a word that hold the count, or the number of the claim.
pub(super) const VALUE_BITS: u32 = 39;
/// See [`VALUE_BITS`].
pub(super) const VALUE_MASK: u64 = (1 << VALUE_BITS) - 1;
/// Set if the count is a rate, and so of no value once it lies in the past.
const RATE: u64 = 1 << VALUE_BITS;
/// Set if the word is a claim.
const CLAIM: u64 = 1 << (VALUE_BITS + 1);
/// The lowest bit of the key's mark, which reaches up to the highest bit.
const MARK: u64 = 1 << (VALUE_BITS + 2);
/// Whose a word is: the mark and the kind of the count.
const OWNER_MASK: u64 = !(VALUE_MASK | CLAIM);
/// A word that nobody has. No owner is zero.
const EMPTY: u64 = 0;

/// The table; see the [module](self).
#[derive(Debug)]
pub(super) struct Table {
    buckets: Box<[Bucket]>,
    claims: AtomicU64,
    forgotten: AtomicU64,
    turned_away: AtomicU64,
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct Bucket([AtomicU64; BUCKET_SLOTS]);

/// What a count is about. Two keys have the same one with a chance of 16 in 2^23, and then share a
/// count.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    owner: u64,
    buckets: [usize; 2],
}

/// What a count means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// A number of things that are there; zero says nothing.
    Number,
    /// A [rate](super::rate); one that is not ahead of the time says nothing.
    Rate,
}

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is done.
    Changed,
    /// The count does not allow it.
    Refused,
    /// There is no count, and no slot for one.
    NoRoom,
}

/// The slots of a key, as they were seen one after the other.
struct Sight {
    count: Option<(usize, u64)>,
    claims: [Option<(usize, u64)>; KEY_SLOTS],
    /// The slot that a newcomer takes, its word, and how far ahead the rate in it is.
    room: Option<(usize, u64, u64)>,
}

impl Table {
    /// An empty table of at least `slots` slots, and of two buckets.
    pub(super) fn new(slots: usize) -> Self {
        let buckets = slots.div_ceil(BUCKET_SLOTS).next_power_of_two().max(2);
        Self {
            buckets: iter::repeat_with(Bucket::default).take(buckets).collect(),
            claims: AtomicU64::new(0),
            forgotten: AtomicU64::new(0),
            turned_away: AtomicU64::new(0),
        }
    }

    /// The key of what `hash` was made from.
    pub(super) fn key(&self, hash: u64, meaning: Meaning) -> Key {
        let mask = self.buckets.len() - 1;
        let low = usize::try_from(hash & 0xf_ffff).unwrap_or(0) & mask;
        let high = usize::try_from(hash >> 20 & 0xf_ffff).unwrap_or(0) & mask;
        let other = if high == low { low ^ 1 } else { high };
        let mark = match hash & !(MARK - 1) {
            0 => MARK,
            mark => mark,
        };
        let kind = match meaning {
            Meaning::Number => 0,
            Meaning::Rate => RATE,
        };
        Key { owner: mark | kind, buckets: [low, other] }
    }

    /// Puts `change` of the key's count in its place, which begins with `initial`. If it is `None`
    /// the count stays.
    pub(super) fn change(
        &self,
        key: Key,
        now: Tick,
        initial: u64,
        change: impl Fn(u64) -> Option<u64>,
    ) -> Outcome {
        let mut verified = None;
        loop {
            let sight = self.look(key, now);
            if let Some((slot, word)) = sight.count {
                self.remove(key, &sight, None);
                let Some(value) = change(word & VALUE_MASK) else { return Outcome::Refused };
                if self.swap(key, slot, word, key.owner | value & VALUE_MASK) {
                    return Outcome::Changed;
                }
            } else if let Some((slot, claim)) = sight.claims.into_iter().flatten().next() {
                // The claim must have been there before the look that found no other.
                let is_alone = sight.claims.into_iter().flatten().nth(1).is_none();
                if !is_alone || verified != Some(claim) {
                    self.remove(key, &sight, Some(slot));
                    verified = Some(claim);
                    continue;
                }
                let value = change(initial);
                let word = value.map_or(EMPTY, |value| key.owner | value & VALUE_MASK);
                if self.swap(key, slot, claim, word) {
                    return if value.is_some() { Outcome::Changed } else { Outcome::Refused };
                }
            } else {
                let Some((slot, word, ahead)) = sight.room else {
                    self.turned_away.fetch_add(1, Ordering::Relaxed);
                    return Outcome::NoRoom;
                };
                let number = self.claims.fetch_add(1, Ordering::SeqCst) & VALUE_MASK;
                let claim = key.owner | CLAIM | number;
                if self.swap(key, slot, word, claim) {
                    verified = Some(claim);
                    if ahead > 0 {
                        self.forgotten.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
        }
    }

    /// Like [`change`](Self::change), but makes no count where there is none; `change` says what
    /// the count becomes.
    pub(super) fn change_held(&self, key: Key, change: impl Fn(u64) -> u64) {
        while let Some((slot, word)) = self.count(key) {
            let value = change(word & VALUE_MASK);
            if self.swap(key, slot, word, key.owner | value & VALUE_MASK) {
                return;
            }
        }
    }

    /// The key's count, if there is one.
    pub(super) fn value(&self, key: Key) -> Option<u64> {
        self.count(key).map(|(_, word)| word & VALUE_MASK)
    }

    /// How many rates were forgotten for others.
    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten.load(Ordering::Relaxed)
    }

    /// How many changes found no room.
    pub(super) fn turned_away(&self) -> u64 {
        self.turned_away.load(Ordering::Relaxed)
    }

    fn look(&self, key: Key, now: Tick) -> Sight {
        let mut sight = Sight { count: None, claims: [None; KEY_SLOTS], room: None };
        for slot in 0..KEY_SLOTS {
            let Some(place) = self.place(key, slot) else { continue };
            let word = place.load(Ordering::SeqCst);
            if word & OWNER_MASK != key.owner {
                let Some(ahead) = room(word, now) else { continue };
                if sight.room.is_none_or(|(_, _, best)| ahead < best) {
                    sight.room = Some((slot, word, ahead));
                }
            } else if word & CLAIM == 0 {
                sight.count = Some((slot, word));
            } else if let Some(claim) = sight.claims.get_mut(slot) {
                *claim = Some((slot, word));
            }
        }
        sight
    }

    fn count(&self, key: Key) -> Option<(usize, u64)> {
        (0..KEY_SLOTS).find_map(|slot| {
            let word = self.place(key, slot)?.load(Ordering::SeqCst);
            (word & !VALUE_MASK == key.owner).then_some((slot, word))
        })
    }

    /// Removes the claims that were seen, but for that in the slot `kept`.
    fn remove(&self, key: Key, sight: &Sight, kept: Option<usize>) {
        for (slot, claim) in sight.claims.iter().flatten() {
            if Some(*slot) != kept {
                // If it is not there any more, so much the better.
                let _ = self.swap(key, *slot, *claim, EMPTY);
            }
        }
    }

    fn swap(&self, key: Key, slot: usize, old: u64, new: u64) -> bool {
        self.place(key, slot).is_some_and(|place| {
            place.compare_exchange(old, new, Ordering::SeqCst, Ordering::SeqCst).is_ok()
        })
    }

    fn place(&self, key: Key, slot: usize) -> Option<&AtomicU64> {
        let bucket = self.buckets.get(*key.buckets.get(slot / BUCKET_SLOTS)?)?;
        bucket.0.get(slot % BUCKET_SLOTS)
    }
}

/// How much a newcomer destroys who takes the place of `word`: how far ahead its rate is, or
/// nothing if it says nothing. `None` if it must stay.
fn room(word: u64, now: Tick) -> Option<u64> {
    let value = word & VALUE_MASK;
    if word == EMPTY {
        Some(0)
    } else if word & CLAIM != 0 {
        None
    } else if word & RATE != 0 {
        Some(ahead(value, now))
    } else {
        (value == 0).then_some(0)
    }
}
