//! The page: its head, its sections, and the facts at the beginning of each.

use std::fmt::Write as _;

use super::markup::{Figure, Table, escaped};
use super::units;
use crate::date;
use crate::results::Header;

/// The style sheet, which is part of the page.
const STYLE: &str = include_str!("style.css");

/// An HTML page in the making.
#[derive(Debug)]
pub(super) struct Page {
    body: String,
    /// Plots so far, for ids.
    figures: usize,
}

impl Page {
    /// A page with nothing but its heading.
    pub(super) fn new(title: &str, about: &str) -> Self {
        let body = format!(
            "<header>\n<h1>{}</h1>\n<p>{}</p>\n</header>\n<main>\n",
            escaped(title),
            escaped(about)
        );
        Self { body, figures: 0 }
    }

    /// The heading of a section, and with `about` a line below it.
    pub(super) fn section(&mut self, title: &str, about: &str) {
        let _ = writeln!(self.body, "<h2>{}</h2>", escaped(title));
        self.paragraph(about);
    }

    /// A line of text; an empty one is left out.
    pub(super) fn paragraph(&mut self, text: &str) {
        if !text.is_empty() {
            let _ = writeln!(self.body, "<p>{}</p>", escaped(text));
        }
    }

    /// A few figures that matter most.
    pub(super) fn tiles(&mut self, tiles: &[(&str, String)]) {
        self.body.push_str("<ul class=\"tiles\">\n");
        for (name, figure) in tiles {
            let _ = writeln!(
                self.body,
                "<li><b>{}</b> <span>{}</span></li>",
                escaped(figure),
                escaped(name)
            );
        }
        self.body.push_str("</ul>\n");
    }

    /// Plots beside one another, as far as there is something to draw.
    pub(super) fn figures(&mut self, figures: impl IntoIterator<Item = Option<Figure>>) {
        let mut html = String::new();
        for figure in figures.into_iter().flatten() {
            self.figures += 1;
            html.push_str(&figure.html(&format!("plot{}", self.figures)));
        }
        if !html.is_empty() {
            let _ = writeln!(self.body, "<div class=\"figures\">\n{html}</div>");
        }
    }

    /// A table.
    pub(super) fn table(&mut self, table: &Table) {
        self.body.push_str(&table.html());
    }

    /// A table that shows when it is asked for.
    pub(super) fn folded(&mut self, summary: &str, table: &Table) {
        let _ = writeln!(
            self.body,
            "<details><summary>{}</summary>\n{}</details>",
            escaped(summary),
            table.html()
        );
    }

    /// Where, when and how results were made, after what is special to them.
    pub(super) fn facts(&mut self, header: &Header, special: &[(&str, String)]) {
        let machine = &header.machine;
        let mut facts = special.to_vec();
        facts.push((
            "Machine",
            format!(
                "{} CPUs {}, {} GiB, Linux {}",
                machine.cpus,
                machine.cpu,
                units::figure(units::mebibytes(machine.memory_bytes) / 1_024.0),
                machine.kernel
            ),
        ));
        if let Some(file_system) = &machine.file_system {
            facts.push(("Spool on", file_system.clone()));
        }
        let load = format!("load average {:.2}", machine.load_before);
        facts.push(("Begun", format!("{}, {load}", date::to_the_minute(header.began_unix_s))));
        self.body.push_str("<dl>\n");
        for (name, text) in &facts {
            let _ = writeln!(self.body, "<dt>{}</dt><dd>{}</dd>", escaped(name), escaped(text));
        }
        let command: Vec<String> = header.command.iter().map(|word| quoted(word)).collect();
        let _ = writeln!(
            self.body,
            "<dt>Command</dt><dd><code>loadgen {}</code> (version {})</dd>\n</dl>",
            escaped(&command.join(" ")),
            escaped(&header.loadgen)
        );
    }

    /// The whole of it.
    pub(super) fn finish(self, title: &str) -> String {
        let title = escaped(title);
        let body = self.body;
        // The policy forbids whatever the page does not bring along itself, scripts too.
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta http-equiv=\"Content-Security-Policy\" \
             content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <link rel=\"icon\" href=\"data:,\">\n\
             <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n{body}</main>\n\
             </body>\n</html>\n"
        )
    }
}

/// A word as a shell reads it.
fn quoted(word: &str) -> String {
    let plain =
        |character: char| character.is_ascii_alphanumeric() || "-_./:,=@%+".contains(character);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_can_be_copied_to_a_shell() {
        assert_eq!(quoted("--size=1k-2k"), "--size=1k-2k");
        assert_eq!(quoted("user{n}@x.example"), "'user{n}@x.example'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
