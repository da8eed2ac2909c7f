//! The server's side of SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677).
//!
//! ```text
//! C: n,,n=user,r=CLIENT                      flag, authorization identity, name, nonce
//! S: r=CLIENTSERVER,s=SALT,i=ITERATIONS
//! C: c=BINDING,r=CLIENTSERVER,p=PROOF
//! S: v=SIGNATURE
//! ```

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

use super::plain::check_authorization;
use super::{Mechanism, SaslContext, SaslFailure, can_bind};
use crate::credentials::{ScramKeys, ScramVerifier, hmac_sha256, prepare_name};
use crate::limits::SALT_BYTES_MAX;

/// Random bytes in the server's part of the nonce.
const NONCE_BYTES: usize = 18;

const _: () = assert!(SALT_BYTES_MAX <= 2 * 32, "two hashes make up any salt");

/// What was promised to a client, until its proof comes.
pub(super) struct Challenged {
    user: Box<str>,
    /// Those of the user, or ones that no password fits.
    keys: ScramKeys,
    is_users: bool,
    /// What `c=` must hold, decoded.
    binding: Vec<u8>,
    nonce: String,
    /// The first two messages as both sides sign them (RFC 5802 §3).
    signed: String,
}

/// A client whose proof is right, and the server's own proof.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) user: Box<str>,
    pub(super) challenge: String,
}

/// The server's part of the nonce. The secret makes it unknown before, the number of the session
/// makes it unlike that of any other, and the client's message unlike that of an earlier exchange
/// of the session.
pub(super) fn server_nonce(context: &SaslContext<'_>, message: &str) -> String {
    let serial = context.serial.to_be_bytes();
    let mac = hmac_sha256(context.secret, &[b"nonce\0", &serial, message.as_bytes()]);
    STANDARD_NO_PAD.encode(&mac[..NONCE_BYTES])
}

/// Answers the client's first message.
pub(super) fn challenge(
    context: &SaslContext<'_>,
    mechanism: Mechanism,
    message: &str,
    server_nonce: &str,
) -> Result<(String, Challenged), SaslFailure> {
    let first = ClientFirst::parse(message)?;
    let binding = first.binding(context, mechanism)?;
    let name = decode_name(first.name)?;
    let user = prepare_name(&name).map_err(|_| SaslFailure::Credentials)?;
    check_authorization(&decode_name(first.authorization)?, &user)?;
    let found = context.users.get(user.as_bytes());
    let verifier = found.and_then(|user| user.credential.scram());
    let shown = match verifier {
        Some(verifier) => Cow::Borrowed(verifier),
        None => Cow::Owned(stand_in(context, &user)?),
    };
    let nonce = format!("{}{server_nonce}", first.nonce);
    let salt = STANDARD.encode(&shown.salt);
    let challenge = format!("r={nonce},s={salt},i={}", shown.iterations);
    let challenged = Challenged {
        user: (&*user).into(),
        keys: shown.keys.clone(),
        is_users: verifier.is_some(),
        binding,
        nonce,
        signed: format!("{},{challenge}", first.bare),
    };
    Ok((challenge, challenged))
}

/// What is shown for a name that has no verifier: always the same, or two attempts would tell.
fn stand_in(context: &SaslContext<'_>, user: &str) -> Result<ScramVerifier, SaslFailure> {
    let model = context.users.scram_stand_in(context.secret, user);
    let model = model.and_then(|credential| credential.scram()).ok_or(SaslFailure::Credentials)?;
    let make = |what: &[u8]| hmac_sha256(context.secret, &[what, user.as_bytes()]);
    let (first, second) = (make(b"salt\0"), make(b"more salt\0"));
    let bytes = first.into_iter().chain(second);
    Ok(ScramVerifier {
        iterations: model.iterations,
        salt: bytes.take(model.salt.len()).collect(),
        keys: ScramKeys { stored: make(b"stored\0"), server: make(b"server\0") },
    })
}

impl Challenged {
    /// Judges the client's final message.
    pub(super) fn accept(self, message: &str) -> Result<Accepted, SaslFailure> {
        // The proof stands last and signs what is before it.
        let (unproven, proof) = message.rsplit_once(",p=").ok_or(SaslFailure::Malformed)?;
        let proof = STANDARD.decode(proof).ok().and_then(|proof| <[u8; 32]>::try_from(proof).ok());
        let proof = proof.ok_or(SaslFailure::Malformed)?;
        let mut attributes = unproven.split(',');
        let mut value = |name: &str| {
            attributes.next().and_then(|text| text.strip_prefix(name)).ok_or(SaslFailure::Malformed)
        };
        let (binding, nonce) = (value("c=")?, value("r=")?);
        if !attributes.all(is_extension) {
            return Err(SaslFailure::Malformed);
        }
        let binding = STANDARD.decode(binding).map_err(|_| SaslFailure::Malformed)?;
        if binding != self.binding {
            return Err(SaslFailure::ChannelBindingMismatch);
        }
        let auth_message: &[&[u8]] = &[self.signed.as_bytes(), b",", unproven.as_bytes()];
        let is_proven = self.keys.is_proven_by(&proof, auth_message);
        if !(is_proven & self.is_users & (nonce == self.nonce)) {
            return Err(SaslFailure::Credentials);
        }
        let signature = STANDARD.encode(self.keys.signature(auth_message));
        Ok(Accepted { user: self.user, challenge: format!("v={signature}") })
    }
}

/// The client's first message (RFC 5802 §7).
struct ClientFirst<'a> {
    flag: &'a str,
    /// As it is written, with `=2C` and `=3D`.
    authorization: &'a str,
    /// Flag and authorization identity with both their commas.
    gs2_header: &'a str,
    /// What follows them.
    bare: &'a str,
    /// As it is written.
    name: &'a str,
    nonce: &'a str,
}

impl<'a> ClientFirst<'a> {
    fn parse(message: &'a str) -> Result<Self, SaslFailure> {
        let malformed = SaslFailure::Malformed;
        let (flag, rest) = message.split_once(',').ok_or(malformed)?;
        let (authorization, bare) = rest.split_once(',').ok_or(malformed)?;
        let gs2_header = &message[..message.len() - bare.len()];
        let authorization = match authorization.strip_prefix("a=") {
            Some(identity) if !identity.is_empty() => identity,
            None if authorization.is_empty() => authorization,
            _ => return Err(malformed),
        };
        // RFC 5802 §5.1: whoever does not know what it asks for must fail.
        if bare.starts_with("m=") {
            return Err(SaslFailure::Extension);
        }
        let mut attributes = bare.split(',');
        let mut value = |name: &str| {
            attributes.next().and_then(|text| text.strip_prefix(name)).ok_or(malformed)
        };
        let (name, nonce) = (value("n=")?, value("r=")?);
        let is_printable = nonce.bytes().all(|byte| byte.is_ascii_graphic());
        if name.is_empty() || nonce.is_empty() || !is_printable || !attributes.all(is_extension) {
            return Err(malformed);
        }
        Ok(Self { flag, authorization, gs2_header, bare, name, nonce })
    }

    /// What `c=` of the final message must hold: the header, and what identifies the connection if
    /// the client binds to it (RFC 5802 §6).
    fn binding(
        &self,
        context: &SaslContext<'_>,
        mechanism: Mechanism,
    ) -> Result<Vec<u8>, SaslFailure> {
        let is_plus = mechanism == Mechanism::ScramSha256Plus;
        let mut binding = self.gs2_header.as_bytes().to_vec();
        match (self.flag, self.flag.strip_prefix("p=")) {
            (_, Some(kind)) if is_plus => {
                let data: Option<&[u8]> = match (kind, context.tls) {
                    // RFC 9266
                    ("tls-exporter", Some(tls)) => tls.exporter.as_ref().map(|key| &key[..]),
                    // RFC 5929 §4
                    ("tls-server-end-point", Some(tls)) => tls.server_end_point.as_deref(),
                    _ => None,
                };
                binding.extend_from_slice(data.ok_or(SaslFailure::ChannelBindingUnsupported)?);
            }
            ("y", _) if is_plus || can_bind(context.tls) => return Err(SaslFailure::Downgraded),
            ("y" | "n", _) if !is_plus => {}
            ("n", _) | (_, Some(_)) => return Err(SaslFailure::ChannelBindingUnsupported),
            _ => return Err(SaslFailure::Malformed),
        }
        Ok(binding)
    }
}

/// `saslname` with `=2C` and `=3D` as the characters that they stand for (RFC 5802 §5.1).
fn decode_name(written: &str) -> Result<Cow<'_, str>, SaslFailure> {
    if !written.contains('=') {
        return Ok(Cow::Borrowed(written));
    }
    let mut decoded = String::with_capacity(written.len());
    let mut parts = written.split('=');
    decoded.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let (sign, rest) = match (part.strip_prefix("2C"), part.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (_, Some(rest)) => ('=', rest),
            (None, None) => return Err(SaslFailure::Malformed),
        };
        decoded.push(sign);
        decoded.push_str(rest);
    }
    Ok(Cow::Owned(decoded))
}

/// An attribute that may be there and means nothing here (RFC 5802 §5.1).
fn is_extension(attribute: &str) -> bool {
    let mut bytes = attribute.bytes();
    let has_name = bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic());
    has_name && bytes.next() == Some(b'=') && bytes.next().is_some() && !attribute.contains('\0')
}
