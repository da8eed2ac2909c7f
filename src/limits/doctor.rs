//! Bounds of `ringpost doctor`.

/// How long commits are measured, once one at a time and once several at once.
pub const DOCTOR_COMMITS_MS: u64 = 1_000;

/// File that commits are measured on: enough that they do not come round to the same blocks while
/// the disk still has them in hand.
pub const DOCTOR_SEGMENT_BYTES: u64 = 16 << 20;

/// Questions to a name server of which the median is taken.
pub const DOCTOR_DNS_QUESTION_COUNT: usize = 7;

/// Wait for an answer of a name server.
pub const DOCTOR_DNS_TIMEOUT_MS: u64 = 2_000;

/// Wait for a connection to port 25, and again for the greeting: firewalls that drop packets give
/// no other answer. Servers that make clients wait for their greeting rarely do for longer.
pub const DOCTOR_PORT_25_TIMEOUT_S: u64 = 10;

/// Addresses of one host of which port 25 is tried.
pub const DOCTOR_PORT_25_ADDRESSES_MAX: usize = 2;

/// First line of a greeting (RFC 5321 §4.5.3.1.5).
pub const DOCTOR_GREETING_BYTES_MAX: u64 = 512;

/// Wait for a program that is asked about the host.
pub const DOCTOR_PROGRAM_TIMEOUT_MS: u64 = 5_000;

/// Output of a program that is asked about the host.
pub const DOCTOR_PROGRAM_BYTES_MAX: u64 = 1 << 20;
