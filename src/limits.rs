//! Every bound of the server, with the unit at the end of its name.
//!
//! A bound that an operator may want to move is a configuration key whose default stands here.
//! Relations between bounds are asserted when the program is compiled.

// Process.

/// Shards of one process: the lowest eight bits of a message id name the shard.
pub const SHARD_COUNT_MAX: usize = 256;

// Reception (RFC 5321 §4.5.3.1 gives the least that a server must accept).

/// Command line with its CRLF. RFC 5321 §4.5.3.1.4 wants 512; parameters of the offered extensions
/// add to it (RFC 1870 §3 adds 26 for SIZE, RFC 6152 §2 adds 17 for BODY), and real clients send
/// longer ones.
pub const COMMAND_LINE_BYTES_MAX: usize = 2_048;

/// Domain or address literal (RFC 5321 §4.5.3.1.2 wants 255).
pub const DOMAIN_BYTES_MAX: usize = 255;

/// Local part. RFC 5321 §4.5.3.1.1 wants 64; bounce addresses of bulk senders (VERP) are longer.
pub const LOCAL_PART_BYTES_MAX: usize = 255;

/// Path with its angle brackets (RFC 5321 §4.5.3.1.3 wants 256).
pub const PATH_BYTES_MAX: usize = LOCAL_PART_BYTES_MAX + 1 + DOMAIN_BYTES_MAX + 2;

// Spool.

/// Unit of the spool's writes: the logical block that `O_DIRECT` asks for on every disk in use.
pub const BLOCK_BYTES: usize = 4_096;

// Queue and routes.

// Relay.

// DNS.

// Ring.

const _: () = assert!(
    PATH_BYTES_MAX + 256 <= COMMAND_LINE_BYTES_MAX,
    "the longest path and its parameters fit in a command line"
);
