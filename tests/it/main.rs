//! Scenarios: the real `ringpost` program between real clients, next hops, name servers and disks.
//!
//! Everything runs on loopback. A scenario takes addresses of 127.0.0.0/8 for itself, so ports can
//! be fixed numbers and any number of scenarios can run side by side. Peers are the programs that
//! Debian ships (and aiosmtpd from PyPI); `tests/run` installs them.
//!
//! # Guarantees
//! - A scenario ends by its time limit: its processes are killed then, and it fails.
//! - No process or mount of a scenario outlives it.
//! - A missing peer fails the scenarios that need it. [`peers`] tests the peers without Ringpost,
//!   so a broken peer is told from a broken server.
//!
//! # Never
//! - Asserts how long something took. Time limits only end what hangs.

// These are all tests: a panic is how they report, and their reader is the person at the terminal.
#![allow(clippy::expect_used, clippy::print_stderr, clippy::unwrap_used)]

mod attacks;
mod bad_host;
mod bad_input;
mod bench;
mod clients;
mod content_attacks;
mod crash;
mod dns;
mod doctor;
mod extensions;
mod full_disk;
mod lifecycle;
mod next_hops;
mod notices;
mod passed_on;
mod passwords;
mod peers;
mod secure_clients;
mod smuggling;
mod support;
mod throttles;
mod tls;
mod trust;
