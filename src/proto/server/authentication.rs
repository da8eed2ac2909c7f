//! AUTH (RFC 4954): the exchange of a mechanism, in base64 and between replies.
//!
//! # Guarantees
//! - A password is checked by the caller, and not here, so that it costs no other session time.
//! - The answer to a failure waits, twice as long each time, and nothing that comes behind it is
//!   looked at before.
//! - Every failure counts for the address of the client, one that it did not wait for as well; and
//!   once an address has too many, none of its exchanges goes on, right or wrong.
//!
//! # Bounds
//! `AUTH_LINE_BYTES_MAX` for a response, `AUTH_FAILURES_MAX` failures in a session.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::{Zeroize, Zeroizing};

use crate::clock::Now;
use crate::credentials::PasswordCheck;
use crate::limits::{AUTH_DELAY_MS, AUTH_FAILURES_MAX, AUTH_LINE_BYTES_MAX};
use crate::proto::enhanced::EnhancedCode;
use crate::proto::fault::{AuthFault, Fault, SequenceFault, SyntaxFault};
use crate::proto::line::{Found, LineFault};
use crate::proto::reply::{self, Code, Reply};
use crate::proto::sasl::{Exchange, Mechanism, SaslContext, SaslFailure, SaslStep};
use crate::proto::server::{AuthOffer, Conditions, Event, Hello, Phase, ServerSession, TlsOffer};
use crate::span::Span;

/// An exchange that goes on.
#[derive(Debug)]
pub(super) struct Authentication {
    exchange: Exchange,
    /// What the caller is to run.
    check: Option<PasswordCheck>,
    /// What the delayed answer says.
    failure: AuthFault,
    answer_due: Now,
}

impl ServerSession {
    /// What [`Event::CheckPassword`] told of; run it, and tell
    /// [`handle_password`](Self::handle_password) what it came to.
    pub fn take_password_check(&mut self) -> Option<PasswordCheck> {
        self.authentication.as_mut()?.check.take()
    }

    /// Takes what the password check came to. If nobody waits for it any more nothing happens.
    pub fn handle_password(&mut self, conditions: &Conditions, right: bool) {
        if self.phase != Phase::PasswordCheck {
            return;
        }
        self.active = conditions.now;
        let Some(authentication) = &mut self.authentication else { return };
        let step = authentication.exchange.handle_password(right);
        // Whoever guesses over many connections at a time learns of no more guesses than over one.
        if self.auth_is_blocked(conditions) {
            self.end_exchange(AuthFault::FailuresOfAddress);
        } else {
            self.take_step(conditions, step);
        }
    }

    /// The password check cannot be run: `454 4.7.0`. The client may try again.
    pub fn refuse_password_check(&mut self, conditions: &Conditions) {
        if self.phase == Phase::PasswordCheck {
            self.active = conditions.now;
            self.end_exchange(AuthFault::Busy);
        }
    }

    /// Authentications of this session that failed.
    pub const fn auth_failures(&self) -> u32 {
        self.auth_failures
    }

    /// The name of the user who authenticated.
    pub fn user(&self) -> Option<&[u8]> {
        self.user.as_deref()
    }

    /// The mechanisms that AUTH takes at the moment, the strongest first.
    pub(super) fn auth_keywords(&self) -> impl Iterator<Item = &'static str> {
        let offered = move |mechanism: &Mechanism| self.offers_mechanism(*mechanism);
        Mechanism::ALL.into_iter().filter(offered).map(Mechanism::name)
    }

    /// RFC 4954 §4.
    pub(super) fn auth(
        &mut self,
        conditions: &Conditions,
        line: &[u8],
        mechanism: Span,
        initial: Option<Span>,
    ) -> Option<Event> {
        let begun = self.check_auth(conditions, mechanism.of(line)).and_then(|mechanism| {
            let initial = initial.map(|initial| match initial.of(line) {
                // RFC 4954 §4: an empty one cannot be sent as it is.
                b"=" => Ok(Zeroizing::default()),
                encoded => decode(encoded),
            });
            Ok((mechanism, initial.transpose()?))
        });
        match begun {
            Err(fault) => {
                self.refuse(fault);
                None
            }
            Ok((mechanism, initial)) => {
                self.authentication = Some(Box::new(Authentication {
                    exchange: Exchange::begin(mechanism),
                    check: None,
                    failure: AuthFault::Cancelled,
                    answer_due: conditions.now,
                }));
                self.respond(conditions, initial.as_ref().map(|message| &message[..]))
            }
        }
    }

    /// Takes the next response of the client.
    pub(super) fn read_response(
        &mut self,
        conditions: &Conditions,
        input: &[u8],
    ) -> (usize, Option<Event>) {
        if self.replies.is_full() {
            return (0, Some(Event::Blocked));
        }
        let scan = self.lines.next_line_within(input, AUTH_LINE_BYTES_MAX);
        let event = match scan.found {
            Found::NeedInput => Some(Event::NeedInput),
            Found::InInput(line) => self.take_response(conditions, line.of(input)),
            Found::Kept => {
                let mut line = self.lines.take();
                let event = self.take_response(conditions, &line);
                line.zeroize();
                self.lines.give_back(line);
                event
            }
            Found::Refused(fault) => {
                self.active = conditions.now;
                self.end_exchange_with(match fault {
                    LineFault::TooLong => Fault::Auth(AuthFault::LineTooLong),
                    LineFault::BareLf => Fault::Line(fault),
                });
                None
            }
        };
        (scan.consumed, event)
    }

    /// When the answer to a failed authentication is due.
    pub(super) fn auth_answer_due(&self) -> Now {
        self.authentication.as_ref().map_or(self.active, |it| it.answer_due)
    }

    /// Answers an authentication that failed.
    pub(super) fn answer_failure(&mut self, conditions: &Conditions) {
        self.active = conditions.now;
        let failure = self.authentication.as_ref().map_or(AuthFault::Failures, |it| it.failure);
        let is_last = self.auth_failures >= AUTH_FAILURES_MAX;
        self.end_exchange(if is_last { AuthFault::Failures } else { failure });
    }

    /// Forgets an exchange. One whose password is being checked counts as failed.
    pub(super) fn abandon_exchange(&mut self) {
        if self.phase == Phase::PasswordCheck {
            self.count_failure(self.active);
        }
        self.authentication = None;
    }

    fn offers_mechanism(&self, mechanism: Mechanism) -> bool {
        let policy = &self.policy;
        let without_tls = match policy.auth {
            AuthOffer::Off => return false,
            AuthOffer::Optional { without_tls } | AuthOffer::Required { without_tls } => {
                without_tls
            }
        };
        !self.tls_is_missing()
            && mechanism.is_offered(&policy.users, self.tls.as_deref(), without_tls)
    }

    /// Whether nothing may be done before STARTTLS (RFC 3207 §4).
    pub(super) fn tls_is_missing(&self) -> bool {
        self.policy.tls == TlsOffer::StartTls { required: true } && self.tls.is_none()
    }

    /// Whether AUTH may come now, and with this mechanism.
    fn check_auth(&self, conditions: &Conditions, name: &[u8]) -> Result<Mechanism, Fault> {
        if self.policy.auth == AuthOffer::Off {
            return Err(SyntaxFault::NotImplemented.into());
        }
        if self.hello != Hello::Ehlo {
            return Err(Fault::Sequence(SequenceFault::EhloMissing));
        }
        if self.tls_is_missing() {
            return Err(Fault::Sequence(SequenceFault::TlsMissing));
        }
        // RFC 4954 §4.
        if self.user.is_some() {
            return Err(Fault::Sequence(SequenceFault::AuthDone));
        }
        if self.envelope_is_open() {
            return Err(Fault::Sequence(SequenceFault::WithinTransaction));
        }
        let mechanism = Mechanism::parse(name).ok_or(AuthFault::MechanismUnknown)?;
        if !self.offers_mechanism(mechanism) {
            return Err(Fault::Auth(if mechanism.sends_password() {
                AuthFault::TlsNeeded
            } else {
                AuthFault::MechanismUnknown
            }));
        }
        if self.auth_is_blocked(conditions) {
            return Err(Fault::Auth(AuthFault::FailuresOfAddress));
        }
        Ok(mechanism)
    }

    fn take_response(&mut self, conditions: &Conditions, line: &[u8]) -> Option<Event> {
        self.active = conditions.now;
        // RFC 4954 §4.
        if line == b"*" {
            self.end_exchange(AuthFault::Cancelled);
            return None;
        }
        if self.auth_is_blocked(conditions) {
            self.end_exchange(AuthFault::FailuresOfAddress);
            return None;
        }
        match decode(line) {
            Ok(message) => self.respond(conditions, Some(&message)),
            Err(fault) => {
                self.end_exchange(fault);
                None
            }
        }
    }

    fn respond(&mut self, conditions: &Conditions, message: Option<&[u8]>) -> Option<Event> {
        let context = SaslContext {
            users: &self.policy.users,
            secret: &self.policy.secret,
            serial: self.serial,
            tls: self.tls.as_deref(),
        };
        let step = self.authentication.as_mut()?.exchange.respond(&context, message);
        self.take_step(conditions, step)
    }

    fn take_step(&mut self, conditions: &Conditions, step: SaslStep) -> Option<Event> {
        match step {
            SaslStep::Challenge(challenge) => {
                self.phase = Phase::Exchange;
                let encoded = STANDARD.encode(challenge);
                let parts = [encoded.as_bytes()];
                self.replies.push(|out| {
                    reply::write_line(out, Code::CHALLENGE_334, None, &parts);
                });
                None
            }
            SaslStep::CheckPassword(check) => {
                self.phase = Phase::PasswordCheck;
                self.authentication.as_mut()?.check = Some(check);
                Some(Event::CheckPassword)
            }
            SaslStep::Done { user } => {
                self.phase = Phase::Command;
                self.authentication = None;
                self.user = Some(user);
                self.user_is_vouched_for = false;
                self.replies.push(|out| AUTHENTICATED.write(out));
                None
            }
            SaslStep::Failed(failure @ SaslFailure::Malformed) => {
                self.end_exchange(AuthFault::Sasl(failure));
                None
            }
            SaslStep::Failed(failure) => {
                self.count_failure(conditions.now);
                let doublings = self.auth_failures.min(AUTH_FAILURES_MAX);
                self.auth_failures += 1;
                self.phase = Phase::AuthDelay;
                let authentication = self.authentication.as_mut()?;
                authentication.failure = AuthFault::Sasl(failure);
                authentication.answer_due =
                    conditions.now + Duration::from_millis(AUTH_DELAY_MS << doublings);
                None
            }
        }
    }

    fn end_exchange(&mut self, fault: AuthFault) {
        self.end_exchange_with(Fault::Auth(fault));
    }

    fn end_exchange_with(&mut self, fault: Fault) {
        self.phase = Phase::Command;
        self.authentication = None;
        self.refuse(fault);
    }

    fn auth_is_blocked(&self, conditions: &Conditions) -> bool {
        let policy = &self.policy;
        let (scope, limits) = (policy.throttle_scope, &policy.throttle_limits);
        policy.throttles.auth_is_blocked(conditions.now, scope, limits, self.peer.address)
    }

    fn count_failure(&self, now: Now) {
        let policy = &self.policy;
        let (scope, limits) = (policy.throttle_scope, &policy.throttle_limits);
        policy.throttles.auth_failed(now, scope, limits, self.peer.address);
    }
}

const AUTHENTICATED: Reply = Reply::new(
    Code::AUTHENTICATED_235,
    EnhancedCode::AUTHENTICATED_2_7_0,
    "Authentication succeeded",
);

/// RFC 4954 §4: strictly, with its padding.
fn decode(encoded: &[u8]) -> Result<Zeroizing<Vec<u8>>, AuthFault> {
    let mut message = Zeroizing::new(vec![0; encoded.len() / 4 * 3 + 3]);
    match STANDARD.decode_slice(encoded, &mut message) {
        Ok(length) => {
            message.truncate(length);
            Ok(message)
        }
        Err(_) => Err(AuthFault::NotBase64),
    }
}
