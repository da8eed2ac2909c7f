//! A shard between real sockets: TLS, the PROXY protocol, passwords and limits of connections.

#![allow(clippy::unwrap_used, clippy::panic, reason = "all of it is test code")]

mod client;
mod limits;
mod proxy;
mod shard;
mod tls;
