use super::*;
use crate::made_up;

fn results(value: &serde_json::Value) -> AnyResults {
    AnyResults::parse(&value.to_string()).unwrap()
}

fn page(all: &[(&str, &serde_json::Value)]) -> String {
    let all: Vec<_> = all.iter().map(|(name, value)| (*name, results(value))).collect();
    let named: Vec<_> = all.iter().map(|(name, results)| Named { name, results }).collect();
    html(&named)
}

fn count_of(text: &str, part: &str) -> usize {
    text.matches(part).count()
}

#[test]
fn a_bench_has_each_scenario_with_its_plots_and_tables() {
    let page = page(&[("bench.json", &made_up::bench(5, 1.0))]);
    // Four plots for each of three scenarios, two each for idle connections and handshakes.
    assert_eq!(count_of(&page, "<figure>"), 16);
    assert_eq!(count_of(&page, "<desc id="), 16);
    for part in [
        "accept and hold, connections kept",
        "5 runs of each server",
        "Offered: 4,000 messages a second.",
        "Medians; the thin lines reach from the lowest run to the highest.",
        "ringpost 0.0 (made up)",
        "system calls a message",
        "Made Up CPU",
        "perf was not there",
        "loadgen bench &#39;made up&#39; --for=tests",
        "class=\"bar floor part0\"",
    ] {
        assert!(page.contains(part), "{part}");
    }
    // 5 runs in 3 scenarios, each in two plots: one line told, four pale; and two of handshakes.
    let told = count_of(&page, "<polyline class=\"line s0\"");
    assert_eq!((told, count_of(&page, "<polyline class=\"line s0 faint\"")), (8, 24));
}

#[test]
fn servers_of_several_files_stand_beside_one_another() {
    let (before, after) = (made_up::bench(3, 1.0), made_up::bench(3, 0.5));
    let page = page(&[("before", &before), ("after", &after)]);
    assert_eq!(count_of(&page, "<h2>accept and hold, connections kept</h2>"), 1);
    for part in ["ringpost · before", "ringpost · after", "floor · after"] {
        assert!(page.contains(part), "{part}");
    }
}

#[test]
fn sources_are_shown_alone_and_beside_one_another() {
    let source = made_up::source();
    let alone = page(&[("one", &source)]);
    assert!(alone.contains("<h2>Source</h2>") && !alone.contains("beside one another"));
    for part in ["message, from MAIL", "refused or lost", "451", "4,167", "6–12"] {
        assert!(alone.contains(part), "{part}");
    }
    let both = page(&[("one", &source), ("other", &source)]);
    assert!(both.contains("<h2>Sources beside one another</h2>"));
    assert_eq!(count_of(&both, "<figure>"), 3 + 2 * count_of(&alone, "<figure>"));
}

#[test]
fn a_sink_tells_what_came_of_each_run() {
    let page = page(&[("sink", &made_up::sink())]);
    let row =
        "<th scope=\"row\">00000000deadbeef</th><td>49,999</td><td>1</td><td>2</td><td>3</td>";
    for part in ["<h2>Sink</h2>", row, "later than 60 s", "5.1.1 No such user, made up"] {
        assert!(page.contains(part), "{part} in {page}");
    }
}

#[test]
fn nothing_from_a_file_becomes_markup_and_nothing_is_fetched() {
    let page = page(&[("<i>name</i>", &made_up::bench(1, 1.0)), ("source", &made_up::source())]);
    for part in ["<i>", "<script", "made-up <peer>", "http:", "https:", "url(", "@import", "src="] {
        assert!(!page.contains(part), "{part}");
    }
    assert!(page.contains("made-up &lt;peer&gt;") && page.contains("&lt;script&gt;alert"));
}

#[test]
fn a_bench_without_figures_is_still_a_page() {
    let mut bench = made_up::bench(1, 1.0);
    bench["mail"][0]["servers"][0]["runs"] = serde_json::json!([]);
    bench["mail"][1]["servers"] = serde_json::json!([]);
    bench["mail"][2]["servers"][0]["runs"][0]["latency"] = serde_json::Value::Null;
    bench["mail"][2]["servers"][0]["runs"][0]["timeline"] = serde_json::json!([]);
    bench["idle"] = serde_json::json!([]);
    let page = page(&[("bench", &bench)]);
    assert!(!page.contains("NaN") && !page.contains("inf"), "{page}");
    assert!(!page.contains("Idle connections"));
}

#[test]
fn other_files_are_refused_with_what_they_are() {
    for (text, part) in [
        ("{}", "no results of loadgen"),
        ("nonsense", "no results of loadgen"),
        (r#"{"kind": "bench", "version": 99}"#, "format 99"),
        (r#"{"kind": "bench", "version": 1}"#, "damaged"),
    ] {
        let error = AnyResults::parse(text).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}
