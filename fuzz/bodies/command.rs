//! The parser of commands against its own promises.

use ringpost::proto::command::{self, Command, Grammar};
use ringpost::proto::path::Path;
use ringpost::span::Span;

/// A line means the same whatever the case of its keyword and the white space behind it, an address
/// that is taken can be sent on as it is, and a refusal can be put into words. The first byte picks
/// what is offered and overlooked.
pub fn run(input: &[u8]) {
    let (&choice, line) = input.split_first().unwrap_or((&0, &[]));
    let is = |bit: u8| choice & 1 << bit != 0;
    let grammar = Grammar {
        offers: &|_| is(0),
        smtputf8: is(1),
        space_before_path: is(2),
        missing_brackets: is(3),
    };
    let parsed = command::parse(line, &grammar);
    // The line buffer never hands over the end of a line.
    if line.contains(&b'\n') || line.contains(&b'\r') {
        assert!(parsed.is_err(), "a line within a line");
        return;
    }
    let longer = [line, b" \t "].concat();
    assert_eq!(command::parse(&longer, &grammar), parsed, "white space at the end counts");
    let verb = line.iter().position(|&byte| byte == b' ').unwrap_or(line.len());
    for change in [<[u8]>::make_ascii_uppercase, <[u8]>::make_ascii_lowercase] {
        let mut other = line.to_vec();
        change(&mut other[..verb]);
        assert_eq!(command::parse(&other, &grammar), parsed, "the case of the keyword counts");
    }
    let command = match parsed {
        Ok(command) => command,
        Err(fault) => {
            let mut text = Vec::new();
            fault.reply().write(&mut text);
            assert!(matches!(text.first(), Some(b'4' | b'5')), "a refusal that is none");
            assert!(text.ends_with(b"\r\n"));
            return;
        }
    };
    let is_control = |byte: &u8| byte.is_ascii_control() && *byte != b'\t';
    assert!(!line.iter().any(is_control), "a command with a control character");
    match command {
        Command::Mail(mail) => {
            let utf8 = mail.parameters.smtputf8;
            check_path(line, "MAIL FROM:", mail.path, utf8.then_some(" SMTPUTF8"));
        }
        Command::Rcpt(rcpt) => {
            check_path(line, "RCPT TO:", rcpt.path, grammar.smtputf8.then_some(""));
        }
        _ => {}
    }
}

/// The address is what the strictest server reads in it too, and its domain is what stands behind
/// it. `utf8` is what lets the command go beyond ASCII.
fn check_path(line: &[u8], command: &str, path: Path, utf8: Option<&str>) {
    let Path::Mailbox { address, domain } = path else { return };
    let (address, domain) = (address.of(line), domain.of(line));
    assert!(address.is_ascii() || utf8.is_some());
    let local = address.strip_suffix(domain).and_then(|rest| rest.strip_suffix(b"@"));
    let local = local.expect("local part, @ and domain");
    assert!(!local.is_empty() && !domain.is_empty());
    // A literal of a family that nobody has yet may hold much (RFC 5321 §4.1.3), but no brackets.
    let literal = domain.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]"));
    let (inner, forbidden): (_, &[u8]) = match literal {
        Some(inner) => (inner, b" []\\"),
        None => (domain, b" @<>[]()\"\\,;:"),
    };
    assert!(!inner.iter().any(|byte| forbidden.contains(byte)), "a domain that is none");
    let end = utf8.unwrap_or_default();
    let again = [command.as_bytes(), b"<", address, b">", end.as_bytes()].concat();
    let strict = Grammar {
        offers: &|_| true,
        smtputf8: utf8.is_some(),
        space_before_path: false,
        missing_brackets: false,
    };
    let path = match command::parse(&again, &strict) {
        Ok(Command::Mail(mail)) => mail.path,
        Ok(Command::Rcpt(rcpt)) => rcpt.path,
        other => panic!("{} came to {other:?}", again.escape_ascii()),
    };
    let at = command.len() + 1;
    let expected = Path::Mailbox {
        address: Span::new(at, at + address.len()),
        domain: Span::new(at + local.len() + 1, at + address.len()),
    };
    assert_eq!(path, expected, "{}", again.escape_ascii());
}
