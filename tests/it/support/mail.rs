//! Messages to send, and the comparison of what arrived with what was sent.

use std::fmt::Write as _;

/// Bytes of the large message's body.
const LARGE_BYTES: usize = 20 * 1024 * 1024;

/// Octets of the longest line without its CRLF (RFC 5321 §4.5.3.1.6).
const TEXT_LINE_BYTES_MAX: usize = 998;

/// Bytes around a difference that are shown.
const CONTEXT_BYTES: usize = 40;

/// A message as it is handed to a client: complete header, CRLF line ends, dots not stuffed.
#[derive(Debug, Clone)]
pub(crate) struct Mail {
    /// Names the message, in its subject too.
    pub(crate) name: String,
    /// Header and body.
    pub(crate) content: Vec<u8>,
}

impl Mail {
    /// A message with the given body. The header has all fields that a relay might want to add.
    pub(crate) fn new(name: &str, body: &[u8]) -> Self {
        let mut header = String::new();
        for (field, value) in [
            ("From", "Sender <sender@source.test>"),
            ("To", "recipient@dest.test"),
            ("Date", "Tue, 03 Nov 2026 10:00:00 +0000"),
            ("Message-Id", &format!("<{name}@source.test>")),
            ("Subject", name),
        ] {
            write!(header, "{field}: {value}\r\n").expect("a string takes any text");
        }
        let content = [header.as_bytes(), b"\r\n", body].concat();
        Self { name: name.to_owned(), content }
    }

    /// A message of two lines.
    pub(crate) fn small(name: &str) -> Self {
        Self::new(name, b"first line\r\nsecond line\r\n")
    }

    /// The messages that every client and every next hop must carry unchanged.
    pub(crate) fn difficult() -> Vec<Self> {
        vec![
            Self::new("empty-body", b""),
            Self::new("dots", dots().as_bytes()),
            Self::new("long-lines", &long_lines()),
            Self::new("eight-bit", &eight_bit()),
            Self::new("large", &large()),
        ]
    }

    /// The content with LF line ends, for programs that read mail from local files.
    pub(crate) fn content_lf(&self) -> Vec<u8> {
        let mut content = self.content.clone();
        content.retain(|byte| *byte != b'\r');
        content
    }
}

fn dots() -> String {
    let lines = [".", "..", "...", ".dot", "..dot", " .", ". ", "end.", "", ".", "", ".x."];
    lines.iter().flat_map(|line| [*line, "\r\n"]).collect()
}

/// Lines of the greatest length; some begin with dots, so that they are longer on the wire.
fn long_lines() -> Vec<u8> {
    (0..40u8)
        .flat_map(|number| {
            let first = if number % 3 == 0 { b'.' } else { b'a' + number % 26 };
            let mut line = vec![b'a' + number % 26; TEXT_LINE_BYTES_MAX];
            line[0] = first;
            line.extend_from_slice(b"\r\n");
            line
        })
        .collect()
}

/// Every byte from 0x80 up, and UTF-8.
fn eight_bit() -> Vec<u8> {
    let mut body: Vec<u8> = (0x80..=0xFF).collect();
    body.extend_from_slice(b"\r\n");
    body.extend_from_slice("Grüße, 你好, ünïcödé\r\n.é\r\n".as_bytes());
    body
}

/// Lines of all lengths up to 97 bytes, from a fixed sequence; about one in eight begins with a
/// dot.
fn large() -> Vec<u8> {
    let mut body = Vec::with_capacity(LARGE_BYTES + 128);
    let mut state: u64 = 1;
    while body.len() < LARGE_BYTES {
        // Knuth's MMIX generator; only its upper bits are good.
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let [length, kind, letter, ..] = state.to_be_bytes();
        if kind % 8 == 0 {
            body.push(b'.');
        }
        body.resize(body.len() + usize::from(length % 97), b'a' + letter % 26);
        body.extend_from_slice(b"\r\n");
    }
    body
}

/// Splits the fields that servers put on top of a message from the message: the leading run of
/// fields whose names are in `names`, each with its continuation lines.
pub(crate) fn split_trace<'a>(content: &'a [u8], names: &[&str]) -> (Vec<&'a [u8]>, &'a [u8]) {
    let mut fields = Vec::new();
    let mut rest = content;
    while let Some(name) = field_name(rest)
        .filter(|name| names.iter().any(|wanted| wanted.as_bytes().eq_ignore_ascii_case(name)))
    {
        assert!(!name.is_empty(), "a field has a name");
        let end = field_end(rest);
        fields.push(&rest[..end]);
        rest = &rest[end..];
    }
    (fields, rest)
}

fn field_name(content: &[u8]) -> Option<&[u8]> {
    let line = content.split(|byte| *byte == b'\n').next()?;
    let colon = line.iter().position(|byte| *byte == b':')?;
    Some(line[..colon].trim_ascii_end())
}

/// Where the field at the start of `content` ends: after the first line end that no white space
/// follows (RFC 5322 §2.2.3).
fn field_end(content: &[u8]) -> usize {
    let mut at = 0;
    loop {
        let Some(line) = content[at..].iter().position(|byte| *byte == b'\n') else {
            return content.len();
        };
        at += line + 1;
        if !matches!(content.get(at), Some(b' ' | b'\t')) {
            return at;
        }
    }
}

/// Fails at the first differing byte and shows only its surroundings; messages can be large.
#[track_caller]
pub(crate) fn assert_same_bytes(what: &str, got: &[u8], wanted: &[u8]) {
    if got == wanted {
        return;
    }
    let at = got.iter().zip(wanted).take_while(|(left, right)| left == right).count();
    let around = |bytes: &[u8]| {
        let from = at.saturating_sub(CONTEXT_BYTES).min(bytes.len());
        let to = (at + CONTEXT_BYTES).min(bytes.len());
        bytes[from..to].escape_ascii().to_string()
    };
    panic!(
        "{what}: differs at byte {at} ({} bytes instead of {})\n     got …{}…\ninstead of …{}…",
        got.len(),
        wanted.len(),
        around(got),
        around(wanted),
    );
}
