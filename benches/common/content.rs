//! The content of a message, of an exact length.

const HEADER: &[u8] = b"From: Sender <sender@client.example>\r\n\
    To: Recipient <recipient@destination.example>\r\n\
    Subject: A message of an exact length\r\n\
    Date: Tue, 24 Nov 2026 04:01:33 +0000\r\n\
    Message-ID: <0123456789abcdef@client.example>\r\n\
    MIME-Version: 1.0\r\n\
    Content-Type: text/plain; charset=us-ascii\r\n\
    \r\n";

/// Bytes of a line without its CRLF, as base64 and most mail programs write it.
const LINE_BYTES: usize = 76;

/// A header and lines of text, `length` bytes in all, the last of them CRLF. Every
/// `dot_line_every`th line of the text begins with a dot; none does if that is 0.
pub(crate) fn content(length: usize, dot_line_every: usize) -> Vec<u8> {
    let mut content = HEADER.to_vec();
    let letters: Vec<u8> = (b'a'..=b'z').chain(b'A'..=b'Z').cycle().take(4 * LINE_BYTES).collect();
    for number in 1.. {
        let left = length - content.len();
        // The last line takes what is too short for another one.
        let is_last = left < 2 * (LINE_BYTES + 2);
        let line_bytes = if is_last { left - 2 } else { LINE_BYTES };
        let start = content.len();
        content.extend_from_slice(&letters[number % 52..][..line_bytes]);
        content.extend_from_slice(b"\r\n");
        if dot_line_every > 0 && number % dot_line_every == 0 {
            content[start] = b'.';
        }
        if is_last {
            break;
        }
    }
    content
}
