//! The recipients of a message, made from a pattern and a list of domains.
//!
//! # Guarantees
//! The same message number always gives the same recipients, so a message that is sent again has
//! the same envelope. The same seed gives the same envelopes in every run.
//!
//! # Bounds
//! [`RECIPIENTS_MAX`] for a message.

use std::io::{self, Write};
use std::str::FromStr;

use crate::client::MailParameters;
use crate::dice::Dice;
use crate::shares::Shares;

/// Recipients of a message: a hundred times what RFC 5321 §4.5.3.1.8 demands of a server.
const RECIPIENTS_MAX: u32 = 10_000;

/// What draws the numbers of recipients and the domains of a run.
const COUNT: u64 = 0x636f_756e_7400_0000;
const DOMAIN: u64 = 0x646f_6d61_0000_0000;

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
/// Bytes above 127 need SMTPUTF8 (RFC 6531 §3.3).
pub(crate) const fn is_path_byte(byte: u8) -> bool {
    (byte.is_ascii_graphic() && byte != b'<' && byte != b'>') || !byte.is_ascii()
}

/// How many recipients a message has: from the first to the last, each as likely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecipientCount {
    pub(crate) least: u32,
    pub(crate) most: u32,
}

impl FromStr for RecipientCount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (least, most) = text.split_once('-').unwrap_or((text, text));
        let number =
            |text: &str| text.parse().ok().filter(|count| (1..=RECIPIENTS_MAX).contains(count));
        match (number(least), number(most)) {
            (Some(least), Some(most)) if least <= most => Ok(Self { least, most }),
            _ => Err(format!("it must be a number or a range like 1-50, up to {RECIPIENTS_MAX}")),
        }
    }
}

/// The domain of recipients.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Domains {
    /// That of the pattern.
    OfPattern,
    /// These in turn.
    InTurn(Vec<String>),
    /// These by lot.
    ByLot(Vec<String>, Shares),
}

/// Writes the envelope's commands.
#[derive(Clone, Debug)]
pub(crate) struct Envelopes {
    pub(crate) from: String,
    pub(crate) to: Pattern,
    pub(crate) domains: Domains,
    /// Each recipient has a domain of its own, instead of one for all of a message.
    pub(crate) mixes_domains: bool,
    pub(crate) recipients: RecipientCount,
    pub(crate) seed: u64,
}

impl Envelopes {
    /// One recipient, the same for all.
    ///
    /// # Errors
    /// `to` is no pattern.
    pub(crate) fn plain(from: &str, to: &str) -> io::Result<Self> {
        Ok(Self {
            from: from.to_owned(),
            to: to.parse().map_err(io::Error::other::<String>)?,
            domains: Domains::OfPattern,
            mixes_domains: false,
            recipients: RecipientCount { least: 1, most: 1 },
            seed: 0,
        })
    }

    /// Whether no address goes beyond ASCII.
    pub(crate) fn is_ascii(&self) -> bool {
        let is_ascii = |piece: &Piece| match piece {
            Piece::Text(text) => text.is_ascii(),
            Piece::Message | Piece::Recipient => true,
        };
        let domains = match &self.domains {
            Domains::OfPattern => std::slice::from_ref(&self.to.domain),
            Domains::InTurn(domains) | Domains::ByLot(domains, _) => domains,
        };
        self.from.is_ascii()
            && self.to.local_part.iter().all(is_ascii)
            && domains.iter().all(|domain| domain.is_ascii())
    }

    /// Appends MAIL and RCPT (RFC 5321 §4.1.1.2, §4.1.1.3) of the message `number`.
    pub(crate) fn write(&self, number: u64, parameters: MailParameters, out: &mut Vec<u8>) {
        // Writing to a Vec cannot fail.
        let _ = write!(out, "MAIL FROM:<{}>", self.from);
        parameters.write(out);
        out.extend_from_slice(b"\r\n");
        for recipient in 0..self.count(number) {
            out.extend_from_slice(b"RCPT TO:<");
            let _ = self.write_recipient(number, recipient, out);
            out.extend_from_slice(b">\r\n");
        }
    }

    /// How many recipients the message `number` has.
    pub(crate) fn count(&self, number: u64) -> u32 {
        let RecipientCount { least, most } = self.recipients;
        if least == most {
            return least;
        }
        let span = u64::from(most - least) + 1;
        let above = Dice::of(self.seed, COUNT, number).next() % span;
        least + u32::try_from(above).unwrap_or_default()
    }

    /// Appends the address of a recipient of the message `number`.
    ///
    /// # Errors
    /// Those of `out`.
    pub(crate) fn write_recipient(
        &self,
        number: u64,
        recipient: u32,
        out: &mut impl Write,
    ) -> io::Result<()> {
        for piece in &self.to.local_part {
            match piece {
                Piece::Text(text) => out.write_all(text.as_bytes())?,
                Piece::Message => write!(out, "{number}")?,
                Piece::Recipient => write!(out, "{recipient}")?,
            }
        }
        out.write_all(b"@")?;
        out.write_all(self.domain(number, recipient).as_bytes())
    }

    fn domain(&self, number: u64, recipient: u32) -> &str {
        let recipient = if self.mixes_domains { u64::from(recipient) } else { 0 };
        match &self.domains {
            Domains::OfPattern => &self.to.domain,
            Domains::InTurn(domains) => {
                let turn = number.wrapping_add(recipient) % domains.len() as u64;
                &domains[usize::try_from(turn).unwrap_or_default()]
            }
            Domains::ByLot(domains, shares) => {
                let mut dice = Dice::of(self.seed, DOMAIN.wrapping_add(recipient), number);
                &domains[shares.choose(dice.throw())]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelopes(to: &str, domains: Domains, recipients: &str) -> Envelopes {
        let recipients = recipients.parse().unwrap();
        Envelopes { domains, recipients, ..Envelopes::plain("me@example.com", to).unwrap() }
    }

    fn written(envelopes: &Envelopes, number: u64) -> String {
        let mut out = Vec::new();
        envelopes.write(number, MailParameters::default(), &mut out);
        String::from_utf8(out).unwrap()
    }

    fn names() -> Vec<String> {
        vec!["one.example".to_owned(), "two.example".to_owned()]
    }

    #[test]
    fn patterns_are_filled_in() {
        assert_eq!(
            written(&envelopes("a{n}.{r}x@example.com", Domains::OfPattern, "2"), 7),
            "MAIL FROM:<me@example.com>\r\nRCPT TO:<a7.0x@example.com>\r\n\
             RCPT TO:<a7.1x@example.com>\r\n"
        );
    }

    #[test]
    fn domains_take_turns() {
        let mut envelopes = envelopes("a@b", Domains::InTurn(names()), "2");
        let pair =
            |one, other| format!("RCPT TO:<a@{one}.example>\r\nRCPT TO:<a@{other}.example>\r\n");
        assert!(written(&envelopes, 3).ends_with(&pair("two", "two")));
        assert!(written(&envelopes, 4).ends_with(&pair("one", "one")));
        envelopes.mixes_domains = true;
        assert!(written(&envelopes, 3).ends_with(&pair("two", "one")));
    }

    #[test]
    fn domains_have_their_shares() {
        let shares = Shares::new([3.0, 1.0]).unwrap();
        let mut envelopes = envelopes("a@b", Domains::ByLot(names(), shares), "2");
        let ones =
            |envelopes: &Envelopes, number| written(envelopes, number).matches("one.").count();
        let count = (0..10_000).filter(|number| ones(&envelopes, *number) == 2).count();
        assert!((7_300..7_700).contains(&count), "{count}");
        assert_eq!(written(&envelopes, 5), written(&envelopes, 5));
        // Both of one domain: 9/16 and 1/16.
        envelopes.mixes_domains = true;
        let mixed = (0..10_000).filter(|number| ones(&envelopes, *number) == 1).count();
        assert!((3_550..3_950).contains(&mixed), "{mixed}");
    }

    #[test]
    fn numbers_of_recipients_fill_their_range() {
        let envelopes = envelopes("a@b", Domains::OfPattern, "1-50");
        let mut counts = [0_u32; 51];
        for number in 0..50_000 {
            assert_eq!(envelopes.count(number), envelopes.count(number));
            counts[envelopes.count(number) as usize] += 1;
        }
        assert_eq!(counts[0], 0);
        assert!(counts[1..].iter().all(|count| (850..1_150).contains(count)), "{counts:?}");
        assert_eq!(written(&envelopes, 9).matches("RCPT").count(), envelopes.count(9) as usize);
        for wrong in ["", "0", "0-1", "3-2", "1-", "x", "1-10001"] {
            assert!(wrong.parse::<RecipientCount>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn addresses_may_go_beyond_ascii() {
        let beyond = envelopes("ü{n}@bücher.example", Domains::OfPattern, "1");
        assert!(written(&beyond, 7).ends_with("<ü7@bücher.example>\r\n"));
        assert!(!beyond.is_ascii());
        let domains = Domains::InTurn(vec!["ç".to_owned()]);
        assert!(!envelopes("a@b", domains, "1").is_ascii());
        assert!(envelopes("a{n}@ß", Domains::InTurn(names()), "1").is_ascii());
        assert!(!Envelopes::plain("ä@b", "a@b").unwrap().is_ascii());
        assert!(Envelopes::plain("", "a{n}@b").unwrap().is_ascii());
    }

    #[test]
    fn wrong_patterns_are_refused() {
        for wrong in ["", "a", "@b", "a@", "a{x}@b", "a{n@b", "a b@c", "a@b>\r\nDATA"] {
            assert!(wrong.parse::<Pattern>().is_err(), "{wrong}");
        }
    }
}
