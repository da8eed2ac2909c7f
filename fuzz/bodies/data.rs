//! The decoder of what follows DATA against a twin that splits at CRLF.

use ringpost::proto::data::{DataDecoder, DataLimits, DataRules, Framing, Piece};

use super::pieces::ways_of_cutting;

const RULES: DataRules<'_> = DataRules {
    limits: DataLimits {
        message_bytes_max: 300,
        text_line_bytes_max: 60,
        hop_count_max: 2,
        header_bytes_max: 300,
        header_fields_max: 300,
    },
    framing: Framing::Dots,
    mends_bare_lf: false,
    own_name: None,
    stamp: None,
};
const LIMITS: DataLimits = RULES.limits;

/// What became of a stream: where its data ended, and the content unless it is refused.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    end: Option<usize>,
    content: Option<Vec<u8>>,
}

/// The data ends where the twin says, and with the same content.
pub fn run(input: &[u8]) {
    for pieces in ways_of_cutting(input) {
        assert_eq!(decoded(&pieces), naive(&pieces.concat()), "{} pieces", pieces.len());
    }
}

fn decoded(pieces: &[&[u8]]) -> Outcome {
    let mut decoder = DataDecoder::new();
    let mut content = Vec::new();
    let mut consumed = 0;
    let mut is_refused = false;
    for piece in pieces {
        let mut rest = *piece;
        loop {
            let step = decoder.decode(&RULES, rest);
            let seen = rest;
            rest = &rest[step.consumed..];
            consumed += step.consumed;
            match step.piece {
                Piece::NeedInput => {
                    assert!(rest.is_empty(), "it needs input and left some");
                    break;
                }
                Piece::Content(span) => {
                    assert!(!is_refused, "content of a refused message");
                    assert!(!span.is_empty());
                    content.extend_from_slice(span.of(&seen[..step.consumed]));
                }
                Piece::Inserted => panic!("nothing is to be added"),
                Piece::Refused => {
                    assert!(!is_refused, "refused twice");
                    is_refused = true;
                }
                Piece::End => {
                    assert_eq!(is_refused, decoder.fault().is_some());
                    let content = (!is_refused).then_some(content);
                    return Outcome { end: Some(consumed), content };
                }
            }
        }
    }
    assert_eq!(is_refused, decoder.fault().is_some());
    Outcome { end: None, content: None }
}

/// RFC 5321 §4.5.2 and §6.3 word by word, for data that comes to its end.
fn naive(stream: &[u8]) -> Outcome {
    let mut content = Vec::new();
    let mut is_refused = false;
    let mut is_header = true;
    let mut hop_count = 0;
    let mut rest = stream;
    while let Some(at) = rest.windows(2).position(|pair| pair == b"\r\n") {
        let line = &rest[..at];
        rest = &rest[at + 2..];
        if line == b"." {
            is_refused |= hop_count > LIMITS.hop_count_max;
            is_refused |= content.len() as u64 > LIMITS.message_bytes_max;
            let content = (!is_refused).then_some(content);
            return Outcome { end: Some(stream.len() - rest.len()), content };
        }
        let text = line.strip_prefix(b".").unwrap_or(line);
        is_refused |= text.contains(&b'\r') || text.contains(&b'\n');
        is_refused |= text.len() as u64 + 2 > LIMITS.text_line_bytes_max;
        hop_count += u32::from(is_header && is_trace(text));
        is_header &= !text.is_empty();
        content.extend_from_slice(text);
        content.extend_from_slice(b"\r\n");
    }
    Outcome { end: None, content: None }
}

/// White space may stand before the colon (RFC 5322 §4.5).
fn is_trace(line: &[u8]) -> bool {
    let name = line.get(..8).unwrap_or_default();
    let rest = line.get(8..).unwrap_or_default();
    let colon = rest.iter().find(|byte| !matches!(byte, b' ' | b'\t'));
    name.eq_ignore_ascii_case(b"received") && colon == Some(&b':')
}
