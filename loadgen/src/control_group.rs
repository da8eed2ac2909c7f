//! A control group (cgroup v2) around a server's processes, for the CPU time of all of them.
//!
//! /proc tells the CPU time of children that have ended only if their parent has waited for them.
//! Exim's processes do not wait for all of theirs, so that most of what a delivery costs would be
//! counted nowhere. A control group counts whatever ran in it (kernel documentation,
//! admin-guide/cgroup-v2.rst, `cpu.stat`).
//!
//! # Guarantees
//! The group is removed when this is dropped, and what still runs in it is killed.
//!
//! # Never
//! Moves a process that it was not given, or touches a group that it did not make.
//!
//! # Failures
//! There is no cgroup2 file system, or this process may not make a group in it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use crate::console::naming;

/// How often a group that is in use is tried to be removed; its processes are dying.
const REMOVALS_MAX: u32 = 200;

/// Time between two of them.
const GLANCE: Duration = Duration::from_millis(10);

/// Groups of this process so far.
static MADE: AtomicU32 = AtomicU32::new(0);

/// CPU time of processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GroupTime {
    pub(crate) user: Duration,
    pub(crate) system: Duration,
}

/// A group that this process made.
#[derive(Debug)]
pub(crate) struct ControlGroup {
    path: PathBuf,
}

impl ControlGroup {
    /// Makes an empty group.
    ///
    /// # Errors
    /// See the module.
    pub(crate) fn new() -> io::Result<Self> {
        let mount = mount_point()?;
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let path = mount.join(format!("{}{number}", name_prefix()));
        fs::create_dir(&path).map_err(naming(&path))?;
        Ok(Self { path })
    }

    /// A process enters the group by writing its id here; what it starts is in it too.
    pub(crate) fn entrance(&self) -> PathBuf {
        self.path.join("cgroup.procs")
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        // Kernels before 5.14 have no such file; then the group is empty only if the server ended.
        let _ = fs::write(self.path.join("cgroup.kill"), "1");
        for _ in 0..REMOVALS_MAX {
            if fs::remove_dir(&self.path).is_ok() {
                return;
            }
            thread::sleep(GLANCE);
        }
    }
}

/// CPU time of all that ran in the group of `process`, if it is one that this process made.
///
/// # Errors
/// The group is there and does not tell.
pub(crate) fn time_of(process: u32) -> io::Result<Option<GroupTime>> {
    let Some(name) = name_of(process) else { return Ok(None) };
    let file = mount_point()?.join(name).join("cpu.stat");
    let text = fs::read_to_string(&file)?;
    match parse_time(&text) {
        Some(time) => Ok(Some(time)),
        None => Err(io::Error::other(format!("{} tells no CPU time", file.display()))),
    }
}

/// The path of the group of `process` below the mount point, if it is one that this process made.
pub(crate) fn name_of(process: u32) -> Option<String> {
    let groups = fs::read_to_string(format!("/proc/{process}/cgroup")).ok()?;
    own_group(&groups, &name_prefix()).map(str::to_owned)
}

fn name_prefix() -> String {
    format!("loadgen-enclosure-{}-", process::id())
}

/// The path of the group in cgroup v2's hierarchy, whose number is 0 (cgroups(7)), if its name
/// begins with `prefix`.
fn own_group<'a>(groups: &'a str, prefix: &str) -> Option<&'a str> {
    let path = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let name = path.rsplit('/').next()?;
    name.starts_with(prefix).then_some(path)
}

fn parse_time(text: &str) -> Option<GroupTime> {
    let value = |name: &str| {
        let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
        rest.trim().parse().ok().map(Duration::from_micros)
    };
    Some(GroupTime { user: value("user_usec ")?, system: value("system_usec ")? })
}

/// Where the kernel's one hierarchy of cgroup v2 is mounted.
fn mount_point() -> io::Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    parse_mounts(&mounts).map(Path::to_path_buf).ok_or_else(|| {
        io::Error::other(
            "no cgroup2 file system is mounted; run `mount -t cgroup2 none DIRECTORY` as root",
        )
    })
}

fn parse_mounts(mounts: &str) -> Option<&Path> {
    mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (place, kind) = (fields.next()?, fields.next()?);
        (kind == "cgroup2").then_some(Path::new(place))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        let text = "usage_usec 30\nuser_usec 10\nsystem_usec 20\nnice_usec 5\n";
        let [user, system] = [10, 20].map(Duration::from_micros);
        assert_eq!(parse_time(text), Some(GroupTime { user, system }));
        assert_eq!(parse_time("usage_usec 30\n"), None);
    }

    #[test]
    fn only_own_groups_count() {
        let groups = "2:cpuacct:/own-1-3\n0::/a.slice/own-1-2\n";
        assert_eq!(own_group(groups, "own-1-"), Some("a.slice/own-1-2"));
        assert_eq!(own_group(groups, "own-2-"), None);
        assert_eq!(own_group("2:cpuacct:/own-1-3\n", "own-1-"), None);
    }

    #[test]
    fn the_mount_is_found() {
        let mounts = "cgroup /cg/cpu cgroup rw 0 0\ncgroup2 /cg/all cgroup2 rw,relatime 0 0\n";
        assert_eq!(parse_mounts(mounts), Some(Path::new("/cg/all")));
        assert_eq!(parse_mounts("proc /proc proc rw 0 0\n"), None);
    }

    /// What a child does whose parent never waits for it counts, and nothing is left behind.
    #[test]
    fn a_group_counts_what_nobody_waits_for() {
        let Ok(group) = ControlGroup::new() else {
            assert!(!rustix::process::geteuid().is_root(), "root can make a group");
            return;
        };
        let script = "echo $$ >\"$0\" || exit 1; trap '' CHLD; \
             ( i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; ) & \
             echo started; exec sleep 100";
        let mut command = process::Command::new("/bin/sh");
        command.arg("-c").arg(script).arg(group.entrance()).stdout(process::Stdio::null());
        let mut child = command.spawn().unwrap();
        let begin = std::time::Instant::now();
        loop {
            let time = time_of(child.id()).unwrap();
            if time.is_some_and(|time| time.user + time.system > Duration::from_millis(20)) {
                break;
            }
            assert!(begin.elapsed() < Duration::from_secs(60), "{time:?}");
            thread::sleep(GLANCE);
        }
        let path = group.path.clone();
        // Kernels before 5.14 kill nothing, and a zombie keeps a group in use.
        child.kill().unwrap();
        child.wait().unwrap();
        drop(group);
        assert!(!path.exists());
        assert_eq!(time_of(process::id()).unwrap(), None);
    }
}
