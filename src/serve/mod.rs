//! All shards of the process: from a configuration and a host that can run it to shards that do,
//! through reloads, and down again.
//!
//! # Guarantees
//! - [`Shards::start`] returns when every shard takes connections.
//! - A reload is taken whole or not at all.
//!
//! # Failures
//! [`ServeError`]: one clear text each.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::config::{Config, Durability};
use crate::counters::PublishedCounters;
use crate::host_check::{self, Complaint};
use crate::ids::ShardId;
use crate::io::dns::{AddressFamilies, ResolverSettings};
use crate::io::listen;
use crate::io::store::{ShardDirectory, SpoolRoot, StoreError};
use crate::io::time;
use crate::io::tls::TlsError;
use crate::proto::client::ClientSettings;
use crate::queue::QueueSettings;
use crate::route::RouteTable;
use crate::shard::{
    self, ListenerReload, ListenerSettings, Reload, ShardError, ShardSettings, Shared, Started,
    ToShard,
};

mod reception;
#[cfg(test)]
mod tests;

pub use self::reception::{Offers, Reception};

/// Why the shards cannot be started or had to end.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// An address cannot be listened on.
    #[error("{0}")]
    Listen(Complaint),
    /// A directory of the spool cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A shard cannot run.
    #[error("shard {shard}: {error}")]
    Shard {
        /// Which one.
        shard: usize,
        /// Why.
        error: ShardError,
    },
    /// A file of `[tls]` cannot be used.
    #[error("tls: {0}")]
    Tls(#[from] TlsError),
    /// The kernel gives no random numbers.
    #[error("cannot get random numbers from the kernel: {0}")]
    Seed(std::io::Error),
}

/// The running shards.
#[derive(Debug)]
pub struct Shards {
    started: Vec<Started>,
    reception: Reception,
}

/// Why a reload is refused.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// These sections cannot change while the server runs.
    #[error("{} cannot change while the server runs; restart to use it", .0.join(", "))]
    Fixed(Vec<&'static str>),
    /// A file of `[tls]` cannot be used.
    #[error("tls: {0}")]
    Tls(#[from] TlsError),
}

impl Shards {
    /// Starts a shard on each CPU of `config`, which listen on `addresses` in the order of its
    /// listeners, with what `reception` `offers` there, and waits until all take connections. Each
    /// shows its counters in one of `published` and calls `ended` when it ends, for whatever
    /// reason.
    ///
    /// # Errors
    /// What keeps any of them from running; those that were started are stopped then.
    pub fn start(
        config: &Config,
        reception: Reception,
        offers: Vec<ListenerReload>,
        addresses: &[SocketAddr],
        published: &[Arc<PublishedCounters>],
        ended: impl Fn() + Clone + Send + 'static,
    ) -> Result<Self, ServeError> {
        let count = config.shards.cpus.as_slice().len();
        let root = SpoolRoot::new(&config.spool.path);
        let orphans: Vec<usize> =
            root.shards()?.into_iter().filter(|&index| index >= count).collect();
        let mut sockets = Vec::new();
        for &address in addresses {
            let bound = listen::bind(address, count);
            let bound = bound.map_err(|error| {
                ServeError::Listen(host_check::address_complaint(address, &error))
            })?;
            sockets.push(bound.into_iter());
        }
        let shared = Shared::new(reception.memory_is_short());
        let mut shards = Self { started: Vec::new(), reception };
        for (index, published) in published.iter().enumerate() {
            let listeners = offers
                .iter()
                .zip(&mut sockets)
                .filter_map(|(reload, sockets)| Some((reload.clone(), sockets.next()?)))
                .map(|(reload, socket)| ListenerSettings { socket, reload })
                .collect();
            let settings = shard_settings(config, index, listeners, shared.clone())?;
            let adopted = adopted_by(&root, &orphans, index, count)?;
            let started = shard::start(
                settings,
                root.shard(index)?,
                adopted,
                Arc::clone(published),
                ended.clone(),
            );
            shards
                .started
                .push(started.map_err(|error| ServeError::Shard { shard: index, error })?);
        }
        for (index, started) in shards.started.iter().enumerate() {
            let ready = started.wait_until_ready();
            let ready = ready.map_err(|error| ServeError::Shard { shard: index, error })?;
            if ready.recovered_count + ready.adopted_count > 0 {
                tracing::info!(
                    shard = index,
                    recovered = ready.recovered_count,
                    adopted = ready.adopted_count,
                    "messages of an earlier run are in the queue"
                );
            }
        }
        Ok(shards)
    }

    /// Gives all shards what `new` changes over `old`, and returns the warnings about it.
    ///
    /// The files of `[tls]` are read again, though `new` may name the same: certificates are
    /// renewed in place.
    ///
    /// # Errors
    /// Why `new` cannot be used; nothing is changed then.
    pub fn reload(&self, old: &Config, new: &Config) -> Result<Vec<String>, ReloadError> {
        let fixed = fixed_changes(old, new);
        if !fixed.is_empty() {
            return Err(ReloadError::Fixed(fixed));
        }
        let Offers { listeners, warnings } = self.reception.offers(new)?;
        for started in &self.started {
            let reload = Box::new(Reload {
                routes: route_table(new),
                listeners: listeners.clone(),
                connections_max: new.limits.connections_max as usize,
            });
            if !started.handle().send(ToShard::Reload(reload)) {
                tracing::error!("a shard did not take the new configuration; restart to use it");
            }
        }
        Ok(warnings)
    }

    /// Whether no message may be begun for want of memory, which is for the caller to find out.
    pub fn memory_is_short(&self) -> Arc<AtomicBool> {
        self.reception.memory_is_short()
    }

    /// Tells all shards to stop and waits until they have.
    ///
    /// # Errors
    /// Why a shard ended before it was told.
    pub fn stop(self) -> Result<(), ServeError> {
        for started in &self.started {
            started.handle().send(ToShard::Stop);
        }
        let mut result = Ok(());
        for (index, started) in self.started.into_iter().enumerate() {
            if let Err(error) = started.join() {
                result = Err(ServeError::Shard { shard: index, error });
            }
        }
        result
    }
}

/// The directories that shard `index` of `count` takes over.
fn adopted_by(
    root: &SpoolRoot,
    orphans: &[usize],
    index: usize,
    count: usize,
) -> Result<Vec<ShardDirectory>, StoreError> {
    orphans.iter().filter(|&orphan| orphan % count == index).map(|&it| root.shard(it)).collect()
}

fn shard_settings(
    config: &Config,
    index: usize,
    listeners: Vec<ListenerSettings>,
    shared: Shared,
) -> Result<ShardSettings, ServeError> {
    let hostname = config.hostname.as_str();
    let seed = time::seed().map_err(ServeError::Seed)?;
    let share = |total| config.shards.share(total) as usize;
    let delivery = &config.delivery;
    let families = AddressFamilies::for_host(listen::has_ipv6_route());
    let mut resolver = ResolverSettings::new(config.dns.servers.clone(), families);
    resolver.own_names = vec![hostname.into()];
    let mut queue = QueueSettings::new(hostname, seed);
    queue.retry_first = delivery.retry_first;
    queue.retry_max = delivery.retry_max;
    queue.expire = delivery.expire;
    queue.connections_per_site_max = share(delivery.connections_per_site_max);
    queue.recipients_per_transaction_max = delivery.recipients_per_transaction_max as usize;
    let Ok(id) = u8::try_from(index) else {
        unreachable!("a configuration has at most 256 shards")
    };
    Ok(ShardSettings {
        id: ShardId(id),
        cpu: usize::from(config.shards.cpus.as_slice()[index]),
        hostname: hostname.into(),
        listeners,
        segment_bytes: config.spool.segment_bytes,
        cache_bytes: usize::try_from(config.spool.cache_bytes).unwrap_or(usize::MAX),
        durable: config.spool.durability == Durability::Commit,
        routes: route_table(config),
        queue,
        delivery_port: delivery.port,
        connections_out_max: share(delivery.connections_max),
        client: ClientSettings::new(hostname),
        resolver,
        grace: config.shutdown.grace,
        seed,
        shared,
        connections_max: config.limits.connections_max as usize,
    })
}

fn route_table(config: &Config) -> RouteTable {
    RouteTable::new(&config.routes, config.delivery.port)
}

/// The sections that differ and cannot change while the server runs.
fn fixed_changes(old: &Config, new: &Config) -> Vec<&'static str> {
    let addresses = |config: &Config| -> Vec<SocketAddr> {
        config.listeners.iter().map(|listener| listener.address).collect()
    };
    [
        ("hostname", old.hostname != new.hostname),
        ("shards", old.shards != new.shards),
        ("spool", old.spool != new.spool),
        ("listener.address", addresses(old) != addresses(new)),
        ("delivery", old.delivery != new.delivery),
        ("dns", old.dns != new.dns),
        ("admin", old.admin != new.admin),
        ("shutdown", old.shutdown != new.shutdown),
    ]
    .into_iter()
    .filter_map(|(section, changed)| changed.then_some(section))
    .collect()
}
