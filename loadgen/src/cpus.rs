//! CPU lists (`0-3,6`) and pinning threads to them.

use std::fmt;
use std::io;
use std::str::FromStr;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// CPUs in the order in which they were given, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CpuList(Vec<usize>);

impl CpuList {
    /// The CPUs.
    pub(crate) fn as_slice(&self) -> &[usize] {
        &self.0
    }

    /// Whether `other` has a CPU in common.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        self.0.iter().any(|cpu| other.0.contains(cpu))
    }
}

impl FromStr for CpuList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut cpus = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let number = |text: &str| text.trim().parse().ok().filter(|cpu| *cpu < CpuSet::MAX_CPU);
            let (Some(first), Some(last)) = (number(first), number(last)) else {
                return Err(format!("`{part}` is not a CPU or a range of CPUs like 0-3"));
            };
            for cpu in first..=last {
                if !cpus.contains(&cpu) {
                    cpus.push(cpu);
                }
            }
        }
        if cpus.is_empty() { Err("a range runs backwards".to_owned()) } else { Ok(Self(cpus)) }
    }
}

impl fmt::Display for CpuList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, cpu) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{cpu}")?;
        }
        Ok(())
    }
}

/// Pins the calling thread, and the processes that it starts, to `cpus`.
///
/// # Errors
/// This process may not run there.
pub(crate) fn pin(cpus: &[usize]) -> io::Result<()> {
    let mut set = CpuSet::new();
    for cpu in cpus {
        set.set(*cpu);
    }
    sched_setaffinity(None, &set).map_err(|error| {
        io::Error::other(format!(
            "cannot pin a thread to CPU {cpus:?}: {error}; see `taskset -p $$`"
        ))
    })
}

/// The calling thread runs on `cpus` until this is dropped, then where it could run before.
#[derive(Debug)]
pub(crate) struct Pinned {
    before: CpuSet,
}

impl Pinned {
    /// Pins the calling thread for a while.
    ///
    /// # Errors
    /// This process may not run there.
    pub(crate) fn new(cpus: &[usize]) -> io::Result<Self> {
        let before = sched_getaffinity(None)?;
        pin(cpus)?;
        Ok(Self { before })
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // It was allowed before; if it no longer is, running elsewhere does no harm.
        let _ = sched_setaffinity(None, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read() {
        let read = |text: &str| text.parse::<CpuList>().map(|list| list.to_string());
        assert_eq!(read("0"), Ok("0".to_owned()));
        assert_eq!(read("4,0-2,1"), Ok("4,0,1,2".to_owned()));
        for wrong in ["", "a", "1-", "3-1", "1,,2", "-1", "99999"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn pinning_ends() {
        let before = sched_getaffinity(None).unwrap();
        let cpu = (0..CpuSet::MAX_CPU).find(|cpu| before.is_set(*cpu)).unwrap();
        let pinned = Pinned::new(&[cpu]).unwrap();
        assert_eq!(sched_getaffinity(None).unwrap().count(), 1);
        drop(pinned);
        assert_eq!(sched_getaffinity(None).unwrap(), before);
    }
}
