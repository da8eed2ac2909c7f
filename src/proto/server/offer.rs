//! What a session offers: the one place that decides it. The EHLO answer lists it, and parameters
//! of what is not in it are unknown.

use std::io::Write;

use crate::clock::WallTime;
use crate::limits::{ADVERTISED_COUNT_MAX, PARAMETER_TIME_S_MAX};
use crate::proto::command::{self, Command, Grammar};
use crate::proto::ext::Extension;
use crate::proto::fault::Fault;
use crate::proto::server::{Conditions, Hello, ServerSession, TlsOffer};

/// What XCLIENT takes (Postfix's XCLIENT_README).
const XCLIENT_ATTRIBUTES: &str = "NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT";

impl ServerSession {
    /// Parses a command by what may stand in it at the moment. With HELO a client asks for no
    /// extension (RFC 5321 §2.2.1), so that no parameter is known then.
    ///
    /// # Errors
    /// What is wrong with `line`.
    pub(super) fn parse(&self, line: &[u8]) -> Result<Command, Fault> {
        let leniency = self.policy.leniency;
        let grammar = Grammar {
            offers: &|extension| self.hello == Hello::Ehlo && self.offers(extension),
            smtputf8: self.envelope().wishes.is_some_and(|wishes| wishes.smtputf8),
            space_before_path: leniency.space_before_path,
            missing_brackets: leniency.missing_brackets,
        };
        command::parse(line, &grammar)
    }

    fn offers(&self, extension: Extension) -> bool {
        let is_protected = self.tls_facts().is_some();
        match extension {
            Extension::Pipelining
            | Extension::Size
            | Extension::EightBitMime
            | Extension::EnhancedStatusCodes
            | Extension::Chunking
            | Extension::BinaryMime
            | Extension::SmtpUtf8
            | Extension::Dsn
            | Extension::Limits
            | Extension::DeliverBy
            | Extension::MtPriority => true,
            // RFC 3207 §4.2: not over a connection that has it, nor to the client of a proxy.
            Extension::StartTls => {
                matches!(self.policy.tls, TlsOffer::StartTls { .. })
                    && !is_protected
                    && !self.is_vouched_for
            }
            // Who is authenticated may still say on whose behalf (RFC 4954 §5).
            Extension::Auth => self.auth_keywords().next().is_some() || self.user().is_some(),
            // RFC 8689 §2: only over TLS.
            Extension::RequireTls => is_protected,
            Extension::FutureRelease => self.hold_s_max() > 0,
            Extension::Xclient => self.may_xclient(),
        }
    }

    /// How many seconds ahead a release may lie (RFC 4865 §3).
    pub(super) fn hold_s_max(&self) -> u32 {
        let seconds = self.policy.limits.hold_time_max.as_secs();
        u32::try_from(seconds).unwrap_or(u32::MAX).min(PARAMETER_TIME_S_MAX)
    }

    /// Appends the lines of the EHLO answer behind its first to `out` (RFC 5321 §4.1.1.1).
    pub(super) fn write_offer(&self, conditions: &Conditions, out: &mut Vec<u8>) {
        // AUTH without a mechanism is none (RFC 4954 §3).
        let is_listed = |extension: &Extension| {
            self.offers(*extension)
                && (*extension != Extension::Auth || self.auth_keywords().next().is_some())
        };
        let listed = || Extension::ALL.into_iter().filter(is_listed);
        let last = listed().last();
        for extension in listed() {
            out.extend_from_slice(if Some(extension) == last { b"250 " } else { b"250-" });
            out.extend_from_slice(extension.keyword().as_bytes());
            self.write_arguments(extension, conditions, out);
            out.extend_from_slice(b"\r\n");
        }
    }

    /// Appends what stands behind the keyword of `extension`.
    fn write_arguments(&self, extension: Extension, conditions: &Conditions, out: &mut Vec<u8>) {
        let limits = &self.policy.limits;
        // Writing to a vector never fails.
        let _ = match extension {
            // RFC 1870 §4.
            Extension::Size => write!(out, " {}", limits.message_bytes_max),
            // RFC 9422 §4.1, §4.2.
            Extension::Limits => {
                let recipients_max = u32::try_from(limits.recipients_max).unwrap_or(u32::MAX);
                let recipients_max = recipients_max.min(ADVERTISED_COUNT_MAX);
                let messages_max = limits.messages_max.min(ADVERTISED_COUNT_MAX);
                write!(out, " RCPTMAX={recipients_max} MAILMAX={messages_max}")
            }
            // RFC 4954 §3.
            Extension::Auth => self.auth_keywords().try_for_each(|name| write!(out, " {name}")),
            // RFC 4865 §3; the date has whole seconds, so that it is never later than the other.
            Extension::FutureRelease => {
                let hold_s_max = self.hold_s_max();
                let last_ms = conditions.wall.as_unix_ms() + u64::from(hold_s_max) * 1_000;
                let last = WallTime::from_unix_ms(last_ms - last_ms % 1_000).to_rfc3339();
                write!(out, " {hold_s_max} {last}")
            }
            Extension::Xclient => write!(out, " {XCLIENT_ATTRIBUTES}"),
            Extension::Pipelining
            | Extension::EightBitMime
            | Extension::EnhancedStatusCodes
            | Extension::Chunking
            | Extension::BinaryMime
            | Extension::SmtpUtf8
            | Extension::Dsn
            | Extension::StartTls
            | Extension::RequireTls
            // RFC 2852 §2: no shortest time is told, because every one is taken.
            | Extension::DeliverBy
            // RFC 6710 §3: no policy has a name here.
            | Extension::MtPriority => Ok(()),
        };
    }
}
