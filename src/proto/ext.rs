//! The service extensions that server and client know, by their EHLO keywords, and sets of them.
//!
//! What a session of the server offers is decided in one place, `proto::server::offer`, which the
//! EHLO answer and the checks of parameters both ask. What a next hop offers is an [`Offer`].

/// A service extension (RFC 5321 §2.2), in the order of the EHLO answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extension {
    /// RFC 2920: commands may be sent before the earlier ones are answered.
    Pipelining,
    /// RFC 1870: the largest message that is taken, and the declared size of a message.
    Size,
    /// RFC 6152: content with bytes beyond ASCII.
    EightBitMime,
    /// RFC 2034: replies carry the codes of RFC 3463.
    EnhancedStatusCodes,
    /// RFC 3030 §2: content in chunks of a known size.
    Chunking,
    /// RFC 3030 §3: content of any bytes.
    BinaryMime,
    /// RFC 6531: addresses and header fields in UTF-8.
    SmtpUtf8,
    /// RFC 3461: when and how the sender is notified.
    Dsn,
    /// RFC 9422: the bounds of a session.
    Limits,
    /// RFC 3207: TLS on request.
    StartTls,
    /// RFC 4954: authentication.
    Auth,
    /// RFC 8689: no transfer without TLS.
    RequireTls,
    /// RFC 4865: delivery not before a time.
    FutureRelease,
    /// RFC 2852: delivery not after a time.
    DeliverBy,
    /// RFC 6710: priorities of messages.
    MtPriority,
    /// Postfix's XCLIENT: a proxy says on whose behalf it speaks.
    Xclient,
}

impl Extension {
    /// All of them, in the order of the EHLO answer.
    pub const ALL: [Self; 16] = [
        Self::Pipelining,
        Self::Size,
        Self::EightBitMime,
        Self::EnhancedStatusCodes,
        Self::Chunking,
        Self::BinaryMime,
        Self::SmtpUtf8,
        Self::Dsn,
        Self::Limits,
        Self::StartTls,
        Self::Auth,
        Self::RequireTls,
        Self::FutureRelease,
        Self::DeliverBy,
        Self::MtPriority,
        Self::Xclient,
    ];

    /// The EHLO keyword.
    pub const fn keyword(self) -> &'static str {
        match self {
            Self::Pipelining => "PIPELINING",
            Self::Size => "SIZE",
            Self::EightBitMime => "8BITMIME",
            Self::EnhancedStatusCodes => "ENHANCEDSTATUSCODES",
            Self::Chunking => "CHUNKING",
            Self::BinaryMime => "BINARYMIME",
            Self::SmtpUtf8 => "SMTPUTF8",
            Self::Dsn => "DSN",
            Self::Limits => "LIMITS",
            Self::StartTls => "STARTTLS",
            Self::Auth => "AUTH",
            Self::RequireTls => "REQUIRETLS",
            Self::FutureRelease => "FUTURERELEASE",
            Self::DeliverBy => "DELIVERBY",
            Self::MtPriority => "MT-PRIORITY",
            Self::Xclient => "XCLIENT",
        }
    }
}

/// What a next hop offers: a set of extensions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offer(u16);

impl Offer {
    /// What one offers that was greeted with HELO, or not yet.
    pub const NOTHING: Self = Self(0);

    /// Whether `extension` is among them.
    pub const fn has(self, extension: Extension) -> bool {
        self.0 & Self::bit(extension) != 0
    }

    /// These and `extension`.
    #[must_use]
    pub const fn with(self, extension: Extension) -> Self {
        Self(self.0 | Self::bit(extension))
    }

    const fn bit(extension: Extension) -> u16 {
        1 << extension as u16
    }
}

impl FromIterator<Extension> for Offer {
    fn from_iter<I: IntoIterator<Item = Extension>>(extensions: I) -> Self {
        extensions.into_iter().fold(Self::NOTHING, Self::with)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offer_has_what_it_was_made_of() {
        for one in Extension::ALL {
            let offer = Offer::from_iter([one]);
            for other in Extension::ALL {
                assert_eq!(offer.has(other), one == other, "{one:?} {other:?}");
            }
            assert!(!Offer::NOTHING.has(one));
        }
    }
}
