//! Whose results an `Authentication-Results` field tells: its `authserv-id` (RFC 8601 §2.2).

/// Reads the field's value up to the end of the id, one byte after the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct IdReader {
    place: Place,
    /// Comments that are open: they nest (RFC 5322 §3.2.2).
    comments: u32,
    /// Bytes of the id so far, all of which agree with the own name.
    agreed: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Before,
    Comment,
    CommentPair,
    Token,
    Quoted,
    QuotedPair,
}

impl IdReader {
    pub(super) const NEW: Self = Self { place: Place::Before, comments: 0, agreed: 0 };

    /// Takes the next byte of a line. Whether the id is `own`, as soon as that is known; a field
    /// without an id has none that is.
    pub(super) fn read(&mut self, own: &[u8], byte: u8) -> Option<bool> {
        match (self.place, byte) {
            (Place::Before, b' ' | b'\t') => {}
            (Place::Before, b'(') => {
                self.comments = 1;
                self.place = Place::Comment;
            }
            (Place::Before, b'"') => self.place = Place::Quoted,
            (Place::Before, byte) if ends_token(byte) => return Some(false),
            (Place::Before | Place::Token, byte) if !ends_token(byte) => {
                self.place = Place::Token;
                return self.compare(own, byte);
            }
            (Place::Before | Place::Token, _) => return Some(self.agreed == own.len()),
            (Place::Comment, b'\\') => self.place = Place::CommentPair,
            (Place::Comment, b'(') => self.comments = self.comments.saturating_add(1),
            (Place::Comment, b')') => {
                self.comments = self.comments.saturating_sub(1);
                if self.comments == 0 {
                    self.place = Place::Before;
                }
            }
            (Place::Comment, _) => {}
            (Place::CommentPair, _) => self.place = Place::Comment,
            (Place::Quoted, b'"') => return Some(self.agreed == own.len()),
            (Place::Quoted, b'\\') => self.place = Place::QuotedPair,
            (Place::Quoted | Place::QuotedPair, byte) => {
                self.place = Place::Quoted;
                return self.compare(own, byte);
            }
        }
        None
    }

    /// Takes the end of a line, behind which the field may go on with white space.
    pub(super) fn end_line(&self, own: &[u8]) -> Option<bool> {
        (self.place == Place::Token).then_some(self.agreed == own.len())
    }

    /// Whether the id is `own` if the field ends here, be it in the midst of a quoted string.
    pub(super) fn is_own(&self, own: &[u8]) -> bool {
        matches!(self.place, Place::Token | Place::Quoted) && self.agreed == own.len()
    }

    /// RFC 8601 §2.2: names are compared without regard to case.
    fn compare(&mut self, own: &[u8], byte: u8) -> Option<bool> {
        let agrees = own.get(self.agreed).is_some_and(|wanted| wanted.eq_ignore_ascii_case(&byte));
        self.agreed += usize::from(agrees);
        (!agrees).then_some(false)
    }
}

/// What is in no token (RFC 2045 §5.1).
const fn ends_token(byte: u8) -> bool {
    matches!(
        byte,
        0..=b' '
            | 0x7f
            | b'('
            | b')'
            | b'<'
            | b'>'
            | b'@'
            | b','
            | b';'
            | b':'
            | b'\\'
            | b'"'
            | b'/'
            | b'['
            | b']'
            | b'?'
            | b'='
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names_us(value: &str) -> bool {
        let own = b"mx.example.net";
        let mut reader = IdReader::NEW;
        let found = value.bytes().find_map(|byte| reader.read(own, byte));
        found.unwrap_or_else(|| reader.is_own(own))
    }

    #[test]
    fn the_id_is_found_in_whatever_surrounds_it() {
        for value in [
            "mx.example.net; spf=pass",
            " MX.Example.NET",
            " mx.example.net 1; none",
            " mx.example.net/1; none",
            "\tmx.example.net(c); none",
            " (a (nested) \\) comment) (b) mx.example.net;",
            "()mx.example.net;",
            " \"mx.example.net\"; none",
            " \"mx.\\example.net\"",
            " \"mx.example.net",
            "   mx.example.net  ; none",
        ] {
            assert!(names_us(value), "{value}");
        }
        for value in [
            "",
            " ",
            ";",
            " ; mx.example.net",
            " mx.example.net.evil.example; none",
            " mx.example.ne; none",
            " mx.example.nett; none",
            " other.example; mx.example.net",
            " (mx.example.net) other.example; none",
            " (mx.example.net",
            " \"mx.example.net \"; none",
            " \"\"; mx.example.net",
            " mx. example.net",
        ] {
            assert!(!names_us(value), "{value}");
        }
    }
}
