//! What is to be delivered, to where, and when: the queue of one shard.
//!
//! [`schedule::Queue`] is the whole of it for others. It holds every message that is not finished,
//! hands out jobs (recipients of one message that share a next hop), takes their results, and says
//! when it wants to be asked again. The spool is the durable side; the queue is rebuilt from it.
//!
//! # Guarantees
//! Pure and deterministic: the same calls with the same seed give the same jobs and times. A
//! recipient that is not finished is in exactly one place: ready, in a job, or deferred.
//!
//! # Never
//! It opens no connection and reads no content. It does not judge what a peer said: that comes in
//! as a [`Decision`].

#![forbid(unsafe_code)]

mod alarms;
pub mod backoff;
pub mod decision;
mod deferred;
mod job;
#[cfg(test)]
mod model;
pub mod notice;
pub mod outcome;
mod ready;
pub mod schedule;
mod slots;
mod task;
mod terms;
#[cfg(test)]
mod tests;

pub use backoff::Backoff;
pub use decision::Decision;
pub use job::{Job, QueueSettings, Settled};
pub use ready::SiteView;
pub use schedule::Queue;
pub use terms::Expiry;
