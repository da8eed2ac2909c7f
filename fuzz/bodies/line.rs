//! The line buffer against a twin that keeps whole lines.

use ringpost::limits::COMMAND_LINE_BYTES_MAX;
use ringpost::proto::line::{Found, LineAssembler, LineFault};

use super::pieces::ways_of_cutting;

/// The lines of a stream, however it comes in, are those of the twin.
pub fn run(input: &[u8]) {
    for pieces in ways_of_cutting(input) {
        assert_eq!(assembled(&pieces), naive(&pieces.concat()), "{} pieces", pieces.len());
    }
}

fn assembled(pieces: &[&[u8]]) -> Vec<Result<Vec<u8>, LineFault>> {
    let mut assembler = LineAssembler::default();
    let mut lines = Vec::new();
    for piece in pieces {
        let mut rest = *piece;
        loop {
            let scan = assembler.next_line(rest);
            let seen = rest;
            rest = &rest[scan.consumed..];
            match scan.found {
                Found::NeedInput => {
                    assert!(rest.is_empty(), "it needs input and left some");
                    break;
                }
                Found::InInput(span) => {
                    assert!(span.end() < scan.consumed, "a line without its end");
                    lines.push(Ok(span.of(seen).to_vec()));
                }
                Found::Kept => {
                    let line = assembler.take();
                    lines.push(Ok(line.clone()));
                    assembler.give_back(line);
                }
                Found::Refused(fault) => lines.push(Err(fault)),
            }
        }
    }
    lines
}

/// One byte at a time, with all of the line kept.
fn naive(stream: &[u8]) -> Vec<Result<Vec<u8>, LineFault>> {
    let mut lines = Vec::new();
    let mut is_tainted = false;
    for line in stream.split_inclusive(|&byte| byte == b'\n').filter(|line| line.ends_with(b"\n")) {
        let text = line.strip_suffix(b"\r\n");
        lines.push(match text {
            _ if line.len() > COMMAND_LINE_BYTES_MAX => Err(LineFault::TooLong),
            Some(text) if !is_tainted => Ok(text.to_vec()),
            _ => Err(LineFault::BareLf),
        });
        is_tainted = text.is_none();
    }
    lines
}
