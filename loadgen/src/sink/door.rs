//! What the connections of one listening address share: who may come in, and TLS.

use std::io;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::authority::Authority;
use crate::behaviour::{Admission, AdmissionLimits, Behaviour, Handshake};
use crate::tls::{TlsMode, TlsServer};

/// One address, over all threads.
#[derive(Debug)]
pub(super) struct Door {
    limits: AdmissionLimits,
    admission: Mutex<Admission>,
    pub(super) tls: Option<TlsServer>,
    pub(super) handshake: Handshake,
}

impl Door {
    /// # Errors
    /// No certificate can be made for the name of the address.
    pub(super) fn new(behaviour: &Behaviour, authority: &Authority) -> io::Result<Self> {
        let tls = match behaviour.tls {
            TlsMode::None => None,
            TlsMode::Starttls | TlsMode::Implicit => {
                Some(authority.server(&behaviour.name, behaviour.certificate)?)
            }
        };
        Ok(Self {
            limits: behaviour.admission,
            admission: Mutex::default(),
            tls,
            handshake: behaviour.handshake,
        })
    }

    /// Whether `client` is greeted; [`Self::leave`] tells of its end.
    pub(super) fn enter(&self, client: IpAddr, now: Instant) -> bool {
        !self.limits.is_any()
            || self.admission.lock().unwrap_or_else(PoisonError::into_inner).enter(
                &self.limits,
                client,
                now,
            )
    }

    /// A client that was greeted is gone.
    pub(super) fn leave(&self, client: IpAddr) {
        if self.limits.is_any() {
            self.admission.lock().unwrap_or_else(PoisonError::into_inner).leave(client);
        }
    }
}
