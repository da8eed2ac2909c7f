//! What happens to a header, with every framing.

use super::*;
use crate::clock::WallTime;
use crate::ids::MessageId;

const STAMP: Stamp<'_> = Stamp {
    wall: WallTime::from_unix_ms(1_795_492_893_000),
    id: MessageId(0x1234),
    hostname: "mx.example.net",
};
const DATE: &str = "Date: Tue, 24 Nov 2026 04:01:33 +0000\r\n";
const MESSAGE_ID: &str = "Message-ID: <0000000000001234@mx.example.net>\r\n";

fn wide() -> DataLimits {
    DataLimits { text_line_bytes_max: 998, message_bytes_max: 100_000, ..LIMITS }
}

fn filtering() -> DataRules<'static> {
    DataRules { limits: wide(), own_name: Some("mx.example.net"), ..DataRules::default() }
}

fn stamping() -> DataRules<'static> {
    DataRules { limits: wide(), stamp: Some(STAMP), ..DataRules::default() }
}

/// `text` by DATA and in chunks; both must come to the same.
fn filtered(rules: &DataRules<'_>, text: &str) -> String {
    let data = check(rules, format!("{text}.\r\n").as_bytes());
    for framing in [Framing::Chunks, Framing::Binary] {
        let chunks = check(&DataRules { framing, ..*rules }, text.as_bytes());
        assert_eq!(chunks.content, data.content);
    }
    assert_eq!(data.fault, None);
    String::from_utf8(data.content).expect("UTF-8")
}

#[test]
fn results_in_our_name_are_taken_out() {
    for field in [
        "Authentication-Results: mx.example.net; spf=pass\r\n",
        "AUTHENTICATION-RESULTS:MX.example.NET 1;spf=pass\r\n",
        "authentication-results: mx.example.net;\r\n spf=pass;\r\n\tdkim=pass\r\n",
        "Authentication-Results:\r\n mx.example.net; spf=pass\r\n",
        "Authentication-Results : mx.example.net\r\n",
        "Authentication-Results: (a (b)\r\n c) \"mx.example.net\"; x=pass\r\n",
        "Authentication-Results: \"mx.example.net\r\n",
    ] {
        for (before, after) in [
            ("", "\r\nbody\r\n"),
            ("Subject: a\r\n", "To: b\r\n\r\nbody\r\n"),
            ("Subject: a\r\n folded\r\n", ""),
            ("Authentication-Results: mx.example.net; one\r\n", "\r\n"),
        ] {
            let kept = if before.starts_with("Auth") { "" } else { before };
            let got = filtered(&filtering(), &format!("{before}{field}{after}"));
            assert_eq!(got, format!("{kept}{after}"), "{field}");
        }
    }
}

#[test]
fn other_results_stay() {
    for field in [
        "Authentication-Results: mx.example.org; spf=pass\r\n",
        "Authentication-Results: mx.example.net.example; spf=pass\r\n",
        "Authentication-Results: (mx.example.net) other.example\r\n mx.example.net\r\n",
        "Authentication-Results:\r\n",
        "Authentication-Results\r\n",
        "Authentication-Results-X: mx.example.net\r\n",
        "ARC-Authentication-Results: i=1; mx.example.net\r\n",
        "A: b\r\n Authentication-Results: mx.example.net\r\n",
    ] {
        let text = format!("{field}Subject: a\r\n\r\nAuthentication-Results: mx.example.net\r\n");
        assert_eq!(filtered(&filtering(), &text), text);
    }
    let text = "Authentication-Results: mx.example.net; spf=pass\r\n";
    let off = DataRules { own_name: None, ..filtering() };
    assert_eq!(filtered(&off, text), text);
}

/// A line that a client stuffed is read as what it is without the dot.
#[test]
fn a_dot_does_not_hide_results() {
    let stream = b"Subject: a\r\n.Authentication-Results:\r\n. mx.example.net\r\nTo: b\r\n.\r\n";
    let outcome = check(&filtering(), stream);
    assert_eq!(outcome.content, b"Subject: a\r\nTo: b\r\n");
}

#[test]
fn a_comment_without_end_does_not_hide_results_and_is_not_held() {
    let comment = format!("({})", "x".repeat(900));
    let field = |comments: usize| {
        let comments = format!("\r\n {comment}").repeat(comments);
        format!("Authentication-Results:{comments} other.example; none\r\n")
    };
    assert_eq!(filtered(&filtering(), &field(1)), field(1));
    let rules = DataRules { limits: DataLimits::default(), ..filtering() };
    let stream = format!("{}.\r\n", field(2));
    for length in [1, 7, stream.len()] {
        let pieces: Vec<&[u8]> = stream.as_bytes().chunks(length).collect();
        assert_eq!(decoded(&rules, &pieces).content, b"");
    }
}

#[test]
fn missing_fields_are_put_at_the_end_of_the_header() {
    let cases = [
        ("Subject: a\r\n\r\nbody\r\n", format!("Subject: a\r\n{DATE}{MESSAGE_ID}\r\nbody\r\n")),
        ("DATE: x\r\n\r\nbody\r\n", format!("DATE: x\r\n{MESSAGE_ID}\r\nbody\r\n")),
        ("message-id : x\r\n\r\n", format!("message-id : x\r\n{DATE}\r\n")),
        ("Date:\r\n x\r\nMessage-ID: <y>\r\n\r\nDate\r\n", String::new()),
        ("\r\nDate: in the body\r\n", format!("{DATE}{MESSAGE_ID}\r\nDate: in the body\r\n")),
        // Without an end of the header.
        ("Subject: a\r\n", format!("Subject: a\r\n{DATE}{MESSAGE_ID}")),
        ("", format!("{DATE}{MESSAGE_ID}")),
        // Without a header.
        ("Hello,\r\nDate: 1\r\n", format!("{DATE}{MESSAGE_ID}\r\nHello,\r\nDate: 1\r\n")),
        ("hello\r\n\r\nx\r\n", format!("{DATE}{MESSAGE_ID}\r\nhello\r\n\r\nx\r\n")),
        ("A: b\r\nno field\r\n", format!("A: b\r\n{DATE}{MESSAGE_ID}\r\nno field\r\n")),
        (" x: y\r\n", format!("{DATE}{MESSAGE_ID}\r\n x: y\r\n")),
        (": y\r\n", format!("{DATE}{MESSAGE_ID}\r\n: y\r\n")),
        ("\u{e4}: y\r\n", format!("{DATE}{MESSAGE_ID}\r\n\u{e4}: y\r\n")),
        // What Unix mailboxes have before the header is none of it.
        ("From a Tue\r\nA: b\r\n\r\n", format!("From a Tue\r\nA: b\r\n{DATE}{MESSAGE_ID}\r\n")),
        ("Date: x\r\nMessage-ID: y\r\nno field\r\nA: b\r\n", String::new()),
    ];
    for (text, expected) in cases {
        let expected = if expected.is_empty() { text } else { &expected };
        assert_eq!(filtered(&stamping(), text), expected);
        assert_eq!(filtered(&DataRules { stamp: None, ..stamping() }, text), text);
    }
    let long = format!("{}\r\n", "x".repeat(990)).repeat(2);
    assert_eq!(filtered(&stamping(), &long), format!("{DATE}{MESSAGE_ID}\r\n{long}"));
}

/// The header ends for everybody where the missing fields were put.
#[test]
fn results_behind_what_is_no_field_are_body() {
    let rules = DataRules { stamp: Some(STAMP), ..filtering() };
    let text = "A: b\r\nno field\r\nAuthentication-Results: mx.example.net\r\n";
    let got = filtered(&rules, text);
    assert!(got.ends_with("\r\n\r\nno field\r\nAuthentication-Results: mx.example.net\r\n"));
    // Where none are put, some readers go on.
    assert_eq!(filtered(&filtering(), text), "A: b\r\nno field\r\n");
}

#[test]
fn a_header_with_nothing_to_filter_stays_in_one_piece() {
    let text = "Apparently-To: a\r\nReceived: x\r\n y\r\nDate: b\r\nMessage-ID: c\r\n\
        Authentication-Results: other.example; none\r\n\r\nbody\r\n.\r\n";
    for rules in [filtering(), stamping(), DataRules { stamp: Some(STAMP), ..filtering() }] {
        let outcome = decoded(&rules, &[text.as_bytes()]);
        assert_eq!(outcome.pieces, 1);
        assert_eq!(outcome.content, text.as_bytes()[..text.len() - 3]);
    }
}

#[test]
fn a_header_is_bounded_to_the_byte_and_field() {
    let limits = DataLimits { header_bytes_max: 40, header_fields_max: 3, ..wide() };
    let rules = DataRules { limits, ..DataRules::default() };
    let fault = |text: &str| check(&rules, format!("{text}.\r\n").as_bytes()).fault;
    let line = |length: usize| format!("A:{}\r\n", "x".repeat(length - 4));
    assert_eq!(fault(&format!("{}\r\n{}", line(38), line(90))), None);
    assert_eq!(fault(&format!("{}\r\n", line(39))), Some(ContentFault::HeaderTooBig));
    assert_eq!(fault(&line(41)), Some(ContentFault::HeaderTooBig));
    let fields = |count: usize| format!("{}\r\nB:\r\n", "A:\r\n b\r\n".repeat(count));
    assert_eq!(fault(&fields(3)), None);
    assert_eq!(fault(&fields(4)), Some(ContentFault::TooManyFields));
}

fn mending() -> DataRules<'static> {
    DataRules { mends_bare_lf: true, ..filtering() }
}

#[test]
fn a_bare_lf_is_mended_and_ends_nothing() {
    let cases: [(&[u8], &[u8], bool); 10] = [
        (b"a\nb\r\n.\r\n", b"a\r\nb\r\n", false),
        (b"\n\n\r\n.\r\n", b"\r\n\r\n\r\n", false),
        (b"a\n.\nQUIT\r\n.\r\n", b"a\r\n.\r\nQUIT\r\n", true),
        (b"a\n.\r\nQUIT\r\n.\r\n", b"a\r\n.\r\nQUIT\r\n", true),
        (b"a\n..b\r\n.\r\n", b"a\r\n..b\r\n", true),
        // A dot behind CRLF is an added one.
        (b"a\r\n.\nQUIT\r\n.\r\n", b"a\r\n\r\nQUIT\r\n", false),
        (b".\nQUIT\r\n.\r\n", b"\r\nQUIT\r\n", false),
        (b"a\r\n..\n.\r\n.\r\n", b"a\r\n.\r\n.\r\n", true),
        (
            b"Authentication-Results:\n mx.example.net\nA: b\n\nc\r\n.\r\n",
            b"A: b\r\n\r\nc\r\n",
            false,
        ),
        (
            b"Authentication-Results:\n other\nA: b\n\n.c\r\n.\r\n",
            b"Authentication-Results:\r\n other\r\nA: b\r\n\r\n.c\r\n",
            true,
        ),
    ];
    for (stream, content, dot_lines) in cases {
        let outcome = check(&mending(), &[stream, b"NOOP"].concat());
        assert_eq!(outcome.content, content, "{}", String::from_utf8_lossy(stream));
        assert_eq!(outcome.rest.as_deref(), Some(&b"NOOP"[..]));
        assert_eq!(outcome.dot_lines, dot_lines, "{}", String::from_utf8_lossy(stream));
        assert_eq!(outcome.fault, None);
    }
}

#[test]
fn a_bare_cr_is_never_mended() {
    for stream in
        [&b"a\rb\r\n.\r\n"[..], b"a\r\r\n.\r\n", b"\n\r.\r\r\n.\r\n", b"\r\n.\rx\r\n.\r\n"]
    {
        let outcome = check(&mending(), stream);
        assert_eq!(outcome.fault, Some(ContentFault::BareCrOrLf));
        assert_eq!(outcome.rest.as_deref(), Some(&b""[..]));
    }
}

#[test]
fn chunks_hold_lines_and_dots_are_theirs() {
    let chunks = DataRules { framing: Framing::Chunks, ..filtering() };
    let cases: [(&[u8], &[u8], bool); 6] = [
        (b"", b"", false),
        (b".\r\n", b".\r\n", true),
        (b"a\r\n.\r\nQUIT\r\n", b"a\r\n.\r\nQUIT\r\n", true),
        (b"..\r\n", b"..\r\n", true),
        // A last line without its end gets one.
        (b"A: b\r\n\r\nc", b"A: b\r\n\r\nc\r\n", false),
        (b"A", b"A\r\n", false),
    ];
    for (stream, content, dot_lines) in cases {
        let outcome = check(&chunks, stream);
        assert_eq!(outcome.content, content);
        assert_eq!(outcome.dot_lines, dot_lines);
        assert_eq!(outcome.fault, None);
    }
    for stream in [&b"a\nb\r\n"[..], b"a\n.\n", b"\r.\r", b"a\r", b"\r\n\n", b"a\n"] {
        assert_eq!(check(&chunks, stream).fault, Some(ContentFault::BareCrOrLf));
    }
}

#[test]
fn any_byte_may_stand_behind_a_binary_header() {
    let binary = DataRules { framing: Framing::Binary, ..filtering() };
    let body = b"\r\n\0\n.\n\r.\r\xff\r\n.\r\nno end\r";
    let stream = [b"A: b\r\n", &body[..], &[b'x'; 2_000]].concat();
    assert_eq!(check(&binary, &stream).content, stream);
    assert_eq!(check(&binary, b"\r\n\r").content, b"\r\n\r");
    // Some would see the end of the header in it, or another field.
    for stream in [&b"A: b\n\r\n"[..], b"A: b\rB: c\r\n\r\n", b"A: b\n\n"] {
        assert_eq!(check(&binary, stream).fault, Some(ContentFault::BareCrOrLf));
    }
}

fn framing() -> impl Strategy<Value = Framing> {
    prop_oneof![
        3 => Just(Framing::Dots),
        2 => Just(Framing::Chunks),
        1 => Just(Framing::Binary),
    ]
}

/// Pieces of headers that are near those looked for.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        6 => Just("\r\n"),
        1 => Just("\n"),
        2 => Just(" "),
        1 => Just("\t"),
        2 => Just("\r\n\t"),
        1 => Just("\r\n."),
        1 => Just("."),
        4 => Just("\r\nAuthentication-Results:"),
        1 => Just("authentication-results"),
        1 => Just("Authentication"),
        4 => Just("mx.example.net"),
        1 => Just("mx.\\example.net"),
        2 => Just("("),
        2 => Just(")"),
        1 => Just("\\"),
        2 => Just("\""),
        2 => Just(";"),
        3 => Just(":"),
        2 => Just("\r\nDate:"),
        2 => Just("\r\nMessage-ID:"),
        1 => Just("\r\nReceived:"),
        1 => Just("From "),
        1 => Just("\u{fc}"),
        1 => Just("\r\n\r\n"),
    ];
    proptest::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    #[test]
    fn the_filter_agrees_with_its_twin(
        message in message(),
        framing in framing(),
        (stamps, filters, mends) in any::<(bool, bool, bool)>(),
    ) {
        let rules = DataRules {
            framing,
            mends_bare_lf: mends,
            own_name: filters.then_some("mx.example.net"),
            stamp: stamps.then_some(STAMP),
            ..filtering()
        };
        // What is behind the CRLF that most pieces begin with may be the first line, too.
        for start in [0, 2.min(message.len())] {
            let mut stream = message[start..].to_vec();
            if framing == Framing::Dots {
                stream.extend_from_slice(b"\r\n.\r\nNOOP");
            }
            check(&rules, &stream);
        }
    }
}
