use super::*;
use crate::made_up;

fn strict() -> Strictness {
    Strictness { threshold: 0.05, confidence: 0.99, figures: FIGURES.to_vec(), any_machine: false }
}

fn parsed(value: &serde_json::Value) -> Vec<AnyResults> {
    vec![AnyResults::parse(&value.to_string()).unwrap()]
}

fn compared(a: &serde_json::Value, b: &serde_json::Value) -> io::Result<Comparison> {
    results(&parsed(a), &parsed(b), &strict())
}

fn verdict(comparison: &Comparison, scenario: &str, server: &str, figure: Figure) -> Verdict {
    let found = comparison.rows.iter().find(|row| {
        row.subject.scenario == scenario
            && row.subject.server.as_deref() == Some(server)
            && row.figure == figure
    });
    found.unwrap().verdict
}

#[test]
fn a_slower_server_is_found_and_the_others_are_not_blamed() {
    let (a, b) = (made_up::bench(5, 1.0), made_up::bench(5, 0.9));
    let comparison = compared(&a, &b).unwrap();
    for figure in [Figure::Rate, Figure::Cpu, Figure::P50, Figure::P99] {
        assert_eq!(verdict(&comparison, "accept-kept", "ringpost", figure), Verdict::Worse);
        let other = verdict(&comparison, "accept-kept", "floor", figure);
        assert_eq!(other, Verdict::NoDifferenceShown, "{figure:?}");
    }
    // Two scenarios in which the rate is free, with rate, CPU and three percentiles each.
    assert_eq!(comparison.regressions, 10);
    let text = text(&comparison, Path::new("old.json"), Path::new("new.json"));
    for part in [
        "A old.json, B new.json",
        "SLOWER",
        "MORE CPU",
        "no difference shown",
        "10 regressions",
        "99 %",
        "idle-1000",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    assert_eq!(compared(&b, &a).unwrap().regressions, 0);
    assert_eq!(compared(&a, &a).unwrap().regressions, 0);
}

#[test]
fn an_offered_rate_is_not_compared_as_a_result() {
    let a = made_up::bench(5, 1.0);
    let comparison = compared(&a, &a).unwrap();
    let rows = comparison.rows.iter().filter(|row| row.subject.scenario == "latency-80");
    let figures: Vec<Figure> = rows.map(|row| row.figure).collect();
    assert!(!figures.contains(&Figure::Rate) && figures.contains(&Figure::P99));
}

#[test]
fn a_small_difference_is_shown_and_does_not_count() {
    let (a, b) = (made_up::bench(20, 1.0), made_up::bench(20, 0.97));
    let comparison = compared(&a, &b).unwrap();
    assert_eq!(comparison.regressions, 0);
    let rate = verdict(&comparison, "relay", "ringpost", Figure::Rate);
    assert_eq!(rate, Verdict::WithinThreshold);
    let strict = Strictness { threshold: 0.01, figures: vec![Figure::Rate], ..strict() };
    assert_eq!(results(&parsed(&a), &parsed(&b), &strict).unwrap().regressions, 2);
}

#[test]
fn too_few_runs_are_no_success() {
    let (a, b) = (made_up::bench(3, 1.0), made_up::bench(3, 0.5));
    let error = compared(&a, &b).unwrap_err().to_string();
    assert!(error.contains("5 runs a side are needed, and there are 3"), "{error}");
    // Failures need no statistics.
    let mut failing = a.clone();
    failing["mail"][0]["servers"][0]["runs"][1]["failed"] = 7.into();
    let comparison = compared(&a, &failing).unwrap();
    assert_eq!((comparison.regressions, comparison.failed[0].b), (1, 7));
    let text = text(&comparison, Path::new("a"), Path::new("b"));
    assert!(text.contains("7 messages failed in B, 0 in A"));
    assert!(compared(&failing, &a).is_err());
}

#[test]
fn different_work_is_not_compared() {
    let a = made_up::bench(5, 1.0);
    let mut larger = a.clone();
    larger["message_bytes"] = 4_096.into();
    let mut elsewhere = a.clone();
    elsewhere["machine"]["cpus"] = 64.into();
    let mut none = a.clone();
    none["mail"] = serde_json::json!([]);
    none["idle"] = serde_json::json!([]);
    for (b, part) in [
        (larger, "bytes a message are 2048 and 4096"),
        (elsewhere.clone(), "--any-machine"),
        (made_up::source(), "results of bench and of source"),
        (made_up::sink(), "results of a sink"),
        (none, "no figure in common"),
    ] {
        let error = compared(&a, &b).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    let lenient = Strictness { any_machine: true, ..strict() };
    let comparison = results(&parsed(&a), &parsed(&elsewhere), &lenient).unwrap();
    assert!(comparison.warnings[0].contains("machines differ"), "{:?}", comparison.warnings);
}

#[test]
fn what_makes_a_comparison_worth_less_is_said() {
    let a = made_up::bench(5, 1.0);
    let mut b = a.clone();
    b["machine"]["kernel"] = "9.9".into();
    b["machine"]["load_before"] = 3.5.into();
    b["mail"].as_array_mut().unwrap().remove(1);
    let warnings = compared(&a, &b).unwrap().warnings;
    for part in ["kernels differ", "load average was 3.50 when B began", "B has no relay, ringpost"]
    {
        assert!(warnings.iter().any(|it| it.contains(part)), "{part} in {warnings:?}");
    }
}

#[test]
fn the_runs_of_a_source_are_files_in_a_directory() {
    let directory = tempfile::tempdir().unwrap();
    for (name, scale) in [("a", 1.0), ("b", 1.2)] {
        let side = directory.path().join(name);
        fs::create_dir(&side).unwrap();
        for run in 0..5 {
            let mut source = made_up::source();
            source["stages"]["message"]["p99_ms"] = ((9.0 + 0.1 * f64::from(run)) * scale).into();
            fs::write(side.join(format!("{run}.json")), source.to_string()).unwrap();
        }
    }
    let [a, b] = ["a", "b"].map(|name| directory.path().join(name));
    let comparison = paths(&a, &b, &strict()).unwrap();
    let worse: Vec<Figure> = comparison
        .rows
        .iter()
        .filter(|row| row.verdict == Verdict::Worse)
        .map(|row| row.figure)
        .collect();
    assert_eq!(worse, [Figure::P99]);
    assert!(paths(directory.path(), &b, &strict()).unwrap_err().to_string().contains("0 files"));
}
