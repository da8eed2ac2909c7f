//! What a queue ought to be: a table of (message, recipient), searched whole for every question.

use std::collections::{BTreeMap, BTreeSet};

use crate::clock::WallTime;
use crate::ids::MessageId;
use crate::route::NextHop;

/// What is fixed about a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    pub(super) priority: i8,
    /// Nothing is deferred beyond.
    pub(super) end: WallTime,
    /// Whether nothing is tried beyond, either.
    pub(super) returns: bool,
    /// When the sender is told of a delay, if it is.
    pub(super) delay_at: Option<WallTime>,
}

/// Where the twin believes a recipient to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Belief {
    /// Ready since this rank. Of those with the same rank any may come first.
    Ready(i64),
    Running,
    Deferred(WallTime),
    Final,
}

/// The twin: a table of (message, recipient), searched whole for every question.
#[derive(Default)]
pub(super) struct Twin {
    pub(super) beliefs: BTreeMap<(MessageId, u32), (NextHop, Belief)>,
    pub(super) holds: BTreeMap<NextHop, WallTime>,
    pub(super) connections: BTreeMap<NextHop, usize>,
    pub(super) rank: i64,
    /// What the sender wishes for each message.
    pub(super) facts: BTreeMap<MessageId, Facts>,
    /// Whose delay was told of.
    pub(super) told: BTreeSet<(MessageId, u32)>,
    pub(super) front_rank: i64,
}

impl Twin {
    pub(super) fn next_due(&self) -> Option<WallTime> {
        let deferred = self.beliefs.values().filter_map(|(_, belief)| match belief {
            Belief::Deferred(due) => Some(*due),
            Belief::Ready(_) | Belief::Running | Belief::Final => None,
        });
        deferred.chain(self.holds.values().copied()).min()
    }

    pub(super) fn promote(&mut self, wall: WallTime) {
        // Ranks by due time: those due earlier were promoted earlier.
        let mut dues: Vec<WallTime> = Vec::new();
        for (_, belief) in self.beliefs.values() {
            if let Belief::Deferred(due) = belief
                && *due <= wall
            {
                dues.push(*due);
            }
        }
        dues.sort_unstable();
        dues.dedup();
        for (_, belief) in self.beliefs.values_mut() {
            if let Belief::Deferred(due) = *belief
                && let Ok(place) = dues.binary_search(&due)
            {
                *belief = Belief::Ready(self.rank + i64::try_from(place).unwrap());
            }
        }
        self.rank += i64::try_from(dues.len()).unwrap();
        self.holds.retain(|_, until| *until > wall);
    }

    /// The place in line of what comes next: by falling priority, then by rank.
    pub(super) fn lowest_rank(&self, hop: &NextHop) -> Option<(i8, i64)> {
        let ready = self.beliefs.iter().filter_map(|((id, _), (of, belief))| match belief {
            Belief::Ready(rank) if of == hop => Some((-self.facts[id].priority, *rank)),
            Belief::Ready(_) | Belief::Running | Belief::Deferred(_) | Belief::Final => None,
        });
        ready.min()
    }

    /// The times at which time alone must do something, as it stands at `wall`.
    pub(super) fn lapses(&self, wall: WallTime) -> impl Iterator<Item = WallTime> {
        self.beliefs.iter().flat_map(move |((id, index), (_, belief))| {
            let facts = &self.facts[id];
            let is_idle = matches!(belief, Belief::Ready(_) | Belief::Deferred(_));
            let deadline = (facts.returns && is_idle).then_some(facts.end);
            // Once a deadline has passed, what becomes of the jobs that are out says it all.
            let is_over = facts.returns && facts.end <= wall;
            let is_untold =
                !is_over && *belief != Belief::Final && !self.told.contains(&(*id, *index));
            let delay = facts.delay_at.filter(|_| is_untold);
            deadline.into_iter().chain(delay)
        })
    }

    /// Forgets the hold of a next hop that has nothing left.
    pub(super) fn tidy(&mut self) {
        let busy: BTreeSet<NextHop> = self
            .beliefs
            .values()
            .filter(|(_, belief)| *belief != Belief::Final)
            .map(|(hop, _)| hop.clone())
            .collect();
        let connections = &self.connections;
        self.holds.retain(|hop, _| {
            busy.contains(hop) || connections.get(hop).is_some_and(|&count| count > 0)
        });
    }
}
