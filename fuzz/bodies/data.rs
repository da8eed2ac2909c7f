//! The decoder of content, behind DATA and in chunks, against a twin that splits at CRLF, and
//! against what every content that is taken must be.

use ringpost::clock::WallTime;
use ringpost::ids::MessageId;
use ringpost::proto::data::{DataDecoder, DataLimits, DataRules, Framing, Piece, Stamp};
use ringpost::proto::fault::ContentFault;

use super::pieces::{Lengths, WAYS};

/// Bounds that a short input can meet.
const LIMITS: DataLimits = DataLimits {
    message_bytes_max: 300,
    text_line_bytes_max: 60,
    hop_count_max: 2,
    header_bytes_max: 150,
    header_fields_max: 8,
};

const HOSTNAME: &str = "mx.example.net";

/// What became of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Outcome {
    /// Where the data ended, if it did.
    end: Option<usize>,
    fault: Option<ContentFault>,
    /// Empty if it is refused.
    content: Vec<u8>,
    dot_lines: bool,
    hop_count: u32,
}

/// However a stream is cut, it comes to the same content and ends at the same byte, both as the
/// twin says where nothing is filtered; and no content could be read in two ways. The first byte
/// picks the rules.
pub fn run(input: &[u8]) {
    let (&choice, rest) = input.split_first().unwrap_or((&0, &[]));
    let rules = rules(choice);
    let (lengths, stream) = Lengths::of(rest);
    let mut expected = None;
    for way in WAYS {
        let got = decoded(&rules, &lengths.cut(way, stream));
        let expected = expected.get_or_insert_with(|| got.clone());
        assert_eq!(&got, expected, "{way:?}");
    }
    let Some(outcome) = expected.filter(|outcome| outcome.end.is_some()) else { return };
    if rules.framing == Framing::Dots && !rules.mends_bare_lf {
        let (end, is_bare, content) = naive(stream).expect("an end");
        assert_eq!(outcome.end, Some(end));
        assert_eq!(outcome.fault == Some(ContentFault::BareCrOrLf), is_bare);
        if outcome.fault.is_none() && rules.own_name.is_none() && rules.stamp.is_none() {
            assert_eq!(outcome.content, content);
        }
    }
    if outcome.fault.is_none() {
        check(&rules, &outcome);
    }
}

fn rules(choice: u8) -> DataRules<'static> {
    let is = |bit: u8| choice & 1 << bit != 0;
    let framing = match choice & 3 {
        1 => Framing::Chunks,
        2 => Framing::Binary,
        _ => Framing::Dots,
    };
    let wall = WallTime::from_unix_ms(1_795_492_893_000);
    let stamp = Stamp { wall, id: MessageId(7), hostname: HOSTNAME };
    DataRules {
        limits: LIMITS,
        framing,
        mends_bare_lf: is(2) && framing != Framing::Binary,
        own_name: is(3).then_some(HOSTNAME),
        stamp: is(4).then_some(stamp),
    }
}

fn decoded(rules: &DataRules<'_>, pieces: &[&[u8]]) -> Outcome {
    let mut decoder = DataDecoder::new();
    let mut content = Vec::new();
    let mut consumed = 0;
    let mut is_refused = false;
    let mut end = None;
    'pieces: for piece in pieces {
        let mut rest = *piece;
        loop {
            let step = decoder.decode(rules, rest);
            let (seen, behind) = rest.split_at(step.consumed);
            rest = behind;
            consumed += step.consumed;
            match step.piece {
                Piece::NeedInput => {
                    assert!(rest.is_empty(), "it needs input and left some");
                    break;
                }
                Piece::Content(span) => {
                    assert!(!is_refused, "content of a refused message");
                    assert!(!span.is_empty());
                    content.extend_from_slice(span.of(seen));
                }
                Piece::Inserted => {
                    assert!(!is_refused, "content of a refused message");
                    content.extend_from_slice(decoder.inserted());
                }
                Piece::Refused => {
                    assert!(!is_refused, "refused twice");
                    is_refused = true;
                }
                Piece::End => {
                    assert_eq!(rules.framing, Framing::Dots, "chunks have no end within");
                    end = Some(consumed);
                    break 'pieces;
                }
            }
        }
    }
    while rules.framing != Framing::Dots && end.is_none() {
        match decoder.finish(rules) {
            Piece::Inserted => content.extend_from_slice(decoder.inserted()),
            Piece::Refused => {
                assert!(!is_refused, "refused twice");
                is_refused = true;
            }
            Piece::End => end = Some(consumed),
            piece @ (Piece::NeedInput | Piece::Content(_)) => panic!("{piece:?} behind the end"),
        }
    }
    let fault = decoder.fault();
    assert_eq!(is_refused, fault.is_some(), "a fault that was not told of, or none");
    if is_refused || end.is_none() {
        content.clear();
    } else {
        assert_eq!(decoder.content_bytes(), content.len() as u64);
    }
    // What is open at the end of a stream that has none depends on how it was cut.
    let is_over = end.is_some();
    Outcome {
        end,
        fault: fault.filter(|_| is_over),
        content,
        dot_lines: is_over && decoder.has_dot_lines(),
        hop_count: if is_over { decoder.hop_count() } else { 0 },
    }
}

/// What the relay and every reader rely on.
fn check(rules: &DataRules<'_>, outcome: &Outcome) {
    let content = &outcome.content;
    let added = if rules.stamp.is_some() { 200 } else { 2 };
    assert!(content.len() as u64 <= LIMITS.message_bytes_max + added, "too big");
    assert!(outcome.hop_count <= LIMITS.hop_count_max);
    if rules.framing == Framing::Binary {
        return;
    }
    assert!(content.is_empty() || content.ends_with(b"\r\n"), "a line without end");
    let is_sound = |(index, &byte): (usize, &u8)| match byte {
        b'\r' => content.get(index + 1) == Some(&b'\n'),
        b'\n' => index > 0 && content[index - 1] == b'\r',
        _ => true,
    };
    assert!(content.iter().enumerate().all(is_sound), "a bare CR or LF");
    let dot_lines = content.split(|&byte| byte == b'\n').any(|line| line.starts_with(b"."));
    assert!(outcome.dot_lines || !dot_lines, "a dot that the relay would not double");
}

/// RFC 5321 §4.5.2 word by word: where the data ends, whether a CR or LF is bare in it, and what it
/// is. `None` if it does not end.
fn naive(stream: &[u8]) -> Option<(usize, bool, Vec<u8>)> {
    let mut content = Vec::new();
    let mut is_bare = false;
    let mut rest = stream;
    while let Some(at) = rest.windows(2).position(|pair| pair == b"\r\n") {
        let line = &rest[..at];
        rest = &rest[at + 2..];
        if line == b"." {
            return Some((stream.len() - rest.len(), is_bare, content));
        }
        let text = line.strip_prefix(b".").unwrap_or(line);
        is_bare |= text.contains(&b'\r') || text.contains(&b'\n');
        content.extend_from_slice(text);
        content.extend_from_slice(b"\r\n");
    }
    None
}
