//! The notice that tells a sender which recipients did not get the message: a multipart/report
//! (RFC 6522) with a text for people, a delivery status for programs (RFC 3464), and the header of
//! the message.
//!
//! [`Notice::compose`] makes the content of a whole message. It goes out with the null reverse-path
//! to [`Notice::sender`] (RFC 5321 §4.5.5, RFC 3464 §2), and it is never made for a message that
//! came with the null reverse-path itself: `queue::outcome::notice_is_owed` says so.
//!
//! # Guarantees
//! Lines end with CRLF and have at most [`DSN_LINE_BYTES_MAX`] bytes, every byte is ASCII, and the
//! content ends with CRLF. No address, name, reply or header, whatever bytes are in it, can add a
//! field or a part. A header that is not plain ASCII text is sent as quoted-printable and comes out
//! byte for byte (RFC 6522 §4). The same notice gives the same bytes.
//!
//! # Never
//! It never carries the body of the message: the sender has it, and a forged sender should not
//! get it.
//!
//! # Bounds
//! [`DSN_HEADER_BYTES_MAX`] of the header; about twice the path and twice the kept reply for each
//! recipient.

mod lines;

#[cfg(test)]
mod tests;

use memchr::{memchr, memmem};

use crate::clock::WallTime;
use crate::ids::MessageId;
use crate::limits::{DOMAIN_BYTES_MAX, DSN_HEADER_BYTES_MAX, DSN_LINE_BYTES_MAX, PATH_BYTES_MAX};
use crate::proto::client::{Cause, Failure};
use crate::proto::reply_parse::printable;

use lines::{is_plain_text, push_field, push_quoted_printable, push_wrapped};

/// A `Message-ID` that is longer is not repeated in `In-Reply-To`.
const REFERENCE_BYTES_MAX: usize = 250;

/// What a notice is about.
#[derive(Clone, Copy, Debug)]
pub struct Notice<'a> {
    /// Name of this server.
    pub reporting_mta: &'a str,
    /// The id of the notice itself.
    pub id: MessageId,
    /// The id of the message that was not delivered.
    pub message: MessageId,
    /// When that message was received.
    pub arrival: WallTime,
    /// When the notice is made.
    pub now: WallTime,
    /// Reverse-path of that message without angle brackets, to whom the notice goes; not empty.
    pub sender: &'a [u8],
    /// Those of its recipients that were given up, at least one.
    pub failed: &'a [FailedRecipient<'a>],
    /// The content of that message from its beginning, as much as is at hand. Only the header is
    /// looked at, and no more than [`DSN_HEADER_BYTES_MAX`] of it.
    pub content_head: &'a [u8],
    /// Makes the boundary between the parts hard to guess.
    pub boundary_seed: u64,
}

/// A recipient that was given up.
#[derive(Clone, Copy, Debug)]
pub struct FailedRecipient<'a> {
    /// Forward-path without angle brackets.
    pub address: &'a [u8],
    /// Why.
    pub failure: &'a Failure,
    /// Name of the server that refused it; `None` if no server did.
    pub remote_mta: Option<&'a str>,
}

impl Notice<'_> {
    /// The notice as the content of a message: header, empty line, body.
    pub fn compose(&self) -> Vec<u8> {
        let header = header_of(self.content_head);
        let parts = [self.text_part(), self.status_part(), header_part(header)];
        let boundary = self.find_boundary(&parts);
        let mut out = self.message_header(header, &boundary);
        for part in &parts {
            out.extend_from_slice(b"\r\n--");
            out.extend_from_slice(boundary.as_bytes());
            out.extend_from_slice(b"\r\n");
            out.extend_from_slice(part);
        }
        out.extend_from_slice(b"\r\n--");
        out.extend_from_slice(boundary.as_bytes());
        out.extend_from_slice(b"--\r\n");
        out
    }

    fn message_header(&self, original: &[u8], boundary: &str) -> Vec<u8> {
        let host = host_name(self.reporting_mta);
        let mut out = Vec::new();
        push_field(&mut out, "Date", &self.now.rfc5322().to_string());
        push_field(&mut out, "From", &format!("Mail Delivery System <MAILER-DAEMON@{host}>"));
        push_field(&mut out, "To", &format!("<{}>", address_text(self.sender)));
        push_field(&mut out, "Subject", "Your message could not be delivered");
        push_field(&mut out, "Message-ID", &format!("<{}.notice@{host}>", self.id));
        if let Some(reference) = find_message_id(original) {
            // RFC 3834 §3.1.5
            push_field(&mut out, "In-Reply-To", reference);
            push_field(&mut out, "References", reference);
        }
        push_field(&mut out, "Auto-Submitted", "auto-replied"); // RFC 3834 §5.2
        push_field(&mut out, "MIME-Version", "1.0");
        let kind = "multipart/report; report-type=delivery-status;"; // RFC 6522 §3
        push_field(&mut out, "Content-Type", &format!("{kind} boundary=\"{boundary}\""));
        out
    }

    fn text_part(&self) -> Vec<u8> {
        let mut out = Vec::new();
        push_field(&mut out, "Content-Type", "text/plain; charset=us-ascii");
        push_field(&mut out, "Content-Description", "What happened");
        out.extend_from_slice(b"\r\n");
        let host = host_name(self.reporting_mta);
        push_wrapped(&mut out, 0, &format!("This is the mail server {host}."));
        out.extend_from_slice(b"\r\n");
        let those =
            if self.failed.len() == 1 { "the address below" } else { "the addresses below" };
        let arrival = self.arrival.rfc5322();
        let text = format!(
            "Your message, which arrived here on {arrival}, could not be delivered to {those}. \
             It will not be tried again there."
        );
        push_wrapped(&mut out, 0, &text);
        for recipient in self.failed {
            out.extend_from_slice(b"\r\n");
            push_wrapped(&mut out, 2, &format!("<{}>", address_text(recipient.address)));
            match (&recipient.failure.cause, recipient.failure.state) {
                (Cause::Reply(reply), state) => {
                    let peer = recipient.remote_mta.map_or_else(
                        || "The other server".to_owned(),
                        |name| format!("The server {}", host_name(name)),
                    );
                    let when =
                        state.map_or(String::new(), |state| format!(" {}", state.answered()));
                    push_wrapped(&mut out, 6, &format!("{peer} said{when}:"));
                    push_wrapped(&mut out, 6, &reply.to_string());
                }
                (Cause::Local(_), _) => {
                    push_wrapped(&mut out, 6, &format!("{}.", recipient.failure));
                }
            }
        }
        out.extend_from_slice(b"\r\n");
        let text = format!(
            "If you ask the postmaster of {host} for help, mention the number {}. The header of \
             your message is attached.",
            self.message
        );
        push_wrapped(&mut out, 0, &text);
        out
    }

    /// RFC 3464 §2: the fields of the message, then a group of fields for each recipient.
    fn status_part(&self) -> Vec<u8> {
        let mut out = Vec::new();
        push_field(&mut out, "Content-Type", "message/delivery-status");
        push_field(&mut out, "Content-Description", "The same for programs");
        out.extend_from_slice(b"\r\n");
        let host = host_name(self.reporting_mta);
        push_field(&mut out, "Reporting-MTA", &format!("dns; {host}")); // RFC 3464 §2.2.2
        push_field(&mut out, "X-Ringpost-Message-Id", &self.message.to_string());
        let arrival = self.arrival.rfc5322().to_string();
        push_field(&mut out, "Arrival-Date", &arrival); // RFC 3464 §2.2.5
        for recipient in self.failed {
            let failure = recipient.failure;
            out.extend_from_slice(b"\r\n");
            let address = address_text(recipient.address);
            push_field(&mut out, "Final-Recipient", &format!("rfc822; {address}")); // §2.3.2
            push_field(&mut out, "Action", "failed"); // RFC 3464 §2.3.3
            push_field(&mut out, "Status", &failure.status.to_string()); // RFC 3464 §2.3.4
            if let Some(name) = recipient.remote_mta {
                push_field(&mut out, "Remote-MTA", &format!("dns; {}", host_name(name)));
            }
            let diagnostic = match &failure.cause {
                Cause::Reply(reply) => format!("smtp; {reply}"), // RFC 3464 §2.3.6
                Cause::Local(_) => format!("x-ringpost; {failure}"),
            };
            push_field(&mut out, "Diagnostic-Code", &diagnostic);
        }
        out
    }

    /// A boundary that no part holds (RFC 2046 §5.1.1). A part of n bytes holds at most n of them,
    /// so the search ends.
    fn find_boundary(&self, parts: &[Vec<u8>]) -> String {
        let mut seed = self.boundary_seed;
        loop {
            // Quoted-printable text never holds `=_` (RFC 2045 §6.7).
            let boundary = format!("=_{}_{seed:016x}", self.id);
            if parts.iter().all(|part| memmem::find(part, boundary.as_bytes()).is_none()) {
                return boundary;
            }
            seed = seed.wrapping_add(1);
        }
    }
}

/// RFC 6522 §4.
fn header_part(header: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    push_field(&mut out, "Content-Type", "text/rfc822-headers");
    push_field(&mut out, "Content-Description", "The header of your message");
    if is_plain_text(header, DSN_LINE_BYTES_MAX) {
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(header);
    } else {
        push_field(&mut out, "Content-Transfer-Encoding", "quoted-printable");
        out.extend_from_slice(b"\r\n");
        push_quoted_printable(&mut out, header);
    }
    out
}

/// The header at the beginning of `content` without the empty line behind it (RFC 5322 §2.1), cut
/// at the last line that is whole within the bound.
fn header_of(content: &[u8]) -> &[u8] {
    if content.starts_with(b"\r\n") {
        return &[];
    }
    let bounded = content.get(..DSN_HEADER_BYTES_MAX).unwrap_or(content);
    let end = match memmem::find(bounded, b"\r\n\r\n") {
        Some(empty_line) => empty_line + 2,
        None => memmem::rfind(bounded, b"\r\n").map_or(0, |last| last + 2),
    };
    bounded.get(..end).unwrap_or_default()
}

/// The value of the first `Message-ID` field if it is one plain identifier (RFC 5322 §3.6.4), so
/// that it can stand in a field of our own.
fn find_message_id(header: &[u8]) -> Option<&str> {
    const NAME: &[u8] = b"message-id:";
    let mut rest = header;
    while !rest.is_empty() {
        let (line, after) = rest.split_at(memchr(b'\n', rest).map_or(rest.len(), |lf| lf + 1));
        rest = after;
        let Some((name, value)) = line.split_at_checked(NAME.len()) else { continue };
        if !name.eq_ignore_ascii_case(NAME) {
            continue;
        }
        let value = value.trim_ascii();
        let inner = value.strip_prefix(b"<")?.strip_suffix(b">")?;
        let is_plain = inner
            .iter()
            .all(|&byte| byte.is_ascii_graphic() && !matches!(byte, b'<' | b'>' | b'"' | b'('));
        let is_short = value.len() <= REFERENCE_BYTES_MAX;
        return if is_plain && is_short { str::from_utf8(value).ok() } else { None };
    }
    None
}

/// `address` as text that stays on its line.
fn address_text(address: &[u8]) -> String {
    address.iter().take(PATH_BYTES_MAX).map(|&byte| printable(byte)).collect()
}

/// `name` as a word that stays on its line.
fn host_name(name: &str) -> String {
    name.chars().filter(char::is_ascii_graphic).take(DOMAIN_BYTES_MAX).collect()
}
