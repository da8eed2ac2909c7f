//! Whether this host can run what the configuration asks for, found out before a shard starts.
//!
//! What is found out (`HostState`) and what is made of it (`complaints`) are apart, so that every
//! verdict can be tested without a host that deserves it.
//!
//! # Guarantees
//! After [`prepare`] the soft limits of open files and locked memory are the hard ones, the spool's
//! directory exists, is durable itself, and belongs to this process for as long as
//! [`PreparedHost`] lives.
//!
//! # Failures
//! [`Complaint`]s, all of them at once, each with the setting and the command that mends it.
//!
//! # Never
//! Raises a hard limit or changes a setting of the host: that is for the operator to decide.

mod addresses;
mod probe;
mod spool_directory;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::SocketAddr;

use crate::config::Config;
use crate::limits::{PROCESS_DESCRIPTOR_COUNT, SHARD_DESCRIPTOR_COUNT, SHARD_MEMLOCK_BYTES};

pub(crate) use self::addresses::complaint as address_complaint;
pub use self::spool_directory::SpoolLock;
pub(crate) use self::spool_directory::{complaint as spool_complaint, holder as spool_holder};

/// Something about the host that keeps the server from running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// What is wrong, with the name of the setting.
    pub what: String,
    /// What mends it: a command where there is one.
    pub remedy: String,
}

impl Complaint {
    fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what: what.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.what, self.remedy)
    }
}

/// A host that can run the configuration it was prepared for.
#[derive(Debug)]
pub struct PreparedHost {
    /// Keeps every other process off the spool until it is dropped.
    pub spool_lock: SpoolLock,
    /// The address of each listener, in their order, a port in place of every 0.
    pub listener_addresses: Vec<SocketAddr>,
}

/// Looks at the host and readies it for `config`.
///
/// # Errors
/// Everything that keeps the server from running.
pub fn prepare(config: &Config) -> Result<PreparedHost, Vec<Complaint>> {
    probe::raise_soft_limits();
    let mut complaints = complaints(&probe::state(), &Needs::of(config));
    let spool_lock = spool_directory::prepare(&config.spool.path);
    let listener_addresses = addresses::prepare(&config.listeners);
    match (spool_lock, listener_addresses) {
        (Ok(spool_lock), Ok(listener_addresses)) if complaints.is_empty() => {
            Ok(PreparedHost { spool_lock, listener_addresses })
        }
        (spool_lock, listener_addresses) => {
            complaints.extend(spool_lock.err());
            complaints.extend(listener_addresses.err().unwrap_or_default());
            Err(complaints)
        }
    }
}

/// Why no ring can be made here as the shards make it.
pub(crate) fn ring_complaint_here() -> Option<Complaint> {
    let state = probe::state();
    kernel_complaint(&state.kernel_release).or_else(|| ring_complaint(&state))
}

/// Descriptors that a server of this configuration may need at once.
pub(crate) fn descriptors_needed(config: &Config) -> u64 {
    Needs::of(config).descriptors()
}

/// What a configuration asks of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Needs {
    shards: u64,
    /// Connections of all listeners together.
    connections_in: u64,
    /// Connections to next hops.
    connections_out: u64,
}

impl Needs {
    fn of(config: &Config) -> Self {
        // What each shard may have is rounded up, and that is what may be open at once.
        let shards = config.shards.count();
        let of_all = |total: u32| u64::from(config.shards.share(total)) * u64::from(shards);
        let of_listeners: u64 =
            config.listeners.iter().map(|one| of_all(one.connections_max)).sum();
        Self {
            shards: u64::from(shards),
            connections_in: of_listeners.min(u64::from(config.limits.connections_max)),
            connections_out: of_all(config.delivery.connections_max),
        }
    }

    const fn descriptors(&self) -> u64 {
        let connections = self.connections_in + self.connections_out;
        PROCESS_DESCRIPTOR_COUNT + self.shards * SHARD_DESCRIPTOR_COUNT + connections
    }
}

/// What [`complaints`] rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
struct HostState {
    /// As `uname -r` prints it.
    kernel_release: String,
    ring: Ring,
    /// `kernel.io_uring_disabled`, where the kernel has it (since Linux 6.6).
    io_uring_disabled: Option<u8>,
    /// The soft limit of locked memory in bytes, raised to the hard one; `None` is no limit.
    memlock_bytes: Option<u64>,
    /// Whether the process may lock memory past its limit (CAP_IPC_LOCK).
    locks_freely: bool,
    /// The soft limit of open files, raised to the hard one; `None` is no limit.
    nofile: Option<u64>,
}

/// What came of an attempt to make an io_uring ring as the shards do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ring {
    Works,
    /// ENOSYS: the system call is not there, or a filter says so.
    NotThere,
    /// EPERM or EACCES.
    Forbidden,
    /// EINVAL: the kernel knows io_uring but not the flags.
    FlagsUnknown,
    /// ENOMEM.
    NoMemory,
    /// EMFILE or ENFILE.
    NoDescriptor,
    /// Another error, by its number.
    Failed(i32),
}

/// The oldest kernel with all that the ring uses: `DEFER_TASKRUN`, multishot receive and
/// provided-buffer rings.
const KERNEL_OLDEST: (u32, u32) = (6, 1);

/// Everything about `state` that does not meet `needs`.
fn complaints(state: &HostState, needs: &Needs) -> Vec<Complaint> {
    let kernel = kernel_complaint(&state.kernel_release);
    // On a kernel that is too old the ring fails for that very reason.
    let ring = if kernel.is_none() { ring_complaint(state) } else { None };
    let memlock = memlock_complaint(state, needs);
    let nofile = nofile_complaint(state, needs);
    [kernel, ring, memlock, nofile].into_iter().flatten().collect()
}

fn kernel_complaint(release: &str) -> Option<Complaint> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else {
        // A name that is no version says nothing; the ring is tried in any case.
        return None;
    };
    let (oldest_major, oldest_minor) = KERNEL_OLDEST;
    ((major, minor) < KERNEL_OLDEST).then(|| {
        Complaint::new(
            format!(
                "Linux {release} is older than {oldest_major}.{oldest_minor}, which io_uring \
                 sockets need"
            ),
            "upgrade the kernel: Debian 12 and Ubuntu 24.04 come with one that does",
        )
    })
}

fn ring_complaint(state: &HostState) -> Option<Complaint> {
    let complaint = match (state.ring, state.io_uring_disabled) {
        (Ring::Works, _) => return None,
        (Ring::Forbidden | Ring::NotThere, Some(2)) => Complaint::new(
            "io_uring is switched off on this host (kernel.io_uring_disabled = 2)",
            "switch it on: sysctl -w kernel.io_uring_disabled=0",
        ),
        (Ring::Forbidden | Ring::NotThere, Some(1)) => Complaint::new(
            "io_uring is switched off for this user (kernel.io_uring_disabled = 1)",
            "switch it on for all: sysctl -w kernel.io_uring_disabled=0; or for a group of this \
             user: sysctl -w kernel.io_uring_group=GID",
        ),
        (Ring::Forbidden, _) => Complaint::new(
            "io_uring is forbidden here (io_uring_setup: EPERM), most likely by the seccomp \
             profile of a container",
            "allow io_uring_setup, io_uring_enter and io_uring_register in the profile, as in: \
             docker run --security-opt seccomp=unconfined; under systemd look at \
             SystemCallFilter=",
        ),
        (Ring::NotThere, _) => Complaint::new(
            "io_uring is not there (io_uring_setup: ENOSYS): a sandbox hides it, or the kernel \
             was built without CONFIG_IO_URING",
            "run outside the sandbox (docker run --security-opt seccomp=unconfined), or on a \
             kernel that has it: grep CONFIG_IO_URING /boot/config-$(uname -r)",
        ),
        (Ring::FlagsUnknown, _) => Complaint::new(
            format!(
                "the io_uring of Linux {} does not know SINGLE_ISSUER, COOP_TASKRUN and \
                 DEFER_TASKRUN (io_uring_setup: EINVAL)",
                state.kernel_release
            ),
            "upgrade to Linux 6.1 or later",
        ),
        (Ring::NoMemory, _) => Complaint::new(
            "there is no memory for an io_uring ring (io_uring_setup: ENOMEM)",
            "raise the memory limit of the control group (MemoryMax= under systemd, docker run \
             --memory), or the memlock limit: ulimit -l",
        ),
        (Ring::NoDescriptor, _) => Complaint::new(
            "there is no descriptor left for an io_uring ring (io_uring_setup: EMFILE)",
            "raise the limit of open files: ulimit -n",
        ),
        (Ring::Failed(errno), _) => Complaint::new(
            format!("an io_uring ring cannot be made (io_uring_setup: error {errno})"),
            "look into the kernel's log: dmesg | tail",
        ),
    };
    Some(complaint)
}

fn memlock_complaint(state: &HostState, needs: &Needs) -> Option<Complaint> {
    // The kernel does not count for whoever may lock freely, but each executor looks at the limit
    // all the same.
    let (need, reason) = if state.locks_freely {
        (SHARD_MEMLOCK_BYTES, String::new())
    } else {
        let shards = needs.shards;
        let each = SHARD_MEMLOCK_BYTES / 1_024;
        (shards * SHARD_MEMLOCK_BYTES, format!(" ({each} for each of {shards} shards)"))
    };
    let limit = state.memlock_bytes.filter(|limit| *limit < need)?;
    let kib = need / 1_024;
    Some(Complaint::new(
        format!("the memlock limit is {} KiB and {kib} KiB are needed{reason}", limit / 1_024),
        format!(
            "raise it: LimitMEMLOCK={kib}K in the systemd unit; docker run --ulimit \
             memlock={need}:{need}; or, as root in the shell that starts it, ulimit -l {kib}"
        ),
    ))
}

fn nofile_complaint(state: &HostState, needs: &Needs) -> Option<Complaint> {
    let need = needs.descriptors();
    let limit = state.nofile.filter(|limit| *limit < need)?;
    Some(Complaint::new(
        format!(
            "the limit of open files (nofile) is {limit} and {need} are needed: {} for \
             connections_max of [limits] and the listeners, {} for that of [delivery], {} besides",
            needs.connections_in,
            needs.connections_out,
            need - needs.connections_in - needs.connections_out
        ),
        format!(
            "raise it: LimitNOFILE={need} in the systemd unit; docker run --ulimit \
             nofile={need}:{need}; or, as root in the shell that starts it, ulimit -n {need}; or \
             lower connections_max"
        ),
    ))
}
