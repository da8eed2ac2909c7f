//! The notice that tells a sender what became of a message: a multipart/report (RFC 6522) with a
//! text for people, a delivery status for programs (RFC 3464), and the header of the message, or
//! all of it if the sender asked for that (RFC 3461 §4.3).
//!
//! [`Notice::compose`] makes the content of a whole message. It goes out with the null reverse-path
//! to [`Notice::sender`] (RFC 5321 §4.5.5, RFC 3464 §2), and only to a sender that is owed it:
//! [`queue::notice`](crate::queue::notice) says so. A notice tells one [kind](Fate) of news, so
//! that its subject can say which.
//!
//! # Guarantees
//! Lines end with CRLF and have at most [`DSN_LINE_BYTES_MAX`] bytes, and the content ends with
//! CRLF. Every byte is ASCII, unless the sender's own address is not: then the notice needs
//! SMTPUTF8 as that address does, and [`is_international`] says so. No address, name, reply or
//! header, whatever bytes are in it, can add a field or a part. What is not plain ASCII text is
//! sent as quoted-printable and comes out byte for byte (RFC 6522 §4, RFC 6532 §3.7). The same
//! notice gives the same bytes.
//!
//! # Never
//! It never carries the body of the message unless its sender asked for it with `RET=FULL`: the
//! sender has it, and a forged sender should not get it.
//!
//! # Bounds
//! [`DSN_HEADER_BYTES_MAX`] of the header; [`DSN_CONTENT_BYTES_MAX`] of a whole message, and of a
//! larger one only the header; about twice the path, twice the original address and twice the kept
//! reply for each recipient. Quoted-printable makes up to three bytes of one.
//!
//! [`DSN_LINE_BYTES_MAX`]: crate::limits::DSN_LINE_BYTES_MAX

mod lines;
mod original;
mod status;

#[cfg(test)]
mod tests;

use memchr::memmem;

use crate::clock::WallTime;
use crate::ids::MessageId;
use crate::limits::{
    DOMAIN_BYTES_MAX, DSN_CONTENT_BYTES_MAX, DSN_HEADER_BYTES_MAX, PATH_BYTES_MAX,
};
use crate::message::ReturnedContent;
use crate::proto::client::{Cause, Failure};
use crate::proto::reply_parse::{Reply, printable};

use lines::{is_plain_text, push_field, push_quoted_printable, push_wrapped};
use original::{find_message_id, header_of, original_part};

/// What a notice is about.
#[derive(Clone, Copy, Debug)]
pub struct Notice<'a> {
    /// Name of this server.
    pub reporting_mta: &'a str,
    /// The id of the notice itself.
    pub id: MessageId,
    /// The id of the message that it is about.
    pub message: MessageId,
    /// When that message was received.
    pub arrival: WallTime,
    /// When the notice is made.
    pub now: WallTime,
    /// When that message is given up if it was not delivered until then; for delays.
    pub retry_until: Option<WallTime>,
    /// Reverse-path of that message without angle brackets, to whom the notice goes; not empty.
    pub sender: &'a [u8],
    /// `ENVID=` of that message, in xtext as it came.
    pub envelope_id: Option<&'a [u8]>,
    /// Whether that message came with `SMTPUTF8`, so that its sender can read UTF-8 (RFC 6533 §6).
    pub smtputf8: bool,
    /// Those of its recipients that the notice is about, at least one, and all with the same kind
    /// of fate.
    pub recipients: &'a [Reported<'a>],
    /// What goes back with the notice.
    pub original: Original<'a>,
    /// Makes the boundary between the parts hard to guess.
    pub boundary_seed: u64,
}

/// A recipient, and what became of it.
#[derive(Clone, Copy, Debug)]
pub struct Reported<'a> {
    /// Forward-path without angle brackets.
    pub address: &'a [u8],
    /// `ORCPT=` as it came.
    pub original: Option<&'a [u8]>,
    /// What became of it.
    pub fate: Fate<'a>,
    /// Name of the server that answered; `None` if no server did.
    pub remote_mta: Option<&'a str>,
}

/// What became of a recipient (RFC 3464 §2.3.3).
#[derive(Clone, Copy, Debug)]
pub enum Fate<'a> {
    /// It was given up, for this.
    Failed(&'a Failure),
    /// It is being tried; the last attempt failed for this, as one line of printable text, empty if
    /// there was none.
    Delayed(&'a str),
    /// The next hop took it, with this answer.
    Relayed(&'a Reply),
    /// It arrived where the route leads.
    Delivered,
}

/// What of the message goes back.
#[derive(Clone, Copy, Debug)]
pub enum Original<'a> {
    /// Its header: the content from its beginning, as much as is at hand. Only the header is looked
    /// at, and no more than [`DSN_HEADER_BYTES_MAX`] of it.
    Header(&'a [u8]),
    /// The header of a message whose sender asked for all of it, but which is too large.
    HeaderOfLarge(&'a [u8]),
    /// All of it.
    Whole(&'a [u8]),
}

impl<'a> Original<'a> {
    /// How many bytes of a content of `length_bytes` a notice needs at most, and whether these are
    /// all of it, to send back as it is. `fails` says whether the notice tells of a failure:
    /// others carry the header at most (RFC 3461 §4.3).
    pub fn wanted(
        returned: Option<ReturnedContent>,
        fails: bool,
        length_bytes: u64,
    ) -> (usize, bool) {
        let wants_all = fails && returned == Some(ReturnedContent::Full);
        let length = usize::try_from(length_bytes).unwrap_or(usize::MAX);
        if wants_all && length <= DSN_CONTENT_BYTES_MAX {
            return (length, true);
        }
        (length.min(DSN_HEADER_BYTES_MAX), false)
    }

    const fn bytes(self) -> &'a [u8] {
        match self {
            Self::Header(bytes) | Self::HeaderOfLarge(bytes) | Self::Whole(bytes) => bytes,
        }
    }
}

/// Whether a notice to `sender` needs SMTPUTF8 (RFC 6531 §3.6): its address is no ASCII.
pub fn is_international(sender: &[u8]) -> bool {
    !sender.is_ascii() && str::from_utf8(sender).is_ok()
}

impl Notice<'_> {
    /// The notice as the content of a message: header, empty line, body.
    pub fn compose(&self) -> Vec<u8> {
        let parts = [self.text_part(), self.status_part(), self.original_part()];
        let boundary = self.find_boundary(&parts);
        let mut out = self.message_header(&boundary);
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

    fn message_header(&self, boundary: &str) -> Vec<u8> {
        let host = host_name(self.reporting_mta);
        let subject = match self.fate() {
            Fate::Failed(_) => "Your message could not be delivered",
            Fate::Delayed(_) => "Your message is delayed",
            Fate::Relayed(_) => "Your message was passed on",
            Fate::Delivered => "Your message was delivered",
        };
        let to = address_text(self.sender, is_international(self.sender));
        let mut out = Vec::new();
        push_field(&mut out, "Date", &self.now.rfc5322().to_string());
        push_field(&mut out, "From", &format!("Mail Delivery System <MAILER-DAEMON@{host}>"));
        push_field(&mut out, "To", &format!("<{to}>"));
        push_field(&mut out, "Subject", subject);
        push_field(&mut out, "Message-ID", &format!("<{}.notice@{host}>", self.id));
        if let Some(reference) = find_message_id(header_of(self.original.bytes())) {
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
        let mut text = Vec::new();
        let host = host_name(self.reporting_mta);
        push_wrapped(&mut text, 0, &format!("This is the mail server {host}."));
        text.extend_from_slice(b"\r\n");
        push_wrapped(&mut text, 0, &self.what_happened());
        for recipient in self.recipients {
            text.extend_from_slice(b"\r\n");
            let address = address_text(recipient.address, self.smtputf8);
            push_wrapped(&mut text, 2, &format!("<{address}>"));
            recipient.push_words(&mut text);
        }
        text.extend_from_slice(b"\r\n");
        let attached = match self.original {
            Original::Header(_) => "The header of your message is attached.",
            Original::HeaderOfLarge(_) => {
                "Your message is too large to come back with this notice; its header is attached."
            }
            Original::Whole(_) => "Your message is attached.",
        };
        let help = format!(
            "If you ask the postmaster of {host} for help, mention the number {}. {attached}",
            self.message
        );
        push_wrapped(&mut text, 0, &help);
        let charset = if text.is_ascii() { "us-ascii" } else { "utf-8" };
        let mut out = Vec::new();
        push_field(&mut out, "Content-Type", &format!("text/plain; charset={charset}"));
        push_field(&mut out, "Content-Description", "What happened");
        push_body(&mut out, &text);
        out
    }

    fn what_happened(&self) -> String {
        let one = self.recipients.len() == 1;
        let those = if one { "the address below" } else { "the addresses below" };
        let arrival = self.arrival.rfc5322();
        let message = format!("Your message, which arrived here on {arrival},");
        match self.fate() {
            Fate::Failed(_) => format!(
                "{message} could not be delivered to {those}. It will not be tried again there."
            ),
            Fate::Delayed(_) => {
                let until = self
                    .retry_until
                    .map_or_else(String::new, |until| format!(" until {}", until.rfc5322()));
                format!(
                    "{message} could not be delivered to {those} yet. It will be tried{until} \
                     without your doing. You need not send it again."
                )
            }
            Fate::Relayed(_) => format!(
                "{message} was passed on to the next mail server on its way to {those}. Whether \
                 it arrives is for that server to say, which may say nothing."
            ),
            Fate::Delivered => format!("{message} was delivered to {those}."),
        }
    }

    /// The kind of news.
    fn fate(&self) -> Fate<'_> {
        self.recipients.first().map_or(Fate::Delivered, |recipient| recipient.fate)
    }

    fn original_part(&self) -> Vec<u8> {
        original_part(self.original, self.smtputf8)
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

impl Reported<'_> {
    /// What is to say of it to people.
    fn push_words(&self, out: &mut Vec<u8>) {
        let peer = || {
            let name = self.remote_mta.map(host_name);
            name.map_or_else(|| "The other server".to_owned(), |name| format!("The server {name}"))
        };
        match self.fate {
            Fate::Failed(failure) => match (&failure.cause, failure.state) {
                (Cause::Reply(reply), state) => {
                    let when =
                        state.map_or(String::new(), |state| format!(" {}", state.answered()));
                    push_wrapped(out, 6, &format!("{} said{when}:", peer()));
                    push_wrapped(out, 6, &reply.to_string());
                }
                (Cause::Local(_), _) => push_wrapped(out, 6, &format!("{failure}.")),
            },
            Fate::Delayed("") => push_wrapped(out, 6, "It was not tried yet."),
            Fate::Delayed(last_failure) => {
                push_wrapped(out, 6, "The last attempt failed with:");
                push_wrapped(out, 6, last_failure);
            }
            Fate::Relayed(reply) => {
                push_wrapped(out, 6, &format!("{} took it and said:", peer()));
                push_wrapped(out, 6, &reply.to_string());
            }
            Fate::Delivered => {}
        }
    }
}

/// Ends the header of a part, with its encoding if it needs one, and appends its body.
fn push_body(out: &mut Vec<u8>, body: &[u8]) {
    if is_plain_text(body, crate::limits::DSN_LINE_BYTES_MAX) {
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(body);
    } else {
        push_field(out, "Content-Transfer-Encoding", "quoted-printable");
        out.extend_from_slice(b"\r\n");
        push_quoted_printable(out, body);
    }
}

/// `address` as text that stays on its line: ASCII, or with `utf8` whatever can be seen.
fn address_text(address: &[u8], utf8: bool) -> String {
    let bounded = address.get(..PATH_BYTES_MAX).unwrap_or(address);
    match str::from_utf8(bounded) {
        Ok(text) if utf8 => text.chars().map(|one| if is_shown(one) { one } else { '?' }).collect(),
        Ok(_) | Err(_) => bounded.iter().map(|&byte| printable(byte)).collect(),
    }
}

/// Whether `one` stays on its line and where it was put: no control character, no space but the
/// plain one, and nothing that turns the direction of the text around it.
fn is_shown(one: char) -> bool {
    let turns =
        matches!(one, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    one == ' ' || !(one.is_control() || one.is_whitespace() || turns)
}

/// `name` as a word that stays on its line.
fn host_name(name: &str) -> String {
    name.chars().filter(char::is_ascii_graphic).take(DOMAIN_BYTES_MAX).collect()
}
