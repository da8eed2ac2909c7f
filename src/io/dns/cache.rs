//! Answers of the DNS until their time is up.
//!
//! # Guarantees
//! An answer is never given out at or after its end. When the cache is full, the answer that was
//! not asked for the longest makes room, so that a flood of rare domains does not drive out the
//! frequent ones.
//!
//! # Bounds
//! Never more entries than the maximum; an entry is bounded by the codec. Every operation is
//! O(log n).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use super::codec::RecordKind;
use crate::clock::Now;
use crate::route::mx::MxRecord;

/// What is known of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Addresses; at least one.
    Addresses(Rc<[IpAddr]>),
    /// The name is an alias of this one.
    Alias(Rc<str>),
    /// No answer could be had; why.
    Failed(Rc<str>),
    /// Mail exchangers; at least one.
    Mx(Rc<[MxRecord]>),
    /// The name has no such record.
    NoRecords,
    /// The name does not exist.
    NoSuchName,
}

#[derive(Debug)]
struct Entry {
    answer: Answer,
    end: Now,
    /// When it was asked for last, as a count of such events.
    used: u64,
}

/// See the [module](self).
#[derive(Debug)]
pub struct Cache {
    entries: BTreeMap<(Rc<str>, RecordKind), Entry>,
    by_use: BTreeMap<u64, (Rc<str>, RecordKind)>,
    uses: u64,
    entries_max: usize,
}

impl Cache {
    /// An empty cache of at most `entries_max` answers; with zero it keeps none.
    pub const fn new(entries_max: usize) -> Self {
        Self { entries: BTreeMap::new(), by_use: BTreeMap::new(), uses: 0, entries_max }
    }

    /// What is known now.
    pub fn get(&mut self, now: Now, name: &Rc<str>, kind: RecordKind) -> Option<Answer> {
        let key = (Rc::clone(name), kind);
        let entry = self.entries.get_mut(&key)?;
        if entry.end <= now {
            let used = entry.used;
            self.by_use.remove(&used);
            self.entries.remove(&key);
            return None;
        }
        self.by_use.remove(&entry.used);
        self.uses += 1;
        entry.used = self.uses;
        self.by_use.insert(self.uses, key);
        Some(entry.answer.clone())
    }

    /// Keeps an answer for `span`; zero means not at all.
    pub fn insert(
        &mut self,
        now: Now,
        name: &Rc<str>,
        kind: RecordKind,
        answer: Answer,
        span: Duration,
    ) {
        let key = (Rc::clone(name), kind);
        if let Some(old) = self.entries.remove(&key) {
            self.by_use.remove(&old.used);
        }
        if span.is_zero() || self.entries_max == 0 {
            return;
        }
        while self.entries.len() >= self.entries_max {
            let Some((_, oldest)) = self.by_use.pop_first() else { break };
            self.entries.remove(&oldest);
        }
        self.uses += 1;
        self.entries.insert(key.clone(), Entry { answer, end: now + span, used: self.uses });
        self.by_use.insert(self.uses, key);
    }

    /// Answers held, whether their time is up or not.
    pub fn len(&self) -> usize {
        debug_assert_eq!(self.entries.len(), self.by_use.len());
        self.entries.len()
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Rc<str> {
        text.into()
    }

    fn second(n: u64) -> Now {
        Now::from_us(n * 1_000_000)
    }

    #[test]
    fn an_answer_holds_until_its_end() {
        let mut cache = Cache::new(10);
        let span = Duration::from_secs(5);
        cache.insert(second(1), &name("a"), RecordKind::Mx, Answer::NoRecords, span);
        assert_eq!(cache.get(second(5), &name("a"), RecordKind::Mx), Some(Answer::NoRecords));
        assert_eq!(cache.get(second(5), &name("a"), RecordKind::A), None);
        assert_eq!(cache.get(second(6), &name("a"), RecordKind::Mx), None);
        assert!(cache.is_empty());
        cache.insert(second(6), &name("a"), RecordKind::Mx, Answer::NoRecords, Duration::ZERO);
        assert!(cache.is_empty());
    }

    #[test]
    fn what_was_not_asked_for_the_longest_makes_room() {
        let mut cache = Cache::new(2);
        let span = Duration::from_secs(100);
        let keep = |cache: &mut Cache, text: &str| {
            cache.insert(second(0), &name(text), RecordKind::A, Answer::NoSuchName, span);
        };
        keep(&mut cache, "a");
        keep(&mut cache, "b");
        assert!(cache.get(second(1), &name("a"), RecordKind::A).is_some());
        keep(&mut cache, "c");
        assert_eq!(cache.len(), 2);
        assert!(cache.get(second(1), &name("b"), RecordKind::A).is_none());
        assert!(cache.get(second(1), &name("a"), RecordKind::A).is_some());
        // The same question again takes no more room.
        keep(&mut cache, "c");
        assert_eq!(cache.len(), 2);
    }
}
