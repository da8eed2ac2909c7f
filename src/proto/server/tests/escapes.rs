//! How transcripts write bytes that are not printable; see [`script`](super::script).

pub(super) fn escape(bytes: &[u8]) -> String {
    let mut text = String::new();
    for &byte in bytes {
        match byte {
            b'\r' => text += "\\r",
            b'\n' => text += "\\n",
            b'\\' => text += "\\\\",
            b' '..=b'~' => text.push(char::from(byte)),
            _ => text += &format!("\\x{byte:02x}"),
        }
    }
    text
}

pub(super) fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        let code = &rest[at + 1..];
        let used = match code.as_bytes().first() {
            Some(b'r') => push(&mut bytes, b'\r'),
            Some(b'n') => push(&mut bytes, b'\n'),
            Some(b't') => push(&mut bytes, b'\t'),
            Some(b'0') => push(&mut bytes, 0),
            Some(b'\\') => push(&mut bytes, b'\\'),
            Some(b'x') => {
                bytes.push(u8::from_str_radix(&code[1..3], 16).expect("hexadecimal"));
                3
            }
            Some(b'{') => {
                let end = code.find('}').expect("a closing brace");
                let (what, count) = code[1..end].rsplit_once('*').expect("text*count");
                bytes.extend(unescape(what).repeat(count.parse().expect("a count")));
                end + 1
            }
            _ => panic!("unknown escape in {text}"),
        };
        rest = &code[used..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

fn push(bytes: &mut Vec<u8>, byte: u8) -> usize {
    bytes.push(byte);
    1
}
