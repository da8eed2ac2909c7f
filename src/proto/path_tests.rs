//! The path parser against examples and against the ABNF read literally.

use proptest::prelude::*;

use super::*;

/// The grammar of RFC 5321.
const STRICT: PathRules = PathRules { utf8: false, missing_brackets: false };
const UTF8: PathRules = PathRules { utf8: true, missing_brackets: false };

fn address(path: &str, kind: PathKind) -> Result<Option<(String, String)>, PathFault> {
    let line = format!("xx{path} rest");
    let (parsed, end) = parse(line.as_bytes(), 2, kind, STRICT)?;
    assert_eq!(&line[end..], " rest", "the path ends behind its bracket");
    Ok(match parsed {
        Path::Null => None,
        Path::Postmaster => Some((String::from("postmaster"), String::new())),
        Path::Mailbox { address, domain } => {
            let text =
                |span: Span| String::from_utf8(span.of(line.as_bytes()).to_vec()).expect("ASCII");
            Some((text(address), text(domain)))
        }
    })
}

#[test]
fn what_the_grammar_allows_is_taken() {
    let cases = [
        ("<a@b>", "a@b", "b"),
        ("<A.b.C@Example.COM>", "A.b.C@Example.COM", "Example.COM"),
        ("<!#$%&'*+-/=?^_`{|}~@x-1.y2>", "!#$%&'*+-/=?^_`{|}~@x-1.y2", "x-1.y2"),
        ("<\"\"@b>", "\"\"@b", "b"),
        ("<\"a b>@\\\" \\\\\"@b.c>", "\"a b>@\\\" \\\\\"@b.c", "b.c"),
        ("<@one.example,@two.example:u@three.example>", "u@three.example", "three.example"),
        ("<@r:\"q\"@b>", "\"q\"@b", "b"),
        ("<u@[192.0.2.1]>", "u@[192.0.2.1]", "[192.0.2.1]"),
        ("<u@[IPv6:2001:db8::1]>", "u@[IPv6:2001:db8::1]", "[IPv6:2001:db8::1]"),
        ("<u@[ipv6:::ffff:192.0.2.1]>", "u@[ipv6:::ffff:192.0.2.1]", "[ipv6:::ffff:192.0.2.1]"),
        ("<u@[x-tag:any>thing_or~]>", "u@[x-tag:any>thing_or~]", "[x-tag:any>thing_or~]"),
        ("<postmaster@b>", "postmaster@b", "b"),
    ];
    for (path, full, domain) in cases {
        for kind in [PathKind::Reverse, PathKind::Forward] {
            let expected = Ok(Some((full.into(), domain.into())));
            assert_eq!(address(path, kind), expected, "{path}");
        }
    }
    assert_eq!(address("<>", PathKind::Reverse), Ok(None));
    let postmaster = Ok(Some((String::from("postmaster"), String::new())));
    assert_eq!(address("<PostMaster>", PathKind::Forward), postmaster);
}

#[test]
fn each_fault_is_named() {
    let cases = [
        ("", PathFault::Brackets),
        ("a@b", PathFault::Brackets),
        ("<a@b", PathFault::Brackets),
        ("<<a@b>>", PathFault::LocalPart),
        ("<@b>", PathFault::Route),
        ("<@b:>", PathFault::LocalPart),
        ("<@b,:u@c>", PathFault::Route),
        ("<@[192.0.2.1]:u@c>", PathFault::Route),
        ("<.a@b>", PathFault::LocalPart),
        ("<a.@b>", PathFault::LocalPart),
        ("<a..b@c>", PathFault::LocalPart),
        ("<a b@c>", PathFault::LocalPart),
        ("<a,b@c>", PathFault::LocalPart),
        ("<\"a@b>", PathFault::LocalPart),
        ("<\"a\\\u{1}\"@b>", PathFault::LocalPart),
        ("<\"a\"b@c>", PathFault::LocalPart),
        ("<a\0b@c>", PathFault::LocalPart),
        ("<root>", PathFault::DomainMissing),
        ("<a@>", PathFault::Domain),
        ("<a@b.>", PathFault::Domain),
        ("<a@.b>", PathFault::Domain),
        ("<a@b..c>", PathFault::Domain),
        ("<a@-b>", PathFault::Domain),
        ("<a@b->", PathFault::Domain),
        ("<a@b_c>", PathFault::Domain),
        ("<a@b@c>", PathFault::Domain),
        ("<a@b c>", PathFault::Domain),
        ("<a@b\0>", PathFault::Domain),
        ("<a@[192.0.2.256]>", PathFault::AddressLiteral),
        ("<a@[192.0.2]>", PathFault::AddressLiteral),
        ("<a@[IPv6:192.0.2.1]>", PathFault::AddressLiteral),
        ("<a@[IPv6:1:::2]>", PathFault::AddressLiteral),
        ("<a@[tag-:x]>", PathFault::AddressLiteral),
        ("<a@[tag:]>", PathFault::AddressLiteral),
        ("<a@[]>", PathFault::AddressLiteral),
        ("<a@[192.0.2.1>", PathFault::AddressLiteral),
        ("<a@[192.0.2.1]b>", PathFault::Brackets),
        ("<jos\u{e9}@b>", PathFault::NonAscii),
        ("<a@b\u{fc}cher.example>", PathFault::NonAscii),
    ];
    for (path, fault) in cases {
        for kind in [PathKind::Reverse, PathKind::Forward] {
            assert_eq!(parse(path.as_bytes(), 0, kind, STRICT), Err(fault), "{path}");
        }
    }
    assert_eq!(parse(b"<jos\xe9@b>", 0, PathKind::Forward, STRICT), Err(PathFault::NotUtf8));
    assert_eq!(parse(b"<>", 0, PathKind::Forward, STRICT), Err(PathFault::NullForward));
    assert_eq!(parse(b"<postmaster>", 0, PathKind::Reverse, STRICT), Err(PathFault::DomainMissing));
}

#[test]
fn lengths_are_bounded() {
    let path = |local: usize, labels: &[usize]| {
        let labels: Vec<String> = labels.iter().map(|&length| "d".repeat(length)).collect();
        format!("<{}@{}>", "l".repeat(local), labels.join("."))
    };
    let longest = path(LOCAL_PART_BYTES_MAX, &[63, 63, 63, 63]);
    assert!(address(&longest, PathKind::Forward).is_ok());
    let cases = [
        (path(LOCAL_PART_BYTES_MAX + 1, &[3]), PathFault::LocalPartTooLong),
        (path(1, &[64]), PathFault::DomainTooLong),
        (path(1, &[63, 63, 63, 61, 2]), PathFault::DomainTooLong),
        (format!("<a@[tag:{}]>", "x".repeat(DOMAIN_BYTES_MAX)), PathFault::DomainTooLong),
    ];
    for (path, fault) in cases {
        assert_eq!(parse(path.as_bytes(), 0, PathKind::Forward, STRICT), Err(fault), "{path}");
    }
}

#[test]
fn with_smtputf8_a_path_may_go_beyond_ascii() {
    let good = [
        ("<josé@b.example>", "josé@b.example", "b.example"),
        ("<josé.例え@bücher.example>", "josé.例え@bücher.example", "bücher.example"),
        ("<\"é @\\\" é\"@b>", "\"é @\\\" é\"@b", "b"),
        ("<@one.example:é@two.example>", "é@two.example", "two.example"),
        ("<a@xn--bcher-kva.example>", "a@xn--bcher-kva.example", "xn--bcher-kva.example"),
    ];
    for (path, full, domain) in good {
        let Ok((Path::Mailbox { address, domain: at }, end)) =
            parse(path.as_bytes(), 0, PathKind::Forward, UTF8)
        else {
            panic!("{path}");
        };
        assert_eq!(end, path.len());
        assert_eq!(address.of(path.as_bytes()), full.as_bytes());
        assert_eq!(at.of(path.as_bytes()), domain.as_bytes());
    }
    let bad = [
        ("<user＠b.example>", PathFault::LocalPart),
        ("<victim＠other.example@b.example>", PathFault::LocalPart),
        ("<a\u{200b}b@c.example>", PathFault::LocalPart),
        ("<a\u{202e}b@c.example>", PathFault::LocalPart),
        ("<a\u{85}b@c.example>", PathFault::LocalPart),
        ("<\"é\\é\"@b.example>", PathFault::LocalPart),
        ("<a@b。example>", PathFault::DomainNotNormal),
        ("<a@ｂ.example>", PathFault::DomainNotNormal),
        ("<a@b＠c.example>", PathFault::DomainNotNormal),
        ("<a@BÜCHER.example>", PathFault::DomainNotNormal),
        ("<a@é c.example>", PathFault::DomainNotNormal),
        ("<@é:a@b.example>", PathFault::Route),
        ("<a@[é]>", PathFault::AddressLiteral),
        ("＜a@b.example＞", PathFault::Brackets),
        ("<a@b.example＞", PathFault::Brackets),
    ];
    for (path, fault) in bad {
        let parsed = parse(path.as_bytes(), 0, PathKind::Forward, UTF8);
        assert_eq!(parsed, Err(fault), "{path}");
    }
    assert_eq!(parse(b"<jos\xe9@b>", 0, PathKind::Forward, UTF8), Err(PathFault::NotUtf8));
    assert_eq!(parse(b"<a@b> \xe9", 0, PathKind::Forward, UTF8), Err(PathFault::NotUtf8));
}

#[test]
fn brackets_may_be_missing_where_that_is_overlooked() {
    let lenient = PathRules { missing_brackets: true, ..STRICT };
    let parse = |path: &str, kind| {
        let (path, end) = parse(path.as_bytes(), 0, kind, lenient)?;
        Ok((path, end))
    };
    let mailbox = |address: usize, domain: usize| Path::Mailbox {
        address: Span::new(0, address),
        domain: Span::new(domain, address),
    };
    assert_eq!(parse("a@b.c SIZE=1", PathKind::Reverse), Ok((mailbox(5, 2), 5)));
    assert_eq!(parse("a@b.c", PathKind::Forward), Ok((mailbox(5, 2), 5)));
    assert_eq!(parse("\"a b\"@[192.0.2.1]", PathKind::Forward), Ok((mailbox(17, 6), 17)));
    assert_eq!(parse("postmaster", PathKind::Forward), Ok((Path::Postmaster, 10)));
    let bad = [
        ("", PathFault::Brackets),
        (" a@b", PathFault::LocalPart),
        ("<a@b", PathFault::Brackets),
        ("a@b>", PathFault::Domain),
        ("a", PathFault::DomainMissing),
        ("a b", PathFault::DomainMissing),
        ("a@ b", PathFault::Domain),
        (">", PathFault::LocalPart),
    ];
    for (path, fault) in bad {
        assert_eq!(parse(path, PathKind::Forward), Err(fault), "{path}");
    }
    assert_eq!(parse("<>", PathKind::Reverse), Ok((Path::Null, 2)));
}

/// The ABNF of RFC 5321 §4.1.2 read literally: each rule takes a set of offsets and gives the set
/// of offsets where it may end.
mod abnf {
    type Ends = std::collections::BTreeSet<usize>;

    fn class(text: &[u8], starts: &Ends, wanted: impl Fn(u8) -> bool) -> Ends {
        let matching = |&&at: &&usize| text.get(at).is_some_and(|&byte| wanted(byte));
        starts.iter().filter(matching).map(|at| at + 1).collect()
    }

    fn literal(text: &[u8], starts: &Ends, byte: u8) -> Ends {
        class(text, starts, |other| other == byte)
    }

    /// One or more times `rule`.
    fn repeated(starts: &Ends, rule: impl Fn(&Ends) -> Ends) -> Ends {
        let mut all = Ends::new();
        let mut last = rule(starts);
        while !last.is_subset(&all) {
            all.extend(&last);
            last = rule(&last);
        }
        all
    }

    /// `rule *(byte rule)`.
    fn listed(text: &[u8], starts: &Ends, byte: u8, rule: impl Fn(&Ends) -> Ends) -> Ends {
        let first = rule(starts);
        let mut all = first.clone();
        all.extend(repeated(&first, |ends| rule(&literal(text, ends, byte))));
        all
    }

    fn sub_domain(text: &[u8], starts: &Ends) -> Ends {
        let let_dig = |ends: &Ends| class(text, ends, |byte| byte.is_ascii_alphanumeric());
        let ldh =
            |ends: &Ends| class(text, ends, |byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let first = let_dig(starts);
        let mut before_last = first.clone();
        before_last.extend(repeated(&first, ldh));
        let mut all = first;
        all.extend(let_dig(&before_last));
        all
    }

    fn domain(text: &[u8], starts: &Ends) -> Ends {
        listed(text, starts, b'.', |ends| sub_domain(text, ends))
    }

    fn local_part(text: &[u8], starts: &Ends) -> Ends {
        let atom = |ends: &Ends| {
            repeated(ends, |ends| {
                class(text, ends, |byte| {
                    byte.is_ascii_graphic() && !b"()<>[]:;@\\,.\"".contains(&byte)
                })
            })
        };
        let mut all = listed(text, starts, b'.', atom);
        let open = literal(text, starts, b'"');
        let content = |ends: &Ends| {
            let mut one = class(text, ends, |byte| {
                (32..=126).contains(&byte) && byte != b'"' && byte != b'\\'
            });
            let escape = literal(text, ends, b'\\');
            one.extend(class(text, &escape, |byte| (32..=126).contains(&byte)));
            one
        };
        let mut inner = open.clone();
        inner.extend(repeated(&open, content));
        all.extend(literal(text, &inner, b'"'));
        all
    }

    /// Whether all of `text` is a `Path` whose domain is no address literal.
    pub(super) fn is_path(text: &[u8]) -> bool {
        let open = literal(text, &Ends::from([0]), b'<');
        let at_domain = |ends: &Ends| domain(text, &literal(text, ends, b'@'));
        let mut mailbox = open.clone();
        mailbox.extend(literal(text, &listed(text, &open, b',', at_domain), b':'));
        let ends = domain(text, &literal(text, &local_part(text, &mailbox), b'@'));
        literal(text, &ends, b'>').contains(&text.len())
    }
}

proptest! {
    #[test]
    fn the_parser_agrees_with_the_abnf(inner in "[ab.@\"\\\\ ,:<>\\-\u{1}_]{0,14}") {
        let text = format!("<{inner}>");
        let parsed = parse(text.as_bytes(), 0, PathKind::Reverse, STRICT);
        let taken = matches!(parsed, Ok((Path::Mailbox { .. }, end)) if end == text.len());
        prop_assert_eq!(taken, abnf::is_path(text.as_bytes()), "{}", text);
    }

    #[test]
    fn a_likely_path_agrees_too(
        route in "(@[a-c]{1,2}(\\.-?[a-c])?(,@[ab])?:?)?",
        local in "(\"[a-c @<>]?(\\\\.)?\"|[a-c.]{1,4})",
        domain in "[a-c\\-.]{1,6}",
    ) {
        let text = format!("<{route}{local}@{domain}>");
        let parsed = parse(text.as_bytes(), 0, PathKind::Reverse, STRICT);
        let taken = matches!(parsed, Ok((Path::Mailbox { .. }, end)) if end == text.len());
        prop_assert_eq!(taken, abnf::is_path(text.as_bytes()), "{}", text);
    }

    #[test]
    fn what_is_printed_is_parsed(
        route in "(@[a-z0-9]{1,8}(,@[a-z]{1,3}\\.[a-z]{2})?:)?",
        local in prop_oneof![
            "[!#-'*+\\-/0-9=?A-Z^-~]{1,9}(\\.[a-zA-Z]{1,9}){0,3}",
            "\"([ !#-\\[\\]-~]|\\\\[ -~]){0,9}\"",
        ],
        domain in prop_oneof![
            "[a-z0-9]([a-z0-9\\-]{0,9}[a-z0-9])?(\\.[a-z]{2,5}){0,3}",
            "\\[192\\.0\\.2\\.[1-9]\\]",
            "\\[IPv6:2001:db8::[1-9a-f]{1,4}\\]",
        ],
    ) {
        let path = format!("<{route}{local}@{domain}>");
        for kind in [PathKind::Reverse, PathKind::Forward] {
            let expected = Some((format!("{local}@{domain}"), domain.clone()));
            prop_assert_eq!(address(&path, kind), Ok(expected));
        }
    }

    #[test]
    fn nothing_makes_it_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..40),
        start in 0usize..50,
        utf8 in any::<bool>(),
        missing_brackets in any::<bool>(),
    ) {
        let rules = PathRules { utf8, missing_brackets };
        for kind in [PathKind::Reverse, PathKind::Forward] {
            if let Ok((_, end)) = parse(&bytes, start, kind, rules) {
                prop_assert!(end <= bytes.len());
            }
        }
    }

    #[test]
    fn what_is_taken_is_text(
        text in "<?[\"a@.é＠ü\u{200b}\u{202e}ß。>\\\\ ]{0,9}@[aüß.\\-。é＠]{0,6}>?",
        utf8 in any::<bool>(),
        missing_brackets in any::<bool>(),
    ) {
        let rules = PathRules { utf8, missing_brackets };
        let bytes = text.as_bytes();
        let parsed = parse(bytes, 0, PathKind::Forward, rules);
        if let Ok((Path::Mailbox { address, domain }, _)) = parsed {
            prop_assert_eq!(address.end(), domain.end());
            let address = std::str::from_utf8(address.of(bytes)).expect("UTF-8");
            prop_assert!(utf8 || address.is_ascii(), "{}", address);
            prop_assert!(address.chars().all(is_printable), "{}", address);
            let domain = std::str::from_utf8(domain.of(bytes)).expect("UTF-8");
            prop_assert!(!domain.contains('。'), "{}", domain);
        }
    }
}
