//! Passwords as they are stored: strings of argon2id and of SCRAM-SHA-256.

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::prepare::prepare_password;
use super::scram::ScramVerifier;
use crate::invalid::Invalid;
use crate::limits::{
    ARGON2_LANES_MAX, ARGON2_MEMORY_BYTES_MAX, ARGON2_WORK_BYTES_MAX, PASSWORD_HASH_BYTES_MAX,
    PASSWORD_HASH_BYTES_MIN, SALT_BYTES_MAX, SALT_BYTES_MIN,
};

/// Memory of a new argon2id string: with [`PASSES`] and [`LANES`] the least that OWASP's password
/// storage cheat sheet advises. More memory would be stronger, but several checks run at a time
/// here, each with memory of its own, beside the mail. A check takes some 25 ms of a core.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// Hash of a new argon2id string.
const HASH_BYTES: usize = 32;

/// Rounds of a new SCRAM string: the rule of thumb of RFC 7677 §4. A client goes through them at
/// each log-in, and ours log in for each batch of mail, so that more would burden every sender.
/// Whoever fears for the stored strings takes argon2id, which is the stronger one by far.
const SCRAM_ITERATIONS: u32 = 15_000;

/// What proves that somebody is a user: a password, stored so that it cannot be read back.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential(Stored);

#[derive(Clone, PartialEq, Eq)]
enum Stored {
    Argon2id(Argon2idHash),
    Scram(ScramVerifier),
}

#[derive(Clone, PartialEq, Eq)]
struct Argon2idHash {
    params: Params,
    salt: Box<[u8]>,
    hash: Box<[u8]>,
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Credential").field(&self.scheme()).finish()
    }
}

impl Credential {
    /// Reads a string of `ringpost password`, or of another program that writes the same:
    /// `$argon2id$v=19$m=…,t=…,p=…$SALT$HASH` or `SCRAM-SHA-256$ITERATIONS:SALT$STORED:SERVER`
    /// (RFC 5803 §3).
    ///
    /// # Errors
    /// If it is neither, or costs more than a server can afford to check.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        if let Some(rest) = text.strip_prefix("$argon2id$") {
            return Argon2idHash::parse(rest).map(|hash| Self(Stored::Argon2id(hash)));
        }
        if let Some(rest) = text.strip_prefix("SCRAM-SHA-256$") {
            return ScramVerifier::parse(rest).map(|verifier| Self(Stored::Scram(verifier)));
        }
        // What was written is not repeated: it may be a password.
        Err(Invalid::new(
            "a password is stored as a string of argon2id or SCRAM-SHA-256, and this is neither",
            "take what `ringpost password` prints",
        ))
    }

    /// How the password is stored: `argon2id` or `SCRAM-SHA-256`.
    pub const fn scheme(&self) -> &'static str {
        match self.0 {
            Stored::Argon2id(_) => "argon2id",
            Stored::Scram(_) => "SCRAM-SHA-256",
        }
    }

    /// What SCRAM needs of it, if it is stored for that.
    pub const fn scram(&self) -> Option<&ScramVerifier> {
        match &self.0 {
            Stored::Scram(verifier) => Some(verifier),
            Stored::Argon2id(_) => None,
        }
    }

    /// Whether it was made from `password`, which is prepared already. This takes long.
    pub(super) fn is_made_from(&self, password: &[u8]) -> bool {
        match &self.0 {
            Stored::Argon2id(hash) => hash.is_made_from(password),
            Stored::Scram(verifier) => verifier.is_made_from(password),
        }
    }

    /// One with the parameters of new strings that no password is known for: what is checked where
    /// there are no users at all.
    pub(super) fn of_nobody() -> Self {
        let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(HASH_BYTES)).unwrap_or_default();
        let hash = Argon2idHash { params, salt: [0; 16].into(), hash: [0; HASH_BYTES].into() };
        Self(Stored::Argon2id(hash))
    }
}

impl Argon2idHash {
    /// Reads what stands behind `$argon2id$` in the format of the Password Hashing Competition.
    fn parse(text: &str) -> Result<Self, Invalid> {
        let malformed = || {
            Invalid::new(
                "the argon2id string of a password is malformed",
                "take what `ringpost password` prints",
            )
        };
        let mut parts = text.split('$');
        let mut part = || parts.next().ok_or_else(malformed);
        let (version, costs, salt, hash) = (part()?, part()?, part()?, part()?);
        if parts.next().is_some() {
            return Err(malformed());
        }
        if version != "v=19" {
            return Err(Invalid::new(
                "the argon2id string of a password is not of version 19",
                "take what `ringpost password` prints",
            ));
        }
        let [memory_kib, passes, lanes] = costs_of(costs).ok_or_else(malformed)?;
        check_costs(memory_kib, passes, lanes)?;
        let salt = STANDARD_NO_PAD.decode(salt).map_err(|_| malformed())?;
        let hash = STANDARD_NO_PAD.decode(hash).map_err(|_| malformed())?;
        let is_long_enough = (SALT_BYTES_MIN..=SALT_BYTES_MAX).contains(&salt.len())
            && (PASSWORD_HASH_BYTES_MIN..=PASSWORD_HASH_BYTES_MAX).contains(&hash.len());
        if !is_long_enough {
            return Err(malformed());
        }
        let params = Params::new(memory_kib, passes, lanes, Some(hash.len()));
        let params = params.map_err(|_| malformed())?;
        Ok(Self { params, salt: salt.into(), hash: hash.into() })
    }

    fn is_made_from(&self, password: &[u8]) -> bool {
        let mut hash = Zeroizing::new(vec![0; self.hash.len()]);
        // It fails where there is no memory; then nothing is proven.
        argon2id(&self.params).hash_password_into(password, &self.salt, &mut hash).is_ok()
            && bool::from(hash.ct_eq(&self.hash))
    }
}

fn argon2id(params: &Params) -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone())
}

/// The numbers of `m=…,t=…,p=…`, which stand in this order.
fn costs_of(text: &str) -> Option<[u32; 3]> {
    let mut costs = text.split(',');
    let mut cost = |name: &str| -> Option<u32> {
        let digits = costs.next()?.strip_prefix(name)?;
        // `parse` would take a sign.
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    let found = [cost("m=")?, cost("t=")?, cost("p=")?];
    costs.next().is_none().then_some(found)
}

fn check_costs(memory_kib: u32, passes: u32, lanes: u32) -> Result<(), Invalid> {
    let memory_bytes = u64::from(memory_kib) << 10;
    if memory_bytes > ARGON2_MEMORY_BYTES_MAX {
        return Err(Invalid::new(
            format!("argon2id with m={memory_kib} takes too much memory for a server"),
            format!("take at most m={}", ARGON2_MEMORY_BYTES_MAX >> 10),
        ));
    }
    if memory_bytes.saturating_mul(passes.into()) > ARGON2_WORK_BYTES_MAX {
        return Err(Invalid::new(
            format!("argon2id with m={memory_kib},t={passes} takes too long for a server"),
            format!("take a product of m and t of at most {}", ARGON2_WORK_BYTES_MAX >> 10),
        ));
    }
    if lanes > ARGON2_LANES_MAX {
        return Err(Invalid::new(
            format!("argon2id with p={lanes} asks for too many lanes"),
            format!("take at most p={ARGON2_LANES_MAX}"),
        ));
    }
    Ok(())
}

/// The argon2id string of `password`, which serves PLAIN and LOGIN. `salt` is random.
///
/// # Errors
/// If the password is empty, too long or forbidden by SASLprep (RFC 4013), or if memory is short.
pub fn make_argon2id(password: &str, salt: [u8; 16]) -> Result<String, Invalid> {
    let password = prepare_password(password)?;
    let no_memory = |_| {
        let remedy = format!("free {} MiB of memory", MEMORY_KIB >> 10);
        Invalid::new("argon2id could not run", remedy)
    };
    let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(HASH_BYTES)).map_err(no_memory)?;
    let mut hash = [0; HASH_BYTES];
    argon2id(&params)
        .hash_password_into(password.as_bytes(), &salt, &mut hash)
        .map_err(no_memory)?;
    let salt = STANDARD_NO_PAD.encode(salt);
    let hash = STANDARD_NO_PAD.encode(hash);
    Ok(format!("$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}${salt}${hash}"))
}

/// The SCRAM-SHA-256 string of `password` (RFC 5803 §3), which serves SCRAM, PLAIN and LOGIN.
/// `salt` is random.
///
/// # Errors
/// If the password is empty, too long or forbidden by SASLprep (RFC 4013).
pub fn make_scram(password: &str, salt: [u8; 16]) -> Result<String, Invalid> {
    let password = prepare_password(password)?;
    Ok(ScramVerifier::make(password.as_bytes(), &salt, SCRAM_ITERATIONS))
}
