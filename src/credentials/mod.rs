//! Users, what proves who they are, and whom they may send as.
//!
//! # Guarantees
//! - A check takes the same work whether its user exists or not: a name that nobody has is checked
//!   against what another user has, chosen by the name, and fails.
//! - What is compared with a secret is compared in constant time.
//! - A password is wiped from memory when its check ends. Where it is not ASCII, SASLprep leaves
//!   copies behind that cannot be reached.
//!
//! # Never
//! Nothing here hashes a password but [`PasswordCheck::run`] and the makers of strings, so the
//! thread that serves sessions never does: the rest takes microseconds.
//!
//! # Failures
//! [`Invalid`](crate::invalid::Invalid) says what is wrong with a text of the configuration.
//!
//! # Bounds
//! The cost of a stored string is bounded when it is read, by `ARGON2_MEMORY_BYTES_MAX`,
//! `ARGON2_WORK_BYTES_MAX` and `SCRAM_ITERATIONS_MAX`.

mod check;
mod prepare;
mod scram;
mod sender;
mod stored;
#[cfg(test)]
mod tests;
mod users;

pub use self::check::PasswordCheck;
pub use self::prepare::prepare_name;
pub use self::scram::{ScramKeys, ScramVerifier, hmac_sha256};
pub use self::sender::SenderPattern;
pub use self::stored::{Credential, make_argon2id, make_scram};
pub use self::users::{User, Users};
