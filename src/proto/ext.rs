//! The service extensions that the server offers, by their EHLO keywords.

use std::io::Write;

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
}

impl Extension {
    /// What the server offers. Each is offered to every peer.
    pub const OFFERED: [Self; 4] =
        [Self::Pipelining, Self::Size, Self::EightBitMime, Self::EnhancedStatusCodes];

    /// The EHLO keyword.
    pub const fn keyword(self) -> &'static str {
        match self {
            Self::Pipelining => "PIPELINING",
            Self::Size => "SIZE",
            Self::EightBitMime => "8BITMIME",
            Self::EnhancedStatusCodes => "ENHANCEDSTATUSCODES",
        }
    }

    /// Appends the keyword and its parameters to `out`, as a line of the EHLO answer has them.
    /// `message_bytes_max` is the parameter of SIZE (RFC 1870 §4).
    pub fn write(self, message_bytes_max: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(self.keyword().as_bytes());
        match self {
            Self::Size => {
                // Writing to a vector never fails.
                let _ = write!(out, " {message_bytes_max}");
            }
            Self::Pipelining | Self::EightBitMime | Self::EnhancedStatusCodes => {}
        }
    }
}
