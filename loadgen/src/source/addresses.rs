//! The recipients of a message, made from a pattern and a list of domains.
//!
//! # Guarantees
//! The same message number always gives the same recipients, so a message that is sent again has
//! the same envelope.

use std::io::{self, Write};
use std::str::FromStr;

use crate::client::MailParameters;

/// A pattern like `user{n}@example.com`: `{n}` stands for the number of the message, `{r}` for the
/// number of the recipient in the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    local_part: Vec<Piece>,
    domain: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Message,
    Recipient,
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (local_part, domain) =
            text.rsplit_once('@').ok_or_else(|| format!("`{text}` has no @"))?;
        if local_part.is_empty() || domain.is_empty() || !text.bytes().all(is_path_byte) {
            return Err(format!("`{text}` is not an address"));
        }
        let mut pieces = Vec::new();
        let mut rest = local_part;
        while let Some(at) = rest.find('{') {
            let (before, after) = rest.split_at(at);
            pieces.push(Piece::Text(before.to_owned()));
            pieces.push(match after.get(..3) {
                Some("{n}") => Piece::Message,
                Some("{r}") => Piece::Recipient,
                Some(_) | None => {
                    return Err(format!("`{after}` must begin with {{n}} or {{r}}"));
                }
            });
            rest = &after[3..];
        }
        pieces.push(Piece::Text(rest.to_owned()));
        Ok(Self { local_part: pieces, domain: domain.to_owned() })
    }
}

/// Whether `byte` may stand between the angle brackets of a path as we write them.
pub(crate) const fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b'<' && byte != b'>'
}

/// Writes the envelope's commands.
#[derive(Clone, Debug)]
pub(crate) struct Envelopes {
    pub(crate) from: String,
    pub(crate) to: Pattern,
    /// Domains to take in turn, instead of the pattern's.
    pub(crate) domains: Vec<String>,
    pub(crate) recipients: u32,
}

impl Envelopes {
    /// One recipient, the same for all.
    ///
    /// # Errors
    /// `to` is no pattern.
    pub(crate) fn plain(from: &str, to: &str) -> io::Result<Self> {
        let to = to.parse().map_err(io::Error::other::<String>)?;
        Ok(Self { from: from.to_owned(), to, domains: Vec::new(), recipients: 1 })
    }

    /// Appends MAIL and RCPT (RFC 5321 §4.1.1.2, §4.1.1.3) of the message `number`.
    pub(crate) fn write(&self, number: u64, parameters: MailParameters, out: &mut Vec<u8>) {
        // Writing to a Vec cannot fail.
        let _ = write!(out, "MAIL FROM:<{}>", self.from);
        parameters.write(out);
        out.extend_from_slice(b"\r\n");
        for recipient in 0..self.recipients {
            out.extend_from_slice(b"RCPT TO:<");
            for piece in &self.to.local_part {
                let _ = match piece {
                    Piece::Text(text) => out.write_all(text.as_bytes()),
                    Piece::Message => write!(out, "{number}"),
                    Piece::Recipient => write!(out, "{recipient}"),
                };
            }
            out.push(b'@');
            out.extend_from_slice(self.domain(number).as_bytes());
            out.extend_from_slice(b">\r\n");
        }
    }

    fn domain(&self, number: u64) -> &str {
        let count = self.domains.len() as u64;
        let turn = number.checked_rem(count).and_then(|turn| usize::try_from(turn).ok());
        turn.and_then(|turn| self.domains.get(turn)).unwrap_or(&self.to.domain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(to: &str, domains: &[&str], recipients: u32, number: u64) -> String {
        let envelopes = Envelopes {
            from: "me@example.com".to_owned(),
            to: to.parse().unwrap(),
            domains: domains.iter().map(|domain| (*domain).to_owned()).collect(),
            recipients,
        };
        let mut out = Vec::new();
        envelopes.write(number, MailParameters::default(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn patterns_are_filled_in() {
        assert_eq!(
            written("a{n}.{r}x@example.com", &[], 2, 7),
            "MAIL FROM:<me@example.com>\r\nRCPT TO:<a7.0x@example.com>\r\n\
             RCPT TO:<a7.1x@example.com>\r\n"
        );
        let domains = ["one.example", "two.example"];
        assert!(written("a@b", &domains, 1, 3).ends_with("RCPT TO:<a@two.example>\r\n"));
        assert!(written("a@b", &domains, 1, 4).ends_with("RCPT TO:<a@one.example>\r\n"));
    }

    #[test]
    fn wrong_patterns_are_refused() {
        for wrong in ["", "a", "@b", "a@", "a{x}@b", "a{n@b", "a b@c", "a@b>\r\nDATA"] {
            assert!(wrong.parse::<Pattern>().is_err(), "{wrong}");
        }
    }
}
