//! The stored passwords of the users.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::credentials::Credential;
use crate::invalid::Invalid;

/// How the text ends that stands in a print for a password.
const HIDDEN: &str = "hidden by `ringpost check`)";

/// A stored password as the file has it, and what it means.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredPassword {
    text: Box<str>,
    credential: Arc<Credential>,
}

impl StoredPassword {
    /// What it means.
    pub const fn credential(&self) -> &Arc<Credential> {
        &self.credential
    }

    /// As the file has it.
    pub(super) fn revealed(&self) -> &str {
        &self.text
    }

    /// What a print has in its place: how it is stored. It cannot be read back.
    pub(super) fn hidden(&self) -> String {
        format!("({}, {HIDDEN}", self.credential.scheme())
    }
}

impl FromStr for StoredPassword {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text.ends_with(HIDDEN) {
            let what = "the print of `ringpost check` that this comes from hides the password";
            let remedy = "copy it from the file that was checked, or print it with \
                          ringpost check --with-passwords";
            return Err(Invalid::new(what, remedy));
        }
        let credential = Arc::new(Credential::parse(text)?);
        Ok(Self { text: text.into(), credential })
    }
}

impl fmt::Debug for StoredPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.credential.fmt(f)
    }
}
