//! Recipients of one message that go to one next hop together, and where they stand.

use smallvec::SmallVec;

use super::ready::Site;
use super::schedule::Entry;
use super::slots::{Key, Slots};
use crate::clock::WallTime;

/// Recipients of one message that are tried together, in one transaction. None of them is final.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) entry: Key<Entry>,
    pub(super) site: Key<Site>,
    pub(super) place: Place,
    /// Neighbours in the list of the message's tasks.
    pub(super) siblings: Links,
    /// That of the message.
    pub(super) priority: i8,
    /// Indices in the message, rising.
    pub(super) recipients: SmallVec<[u32; 4]>,
}

/// Where a task stands: always in exactly one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the set of deferred tasks under this time.
    Deferred { due: WallTime },
    /// In the ready queue of its site, between these neighbours.
    Ready { links: Links },
    /// In the job that carries this ticket.
    Running { ticket: u64 },
}

/// Neighbours in a doubly linked list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Links {
    pub(super) previous: Key<Task>,
    pub(super) next: Key<Task>,
}

/// The ready tasks of one site: those of a higher priority first (RFC 6710 §5), and first in, first
/// out among equals. Where mail has no priorities there is one list.
#[derive(Debug)]
pub(super) struct ReadyTasks {
    /// By falling priority; none is empty.
    lists: SmallVec<[(i8, ReadyList); 1]>,
}

impl ReadyTasks {
    pub(super) fn new() -> Self {
        Self { lists: SmallVec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.lists.iter().map(|(_, list)| list.len()).sum()
    }

    pub(super) fn head(&self) -> Option<Key<Task>> {
        self.lists.first().and_then(|(_, list)| list.head())
    }

    /// Behind its equals.
    pub(super) fn push_back(&mut self, tasks: &mut Slots<Task>, key: Key<Task>) {
        self.list(tasks[key].priority).push_back(tasks, key);
    }

    /// Before its equals.
    pub(super) fn push_front(&mut self, tasks: &mut Slots<Task>, key: Key<Task>) {
        self.list(tasks[key].priority).push_front(tasks, key);
    }

    /// Takes the task out; the caller gives it its next place.
    pub(super) fn unlink(&mut self, tasks: &mut Slots<Task>, key: Key<Task>) {
        let priority = tasks[key].priority;
        let list = self.list(priority);
        list.unlink(tasks, key);
        if list.len() == 0 {
            self.lists.retain(|(of, _)| *of != priority);
        }
    }

    /// The list of `priority`, made if there is none.
    fn list(&mut self, priority: i8) -> &mut ReadyList {
        let place = self.lists.partition_point(|(of, _)| *of > priority);
        if self.lists.get(place).is_none_or(|(of, _)| *of != priority) {
            self.lists.insert(place, (priority, ReadyList::new()));
        }
        &mut self.lists[place].1
    }
}

/// First in, first out, with removal from the middle in O(1). The links are in the tasks.
#[derive(Debug)]
struct ReadyList {
    head: Key<Task>,
    tail: Key<Task>,
    length: usize,
}

impl ReadyList {
    const fn new() -> Self {
        Self { head: Key::NONE, tail: Key::NONE, length: 0 }
    }

    const fn len(&self) -> usize {
        self.length
    }

    fn head(&self) -> Option<Key<Task>> {
        self.head.some()
    }

    fn push_back(&mut self, tasks: &mut Slots<Task>, key: Key<Task>) {
        tasks[key].place = Place::Ready { links: Links { previous: self.tail, next: Key::NONE } };
        match self.tail.some() {
            Some(tail) => links(tasks, tail).next = key,
            None => self.head = key,
        }
        self.tail = key;
        self.length += 1;
    }

    fn push_front(&mut self, tasks: &mut Slots<Task>, key: Key<Task>) {
        tasks[key].place = Place::Ready { links: Links { previous: Key::NONE, next: self.head } };
        match self.head.some() {
            Some(head) => links(tasks, head).previous = key,
            None => self.tail = key,
        }
        self.head = key;
        self.length += 1;
    }

    /// Takes the task out of the list; the caller gives it its next place.
    fn unlink(&mut self, tasks: &mut Slots<Task>, key: Key<Task>) {
        let Links { previous, next } = *links(tasks, key);
        match previous.some() {
            Some(previous) => links(tasks, previous).next = next,
            None => self.head = next,
        }
        match next.some() {
            Some(next) => links(tasks, next).previous = previous,
            None => self.tail = previous,
        }
        self.length -= 1;
    }
}

fn links(tasks: &mut Slots<Task>, key: Key<Task>) -> &mut Links {
    match &mut tasks[key].place {
        Place::Ready { links } => links,
        Place::Deferred { .. } | Place::Running { .. } => {
            unreachable!("only ready tasks are in a ready list")
        }
    }
}
