//! Counts that all shards share: connections, messages, recipients and failed authentications by
//! client, network and user.
//!
//! An IPv4 client that came in over an IPv6 socket counts as what it is. One IPv6 host has a whole
//! network of addresses, so that its messages, recipients and failed authentications are counted
//! by network, whatever address it takes for each; connections have a bound of their own for that.
//!
//! Messages, recipients and failed authentications have rates: after a minute's rest a client may
//! use up a whole minute's worth at once, and then one at a time. Time is an argument; that of
//! several shards may differ a little.
//!
//! # Guarantees
//! - Of what is counted under a key never more pass than the bound, whichever threads call at once.
//!   With rates that is the bound itself, and as much again for each minute that goes by.
//! - What is refused is not counted, but while the call lasts: another call at that moment may be
//!   refused though it alone would not.
//! - No thread waits for another, and no call allocates.
//!
//! # Never
//! A key is never stored, only a hash of it that nobody can foresee who does not know the secret.
//!
//! # Failures
//! With more keys than there are slots, a new key takes the place of the rate of which least is
//! used up: a client that is at its bound stays bounded, while many that are not may displace each
//! other. That is counted ([`Pressure::forgotten`]). Connections are never forgotten. If a key
//! finds nothing but connections in all its slots, a connection is refused, since nobody could say
//! how many there are, and other things pass; both are counted ([`Pressure::turned_away`]).
//!
//! A rate that nobody asked for in a hundred days may be taken for used up, for a minute: the time
//! in its slot has 39 bits.
//!
//! # Bounds
//! [`THROTTLE_SLOTS`] of eight bytes.

mod rate;
mod table;
#[cfg(test)]
mod tests;

use std::fmt;
use std::hash::{DefaultHasher, Hasher};
use std::net::IpAddr;

use crate::clock::Now;
use crate::limits::{THROTTLE_NETWORK_IPV4_BITS, THROTTLE_NETWORK_IPV6_BITS, THROTTLE_SLOTS};
use crate::network::Network;

use self::rate::{Rate, Tick};
use self::table::{Key, Meaning, Outcome, Table};

/// Slots of the counts that tests and benches of other things make by the thousand.
const SLOTS_BY_DEFAULT: usize = 1_024;

/// The counts; see the [module](self).
pub struct Throttles {
    secret: u64,
    table: Table,
}

/// The bounds of the counts. Zero stands for none, and a rate above
/// `THROTTLE_EVENTS_PER_MINUTE_MAX` for that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ThrottleLimits {
    /// Connections of one address at a time.
    pub connections_per_address_max: u32,
    /// Connections of one network at a time.
    pub connections_per_network_max: u32,
    /// Messages that one address may begin in a minute. Of IPv6 this and what follows are for the
    /// network.
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

/// Whose event it is.
#[derive(Clone, Copy, Debug)]
struct Source<'a> {
    scope: u32,
    address: IpAddr,
    user: Option<&'a [u8]>,
}

/// How the counts fare; both only rise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pressure {
    /// Rates that were forgotten for want of slots.
    pub forgotten: u64,
    /// Calls that found no slot at all.
    pub turned_away: u64,
}

/// What a key is about: the same client has a count for each.
#[derive(Clone, Copy, Debug)]
enum Kind {
    AddressConnections,
    NetworkConnections,
    AddressMessages,
    AddressRecipients,
    UserMessages,
    UserRecipients,
    AuthFailures,
}

impl Throttles {
    /// Empty counts. Whoever does not know `secret` cannot choose addresses whose counts fall
    /// together.
    pub fn new(secret: u64) -> Self {
        Self { secret, table: Table::new(THROTTLE_SLOTS) }
    }

    /// Counts a connection that `address` wants to open. After `Ok` it is counted until
    /// [`disconnect`](Self::disconnect), which must be given the same `scope` and `limits`; after
    /// an error it is not counted.
    ///
    /// # Errors
    /// The bound that is met.
    pub fn connect(
        &self,
        now: Now,
        scope: u32,
        limits: &ThrottleLimits,
        address: IpAddr,
    ) -> Result<(), Over> {
        let enter = |kind, address, max: u32| {
            if max == 0 {
                return true;
            }
            let change = |count| (count < u64::from(max)).then_some(count + 1);
            let key = self.client_key(kind, scope, address);
            self.table.change(key, Tick::new(now), 0, change) == Outcome::Changed
        };
        let address_max = limits.connections_per_address_max;
        if !enter(Kind::AddressConnections, address.to_canonical(), address_max) {
            return Err(Over::ConnectionsOfAddress);
        }
        let network_max = limits.connections_per_network_max;
        if !enter(Kind::NetworkConnections, network(address), network_max) {
            self.leave(Kind::AddressConnections, scope, address.to_canonical(), address_max);
            return Err(Over::ConnectionsOfNetwork);
        }
        Ok(())
    }

    /// Ends the count of a connection.
    pub fn disconnect(&self, scope: u32, limits: &ThrottleLimits, address: IpAddr) {
        let address_max = limits.connections_per_address_max;
        self.leave(Kind::AddressConnections, scope, address.to_canonical(), address_max);
        let network_max = limits.connections_per_network_max;
        self.leave(Kind::NetworkConnections, scope, network(address), network_max);
    }

    /// Counts a message that `address` begins, authenticated as `user` or not.
    ///
    /// # Errors
    /// The bound that is met; the message is not counted then.
    pub fn message(
        &self,
        now: Now,
        scope: u32,
        limits: &ThrottleLimits,
        address: IpAddr,
        user: Option<&[u8]>,
    ) -> Result<(), Over> {
        self.event(
            now,
            Source { scope, address, user },
            (
                Kind::AddressMessages,
                limits.address_messages_per_minute_max,
                Over::MessagesOfAddress,
            ),
            (Kind::UserMessages, limits.user_messages_per_minute_max, Over::MessagesOfUser),
        )
    }

    /// Counts a recipient that `address` names, authenticated as `user` or not.
    ///
    /// # Errors
    /// The bound that is met; the recipient is not counted then.
    pub fn recipient(
        &self,
        now: Now,
        scope: u32,
        limits: &ThrottleLimits,
        address: IpAddr,
        user: Option<&[u8]>,
    ) -> Result<(), Over> {
        self.event(
            now,
            Source { scope, address, user },
            (
                Kind::AddressRecipients,
                limits.address_recipients_per_minute_max,
                Over::RecipientsOfAddress,
            ),
            (Kind::UserRecipients, limits.user_recipients_per_minute_max, Over::RecipientsOfUser),
        )
    }

    /// Whether so many authentications failed for `address` that it may not try another now. Those
    /// that are tried at the same moment do not know of each other; only the bound of connections
    /// bounds them.
    pub fn auth_is_blocked(
        &self,
        now: Now,
        scope: u32,
        limits: &ThrottleLimits,
        address: IpAddr,
    ) -> bool {
        let now = Tick::new(now);
        Rate::new(limits.auth_failures_per_minute_max).is_some_and(|rate| {
            let key = self.client_key(Kind::AuthFailures, scope, client(address));
            let value = self.table.value(key);
            value.is_some_and(|value| rate.charge(value, now).is_none())
        })
    }

    /// Counts an authentication that failed for `address`.
    pub fn auth_failed(&self, now: Now, scope: u32, limits: &ThrottleLimits, address: IpAddr) {
        if let Some(rate) = Rate::new(limits.auth_failures_per_minute_max) {
            let key = self.client_key(Kind::AuthFailures, scope, client(address));
            // What is beyond the bound changes nothing: the client is blocked as it is.
            self.charge(Tick::new(now), key, rate);
        }
    }

    /// How the counts fare.
    pub fn pressure(&self) -> Pressure {
        Pressure { forgotten: self.table.forgotten(), turned_away: self.table.turned_away() }
    }

    /// Counts an event of `source` by its address, by its user, by both, or by neither: as far as
    /// they are bounded.
    fn event(
        &self,
        now: Now,
        source: Source<'_>,
        of_address: (Kind, u32, Over),
        of_user: (Kind, u32, Over),
    ) -> Result<(), Over> {
        let now = Tick::new(now);
        let (kind, address_max, over) = of_address;
        // A key costs a hash, which an unbounded count need not pay.
        let by_address = Rate::new(address_max)
            .map(|rate| (self.client_key(kind, source.scope, client(source.address)), rate));
        if by_address.is_some_and(|(key, rate)| !self.charge(now, key, rate)) {
            return Err(over);
        }
        let (kind, user_max, over) = of_user;
        let by_user = source.user.zip(Rate::new(user_max));
        if by_user.is_some_and(|(user, rate)| !self.charge(now, self.user_key(kind, user), rate)) {
            if let Some((key, rate)) = by_address {
                self.table.change_held(key, |value| rate.refund(value, now));
            }
            return Err(over);
        }
        Ok(())
    }

    /// Whether one more event is within the bound; if so, it is counted.
    fn charge(&self, now: Tick, key: Key, rate: Rate) -> bool {
        let charge = |value| rate.charge(value, now);
        self.table.change(key, now, now.as_value(), charge) != Outcome::Refused
    }

    fn leave(&self, kind: Kind, scope: u32, address: IpAddr, max: u32) {
        if max > 0 {
            let key = self.client_key(kind, scope, address);
            self.table.change_held(key, |count| count.saturating_sub(1));
        }
    }

    fn client_key(&self, kind: Kind, scope: u32, address: IpAddr) -> Key {
        let mut hasher = self.hasher(kind);
        hasher.write_u32(scope);
        match address {
            IpAddr::V4(address) => hasher.write(&address.octets()),
            IpAddr::V6(address) => hasher.write(&address.octets()),
        }
        self.table.key(hasher.finish(), kind.meaning())
    }

    fn user_key(&self, kind: Kind, user: &[u8]) -> Key {
        let mut hasher = self.hasher(kind);
        hasher.write(user);
        self.table.key(hasher.finish(), kind.meaning())
    }

    /// SipHash, whose state nobody can know who does not know its first input.
    fn hasher(&self, kind: Kind) -> DefaultHasher {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.secret);
        hasher.write_u8(kind.number());
        hasher
    }
}

/// A few slots and no secret: for tests.
impl Default for Throttles {
    fn default() -> Self {
        Self { secret: 0, table: Table::new(SLOTS_BY_DEFAULT) }
    }
}

impl fmt::Debug for Throttles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Throttles").field("pressure", &self.pressure()).finish_non_exhaustive()
    }
}

impl Kind {
    const fn number(self) -> u8 {
        match self {
            Self::AddressConnections => 0,
            Self::NetworkConnections => 1,
            Self::AddressMessages => 2,
            Self::AddressRecipients => 3,
            Self::UserMessages => 4,
            Self::UserRecipients => 5,
            Self::AuthFailures => 6,
        }
    }

    const fn meaning(self) -> Meaning {
        match self {
            Self::AddressConnections | Self::NetworkConnections => Meaning::Number,
            Self::AddressMessages
            | Self::AddressRecipients
            | Self::UserMessages
            | Self::UserRecipients
            | Self::AuthFailures => Meaning::Rate,
        }
    }
}

/// Whose events those of `address` are.
fn client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => network(IpAddr::V6(address)),
    }
}

/// The network of `address`, by its lowest address.
fn network(address: IpAddr) -> IpAddr {
    let address = address.to_canonical();
    let bits = match address {
        IpAddr::V4(_) => THROTTLE_NETWORK_IPV4_BITS,
        IpAddr::V6(_) => THROTTLE_NETWORK_IPV6_BITS,
    };
    Network::new(address, bits).map_or(address, |network| network.lowest())
}
