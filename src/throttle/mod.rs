//! Counts that all shards share: connections, messages, recipients and failed authentications by
//! client, network and user.

/// The counts; see the [module](self).
#[derive(Debug, Default)]
pub struct Throttles {}

/// The bounds of the counts. Zero stands for none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ThrottleLimits {
    /// Connections of one address at a time.
    pub connections_per_address_max: u32,
    /// Connections of one network at a time.
    pub connections_per_network_max: u32,
    /// Messages that one address may begin in a minute.
    pub address_messages_per_minute_max: u32,
    /// Recipients that one address may name in a minute.
    pub address_recipients_per_minute_max: u32,
    /// Messages that one user may begin in a minute, over all listeners.
    pub user_messages_per_minute_max: u32,
    /// Recipients that one user may name in a minute, over all listeners.
    pub user_recipients_per_minute_max: u32,
    /// Authentications that may fail for one address in a minute.
    pub auth_failures_per_minute_max: u32,
}
