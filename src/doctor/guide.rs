//! The tables of `tuning/README.md` and the settings of `tuning/sysctl.d`, printed from the table.
//! A test fails when they differ; with `RINGPOST_BLESS=1` it rewrites them.

use std::env;
use std::fs;
use std::path::PathBuf;

use super::fill;
use super::remedy;
use super::table::{Remedy, Section, Setting, Wanted, Weight, Worth, settings};

const END: &str = "<!-- end of table -->";
const HEADER: &str = "| what | wanted | why | what it is worth | do | undo |\n\
                      | --- | --- | --- | --- | --- | --- |\n";

/// The rows of `section`.
fn table(section: Section) -> String {
    let entries = settings().filter(|setting| setting.section == section);
    entries.fold(HEADER.to_owned(), |table, setting| table + &row(setting))
}

fn row(setting: &Setting) -> String {
    let weight = match setting.weight {
        Weight::Required => "required",
        Weight::Advice => "advice",
        Weight::Note => "note",
    };
    let worth: Vec<String> = setting.worth.iter().map(worth).collect();
    let cells = [
        format!("{} (`{}`, *{weight}*)", setting.title, setting.id),
        setting.wanted.in_words(None),
        setting.why.to_owned(),
        worth.join("; "),
        action(setting),
        placeholders(setting.undo),
    ];
    // A bar would end the cell.
    let cells = cells.map(|cell| cell.replace('|', "\\|"));
    format!("| {} |\n", cells.join(" | "))
}

fn worth(worth: &Worth) -> String {
    match worth {
        Worth::Measured { command, result } => format!("{result} (`{}`)", placeholders(command)),
        Worth::Source { name, place } => format!("*{name}*: {place}"),
    }
}

/// What mends it, a command as code.
fn action(setting: &Setting) -> String {
    let text = placeholders(&remedy(setting, &setting.wanted.fixed()));
    match setting.apply {
        Remedy::Sysctl | Remedy::SysctlIfThere | Remedy::Command(_) => format!("`{text}`"),
        Remedy::MountOption(_)
        | Remedy::UnitDirective(_)
        | Remedy::BootParameter(_)
        | Remedy::Configuration(_)
        | Remedy::Advice(_) => text,
    }
}

/// `{items}` as `ITEMS`.
fn placeholders(text: &str) -> String {
    fill(text, |word| {
        let is_word = !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase());
        is_word.then(|| word.to_uppercase())
    })
}

/// `guide` with its tables as they should be.
fn with_tables(guide: &str) -> String {
    let mut result = guide.to_owned();
    for section in Section::ALL {
        let begin = format!("<!-- table: {} -->\n", section.id());
        let (before, rest) = result.split_once(&begin).unwrap_or_else(|| panic!("no {begin}"));
        let (_, behind) = rest.split_once(END).unwrap_or_else(|| panic!("no {END} behind {begin}"));
        result = format!("{before}{begin}{}{END}{behind}", table(section));
    }
    result
}

/// A line of `sysctl.d` as `tuning/apply` reads it: name, value, whether more is as good, whether
/// the kernel need not have it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    name: String,
    value: String,
    at_least: bool,
    optional: bool,
}

fn lines_of_table() -> Vec<Line> {
    let mut lines: Vec<Line> = settings()
        .filter_map(|setting| {
            let optional = match setting.apply {
                Remedy::Sysctl => false,
                Remedy::SysctlIfThere => true,
                Remedy::Command(_)
                | Remedy::MountOption(_)
                | Remedy::UnitDirective(_)
                | Remedy::BootParameter(_)
                | Remedy::Configuration(_)
                | Remedy::Advice(_) => return None,
            };
            Some(Line {
                name: setting.id.to_owned(),
                value: setting.wanted.fixed(),
                at_least: matches!(setting.wanted, Wanted::AtLeast(_) | Wanted::Spans(..)),
                optional,
            })
        })
        .collect();
    lines.sort();
    lines
}

fn lines_of_file(text: &str) -> Vec<Line> {
    let mut at_least = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        if line == "#: at least" {
            at_least = true;
        } else if !line.is_empty() && !line.starts_with('#') {
            let (name, value) = line.split_once('=').unwrap_or_else(|| panic!("no value: {line}"));
            let name = name.trim();
            lines.push(Line {
                name: name.trim_start_matches('-').to_owned(),
                value: value.trim().to_owned(),
                at_least,
                optional: name.starts_with('-'),
            });
            at_least = false;
        }
    }
    lines.sort();
    lines
}

fn project_file(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
fn the_tables_of_the_guide_are_those_of_the_doctor() {
    let path = project_file("tuning/README.md");
    let guide = fs::read_to_string(&path).unwrap();
    let expected = with_tables(&guide);
    if env::var_os("RINGPOST_BLESS").is_some() {
        fs::write(&path, expected).unwrap();
        return;
    }
    let first = guide.lines().zip(expected.lines()).find(|(is, should)| is != should);
    assert!(
        guide == expected,
        "tuning/README.md differs from src/doctor/table, first in\n{first:?}\n\
         RINGPOST_BLESS=1 cargo nextest run the_tables_of_the_guide rewrites it"
    );
}

/// The comments there are for whoever reads the file alone; what counts is compared.
#[test]
fn the_settings_for_sysctl_are_those_of_the_doctor() {
    let file = fs::read_to_string(project_file("tuning/sysctl.d/90-ringpost.conf")).unwrap();
    assert_eq!(lines_of_file(&file), lines_of_table());
}

#[test]
fn a_setting_of_sysctl_is_named_after_it_and_so_is_its_remedy() {
    use super::table::Probe;
    for setting in settings() {
        let is_sysctl = matches!(setting.apply, Remedy::Sysctl | Remedy::SysctlIfThere);
        if is_sysctl {
            assert_eq!(setting.probe, Probe::Sysctl(setting.id), "{}", setting.id);
        }
    }
}

#[test]
fn every_entry_is_complete() {
    let mut ids = std::collections::BTreeSet::new();
    let mut last = Section::Kernel;
    for setting in settings() {
        let id = setting.id;
        assert!(ids.insert(id), "{id} is there twice");
        assert!(setting.section >= last, "{id} is not in the order of the guide");
        last = setting.section;
        assert!(!setting.worth.is_empty(), "{id} says not how one knows");
        assert!(setting.why.ends_with('.') && !setting.title.ends_with('.'), "{id}");
        for text in [setting.title, setting.why, setting.undo, &setting.wanted.fixed()] {
            assert!(!text.is_empty() && !text.contains('\n'), "{id}: {text:?}");
        }
        let known = ["items", "wanted", "spool", "mount", "shards"];
        fill(&remedy(setting, ""), |word| {
            assert!(known.contains(&word), "{id}: {{{word}}} stands for nothing");
            None
        });
    }
    assert!(Section::ALL.iter().all(|section| settings().any(|one| one.section == *section)));
}
