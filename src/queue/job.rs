//! What the queue is told, what it hands out, and what it says of what comes back.

use std::time::Duration;

use smallvec::SmallVec;

use super::slots::Key;
use super::task::Task;
use super::terms::Expiry;
use crate::ids::MessageId;
use crate::limits::{CONNECTIONS_PER_SITE_MAX, DELAY_NOTICE_S, RECIPIENTS_PER_TRANSACTION_MAX};
use crate::message::Outcome;

/// What the queue is told once.
#[derive(Clone, Debug)]
pub struct QueueSettings {
    /// Wait after the first deferral of a recipient.
    pub retry_first: Duration,
    /// Longest wait between two attempts.
    pub retry_max: Duration,
    /// Age from which a deferral becomes a bounce.
    pub expire: Duration,
    /// Age at which the sender is told of a delay, if it wants to be told.
    pub delay_notice: Duration,
    /// Connections to one next hop, at least 1.
    pub connections_per_site_max: usize,
    /// Recipients of one transaction, at least 1.
    pub recipients_per_transaction_max: usize,
    /// The domain of recipients that have none (`<postmaster>`): this host's name.
    pub local_domain: Box<str>,
    /// Determines the jitter of retries.
    pub seed: u64,
}

impl QueueSettings {
    /// The defaults: retries from 20 minutes to 12 hours apart, given up after five days
    /// (RFC 5321 §4.5.4.1 wants four to five), delays told of after four hours, 20 connections,
    /// 100 recipients.
    pub fn new(local_domain: &str, seed: u64) -> Self {
        Self {
            retry_first: Duration::from_secs(1_200),
            retry_max: Duration::from_secs(43_200),
            expire: Duration::from_secs(432_000),
            delay_notice: Duration::from_secs(DELAY_NOTICE_S),
            connections_per_site_max: CONNECTIONS_PER_SITE_MAX,
            recipients_per_transaction_max: RECIPIENTS_PER_TRANSACTION_MAX,
            local_domain: local_domain.into(),
            seed,
        }
    }
}

/// Recipients of one message to try in one transaction. It must come back, by [`Queue::settle`] or
/// [`Queue::give_back`]: until then these recipients are offered to nobody else.
///
/// [`Queue::settle`]: super::Queue::settle
/// [`Queue::give_back`]: super::Queue::give_back
#[derive(Debug, PartialEq, Eq)]
pub struct Job {
    /// The message.
    pub message: MessageId,
    /// Indices in the message's list of recipients, rising; at least one.
    pub recipients: SmallVec<[u32; 4]>,
    pub(super) task: Key<Task>,
    pub(super) ticket: u64,
}

/// What settling a job, or the lapse of time, came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// For the spool: the new state of each recipient that it is about. Empty if the job's message
    /// was removed meanwhile.
    pub outcome: Outcome,
    /// Those of the recipients that were given up, rising.
    pub bounced: Vec<u32>,
    /// Why, one for each of `bounced`. The reason of one that expired begins with `4.4.7`, or
    /// `5.4.7` at a deadline of the sender's (RFC 3463 §3.5), and ends with why the last attempt
    /// failed.
    pub bounce_reasons: Vec<Box<str>>,
    /// Those of the recipients whose sender is to be told of a delay, rising. They stay where they
    /// are in the queue.
    pub delayed: Vec<u32>,
    /// Which end it is that makes a bounce of a deferral of this message.
    pub expiry: Expiry,
    /// Whether every recipient of the message is final, so that it can be removed once the outcome
    /// is appended.
    pub finished: bool,
}

impl Settled {
    pub(super) const fn new(message: MessageId, expiry: Expiry) -> Self {
        Self {
            outcome: Outcome { message, recipients: Vec::new() },
            bounced: Vec::new(),
            bounce_reasons: Vec::new(),
            delayed: Vec::new(),
            expiry,
            finished: false,
        }
    }
}
