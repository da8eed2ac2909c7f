//! TLS of the server's side, between the ring and the machines: records in, plaintext out, and
//! back.
//!
//! rustls does the work, without buffers of its own: records are decrypted where they were received
//! and encrypted into the memory that is sent.
//!
//! # Guarantees
//! - A record that arrived whole is decrypted in its receive buffer. One that was cut is completed
//!   in a bounded buffer. rustls hands plaintext out as one allocation a record, which lives until
//!   the caller has taken it.
//! - A ticket resumes a session only where the same certificates are shown and clients are verified
//!   in the same way, so that no client gets around its verification with the ticket of another
//!   listener.
//! - [`TlsPump::facts`](pump::Handshaken) names a client's certificate only if it was verified.
//!
//! # Never
//! It takes no early data: SMTP is not safe to be replayed (RFC 8446 §8). It keeps no state of
//! sessions that can be resumed: what is to be known lies in the client's ticket.
//!
//! # Failures
//! Loading fails with [`TlsError`], which says which file is wrong and what to do. A connection
//! fails with [`TlsFailure`]; the alert that tells the client so is written first.
//!
//! # Bounds
//! `TLS_HANDSHAKE_BYTES_MAX` of a handshake that is not processed yet, and `TLS_RECORD_BYTES_MAX`
//! of a record that is not whole.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "the enums of the libraries grow, and only few of their values mean something here"
)]

mod certificates;
mod clients;
mod der;
mod pump;
mod settings;
mod tickets;
mod witness;

#[cfg(test)]
mod tests;

pub use pump::{Handshake, Handshaken, Received, TlsFailure, TlsPump};
pub use settings::{ClientCertificates, ServerTls, TlsError, TlsFiles};
pub use tickets::SharedTickets;
