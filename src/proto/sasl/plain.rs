//! The one message of PLAIN (RFC 4616 §2).

use std::borrow::Cow;

use super::SaslFailure;
use crate::credentials::prepare_name;
use crate::limits::PASSWORD_BYTES_MAX;

/// A user and the password that shall prove it.
pub(super) struct Account<'a> {
    pub(super) user: Cow<'a, str>,
    pub(super) password: &'a str,
}

/// `[authzid] NUL authcid NUL passwd`
pub(super) struct PlainMessage<'a> {
    authorization: &'a str,
    name: &'a str,
    password: &'a str,
}

impl<'a> PlainMessage<'a> {
    pub(super) fn parse(message: &'a str) -> Result<Self, SaslFailure> {
        let mut parts = message.split('\0');
        let mut part = || parts.next().ok_or(SaslFailure::Malformed);
        let (authorization, name, password) = (part()?, part()?, part()?);
        let is_whole = parts.next().is_none() && !name.is_empty() && !password.is_empty();
        if !is_whole || password.len() > PASSWORD_BYTES_MAX {
            return Err(SaslFailure::Malformed);
        }
        Ok(Self { authorization, name, password })
    }

    pub(super) fn account(self) -> Result<Account<'a>, SaslFailure> {
        let user = prepare_name(self.name).map_err(|_| SaslFailure::Credentials)?;
        check_authorization(self.authorization, &user)?;
        Ok(Account { user, password: self.password })
    }
}

/// Nobody may act for somebody else: the authorization identity is left out, or is the user.
pub(super) fn check_authorization(identity: &str, user: &str) -> Result<(), SaslFailure> {
    if identity.is_empty() || prepare_name(identity).is_ok_and(|identity| identity == user) {
        Ok(())
    } else {
        Err(SaslFailure::AuthorizationIdentity)
    }
}
