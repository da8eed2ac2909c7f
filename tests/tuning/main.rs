//! The files of `tuning/`: what `apply` and `irq` change and restore, and whether the guide, the
//! unit files and the program say the same.
//!
//! # Guarantees
//! - No setting of this host is changed: the tests write to a network namespace of their own or to
//!   a made-up tree.
//! - Every program that is started ends by its time limit.

// These are all tests: a panic is how they report, and their reader is the person at the terminal.
#![allow(clippy::expect_used, clippy::unwrap_used)]

mod apply;
mod doctor;
mod guide;
mod irq;
mod namespace;
mod support;
mod units;
