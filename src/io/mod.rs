//! Adapters to the kernel and the network: bytes, sockets, files and names. Nothing in here knows
//! what mail is.

pub mod commits;
pub mod dns;
pub mod listen;
pub mod memory;
pub mod ring;
pub mod store;
pub mod time;
pub mod tls;
