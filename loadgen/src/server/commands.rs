//! The commands, one by one.

use super::{
    COMMAND_LINE_BYTES_MAX, Chunks, Phase, RECIPIENTS_MAX, ServerSession, Surroundings, replies,
};
use crate::accounts::recipient_hash;
use crate::behaviour::{DropAt, Point, ReplyText};
use crate::content::Framing;
use crate::tls::TlsMode;

/// What AUTH comes to (RFC 4954 §6).
const WELCOME: &[u8] = b"235 2.7.0 Welcome";

impl ServerSession {
    /// Takes a command line, or a part of one; how many bytes.
    pub(super) fn take_command_bytes(
        &mut self,
        around: &mut Surroundings<'_>,
        input: &[u8],
        out: &mut Vec<u8>,
    ) -> usize {
        let end = memchr::memchr(b'\n', input);
        let taken = end.map_or(input.len(), |end| end + 1);
        let piece = &input[..taken];
        if self.phase != Phase::LongLine && self.partial.len() + taken > COMMAND_LINE_BYTES_MAX {
            self.phase = Phase::LongLine;
            self.partial.clear();
        }
        match (self.phase, end) {
            (Phase::LongLine, Some(_)) => {
                self.phase = Phase::Command;
                out.extend_from_slice(b"500 5.5.2 Line too long\r\n");
            }
            (Phase::LongLine, None) => {}
            (_, None) => self.partial.extend_from_slice(piece),
            (_, Some(_)) if self.partial.is_empty() => self.handle_line(around, piece, out),
            (_, Some(_)) => {
                let mut line = std::mem::take(&mut self.partial);
                line.extend_from_slice(piece);
                self.handle_line(around, &line, out);
                line.clear();
                self.partial = line;
            }
        }
        taken
    }

    fn handle_line(&mut self, around: &mut Surroundings<'_>, line: &[u8], out: &mut Vec<u8>) {
        match self.phase {
            // RFC 4954 §4: the client gives up.
            Phase::Login { .. } if line.trim_ascii_end() == b"*" => {
                self.phase = Phase::Command;
                out.extend_from_slice(b"501 5.0.0 Login given up\r\n");
            }
            Phase::Login { lines: 0 | 1 } => {
                self.phase = Phase::Command;
                replies::write(&around.listening.behaviour, &[WELCOME], out);
            }
            Phase::Login { lines } => {
                self.phase = Phase::Login { lines: lines - 1 };
                // "Password:" (the only prompts that all clients of LOGIN know).
                out.extend_from_slice(b"334 UGFzc3dvcmQ6\r\n");
            }
            Phase::Command
            | Phase::LongLine
            | Phase::Content
            | Phase::Chunk { .. }
            | Phase::StartTls
            | Phase::Closed => self.handle_command(around, line.trim_ascii_end(), out),
        }
    }

    fn handle_command(&mut self, around: &mut Surroundings<'_>, line: &[u8], out: &mut Vec<u8>) {
        let listening = around.listening;
        let behaviour = &listening.behaviour;
        let verb_end = memchr::memchr(b' ', line).unwrap_or(line.len());
        let (verb, arguments) = line.split_at(verb_end);
        let is = |name: &[u8]| verb.eq_ignore_ascii_case(name);
        if is(b"QUIT") {
            self.handle_plain(around, Point::Quit, b"221 2.0.0 Bye", out);
            self.phase = Phase::Closed;
        } else if self.is_unwelcome {
            out.extend_from_slice(b"503 5.5.1 Nothing but QUIT is welcome\r\n");
        } else if is(b"MAIL") {
            self.handle_mail(around, line, out);
        } else if is(b"RCPT") {
            self.handle_recipient(around, line, out);
        } else if is(b"DATA") {
            self.handle_data(around, out);
        } else if is(b"BDAT") && behaviour.offers.chunking {
            self.handle_chunk(around, arguments.trim_ascii(), out);
        } else if is(b"EHLO") || is(b"HELO") {
            self.handle_hello(around, is(b"EHLO"), out);
        } else if is(b"RSET") {
            if self.handle_plain(around, Point::Other, b"250 2.0.0 Ok", out) {
                self.forget_transaction();
            }
        } else if is(b"NOOP") {
            self.handle_plain(around, Point::Other, b"250 2.0.0 Ok", out);
        } else if is(b"VRFY") {
            self.handle_plain(around, Point::Other, b"252 2.0.0 Send mail and see", out);
        } else if is(b"STARTTLS") && behaviour.tls == TlsMode::Starttls && !self.is_protected {
            if self.handle_plain(around, Point::Starttls, b"220 2.0.0 Go ahead", out) {
                self.phase = Phase::StartTls;
            }
        } else if is(b"AUTH") && behaviour.offers.auth {
            self.handle_auth(around, arguments, out);
        } else {
            out.extend_from_slice(b"500 5.5.2 Command not known\r\n");
        }
    }

    /// Gives `reply`, unless the behaviour has a refusal; whether it was given.
    fn handle_plain(
        &mut self,
        around: &mut Surroundings<'_>,
        point: Point,
        reply: &[u8],
        out: &mut Vec<u8>,
    ) -> bool {
        let behaviour = &around.listening.behaviour;
        let refusal = self.refusal(around, behaviour, point, b"");
        match refusal {
            Some(refusal) => self.refuse(around, point, refusal, out),
            None => replies::write(behaviour, &[reply], out),
        }
        self.hold_back(around, behaviour, point);
        refusal.is_none()
    }

    fn handle_hello(
        &mut self,
        around: &mut Surroundings<'_>,
        is_extended: bool,
        out: &mut Vec<u8>,
    ) {
        self.forget_transaction();
        let behaviour = &around.listening.behaviour;
        match self.refusal(around, behaviour, Point::Ehlo, b"") {
            Some(refusal) => self.refuse(around, Point::Ehlo, refusal, out),
            None if is_extended => {
                let offers_tls = behaviour.tls == TlsMode::Starttls && !self.is_protected;
                replies::write_offer(behaviour, offers_tls, out);
            }
            None => replies::write(behaviour, &[b"250 ", behaviour.name.as_bytes()], out),
        }
        self.hold_back(around, behaviour, Point::Ehlo);
    }

    /// Every name and password is right; what is counted is the dialogue (RFC 4954 §4).
    fn handle_auth(&mut self, around: &mut Surroundings<'_>, arguments: &[u8], out: &mut Vec<u8>) {
        let behaviour = &around.listening.behaviour;
        self.hold_back(around, behaviour, Point::Auth);
        if let Some(refusal) = self.refusal(around, behaviour, Point::Auth, b"") {
            self.refuse(around, Point::Auth, refusal, out);
            return;
        }
        let mut words = arguments.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
        let mechanism = words.next().unwrap_or_default();
        let has_initial = words.next().is_some();
        let is_plain = mechanism.eq_ignore_ascii_case(b"PLAIN");
        if !is_plain && !mechanism.eq_ignore_ascii_case(b"LOGIN") {
            out.extend_from_slice(b"504 5.5.4 Mechanism not known\r\n");
        } else if is_plain && has_initial {
            replies::write(behaviour, &[WELCOME], out);
        } else if is_plain {
            self.phase = Phase::Login { lines: 1 };
            out.extend_from_slice(b"334 \r\n");
        } else if has_initial {
            self.phase = Phase::Login { lines: 1 };
            out.extend_from_slice(b"334 UGFzc3dvcmQ6\r\n");
        } else {
            self.phase = Phase::Login { lines: 2 };
            out.extend_from_slice(b"334 VXNlcm5hbWU6\r\n");
        }
    }

    fn handle_mail(&mut self, around: &mut Surroundings<'_>, line: &[u8], out: &mut Vec<u8>) {
        if self.has_sender {
            // RFC 5321 §4.1.4: one transaction at a time.
            out.extend_from_slice(b"503 5.5.1 A transaction is open\r\n");
            return;
        }
        self.forget_transaction();
        let behaviour = &around.listening.behaviour;
        let fault = parameter_fault(around, line);
        match fault.as_ref().or_else(|| self.refusal(around, behaviour, Point::Mail, b"")) {
            Some(refusal) => self.refuse(around, Point::Mail, refusal, out),
            None => {
                self.has_sender = true;
                if around.greylist.is_some() {
                    self.sender.clear();
                    self.sender.extend_from_slice(path(line));
                }
                self.keep_envelope(around, line);
                replies::write(behaviour, &[b"250 2.1.0 Ok"], out);
            }
        }
        self.hold_back(around, behaviour, Point::Mail);
    }

    fn handle_recipient(&mut self, around: &mut Surroundings<'_>, line: &[u8], out: &mut Vec<u8>) {
        if !self.has_sender || self.chunks != Chunks::None {
            out.extend_from_slice(b"503 5.5.1 MAIL comes first\r\n");
            return;
        }
        if self.recipients.len() >= RECIPIENTS_MAX {
            // RFC 5321 §4.5.3.1.10.
            out.extend_from_slice(b"452 4.5.3 Too many recipients\r\n");
            return;
        }
        let address = path(line);
        let at = memchr::memrchr(b'@', address).unwrap_or(address.len());
        let (local_part, domain) = (&address[..at], address.get(at + 1..).unwrap_or_default());
        let listening = around.listening;
        let rule = listening.rule_of(domain);
        let behaviour = listening.behaviour_of(rule);
        let place = around.tally.domain(domain);
        let greylisted =
            ReplyText { code: 451, lines: vec!["4.7.1 Greylisted, try later".to_owned()] };
        let is_new = behaviour.greylist.is_some_and(|wait| {
            let triplet = (around.client, &self.sender[..], address);
            around.greylist.is_some_and(|(greylist, now)| match greylist.lock() {
                Ok(mut greylist) => !greylist.passes(triplet, wait, now),
                Err(_) => false,
            })
        });
        let refusal = match self.refusal(around, behaviour, Point::Rcpt, local_part) {
            None if is_new => Some(&greylisted),
            refusal => refusal,
        };
        match refusal {
            Some(refusal) => {
                around.tally.note_recipient(place, false);
                self.refuse(around, Point::Rcpt, refusal, out);
            }
            None => {
                self.rules_agree &= self.recipients.is_empty() || self.rule == rule;
                self.rule = rule;
                self.recipients.push(recipient_hash(address));
                self.domains.push(place);
                self.keep_envelope(around, line);
                replies::write(behaviour, &[b"250 2.1.5 Ok"], out);
            }
        }
        self.hold_back(around, behaviour, Point::Rcpt);
    }

    fn handle_data(&mut self, around: &mut Surroundings<'_>, out: &mut Vec<u8>) {
        // RFC 3030 §2: DATA and BDAT do not mix.
        let has_sender = self.has_sender && self.chunks == Chunks::None;
        if !has_sender || self.recipients.is_empty() {
            let reply: &[u8] = if has_sender {
                b"554 5.5.1 No valid recipients\r\n"
            } else {
                b"503 5.5.1 MAIL comes first\r\n"
            };
            out.extend_from_slice(reply);
            return;
        }
        let behaviour = self.behaviour(around);
        if let Some(refusal) = self.refusal(around, behaviour, Point::Data, b"") {
            self.refuse(around, Point::Data, refusal, out);
        } else {
            self.begin_content(around, Framing::Data);
            if self.drop.is_some_and(|drop| drop.at == DropAt::Before) {
                self.leave(around);
                return;
            }
            self.phase = Phase::Content;
            replies::write(behaviour, &[b"354 End data with <CR><LF>.<CR><LF>"], out);
        }
        self.hold_back(around, behaviour, Point::Data);
    }

    /// BDAT (RFC 3030 §2): the size, and whether it is the last.
    fn handle_chunk(&mut self, around: &mut Surroundings<'_>, arguments: &[u8], out: &mut Vec<u8>) {
        let mut words = arguments.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
        let size = words.next().and_then(|word| std::str::from_utf8(word).ok()?.parse().ok());
        let is_last = words.next().is_some_and(|word| word.eq_ignore_ascii_case(b"LAST"));
        let Some(left) = size else {
            // What follows cannot be told from commands.
            out.extend_from_slice(b"501 5.5.4 BDAT SIZE [LAST]\r\n");
            self.phase = Phase::Closed;
            return;
        };
        if !self.has_sender || self.recipients.is_empty() {
            self.chunks = Chunks::Spoilt;
        }
        if self.chunks == Chunks::None {
            self.chunks = Chunks::Open;
            self.begin_content(around, Framing::Bdat);
            if self.drop.is_some_and(|drop| drop.at == DropAt::Before) {
                self.leave(around);
                return;
            }
        }
        let is_refused = self.chunks == Chunks::Spoilt;
        self.phase = Phase::Chunk { left, is_last, is_refused };
    }

    fn keep_envelope(&mut self, around: &Surroundings<'_>, line: &[u8]) {
        if around.keep {
            self.envelope.extend_from_slice(line);
            self.envelope.push(b'\n');
        }
    }
}

/// The address between angle brackets.
fn path(line: &[u8]) -> &[u8] {
    let from = memchr::memchr(b'<', line).map_or(line.len(), |at| at + 1);
    &line[from..from + path_length(&line[from..])]
}

/// Up to the bracket that closes, which is none in a quoted local part (RFC 5321 §4.1.2).
fn path_length(inside: &[u8]) -> usize {
    let mut at = memchr::memchr2(b'>', b'"', inside).unwrap_or(inside.len());
    let mut is_quoted = false;
    while let Some(byte) = inside.get(at) {
        match byte {
            b'>' if !is_quoted => return at,
            b'"' => is_quoted = !is_quoted,
            b'\\' if is_quoted => at += 1,
            _ => {}
        }
        at += 1;
    }
    inside.len()
}

/// What MAIL asks for that is not offered, or too much (RFC 1870 §6.1, RFC 5321 §4.1.1.11).
fn parameter_fault(around: &Surroundings<'_>, line: &[u8]) -> Option<ReplyText> {
    let behaviour = &around.listening.behaviour;
    let begin = memchr::memchr(b'<', line)? + 1;
    let end = begin + path_length(&line[begin..]);
    let fault = |code, text: &str| Some(ReplyText { code, lines: vec![text.to_owned()] });
    let parameters = line.get(end + 1..).unwrap_or_default();
    for word in parameters.split(|byte| *byte == b' ').filter(|word| !word.is_empty()) {
        let name_end = memchr::memchr(b'=', word).unwrap_or(word.len());
        let (name, value) = (&word[..name_end], word.get(name_end + 1..).unwrap_or_default());
        let is = |keyword: &[u8]| name.eq_ignore_ascii_case(keyword);
        if is(b"SIZE") {
            let size = std::str::from_utf8(value).ok().and_then(|text| text.parse::<u64>().ok());
            let Some(size) = size else {
                return fault(501, "5.5.4 SIZE=BYTES");
            };
            if behaviour.size_max_bytes.is_some_and(|size_max| size > size_max) {
                return fault(552, "5.3.4 Too big");
            }
        } else if (is(b"SMTPUTF8") && !behaviour.offers.smtputf8)
            || (is(b"BODY") && !behaviour.offers.eight_bit_mime)
            // RFC 3030 §3: it is an extension of its own.
            || (is(b"BODY") && value.eq_ignore_ascii_case(b"BINARYMIME"))
        {
            return fault(555, "5.5.4 That was not offered");
        }
    }
    None
}
