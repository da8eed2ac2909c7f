//! Which connections a listening address greets, and which it turns away with 421.
//!
//! # Bounds
//! Clients with an open connection, which are no more than connections.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// What an address allows; nothing set allows everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct AdmissionLimits {
    /// Open at the same time.
    pub(crate) connections_max: Option<u64>,
    /// Open at the same time from one client's address.
    pub(crate) client_connections_max: Option<u64>,
    /// New ones in a second.
    pub(crate) connections_per_second_max: Option<u64>,
}

impl AdmissionLimits {
    /// Whether anything is limited.
    pub(crate) fn is_any(&self) -> bool {
        *self != Self::default()
    }
}

/// What is open, over all threads of a sink.
#[derive(Debug, Default)]
pub(crate) struct Admission {
    open: u64,
    by_client: HashMap<IpAddr, u64>,
    second: Option<(Instant, u64)>,
}

impl Admission {
    /// A client connects; whether it is greeted. Then [`Self::leave`] is to be called at its end.
    pub(crate) fn enter(&mut self, limits: &AdmissionLimits, client: IpAddr, now: Instant) -> bool {
        let (begin, in_second) = match self.second {
            Some((begin, count))
                if now.saturating_duration_since(begin) < Duration::from_secs(1) =>
            {
                (begin, count + 1)
            }
            Some(_) | None => (now, 1),
        };
        self.second = Some((begin, in_second));
        let of_client = self.by_client.get(&client).copied().unwrap_or_default();
        let fits = |limit: Option<u64>, count: u64| limit.is_none_or(|limit| count <= limit);
        let is_welcome = fits(limits.connections_per_second_max, in_second)
            && fits(limits.connections_max, self.open + 1)
            && fits(limits.client_connections_max, of_client + 1);
        if is_welcome {
            self.open += 1;
            self.by_client.insert(client, of_client + 1);
        }
        is_welcome
    }

    /// A connection that was greeted is over.
    pub(crate) fn leave(&mut self, client: IpAddr) {
        self.open = self.open.saturating_sub(1);
        if let Some(count) = self.by_client.get_mut(&client) {
            *count -= 1;
            if *count == 0 {
                self.by_client.remove(&client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENTS: [IpAddr; 2] = [
        IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)),
        IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
    ];

    #[test]
    fn connections_are_counted_in_all_and_by_client() {
        let limits = AdmissionLimits {
            connections_max: Some(3),
            client_connections_max: Some(2),
            connections_per_second_max: None,
        };
        let (mut admission, now) = (Admission::default(), Instant::now());
        let mut enter = |client: usize| admission.enter(&limits, CLIENTS[client], now);
        assert!(enter(0) && enter(0) && !enter(0) && enter(1) && !enter(1));
        admission.leave(CLIENTS[0]);
        assert!(admission.enter(&limits, CLIENTS[1], now));
        for client in [0, 1, 1] {
            admission.leave(CLIENTS[client]);
        }
        assert!(admission.by_client.is_empty());
        assert_eq!(admission.open, 0);
    }

    #[test]
    fn a_second_has_its_share() {
        let limits =
            AdmissionLimits { connections_per_second_max: Some(2), ..AdmissionLimits::default() };
        let (mut admission, now) = (Admission::default(), Instant::now());
        let mut enter = |ms| admission.enter(&limits, CLIENTS[0], now + Duration::from_millis(ms));
        assert!(enter(0) && enter(10) && !enter(20) && !enter(999) && enter(1_001) && enter(1_002));
    }
}
