//! What a server costs, as /proc tells it: CPU time and memory of a process and all that descend
//! from it.
//!
//! # Guarantees
//! CPU time of children that have ended counts too, because their parent has waited for them and
//! keeps the sum. Where it does not wait, a [`control_group`] around them knows.
//!
//! # Never
//! Counts processes that are not below the given one.
//!
//! # Failures
//! A process that ends while it is looked at is left out.
//!
//! # Bounds
//! CPU time is exact to a clock tick, 10 ms: measure seconds.

use std::fs;
use std::io;
use std::ops::Sub;
use std::time::Duration;

use crate::control_group;

/// A process and all its descendants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tree {
    /// The process at the root.
    pub(crate) root: u32,
}

/// What /proc/PID/stat says, as far as it matters here (proc_pid_stat(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    parent: u32,
    /// User and system time of the process and of its children that have ended, in clock ticks.
    user_ticks: u64,
    system_ticks: u64,
}

/// CPU time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CpuTime {
    /// In the program's own code.
    pub(crate) user: Duration,
    /// In the kernel on its behalf.
    pub(crate) system: Duration,
}

impl CpuTime {
    /// Both.
    pub(crate) fn total(self) -> Duration {
        self.user + self.system
    }
}

impl Sub for CpuTime {
    type Output = Self;

    /// What was spent since `earlier`.
    fn sub(self, earlier: Self) -> Self {
        Self {
            user: self.user.saturating_sub(earlier.user),
            system: self.system.saturating_sub(earlier.system),
        }
    }
}

impl Tree {
    /// User and system time so far.
    ///
    /// # Errors
    /// /proc cannot be read.
    pub(crate) fn cpu_time(self) -> io::Result<CpuTime> {
        if let Some(time) = control_group::time_of(self.root)? {
            return Ok(CpuTime { user: time.user, system: time.system });
        }
        let members = self.members()?;
        let per_second = rustix::param::clock_ticks_per_second() as f64;
        let time = |ticks: fn(&Stat) -> u64| {
            let ticks: u64 = members.iter().map(|(_, stat)| ticks(stat)).sum();
            Duration::from_secs_f64(ticks as f64 / per_second)
        };
        Ok(CpuTime { user: time(|stat| stat.user_ticks), system: time(|stat| stat.system_ticks) })
    }

    /// The processes that there are now.
    ///
    /// # Errors
    /// /proc cannot be read.
    pub(crate) fn processes(self) -> io::Result<Vec<u32>> {
        Ok(self.members()?.into_iter().map(|(process, _)| process).collect())
    }

    /// Memory: the proportional set size, in which a page that several processes share counts once.
    ///
    /// # Errors
    /// /proc cannot be read.
    pub(crate) fn memory_bytes(self) -> io::Result<u64> {
        let members = self.members()?;
        let rollups = members.iter().filter_map(|(process, _)| {
            fs::read_to_string(format!("/proc/{process}/smaps_rollup")).ok()
        });
        Ok(rollups.filter_map(|rollup| parse_pss(&rollup)).sum())
    }

    fn members(self) -> io::Result<Vec<(u32, Stat)>> {
        let mut others = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let name = entry?.file_name();
            let Some(process) = name.to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            let stat = fs::read_to_string(format!("/proc/{process}/stat"));
            if let Some(stat) = stat.ok().and_then(|text| parse_stat(&text)) {
                others.push((process, stat));
            }
        }
        Ok(descendants(self.root, others))
    }
}

/// Those of `others` that are `root` or come from it.
fn descendants(root: u32, mut others: Vec<(u32, Stat)>) -> Vec<(u32, Stat)> {
    let mut members: Vec<(u32, Stat)> = Vec::new();
    loop {
        let belongs = |(process, stat): &(u32, Stat)| {
            *process == root || members.iter().any(|(member, _)| *member == stat.parent)
        };
        let (found, rest): (Vec<_>, Vec<_>) = others.into_iter().partition(belongs);
        if found.is_empty() {
            return members;
        }
        members.extend(found);
        others = rest;
    }
}

fn parse_stat(text: &str) -> Option<Stat> {
    // The name stands in parentheses and may hold anything, parentheses too.
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let parent = fields.nth(1)?.parse().ok()?;
    // utime, stime, cutime, cstime; the children's times are signed in the kernel.
    let mut ticks = fields.skip(9).map(|field| field.parse().ok().map(i64::unsigned_abs));
    let mut next = || ticks.next().flatten();
    let (user, system) = (next()?, next()?);
    let (user_ticks, system_ticks) = (user + next()?, system + next()?);
    Some(Stat { parent, user_ticks, system_ticks })
}

fn parse_pss(rollup: &str) -> Option<u64> {
    let line = rollup.lines().find(|line| line.starts_with("Pss:"))?;
    let kibibytes: u64 = line.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(kibibytes * 1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_past_any_name() {
        let text = "12 (a) b (c)) S 7 12 12 0 -1 4194560 1 2 3 4 100 20 30 4 20 0 1 0 99";
        assert_eq!(parse_stat(text), Some(Stat { parent: 7, user_ticks: 130, system_ticks: 24 }));
        assert_eq!(parse_stat("12 (a"), None);
    }

    #[test]
    fn descendants_are_found_in_any_order() {
        let process = |id, parent| (id, Stat { parent, user_ticks: 1, system_ticks: 1 });
        let all = vec![process(9, 5), process(5, 3), process(3, 1), process(4, 1), process(8, 4)];
        let mut found: Vec<u32> = descendants(3, all).iter().map(|(id, _)| *id).collect();
        found.sort_unstable();
        assert_eq!(found, [3, 5, 9]);
    }

    #[test]
    fn the_proportional_set_size_is_read() {
        let text = "55d0-7ffe ---p 00 00:00 0 [rollup]\nRss:   2000 kB\nPss:    1234 kB\n";
        assert_eq!(parse_pss(text), Some(1_234 * 1_024));
    }

    #[test]
    fn this_process_costs_something() {
        let tree = Tree { root: std::process::id() };
        assert!(tree.memory_bytes().unwrap() > 100_000);
        assert_eq!(tree.processes().unwrap(), [std::process::id()]);
        let before = tree.cpu_time().unwrap();
        let mut number = 1_u64;
        while (tree.cpu_time().unwrap() - before).total() < Duration::from_millis(20) {
            for _ in 0..1_000_000 {
                number = std::hint::black_box(number.wrapping_mul(3));
            }
        }
    }
}
