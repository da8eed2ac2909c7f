//! Ringpost: an SMTP server and relay that is durable and fast.
//!
//! The library exists so that tests, benches and fuzz targets reach the core; it promises nothing
//! to other programs. Modules stand in floors, and each imports only lower floors; the table is in
//! `ARCHITECTURE.md` and `tests/tidy.rs` checks it.

// Floor 0: vocabulary.
pub mod arena;
pub mod clock;
pub mod counters;
pub mod ids;
pub mod invalid;
pub mod limits;
pub mod network;
pub mod seed;
pub mod span;

// Floor 1: the pure core.
pub mod credentials;
pub mod dsn;
pub mod message;
pub mod proto;
pub mod queue;
pub mod route;
pub mod throttle;

// Floors 1 and 2: the log on the disk. What is only bytes and tables is floor 1.
pub mod sim;
pub mod spool;

// Floor 3: adapters.
#[cfg(feature = "runtime")]
pub mod io;

// Floor 4: one core.
#[cfg(feature = "runtime")]
pub mod shard;

// Floor 5: the process.
#[cfg(feature = "runtime")]
pub mod admin;
#[cfg(feature = "runtime")]
pub mod cli;
#[cfg(feature = "runtime")]
pub mod config;
#[cfg(feature = "runtime")]
pub mod doctor;
#[cfg(feature = "runtime")]
pub mod host_check;
#[cfg(feature = "runtime")]
pub mod log;
#[cfg(feature = "runtime")]
pub mod password_tool;
#[cfg(feature = "runtime")]
pub mod serve;
#[cfg(feature = "runtime")]
pub mod spool_tool;
