//! The DNS client of a shard: which hosts serve a domain, and where they are.
//!
//! [`Resolver`] is a machine without sockets: the shard gives it look-ups, sends what it wants sent
//! and feeds it what arrives.
//!
//! | file | what |
//! | --- | --- |
//! | `codec` | queries to bytes and replies to facts; the only place that knows hickory-proto |
//! | `cache` | answers until their time is up |
//! | `look_up` | one look-up: from MX records over aliases to addresses |
//! | `question` | one question on its way through servers, transports and attempts |
//! | `resolver` | all of them together, with the bounds |
//!
//! # RFCs
//! 1034 and 1035 (the protocol, aliases), 2181 (TTLs, truncation), 2308 (negative answers), 5321
//! §5.1 (from a domain to hosts), 5452 (what a reply must match), 6761 (localhost), 6891 (EDNS),
//! 7505 (null MX), 7766 (TCP).

pub mod cache;
pub mod codec;
mod look_up;
mod question;
pub mod resolver;
#[cfg(test)]
mod tests;

pub use crate::route::mx::{AddressFamilies, DnsFailure, DnsFailureKind, Site, SiteHost};
pub use resolver::{
    DnsTransmit, LookUpId, QueryId, Resolver, ResolverSettings, SiteLookUp, Transport,
};
