//! Command lines out of a byte stream that comes in any pieces.
//!
//! # Guarantees
//! Only CRLF ends a command (RFC 5321 §2.3.8). How the stream was cut changes nothing: the same
//! bytes give the same lines and the same refusals. Each byte is searched once.
//!
//! # Failures
//! - A line longer than [`COMMAND_LINE_BYTES_MAX`] is swallowed up to its end and refused.
//! - A bare LF is refused at once, so that a client that knows no CRLF reads why instead of waiting
//!   for ever. What follows it, up to and with the next CRLF, is refused too and never obeyed: a
//!   peer that counts only CRLF has sent all of it as one line, and whoever slipped the LF into it
//!   must not get to speak SMTP.
//! - A bare CR stays in the line, where the command parser refuses it as a control character.
//!
//! # Bounds
//! At most [`COMMAND_LINE_BYTES_MAX`] bytes are kept, or as many as the caller allows, and none
//! while no line is begun. A line may hold a password, so whatever memory it leaves is wiped.

use memchr::memchr;
use zeroize::Zeroize;

use crate::limits::{COMMAND_LINE_BYTES_MAX, COMMAND_LINE_KEPT_BYTES};
use crate::span::Span;

/// Keeps the beginning of a line until its end comes.
#[derive(Debug, Default)]
pub struct LineAssembler {
    /// The begun line; empty when no line is begun or when it is [`overlong`](Self::overlong).
    kept: Vec<u8>,
    /// The begun line is too long already, and its bytes are dropped.
    overlong: bool,
    /// Whether the last dropped byte was a CR.
    dropped_cr: bool,
    /// A bare LF came and no CRLF since.
    tainted: bool,
}

/// What [`LineAssembler::next_line`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scan {
    /// Bytes of the input that are done with.
    pub consumed: usize,
    /// What they were.
    pub found: Found,
}

/// See [`Scan`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// No end of a line; all of the input was taken.
    NeedInput,
    /// A whole line lies in the input; the span leaves out its CRLF.
    InInput(Span),
    /// A line that began in an earlier input: [`LineAssembler::take`] has it, without CRLF.
    Kept,
    /// A line that must not be obeyed.
    Refused(LineFault),
}

/// Why a line is refused before it is parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineFault {
    /// Longer than it may be.
    TooLong,
    /// Ended in a bare LF, or followed such a line without a CRLF between.
    BareLf,
}

impl LineAssembler {
    /// Goes on to the next end of a line in `input`.
    pub fn next_line(&mut self, input: &[u8]) -> Scan {
        self.next_line_within(input, COMMAND_LINE_BYTES_MAX)
    }

    /// The same for a line that may have other `bytes_max` than a command, with its CRLF.
    pub fn next_line_within(&mut self, input: &[u8], bytes_max: usize) -> Scan {
        let Some(at) = memchr(b'\n', input) else {
            self.keep(input, bytes_max);
            return Scan { consumed: input.len(), found: Found::NeedInput };
        };
        let consumed = at + 1;
        let before_lf = if at > 0 { input.get(at - 1) } else { self.kept.last() };
        let ends_in_crlf = before_lf == Some(&b'\r') || (at == 0 && self.dropped_cr);
        let overlong = self.overlong || self.kept.len() + consumed > bytes_max;
        let tainted = self.tainted || !ends_in_crlf;
        self.overlong = false;
        self.dropped_cr = false;
        self.tainted = !ends_in_crlf;
        if overlong || tainted {
            self.drop_kept();
            let fault = if overlong { LineFault::TooLong } else { LineFault::BareLf };
            return Scan { consumed, found: Found::Refused(fault) };
        }
        if self.kept.is_empty() {
            return Scan { consumed, found: Found::InInput(Span::new(0, at - 1)) };
        }
        self.append(&input[..consumed]);
        self.kept.truncate(self.kept.len() - 2);
        Scan { consumed, found: Found::Kept }
    }

    /// The line that [`Found::Kept`] told of. Give the buffer back with
    /// [`give_back`](Self::give_back), so that the next line need not allocate one.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.kept)
    }

    /// Takes the buffer of a line that is done with; a large one is freed.
    pub fn give_back(&mut self, mut line: Vec<u8>) {
        line.zeroize();
        if line.capacity() <= COMMAND_LINE_KEPT_BYTES {
            self.kept = line;
        }
    }

    /// Forgets a begun line.
    pub fn reset(&mut self) {
        self.drop_kept();
        *self = Self::default();
    }

    #[cfg(test)]
    pub(super) fn heap_bytes(&self) -> usize {
        self.kept.capacity()
    }

    fn keep(&mut self, input: &[u8], bytes_max: usize) {
        // With its LF the line will have at least one byte more than has come.
        if self.overlong || self.kept.len() + input.len() >= bytes_max {
            self.overlong = true;
            self.drop_kept();
            if let Some(&last) = input.last() {
                self.dropped_cr = last == b'\r';
            }
            return;
        }
        self.append(input);
    }

    fn append(&mut self, input: &[u8]) {
        let needed = self.kept.len() + input.len();
        if needed > self.kept.capacity() {
            // The vector would leave a copy behind when it grows.
            let mut larger = Vec::with_capacity(needed.next_power_of_two());
            larger.extend_from_slice(&self.kept);
            self.drop_kept();
            self.kept = larger;
        }
        self.kept.extend_from_slice(input);
    }

    fn drop_kept(&mut self) {
        self.kept.zeroize();
        self.kept = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same rules, one byte at a time and with the whole line kept.
    fn naive(stream: &[u8]) -> Vec<Result<Vec<u8>, LineFault>> {
        let mut lines = Vec::new();
        let mut line = Vec::new();
        let mut tainted = false;
        for &byte in stream {
            line.push(byte);
            if byte == b'\n' {
                let proper = line.ends_with(b"\r\n");
                if line.len() > COMMAND_LINE_BYTES_MAX {
                    lines.push(Err(LineFault::TooLong));
                } else if tainted || !proper {
                    lines.push(Err(LineFault::BareLf));
                } else {
                    lines.push(Ok(line[..line.len() - 2].to_vec()));
                }
                tainted = !proper;
                line.clear();
            }
        }
        lines
    }

    fn assembled(pieces: &[&[u8]]) -> Vec<Result<Vec<u8>, LineFault>> {
        let mut assembler = LineAssembler::default();
        let mut lines = Vec::new();
        for piece in pieces {
            let mut rest = *piece;
            loop {
                let scan = assembler.next_line(rest);
                match scan.found {
                    Found::NeedInput => {
                        assert_eq!(scan.consumed, rest.len());
                        break;
                    }
                    Found::InInput(span) => lines.push(Ok(span.of(rest).to_vec())),
                    Found::Kept => {
                        let line = assembler.take();
                        lines.push(Ok(line.clone()));
                        assembler.give_back(line);
                    }
                    Found::Refused(fault) => lines.push(Err(fault)),
                }
                rest = &rest[scan.consumed..];
            }
            assert!(assembler.kept.len() < COMMAND_LINE_BYTES_MAX);
        }
        lines
    }

    #[test]
    fn the_longest_line_fits_and_one_byte_more_does_not() {
        for extra in [0, 1, 5_000] {
            let mut stream = vec![b'x'; COMMAND_LINE_BYTES_MAX - 2 + extra];
            stream.extend_from_slice(b"\r\nNOOP\r\n");
            for cut in 0..stream.len() {
                let lines = assembled(&[&stream[..cut], &stream[cut..]]);
                assert_eq!(lines, naive(&stream), "cut at {cut}");
                assert_eq!(lines[0].is_ok(), extra == 0);
                assert_eq!(lines[1], Ok(b"NOOP".to_vec()));
            }
        }
    }

    #[test]
    fn what_follows_a_bare_lf_is_never_obeyed() {
        let lines = assembled(&[b"NOOP\nRSET\nQUIT\r\nHELP\r\n"]);
        let refused = Err(LineFault::BareLf);
        assert_eq!(lines, [refused.clone(), refused.clone(), refused, Ok(b"HELP".to_vec())]);
    }

    fn stream() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            4 => Just(b"\r\n".to_vec()),
            1 => Just(b"\n".to_vec()),
            1 => Just(b"\r".to_vec()),
            4 => proptest::collection::vec(any::<u8>(), 0..20),
            1 => (COMMAND_LINE_BYTES_MAX - 4..COMMAND_LINE_BYTES_MAX + 4)
                .prop_map(|length| vec![b'y'; length]),
        ];
        proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn cuts_change_nothing(
            stream in stream(),
            cuts in proptest::collection::vec(any::<usize>(), 0..6),
        ) {
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (stream.len() + 1)).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for cut in cuts {
                pieces.push(&stream[from..cut]);
                from = cut;
            }
            pieces.push(&stream[from..]);
            prop_assert_eq!(assembled(&pieces), naive(&stream));
            let single: Vec<&[u8]> = stream.chunks(1).collect();
            prop_assert_eq!(assembled(&single), naive(&stream));
        }
    }
}
