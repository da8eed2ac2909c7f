//! Authentication exchanges (SASL, RFC 4422), without the base64 and the replies that RFC 4954 puts
//! around them: a mechanism is given what the client sent and says what comes next.
//!
//! # Guarantees
//! - A user who does not exist is not told from one who does: neither by a failure, nor by a
//!   challenge, nor by the work of a check.
//! - Equal inputs give equal outputs: the server's nonce is made from a secret, the number of the
//!   session and what the client sent, so nothing draws random numbers here.
//!
//! # Never
//! A password is never hashed here: [`SaslStep::CheckPassword`] hands that to the caller.
//!
//! # Failures
//! [`SaslFailure`]. Each ends the exchange.
//!
//! # Bounds
//! `SASL_MESSAGE_BYTES_MAX` for a message of the client, `SASL_NAME_BYTES_MAX` and
//! `PASSWORD_BYTES_MAX` for what is in it. An exchange keeps no more than a few of its messages.

mod plain;
mod scram;
#[cfg(test)]
mod tests;

use std::fmt;

use self::plain::{Account, PlainMessage};
use self::scram::{Accepted, Challenged};
use crate::credentials::{PasswordCheck, Users, prepare_name};
use crate::limits::{PASSWORD_BYTES_MAX, SASL_MESSAGE_BYTES_MAX};
use crate::proto::server::TlsFacts;

/// A way to authenticate, the strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mechanism {
    /// RFC 7677, bound to the TLS connection.
    ScramSha256Plus,
    /// RFC 7677.
    ScramSha256,
    /// RFC 4616.
    Plain,
    /// draft-murchison-sasl-login: name and password in two messages.
    Login,
}

impl Mechanism {
    /// All of them, the strongest first.
    pub const ALL: [Self; 4] = [Self::ScramSha256Plus, Self::ScramSha256, Self::Plain, Self::Login];

    /// The mechanism that a client names, in any case.
    pub fn parse(name: &[u8]) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|mechanism| mechanism.name().as_bytes().eq_ignore_ascii_case(name))
    }

    /// Its name in the IANA registry.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
        }
    }

    /// Whether the client sends the password itself, so that TLS should hide it.
    pub const fn sends_password(self) -> bool {
        match self {
            Self::Plain | Self::Login => true,
            Self::ScramSha256 | Self::ScramSha256Plus => false,
        }
    }

    /// Whether it is offered over a connection with `tls`. `without_tls` lets passwords be sent
    /// over one that has none.
    ///
    /// SCRAM is offered where any user can use it, and its binding to the connection where TLS has
    /// something to bind to (RFC 5802 §6).
    pub const fn is_offered(
        self,
        users: &Users,
        tls: Option<&TlsFacts>,
        without_tls: bool,
    ) -> bool {
        match self {
            Self::ScramSha256Plus => users.have_scram() && can_bind(tls),
            Self::ScramSha256 => users.have_scram(),
            Self::Plain | Self::Login => tls.is_some() || without_tls,
        }
    }
}

/// Whether a client can be asked to bind its authentication to the connection.
const fn can_bind(tls: Option<&TlsFacts>) -> bool {
    match tls {
        Some(tls) => tls.exporter.is_some() || tls.server_end_point.is_some(),
        None => false,
    }
}

/// What an exchange must know of its surroundings; the same at each step.
#[derive(Clone, Copy, Debug)]
pub struct SaslContext<'a> {
    /// Who may authenticate.
    pub users: &'a Users,
    /// What nobody outside can know.
    pub secret: &'a [u8; 32],
    /// The number of the session, which no other session with the same secret has.
    pub serial: u64,
    /// What protects the connection.
    pub tls: Option<&'a TlsFacts>,
}

/// What comes next in an exchange.
#[derive(Debug)]
pub enum SaslStep {
    /// This goes to the client, and its answer to [`Exchange::respond`].
    Challenge(Vec<u8>),
    /// This is run, and what comes of it goes to [`Exchange::handle_password`].
    CheckPassword(PasswordCheck),
    /// The client is `user`.
    Done {
        /// By the name that [`Users`] has.
        user: Box<[u8]>,
    },
    /// The client is nobody.
    Failed(SaslFailure),
}

/// Why an exchange failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaslFailure {
    /// A message is not what the mechanism says it must be.
    Malformed,
    /// User or password is wrong, or the user cannot use this mechanism: which of them is not told.
    Credentials,
    /// The client wants to act for another than the one that it authenticates as.
    AuthorizationIdentity,
    /// The client asks for an extension of SCRAM, of which none is known (RFC 5802 §5.1).
    Extension,
    /// The client binds to the connection in a way that the mechanism or this connection does not
    /// have, or fails to bind where the mechanism demands it.
    ChannelBindingUnsupported,
    /// What the client is bound to is another connection: somebody sits between.
    ChannelBindingMismatch,
    /// The client believes that no mechanism with binding is offered, and one is: somebody took it
    /// from the list (RFC 5802 §6).
    Downgraded,
}

impl SaslFailure {
    /// The word for it in the `e=` of SCRAM (RFC 5802 §7), for the log. The client gets the reply
    /// of SMTP instead: RFC 5802 §5.1 lets a server leave out a final message that says no, and not
    /// every client can tell it from a challenge.
    pub const fn scram_name(self) -> &'static str {
        match self {
            Self::Malformed => "invalid-encoding",
            Self::Credentials => "invalid-proof",
            Self::AuthorizationIdentity => "other-error",
            Self::Extension => "extensions-not-supported",
            Self::ChannelBindingUnsupported => "unsupported-channel-binding-type",
            Self::ChannelBindingMismatch => "channel-bindings-dont-match",
            Self::Downgraded => "server-does-support-channel-binding",
        }
    }
}

/// One run of a mechanism, from the AUTH command to its reply.
pub struct Exchange {
    state: State,
}

enum State {
    Begun(Mechanism),
    /// LOGIN: the password comes next.
    Named(Box<str>),
    /// A password is being checked.
    Checking(Box<[u8]>),
    /// SCRAM: the client's proof comes next.
    Challenged(Box<Challenged>),
    /// SCRAM: the client's agreement to the server's proof comes next.
    Proven(Box<[u8]>),
    Over,
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Begun(mechanism) => return f.debug_tuple("Exchange").field(mechanism).finish(),
            State::Named(_) => "Named",
            State::Checking(_) => "Checking",
            State::Challenged(_) => "Challenged",
            State::Proven(_) => "Proven",
            State::Over => "Over",
        };
        f.debug_tuple("Exchange").field(&state).finish()
    }
}

impl Exchange {
    /// A run of `mechanism`; its first [`respond`](Self::respond) is due.
    pub const fn begin(mechanism: Mechanism) -> Self {
        Self { state: State::Begun(mechanism) }
    }

    /// Takes what the client sent, decoded. `None` stands for an AUTH command without initial
    /// response and comes only first.
    pub fn respond(&mut self, context: &SaslContext<'_>, message: Option<&[u8]>) -> SaslStep {
        let state = std::mem::replace(&mut self.state, State::Over);
        match self.next(state, context, message) {
            Ok(step) => step,
            Err(failure) => SaslStep::Failed(failure),
        }
    }

    /// Takes what a [`PasswordCheck`] came to.
    pub fn handle_password(&mut self, right: bool) -> SaslStep {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Checking(user) if right => SaslStep::Done { user },
            State::Begun(_)
            | State::Named(_)
            | State::Checking(_)
            | State::Challenged(_)
            | State::Proven(_)
            | State::Over => SaslStep::Failed(SaslFailure::Credentials),
        }
    }

    fn next(
        &mut self,
        state: State,
        context: &SaslContext<'_>,
        message: Option<&[u8]>,
    ) -> Result<SaslStep, SaslFailure> {
        let message = match (&state, message) {
            // The client speaks first in all mechanisms but LOGIN: an empty challenge asks it to
            // (RFC 4954 §4).
            (State::Begun(mechanism), None) => {
                let challenge: &[u8] = match mechanism {
                    Mechanism::Login => LOGIN_NAME,
                    Mechanism::Plain | Mechanism::ScramSha256 | Mechanism::ScramSha256Plus => b"",
                };
                self.state = state;
                return Ok(SaslStep::Challenge(challenge.to_vec()));
            }
            (_, message) => message.unwrap_or_default(),
        };
        if message.len() > SASL_MESSAGE_BYTES_MAX {
            return Err(SaslFailure::Malformed);
        }
        let message = std::str::from_utf8(message).map_err(|_| SaslFailure::Malformed)?;
        match state {
            State::Begun(Mechanism::Plain) => {
                let account = PlainMessage::parse(message)?.account()?;
                Ok(self.check(context, &account))
            }
            State::Begun(Mechanism::Login) => {
                let name = prepare_name(message).map_err(|_| SaslFailure::Credentials)?;
                self.state = State::Named(name.into());
                Ok(SaslStep::Challenge(LOGIN_PASSWORD.to_vec()))
            }
            State::Named(name) => {
                if message.is_empty() || message.len() > PASSWORD_BYTES_MAX {
                    return Err(SaslFailure::Credentials);
                }
                Ok(self.check(context, &Account { user: (&*name).into(), password: message }))
            }
            State::Begun(mechanism @ (Mechanism::ScramSha256 | Mechanism::ScramSha256Plus)) => {
                let nonce = scram::server_nonce(context, message);
                let (challenge, challenged) =
                    scram::challenge(context, mechanism, message, &nonce)?;
                self.state = State::Challenged(Box::new(challenged));
                Ok(SaslStep::Challenge(challenge.into_bytes()))
            }
            State::Challenged(challenged) => {
                let Accepted { user, challenge } = challenged.accept(message)?;
                self.state = State::Proven(user.into_boxed_bytes());
                Ok(SaslStep::Challenge(challenge.into_bytes()))
            }
            // A reply of SMTP cannot carry the server's proof, so it goes out as a challenge that
            // the client answers with nothing (RFC 4954 §4).
            State::Proven(user) if message.is_empty() => Ok(SaslStep::Done { user }),
            State::Proven(_) | State::Checking(_) | State::Over => Err(SaslFailure::Malformed),
        }
    }

    fn check(&mut self, context: &SaslContext<'_>, account: &Account<'_>) -> SaslStep {
        let Account { user, password } = account;
        self.state = State::Checking(user.as_bytes().into());
        SaslStep::CheckPassword(context.users.check_password(context.secret, user, password))
    }
}

/// What asks for the name in LOGIN. The draft has other words, but some clients look for these.
const LOGIN_NAME: &[u8] = b"Username:";

/// What asks for the password in LOGIN.
const LOGIN_PASSWORD: &[u8] = b"Password:";
