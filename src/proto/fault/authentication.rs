//! Why an authentication ends in nothing.

use super::Fault;
use crate::proto::enhanced::EnhancedCode;
use crate::proto::reply::{Code, Reply};
use crate::proto::sasl::SaslFailure;

/// See [`Fault::Auth`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthFault {
    /// No mechanism that is offered.
    MechanismUnknown,
    /// A mechanism that sends the password, over a connection that is not protected.
    TlsNeeded,
    /// The client gave up.
    Cancelled,
    /// A response that is no base64.
    NotBase64,
    /// A response longer than what is taken.
    LineTooLong,
    /// The mechanism says no.
    Sasl(SaslFailure),
    /// More failures than one session may have.
    Failures,
    /// More failures than one address may have in a minute.
    FailuresOfAddress,
    /// Too many passwords wait for their check.
    Busy,
}

impl AuthFault {
    /// RFC 4954 §4 and §6.
    pub(super) const fn reply(self) -> Reply {
        let (code, enhanced, text) = match self {
            Self::MechanismUnknown => (
                Code::MECHANISM_504,
                EnhancedCode::ARGUMENTS_5_5_4,
                "Mechanism not offered here: EHLO lists those that are",
            ),
            Self::TlsNeeded => (
                Code::ENCRYPTION_538,
                EnhancedCode::ENCRYPTION_REQUIRED_5_7_11,
                "Encryption required for this mechanism: send STARTTLS first",
            ),
            Self::Cancelled => {
                (Code::SYNTAX_501, EnhancedCode::POLICY_5_7_0, "Authentication cancelled")
            }
            Self::NotBase64 => (
                Code::SYNTAX_501,
                EnhancedCode::SYNTAX_5_5_2,
                "Response malformed: send it in base64",
            ),
            Self::LineTooLong => (
                Code::UNRECOGNISED_500,
                EnhancedCode::AUTH_LINE_TOO_LONG_5_5_6,
                "Line too long: one of an authentication has at most 12288 bytes",
            ),
            Self::Sasl(failure) => return sasl_reply(failure),
            Self::Failures => (
                Code::UNAVAILABLE_421,
                EnhancedCode::POLICY_4_7_0,
                "Too many failed authentications in this session: closing",
            ),
            Self::FailuresOfAddress => (
                Code::UNAVAILABLE_421,
                EnhancedCode::POLICY_4_7_0,
                "Too many failed authentications from your address: try again in a minute",
            ),
            Self::Busy => (
                Code::NOT_NOW_454,
                EnhancedCode::POLICY_4_7_0,
                "Too many authentications at a time: try again later",
            ),
        };
        Reply::new(code, enhanced, text)
    }
}

impl From<AuthFault> for Fault {
    fn from(fault: AuthFault) -> Self {
        Self::Auth(fault)
    }
}

const fn sasl_reply(failure: SaslFailure) -> Reply {
    let text = match failure {
        SaslFailure::Malformed => {
            let text = "Response malformed: it is not what the mechanism says";
            return Reply::new(Code::SYNTAX_501, EnhancedCode::SYNTAX_5_5_2, text);
        }
        SaslFailure::Credentials => "Authentication failed: check user, password and mechanism",
        SaslFailure::AuthorizationIdentity => {
            "Authorization identity refused: leave it out, or send your user's name"
        }
        SaslFailure::Extension => "Extension of SCRAM not known here: leave it out",
        SaslFailure::ChannelBindingUnsupported => {
            "Channel binding not possible: take a mechanism or a binding that EHLO offers"
        }
        SaslFailure::ChannelBindingMismatch => {
            "Channel binding is to another connection: somebody may sit between"
        }
        SaslFailure::Downgraded => {
            "Channel binding is offered here, and you were told otherwise: somebody may sit between"
        }
    };
    Reply::new(Code::CREDENTIALS_535, EnhancedCode::CREDENTIALS_5_7_8, text)
}
