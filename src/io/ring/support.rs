//! Which of the operations that a shard uses this kernel has.

use std::io;

use io_uring::{IoUring, Probe, opcode};

/// The operations that this module submits, by their names in `io_uring_enter(2)`. Multishot is a
/// flag of an operation, which the release of the kernel decides.
const OPERATIONS: [(&str, u8); 9] = [
    ("ACCEPT", opcode::AcceptMulti::CODE),
    ("ASYNC_CANCEL", opcode::AsyncCancel::CODE),
    ("CONNECT", opcode::Connect::CODE),
    ("READ", opcode::Read::CODE),
    ("RECV", opcode::RecvMulti::CODE),
    ("SEND", opcode::Send::CODE),
    ("SENDMSG", opcode::SendMsg::CODE),
    ("TIMEOUT", opcode::Timeout::CODE),
    ("WRITE", opcode::Write::CODE),
];

/// The operations of a shard that the kernel does not have.
///
/// # Errors
/// No ring can be made, or it does not tell.
pub fn missing_operations() -> io::Result<Vec<&'static str>> {
    let ring = IoUring::new(2)?;
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe)?;
    let missing = OPERATIONS.iter().filter(|(_, code)| !probe.is_supported(*code));
    Ok(missing.map(|(name, _)| *name).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tests of the ring use each of them.
    #[test]
    fn a_kernel_that_runs_the_tests_has_all() {
        assert_eq!(missing_operations().unwrap(), Vec::<&str>::new());
    }
}
