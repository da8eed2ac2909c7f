//! Looking at the host. Nothing here decides anything.

use std::fs;
use std::io;

use io_uring::IoUring;
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::system::uname;
use rustix::thread::{CapabilitySet, capabilities};

use super::{HostState, Ring};

/// Raises the soft limits of open files and locked memory to the hard ones, which needs no right.
pub(super) fn raise_soft_limits() {
    for resource in [Resource::Nofile, Resource::Memlock] {
        let Rlimit { maximum, .. } = getrlimit(resource);
        // If it fails the limit stays as it is, and is judged as it is.
        let _ = setrlimit(resource, Rlimit { current: maximum, maximum });
    }
}

/// The host as it is now.
pub(super) fn state() -> HostState {
    HostState {
        kernel_release: uname().release().to_string_lossy().into_owned(),
        ring: try_ring(),
        io_uring_disabled: fs::read_to_string("/proc/sys/kernel/io_uring_disabled")
            .ok()
            .and_then(|text| text.trim().parse().ok()),
        memlock_bytes: getrlimit(Resource::Memlock).current,
        locks_freely: capabilities(None)
            .is_ok_and(|sets| sets.effective.contains(CapabilitySet::IPC_LOCK)),
        nofile: getrlimit(Resource::Nofile).current,
    }
}

fn try_ring() -> Ring {
    let ring: io::Result<IoUring> = IoUring::builder()
        .setup_single_issuer()
        .setup_coop_taskrun()
        .setup_defer_taskrun()
        .build(8);
    match ring {
        Ok(_) => Ring::Works,
        Err(error) => outcome(&error),
    }
}

fn outcome(error: &io::Error) -> Ring {
    match Errno::from_io_error(error) {
        Some(Errno::NOSYS) => Ring::NotThere,
        Some(Errno::PERM | Errno::ACCESS) => Ring::Forbidden,
        Some(Errno::INVAL) => Ring::FlagsUnknown,
        Some(Errno::NOMEM) => Ring::NoMemory,
        Some(Errno::MFILE | Errno::NFILE) => Ring::NoDescriptor,
        Some(other) => Ring::Failed(other.raw_os_error()),
        None => Ring::Failed(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_of_io_uring_setup_has_a_meaning() {
        let cases = [
            (Errno::NOSYS, Ring::NotThere),
            (Errno::PERM, Ring::Forbidden),
            (Errno::ACCESS, Ring::Forbidden),
            (Errno::INVAL, Ring::FlagsUnknown),
            (Errno::NOMEM, Ring::NoMemory),
            (Errno::MFILE, Ring::NoDescriptor),
            (Errno::FAULT, Ring::Failed(14)),
        ];
        for (errno, ring) in cases {
            assert_eq!(outcome(&errno.into()), ring);
        }
    }

    #[test]
    fn the_soft_limits_rise_to_the_hard_ones() {
        raise_soft_limits();
        for resource in [Resource::Nofile, Resource::Memlock] {
            let Rlimit { current, maximum } = getrlimit(resource);
            assert_eq!(current, maximum);
        }
    }
}
