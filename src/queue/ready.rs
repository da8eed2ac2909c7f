//! Ready queues: one for each next hop that has mail, with its connections.
//!
//! # Guarantees
//! Within a next hop tasks are taken by falling priority (RFC 6710 §5), first in, first out among
//! equals. Next hops that want a connection are
//! served in turn: one that was just served goes behind all others that wait.
//!
//! A next hop wants one more connection if it has more ready jobs than its free connections (those
//! being made, and those up but without a job) are trusted with, [`JOBS_PER_CONNECTION`] each. So a
//! few messages share a connection, a connection that hangs in a job never blocks what is behind
//! it, and a backlog brings the number up to the maximum. Until a connection came up there is only
//! [`CONNECTIONS_UNPROVEN_MAX`]. A held next hop wants none until the hold ends.
//!
//! # Bounds
//! A next hop without mail and without connections is forgotten, its hold with it, so that memory
//! is proportional to the mail. Every operation is O(log n) in the number of next hops.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::slots::{Key, Slots};
use super::task::{ReadyTasks, Task};
use crate::clock::WallTime;
use crate::limits::{CONNECTIONS_UNPROVEN_MAX, JOBS_PER_CONNECTION};
use crate::route::NextHop;

/// One next hop.
#[derive(Debug)]
pub(super) struct Site {
    next_hop: Rc<NextHop>,
    ready: ReadyTasks,
    /// Tasks wherever they stand.
    tasks: usize,
    /// Tasks that are in jobs.
    running: usize,
    /// Connections that are being made or up.
    connections: usize,
    /// A connection came up and the next hop was not held since.
    proven: bool,
    held_until: Option<WallTime>,
    /// Its place in the round of those that want a connection.
    turn: Option<u64>,
}

impl Site {
    fn wants_connection(&self, connections_max: usize) -> bool {
        let bound = match (&*self.next_hop, self.proven) {
            // One hand that throws away is enough.
            (NextHop::Discard, _) => 1,
            (NextHop::Mx { .. } | NextHop::Smtp { .. }, true) => connections_max,
            (NextHop::Mx { .. } | NextHop::Smtp { .. }, false) => {
                connections_max.min(CONNECTIONS_UNPROVEN_MAX)
            }
        };
        let free = self.connections.saturating_sub(self.running);
        self.held_until.is_none()
            && self.connections < bound
            && free * JOBS_PER_CONNECTION < self.ready.len()
    }
}

/// What can be said of one next hop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteView<'a> {
    /// The next hop.
    pub next_hop: &'a NextHop,
    /// Jobs that could be taken.
    pub ready: usize,
    /// Jobs that were taken.
    pub running: usize,
    /// Jobs that wait for their time.
    pub deferred: usize,
    /// Connections that are being made or up.
    pub connections: usize,
    /// No connection is asked for before.
    pub held_until: Option<WallTime>,
}

/// All next hops that have mail or connections.
#[derive(Debug)]
pub(super) struct ReadyQueues {
    sites: Slots<Site>,
    by_next_hop: BTreeMap<Rc<NextHop>, Key<Site>>,
    /// Those that want a connection, in the order to be served.
    wanting: BTreeMap<u64, Key<Site>>,
    next_turn: u64,
    held: BTreeSet<(WallTime, Key<Site>)>,
    connections_max: usize,
}

impl ReadyQueues {
    pub(super) const fn new(connections_max: usize) -> Self {
        Self {
            sites: Slots::new(),
            by_next_hop: BTreeMap::new(),
            wanting: BTreeMap::new(),
            next_turn: 0,
            held: BTreeSet::new(),
            connections_max,
        }
    }

    /// The site of `next_hop`, with one task more on its account.
    pub(super) fn add_task(&mut self, next_hop: NextHop) -> Key<Site> {
        let key = match self.find(&next_hop) {
            Some(key) => key,
            None => {
                let next_hop = Rc::new(next_hop);
                let key = self.sites.insert(Site {
                    next_hop: Rc::clone(&next_hop),
                    ready: ReadyTasks::new(),
                    tasks: 0,
                    running: 0,
                    connections: 0,
                    proven: false,
                    held_until: None,
                    turn: None,
                });
                self.by_next_hop.insert(next_hop, key);
                key
            }
        };
        self.sites[key].tasks += 1;
        key
    }

    /// One more task for a site that has tasks.
    pub(super) fn add_task_to(&mut self, site: Key<Site>) {
        self.sites[site].tasks += 1;
    }

    /// A task that is in no list any more is done with.
    pub(super) fn drop_task(&mut self, site: Key<Site>) {
        self.sites[site].tasks -= 1;
        self.update(site);
    }

    pub(super) fn find(&self, next_hop: &NextHop) -> Option<Key<Site>> {
        self.by_next_hop.get(next_hop).copied()
    }

    pub(super) fn next_hop(&self, site: Key<Site>) -> &NextHop {
        &self.sites[site].next_hop
    }

    pub(super) fn push_back(&mut self, tasks: &mut Slots<Task>, task: Key<Task>) {
        let site = tasks[task].site;
        self.sites[site].ready.push_back(tasks, task);
        self.update(site);
    }

    pub(super) fn push_front(&mut self, tasks: &mut Slots<Task>, task: Key<Task>) {
        let site = tasks[task].site;
        self.sites[site].ready.push_front(tasks, task);
        self.update(site);
    }

    /// Takes a ready task out of its queue.
    pub(super) fn unlink(&mut self, tasks: &mut Slots<Task>, task: Key<Task>) {
        let site = tasks[task].site;
        self.sites[site].ready.unlink(tasks, task);
        self.update(site);
    }

    /// The task that is next in turn; it stays in the queue.
    pub(super) fn head(&self, site: Key<Site>) -> Option<Key<Task>> {
        self.sites[site].ready.head()
    }

    pub(super) fn job_started(&mut self, site: Key<Site>) {
        self.sites[site].running += 1;
        self.update(site);
    }

    pub(super) fn job_ended(&mut self, site: Key<Site>) {
        self.sites[site].running -= 1;
        self.update(site);
    }

    pub(super) fn poll_connect(&mut self) -> Option<NextHop> {
        let (_, key) = self.wanting.pop_first()?;
        let site = &mut self.sites[key];
        site.turn = None;
        site.connections += 1;
        let next_hop = (*site.next_hop).clone();
        self.update(key);
        Some(next_hop)
    }

    pub(super) fn prove(&mut self, site: Key<Site>) {
        self.sites[site].proven = true;
        self.update(site);
    }

    pub(super) fn connection_closed(&mut self, site: Key<Site>) {
        let connections = &mut self.sites[site].connections;
        debug_assert!(*connections > 0, "a connection was closed twice");
        *connections = connections.saturating_sub(1);
        self.update(site);
    }

    /// What was asked for to throw mail away needs no end of its own.
    pub(super) fn discard_drained(&mut self, site: Key<Site>) {
        if matches!(*self.sites[site].next_hop, NextHop::Discard) {
            self.sites[site].connections = 0;
            self.update(site);
        }
    }

    /// Holds the site until `until`, unless it is held already.
    pub(super) fn hold(&mut self, site: Key<Site>, until: WallTime) {
        let held = &mut self.sites[site];
        held.proven = false;
        if held.held_until.is_none() {
            held.held_until = Some(until);
            self.held.insert((until, site));
            self.update(site);
        }
    }

    /// When the first hold ends.
    pub(super) fn next_due(&self) -> Option<WallTime> {
        self.held.first().map(|&(until, _)| until)
    }

    /// Ends the first hold if it has run out at `wall`.
    pub(super) fn release_due(&mut self, wall: WallTime) -> bool {
        if self.next_due().is_none_or(|until| until > wall) {
            return false;
        }
        let Some((_, site)) = self.held.pop_first() else { return false };
        self.sites[site].held_until = None;
        self.update(site);
        true
    }

    /// In the order of the next hops.
    pub(super) fn views(&self) -> impl Iterator<Item = SiteView<'_>> {
        self.by_next_hop.values().map(|&key| {
            let site = &self.sites[key];
            SiteView {
                next_hop: &site.next_hop,
                ready: site.ready.len(),
                running: site.running,
                deferred: site.tasks - site.ready.len() - site.running,
                connections: site.connections,
                held_until: site.held_until,
            }
        })
    }

    /// Brings the round and the table in line with what the site has become.
    fn update(&mut self, key: Key<Site>) {
        let site = &mut self.sites[key];
        match (site.turn, site.wants_connection(self.connections_max)) {
            (None, true) => {
                site.turn = Some(self.next_turn);
                self.wanting.insert(self.next_turn, key);
                self.next_turn += 1;
            }
            (Some(turn), false) => {
                site.turn = None;
                self.wanting.remove(&turn);
            }
            (None, false) | (Some(_), true) => {}
        }
        if site.tasks == 0 && site.connections == 0 {
            let site = self.sites.remove(key);
            self.by_next_hop.remove(&site.next_hop);
            if let Some(until) = site.held_until {
                self.held.remove(&(until, key));
            }
        }
    }
}
