//! Text to fill messages with: one stretch of lines that the bodies of all sizes are ends of.
//!
//! # Guarantees
//! Any number of bytes but one is met exactly: the few that are no whole line are written into the
//! message's own part by [`write_odd_line`], and the rest is an end of the shared text.

/// Bytes of a line with its CRLF; RFC 5322 §2.1.1 recommends 78 characters at most.
pub(super) const LINE_BYTES: usize = 80;

const ASCII: &[u8] =
    b"All work and no play makes a dull mail server, so here comes one more line of.\r\n";

/// The same with characters beyond ASCII.
const UTF_8: &str = "Älle Wörk ünd nö pläy mäkes ä düll mäil servër, so here cöme lines.\r\n";

/// `lines` lines of text, with bytes above 127 if `is_8bit`.
pub(super) fn lines(lines: usize, is_8bit: bool) -> Vec<u8> {
    let line = if is_8bit { UTF_8.as_bytes() } else { ASCII };
    line.repeat(lines)
}

/// Bytes of a body of `bytes` that [`write_odd_line`] writes.
pub(super) const fn odd_bytes(bytes: usize) -> usize {
    match bytes % LINE_BYTES {
        // A line of one byte could not hold a CRLF.
        1 if bytes > LINE_BYTES => 1 + LINE_BYTES,
        odd => odd,
    }
}

/// Bytes that a body of `bytes` comes to.
pub(super) const fn met_bytes(bytes: usize) -> usize {
    if bytes == 1 { 0 } else { bytes }
}

/// Appends what a body of `bytes` has besides whole lines. A body of a single byte cannot be: it
/// stays empty.
pub(super) fn write_odd_line(bytes: usize, out: &mut Vec<u8>) {
    let mut left = odd_bytes(bytes);
    while left > 1 {
        let line = if left > LINE_BYTES { LINE_BYTES - 1 } else { left };
        out.extend_from_slice(&ASCII[..line - 2]);
        out.extend_from_slice(b"\r\n");
        left -= line;
    }
}

const _: () = assert!(ASCII.len() == LINE_BYTES && UTF_8.len() == LINE_BYTES);
