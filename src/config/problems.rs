//! What is wrong with a configuration, gathered so that it can be mended in one go.
//!
//! # Guarantees
//! Every problem names the file, the line where there is one, the key, what is wrong and what would
//! be right, on one line. Problems are told in the order of the file.
//!
//! # Bounds
//! [`CONFIG_PROBLEM_COUNT_MAX`]; how many more there were is said.

use std::fmt;
use std::ops::Range;

use crate::limits::CONFIG_PROBLEM_COUNT_MAX;

use crate::invalid::Invalid;

/// A configuration file as text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'a> {
    /// What the file is called in messages.
    pub(super) name: &'a str,
    /// Its content.
    pub(super) text: &'a str,
}

impl Source<'_> {
    /// The line of the byte at `offset`, counted from 1.
    pub(super) fn line(&self, offset: usize) -> usize {
        let before = self.text.as_bytes().get(..offset).unwrap_or(self.text.as_bytes());
        1 + memchr::memchr_iter(b'\n', before).count()
    }
}

/// The way from the root of the file to a key: names of tables, places in lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct KeyPath(Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Name(String),
    Place(usize),
}

impl KeyPath {
    /// The key `name` in the root.
    pub(super) fn new(name: &str) -> Self {
        Self::default().key(name)
    }

    /// The key `name` in the table that is here.
    pub(super) fn key(&self, name: &str) -> Self {
        self.with(Step::Name(name.to_owned()))
    }

    /// The element at `index` of the list that is here.
    pub(super) fn place(&self, index: usize) -> Self {
        self.with(Step::Place(index))
    }

    fn with(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }

    /// Whether `other` is this key or lies inside it.
    fn holds(&self, other: &Self) -> bool {
        other.0.starts_with(&self.0)
    }
}

/// The names, without the places in lists: the line tells which one is meant.
impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.0.iter().filter_map(|step| match step {
            Step::Name(name) => Some(name),
            Step::Place(_) => None,
        });
        for (index, name) in names.enumerate() {
            if index > 0 {
                f.write_str(".")?;
            }
            // A key with odd bytes is written as TOML would write it, and stays on its line.
            let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
            if !name.is_empty() && name.chars().all(bare) {
                f.write_str(name)?;
            } else {
                write!(f, "{name:?}")?;
            }
        }
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Problem {
    line: Option<usize>,
    key: KeyPath,
    invalid: Invalid,
}

/// Gathers problems while a configuration is read.
#[derive(Debug)]
pub(super) struct Problems<'a> {
    source: Source<'a>,
    /// The first line that is not TOML. What the parser made of the rest is a guess.
    broken_line: Option<usize>,
    list: Vec<Problem>,
    untold: usize,
}

impl<'a> Problems<'a> {
    /// None yet.
    pub(super) const fn new(source: Source<'a>) -> Self {
        Self { source, broken_line: None, list: Vec::new(), untold: 0 }
    }

    /// Notes that what stands at `span` is not TOML. To be called before all other problems are
    /// noted: of these, only the ones in front of the first such place are true for certain.
    pub(super) fn note_syntax(&mut self, span: Option<&Range<usize>>, invalid: Invalid) {
        let line = span.map(|span| self.source.line(span.start));
        self.push(Problem { line, key: KeyPath::default(), invalid });
        let line = line.unwrap_or(1);
        self.broken_line = Some(self.broken_line.map_or(line, |first| first.min(line)));
    }

    /// Notes that `key`, written at `span` if it is written at all, is `invalid`.
    pub(super) fn note(&mut self, key: KeyPath, span: Option<&Range<usize>>, invalid: Invalid) {
        let line = span.map(|span| self.source.line(span.start));
        let is_certain = match (self.broken_line, line) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(broken), Some(line)) => line < broken,
        };
        if is_certain {
            self.push(Problem { line, key, invalid });
        }
    }

    fn push(&mut self, problem: Problem) {
        if self.list.len() < CONFIG_PROBLEM_COUNT_MAX {
            self.list.push(problem);
        } else {
            self.untold += 1;
        }
    }

    /// Notes that a key that must be there is not, unless it was there with a problem of its own.
    pub(super) fn note_missing(&mut self, key: KeyPath, span: Option<&Range<usize>>, remedy: &str) {
        let is_certain = self.broken_line.is_none();
        if is_certain && !self.are_in(&key) {
            self.note(key, span, Invalid::new("is missing", remedy));
        }
    }

    /// Whether anything was noted about `key` or what lies inside it.
    pub(super) fn are_in(&self, key: &KeyPath) -> bool {
        self.list.iter().any(|problem| key.holds(&problem.key))
    }

    /// Everything that was noted, as an error; `Ok` if that is nothing.
    pub(super) fn into_result(mut self) -> Result<(), ConfigError> {
        if self.list.is_empty() {
            return Ok(());
        }
        // What stands nowhere in the file comes first.
        self.list.sort_by_key(|problem| problem.line);
        let lines = self.list.iter().map(|problem| {
            let mut line = self.source.name.to_owned();
            if let Some(number) = problem.line {
                line.push_str(&format!(":{number}"));
            }
            if !problem.key.0.is_empty() {
                line.push_str(&format!(": {}", problem.key));
            }
            // Syntax errors may quote a line break.
            format!("{line}: {}", problem.invalid).replace(['\n', '\r'], " ")
        });
        Err(ConfigError { lines: lines.collect(), untold: self.untold })
    }
}

/// Everything that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    lines: Vec<String>,
    untold: usize,
}

impl ConfigError {
    /// One problem that concerns the whole file.
    pub(super) fn of_file(name: &str, what: &str, remedy: &str) -> Self {
        Self { lines: vec![format!("{name}: {what}; {remedy}")], untold: 0 }
    }

    /// The problems, one a line: file, line, key, what is wrong, what would be right.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines.join("\n"))?;
        if self.untold > 0 {
            write!(f, "\nand {} more", self.untold)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// What to do about the unknown key `name` where the keys `known` are allowed.
pub(super) fn unknown_key(name: &str, known: &[&str]) -> Invalid {
    let nearest = known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .min_by_key(|(distance, _)| *distance)
        // Further away, it is another word and not a slip of the finger.
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 4);
    let remedy = match nearest {
        Some((_, candidate)) => format!("did you mean {candidate:?}?"),
        None => format!("the keys here are {}", known.join(", ")),
    };
    Invalid::new("is not a known key", remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_recognised_and_another_word_is_not() {
        let known = ["port", "retry_first_s", "retry_max_s"];
        assert_eq!(unknown_key("prot", &known).remedy, "did you mean \"port\"?");
        assert_eq!(unknown_key("retry_first", &known).remedy, "did you mean \"retry_first_s\"?");
        assert_eq!(
            unknown_key("colour", &known).remedy,
            format!("the keys here are {}", known.join(", "))
        );
    }

    #[test]
    fn problems_come_in_the_order_of_the_file_and_are_bounded() {
        let text = "\n".repeat(500);
        let mut problems = Problems::new(Source { name: "f", text: &text });
        for offset in (0..CONFIG_PROBLEM_COUNT_MAX + 5).rev() {
            let span = offset..offset + 1;
            problems.note(KeyPath::new("k"), Some(&span), Invalid::new("is odd", "mend it"));
        }
        let error = problems.into_result().expect_err("there are problems");
        assert_eq!(error.lines().len(), CONFIG_PROBLEM_COUNT_MAX);
        assert_eq!(error.lines()[0], "f:6: k: is odd; mend it");
        assert!(error.to_string().ends_with("\nand 5 more"));
    }

    #[test]
    fn what_is_there_but_wrong_is_not_missing_as_well() {
        let mut problems = Problems::new(Source { name: "f", text: "" });
        let list = KeyPath::new("route").place(0).key("domains");
        problems.note(list.place(1), None, Invalid::new("is odd", "mend it"));
        problems.note_missing(list, None, "add it");
        assert_eq!(problems.list.len(), 1);
        problems.note_missing(KeyPath::new("route").place(1).key("domains"), None, "add it");
        assert_eq!(problems.list.len(), 2);
    }
}
