//! Everything that is printed, in one place: results on standard output, complaints and progress on
//! standard error. A reader that went away is no fault.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;

/// Prints `text` and a line end on standard output.
pub(crate) fn say(text: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{text}");
    let _ = out.flush();
}

/// Prints a complaint on standard error.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(io::stderr().lock(), "loadgen: {text}");
}

/// How often a line is written over, and how often one is said where it cannot be.
const SHOWN_EVERY: Duration = Duration::from_millis(500);
const SAID_EVERY: Duration = Duration::from_secs(5);

/// A line that is written over again and again on a terminal.
#[derive(Debug)]
pub(crate) struct ProgressLine {
    shown: bool,
    terminal: bool,
    quiet: bool,
    last: Instant,
}

impl ProgressLine {
    /// A line, which stays away if `quiet` or if nobody looks.
    pub(crate) fn new(quiet: bool) -> Self {
        Self {
            shown: false,
            terminal: !quiet && io::stderr().is_terminal(),
            quiet,
            last: Instant::now(),
        }
    }

    /// Shows `text` instead of what was there.
    pub(crate) fn show(&mut self, text: &str) {
        if self.terminal {
            self.shown = true;
            let _ = write!(io::stderr().lock(), "\r\x1b[2K{text}");
        }
    }
}

impl ProgressLine {
    /// Shows what `text` says on a terminal, or else says it as a line of its own; either only as
    /// often as is good for a reader.
    pub(crate) fn show_or_say(&mut self, text: impl FnOnce() -> Option<String>) {
        let every = if self.terminal { SHOWN_EVERY } else { SAID_EVERY };
        if self.quiet || self.last.elapsed() < every {
            return;
        }
        let Some(text) = text() else {
            return;
        };
        self.last = Instant::now();
        if self.terminal { self.show(&text) } else { complain(&text) }
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        if self.shown {
            let _ = write!(io::stderr().lock(), "\r\x1b[2K");
        }
    }
}

/// For `map_err`: the error of a file, with its name.
pub(crate) fn naming(path: &Path) -> impl Fn(io::Error) -> io::Error + Copy {
    move |error| io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Writes `report` to `path`, `-` being standard output.
///
/// # Errors
/// The file cannot be written; the error names it.
pub(crate) fn write_json(path: &Path, report: &impl Serialize) -> io::Result<()> {
    let text = serde_json::to_string_pretty(report)?;
    if path == Path::new("-") {
        say(&text);
        Ok(())
    } else {
        fs::write(path, text + "\n").map_err(naming(path))
    }
}

/// A number with its thousands apart: `12,345`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A figure without its fraction, its thousands apart.
pub(crate) fn rounded(figure: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the cast saturates"
    )]
    let whole = figure.round() as u64;
    grouped(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
        assert_eq!(rounded(1_999.6), "2,000");
        assert_eq!(rounded(-1.0), "0");
    }
}
