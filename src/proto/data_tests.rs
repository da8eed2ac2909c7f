//! The data decoder against a twin that looks at one byte at a time, and against the ways of
//! smuggling that are known.

use proptest::prelude::*;

use super::*;

const LIMITS: DataLimits =
    DataLimits { message_bytes_max: 1_000, text_line_bytes_max: 40, hop_count_max: 2 };

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
}

/// RFC 5321 §4.5.2 and the rules above, read literally: split the stream at CRLF, look at each
/// line by itself.
fn naive(limits: &DataLimits, stream: &[u8]) -> Outcome {
    let mut outcome =
        Outcome { rest: None, fault: None, content: Vec::new(), dot_lines: false, hop_count: 0 };
    let mut faults = Faults::default();
    let mut in_header = true;
    let mut at = 0;
    while at < stream.len() {
        let mut end = at;
        while end < stream.len() && !(stream[end] == b'\n' && end > at && stream[end - 1] == b'\r')
        {
            end += 1;
        }
        let complete = end < stream.len();
        let line = &stream[at..if complete { end - 1 } else { end }];
        at = end + 1;
        if complete && line == b"." {
            outcome.rest = Some(stream[at..].to_vec());
            break;
        }
        let dotted = line.first() == Some(&b'.');
        let text = if dotted { &line[1..] } else { line };
        if !complete && (text == b"\r" && dotted) {
            // May still become the end of data.
            break;
        }
        outcome.dot_lines |= text.first() == Some(&b'.');
        outcome.content.extend_from_slice(text);
        // The CR of an incomplete line may still get its LF.
        let settled = if complete { text } else { text.strip_suffix(b"\r").unwrap_or(text) };
        faults.bare |= settled.contains(&b'\r') || settled.contains(&b'\n');
        if in_header && settled.len() >= 9 && settled[..9].eq_ignore_ascii_case(b"Received:") {
            outcome.hop_count += 1;
            faults.hops |= outcome.hop_count > limits.hop_count_max;
        }
        if complete {
            outcome.content.extend_from_slice(b"\r\n");
            in_header &= !text.is_empty();
            faults.line_too_long |= text.len() as u64 + 2 > limits.text_line_bytes_max;
        }
    }
    faults.too_big = outcome.content.len() as u64 > limits.message_bytes_max;
    let judge = DataDecoder { faults, ..DataDecoder::new() };
    outcome.fault = judge.fault();
    if outcome.fault.is_some() {
        outcome.content.clear();
    }
    outcome
}

fn decoded(limits: &DataLimits, pieces: &[&[u8]]) -> Outcome {
    let mut decoder = DataDecoder::new();
    let mut content = Vec::new();
    let mut rest = None;
    let mut refused = 0;
    for piece in pieces {
        let mut input = *piece;
        while rest.is_none() {
            let Decoded { consumed, piece } = decoder.decode(limits, input);
            assert!(consumed <= input.len());
            if let Piece::Content(span) = piece {
                assert!(!span.is_empty());
                assert!(span.end() <= consumed);
                assert_eq!(refused, 0, "content of a refused message");
                content.extend_from_slice(span.of(input));
            }
            input = &input[consumed..];
            match piece {
                Piece::NeedInput => break,
                Piece::Content(_) => {}
                Piece::Refused => refused += 1,
                Piece::End => rest = Some(Vec::new()),
            }
        }
        if let Some(rest) = &mut rest {
            rest.extend_from_slice(input);
        }
    }
    assert_eq!(refused, usize::from(decoder.fault().is_some()));
    if refused > 0 {
        content.clear();
    } else {
        assert_eq!(decoder.content_bytes(), content.len() as u64);
    }
    Outcome {
        rest,
        fault: decoder.fault(),
        content,
        dot_lines: decoder.has_dot_lines(),
        hop_count: decoder.hop_count(),
    }
}

/// Decodes whole, byte by byte and cut at every offset; all must agree with the twin.
fn check(limits: &DataLimits, stream: &[u8]) -> Outcome {
    let expected = naive(limits, stream);
    assert_eq!(decoded(limits, &[stream]), expected, "whole");
    let single: Vec<&[u8]> = stream.chunks(1).collect();
    assert_eq!(decoded(limits, &single), expected, "byte by byte");
    for cut in 0..=stream.len() {
        assert_eq!(decoded(limits, &[&stream[..cut], &stream[cut..]]), expected, "cut at {cut}");
    }
    expected
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
        let outcome = check(&LIMITS, &with_rest);
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
                let outcome = check(&LIMITS, &stream);
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
        let outcome = check(&LIMITS, &[end, b"x\r\n.\r\n"].concat());
        assert_eq!(outcome.rest.as_deref(), Some(&b""[..]));
        assert_eq!(outcome.fault, Some(ContentFault::BareCrOrLf));
    }
}

#[test]
fn hops_are_counted_in_the_header_only() {
    let header = b"Received: a\r\nX: y\r\nRECEIVED:b\r\n Received: folded\r\nReceived-SPF: no\r\n";
    let body = b"\r\nReceived: c\r\nReceived: d\r\n.\r\n";
    let outcome = check(&LIMITS, &[&header[..], body].concat());
    assert_eq!(outcome.hop_count, 2);
    assert_eq!(outcome.fault, None);
    let outcome = check(&LIMITS, &[&header[..], b".Received: e\r\n", body].concat());
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
        let outcome = check(&LIMITS, &stream);
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
        check(&DataLimits { message_bytes_max: big, ..LIMITS }, &stream);
    }

    #[test]
    fn the_decoder_agrees_on_clean_streams(stream in clean_stream(), big in 20u64..400) {
        check(&DataLimits { message_bytes_max: big, ..LIMITS }, &stream);
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
        let limits = DataLimits {
            message_bytes_max: 1 << 20,
            text_line_bytes_max: 1 << 20,
            hop_count_max: 99,
        };
        let outcome = decoded(&limits, &[&stuffed]);
        prop_assert_eq!(outcome.content, content);
        prop_assert_eq!(outcome.rest, Some(Vec::new()));
    }
}
