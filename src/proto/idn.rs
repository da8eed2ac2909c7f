//! Internationalised addresses (RFC 6531): which domains and which characters may stand in them.
//!
//! # Guarantees
//! A domain that passes means the same to everybody who reads it: it is the normal form that IDNA
//! gives it (RFC 5890 §2.3.2.1). What only looks like another name, or becomes another one when it
//! is mapped (fullwidth letters, an ideographic full stop, characters without width), is refused
//! and never mapped, because another server might map it otherwise.
//!
//! # Bounds
//! The caller bounds the length of what it asks about.

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};

/// Whether every U-label of `domain` is one (RFC 5890 §2.3.2.1): valid, and its own normal form but
/// for the case of ASCII letters. Other labels are those of a host name.
pub fn is_normal(domain: &str) -> bool {
    let (deny, hyphens) = (AsciiDenyList::STD3, Hyphens::CheckFirstLast);
    let Some(ascii) = to_a_labels(domain) else { return false };
    let (normal, sound) = Uts46::new().to_unicode(ascii.as_bytes(), deny, hyphens);
    let is_own_form =
        |(label, normal): (&str, &str)| label.is_ascii() || label.eq_ignore_ascii_case(normal);
    sound.is_ok()
        && domain.split('.').count() == normal.split('.').count()
        && domain.split('.').zip(normal.split('.')).all(is_own_form)
}

/// `domain` with A-labels in place of its U-labels (RFC 5890 §2.3.2.1), if it has such a form.
pub fn to_a_labels(domain: &str) -> Option<String> {
    let (deny, hyphens) = (AsciiDenyList::STD3, Hyphens::CheckFirstLast);
    let ascii = Uts46::new().to_ascii(domain.as_bytes(), deny, hyphens, DnsLength::Verify);
    ascii.ok().map(|ascii| ascii.into_owned())
}

/// Whether `character` may stand in a local part. RFC 6531 §3.3 allows every one beyond ASCII;
/// refused are those that a reader takes for a delimiter, for the end of a line or for nothing at
/// all, and those that turn the order of what stands around them.
pub const fn is_printable(character: char) -> bool {
    !matches!(character,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}'
        // The fullwidth and the small commercial at.
        | '\u{ff20}' | '\u{fe6b}'
        // Separators of lines and paragraphs.
        | '\u{2028}' | '\u{2029}'
        // Without width. The joiners are not among these: words of some languages need them.
        | '\u{200b}' | '\u{2060}' | '\u{feff}' | '\u{ad}'
        // Directions.
        | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        // Copies of ASCII that are not shown.
        | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_in_its_normal_form_is_taken() {
        let good = [
            "bücher.example",
            "Bücher.EXAMPLE",
            "straße.example",
            "例え.テスト",
            "пример.испытание",
            "xn--bcher-kva.bücher.example",
            "نامه\u{200c}ای.example",
        ];
        for domain in good {
            assert!(is_normal(domain), "{domain}");
        }
    }

    #[test]
    fn what_would_be_mapped_is_refused() {
        let bad = [
            ("ｅxample.com", "fullwidth letter"),
            ("bücher。example", "ideographic full stop"),
            ("bücher．example", "fullwidth full stop"),
            ("büch\u{200b}er.example", "zero width space"),
            ("büch\u{ad}er.example", "soft hyphen"),
            ("bu\u{308}cher.example", "decomposed"),
            ("BÜCHER.example", "capital beyond ASCII"),
            ("ü＠evil.example", "fullwidth commercial at"),
            ("a\u{200c}ü.example", "joiner that joins nothing"),
            ("ü_.example", "underscore"),
            ("-ü.example", "hyphen at the beginning"),
            ("ü-.example", "hyphen at the end"),
            ("ü..example", "empty label"),
            ("ü.example.", "dot at the end"),
            ("xn--a.ü.example", "not an A-label"),
            ("ü\u{661}\u{6f1}.example", "mixed digits and directions"),
            ("\u{308}ü.example", "combining mark at the beginning"),
        ];
        for (domain, why) in bad {
            assert!(!is_normal(domain), "{domain}: {why}");
        }
        let long = format!("{}.example", "ü".repeat(60));
        assert!(!is_normal(&long), "an A-label of more than 63 bytes");
    }

    #[test]
    fn what_cannot_be_seen_is_not_printable() {
        for character in "aé例ᄀ😀\u{200c}\u{200d}".chars() {
            assert!(is_printable(character), "{character:?}");
        }
        for character in "\0\n\u{85}\u{200b}\u{202e}\u{2028}＠﹫\u{e0040}\u{feff}".chars() {
            assert!(!is_printable(character), "{character:?}");
        }
    }
}
