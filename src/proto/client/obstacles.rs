//! Why a peer will not get a message at all, before it is even asked: what the message needs and
//! the peer does not offer.
//!
//! Each of these is permanent for the whole message, like a refusal of MAIL: the servers of a site
//! are to offer the same (RFC 6531 §3.7.2 says so of SMTPUTF8).

use crate::message::{BodyType, DeliverByMode};
use crate::proto::enhanced::EnhancedCode;
use crate::proto::ext::Extension;

use super::extensions::SizeExtension;
use super::spelling::{Unsendable, spell};
use super::{ClientSession, EightBitToSevenBitPeer, Failure, Scope, Severity, TransactionRequest};

impl ClientSession {
    pub(super) fn find_obstacle(&self, request: &TransactionRequest<'_>) -> Option<Failure> {
        self.sender_obstacle(request)
            .or_else(|| self.content_obstacle(request))
            .or_else(|| self.deadline_obstacle(request))
    }

    fn sender_obstacle(&self, request: &TransactionRequest<'_>) -> Option<Failure> {
        if request.requires_tls() {
            // RFC 8689 §4.2.1: connections to next hops have no TLS, so none will do.
            let status = EnhancedCode::ENCRYPTION_NEEDED_5_7_10;
            let text = "the sender wants it sent over TLS only (REQUIRETLS), and this server sends \
                        without";
            return failure(status, text);
        }
        match spell(request.sender, request.uses_utf8(&self.extensions)) {
            Ok(_) => None,
            // X.1.7, bad sender's mailbox address syntax (RFC 3463 §3.2).
            Err(Unsendable::Syntax) => failure(
                EnhancedCode::SENDER_SYNTAX_5_1_7,
                "the sender's address cannot be sent over SMTP",
            ),
            Err(Unsendable::BeyondAscii) => failure(
                EnhancedCode::NON_ASCII_5_6_7,
                "the sender's address is not ASCII, and the peer takes no other (SMTPUTF8)",
            ),
        }
    }

    fn content_obstacle(&self, request: &TransactionRequest<'_>) -> Option<Failure> {
        let peer = &self.extensions;
        if let SizeExtension::Maximum { bytes } = peer.size
            && request.size_bytes > bytes
        {
            // RFC 1870 §6.1 lets a client give up by itself. X.3.4, message too big for system.
            let size = request.size_bytes;
            let text = format!("the message has {size} bytes, and the peer takes at most {bytes}");
            return failure(EnhancedCode::TOO_BIG_5_3_4, &text);
        }
        if request.may_have_utf8_header() && !peer.has(Extension::SmtpUtf8) {
            let status = EnhancedCode::UTF8_HEADER_5_6_9;
            return failure(status, "the header may be UTF-8, and the peer takes none (SMTPUTF8)");
        }
        let bounces = match self.settings.eight_bit_to_seven_bit_peer {
            EightBitToSevenBitPeer::Bounce => true,
            EightBitToSevenBitPeer::SendAsIs => false,
        };
        match request.body_type {
            // RFC 6152 §3. X.6.3, conversion required but not supported (RFC 3463 §3.7).
            BodyType::EightBit if bounces && !peer.has(Extension::EightBitMime) => failure(
                EnhancedCode::CONVERSION_5_6_3,
                "the message has 8-bit content, which the peer does not take",
            ),
            // RFC 3030 §3: never, under any circumstances. X.6.1, media not supported.
            BodyType::Binary if !peer.takes_binary() => failure(
                EnhancedCode::MEDIA_5_6_1,
                "the message has binary content, which the peer does not take (BINARYMIME)",
            ),
            BodyType::SevenBit | BodyType::EightBit | BodyType::Binary => None,
        }
    }

    /// RFC 2852 §4.1.4.1: what is to be given up at its deadline goes only to a server that will
    /// do so.
    fn deadline_obstacle(&self, request: &TransactionRequest<'_>) -> Option<Failure> {
        let by = request.deliver_by().filter(|by| by.mode == DeliverByMode::Return)?;
        let left_s = request.by_s(by);
        if left_s <= 0 {
            let text = "not delivered by the time that the sender set";
            return failure(EnhancedCode::EXPIRED_5_4_7, text);
        }
        if !self.extensions.has(Extension::DeliverBy) {
            // X.3.3, system not capable of selected features (RFC 3463 §3.4).
            let text = "the sender set a deadline, which the peer would not keep (DELIVERBY)";
            return failure(EnhancedCode::FEATURES_5_3_3, text);
        }
        let min_s = self.extensions.by_s_min;
        if left_s < i64::from(min_s) {
            let text = format!(
                "the sender's deadline is {left_s} s ahead, and the peer wants at least {min_s} s"
            );
            return failure(EnhancedCode::EXPIRED_5_4_7, &text);
        }
        None
    }
}

#[allow(clippy::unnecessary_wraps, reason = "every caller returns it at once")]
fn failure(status: EnhancedCode, text: &str) -> Option<Failure> {
    Some(Failure::local(Scope::Message, Severity::Hard, status, text))
}
