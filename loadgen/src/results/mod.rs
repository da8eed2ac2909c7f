//! Results as files: what `source`, `sink` and `bench` write with `--json`, and `report`, `compare`
//! and `verify` read.
//!
//! The Rust types are the definition; the JSON Schema is made from them.
//!
//! # Guarantees
//! A file says what it is ([`Header`]), so that a wrong one is refused with its name and kind.
//! Fields may be added within a version, each with a default, so that older files can still be
//! read; none changes its meaning.
//!
//! # Units
//! In the name of each field: `_s`, `_ms`, `_us`, `_bytes`. Shares lie between 0 and 1.

mod accounts;
mod any;
mod bench;
mod distribution;
pub(crate) mod schema;
mod sink;
mod source;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use accounts::{Delivered, Duplicated, Stretch};
pub(crate) use any::AnyResults;
pub(crate) use bench::{
    BenchResults, CountedRun, HandshakeResult, IdleResult, MailResult, MailRun, ServerRuns,
    StoredRun,
};
pub(crate) use distribution::{CurvePoint, Distribution};
pub(crate) use sink::{DomainCount, SinkResults};
pub(crate) use source::{RefusalCount, Second, SourceResults, Stages, StepResults};

/// The version of the format. It rises when a field changes its meaning or goes away.
pub(crate) const VERSION: u32 = 1;

/// What a file is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// Of `loadgen source`.
    Source,
    /// Of `loadgen sink`.
    Sink,
    /// Of `loadgen bench`.
    Bench,
}

/// The beginning of each file.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub(crate) struct Header {
    /// What the rest is.
    pub(crate) kind: Kind,
    /// [`VERSION`] of the program that wrote it.
    pub(crate) version: u32,
    /// The program's own version.
    pub(crate) loadgen: String,
    /// When it was begun, in seconds since 1970 UTC.
    pub(crate) began_unix_s: u64,
    /// The command line that made it, without the program's name.
    pub(crate) command: Vec<String>,
    /// Where it was made.
    pub(crate) machine: Machine,
}

/// Where something was measured.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub(crate) struct Machine {
    /// As `uname -r` prints it.
    pub(crate) kernel: String,
    /// The model of the CPUs.
    pub(crate) cpu: String,
    /// CPUs that this process may use.
    pub(crate) cpus: u32,
    /// Memory of the machine.
    pub(crate) memory_bytes: u64,
    /// The load average over one minute when it began: what else was at work.
    pub(crate) load_before: f64,
    /// The file system that holds the spools; only of a bench.
    pub(crate) file_system: Option<String>,
}
