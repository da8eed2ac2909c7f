//! Reading Rust source as far as the checks need it: what is code, what it imports, what of it is
//! for tests.

use std::collections::{BTreeMap, BTreeSet};

/// Modules that `code` of `module` names by a path from the root or from its parent, with the line:
/// `use crate::io::{ring, dns::codec}` gives `io/ring` and `io/dns/codec`.
pub(crate) fn imports(code: &str, module: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for start in ["crate::", "super::"] {
        for (at, _) in code.match_indices(start) {
            let before = code[..at].chars().next_back();
            let is_whole = before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != ':');
            if !is_whole {
                continue;
            }
            let line = 1 + code[..at].matches('\n').count();
            let mut base = if start == "crate::" { "" } else { parent_of(module) };
            let mut rest = &code[at + start.len()..];
            while let Some(further) = rest.strip_prefix("super::") {
                base = parent_of(base);
                rest = further;
            }
            let mut paths = Vec::new();
            expand(rest, base, &mut paths);
            found.extend(paths.into_iter().map(|path| (line, path)));
        }
    }
    found
}

fn parent_of(module: &str) -> &str {
    module.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// Adds the paths that begin with `base` and go on as `text` says; returns what is left of `text`.
fn expand<'t>(text: &'t str, base: &str, paths: &mut Vec<String>) -> &'t str {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = rest.trim_start().trim_start_matches(',').trim_start();
            if rest.is_empty() {
                return rest;
            }
            if let Some(rest) = rest.strip_prefix('}') {
                return rest;
            }
            let after = expand(rest, base, paths);
            // What is no path (`*`, `as name`) is passed over up to the next one.
            let end = if after.len() == rest.len() || !after.starts_with([',', '}', '{']) {
                after.find([',', '}']).unwrap_or(after.len())
            } else {
                0
            };
            rest = &after[end..];
        }
    }
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let path = if base.is_empty() { name.to_owned() } else { format!("{base}/{name}") };
    match rest.strip_prefix("::") {
        Some(rest) => expand(rest, &path, paths),
        None => {
            paths.push(path);
            rest
        }
    }
}

/// A module that a file declares and another file holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Declared {
    /// Where that file can be.
    pub(crate) places: Vec<String>,
    /// Whether it is only built for tests.
    pub(crate) is_for_tests: bool,
}

/// The modules that the file at `path` declares and other files hold.
pub(crate) fn declared(path: &str, text: &str) -> Vec<Declared> {
    let (folder, file_name) = path.rsplit_once('/').unwrap_or(("", path));
    let inside = match file_name {
        "lib.rs" | "main.rs" | "mod.rs" => folder.to_owned(),
        _ => path.trim_end_matches(".rs").to_owned(),
    };
    let mut found = Vec::new();
    let mut attributes: Vec<&str> = Vec::new();
    for (line, code) in text.lines().zip(code_only(text).lines()) {
        let code = code.trim();
        if code.starts_with("#[") {
            attributes.push(line.trim());
        } else if !code.is_empty() {
            let name = code.split_once("mod ").and_then(|(before, rest)| {
                let is_declaration = before.is_empty() || before.starts_with("pub");
                rest.strip_suffix(';').filter(|_| is_declaration)
            });
            if let Some(name) = name {
                let path = attributes.iter().find_map(|one| one.strip_prefix("#[path = \""));
                let places = match path.and_then(|path| path.strip_suffix("\"]")) {
                    Some(path) => vec![format!("{folder}/{path}")],
                    None => vec![format!("{inside}/{name}.rs"), format!("{inside}/{name}/mod.rs")],
                };
                let is_for_tests = attributes.contains(&"#[cfg(test)]");
                found.push(Declared { places, is_for_tests });
            }
            attributes.clear();
        }
    }
    found
}

/// Files that are only built for tests: declared behind `#[cfg(test)]`, or by such a file.
pub(crate) fn test_files(sources: &BTreeMap<String, String>) -> BTreeSet<String> {
    let mut files = BTreeSet::new();
    loop {
        let count = files.len();
        for (path, text) in sources {
            let all = files.contains(path);
            let declared = declared(path, text).into_iter().filter(|one| all || one.is_for_tests);
            let places: Vec<String> = declared.flat_map(|one| one.places).collect();
            files.extend(places.into_iter().filter(|place| sources.contains_key(place)));
        }
        if files.len() == count {
            return files;
        }
    }
}

/// `code` with blanks in place of `#[cfg(test)] mod … { … }`.
pub(crate) fn without_tests(code: &str) -> String {
    let mut kept = code.to_owned();
    while let Some(at) = kept.find("#[cfg(test)]\nmod ") {
        let Some(open) = kept[at..].find(['{', ';']).map(|open| at + open) else { break };
        let mut depth = 0_usize;
        let close = kept[open..].char_indices().find_map(|(index, c)| {
            depth = depth + usize::from(c == '{') - usize::from(c == '}');
            (depth == 0).then_some(open + index + 1)
        });
        let end = close.unwrap_or(kept.len());
        let blanks = blank(&kept[at..end]);
        kept.replace_range(at..end, &blanks);
    }
    kept
}

/// Lines, counted from 1, on which `word` stands by itself.
pub(crate) fn lines_with_word(text: &str, word: &str) -> Vec<usize> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let stands = |line: &str| {
        line.match_indices(word).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            let after = line[at + word.len()..].chars().next();
            !before.is_some_and(is_part) && !after.is_some_and(is_part)
        })
    };
    let lines = text.lines().enumerate().filter(|(_, line)| stands(line));
    lines.map(|(index, _)| index + 1).collect()
}

/// Lines on which a path begins with `name`.
pub(crate) fn lines_with_path(code: &str, name: &str) -> Vec<usize> {
    let begins = |line: &str| {
        line.match_indices(&format!("{name}::")).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != ':')
        })
    };
    let lines = code.lines().enumerate().filter(|(_, line)| begins(line));
    lines.map(|(index, _)| index + 1).collect()
}

/// `text` with blanks in place of comments, strings and characters. Lines stay where they are.
pub(crate) fn code_only(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let previous = code.chars().next_back();
        let length = hidden_length(rest, previous);
        let (hidden, shown) = if length > 0 { (length, 0) } else { (0, c.len_utf8()) };
        code.push_str(&blank(&rest[..hidden]));
        code.push_str(&rest[hidden..hidden + shown]);
        rest = &rest[hidden + shown..];
    }
    code
}

/// As many lines as `text` has, with nothing on them.
fn blank(text: &str) -> String {
    text.chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect()
}

/// Length of the comment, string or character that `text` begins with; 0 if with none of them.
fn hidden_length(text: &str, previous: Option<char>) -> usize {
    if text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    if text.starts_with("/*") {
        return block_comment_length(text);
    }
    if text.starts_with('"') {
        return quoted_length(text, '"');
    }
    if let Some(rest) = text.strip_prefix('\'') {
        // 'a and 'static are lifetimes; 'a' and '\n' are characters.
        let mut characters = rest.chars();
        let is_character = match characters.next() {
            Some('\\') => true,
            Some(_) => characters.next() == Some('\''),
            None => false,
        };
        return if is_character { quoted_length(text, '\'') } else { 0 };
    }
    let is_word_start = previous.is_none_or(|c| !c.is_alphanumeric() && c != '_');
    let raw = text.strip_prefix('r').or_else(|| text.strip_prefix("br"));
    if let Some(raw) = raw.filter(|_| is_word_start) {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if let Some(inside) = raw[hashes..].strip_prefix('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let length = inside.find(&end).map_or(inside.len(), |at| at + end.len());
            return text.len() - inside.len() + length;
        }
    }
    0
}

fn block_comment_length(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(next) = text[at..].find(['/', '*']).map(|next| at + next) {
        at = match &text[next..] {
            rest if rest.starts_with("/*") => {
                depth += 1;
                next + 2
            }
            rest if rest.starts_with("*/") => {
                depth -= 1;
                next + 2
            }
            _ => next + 1,
        };
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

fn quoted_length(text: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if !is_escaped && c == quote {
            return at + 1;
        }
        is_escaped = !is_escaped && c == '\\';
    }
    text.len()
}
