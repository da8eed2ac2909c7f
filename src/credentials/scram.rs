//! What SCRAM-SHA-256 stores of a password, and the functions it is made with (RFC 5802 §3,
//! RFC 7677).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use pbkdf2::pbkdf2_hmac;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::invalid::Invalid;
use crate::limits::{SALT_BYTES_MAX, SCRAM_ITERATIONS_MAX, SCRAM_ITERATIONS_MIN};

/// Block of SHA-256, to which HMAC fills up its key.
const BLOCK_BYTES: usize = 64;

/// HMAC with SHA-256 over `parts`, one after the other.
pub fn hmac_sha256(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let mut block = Zeroizing::new([0; BLOCK_BYTES]);
    block[..key.len()].copy_from_slice(key);
    let mut mac = Hmac::<Sha256>::new((&*block).into());
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// The two keys that a server keeps of a password (RFC 5802 §3).
#[derive(Clone, PartialEq, Eq)]
pub struct ScramKeys {
    /// `StoredKey`: the hash of what the client proves to have.
    pub stored: [u8; 32],
    /// `ServerKey`: what the server proves to have.
    pub server: [u8; 32],
}

impl std::fmt::Debug for ScramKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ScramKeys")
    }
}

impl ScramKeys {
    /// Those of `password`, which is prepared already.
    pub(super) fn derive(password: &[u8], salt: &[u8], iterations: u32) -> Self {
        let mut salted = Zeroizing::new([0; 32]);
        pbkdf2_hmac::<Sha256>(password, salt, iterations, &mut *salted);
        let client = Zeroizing::new(hmac_sha256(&salted, &[b"Client Key"]));
        Self {
            stored: Sha256::digest(*client).into(),
            server: hmac_sha256(&salted, &[b"Server Key"]),
        }
    }

    /// Whether `proof` is that of a client that has the password (RFC 5802 §3).
    pub fn is_proven_by(&self, proof: &[u8; 32], auth_message: &[&[u8]]) -> bool {
        let mut client = Zeroizing::new(hmac_sha256(&self.stored, auth_message));
        for (byte, masked) in client.iter_mut().zip(proof) {
            *byte ^= masked;
        }
        let stored: [u8; 32] = Sha256::digest(*client).into();
        stored.ct_eq(&self.stored).into()
    }

    /// `ServerSignature`: the server's own proof (RFC 5802 §3).
    pub fn signature(&self, auth_message: &[&[u8]]) -> [u8; 32] {
        hmac_sha256(&self.server, auth_message)
    }
}

/// A password as SCRAM-SHA-256 stores it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScramVerifier {
    /// Rounds of PBKDF2.
    pub iterations: u32,
    /// What makes equal passwords differ.
    pub salt: Box<[u8]>,
    /// The keys.
    pub keys: ScramKeys,
}

impl ScramVerifier {
    /// Reads `ITERATIONS:SALT$STORED:SERVER`, what RFC 5803 §3 puts behind `SCRAM-SHA-256$`.
    pub(super) fn parse(text: &str) -> Result<Self, Invalid> {
        let malformed = || {
            Invalid::new(
                "the SCRAM-SHA-256 string of a password is malformed",
                "take what `ringpost password --scram` prints",
            )
        };
        let (info, keys) = text.split_once('$').ok_or_else(malformed)?;
        let (iterations, salt) = info.split_once(':').ok_or_else(malformed)?;
        let (stored, server) = keys.split_once(':').ok_or_else(malformed)?;
        let iterations: u32 = iterations.parse().map_err(|_| malformed())?;
        if !(SCRAM_ITERATIONS_MIN..=SCRAM_ITERATIONS_MAX).contains(&iterations) {
            return Err(Invalid::new(
                format!("{iterations} iterations are too few or too many"),
                format!("take {SCRAM_ITERATIONS_MIN} to {SCRAM_ITERATIONS_MAX}"),
            ));
        }
        let salt = STANDARD.decode(salt).map_err(|_| malformed())?;
        if salt.is_empty() || salt.len() > SALT_BYTES_MAX {
            return Err(malformed());
        }
        let key = |text: &str| {
            let bytes = STANDARD.decode(text).map_err(|_| malformed())?;
            <[u8; 32]>::try_from(bytes).map_err(|_| malformed())
        };
        let keys = ScramKeys { stored: key(stored)?, server: key(server)? };
        Ok(Self { iterations, salt: salt.into(), keys })
    }

    /// The whole string of a prepared password (RFC 5803 §3).
    pub(super) fn make(password: &[u8], salt: &[u8], iterations: u32) -> String {
        let keys = ScramKeys::derive(password, salt, iterations);
        let salt = STANDARD.encode(salt);
        let stored = STANDARD.encode(keys.stored);
        let server = STANDARD.encode(keys.server);
        format!("SCRAM-SHA-256${iterations}:{salt}${stored}:{server}")
    }

    /// Whether it was made from `password`, which is prepared already.
    pub(super) fn is_made_from(&self, password: &[u8]) -> bool {
        let keys = ScramKeys::derive(password, &self.salt, self.iterations);
        keys.stored.ct_eq(&self.keys.stored).into()
    }
}
