//! Results as one HTML page with plots, for people.
//!
//! The plots are SVG written here rather than by a plotting crate: colours then follow the reader's
//! light or dark mode and text the width of the screen, since both are left to the style sheet, and
//! each plot carries its description. It takes a few hundred lines for two kinds of plots.
//!
//! # Guarantees
//! The page needs nothing but itself: no script, no font, no picture, no network, which its content
//! security policy also forbids. The same results give the same page, byte for byte.
//!
//! # Never
//! Lets text from a result file become markup.
//!
//! # Failures
//! Only writing the file.
//!
//! # Bounds
//! Points of a line (`lines::POINTS_MAX`).

mod axis;
mod bars;
mod bench;
mod curves;
mod lines;
mod markup;
mod page;
mod sink;
mod source;
mod units;

use std::fs;
use std::io;
use std::path::Path;

use crate::console::naming;
use crate::results::AnyResults;
use page::Page;

/// Results with the name that tells them from others on the page.
#[derive(Debug)]
pub(crate) struct Named<'a> {
    /// For instance the name of the file.
    pub(crate) name: &'a str,
    /// What is shown.
    pub(crate) results: &'a AnyResults,
}

/// Writes one page about all `results` to `path`, each named by its kind.
///
/// # Errors
/// The file cannot be written; the error names it.
pub(crate) fn write_html(results: &[AnyResults], path: &Path) -> io::Result<()> {
    let names = (1..).zip(results).map(|(number, it)| match results.len() {
        1 => it.header().kind.name().to_owned(),
        _ => format!("{} {number}", it.header().kind.name()),
    });
    let names: Vec<String> = names.collect();
    let named: Vec<_> =
        names.iter().zip(results).map(|(name, results)| Named { name, results }).collect();
    write_named_html(&named, path)
}

/// The same with names of the caller's choice.
///
/// # Errors
/// The file cannot be written; the error names it.
pub(crate) fn write_named_html(results: &[Named<'_>], path: &Path) -> io::Result<()> {
    fs::write(path, html(results)).map_err(naming(path))
}

/// Below the heading.
const ABOUT: &str = "Measured with loadgen. Figures compare only within one bench, or between runs \
                     on the same quiet machine.";

fn html(results: &[Named<'_>]) -> String {
    let (mut benches, mut sources, mut sinks) = (Vec::new(), Vec::new(), Vec::new());
    for Named { name, results } in results {
        match results {
            AnyResults::Bench(it) => benches.push((*name, &**it)),
            AnyResults::Source(it) => sources.push((*name, &**it)),
            AnyResults::Sink(it) => sinks.push((*name, &**it)),
        }
    }
    let names: Vec<&str> = results.iter().map(|it| it.name).collect();
    let title = format!("Load report: {}", names.join(", "));
    let mut page = Page::new("Load report", ABOUT);
    if !benches.is_empty() {
        bench::add(&mut page, &benches);
    }
    source::add(&mut page, &sources);
    sink::add(&mut page, &sinks);
    page.finish(&title)
}

#[cfg(test)]
mod tests;
