//! The checks themselves, tried on text that deserves a complaint and on text that does not.

use super::source::{Declared, declared};
use super::*;

fn crates() -> BTreeSet<String> {
    ["glommio", "memchr", "smallvec", "toml"].map(str::to_owned).into()
}

/// The complaints about a file at `path`, without the path.
fn floor_complaints(path: &str, text: &str) -> Vec<String> {
    let prefix = format!("{path}:");
    let complaints = check_floor(path, text, &crates());
    complaints.iter().map(|one| one.trim_start_matches(&prefix).to_owned()).collect()
}

/// No complaint.
const NONE: [&str; 0] = [];

#[test]
fn a_floor_imports_its_own_and_lower_ones() {
    let good = "use crate::ids::ShardId;\nuse crate::{clock, proto::{line, path::Path}};\n\
                use memchr::memchr;\nuse smallvec::SmallVec;\nuse std::net::IpAddr;\n";
    assert_eq!(floor_complaints("src/queue/schedule.rs", good), NONE);
    let cases: [(&str, &[&str]); 6] = [
        ("use crate::io::ring::Ring;", &["1: floor 1 imports io/ring/Ring of floor 3"]),
        ("\nuse crate::{ids, shard};", &["2: floor 1 imports shard of floor 4"]),
        (
            "use crate::{\n    ids,\n    config::{Config, Host},\n};",
            &[
                "1: floor 1 imports config/Config of floor 5",
                "1: floor 1 imports config/Host of floor 5",
            ],
        ),
        ("fn f() { crate::log::start() }", &["1: floor 1 imports log/start of floor 5"]),
        ("use super::super::io;", &["1: floor 1 imports io of floor 3"]),
        ("pub use crate::spool::Writer as W;", &["1: floor 1 imports spool/Writer of floor 2"]),
    ];
    for (text, expected) in cases {
        assert_eq!(floor_complaints("src/queue/schedule.rs", text), expected, "{text}");
    }
    // The longest name decides.
    let text = "use super::reader::Reader;";
    let expected = ["1: floor 1 imports spool/reader/Reader of floor 2"];
    assert_eq!(floor_complaints("src/spool/format.rs", text), expected);
    assert_eq!(floor_complaints("src/spool/writer.rs", text), NONE);
    assert_eq!(check_floor("src/attic.rs", "", &crates()).len(), 1, "it stands nowhere");
}

#[test]
fn a_floor_uses_its_crates_only() {
    let cases = [
        ("src/ids.rs", "use memchr::memchr;", None),
        ("src/ids.rs", "use smallvec::SmallVec;", Some("1: floor 0 uses the crate smallvec")),
        ("src/message.rs", "use smallvec::SmallVec;", None),
        ("src/message.rs", "\nfn f() { glommio::x() }", Some("2: floor 1 uses the crate glommio")),
        ("src/io/ring/mod.rs", "use glommio::x;", None),
        ("src/io/ring/mod.rs", "use toml::x;", Some("1: floor 3 uses the crate toml")),
        ("src/config/mod.rs", "use toml::x;", None),
        ("src/message.rs", "// glommio::x and \"toml::x\"", None),
        ("src/message.rs", "let s = \"glommio::x\";", None),
        ("src/message.rs", "use own::toml::x;", None),
    ];
    for (path, text, complaint) in cases {
        let complaints = floor_complaints(path, text);
        assert_eq!(complaints.first().map(String::as_str), complaint, "{text}");
    }
}

#[test]
fn the_core_looks_nothing_up() {
    let cases = [
        ("let now = Instant::now();", Some("1: floor 1 uses Instant")),
        ("use std::fs;", Some("1: floor 1 uses std::fs")),
        ("async fn f() {}", Some("1: floor 1 uses async")),
        ("// An Instant is not known here.", None),
        ("let instantly = 1;", None),
        ("#[cfg(test)]\nmod tests {\n    fn f() { if x { Instant::now() } }\n}\n", None),
        ("#[cfg(test)]\nmod tests {}\nfn f() { Instant::now() }", Some("3: floor 1 uses Instant")),
    ];
    for (text, complaint) in cases {
        let complaints = floor_complaints("src/message.rs", text);
        assert_eq!(complaints.first().map(String::as_str), complaint, "{text}");
        assert_eq!(floor_complaints("src/shard/mod.rs", text), NONE);
    }
}

fn files(files: &[(&str, &str)]) -> BTreeMap<String, String> {
    files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
}

#[test]
fn declarations_are_found() {
    let text = "pub mod a;\n#[cfg(test)]\nmod b;\n#[cfg(test)]\n#[path = \"c_tests.rs\"]\nmod c;\n\
                // mod d;\nmod e {}\n#[cfg(feature = \"x\")]\npub(crate) mod f;\n";
    let of = |places: &[&str], is_for_tests: bool| Declared {
        places: places.iter().map(|place| (*place).to_owned()).collect(),
        is_for_tests,
    };
    let expected = [
        of(&["src/x/a.rs", "src/x/a/mod.rs"], false),
        of(&["src/x/b.rs", "src/x/b/mod.rs"], true),
        of(&["src/x/c_tests.rs"], true),
        of(&["src/x/f.rs", "src/x/f/mod.rs"], false),
    ];
    assert_eq!(declared("src/x/mod.rs", text), expected);
    let expected = [of(&["src/x/y/a.rs", "src/x/y/a/mod.rs"], false)];
    assert_eq!(declared("src/x/y.rs", "mod a;"), expected);
}

#[test]
fn a_file_that_nothing_declares_is_found() {
    let good = files(&[("src/lib.rs", "mod a;"), ("src/a/mod.rs", "mod b;"), ("src/a/b.rs", "")]);
    assert_eq!(check_declared(&good), NONE);
    let bad = files(&[("src/lib.rs", "mod a;"), ("src/a/mod.rs", "// mod b;"), ("src/a/b.rs", "")]);
    assert_eq!(check_declared(&bad), ["src/a/b.rs: no file declares it, so it is not built"]);
}

#[test]
fn files_for_tests_are_told_from_others() {
    let sources = files(&[
        ("src/lib.rs", "mod a;\n#[cfg(test)]\nmod b;"),
        ("src/a.rs", "#[cfg(test)]\n#[path = \"a_tests.rs\"]\nmod tests;"),
        ("src/a_tests.rs", ""),
        ("src/b/mod.rs", "mod c;"),
        ("src/b/c.rs", ""),
    ]);
    let expected = ["src/a_tests.rs", "src/b/c.rs", "src/b/mod.rs"].map(str::to_owned);
    assert_eq!(test_files(&sources), expected.into());
}

#[test]
fn long_files_and_long_lines_are_found() {
    assert_eq!(check_size("f", &"x\n".repeat(LINES_MAX)), NONE);
    assert_eq!(check_size("f", &"x\n".repeat(LINES_MAX + 1)).len(), 1);
    assert_eq!(check_size("f", &"§".repeat(COLUMNS_MAX)), NONE);
    let long = "x".repeat(COLUMNS_MAX + 1);
    assert_eq!(check_size("f", &format!("\n{long}")), ["f:2: 101 columns"]);
    assert_eq!(check_size("f", &format!("// https://{long}")), NONE);
}

#[test]
fn unsafe_is_found_outside_its_places() {
    let text = "#![forbid(unsafe_code)]\n// unsafe\nlet x = \"unsafe\";\nunsafe { f() }\n";
    assert_eq!(check_unsafe("src/a.rs", text), ["src/a.rs:4: unsafe outside its places"]);
    assert_eq!(check_unsafe("src/arena.rs", text), NONE);
    assert_eq!(check_unsafe("src/io/ring/submission.rs", text), NONE);
    assert_eq!(check_unsafe("src/io/store.rs", text).len(), 1);
}

#[test]
fn leftovers_are_found() {
    for word in [concat!("// TO", "DO: x"), concat!("// FIX", "ME"), concat!("todo", "!()")] {
        assert_eq!(check_leftovers("f", &format!("\n{word}\n")).len(), 1, "{word}");
    }
    assert_eq!(check_leftovers("f", "// todo RFC 5321: x\nlet s = \"XXXX\";\n"), NONE);
}

#[test]
fn rfcs_are_looked_up_in_the_index() {
    let index = "//! | RFC | what |\n//! | --- | --- |\n//! | 5321 | SMTP |\n//! | 821 | old |\n";
    let index = rfc_index(index);
    assert_eq!(index, [821, 5321].into());
    let text = "// RFC 5321 §4.1 and RFC 821\n// RFC 9999\n// the RFC says\n";
    assert_eq!(check_rfcs("f", text, &index), ["f:2: RFC 9999 is not in the index"]);
}

#[test]
fn limits_without_a_unit_are_found() {
    let good = "pub const A_BYTES_MAX: usize = 1;\npub const IDLE_S: u64 = 1;\n\
                pub const RECIPIENTS_MAX: u32 = 1;\npub const WAIT: Duration = X;\n\
                const PRIVATE: u32 = 1;\n/// pub const COMMENT: u32\n";
    assert_eq!(check_limits("f", good), NONE);
    for bad in ["LINE_MAX", "ADDRESS_MAX", "DNS_MAX", "TIMEOUT"] {
        assert_eq!(check_limits("f", &format!("pub const {bad}: u64 = 1;")).len(), 1, "{bad}");
    }
}

#[test]
fn a_change_log_without_this_version_is_found() {
    let text = "# Changes\n\n## 0.2.0 (unreleased)\n\nText.\n\n- New.\n\n## 0.1.0\n\nNothing.\n";
    assert_eq!(check_change_log(text, "0.2.0"), NONE);
    assert_eq!(check_change_log(text, "0.1.0").len(), 1);
    assert_eq!(check_change_log(text, "0.3.0").len(), 1);
}

#[test]
fn paths_of_one_machine_are_found() {
    for path in [concat!("/ho", "me/me/x"), concat!("\"/wo", "rk/x\""), concat!("(/ro", "ot/x)")] {
        assert_eq!(check_machine_paths("f", path).len(), 1, "{path}");
    }
    let good = concat!("see example.com/ho", "me/ and a/ro", "ot/b");
    assert_eq!(check_machine_paths("f", good), NONE);
}

#[test]
fn code_is_told_from_what_is_none() {
    let cases = [
        ("a // b\nc", "a     \nc"),
        ("a /* b /* c */ d */ e", "a                   e"),
        ("f(\"a\\\"b\")", "f(      )"),
        ("r#\"a\"b\"# c", "         c"),
        ("br\"a\" c", "      c"),
        ("'a' 'static '\\'' b", "    'static      b"),
        ("for\"x\"", "for   "),
        ("\"a\nb\" c", "  \n   c"),
    ];
    for (text, code) in cases {
        assert_eq!(code_only(text), code, "{text}");
    }
    let text = "a\n#[cfg(test)]\nmod tests {\n    { }\n}\nb\n";
    assert_eq!(without_tests(text).split_whitespace().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(without_tests(text).lines().count(), text.lines().count());
}

#[test]
fn imports_are_expanded() {
    let text = "use crate::{a::{self, b::*, c as d}, e};\nlet x = crate::f::g(super::h::I);\n";
    let found: Vec<_> = imports(text, "m/n").into_iter().map(|(_, path)| path).collect();
    assert_eq!(found, ["a/self", "a/b/", "a/c", "e", "f/g", "m/h/I"]);
}

#[test]
fn the_manifest_is_read() {
    let manifest = "[package]\nname = \"x\"\nversion = \"1.2.3\"\n\n[dependencies]\na-b = \"1\"\n\
                    c = { version = \"2\" }\n\n[dev-dependencies]\nd = \"3\"\n";
    assert_eq!(dependencies(manifest), ["a_b", "c"].map(str::to_owned).into());
    assert_eq!(package_version(manifest), "1.2.3");
}
