//! SASLprep (RFC 4013): what a name and a password are before they are compared, so that what looks
//! the same is the same.
//!
//! Characters that Unicode 3.2 did not have are refused, in names and passwords that are stored as
//! in those that are presented (RFC 3454 §7 would let the latter pass): they could not match.

use std::borrow::Cow;

use stringprep::saslprep;
use zeroize::Zeroizing;

use crate::invalid::Invalid;
use crate::limits::{PASSWORD_BYTES_MAX, SASL_NAME_BYTES_MAX};

/// The form of a user's name that is compared.
///
/// # Errors
/// If it is empty or too long, or if SASLprep forbids it.
pub fn prepare_name(name: &str) -> Result<Cow<'_, str>, Invalid> {
    if name.len() > SASL_NAME_BYTES_MAX {
        return Err(Invalid::new(
            format!("a user's name of {} bytes is too long", name.len()),
            format!("write at most {SASL_NAME_BYTES_MAX} bytes"),
        ));
    }
    let remedy = "write letters, digits and signs that can be seen";
    match saslprep(name) {
        Ok(prepared) if prepared.is_empty() => Err(Invalid::new("a user's name is empty", remedy)),
        Ok(prepared) => Ok(prepared),
        Err(why) => Err(Invalid::new(format!("{name:?} cannot be a user's name: {why}"), remedy)),
    }
}

/// The form of a password that is hashed.
///
/// # Errors
/// As [`prepare_name`]; the text never names a character of the password.
pub(super) fn prepare_password(password: &str) -> Result<Zeroizing<String>, Invalid> {
    if password.len() > PASSWORD_BYTES_MAX {
        return Err(Invalid::new(
            format!("a password of {} bytes is too long", password.len()),
            format!("take at most {PASSWORD_BYTES_MAX} bytes"),
        ));
    }
    match saslprep(password) {
        Ok(prepared) if prepared.is_empty() => {
            Err(Invalid::new("the password is empty", "take some characters"))
        }
        Ok(prepared) => Ok(Zeroizing::new(prepared.into_owned())),
        Err(_) => Err(Invalid::new(
            "the password holds a character that SASLprep forbids (RFC 4013)",
            "take letters, digits, signs and spaces, none of them newer than Unicode 3.2",
        )),
    }
}
