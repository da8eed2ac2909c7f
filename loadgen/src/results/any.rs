//! Results of any kind, read from a file that says what it is.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{BenchResults, Header, Kind, SinkResults, SourceResults, VERSION};
use crate::console::naming;

/// The largest file that is read: a source that ran for a week writes less.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// What one file holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum AnyResults {
    /// Of `loadgen source`.
    Source(Box<SourceResults>),
    /// Of `loadgen sink`.
    Sink(Box<SinkResults>),
    /// Of `loadgen bench`.
    Bench(Box<BenchResults>),
}

/// As much as decides whether the rest can be read.
#[derive(Deserialize)]
struct Beginning {
    kind: Kind,
    version: u32,
}

impl AnyResults {
    /// What the file at `path` holds.
    ///
    /// # Errors
    /// It cannot be read, holds something else, or was written in a later format; the error names
    /// the file.
    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        let at = naming(path);
        let mut text = String::new();
        let file = File::open(path).map_err(at)?;
        let read = file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(at)?;
        if read as u64 > FILE_BYTES_MAX {
            return Err(at(io::Error::other("too large for results of loadgen")));
        }
        Self::parse(&text).map_err(at)
    }

    /// What `text` holds.
    ///
    /// # Errors
    /// It is something else, or of a later format.
    pub(crate) fn parse(text: &str) -> io::Result<Self> {
        let beginning: Beginning = serde_json::from_str(text).map_err(|error| {
            io::Error::other(format!(
                "no results of loadgen, which `source`, `sink` and `bench` write with --json \
                 ({error})"
            ))
        })?;
        if beginning.version != VERSION {
            return Err(io::Error::other(format!(
                "written in format {}, this loadgen reads format {VERSION}: use the loadgen that \
                 wrote it",
                beginning.version
            )));
        }
        Ok(match beginning.kind {
            Kind::Source => Self::Source(whole(text)?),
            Kind::Sink => Self::Sink(whole(text)?),
            Kind::Bench => Self::Bench(whole(text)?),
        })
    }

    /// What they are and where they were made.
    pub(crate) const fn header(&self) -> &Header {
        match self {
            Self::Source(results) => &results.header,
            Self::Sink(results) => &results.header,
            Self::Bench(results) => &results.header,
        }
    }
}

impl Kind {
    /// The name of the command that writes it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Sink => "sink",
            Self::Bench => "bench",
        }
    }
}

fn whole<T: DeserializeOwned>(text: &str) -> io::Result<Box<T>> {
    serde_json::from_str(text).map(Box::new).map_err(|error| {
        io::Error::other(format!("these results are damaged or were edited: {error}"))
    })
}
