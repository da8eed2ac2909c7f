//! AUTH (RFC 4954): what a client says to log in.
//!
//! # Never
//! Shows a password, in no message and not for debugging either.
//!
//! # Bounds
//! [`CREDENTIAL_BYTES_MAX`] for the name and for the password each, so that a line with both stays
//! within what RFC 4954 §4 lets a client say.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The longest user name and the longest password.
pub(crate) const CREDENTIAL_BYTES_MAX: usize = 4_096;

/// RFC 4954 §4: the longest line of AUTH.
const AUTH_LINE_BYTES_MAX: usize = 12_288;

const _: () = assert!(
    (2 * CREDENTIAL_BYTES_MAX + 2).div_ceil(3) * 4 + "AUTH PLAIN \r\n".len() <= AUTH_LINE_BYTES_MAX,
    "the initial response of PLAIN has both in one line"
);

/// A way to log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Mechanism {
    /// Name and password in one message (RFC 4616).
    Plain,
    /// One after the other, as older servers want it.
    Login,
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
        })
    }
}

/// Who logs in and how.
#[derive(Clone)]
pub(crate) struct Login {
    pub(super) mechanism: Mechanism,
    /// Log in over a connection without TLS too.
    pub(super) without_tls: bool,
    /// What is said after the AUTH command, one line after another; each with its CRLF.
    answers: Vec<String>,
}

impl Login {
    /// # Errors
    /// What cannot be said as a name or password.
    pub(crate) fn new(
        mechanism: Mechanism,
        user: &str,
        password: &str,
        without_tls: bool,
    ) -> Result<Self, String> {
        for (what, text) in [("user name", user), ("password", password)] {
            // RFC 4616 §2: NUL separates the two.
            if text.is_empty() || text.contains('\0') || text.len() > CREDENTIAL_BYTES_MAX {
                return Err(format!(
                    "the {what} must have 1 to {CREDENTIAL_BYTES_MAX} bytes, none of them NUL"
                ));
            }
        }
        let answers = match mechanism {
            // RFC 4616 §2: no authorization identity, so it is derived from the user.
            Mechanism::Plain => vec![answer(&format!("\0{user}\0{password}"))],
            Mechanism::Login => vec![answer(user), answer(password)],
        };
        Ok(Self { mechanism, without_tls, answers })
    }

    /// Appends AUTH; with PLAIN the whole login is its initial response (RFC 4954 §4). How many of
    /// the answers it said.
    pub(super) fn begin(&self, out: &mut Vec<u8>) -> usize {
        match self.mechanism {
            Mechanism::Plain => {
                out.extend_from_slice(b"AUTH PLAIN ");
                self.answer(0, out);
                self.answers.len()
            }
            Mechanism::Login => {
                out.extend_from_slice(b"AUTH LOGIN\r\n");
                0
            }
        }
    }

    /// Appends the answer to the challenge after `said` answers; false if there is none. The texts
    /// of LOGIN's challenges ask for nothing else, so nobody reads them.
    pub(super) fn answer(&self, said: usize, out: &mut Vec<u8>) -> bool {
        let Some(answer) = self.answers.get(said) else {
            return false;
        };
        out.extend_from_slice(answer.as_bytes());
        true
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("mechanism", &self.mechanism).finish_non_exhaustive()
    }
}

fn answer(text: &str) -> String {
    STANDARD.encode(text) + "\r\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_said_and_not_shown() {
        // RFC 4616 §4 has this user and password.
        let login = Login::new(Mechanism::Plain, "tim", "tanstaaftanstaaf", false).unwrap();
        let mut out = Vec::new();
        assert_eq!(login.begin(&mut out), 1);
        assert_eq!(out, b"AUTH PLAIN AHRpbQB0YW5zdGFhZnRhbnN0YWFm\r\n");
        assert!(!login.answer(1, &mut out));
        assert_eq!(format!("{login:?}"), "Login { mechanism: Plain, .. }");
    }

    #[test]
    fn credentials_are_bounded() {
        let long = "x".repeat(CREDENTIAL_BYTES_MAX);
        let login = Login::new(Mechanism::Plain, &long, &long, false).unwrap();
        let mut out = Vec::new();
        login.begin(&mut out);
        assert!(out.len() <= AUTH_LINE_BYTES_MAX);
        for wrong in ["", "a\0b", &(long + "x")] {
            assert!(Login::new(Mechanism::Login, wrong, "p", false).is_err());
            assert!(Login::new(Mechanism::Login, "u", wrong, false).is_err());
        }
    }
}
