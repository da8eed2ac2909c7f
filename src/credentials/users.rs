//! The users by name.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::check::PasswordCheck;
use super::prepare::prepare_name;
use super::scram::hmac_sha256;
use super::sender::SenderPattern;
use super::stored::Credential;

/// Somebody who may authenticate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// What they call themselves; see [`prepare_name`].
    pub name: Box<str>,
    /// What proves that it is they.
    pub credential: Arc<Credential>,
    /// The addresses that they may send from.
    pub senders: Vec<SenderPattern>,
}

impl User {
    /// Whether the user may give `address`, as it stands between the angle brackets of MAIL. The
    /// null sender is everybody's: it claims to be nobody, and notifications must have it
    /// (RFC 5321 §4.5.5).
    pub fn may_send_as(&self, address: &[u8]) -> bool {
        address.is_empty() || self.senders.iter().any(|pattern| pattern.matches(address))
    }
}

/// The users that may authenticate, by name.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Users {
    by_name: BTreeMap<Box<str>, User>,
    /// Their credentials in the order of their names: one of them stands in for that of a user who
    /// does not exist.
    credentials: Vec<Arc<Credential>>,
    /// Those of `credentials` that serve SCRAM.
    scram: Vec<Arc<Credential>>,
}

impl Users {
    /// A table of `users`. Of several with one name the last counts. A name that SASLprep forbids
    /// can never be presented.
    pub fn new(users: impl IntoIterator<Item = User>) -> Self {
        let named = |user: User| {
            let name = prepare_name(&user.name).map_or_else(|_| user.name.clone(), Box::from);
            (name.clone(), User { name, ..user })
        };
        let by_name: BTreeMap<Box<str>, User> = users.into_iter().map(named).collect();
        let credentials: Vec<_> =
            by_name.values().map(|user| Arc::clone(&user.credential)).collect();
        let has_scram = |credential: &&Arc<Credential>| credential.scram().is_some();
        let scram = credentials.iter().filter(has_scram).cloned().collect();
        Self { by_name, credentials, scram }
    }

    /// The user whom a client calls `name`.
    pub fn get(&self, name: &[u8]) -> Option<&User> {
        let name = prepare_name(std::str::from_utf8(name).ok()?).ok()?;
        self.by_name.get(&*name)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// Whether any user can authenticate with SCRAM.
    pub const fn have_scram(&self) -> bool {
        !self.scram.is_empty()
    }

    /// What must be run to know whether `password` is that of `name`, which need not exist.
    /// `secret` is what nobody outside can know.
    pub fn check_password(&self, secret: &[u8; 32], name: &str, password: &str) -> PasswordCheck {
        match self.get(name.as_bytes()) {
            Some(user) => PasswordCheck::new(password, Arc::clone(&user.credential), true),
            None => {
                let stand_in = stand_in(&self.credentials, secret, name)
                    .map_or_else(|| Arc::new(Credential::of_nobody()), Arc::clone);
                PasswordCheck::new(password, stand_in, false)
            }
        }
    }

    /// The SCRAM credential whose parameters are shown for `name`, which has none: always the same
    /// for one name, and spread over the names as those of the users are.
    pub fn scram_stand_in(&self, secret: &[u8; 32], name: &str) -> Option<&Arc<Credential>> {
        stand_in(&self.scram, secret, name)
    }
}

fn stand_in<'a>(
    credentials: &'a [Arc<Credential>],
    secret: &[u8; 32],
    name: &str,
) -> Option<&'a Arc<Credential>> {
    let hash = hmac_sha256(secret, &[b"stand-in\0", name.as_bytes()]);
    let number = hash.iter().take(8).fold(0, |sum, &byte| sum << 8 | u64::from(byte));
    let count = u64::try_from(credentials.len()).ok()?;
    let index = number.checked_rem(count)?;
    credentials.get(usize::try_from(index).ok()?)
}
