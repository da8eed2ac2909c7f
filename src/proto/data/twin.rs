//! The decoder's twin: splits the whole stream into lines, and looks at each of them in turn.

use super::{DataRules, Framing, Outcome};
use crate::proto::fault::ContentFault;

/// A line of the content, without its end, and whether it has one.
struct Line {
    text: Vec<u8>,
    is_whole: bool,
}

/// What a stream comes to before the header is looked at.
struct Lines {
    lines: Vec<Line>,
    rest: Option<Vec<u8>>,
    has_bare: bool,
    /// Bytes of the content.
    length: usize,
}

/// Only for the whole of a message: what is still open at the end of a stream is not told.
pub(super) fn decode(rules: &DataRules<'_>, stream: &[u8]) -> Outcome {
    let Lines { mut lines, rest, has_bare, length } = split(rules, stream);
    let is_dotted = |line: &Line| line.text.first() == Some(&b'.');
    let mut outcome = Outcome {
        rest,
        fault: None,
        content: Vec::new(),
        dot_lines: rules.framing != Framing::Binary && lines.iter().any(is_dotted),
        hop_count: 0,
        pieces: 0,
    };
    if rules.framing != Framing::Dots {
        outcome.rest = Some(Vec::new());
    }
    let header = Header::new(rules, &lines);
    let mut too_long = false;
    let mut bare_in_header = false;
    let raw_from =
        if rules.framing == Framing::Binary { header.raw_from(&lines) } else { usize::MAX };
    let mut length = length;
    let last_is_raw = lines.len() > raw_from;
    if let Some(last) = lines.last_mut().filter(|line| !line.is_whole && !last_is_raw) {
        last.is_whole = true;
        length += 2;
    }
    for (index, line) in lines.iter().enumerate() {
        let is_raw = index >= raw_from;
        too_long |= !is_raw && line.text.len() as u64 + 2 > rules.limits.text_line_bytes_max;
        bare_in_header |= !is_raw && line.text.iter().any(|byte| matches!(byte, b'\r' | b'\n'));
    }
    if rules.framing == Framing::Binary {
        outcome.dot_lines =
            lines.iter().take(header.end + usize::from(header.lacks_end)).any(is_dotted);
    }
    outcome.hop_count = header.hop_count;
    let limits = &rules.limits;
    outcome.fault = if bare_in_header || (has_bare && rules.framing != Framing::Binary) {
        Some(ContentFault::BareCrOrLf)
    } else if length as u64 > limits.message_bytes_max {
        Some(ContentFault::TooBig)
    } else if too_long {
        Some(ContentFault::LineTooLong)
    } else if header.bytes as u64 > limits.header_bytes_max {
        Some(ContentFault::HeaderTooBig)
    } else if header.field_count > limits.header_fields_max {
        Some(ContentFault::TooManyFields)
    } else if header.hop_count > limits.hop_count_max {
        Some(ContentFault::TooManyHops)
    } else {
        None
    };
    if outcome.fault.is_none() {
        header.write(rules, &lines, &mut outcome.content);
    }
    outcome
}

/// RFC 5321 §4.5.2, RFC 3030 §2 and the rules of the decoder, read literally.
fn split(rules: &DataRules<'_>, stream: &[u8]) -> Lines {
    let has_dots = rules.framing == Framing::Dots;
    let mends = rules.mends_bare_lf && rules.framing != Framing::Binary;
    let mut all = Lines { lines: Vec::new(), rest: None, has_bare: false, length: 0 };
    let mut at = 0;
    let mut was_mended = false;
    while at < stream.len() {
        let line = &stream[at..];
        let crlf = line.windows(2).position(|pair| pair == b"\r\n");
        let lf = line.iter().position(|&byte| byte == b'\n').filter(|_| mends);
        // A bare LF may come first.
        let is_mended = lf.is_some_and(|lf| crlf.is_none_or(|crlf| lf < crlf));
        let end = if is_mended { lf } else { crlf };
        let mut text = &line[..end.unwrap_or(line.len())];
        at += text.len() + if is_mended { 1 } else { 2 };
        if has_dots && end.is_some() && !is_mended && !was_mended && text == b"." {
            all.rest = Some(stream[at..].to_vec());
            break;
        }
        if has_dots && !was_mended {
            text = text.strip_prefix(b".").unwrap_or(text);
        }
        was_mended = is_mended;
        all.has_bare |= text.iter().any(|byte| matches!(byte, b'\r' | b'\n'));
        all.length += text.len() + if end.is_some() { 2 } else { 0 };
        all.lines.push(Line { text: text.to_vec(), is_whole: end.is_some() });
    }
    all
}

/// What is found in the lines of a header.
struct Header {
    /// Lines that belong to it.
    line_count: usize,
    /// The first line that belongs to the body.
    end: usize,
    /// An empty line has to be put at `line_count`.
    lacks_end: bool,
    has_date: bool,
    has_message_id: bool,
    hop_count: u32,
    field_count: u32,
    bytes: usize,
}

impl Header {
    fn new(rules: &DataRules<'_>, lines: &[Line]) -> Self {
        let mut header = Self {
            line_count: 0,
            end: lines.len() + 1,
            lacks_end: false,
            has_date: false,
            has_message_id: false,
            hop_count: 0,
            field_count: 0,
            bytes: 0,
        };
        for (index, line) in lines.iter().enumerate() {
            if line.text.is_empty() {
                header.bytes += 2;
                header.end = index + 1;
                break;
            }
            let is_folded = index > 0 && matches!(line.text[0], b' ' | b'\t');
            if !is_folded {
                header.field_count += 1;
                let incomplete = !(header.has_date && header.has_message_id);
                match name(&line.text) {
                    Some(name) => header.note(&name),
                    None if index == 0 && is_mailbox_line(&line.text) => {}
                    None if rules.stamp.is_some() && incomplete => {
                        header.lacks_end = true;
                        header.end = index;
                        break;
                    }
                    None => {}
                }
            }
            header.bytes += line.text.len() + 2;
            header.line_count = index + 1;
        }
        header
    }

    /// The first line that any bytes may follow or stand in. One that is no field is such a line
    /// if that is seen before its end.
    fn raw_from(&self, lines: &[Line]) -> usize {
        let Some(line) = lines.get(self.end).filter(|_| self.lacks_end) else { return self.end };
        let name = line.text.iter().take_while(|&&byte| byte.is_ascii_graphic() && byte != b':');
        let rest = &line.text[name.count()..];
        let behind = rest.iter().find(|byte| !matches!(byte, b' ' | b'\t'));
        let is_seen = behind.is_some_and(|byte| !matches!(byte, b'\r' | b'\n'));
        self.end + usize::from(!is_seen)
    }

    fn note(&mut self, name: &str) {
        self.has_date |= name == "date";
        self.has_message_id |= name == "message-id";
        self.hop_count += u32::from(name == "received");
    }

    fn write(&self, rules: &DataRules<'_>, lines: &[Line], out: &mut Vec<u8>) {
        let mut is_ours = false;
        for (index, line) in lines.iter().enumerate() {
            if index == self.line_count {
                self.write_missing(rules, out);
            }
            if index < self.line_count && !(index > 0 && matches!(line.text[0], b' ' | b'\t')) {
                let folded = lines[index + 1..self.line_count]
                    .iter()
                    .take_while(|line| matches!(line.text[0], b' ' | b'\t'));
                let mut field = line.text.clone();
                folded.for_each(|line| field.extend_from_slice(&line.text));
                is_ours = rules.own_name.is_some_and(|own| tells_results_of(own, &field));
            }
            if index >= self.line_count || !is_ours {
                out.extend_from_slice(&line.text);
                if line.is_whole {
                    out.extend_from_slice(b"\r\n");
                }
            }
        }
        if lines.len() == self.line_count {
            self.write_missing(rules, out);
        }
    }

    fn write_missing(&self, rules: &DataRules<'_>, out: &mut Vec<u8>) {
        let Some(stamp) = &rules.stamp else { return };
        if !self.has_date {
            out.extend_from_slice(format!("Date: {}\r\n", stamp.wall.rfc5322()).as_bytes());
        }
        if !self.has_message_id {
            let field = format!("Message-ID: <{}@{}>\r\n", stamp.id, stamp.hostname);
            out.extend_from_slice(field.as_bytes());
        }
        if self.lacks_end {
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// The name of a field, in lower case.
fn name(line: &[u8]) -> Option<String> {
    let colon = line.iter().position(|&byte| byte == b':')?;
    let name = line[..colon].trim_ascii_end();
    let is_sound = !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
    let gap_is_sound = line[name.len()..colon].iter().all(|byte| matches!(byte, b' ' | b'\t'));
    (is_sound && gap_is_sound).then(|| String::from_utf8(name.to_ascii_lowercase()).expect("ASCII"))
}

fn is_mailbox_line(line: &[u8]) -> bool {
    let text = line.strip_prefix(b">").unwrap_or(line).to_ascii_lowercase();
    text.starts_with(b"from ") || text.starts_with(b"from\t")
}

/// RFC 8601 §2.2 for a field without line ends.
fn tells_results_of(own: &str, field: &[u8]) -> bool {
    if name(field).as_deref() != Some("authentication-results") {
        return false;
    }
    let colon = field.iter().position(|&byte| byte == b':').expect("it has a name");
    let mut value = skip_comments(&field[colon + 1..]);
    let mut id = Vec::new();
    if let Some(quoted) = value.strip_prefix(b"\"") {
        value = quoted;
        while let Some((&byte, rest)) = value.split_first() {
            value = rest;
            match byte {
                b'"' => break,
                b'\\' => match value.split_first() {
                    None => return false,
                    Some((&byte, rest)) => {
                        id.push(byte);
                        value = rest;
                    }
                },
                _ => id.push(byte),
            }
        }
    } else {
        let is_token =
            |byte: &u8| !byte.is_ascii_control() && !b" ()<>@,;:\\\"/[]?=".contains(byte);
        id.extend(value.iter().copied().take_while(|byte| is_token(byte)));
    }
    id.eq_ignore_ascii_case(own.as_bytes())
}

fn skip_comments(mut value: &[u8]) -> &[u8] {
    let mut depth = 0;
    while let Some((&byte, rest)) = value.split_first() {
        match byte {
            b'(' => depth += 1,
            b')' if depth > 0 => depth -= 1,
            b'\\' if depth > 0 => {
                value = rest.get(1..).unwrap_or_default();
                continue;
            }
            b' ' | b'\t' => {}
            _ if depth > 0 => {}
            _ => return value,
        }
        value = rest;
    }
    value
}
