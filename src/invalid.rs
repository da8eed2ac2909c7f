//! Why what a person wrote is not taken: one type for all values that are read from text.

use std::fmt;

/// Why a text is not a value, and what would be one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// What is wrong, as a clause: `"x" is not a domain name`.
    pub what: String,
    /// What would be right, as an imperative: `write …`.
    pub remedy: String,
}

impl Invalid {
    /// With `what` and `remedy` as the fields say.
    pub fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what: what.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.what, self.remedy)
    }
}

impl std::error::Error for Invalid {}

/// Reads each text of `good`, which must be printed as its partner and read back from that, and
/// sees each text of `bad` refused with a reason and a remedy.
#[cfg(test)]
pub(crate) fn check<T: std::str::FromStr<Err = Invalid> + fmt::Display + PartialEq + fmt::Debug>(
    good: &[(&str, &str)],
    bad: &[&str],
) {
    for (text, printed) in good {
        let value: T = text.parse().expect(text);
        assert_eq!(value.to_string(), *printed);
        assert_eq!(printed.parse::<T>().expect(printed), value);
    }
    for text in bad {
        let invalid = text.parse::<T>().expect_err(text);
        assert!(!invalid.what.is_empty() && !invalid.remedy.is_empty());
    }
}
