//! The parser of commands against its own promises.

use ringpost::proto::command;

/// A line means the same whatever the case of its keyword and the white space behind it, and a
/// refusal can be put into words.
pub fn run(line: &[u8]) {
    let parsed = command::parse(line);
    // Both are of the line's end, which the line buffer never hands over.
    if line.contains(&b'\n') || line.contains(&b'\r') {
        assert!(parsed.is_err(), "a line within a line");
        return;
    }
    let longer = [line, b" \t "].concat();
    assert_eq!(command::parse(&longer), parsed, "white space at the end counts");
    let verb = line.iter().position(|&byte| byte == b' ').unwrap_or(line.len());
    for change in [<[u8]>::make_ascii_uppercase, <[u8]>::make_ascii_lowercase] {
        let mut other = line.to_vec();
        change(&mut other[..verb]);
        assert_eq!(command::parse(&other), parsed, "the case of the keyword counts");
    }
    match parsed {
        Ok(_) => {
            let is_control = |byte: &u8| byte.is_ascii_control() && *byte != b'\t';
            assert!(!line.iter().any(is_control), "a command with a control character");
        }
        Err(fault) => {
            let mut text = Vec::new();
            fault.reply().write(&mut text);
            assert!(matches!(text.first(), Some(b'4' | b'5')), "a refusal that is none");
            assert!(text.ends_with(b"\r\n"));
        }
    }
}
