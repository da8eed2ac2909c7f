//! Tickets, with which clients resume sessions (RFC 8446 §4.6.1, RFC 5077).

use std::sync::Arc;

use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::ProducesTickets;

use super::settings::TlsError;

/// The keys of tickets, which change by themselves. All listeners of all shards share them, and
/// they outlive a reload, so that a client resumes on whichever shard it lands.
#[derive(Clone, Debug)]
pub struct SharedTickets(Arc<dyn ProducesTickets>);

impl SharedTickets {
    /// Fresh keys.
    ///
    /// # Errors
    /// If the system gives no random numbers.
    pub fn new() -> Result<Self, TlsError> {
        Ticketer::new().map(Self).map_err(|error| TlsError::Library(error.to_string()))
    }
}

/// Tickets that are good only where they were made: under the same `scope`.
#[derive(Debug)]
pub(super) struct ScopedTickets {
    shared: Arc<dyn ProducesTickets>,
    scope: [u8; 32],
}

impl ScopedTickets {
    pub(super) fn new(tickets: &SharedTickets, scope: [u8; 32]) -> Self {
        Self { shared: Arc::clone(&tickets.0), scope }
    }
}

impl ProducesTickets for ScopedTickets {
    fn enabled(&self) -> bool {
        self.shared.enabled()
    }

    fn lifetime(&self) -> u32 {
        self.shared.lifetime()
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let scoped = zeroize::Zeroizing::new([&self.scope, plain].concat());
        self.shared.encrypt(&scoped)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        let mut plain = self.shared.decrypt(cipher)?;
        // The ticket is authentic, so that nobody learns anything from the time this takes.
        if !plain.starts_with(&self.scope) {
            return None;
        }
        plain.drain(..self.scope.len());
        Some(plain)
    }
}
