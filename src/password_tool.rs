//! `ringpost password`: from a password to the string that the configuration keeps of it.
//!
//! # Guarantees
//! - On a terminal nothing that is typed is shown, and the terminal is left as it was found, also
//!   when the typing is broken off.
//! - No more is read than one line, and what was read is wiped from memory.
//!
//! # Failures
//! [`PasswordError`].
//!
//! # Bounds
//! `PASSWORD_BYTES_MAX`; what comes behind it is not read.

use std::io::{self, IsTerminal, Stdin, Write};

use rustix::io::Errno;
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};
use zeroize::Zeroizing;

use crate::credentials::{make_argon2id, make_scram};
use crate::invalid::Invalid;
use crate::io::time::random_bytes;
use crate::limits::PASSWORD_BYTES_MAX;

/// Why there is no string.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// Standard input cannot be read.
    #[error("cannot read a password from standard input: {0}")]
    Input(io::Error),
    /// The terminal cannot be told to be silent.
    #[error("cannot turn off the echo of the terminal: {0}; pipe the password in")]
    Terminal(io::Error),
    /// The typing was broken off.
    #[error("broken off")]
    Cancelled,
    /// The second typing is not the first.
    #[error("the two passwords differ; begin anew")]
    Different,
    /// The password is not text.
    #[error("the password is not UTF-8; set the terminal to UTF-8, or convert the file")]
    NotUtf8,
    /// The password will not do.
    #[error(transparent)]
    Refused(#[from] Invalid),
    /// The kernel gives no random salt.
    #[error("cannot get random bytes: {0}")]
    Random(io::Error),
    /// Nobody reads what is printed.
    #[error("cannot print: {0}")]
    Output(io::Error),
}

/// Reads a password from standard input and prints its string to `out`: that of SCRAM-SHA-256 if
/// `scram`, else that of argon2id.
///
/// # Errors
/// See [`PasswordError`].
pub fn run(scram: bool, out: &mut impl Write) -> Result<(), PasswordError> {
    let password = read_password(&io::stdin())?;
    let password = std::str::from_utf8(&password).map_err(|_| PasswordError::NotUtf8)?;
    let salt = random_bytes().map_err(PasswordError::Random)?;
    let make = if scram { make_scram } else { make_argon2id };
    let string = make(password, salt)?;
    writeln!(out, "{string}").and_then(|()| out.flush()).map_err(PasswordError::Output)
}

fn read_password(stdin: &Stdin) -> Result<Zeroizing<Vec<u8>>, PasswordError> {
    if !stdin.is_terminal() {
        return read_line(stdin, Line::new(Source::Pipe));
    }
    let _silence = Silence::of(stdin).map_err(PasswordError::Terminal)?;
    let ask = |prompt: &str| {
        // A closed standard error takes the prompt away, not the chance to type.
        let _ = write!(io::stderr(), "{prompt}: ");
        let line = read_line(stdin, Line::new(Source::Terminal));
        let _ = writeln!(io::stderr());
        line
    };
    let password = ask("Password")?;
    // Nobody sees what they typed, and a slip would come to light at the first log-in.
    if !password.is_empty() && ask("Again")? != password {
        return Err(PasswordError::Different);
    }
    Ok(password)
}

/// Byte by byte, so that no other buffer gets to hold it.
fn read_line(stdin: &Stdin, mut line: Line) -> Result<Zeroizing<Vec<u8>>, PasswordError> {
    loop {
        let mut byte = Zeroizing::new([0]);
        let typed = match rustix::io::read(stdin, &mut byte[..]) {
            Ok(0) => Typed::End,
            Ok(_) => line.take(byte[0]),
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(PasswordError::Input(errno.into())),
        };
        match typed {
            Typed::More => {}
            Typed::End => return Ok(line.bytes),
            Typed::Cancel => return Err(PasswordError::Cancelled),
        }
    }
}

/// A terminal that shows nothing and hands over each key as it is pressed, until this is dropped.
struct Silence<'a> {
    stdin: &'a Stdin,
    found: Termios,
}

impl<'a> Silence<'a> {
    fn of(stdin: &'a Stdin) -> io::Result<Self> {
        let found = tcgetattr(stdin)?;
        let mut silent = found.clone();
        // Without signals no key can end the process before the echo is back.
        silent.local_modes -= LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
        silent.special_codes[SpecialCodeIndex::VMIN] = 1;
        silent.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(stdin, OptionalActions::Flush, &silent)?;
        Ok(Self { stdin, found })
    }
}

impl Drop for Silence<'_> {
    fn drop(&mut self) {
        // A terminal that is gone needs no echo.
        let _ = tcsetattr(self.stdin, OptionalActions::Flush, &self.found);
    }
}

/// Where a line comes from: keys are pressed on a terminal only.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Pipe,
    Terminal,
}

/// What a byte does to a line.
#[derive(Debug, PartialEq, Eq)]
enum Typed {
    More,
    End,
    Cancel,
}

/// A line that is being read.
struct Line {
    source: Source,
    bytes: Zeroizing<Vec<u8>>,
}

impl Line {
    fn new(source: Source) -> Self {
        // Its memory never moves, so that no copy is left behind.
        Self { source, bytes: Zeroizing::new(Vec::with_capacity(PASSWORD_BYTES_MAX + 1)) }
    }

    fn take(&mut self, byte: u8) -> Typed {
        match (byte, self.source) {
            (b'\n', Source::Pipe) => {
                // A file from a system that ends lines with CRLF.
                if self.bytes.last() == Some(&b'\r') {
                    self.bytes.pop();
                }
                return Typed::End;
            }
            // Enter and ^D.
            (b'\r' | b'\n' | 0x04, Source::Terminal) => return Typed::End,
            // ^C and ^\.
            (0x03 | 0x1c, Source::Terminal) => return Typed::Cancel,
            // Backspace takes a whole character of UTF-8.
            (0x08 | 0x7f, Source::Terminal) => {
                while self.bytes.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
            }
            // ^U
            (0x15, Source::Terminal) => self.bytes.clear(),
            _ => self.bytes.push(byte),
        }
        // The byte too many tells that the password is too long.
        if self.bytes.len() > PASSWORD_BYTES_MAX { Typed::End } else { Typed::More }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is read from `bytes`, and how many of them are.
    fn read(source: Source, bytes: &[u8]) -> (Option<Vec<u8>>, usize) {
        let mut line = Line::new(source);
        for (index, byte) in bytes.iter().enumerate() {
            match line.take(*byte) {
                Typed::More => {}
                Typed::End => return (Some(line.bytes.to_vec()), index + 1),
                Typed::Cancel => return (None, index + 1),
            }
        }
        (Some(line.bytes.to_vec()), bytes.len())
    }

    #[test]
    fn a_pipe_gives_one_line_as_it_is() {
        let cases: &[(&[u8], &[u8], usize)] = &[
            (b"secret\n", b"secret", 7),
            (b"secret\r\nmore", b"secret", 8),
            (b"secret", b"secret", 6),
            (b" a\x7fb\x03 \n", b" a\x7fb\x03 ", 7),
            (b"\n", b"", 1),
        ];
        for (bytes, password, read_count) in cases {
            let (line, count) = read(Source::Pipe, bytes);
            assert_eq!((line.as_deref(), count), (Some(*password), *read_count));
        }
    }

    #[test]
    fn keys_change_the_line_of_a_terminal() {
        let cases: &[(&[u8], Option<&[u8]>)] = &[
            (b"secret\r", Some(b"secret")),
            (b"secret\x04", Some(b"secret")),
            (b"secrx\x7fet\n", Some(b"secret")),
            (b"wrong\x15right\n", Some(b"right")),
            ("a\u{e4}\u{1f511}\x7f\x7fb\n".as_bytes(), Some(b"ab")),
            (b"\x7f\x7fa\n", Some(b"a")),
            (b"sec\x03", None),
            (b"sec\x1c", None),
        ];
        for (bytes, password) in cases {
            assert_eq!(read(Source::Terminal, bytes).0.as_deref(), *password);
        }
    }

    #[test]
    fn no_more_is_read_than_a_password_may_have() {
        for source in [Source::Pipe, Source::Terminal] {
            let (line, count) = read(source, &[b'a'; 2 * PASSWORD_BYTES_MAX]);
            assert_eq!(count, PASSWORD_BYTES_MAX + 1);
            let line = line.expect("it is not broken off");
            let text = std::str::from_utf8(&line).expect("it is ASCII");
            let refused = make_scram(text, [0; 16]).expect_err("it is too long");
            assert!(refused.what.contains("too long"), "{refused}");
        }
    }
}
