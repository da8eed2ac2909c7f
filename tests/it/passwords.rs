//! `ringpost password`: strings that the program itself reads back, and passwords that it refuses.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use ringpost::credentials::{Credential, User, Users};

use crate::support::python;

const PROGRAM: &str = env!("CARGO_BIN_EXE_ringpost");

/// What the program does with `input` on a standard input that is no terminal.
fn run(arguments: &[&str], input: &[u8]) -> Output {
    output(Command::new(PROGRAM).arg("password").args(arguments), input)
}

/// What the program shows on a terminal on which `typings` are typed, one for each prompt, and its
/// exit status.
fn run_on_terminal(typings: &str) -> (String, Option<i32>) {
    let program = &mut python("type_password.py");
    let shown = output(program.args([PROGRAM, "password", "--scram"]), typings.as_bytes());
    assert_eq!(shown.stderr, b"", "{}", shown.stderr.escape_ascii());
    (String::from_utf8(shown.stdout).expect("it is text"), shown.status.code())
}

fn output(program: &mut Command, input: &[u8]) -> Output {
    let mut program = program
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = program.stdin.take().expect("it is piped");
    stdin.write_all(input).expect("the program reads");
    drop(stdin);
    program.wait_with_output().expect("the program ends")
}

fn is_right(string: &str, password: &str) -> bool {
    let credential = Credential::parse(string).expect(string).into();
    let user = User { name: "app".into(), credential, senders: Vec::new() };
    Users::new([user]).check_password(&[0; 32], "app", password).run()
}

#[test]
fn a_password_becomes_a_string_that_proves_it() {
    let cases: [(&[&str], &str); 2] = [(&[], "argon2id"), (&["--scram"], "SCRAM-SHA-256")];
    for (arguments, scheme) in cases {
        let made = run(arguments, b"correct horse\nsomething else\n");
        assert!(made.status.success(), "{made:?}");
        assert_eq!(made.stderr, b"");
        let text = String::from_utf8(made.stdout).expect("it is text");
        let string = text.strip_suffix('\n').expect("it is a line");
        assert!(!string.contains('\n'), "{string}");
        assert_eq!(Credential::parse(string).expect(string).scheme(), scheme);
        assert!(is_right(string, "correct horse"));
        assert!(!is_right(string, "correct horse "));
        // The salt is drawn anew.
        assert_ne!(run(arguments, b"correct horse\n").stdout, text.as_bytes());
    }
}

#[test]
fn passwords_that_will_not_do_are_refused_in_words() {
    let cases: [(&[u8], &str); 4] = [
        (b"\n", "empty"),
        (b"", "empty"),
        (b"tab\there\n", "SASLprep"),
        (b"latin-1 \xe4\n", "UTF-8"),
    ];
    for (input, word) in cases {
        let refused = run(&[], input);
        let text = String::from_utf8(refused.stderr).expect("it is text");
        assert_eq!((refused.status.code(), refused.stdout.len()), (Some(2), 0), "{text}");
        assert!(text.contains(word), "{text}");
    }
}

#[test]
fn a_terminal_shows_nothing_of_what_is_typed() {
    // With a slip that is taken back, and a character of three bytes.
    let (shown, status) =
        run_on_terminal("sekrex\\x7ft \\xe2\\x82\\xac\\r\nsekret \\xe2\\x82\\xac\\r\n");
    let string = shown.strip_prefix("Password: \r\nAgain: \r\n").expect(&shown);
    assert_eq!(status, Some(0));
    assert!(is_right(string.trim_end(), "sekret \u{20ac}"), "{shown}");
}

#[test]
fn a_terminal_is_left_as_it_was_found() {
    let cases = [
        ("sekret\\r\nsecret\\r\n", "Password: \r\nAgain: \r\nringpost: the two passwords differ"),
        ("sekret\\x03\n", "Password: \r\nringpost: broken off"),
        ("sekret\\r\n\\x03\n", "Password: \r\nAgain: \r\nringpost: broken off"),
        ("\\r\n", "Password: \r\nringpost: the password is empty"),
    ];
    for (typings, start) in cases {
        let (shown, status) = run_on_terminal(typings);
        assert!(shown.starts_with(start), "{shown}");
        assert_eq!(status, Some(2), "{shown}");
    }
}
