//! Connections that say nothing: their memory, and the CPU that a server spends on them.
//!
//! # Bounds
//! Connections are opened while the machine has memory for more: [`MEMORY_LEFT_SHARE`] of it is
//! left alone.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Instant;

use super::handshakes;
use super::plan::Plan;
use super::subject::Subject;
use crate::net;
use crate::results::IdleResult;
use crate::tls::TlsMode;

/// As many rests show what idle connections cost.
const IDLE_RESTS: u32 = 5;

/// Files that this process has open besides the connections.
const OTHER_FILES: u64 = 64;

/// Connections between two looks at the memory that is left.
const LOOK_EVERY: u32 = 100;

/// A machine with less than this share of its memory left begins to suffer.
const MEMORY_LEFT_SHARE: f64 = 0.1;

/// What became of an attempt.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum IdleOutcome {
    Measured(IdleResult),
    /// It cannot be done here, for this reason.
    LeftOut(String),
}

impl Plan {
    /// `connections` to a fresh server.
    ///
    /// # Errors
    /// The server does not start or does not greet all of them.
    pub(super) fn run_idle(
        &self,
        subject: &Subject,
        connections: u32,
        directory: &Path,
    ) -> io::Result<IdleOutcome> {
        let name = subject.name();
        if let Err(error) = net::raise_file_limit(u64::from(connections) + OTHER_FILES) {
            return Ok(IdleOutcome::LeftOut(format!("{connections} idle connections: {error}")));
        }
        let (_silent, duty) = Self::silent_hop()?;
        let server = self.start(subject, directory, duty)?;
        self.rest()?;
        let memory_before_bytes = server.tree().memory_bytes()?;
        let tls = (self.tls == TlsMode::Implicit).then_some(&self.tls_client);
        let mut open = Vec::new();
        let before = server.tree().cpu_time()?;
        for number in 1..=connections {
            self.check_stop()?;
            let greeted = handshakes::greeted(server.address(), tls).map_err(|error| {
                io::Error::other(format!("{name} did not greet connection {number}: {error}"))
            })?;
            open.push(greeted);
            if number % LOOK_EVERY == 0 && memory_left_share()? < MEMORY_LEFT_SHARE {
                let reason = format!(
                    "{connections} idle connections to {name}: after {number} the machine had less \
                     than a tenth of its memory left"
                );
                return Ok(IdleOutcome::LeftOut(reason));
            }
        }
        let opening = (server.tree().cpu_time()? - before).total();
        self.rest()?;
        let (before, begin) = (server.tree().cpu_time()?, Instant::now());
        for _ in 0..IDLE_RESTS {
            self.rest()?;
        }
        let idle = (server.tree().cpu_time()? - before).total();
        Ok(IdleOutcome::Measured(IdleResult {
            server: name.to_owned(),
            connections,
            memory_before_bytes,
            memory_bytes: server.tree().memory_bytes()?,
            cpu_us_per_connection: opening.as_secs_f64() * 1e6 / f64::from(connections.max(1)),
            cpu_idle_share: idle.as_secs_f64() / begin.elapsed().as_secs_f64(),
        }))
    }
}

/// What programs could still be given (proc_meminfo(5), MemAvailable).
///
/// # Errors
/// /proc cannot be read.
pub(super) fn memory_left_bytes() -> io::Result<f64> {
    memory("MemAvailable:")
}

fn memory_left_share() -> io::Result<f64> {
    Ok(memory_left_bytes()? / memory("MemTotal:")?)
}

fn memory(name: &str) -> io::Result<f64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    parse_memory(&text, name)
        .ok_or_else(|| io::Error::other(format!("/proc/meminfo has no {name}")))
}

fn parse_memory(text: &str, name: &str) -> Option<f64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: f64 = rest.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1_024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_read() {
        let text = "MemTotal:       24683656 kB\nMemAvailable:   2 kB\n";
        assert_eq!(parse_memory(text, "MemAvailable:"), Some(2_048.0));
        assert_eq!(parse_memory(text, "MemFree:"), None);
        assert!((0.0..=1.0).contains(&memory_left_share().unwrap()));
    }
}
