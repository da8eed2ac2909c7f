//! The data decoder against a twin that looks at one byte at a time, and against the ways of
//! smuggling that are known.

use proptest::prelude::*;

use super::*;

#[path = "filter_tests.rs"]
mod filter;
#[path = "twin.rs"]
mod twin;

const LIMITS: DataLimits = DataLimits {
    message_bytes_max: 1_000,
    text_line_bytes_max: 40,
    hop_count_max: 2,
    header_bytes_max: 1_000,
    header_fields_max: 30,
};

fn rules() -> DataRules<'static> {
    DataRules { limits: LIMITS, ..DataRules::default() }
}

/// All there is to know about a message.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    /// `None` while the end has not come; else what is behind it.
    rest: Option<Vec<u8>>,
    fault: Option<ContentFault>,
    /// Empty if the message is refused.
    content: Vec<u8>,
    dot_lines: bool,
    hop_count: u32,
    /// Runs of the content that were told of.
    pieces: usize,
}

/// Gives `pieces` to a decoder, and then, with chunks, the end.
fn decoded(rules: &DataRules<'_>, pieces: &[&[u8]]) -> Outcome {
    let mut decoder = DataDecoder::new();
    let mut outcome = Outcome {
        rest: None,
        fault: None,
        content: Vec::new(),
        dot_lines: false,
        hop_count: 0,
        pieces: 0,
    };
    let mut refused = 0;
    let mut note = |decoder: &DataDecoder, piece: Piece, input: &[u8]| {
        let content = match piece {
            Piece::Content(span) => span.of(input),
            Piece::Inserted => decoder.inserted(),
            Piece::Refused => {
                refused += 1;
                assert_eq!(refused, 1, "refused twice");
                return;
            }
            Piece::NeedInput | Piece::End => return,
        };
        assert!(!content.is_empty());
        assert_eq!(refused, 0, "content of a refused message");
        outcome.content.extend_from_slice(content);
        outcome.pieces += 1;
    };
    for piece in pieces {
        let mut input = *piece;
        while outcome.rest.is_none() {
            let Decoded { consumed, piece } = decoder.decode(rules, input);
            assert!(consumed <= input.len());
            if let Piece::Content(span) = piece {
                assert!(span.end() <= consumed);
            }
            note(&decoder, piece, input);
            input = &input[consumed..];
            match piece {
                Piece::NeedInput => {
                    assert!(input.is_empty());
                    break;
                }
                Piece::End => outcome.rest = Some(Vec::new()),
                Piece::Content(_) | Piece::Inserted | Piece::Refused => {}
            }
        }
        if let Some(rest) = &mut outcome.rest {
            rest.extend_from_slice(input);
        }
    }
    if rules.framing != Framing::Dots {
        loop {
            let piece = decoder.finish(rules);
            if piece == Piece::End {
                break;
            }
            note(&decoder, piece, b"");
        }
        outcome.rest = Some(Vec::new());
    }
    assert_eq!(refused, usize::from(decoder.fault().is_some()));
    assert!(decoder.inserted().len() <= crate::limits::HEADER_HELD_BYTES_MAX + 400);
    if refused > 0 {
        outcome.content.clear();
    } else {
        assert_eq!(decoder.content_bytes(), outcome.content.len() as u64);
    }
    outcome.fault = decoder.fault();
    outcome.dot_lines = decoder.has_dot_lines();
    outcome.hop_count = decoder.hop_count();
    outcome
}

/// Decodes whole, byte by byte and cut at every offset; all must agree, with the twin too.
fn check(rules: &DataRules<'_>, stream: &[u8]) -> Outcome {
    let whole = decoded(rules, &[stream]);
    let expected = twin::decode(rules, stream);
    let agree = |got: &Outcome, how: &str| {
        let facts = |outcome: &Outcome| (outcome.rest.clone(), outcome.fault, outcome.dot_lines);
        assert_eq!(got.content, whole.content, "{how}");
        assert_eq!(facts(got), facts(&whole), "{how}");
        assert_eq!(got.hop_count, whole.hop_count, "{how}");
    };
    let single: Vec<&[u8]> = stream.chunks(1).collect();
    agree(&decoded(rules, &single), "byte by byte");
    for cut in 0..=stream.len() {
        agree(&decoded(rules, &[&stream[..cut], &stream[cut..]]), &format!("cut at {cut}"));
    }
    assert_eq!(whole.rest, expected.rest);
    // What is still to come may settle what is held, or whether a CR is a bare one.
    if expected.rest.is_some() {
        assert_eq!(whole.fault, expected.fault);
        assert_eq!(whole.content, expected.content, "{}", String::from_utf8_lossy(&whole.content));
        // What a line of a message with other line ends is, is nobody's business.
        if expected.fault != Some(ContentFault::BareCrOrLf) {
            assert_eq!(whole.dot_lines, expected.dot_lines);
            assert_eq!(whole.hop_count, expected.hop_count);
        }
    }
    whole
}

#[test]
fn dots_are_removed_and_noted() {
    let cases: [(&[u8], &[u8], bool); 9] = [
        (b".\r\n", b"", false),
        (b"\r\n.\r\n", b"\r\n", false),
        (b"a\r\n.\r\n", b"a\r\n", false),
        (b"..\r\n.\r\n", b".\r\n", true),
        (b"...a\r\n..b\r\n.\r\n", b"..a\r\n.b\r\n", true),
        (b".a\r\n.\r\n", b"a\r\n", false),
        (b"a.\r\n b..\r\n.\r\n", b"a.\r\n b..\r\n", false),
        (b"x\r\n..\r\n\r\n.\r\n", b"x\r\n.\r\n\r\n", true),
        (b"\0\xff\x80\r\n.\r\n", b"\0\xff\x80\r\n", false),
    ];
    for (stream, content, dot_lines) in cases {
        let with_rest = [stream, b"QUIT\r\n"].concat();
        let outcome = check(&rules(), &with_rest);
        assert_eq!(outcome.rest.as_deref(), Some(&b"QUIT\r\n"[..]));
        assert_eq!(outcome.content, content);
        assert_eq!(outcome.dot_lines, dot_lines);
        assert_eq!(outcome.fault, None);
    }
}

#[test]
fn nothing_but_crlf_dot_crlf_ends_the_data() {
    let line_ends: [&[u8]; 6] = [b"\n", b"\r", b"\r\n", b"\r\r\n", b"\n\r", b"\r\0\n"];
    for before in line_ends {
        for after in line_ends {
            // Inside a message, and at its very beginning.
            for start in [&b"a"[..], b""] {
                let stream =
                    [start, before, b".", after, b"MAIL FROM:<x@y>\r\n", b"\r\n.\r\nNOOP"].concat();
                let outcome = check(&rules(), &stream);
                // CR CR LF holds a CRLF, so that it may end the data of what is refused anyway.
                let rest = if before.ends_with(b"\r\n") && after == b"\r\n" {
                    &stream[start.len() + before.len() + 3..]
                } else {
                    &b"NOOP"[..]
                };
                assert_eq!(outcome.rest.as_deref(), Some(rest), "{stream:?}");
                let sound = before == b"\r\n" && after == b"\r\n";
                let fault = (!sound).then_some(ContentFault::BareCrOrLf);
                assert_eq!(outcome.fault, fault, "{stream:?}");
            }
        }
    }
    // The dot right behind DATA with another line end than CRLF.
    for end in [&b".\n"[..], b".\r", b".\r\r\n", b".\n\r\n"] {
        let outcome = check(&rules(), &[end, b"x\r\n.\r\n"].concat());
        assert_eq!(outcome.rest.as_deref(), Some(&b""[..]));
        assert_eq!(outcome.fault, Some(ContentFault::BareCrOrLf));
    }
}

#[test]
fn hops_are_counted_in_the_header_only() {
    let header = b"Received: a\r\nX: y\r\nRECEIVED:b\r\n Received: folded\r\nReceived-SPF: no\r\n";
    let body = b"\r\nReceived: c\r\nReceived: d\r\n.\r\n";
    let outcome = check(&rules(), &[&header[..], body].concat());
    assert_eq!(outcome.hop_count, 2);
    assert_eq!(outcome.fault, None);
    let outcome = check(&rules(), &[&header[..], b".Received: e\r\n", body].concat());
    assert_eq!(outcome.hop_count, 3);
    assert_eq!(outcome.fault, Some(ContentFault::TooManyHops));
}

#[test]
fn size_and_lines_are_bounded_to_the_byte() {
    let line = |length: usize| [&vec![b'l'; length - 2][..], b"\r\n"].concat();
    let end = b".\r\n".to_vec();
    let cases = [
        ([line(40), end.clone()].concat(), None),
        // The added dot does not count.
        ([b".".to_vec(), line(40), end.clone()].concat(), None),
        ([line(41), end.clone()].concat(), Some(ContentFault::LineTooLong)),
        ([line(40).repeat(25), end.clone()].concat(), None),
        ([line(40).repeat(25), line(2), end.clone()].concat(), Some(ContentFault::TooBig)),
        (
            [line(41), line(40).repeat(25), b"\n\r\n".to_vec(), end].concat(),
            Some(ContentFault::BareCrOrLf),
        ),
    ];
    for (stream, fault) in cases {
        let outcome = check(&rules(), &stream);
        assert_eq!(outcome.fault, fault);
        assert_eq!(outcome.rest.as_deref(), Some(&b""[..]));
    }
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        6 => Just(b"\r\n".to_vec()),
        1 => Just(b"\n".to_vec()),
        1 => Just(b"\r".to_vec()),
        3 => Just(b".".to_vec()),
        1 => Just(b"received:".to_vec()),
        1 => Just(b"Recei".to_vec()),
        2 => Just(b"\r\n.\r\n".to_vec()),
        4 => proptest::collection::vec(any::<u8>(), 0..12),
        1 => Just(vec![b'z'; 38]),
    ];
    proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

/// Like [`stream`], but with no bare CR or LF, so that the other rules are met too.
fn clean_stream() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        6 => Just(b"\r\n".to_vec()),
        3 => Just(b".".to_vec()),
        2 => Just(b"received:".to_vec()),
        4 => proptest::collection::vec(any::<u8>().prop_map(|byte| byte | 0x20), 0..12),
        1 => Just(vec![b'z'; 38]),
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn the_decoder_agrees_with_its_twin(stream in stream(), big in 20u64..400) {
        let limits = DataLimits { message_bytes_max: big, ..LIMITS };
        check(&DataRules { limits, ..rules() }, &stream);
    }

    #[test]
    fn the_decoder_agrees_on_clean_streams(stream in clean_stream(), big in 20u64..400) {
        let limits = DataLimits { message_bytes_max: big, ..LIMITS };
        check(&DataRules { limits, ..rules() }, &stream);
    }

    #[test]
    fn what_is_stuffed_comes_back(content in clean_stream()) {
        let mut content = content;
        content.extend_from_slice(b"\r\n");
        let mut stuffed = Vec::new();
        for line in content.split_inclusive(|&byte| byte == b'\n') {
            if line.starts_with(b".") {
                stuffed.push(b'.');
            }
            stuffed.extend_from_slice(line);
        }
        stuffed.extend_from_slice(b".\r\n");
        let outcome = decoded(&DataRules::default(), &[&stuffed]);
        prop_assert_eq!(outcome.content, content);
        prop_assert_eq!(outcome.rest, Some(Vec::new()));
    }
}
