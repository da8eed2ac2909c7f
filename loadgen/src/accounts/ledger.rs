//! Which messages were acknowledged, and which came.
//!
//! # Guarantees
//! A message that comes again for the same recipient is told from one that comes for another,
//! whichever connection or thread brings it.
//!
//! # Bounds
//! [`PAGES_MAX`] pages of [`PAGE_NUMBERS`] messages and [`OTHERS_MAX`] further recipients: what is
//! past them is counted as not told apart. [`LISTED_MAX`] numbers in each list of the results,
//! whose counts are exact all the same.

use std::collections::{BTreeMap, HashSet};

use crate::results::{Delivered, Duplicated, Stretch};
use crate::stamp::{Id, Stamp};

/// Messages in a page: the numbers of a run are dense.
const PAGE_NUMBERS: usize = 4_096;

/// 32 KiB each, so 2 GiB and room for 268 million messages.
const PAGES_MAX: usize = 65_536;

/// Recipients of messages besides their first ones.
const OTHERS_MAX: usize = 100_000_000;

/// Numbers that a list of the results names.
const LISTED_MAX: usize = 10_000;

/// A page's place: the run, and the number of its first message in pages.
type PageKey = (u64, u64);

fn place(id: Id) -> (PageKey, usize) {
    let page = id.number / PAGE_NUMBERS as u64;
    let index = usize::try_from(id.number % PAGE_NUMBERS as u64).unwrap_or_default();
    ((id.run, page), index)
}

/// Adds `number` with `recipients` behind `stretches`, whose numbers are all lower.
fn extend(stretches: &mut Vec<Stretch>, number: u64, recipients: u32) {
    match stretches.last_mut() {
        Some(last) if last.to + 1 == number && last.recipients == recipients => last.to = number,
        Some(_) | None => stretches.push(Stretch { from: number, to: number, recipients }),
    }
}

/// Messages of one run that were acknowledged, and for how many recipients.
#[derive(Debug, Default)]
pub(crate) struct Acknowledged {
    pages: BTreeMap<u64, Box<[u16]>>,
    not_kept: u64,
}

impl Acknowledged {
    /// The message `number` was acknowledged for `recipients`.
    pub(crate) fn record(&mut self, number: u64, recipients: u32) {
        let ((_, page), index) = place(Id { run: 0, number });
        if self.pages.len() >= PAGES_MAX && !self.pages.contains_key(&page) {
            self.not_kept += 1;
            return;
        }
        let page =
            self.pages.entry(page).or_insert_with(|| vec![0; PAGE_NUMBERS].into_boxed_slice());
        page[index] = u16::try_from(recipients).unwrap_or(u16::MAX);
    }

    /// Adds what another thread of the run kept, of other messages.
    pub(crate) fn add(&mut self, other: Self) {
        self.not_kept += other.not_kept;
        for (key, page) in other.pages {
            match self.pages.get_mut(&key) {
                Some(own) => {
                    for (own, other) in own.iter_mut().zip(&page) {
                        *own = (*own).max(*other);
                    }
                }
                None => {
                    self.pages.insert(key, page);
                }
            }
        }
    }

    /// All of it in stretches of messages with equally many recipients.
    pub(crate) fn stretches(&self) -> Vec<Stretch> {
        let mut stretches = Vec::new();
        for (page, counts) in &self.pages {
            let first = page * PAGE_NUMBERS as u64;
            for (number, count) in (first..).zip(counts).filter(|(_, count)| **count > 0) {
                extend(&mut stretches, number, u32::from(*count));
            }
        }
        stretches
    }

    /// Messages that were acknowledged past the bound.
    pub(crate) const fn not_kept(&self) -> u64 {
        self.not_kept
    }
}

/// What is known of a message that came.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    /// The lower half of its first recipient's hash.
    first: u32,
    /// Different recipients.
    recipients: u16,
    /// How often it came once more for a recipient that had it.
    copies: u8,
    /// [`ALTERED`], [`LATE`].
    faults: u8,
}

const ALTERED: u8 = 1;
const LATE: u8 = 2;

// The bound of all pages is told above.
const _: () = assert!(size_of::<Entry>() * PAGE_NUMBERS == 32 << 10);

/// A stamped message that came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival<'a> {
    pub(crate) stamp: Stamp,
    /// [`recipient_hash`](super::recipient_hash) of each.
    pub(crate) recipients: &'a [u64],
    /// What follows the stamp is not what was stamped.
    pub(crate) is_altered: bool,
    /// It took longer than is allowed.
    pub(crate) is_late: bool,
}

/// Everything that came.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pages: BTreeMap<PageKey, Box<[Entry]>>,
    others: HashSet<u64>,
    distinct: u64,
    copies: u64,
    not_told_apart: u64,
}

impl Ledger {
    /// Takes `arrival` down; whether it is the first of its message.
    pub(crate) fn record(&mut self, arrival: &Arrival<'_>) -> bool {
        let (key, index) = place(arrival.stamp.id);
        if self.pages.len() >= PAGES_MAX && !self.pages.contains_key(&key) {
            self.not_told_apart += 1;
            return false;
        }
        let page = self
            .pages
            .entry(key)
            .or_insert_with(|| vec![Entry::default(); PAGE_NUMBERS].into_boxed_slice());
        let entry = &mut page[index];
        let is_first = entry.recipients == 0;
        entry.faults |= if arrival.is_altered { ALTERED } else { 0 };
        entry.faults |= if arrival.is_late { LATE } else { 0 };
        for &hash in arrival.recipients {
            let [low, _] = halves(hash);
            if entry.recipients == 0 {
                entry.first = low;
                entry.recipients = 1;
            } else if entry.first == low {
                entry.copies = entry.copies.saturating_add(1);
                self.copies += 1;
            } else if self.others.len() >= OTHERS_MAX {
                self.not_told_apart += 1;
            } else if self.others.insert(of_message(arrival.stamp.id, hash)) {
                entry.recipients = entry.recipients.saturating_add(1);
            } else {
                entry.copies = entry.copies.saturating_add(1);
                self.copies += 1;
            }
        }
        let is_new = is_first && entry.recipients > 0;
        self.distinct += u64::from(is_new);
        is_new
    }

    /// Different messages.
    pub(crate) const fn distinct(&self) -> u64 {
        self.distinct
    }

    /// How often a message came once more for a recipient that had it.
    pub(crate) const fn copies(&self) -> u64 {
        self.copies
    }

    /// Recipients that came when there was no room any more to tell whether they had come before.
    pub(crate) const fn not_told_apart(&self) -> u64 {
        self.not_told_apart
    }

    /// All of it, run by run.
    pub(crate) fn delivered(&self) -> Vec<Delivered> {
        let mut runs: Vec<Delivered> = Vec::new();
        for (key, page) in &self.pages {
            let name = format!("{:016x}", key.0);
            if runs.last().is_none_or(|run| run.run != name) {
                runs.push(Delivered { run: name, ..Delivered::default() });
            }
            if let Some(run) = runs.last_mut() {
                let first = key.1 * PAGE_NUMBERS as u64;
                for (number, entry) in (first..).zip(page).filter(|(_, it)| it.recipients > 0) {
                    tell(run, number, *entry);
                }
            }
        }
        runs
    }
}

fn tell(run: &mut Delivered, number: u64, entry: Entry) {
    extend(&mut run.messages, number, u32::from(entry.recipients));
    run.copies += u64::from(entry.copies);
    if entry.copies > 0 && run.duplicated.len() < LISTED_MAX {
        run.duplicated.push(Duplicated { number, copies: u32::from(entry.copies) });
    }
    for (fault, count, list) in [
        (ALTERED, &mut run.altered_messages, &mut run.altered),
        (LATE, &mut run.late_messages, &mut run.late),
    ] {
        if entry.faults & fault != 0 {
            *count += 1;
            if list.len() < LISTED_MAX {
                list.push(number);
            }
        }
    }
}

fn halves(hash: u64) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = hash.to_le_bytes();
    [u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])]
}

/// A recipient's hash as one of this message alone.
fn of_message(id: Id, hash: u64) -> u64 {
    let mut bytes = [0; 24];
    bytes[..8].copy_from_slice(&id.run.to_le_bytes());
    bytes[8..16].copy_from_slice(&id.number.to_le_bytes());
    bytes[16..].copy_from_slice(&hash.to_le_bytes());
    twox_hash::XxHash3_64::oneshot(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(number: u64) -> Stamp {
        Stamp { id: Id { run: 7, number }, digest: 0, sent_unix_ms: 0 }
    }

    fn arrival(number: u64, recipients: &[u64]) -> Arrival<'_> {
        Arrival { stamp: stamp(number), recipients, is_altered: false, is_late: false }
    }

    fn stretch(from: u64, to: u64, recipients: u32) -> Stretch {
        Stretch { from, to, recipients }
    }

    #[test]
    fn a_split_message_is_no_duplicate_and_a_copy_is_one() {
        let mut ledger = Ledger::default();
        assert!(ledger.record(&arrival(5, &[1])));
        assert!(!ledger.record(&arrival(5, &[2, 3])));
        assert!(ledger.record(&arrival(6, &[1, 2, 3])));
        assert!(ledger.record(&arrival(4_096, &[9])));
        assert_eq!(ledger.delivered()[0].copies, 0);
        assert!(!ledger.record(&arrival(5, &[3])));
        assert!(!ledger.record(&arrival(6, &[1, 4])));
        let delivered = ledger.delivered();
        let [run] = &delivered[..] else { panic!("{delivered:?}") };
        assert_eq!(run.run, "0000000000000007");
        assert_eq!(run.messages, [stretch(5, 5, 3), stretch(6, 6, 4), stretch(4_096, 4_096, 1)]);
        assert_eq!(run.copies, 2);
        let numbers: Vec<u64> = run.duplicated.iter().map(|it| it.number).collect();
        assert_eq!(numbers, [5, 6]);
        assert_eq!(ledger.distinct(), 3);
    }

    #[test]
    fn faults_stay_with_their_message_and_runs_apart() {
        let mut ledger = Ledger::default();
        for number in 0..10_000 {
            let is_altered = number % 1_000 == 1;
            let is_late = number % 2_000 == 2;
            ledger.record(&Arrival { is_altered, is_late, ..arrival(number, &[1]) });
        }
        let other = Stamp { id: Id { run: 8, number: 0 }, ..stamp(0) };
        ledger.record(&Arrival { stamp: other, ..arrival(0, &[1]) });
        let delivered = ledger.delivered();
        assert_eq!(delivered.len(), 2);
        assert_eq!(delivered[0].messages, [stretch(0, 9_999, 1)]);
        assert_eq!((delivered[0].altered_messages, delivered[0].late_messages), (10, 5));
        assert_eq!(delivered[0].late, [2, 2_002, 4_002, 6_002, 8_002]);
        assert_eq!(delivered[1].messages, [stretch(0, 0, 1)]);
    }

    #[test]
    fn acknowledgements_of_threads_add_up() {
        let (mut one, mut other) = (Acknowledged::default(), Acknowledged::default());
        for number in 0..10_000 {
            if number % 2 == 0 { &mut one } else { &mut other }.record(number, 1);
        }
        other.record(20_000, 5);
        one.add(other);
        assert_eq!(one.stretches(), [stretch(0, 9_999, 1), stretch(20_000, 20_000, 5)]);
        assert_eq!(one.not_kept(), 0);
    }
}
