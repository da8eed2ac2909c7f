//! What was found of a setting, and whether it is as wanted.

use std::fmt;

use super::host::Host;
use super::table::Wanted;

/// What a probe gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// At least one value.
    Values(Vec<Item>),
    /// There is nothing to look at here, and why.
    NotHere(String),
    /// It cannot be told, and why.
    Unknown(String),
}

/// A value, and of what it is the value where there are several: a CPU, an interface, a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) of: Option<String>,
    pub(super) value: Value,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Number(u64),
    /// Of a limit: there is none.
    Unlimited,
    Text(String),
}

impl Found {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::one(Value::Text(text.into()))
    }

    pub(super) fn number(number: u64) -> Self {
        Self::one(Value::Number(number))
    }

    pub(super) fn one(value: Value) -> Self {
        Self::Values(vec![Item { of: None, value }])
    }

    /// `items`, or why there are none.
    pub(super) fn each(items: Vec<Item>, otherwise: &str) -> Self {
        if items.is_empty() { Self::NotHere(otherwise.to_owned()) } else { Self::Values(items) }
    }
}

impl Item {
    pub(super) fn new(of: impl Into<String>, value: Value) -> Self {
        Self { of: Some(of.into()), value }
    }
}

impl Value {
    /// The meaning of `text` as the kernel prints it: of a choice like `always [madvise] never` the
    /// chosen word, of several numbers the numbers with one space in between.
    pub(super) fn of_file(text: &str) -> Self {
        let chosen = text.split_once('[').and_then(|(_, rest)| Some(rest.split_once(']')?.0));
        let words: Vec<&str> = chosen.unwrap_or(text).split_ascii_whitespace().collect();
        let text = words.join(" ");
        text.parse().map_or(Self::Text(text), Self::Number)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Unlimited => f.write_str("unlimited"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl Wanted {
    /// Whether `value` is as wanted on `host`; nothing if the two cannot be compared.
    pub(super) fn is_met(&self, value: &Value, host: &Host) -> Option<bool> {
        let text = || value.to_string();
        let is_number = |matches: &dyn Fn(u64) -> bool, unlimited: bool| match value {
            Value::Number(number) => Some(matches(*number)),
            Value::Unlimited => Some(unlimited),
            Value::Text(_) => None,
        };
        match *self {
            Self::Is(wanted) => Some(text() == wanted),
            Self::OneOf(wanted) => Some(wanted.contains(&text().as_str())),
            Self::NoneOf(unwanted, _) => Some(!unwanted.contains(&text().as_str())),
            Self::AtLeast(least) => is_number(&|number| number >= least, true),
            Self::AtLeastFor(least, _) => is_number(&|number| number >= least(host), true),
            Self::AtMost(most) => is_number(&|number| number <= most, false),
            Self::Spans(first, last) => {
                let (low, high) = pair(&text())?;
                Some(low <= first && high >= last)
            }
            Self::ReleaseFrom(major, minor) => Some(release(&text())? >= (major, minor)),
        }
    }

    /// What to set, as it is written in a command.
    pub(super) fn to_set(self, host: &Host) -> String {
        if let Self::AtLeastFor(least, _) = self { least(host).to_string() } else { self.fixed() }
    }

    /// The same without a host: where the value depends on it, the rule.
    pub(super) fn fixed(self) -> String {
        match self {
            Self::Is(one) => one.to_owned(),
            Self::OneOf(words) => words.first().copied().unwrap_or_default().to_owned(),
            Self::NoneOf(_, instead) => instead.to_owned(),
            Self::AtLeast(number) | Self::AtMost(number) => number.to_string(),
            Self::AtLeastFor(_, rule) => rule.to_owned(),
            Self::Spans(first, last) => format!("{first} {last}"),
            Self::ReleaseFrom(major, minor) => format!("{major}.{minor}"),
        }
    }

    /// The condition in words; with a host its numbers, without one its rules.
    pub(super) fn in_words(self, host: Option<&Host>) -> String {
        match self {
            Self::Is(_) | Self::NoneOf(..) => self.fixed(),
            Self::OneOf(words) => words.join(" or "),
            Self::AtLeast(_) => format!("at least {}", self.fixed()),
            Self::Spans(first, last) => format!("{first} to {last}, or more"),
            Self::AtMost(0) => "0".to_owned(),
            Self::AtMost(number) => format!("at most {number}"),
            Self::AtLeastFor(least, rule) => match host {
                Some(host) => format!("at least {} ({rule})", least(host)),
                None => format!("at least {rule}"),
            },
            Self::ReleaseFrom(..) => format!("{} or later", self.fixed()),
        }
    }
}

fn pair(text: &str) -> Option<(u64, u64)> {
    let (first, last) = text.split_once(' ')?;
    Some((first.parse().ok()?, last.parse().ok()?))
}

/// The first two numbers of a release like `6.12.9-amd64`.
fn release(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::super::tests::host_below;
    use super::*;

    fn met(wanted: Wanted, text: &str) -> Option<bool> {
        let directory = tempfile::tempdir().unwrap();
        let host = host_below(directory.path(), "");
        wanted.is_met(&Value::of_file(text), &host)
    }

    #[test]
    fn each_kind_of_wanted_value() {
        let cases = [
            (Wanted::Is("0"), "0\n", Some(true)),
            (Wanted::Is("0"), "2\n", Some(false)),
            (Wanted::OneOf(&["1", "2"]), "2", Some(true)),
            (Wanted::OneOf(&["1", "2"]), "0", Some(false)),
            (Wanted::NoneOf(&["hpet"], "tsc"), "tsc", Some(true)),
            (Wanted::NoneOf(&["hpet"], "tsc"), "hpet", Some(false)),
            (Wanted::AtLeast(4_096), "4096", Some(true)),
            (Wanted::AtLeast(4_096), "4095", Some(false)),
            (Wanted::AtLeast(4_096), "many", None),
            (Wanted::AtMost(10), "10", Some(true)),
            (Wanted::AtMost(10), "11", Some(false)),
            (Wanted::AtLeastFor(|host| host.shards() + 1, "one more"), "2", Some(true)),
            (Wanted::AtLeastFor(|host| host.shards() + 1, "one more"), "1", Some(false)),
            (Wanted::Spans(10_240, 65_535), "1024\t65535\n", Some(true)),
            (Wanted::Spans(10_240, 65_535), "32768\t60999\n", Some(false)),
            (Wanted::Spans(10_240, 65_535), "10240\t65000\n", Some(false)),
            (Wanted::ReleaseFrom(6, 1), "6.1.0-9-amd64", Some(true)),
            (Wanted::ReleaseFrom(6, 6), "6.1.0-9-amd64", Some(false)),
            (Wanted::ReleaseFrom(6, 6), "7.0-rc1", Some(true)),
            (Wanted::ReleaseFrom(6, 6), "linux", None),
        ];
        for (wanted, text, expected) in cases {
            assert_eq!(met(wanted, text), expected, "{wanted:?} {text:?}");
        }
    }

    #[test]
    fn values_as_the_kernel_prints_them() {
        assert_eq!(Value::of_file("always [madvise] never\n"), Value::Text("madvise".into()));
        assert_eq!(Value::of_file("[none] mq-deadline\n"), Value::Text("none".into()));
        assert_eq!(Value::of_file("32768\t60999\n").to_string(), "32768 60999");
        assert_eq!(Value::of_file("4294967295\n"), Value::Number(4_294_967_295));
    }

    #[test]
    fn no_limit_is_enough_and_never_little() {
        let directory = tempfile::tempdir().unwrap();
        let host = host_below(directory.path(), "");
        assert_eq!(Wanted::AtLeast(1).is_met(&Value::Unlimited, &host), Some(true));
        assert_eq!(Wanted::AtMost(1).is_met(&Value::Unlimited, &host), Some(false));
    }
}
