//! What a shard is told when it starts. The process fills it from the configuration.

use std::os::fd::OwnedFd;
use std::time::Duration;

use crate::ids::ShardId;
use crate::io::dns::ResolverSettings;
use crate::io::tls::ServerTls;
use crate::network::Network;
use crate::proto::client::ClientSettings;
use crate::proto::server::ServerPolicy;
use crate::queue::QueueSettings;
use crate::route::RouteTable;

use super::mesh::Shared;

/// Settings of one shard.
#[derive(Debug)]
pub struct ShardSettings {
    /// Its number: names its directory in the spool and ends its message ids.
    pub id: ShardId,
    /// The CPU that it is pinned to.
    pub cpu: usize,
    /// Banner, EHLO name and the name in trace lines and bounces.
    pub hostname: Box<str>,
    /// Where it takes connections, with the sockets that are its own.
    pub listeners: Vec<ListenerSettings>,
    /// Length of a segment file.
    pub segment_bytes: u64,
    /// Recent content kept in memory for the relay.
    pub cache_bytes: usize,
    /// Whether a commit waits for stable storage (`spool.durability = "commit"`).
    pub durable: bool,
    /// Where mail goes.
    pub routes: RouteTable,
    /// Retries, expiry and concurrency.
    pub queue: QueueSettings,
    /// Port of destinations that MX records name.
    pub delivery_port: u16,
    /// Connections to next hops at a time.
    pub connections_out_max: usize,
    /// The client machine's time-outs and name.
    pub client: ClientSettings,
    /// The name servers.
    pub resolver: ResolverSettings,
    /// How long running transactions may go on when the server stops.
    pub grace: Duration,
    /// Where its random choices start from.
    pub seed: u64,
    /// What it shares with all other shards.
    pub shared: Shared,
    /// Connections from clients at a time, of all shards together.
    pub connections_max: usize,
}

/// One listener of a shard.
#[derive(Debug)]
pub struct ListenerSettings {
    /// The listening socket.
    pub socket: OwnedFd,
    /// What may change while it listens.
    pub reload: ListenerReload,
}

/// What may change while a listener listens; it holds for sessions that begin later.
#[derive(Clone, Debug)]
pub struct ListenerReload {
    /// What its sessions are offered and allowed.
    pub policy: ServerPolicy,
    /// What protects its sessions, where `policy.tls` offers that.
    pub tls: Option<ServerTls>,
    /// Proxies, whose connections begin with a header of the PROXY protocol.
    pub proxy_from: Vec<Network>,
    /// Connections at a time.
    pub connections_max: usize,
}

/// What a running shard can be told to change.
#[derive(Debug)]
pub struct Reload {
    /// Where mail goes from now on. Messages in the queue keep the next hop that they have.
    pub routes: RouteTable,
    /// In the order of [`ShardSettings::listeners`].
    pub listeners: Vec<ListenerReload>,
    /// As [`ShardSettings::connections_max`].
    pub connections_max: usize,
}
