//! The check of a password, which takes long and so is run off the shard.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::prepare::prepare_password;
use super::stored::Credential;

/// A password that a client presented and what it is checked against.
pub struct PasswordCheck {
    password: Zeroizing<Box<str>>,
    credential: Arc<Credential>,
    /// Whether the credential is that of the user; of somebody else it proves nothing.
    is_users: bool,
}

impl std::fmt::Debug for PasswordCheck {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("PasswordCheck").field(&self.credential).finish()
    }
}

impl PasswordCheck {
    pub(super) fn new(password: &str, credential: Arc<Credential>, is_users: bool) -> Self {
        Self { password: Zeroizing::new(password.into()), credential, is_users }
    }

    /// Whether the password is right. This takes tens of milliseconds or more, and for argon2id the
    /// memory that its string names.
    #[must_use]
    pub fn run(self) -> bool {
        // A password that SASLprep forbids is hashed as it is and fails, so that the time tells
        // nothing.
        let (is_right, is_allowed) = match prepare_password(&self.password) {
            Ok(prepared) => (self.credential.is_made_from(prepared.as_bytes()), true),
            Err(_) => (self.credential.is_made_from(self.password.as_bytes()), false),
        };
        is_right & is_allowed & self.is_users
    }
}
