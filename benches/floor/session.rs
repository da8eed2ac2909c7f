//! The dialogue of one connection, as little of it as a client needs.
//!
//! # Guarantees
//! As many replies as a client's commands ask for, in their order, however the input is cut.
//!
//! # Never
//! Looks at more of a command than its first letter, or at anything of a content but where it ends.
//! It believes whatever it is told.
//!
//! # Bounds
//! It keeps [`END_OF_DATA`]'s length of input, whatever the peer sends.

use memchr::{memchr, memmem};

/// What a connection is greeted with.
pub(crate) const GREETING: &[u8] = b"220 floor.example\r\n";

const HELLO: &[u8] = b"250-floor.example\r\n250-PIPELINING\r\n250 8BITMIME\r\n";
const GOOD: &[u8] = b"250 2.0.0 ok\r\n";
const GO_AHEAD: &[u8] = b"354 go ahead\r\n";
const GOODBYE: &[u8] = b"221 2.0.0 bye\r\n";

/// What ends a content (RFC 5321 §4.1.1.4).
const END_OF_DATA: [u8; 5] = *b"\r\n.\r\n";

/// What a session does after an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Wait for more.
    Receive,
    /// Close once everything is sent.
    Close,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// In a command line whose first letter, once it came, is this.
    Command { verb: Option<u8> },
    /// In a content that ends, so far, with these bytes.
    Content { last: [u8; END_OF_DATA.len()] },
}

/// Where one connection stands.
#[derive(Debug)]
pub(crate) struct Session {
    phase: Phase,
}

impl Session {
    /// Before the first command.
    pub(crate) const fn new() -> Self {
        Self { phase: Phase::Command { verb: None } }
    }

    /// Takes what came in and appends the replies to `replies`.
    pub(crate) fn receive(&mut self, mut input: &[u8], replies: &mut Vec<u8>) -> Next {
        while !input.is_empty() {
            match &mut self.phase {
                Phase::Command { verb } => {
                    let first = *verb.get_or_insert(input[0]);
                    let Some(end) = memchr(b'\n', input) else { break };
                    input = &input[end + 1..];
                    *verb = None;
                    match first.to_ascii_uppercase() {
                        b'D' => {
                            replies.extend_from_slice(GO_AHEAD);
                            // The line of DATA ended with CRLF: a content may be a lone dot.
                            self.phase = Phase::Content { last: *b"\0\0\0\r\n" };
                        }
                        b'E' => replies.extend_from_slice(HELLO),
                        b'Q' => {
                            replies.extend_from_slice(GOODBYE);
                            return Next::Close;
                        }
                        _ => replies.extend_from_slice(GOOD),
                    }
                }
                Phase::Content { last } => {
                    let Some(end) = end_of_data(last, input) else {
                        shift(last, input);
                        break;
                    };
                    input = &input[end..];
                    replies.extend_from_slice(GOOD);
                    self.phase = Phase::Command { verb: None };
                }
            }
        }
        Next::Receive
    }
}

/// How many bytes of `input` there are up to the end of a content of which `last` came before.
fn end_of_data(last: &[u8; END_OF_DATA.len()], input: &[u8]) -> Option<usize> {
    let mut seam = [0; 2 * END_OF_DATA.len() - 1];
    let fresh = input.len().min(END_OF_DATA.len() - 1);
    seam[..last.len()].copy_from_slice(last);
    seam[last.len()..last.len() + fresh].copy_from_slice(&input[..fresh]);
    // An end that begins at a place in `last` ends as far from the beginning of `input`.
    let across = memmem::find(&seam[..last.len() + fresh], &END_OF_DATA);
    across.or_else(|| memmem::find(input, &END_OF_DATA).map(|at| at + END_OF_DATA.len()))
}

/// Moves `input` into `last` from behind, as much of its end as fits.
fn shift(last: &mut [u8; END_OF_DATA.len()], input: &[u8]) {
    let fresh = input.len().min(last.len());
    last.rotate_left(fresh);
    let kept = last.len() - fresh;
    last[kept..].copy_from_slice(&input[input.len() - fresh..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the client sends without waiting.
    const INPUTS: [&[u8]; 3] = [
        b"EHLO a.example\r\n",
        b"MAIL FROM:<a@a.example>\r\nRCPT TO:<b@b.example>\r\nDATA\r\n",
        b"Subject: a\r\n\r\n..\r\n.not the end\r\n.\r\nQUIT\r\n",
    ];

    fn run(cut: usize) -> (Vec<u8>, Next) {
        let (mut session, mut replies) = (Session::new(), Vec::new());
        let mut next = Next::Receive;
        for input in INPUTS {
            for part in input.chunks(cut) {
                next = session.receive(part, &mut replies);
            }
        }
        (replies, next)
    }

    #[test]
    fn a_dialogue_is_the_same_however_it_is_cut() {
        let wanted = [HELLO, GOOD, GOOD, GO_AHEAD, GOOD, GOODBYE].concat();
        for cut in 1..=64 {
            assert_eq!(run(cut), (wanted.clone(), Next::Close), "in pieces of {cut}");
        }
    }

    #[test]
    fn a_content_may_be_empty() {
        let (mut session, mut replies) = (Session::new(), Vec::new());
        session.receive(b"data\r\n", &mut replies);
        session.receive(b".\r\n", &mut replies);
        assert_eq!(replies, [GO_AHEAD, GOOD].concat());
    }
}
