//! Counts that all shards share: connections, messages, recipients and failed authentications by
//! client, network and user.

use std::net::IpAddr;

use crate::clock::Now;

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

/// The bound that is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// [`ThrottleLimits::connections_per_address_max`].
    ConnectionsOfAddress,
    /// [`ThrottleLimits::connections_per_network_max`].
    ConnectionsOfNetwork,
    /// [`ThrottleLimits::address_messages_per_minute_max`].
    MessagesOfAddress,
    /// [`ThrottleLimits::user_messages_per_minute_max`].
    MessagesOfUser,
    /// [`ThrottleLimits::address_recipients_per_minute_max`].
    RecipientsOfAddress,
    /// [`ThrottleLimits::user_recipients_per_minute_max`].
    RecipientsOfUser,
}

#[expect(clippy::unnecessary_wraps, clippy::unused_self, reason = "the counts are not kept yet")]
impl Throttles {
    /// Empty counts. Whoever does not know `secret` cannot choose addresses whose counts fall
    /// together.
    pub fn new(_secret: u64) -> Self {
        Self {}
    }

    /// Counts a connection that `address` wants to open. After `Ok` it is counted until
    /// [`disconnect`](Self::disconnect), which must be given the same `scope` and `limits`; after
    /// an error it is not counted.
    ///
    /// # Errors
    /// The bound that is met.
    pub fn connect(
        &self,
        _now: Now,
        _scope: u32,
        _limits: &ThrottleLimits,
        _address: IpAddr,
    ) -> Result<(), Over> {
        Ok(())
    }

    /// Ends the count of a connection.
    pub fn disconnect(&self, _scope: u32, _limits: &ThrottleLimits, _address: IpAddr) {}

    /// Counts a message that `address` begins, authenticated as `user` or not.
    ///
    /// # Errors
    /// The bound that is met; the message is not counted then.
    pub fn message(
        &self,
        _now: Now,
        _scope: u32,
        _limits: &ThrottleLimits,
        _address: IpAddr,
        _user: Option<&[u8]>,
    ) -> Result<(), Over> {
        Ok(())
    }

    /// Counts a recipient that `address` names, authenticated as `user` or not.
    ///
    /// # Errors
    /// The bound that is met; the recipient is not counted then.
    pub fn recipient(
        &self,
        _now: Now,
        _scope: u32,
        _limits: &ThrottleLimits,
        _address: IpAddr,
        _user: Option<&[u8]>,
    ) -> Result<(), Over> {
        Ok(())
    }

    /// Whether so many authentications failed for `address` that it may not try another now.
    pub fn auth_is_blocked(
        &self,
        _now: Now,
        _scope: u32,
        _limits: &ThrottleLimits,
        _address: IpAddr,
    ) -> bool {
        false
    }

    /// Counts an authentication that failed for `address`.
    pub fn auth_failed(&self, _now: Now, _scope: u32, _limits: &ThrottleLimits, _address: IpAddr) {}
}
