//! How much memory the process uses, and how much it may.
//!
//! What it uses is its resident set: pages that the allocator keeps for later count as well, since
//! nobody else can have them, and so do the pages of the program itself, as in `ps` and `top`. The
//! kernel's buffers for the process's sockets do not; they come out of what the ceiling leaves.
//!
//! mimalloc keeps what was freed until some thread asks for a block that no page of its own can
//! hold, and gives back then what was free for a while, whichever thread freed it. After a peak
//! nothing might ask, since no transaction begins; so the watch asks itself.
//!
//! # Guarantees
//! [`MemoryWatch`] says that memory is short from [`MEMORY_SHORT_PERCENT`] of the ceiling on, and
//! takes it back below [`MEMORY_EASED_PERCENT`]. In between it says what it said before, so that
//! clients are not refused and let in by turns.
//!
//! # Never
//! It ends nothing: what runs may go on. The space between the mark and the ceiling is for that.
//!
//! # Failures
//! A kernel without `/proc` leaves the last answer as it is, and the caller is told. Where no limit
//! can be read there is none.
//!
//! # Bounds
//! A look reads two lines of one file; nothing is kept. Only the limits of control groups of the
//! second version are read.

use std::fs;
use std::hint;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::{info, warn};

use crate::limits::{
    MEMORY_ASKED_BYTES, MEMORY_EASED_PERCENT, MEMORY_SHARE_PERCENT, MEMORY_SHORT_PERCENT,
};

/// Where the kernel tells of memory.
#[derive(Clone, Debug)]
pub struct MemorySource {
    root: PathBuf,
}

impl MemorySource {
    /// This host.
    pub fn host() -> Self {
        Self::below(Path::new("/"))
    }

    /// A tree of files that looks like a host's.
    pub fn below(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// The memory of this process that is in use.
    ///
    /// # Errors
    /// The file cannot be read, or it is not what proc(5) says.
    pub fn resident_bytes(&self) -> io::Result<u64> {
        let text = fs::read_to_string(self.root.join("proc/self/status"))?;
        field_bytes(&text, "VmRSS:").ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, "/proc/self/status has no line VmRSS")
        })
    }

    /// The memory that the process can have: the host's, or less if a control group says so.
    /// `None` if neither can be read.
    pub fn limit_bytes(&self) -> Option<u64> {
        let host = fs::read_to_string(self.root.join("proc/meminfo"));
        let host = host.ok().and_then(|text| field_bytes(&text, "MemTotal:"));
        host.into_iter().chain(self.group_limit_bytes()).min()
    }

    /// The least that the control group of this process and those around it allow. Above
    /// `memory.high` the kernel makes a process wait for its memory, so that it counts as well.
    fn group_limit_bytes(&self) -> Option<u64> {
        let groups = fs::read_to_string(self.root.join("proc/self/cgroup")).ok()?;
        let group = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
        let mounts = fs::read_to_string(self.root.join("proc/self/mountinfo")).ok()?;
        let mount = mounts.lines().find_map(group_mount)?;
        let top = self.root.join(mount.trim_start_matches('/'));
        // A group that lies outside of what this process can see has `..` in its path.
        let names = group.split('/').filter(|name| !name.is_empty() && *name != "..");
        let mut directory = top;
        let mut least = group_bytes(&directory);
        for name in names {
            directory.push(name);
            least = least.into_iter().chain(group_bytes(&directory)).min();
        }
        least
    }
}

/// The ceiling that a process has of which nobody says how much it may use, on a host or in a
/// control group with `limit_bytes`.
pub const fn default_ceiling_bytes(limit_bytes: u64) -> u64 {
    percent_of(limit_bytes, MEMORY_SHARE_PERCENT)
}

/// Looks now and then how much memory is in use, and tells the shards when it is short.
#[derive(Debug)]
pub struct MemoryWatch {
    source: MemorySource,
    ceiling_bytes: u64,
    is_short: Arc<AtomicBool>,
}

impl MemoryWatch {
    /// A watch that has not looked yet. It sets `is_short`, and nobody else does.
    pub const fn new(source: MemorySource, ceiling_bytes: u64, is_short: Arc<AtomicBool>) -> Self {
        Self { source, ceiling_bytes, is_short }
    }

    /// Another ceiling, from the next look on.
    pub const fn set_ceiling(&mut self, ceiling_bytes: u64) {
        self.ceiling_bytes = ceiling_bytes;
    }

    /// Looks; call it every [`MEMORY_LOOK_MS`](crate::limits::MEMORY_LOOK_MS). It returns what is
    /// in use.
    ///
    /// # Errors
    /// As [`MemorySource::resident_bytes`]; what was said last still holds.
    pub fn look(&self) -> io::Result<u64> {
        let used = self.source.resident_bytes()?;
        let ceiling = self.ceiling_bytes;
        let was_short = self.is_short.load(Ordering::Relaxed);
        let mark = if was_short { MEMORY_EASED_PERCENT } else { MEMORY_SHORT_PERCENT };
        let is_short = used >= percent_of(ceiling, mark);
        if used >= percent_of(ceiling, MEMORY_EASED_PERCENT) {
            // See the module: only that it is asked for counts.
            hint::black_box(Vec::<u8>::with_capacity(MEMORY_ASKED_BYTES));
        }
        if is_short != was_short {
            self.is_short.store(is_short, Ordering::Relaxed);
            if is_short {
                warn!(
                    used,
                    ceiling,
                    "memory is short: new messages are refused with 452; \
                     if that lasts, raise limits.memory_max_bytes or lower limits.connections_max"
                );
            } else {
                info!(used, ceiling, "memory is no longer short: new messages are taken again");
            }
        }
        Ok(used)
    }
}

const fn percent_of(bytes: u64, percent: u64) -> u64 {
    // Divided first: no overflow, and less than a hundred bytes lost.
    bytes / 100 * percent
}

/// The value of a line like `VmRSS:     1234 kB`; the kernel's kB are KiB.
fn field_bytes(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = rest.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    kibibytes.checked_mul(1_024)
}

/// The limits of one control group; `max` stands for none.
fn group_bytes(directory: &Path) -> Option<u64> {
    let limits = ["memory.max", "memory.high"].into_iter().filter_map(|name| {
        let text = fs::read_to_string(directory.join(name)).ok()?;
        text.trim().parse().ok()
    });
    limits.min()
}

/// Where a line of mountinfo (proc(5)) says that control groups of the second version are.
fn group_mount(line: &str) -> Option<&str> {
    let (before, after) = line.split_once(" - ")?;
    let is_group = after.split(' ').next() == Some("cgroup2");
    is_group.then(|| before.split(' ').nth(4)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    struct Host {
        directory: tempfile::TempDir,
    }

    impl Host {
        fn new() -> Self {
            let host = Self { directory: tempfile::tempdir().unwrap() };
            host.write("proc/meminfo", "MemTotal:       16384000 kB\nMemFree:  1 kB\n");
            host
        }

        fn source(&self) -> MemorySource {
            MemorySource::below(self.directory.path())
        }

        fn write(&self, path: &str, text: &str) {
            let path = self.directory.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        fn use_mib(&self, mib: u64) {
            let text =
                format!("Name:\tringpost\nVmHWM:\t 9999999 kB\nVmRSS:\t{:>8} kB\n", mib * 1_024);
            self.write("proc/self/status", &text);
        }

        fn join_group(&self, group: &str) {
            self.write("proc/self/cgroup", &format!("4:memory:/old\n0::{group}\n"));
            self.write(
                "proc/self/mountinfo",
                "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
                 30 22 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n",
            );
        }
    }

    #[test]
    fn memory_is_short_near_the_ceiling_and_until_it_is_well_below() {
        let host = Host::new();
        let is_short = Arc::new(AtomicBool::new(false));
        let watch = MemoryWatch::new(host.source(), 1_000 * MIB, Arc::clone(&is_short));
        let cases = [
            (100, false),
            (899, false),
            (901, true),
            (2_000, true),
            (899, true),
            (801, true),
            (799, false),
            (899, false),
            (901, true),
        ];
        for (mib, expected) in cases {
            host.use_mib(mib);
            assert_eq!(watch.look().unwrap(), mib * MIB);
            assert_eq!(is_short.load(Ordering::Relaxed), expected, "at {mib} MiB");
        }
    }

    #[test]
    fn another_ceiling_counts_from_the_next_look_on() {
        let host = Host::new();
        host.use_mib(950);
        let is_short = Arc::new(AtomicBool::new(false));
        let mut watch = MemoryWatch::new(host.source(), 1_000 * MIB, Arc::clone(&is_short));
        watch.look().unwrap();
        assert!(is_short.load(Ordering::Relaxed));
        watch.set_ceiling(2_000 * MIB);
        watch.look().unwrap();
        assert!(!is_short.load(Ordering::Relaxed));
    }

    #[test]
    fn what_cannot_be_read_changes_nothing() {
        let host = Host::new();
        let is_short = Arc::new(AtomicBool::new(true));
        let watch = MemoryWatch::new(host.source(), MIB, Arc::clone(&is_short));
        watch.look().unwrap_err();
        for text in
            ["", "VmRSS:\n", "VmRSS: x kB\n", "VmRSS: 1 MB\n", "VmRSS: 99999999999999999999 kB\n"]
        {
            host.write("proc/self/status", text);
            watch.look().unwrap_err();
            assert!(is_short.load(Ordering::Relaxed));
        }
    }

    #[test]
    fn the_least_limit_of_host_and_control_groups_counts() {
        let host = Host::new();
        let source = host.source();
        assert_eq!(source.limit_bytes(), Some(16_000 * MIB));
        host.join_group("/system.slice/ringpost.service");
        assert_eq!(source.limit_bytes(), Some(16_000 * MIB), "no memory controller");
        let group = "sys/fs/cgroup/system.slice/ringpost.service";
        host.write(&format!("{group}/memory.max"), "max\n");
        assert_eq!(source.limit_bytes(), Some(16_000 * MIB));
        host.write(&format!("{group}/memory.max"), "2147483648\n");
        assert_eq!(source.limit_bytes(), Some(2_048 * MIB));
        host.write(&format!("{group}/memory.high"), "1073741824\n");
        assert_eq!(source.limit_bytes(), Some(1_024 * MIB));
        host.write("sys/fs/cgroup/system.slice/memory.max", "536870912\n");
        assert_eq!(source.limit_bytes(), Some(512 * MIB));
        // As a container sees itself: the top of the tree is its own group.
        host.join_group("/");
        host.write("sys/fs/cgroup/memory.max", "268435456\n");
        assert_eq!(source.limit_bytes(), Some(256 * MIB));
        // More than there is.
        host.write("sys/fs/cgroup/memory.max", "999999999999\n");
        assert_eq!(source.limit_bytes(), Some(16_000 * MIB));
    }

    #[test]
    fn a_host_that_tells_nothing_has_no_limit() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(MemorySource::below(directory.path()).limit_bytes(), None);
    }

    #[test]
    fn the_default_ceiling_is_three_quarters() {
        assert_eq!(default_ceiling_bytes(1_000), 750);
        assert!(default_ceiling_bytes(u64::MAX) < u64::MAX);
    }

    #[test]
    fn this_process_uses_some_memory_of_this_host() {
        let source = MemorySource::host();
        let mut block = vec![0_u8; 64 << 20];
        for page in block.chunks_mut(4_096) {
            page[0] = 1;
        }
        let used = source.resident_bytes().unwrap();
        assert!(used > 60 * MIB, "{used} bytes");
        assert!(source.limit_bytes().unwrap() > used);
        assert!(block.contains(&1));
    }
}
