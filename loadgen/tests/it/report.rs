//! The page that `loadgen report` writes, in a real browser.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::harness::{PROGRAM, Process};
use crate::made_up;

/// Writes the results into `directory` and a page about them beside.
fn report(directory: &Path, files: &[(&str, String)]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(["report", "--html", "report.html"]).current_dir(directory);
    for (name, results) in files {
        fs::write(directory.join(name), results).unwrap();
        command.arg(name);
    }
    command.output().unwrap()
}

fn of_all_kinds() -> [(&'static str, String); 3] {
    [
        ("bench.json", made_up::bench(5, 1.0).to_string()),
        ("source.json", made_up::source().to_string()),
        ("sink.json", made_up::sink().to_string()),
    ]
}

/// Opens a page of `directory` in a fresh browser; what it prints and what it complains about.
fn browse(directory: &Path, page: &str, options: &[&str]) -> (String, String) {
    let [profile, output, errors] = ["profile", "output", "errors"].map(|it| directory.join(it));
    let mut command = Command::new("/usr/bin/chromium");
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"]);
    command.args(["--no-first-run", "--disable-background-networking", "--disable-sync"]);
    command.args(["--disable-component-update", "--enable-logging=stderr", "--hide-scrollbars"]);
    command.arg(format!("--user-data-dir={}", profile.display())).args(options);
    command.arg(format!("file://{}/{page}", directory.display())).current_dir(directory);
    command.stdin(Stdio::null()).stdout(fs::File::create(&output).unwrap());
    command.stderr(fs::File::create(&errors).unwrap());
    assert!(Process::start(&mut command).wait().success(), "{}", read(&errors));
    (read(&output), read(&errors))
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned()
}

/// What a page says to the console, errors of its own included.
fn console(errors: &str) -> Vec<&str> {
    errors.lines().filter(|line| line.contains(":CONSOLE")).collect()
}

/// Bytes of a picture of `page`. A picture takes the more bytes the more there is to see.
fn picture_bytes(directory: &Path, page: &str, options: &[&str]) -> u64 {
    let picture = directory.join("picture.png");
    let mut all = vec!["--window-size=1200,2000", "--screenshot=picture.png"];
    all.extend(options);
    let (_, errors) = browse(directory, page, &all);
    assert_eq!(console(&errors), [""; 0], "{page}");
    fs::metadata(&picture).unwrap().len()
}

#[test]
fn a_browser_shows_the_page_and_does_not_complain() {
    let directory = tempfile::tempdir().unwrap();
    let output = report(directory.path(), &of_all_kinds());
    assert!(output.status.success(), "{output:?}");
    let empty = "<!doctype html><title>Empty</title>";
    fs::write(directory.path().join("empty.html"), empty).unwrap();
    let empty = picture_bytes(directory.path(), "empty.html", &[]);
    let dark = ["--blink-settings=preferredColorScheme=0"];
    for options in [&[][..], &dark] {
        let full = picture_bytes(directory.path(), "report.html", options);
        assert!(full > 5 * empty, "{full} bytes, {empty} of an empty page, with {options:?}");
    }
    // A page that is at fault is complained about, or the check above checks nothing.
    let faulty = "<!doctype html><title>Faulty</title><script>throw new Error('faulty')</script>";
    fs::write(directory.path().join("faulty.html"), faulty).unwrap();
    let (_, errors) = browse(directory.path(), "faulty.html", &["--dump-dom"]);
    assert_eq!(console(&errors).len(), 1, "{errors}");
}

/// How wide the page becomes in a window of this width.
fn width_in(directory: &Path, window: u32) -> u32 {
    // A window of the browser itself cannot be as narrow as that of a phone.
    let frame = format!(
        r#"<!doctype html><title>Frame</title>
<iframe src="report.html" width="{window}" height="900"
  onload="document.title = 'width ' + this.contentDocument.documentElement.scrollWidth"></iframe>"#
    );
    fs::write(directory.join("frame.html"), frame).unwrap();
    let options = ["--allow-file-access-from-files", "--dump-dom"];
    let (dom, errors) = browse(directory, "frame.html", &options);
    let width = dom.split("<title>width ").nth(1).and_then(|rest| rest.split('<').next());
    width.unwrap_or_else(|| panic!("{dom} {errors}")).parse().unwrap()
}

#[test]
fn on_a_phone_nothing_but_tables_needs_scrolling_sideways() {
    let directory = tempfile::tempdir().unwrap();
    assert!(report(directory.path(), &of_all_kinds()).status.success());
    for window in [340, 1_000] {
        assert_eq!(width_in(directory.path(), window), window);
    }
}

/// Reads the page as a strict parser does: each element is closed, each id is there once, and each
/// plot names its title and description.
const CHECK_MARKUP: &str = r#"
import re, sys, xml.etree.ElementTree as tree
page = open("report.html", encoding="utf-8").read()
body = page[page.index("<body>"):page.index("</html>")]
root = tree.fromstring(body)
ids = [it.get("id") for it in root.iter() if it.get("id")]
assert len(ids) == len(set(ids)), "an id is there twice"
plots = [it for it in root.iter("svg") if it.get("role") == "img"]
assert len(plots) > 10, len(plots)
for plot in plots:
    texts = {it.get("id"): it.text for it in plot if it.tag in ("title", "desc")}
    named = plot.get("aria-labelledby").split()
    assert len(named) == 2 and all(texts.get(it) for it in named), texts
for table in root.iter("table"):
    assert table.find("caption/span").text
    columns = len(table.find("thead/tr"))
    assert columns > 1 and all(len(row) == columns for row in table.iter("tr"))
assert [it.text for it in root.iter("h1")] == ["Load report"]
"#;

#[test]
fn the_markup_is_sound_and_plots_are_described() {
    let directory = tempfile::tempdir().unwrap();
    assert!(report(directory.path(), &of_all_kinds()).status.success());
    let mut python = Command::new("/usr/bin/python3");
    let output = python.args(["-c", CHECK_MARKUP]).current_dir(directory.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn what_cannot_be_shown_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let mut later: Value = made_up::source();
    later["version"] = 2.into();
    for (text, part) in
        [("[1]".to_owned(), "no results of loadgen"), (later.to_string(), "format 2")]
    {
        let output = report(directory.path(), &[("odd.json", text)]);
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(complaint.contains("odd.json") && complaint.contains(part), "{complaint}");
        assert!(!directory.path().join("report.html").exists());
    }
}
