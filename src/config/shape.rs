//! From text to [`RawConfig`]: everything that can be said before a value's meaning is looked at.
//!
//! serde stops at the first thing that does not fit. To tell all of them at once, the entry it
//! stopped at is noted and taken out of the parsed file, and what is left is tried again.
//!
//! # Bounds
//! Each round takes out an entry, so there are at most as many rounds as entries.

use std::mem;
use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue, Deserializer, Error};

use super::problems::{KeyPath, Problems, Source, unknown_key};
use super::raw::RawConfig;
use crate::invalid::Invalid;

/// What of the file has the right shape. The rest is in `problems`.
pub(super) fn read(source: Source<'_>, problems: &mut Problems<'_>) -> RawConfig {
    let (mut table, syntax_errors) = DeTable::parse_recoverable(source.text);
    for error in syntax_errors {
        let what = format!("is not TOML: {}", error.message());
        let remedy = "mend the line (https://toml.io has the syntax)";
        problems.note_syntax(error.span().as_ref(), Invalid::new(what, remedy));
    }
    refuse_lists_for_tables(table.get_mut(), problems);
    loop {
        let error = match RawConfig::deserialize(Deserializer::from(table.clone())) {
            Ok(raw) => return raw,
            Err(error) => error,
        };
        let span = error.span();
        let path = span.as_ref().and_then(|span| {
            take_out(table.get_mut(), &|other| other == span)
                .or_else(|| take_out(table.get_mut(), &|other| contains(other, span)))
        });
        let Some(path) = path else {
            // Without a place nothing can be taken out, and the next round would say the same.
            problems.note(KeyPath::default(), span.as_ref(), explain(&error, ""));
            return RawConfig::default();
        };
        let name = path.to_string();
        problems.note(path, span.as_ref(), explain(&error, &name));
    }
}

/// serde fills the fields of a struct from a list as well, in their order. In this file a list in
/// place of a table is a mistake.
fn refuse_lists_for_tables(root: &mut DeTable<'_>, problems: &mut Problems<'_>) {
    const TABLES: [&str; 8] =
        ["limits", "tls", "shards", "spool", "delivery", "dns", "admin", "shutdown"];
    for name in TABLES {
        if root.get(name).is_some_and(|value| is_list(value, KeyPath::new(name), problems)) {
            root.remove(name);
        }
    }
    for name in ["user", "listener", "route"] {
        refuse_lists_in_list(root, name, &KeyPath::new(name), problems);
    }
    if let Some(DeValue::Table(tls)) = root.get_mut("tls").map(Spanned::get_mut) {
        refuse_lists_in_list(tls, "sni", &KeyPath::new("tls").key("sni"), problems);
    }
}

/// The same for the elements of the list `name` of `table`, which is at `path`.
fn refuse_lists_in_list(
    table: &mut DeTable<'_>,
    name: &str,
    path: &KeyPath,
    problems: &mut Problems<'_>,
) {
    let Some(DeValue::Array(array)) = table.get_mut(name).map(Spanned::get_mut) else { return };
    let elements = mem::replace(array, DeArray::new()).into_iter().enumerate();
    let kept = elements.filter(|(index, one)| !is_list(one, path.place(*index), problems));
    *array = kept.map(|(_, one)| one).collect();
}

/// Whether `value`, which should be a table, is a list; then it is noted.
fn is_list(value: &Spanned<DeValue<'_>>, path: KeyPath, problems: &mut Problems<'_>) -> bool {
    let is_list = matches!(value.get_ref(), DeValue::Array(_));
    if is_list {
        let remedy = table_remedy(&path.to_string());
        problems.note(path, Some(&value.span()), Invalid::new("found a list", remedy));
    }
    is_list
}

/// Tables that there can be several of.
const REPEATED: [&str; 4] = ["tls.sni", "user", "listener", "route"];

fn table_remedy(name: &str) -> String {
    if REPEATED.contains(&name) {
        format!("write [[{name}]] with its keys below")
    } else {
        format!("write [{name}] with its keys below")
    }
}

fn contains(outer: &Range<usize>, inner: &Range<usize>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}

/// Takes the deepest entry out of `table` whose key or value stands where `is_it` says.
fn take_out(table: &mut DeTable<'_>, is_it: &dyn Fn(&Range<usize>) -> bool) -> Option<KeyPath> {
    let mut steps = Vec::new();
    take_out_of_table(table, is_it, &mut steps).then(|| {
        steps.iter().rev().fold(KeyPath::default(), |path, step| match step {
            Found::Key(name) => path.key(name),
            Found::Place(index) => path.place(*index),
        })
    })
}

/// A step of the way to what was taken out, noted on the way back from it.
enum Found {
    Key(String),
    Place(usize),
}

fn take_out_of_table(
    table: &mut DeTable<'_>,
    is_it: &dyn Fn(&Range<usize>) -> bool,
    way_back: &mut Vec<Found>,
) -> bool {
    let mut found = None;
    for (key, value) in table.iter_mut() {
        let inside = take_out_of_value(value, is_it, way_back);
        if inside || is_it(&key.span()) || is_it(&value.span()) {
            found = Some((key.get_ref().clone(), inside));
            break;
        }
    }
    let Some((key, inside)) = found else { return false };
    if !inside {
        table.remove(key.as_ref());
    }
    way_back.push(Found::Key(key.into_owned()));
    true
}

fn take_out_of_value(
    value: &mut Spanned<DeValue<'_>>,
    is_it: &dyn Fn(&Range<usize>) -> bool,
    way_back: &mut Vec<Found>,
) -> bool {
    match value.get_mut() {
        DeValue::Table(table) => take_out_of_table(table, is_it, way_back),
        DeValue::Array(array) => {
            let mut found = None;
            for (index, element) in array.iter_mut().enumerate() {
                let inside = take_out_of_value(element, is_it, way_back);
                if inside || is_it(&element.span()) {
                    found = Some((index, inside));
                    break;
                }
            }
            let Some((index, inside)) = found else { return false };
            if !inside {
                let elements = mem::replace(array, DeArray::new()).into_iter().enumerate();
                *array = elements.filter(|(i, _)| *i != index).map(|(_, one)| one).collect();
            }
            way_back.push(Found::Place(index));
            true
        }
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_) => false,
    }
}

/// serde's error about the entry `name` in the words of someone who writes the file.
fn explain(error: &Error, name: &str) -> Invalid {
    let message = error.message();
    if message.starts_with("unknown field") {
        // unknown field `prot`, expected one of `port`, `expire_s`
        let mut quoted = message.split('`').skip(1).step_by(2);
        let key = quoted.next().unwrap_or_default();
        return unknown_key(key, &quoted.collect::<Vec<_>>());
    }
    // invalid type: string "x", expected u64
    let (found, expected) = message.rsplit_once(", expected ").unwrap_or((message, ""));
    let found = found
        .strip_prefix("invalid type: ")
        .or_else(|| found.strip_prefix("invalid value: "))
        .unwrap_or(found);
    let found = match found {
        "map" => "a table",
        "sequence" => "a list",
        // What was meant to be a password is not repeated.
        _ if name == "user.password" => "what is no text",
        other => other,
    };
    let remedy = match expected {
        "u64" => "write a whole number, 0 or more".to_owned(),
        "a boolean" => "write true or false".to_owned(),
        "a string" => "write text in double quotes".to_owned(),
        "a sequence" if REPEATED.contains(&name) => table_remedy(name),
        "a sequence" => "write a list in square brackets".to_owned(),
        _ if name.is_empty() => format!("write {expected}"),
        _ => table_remedy(name),
    };
    Invalid::new(format!("found {found}"), remedy)
}
