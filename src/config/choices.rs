//! Keys that choose among few words: which words there are, and what each stands for.

use crate::invalid::Invalid;
use crate::io::tls::ClientCertificates;
use crate::proto::server::Role;

/// The words of a key and their meanings. No word and no meaning is there twice.
#[derive(Debug)]
pub(super) struct Choices<T: 'static>(&'static [(&'static str, T)]);

impl<T: Copy + PartialEq> Choices<T> {
    /// The meaning of `text`.
    pub(super) fn read(&self, text: &str) -> Result<T, Invalid> {
        let chosen = self.0.iter().find(|(word, _)| *word == text);
        chosen.map(|(_, meaning)| *meaning).ok_or_else(|| {
            let words: Vec<_> = self.0.iter().map(|(word, _)| format!("{word:?}")).collect();
            let remedy = match words.as_slice() {
                [others @ .., last] if !others.is_empty() => {
                    format!("write {} or {last}", others.join(", "))
                }
                _ => format!("write {}", words.concat()),
            };
            Invalid::new(format!("{text:?} is no choice here"), remedy)
        })
    }

    /// The word for `meaning`.
    pub(super) fn word(&self, meaning: T) -> &'static str {
        self.0.iter().find(|(_, other)| *other == meaning).map_or("", |(word, _)| word)
    }
}

/// `listener.role`
pub(super) const ROLES: Choices<Role> =
    Choices(&[("transfer", Role::Transfer), ("submission", Role::Submission)]);

/// `listener.tls`, without `tls_required`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TlsStart {
    Never,
    OnRequest,
    AtOnce,
}

/// `listener.tls`
pub(super) const TLS_STARTS: Choices<TlsStart> = Choices(&[
    ("none", TlsStart::Never),
    ("starttls", TlsStart::OnRequest),
    ("implicit", TlsStart::AtOnce),
]);

/// What is asked of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Demand {
    Off,
    Optional,
    Required,
}

/// `listener.auth`
pub(super) const DEMANDS: Choices<Demand> = Choices(&[
    ("off", Demand::Off),
    ("optional", Demand::Optional),
    ("required", Demand::Required),
]);

/// `listener.client_certificates`
pub(super) const CLIENT_CERTIFICATES: Choices<ClientCertificates> = Choices(&[
    ("off", ClientCertificates::Off),
    ("optional", ClientCertificates::Optional),
    ("required", ClientCertificates::Required),
]);

/// A fault of clients that can be overlooked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClientFault {
    SpaceBeforePath,
    MissingBrackets,
    BareLf,
}

/// Elements of `listener.lenient`
pub(super) const FAULTS: Choices<ClientFault> = Choices(&[
    ("space-before-path", ClientFault::SpaceBeforePath),
    ("missing-brackets", ClientFault::MissingBrackets),
    ("bare-lf", ClientFault::BareLf),
]);

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: Copy + PartialEq + std::fmt::Debug>(choices: &Choices<T>) {
        for (word, meaning) in choices.0 {
            assert_eq!(choices.read(word), Ok(*meaning));
            assert_eq!(choices.word(*meaning), *word);
        }
        for text in ["", "other", "OFF"] {
            assert!(choices.read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn words_and_meanings_are_pairs() {
        check(&ROLES);
        check(&TLS_STARTS);
        check(&DEMANDS);
        check(&CLIENT_CERTIFICATES);
        check(&FAULTS);
    }

    #[test]
    fn a_word_that_is_none() {
        let invalid = TLS_STARTS.read("ssl").expect_err("not a word");
        let expected = "\"ssl\" is no choice here; write \"none\", \"starttls\" or \"implicit\"";
        assert_eq!(invalid.to_string(), expected);
    }
}
