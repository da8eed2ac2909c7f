//! As much of a certificate's encoding (DER, X.690 §8 and §10) as channel binding needs: which hash
//! its signature was made with.

use sha2::{Digest, Sha256, Sha384, Sha512};

const SEQUENCE: u8 = 0x30;
const OBJECT_IDENTIFIER: u8 = 0x06;

/// The hash of `certificate` for `tls-server-end-point`: by the hash function of its signature, but
/// SHA-256 in the place of MD5 and SHA-1 (RFC 5929 §4.1). `None` where that has none or is not
/// known.
pub(super) fn server_end_point(certificate: &[u8]) -> Option<Box<[u8]>> {
    const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
    const ECDSA_SHA2: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03];
    let algorithm = signature_algorithm(certificate)?;
    let (&last, arc) = algorithm.split_last()?;
    match (arc, last) {
        // With MD5, SHA-1 and SHA-256.
        (RSA, 4 | 5 | 11) | (ECDSA_SHA2, 2) => Some(Box::from(&*Sha256::digest(certificate))),
        (RSA, 12) | (ECDSA_SHA2, 3) => Some(Box::from(&*Sha384::digest(certificate))),
        (RSA, 13) | (ECDSA_SHA2, 4) => Some(Box::from(&*Sha512::digest(certificate))),
        _ => None,
    }
}

/// The content of the object identifier of `signatureAlgorithm` (RFC 5280 §4.1).
fn signature_algorithm(certificate: &[u8]) -> Option<&[u8]> {
    let (fields, _) = element(certificate, SEQUENCE)?;
    let (_to_be_signed, rest) = element(fields, SEQUENCE)?;
    let (algorithm, _signature) = element(rest, SEQUENCE)?;
    let (identifier, _parameters) = element(algorithm, OBJECT_IDENTIFIER)?;
    Some(identifier)
}

/// The content of the element with this tag at the head of `input`, and what follows it.
fn element(input: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = input.split_first()?;
    if first != tag {
        return None;
    }
    let (&short, rest) = rest.split_first()?;
    let (length, rest) = if short < 0x80 {
        (usize::from(short), rest)
    } else {
        // No certificate is 16 MiB long.
        let count = usize::from(short & 0x7f);
        if count == 0 || count > 3 {
            return None;
        }
        let (digits, rest) = rest.split_at_checked(count)?;
        (digits.iter().fold(0, |length, &digit| length << 8 | usize::from(digit)), rest)
    };
    rest.split_at_checked(length)
}
