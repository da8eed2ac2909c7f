//! The diagnosis for people and for programs.

use std::io::{self, Write};

use serde::Serialize;

use super::found::{Found, Item};
use super::table::{Section, Weight, Worth};
use super::{Diagnosis, Finding, Verdict};

/// How a [`Diagnosis`] is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// For people: what deserves attention, or all of it.
    Text {
        /// Also what is as wanted and what could not be looked at.
        all: bool,
    },
    /// For programs: an array with an object for each entry of the table.
    Json,
}

const COLUMNS: usize = 100;

/// A finding for programs. Each name here is kept.
#[derive(Debug, Serialize)]
struct Object {
    id: &'static str,
    section: &'static str,
    title: &'static str,
    /// `well`, `required`, `advice`, `note`, `not here`, `cannot tell`.
    verdict: &'static str,
    found: String,
    wanted: String,
    why: &'static str,
    worth: Vec<String>,
    command: String,
    undo: String,
}

impl Diagnosis {
    /// Writes it in `form`.
    ///
    /// # Errors
    /// What `out` says.
    pub fn write(&self, form: Form, out: &mut impl Write) -> io::Result<()> {
        match form {
            Form::Json => {
                let objects: Vec<Object> =
                    self.findings.iter().map(|finding| self.object(finding)).collect();
                serde_json::to_writer_pretty(&mut *out, &objects)?;
                writeln!(out)
            }
            Form::Text { all } => self.write_text(all, out),
        }
    }

    fn object(&self, finding: &Finding) -> Object {
        let setting = finding.setting;
        Object {
            id: setting.id,
            section: setting.section.id(),
            title: setting.title,
            verdict: finding.verdict.name(),
            found: finding.found_text(),
            wanted: setting.wanted.in_words(Some(&self.host)),
            why: setting.why,
            worth: setting
                .worth
                .iter()
                .map(|worth| finding.filled(&worth.to_string(), &self.host))
                .collect(),
            command: finding.remedy(&self.host),
            undo: finding.filled(setting.undo, &self.host),
        }
    }

    fn write_text(&self, all: bool, out: &mut impl Write) -> io::Result<()> {
        let is_shown = |finding: &&Finding| all || matches!(finding.verdict, Verdict::Ill(_));
        let mut section: Option<Section> = None;
        for finding in self.findings.iter().filter(is_shown) {
            if section != Some(finding.setting.section) {
                let between = if section.is_some() { "\n" } else { "" };
                writeln!(out, "{between}{}", finding.setting.section.title())?;
                section = Some(finding.setting.section);
            }
            self.write_finding(finding, out)?;
        }
        let between = if section.is_some() { "\n" } else { "" };
        writeln!(out, "{between}{}", self.summary(all))
    }

    fn write_finding(&self, finding: &Finding, out: &mut impl Write) -> io::Result<()> {
        let setting = finding.setting;
        let mark = finding.verdict.name();
        writeln!(out, "  {mark:<11} {} ({})", setting.title, setting.id)?;
        let mut line = |name: &str, text: &str| {
            let first = format!("  {:<11} {name:<7} ", "");
            write_wrapped(&first, text, out)
        };
        line("found", &finding.found_text())?;
        line("wanted", &setting.wanted.in_words(Some(&self.host)))?;
        if matches!(finding.verdict, Verdict::Ill(_)) {
            line("why", setting.why)?;
            line("do", &finding.remedy(&self.host))?;
        }
        Ok(())
    }

    fn summary(&self, all: bool) -> String {
        let count = |of: &dyn Fn(Verdict) -> bool| {
            self.findings.iter().filter(|finding| of(finding.verdict)).count()
        };
        let well = count(&|verdict| verdict == Verdict::Well);
        let mut parts = vec![format!("{well} of {} as wanted", self.findings.len())];
        let others: [(Verdict, &str); 5] = [
            (Verdict::Ill(Weight::Required), "keep the server from running"),
            (Verdict::Ill(Weight::Advice), "to mend"),
            (Verdict::Ill(Weight::Note), "to note"),
            (Verdict::NotHere, "not on this host"),
            (Verdict::CannotTell, "cannot be told"),
        ];
        for (verdict, text) in others {
            let count = count(&|other| other == verdict);
            if count > 0 {
                parts.push(format!("{count} {text}"));
            }
        }
        let hint = if all { "" } else { " (--all shows everything)" };
        format!("{}{hint}", parts.join(", "))
    }
}

impl Verdict {
    const fn name(self) -> &'static str {
        match self {
            Self::Well => "well",
            Self::Ill(Weight::Required) => "required",
            Self::Ill(Weight::Advice) => "advice",
            Self::Ill(Weight::Note) => "note",
            Self::NotHere => "not here",
            Self::CannotTell => "cannot tell",
        }
    }
}

impl Finding {
    /// What was found, the things of one value together: `0-3: powersave`.
    pub(super) fn found_text(&self) -> String {
        let items = match &self.found {
            Found::Values(items) => items,
            Found::NotHere(reason) | Found::Unknown(reason) => return reason.clone(),
        };
        let groups = items.chunk_by(|one, other| one.value == other.value);
        let texts = groups.filter_map(|group| {
            let value = &group.first()?.value;
            let names: Vec<&str> = group.iter().filter_map(|item| item.of.as_deref()).collect();
            Some(match names.as_slice() {
                [] => value.to_string(),
                [one] => format!("{one}: {value}"),
                [first, .., last] if is_run(group) => format!("{first}-{last}: {value}"),
                many => format!("{}: {value}", many.join(",")),
            })
        });
        texts.collect::<Vec<_>>().join("; ")
    }
}

/// Whether the items are of numbers that follow one another, as CPUs are.
fn is_run(items: &[Item]) -> bool {
    let numbers: Option<Vec<u32>> =
        items.iter().map(|item| item.of.as_deref()?.parse().ok()).collect();
    numbers.is_some_and(|numbers| {
        numbers.windows(2).all(|pair| matches!(pair, [one, next] if one + 1 == *next))
    })
}

impl std::fmt::Display for Worth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Measured { command, result } => write!(f, "{result} (measured: {command})"),
            Self::Source { name, place } => write!(f, "{name}: {place}"),
        }
    }
}

/// Writes `text` behind `first`, its further lines below its first.
fn write_wrapped(first: &str, text: &str, out: &mut impl Write) -> io::Result<()> {
    let indent = first.chars().count();
    write!(out, "{first}")?;
    let mut column = indent;
    for (index, word) in text.split_ascii_whitespace().enumerate() {
        let length = word.chars().count();
        if index > 0 && column + 1 + length > COLUMNS {
            write!(out, "\n{:indent$}", "")?;
            column = indent;
        } else if index > 0 {
            write!(out, " ")?;
            column += 1;
        }
        write!(out, "{word}")?;
        column += length;
    }
    writeln!(out)
}
