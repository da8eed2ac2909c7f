//! `ringpost doctor`: what it says of this host, and how it ends.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::{
    Aiosmtpd, Config, Finished, Mail, RECIPIENT, Refuser, Ringpost, SENDER, Scenario, Sink,
    USUAL_LIMIT, assert_arrived, is_root, ringpost, scenario, under,
};

/// The most that a host may be told about: exit status 1.
const ADVICE: i32 = 1;

/// Runs the doctor under `wrapper` on the file of a configuration.
fn doctor(test: &Scenario, wrapper: &[&str], file: &Path, arguments: &[&str]) -> Finished {
    let file = file.to_str().expect("paths of tests are UTF-8");
    let arguments = [&["doctor", "--config", file], arguments].concat();
    test.run(&mut under(wrapper, ringpost(&arguments)), b"")
}

/// Verdict, what was found and the command of each entry, of a doctor that ended with one of
/// `codes`.
fn findings(finished: &Finished, codes: &[i32]) -> BTreeMap<String, [String; 3]> {
    let code = finished.status.code().expect("it exits by itself");
    assert!(codes.contains(&code), "exit status {code}: {finished:?}");
    assert_eq!(finished.errors, "");
    let findings: Vec<Value> = serde_json::from_str(&finished.output).expect("an array");
    let mut by_id = BTreeMap::new();
    for finding in &findings {
        let text = |key: &str| finding[key].as_str().expect(key).to_owned();
        by_id.insert(text("id"), ["verdict", "found", "command"].map(text));
    }
    by_id
}

#[test]
fn a_doctor_measures_the_disk_and_leaves_nothing_behind() {
    scenario(USUAL_LIMIT, |test| {
        let config = Config::new(test);
        let file = Ringpost::write_config(test, &config);
        let spool = config.spool_path().to_owned();
        fs::create_dir_all(&spool).unwrap();
        let findings = findings(&doctor(test, &[], &file, &["--json"]), &[0, ADVICE]);
        for id in ["disk.commit-latency", "disk.commit-latency-high", "disk.commit-rate"] {
            let [verdict, found, _] = &findings[id];
            assert!(found.parse::<u64>().is_ok_and(|number| number > 0), "{id}: {verdict} {found}");
        }
        let [verdict, found, _] = &findings["clock.read"];
        assert!(found.parse::<u64>().is_ok(), "clock.read: {verdict} {found}");
        assert_eq!(findings["sockets.port-25"][0], "not here");
        let left: Vec<_> = fs::read_dir(&spool).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    });
}

#[test]
fn people_are_told_what_deserves_attention_and_all_if_they_ask() {
    scenario(USUAL_LIMIT, |test| {
        let file = Ringpost::write_config(test, &Config::new(test));
        let all = doctor(test, &[], &file, &["--quick", "--all"]);
        assert!([Some(0), Some(ADVICE)].contains(&all.status.code()), "{all:?}");
        for title in ["Kernel", "io_uring", "Sockets", "Disk", "Clock"] {
            assert!(all.output.lines().any(|line| line == title), "no {title} in {}", all.output);
        }
        let some = doctor(test, &[], &file, &["--quick"]);
        assert!(some.output.lines().count() < all.output.lines().count());
        let last = some.output.lines().next_back().unwrap();
        assert!(last.contains("as wanted") && last.ends_with("(--all shows everything)"), "{last}");
    });
}

#[test]
fn a_host_that_cannot_run_the_server_is_told_why() {
    scenario(USUAL_LIMIT, |test| {
        let file = Ringpost::write_config(test, &Config::new(test));
        let few = ["prlimit", "--nofile=512:512"];
        let findings = findings(&doctor(test, &few, &file, &["--quick", "--json"]), &[2]);
        let [verdict, found, command] = &findings["limits.nofile"];
        assert_eq!((verdict.as_str(), found.as_str()), ("required", "512"));
        assert!(command.starts_with("LimitNOFILE="), "{command}");
    });
}

#[test]
fn a_wrong_configuration_ends_the_doctor_as_it_ends_a_server() {
    scenario(USUAL_LIMIT, |test| {
        let config = Config::new(test).set("delivery", "retry_frist_s", 60);
        let file = Ringpost::write_config(test, &config);
        let refused = doctor(test, &[], &file, &["--quick"]).exited(2);
        assert!(refused.errors.contains("retry_frist_s"), "{}", refused.errors);
        assert_eq!(refused.output, "");
    });
}

/// The doctor looks at the limits of the server that runs, and does not get in its way.
#[test]
fn a_server_that_runs_is_found_and_goes_on() {
    scenario(USUAL_LIMIT, |test| {
        let sink = Aiosmtpd::start(test);
        let config = Config::relaying_to(test, sink.address())
            .set("limits", "connections_max", 100)
            .set("delivery", "connections_max", 100);
        let wrapper = ["prlimit", "--nofile=4321:4321"];
        let server = Ringpost::start_under(test, &wrapper, &config);
        let findings =
            findings(&doctor(test, &[], server.config_file(), &["--json"]), &[0, ADVICE]);
        assert_eq!(findings["limits.server-nofile"][1], "4321");
        assert_eq!(findings["disk.directory"][..2], ["well", "usable"]);
        let mail = Mail::small("undisturbed");
        server.session().deliver(SENDER, RECIPIENT, &mail.content);
        assert_arrived(test, &sink, &[mail], 1);
    });
}

#[test]
fn port_25_is_tried_where_it_is_asked_for() {
    scenario(USUAL_LIMIT, |test| {
        let file = Ringpost::write_config(test, &Config::new(test));
        let refuser = Refuser::start(test.address(), "554 no mail here\r\n");
        let hosts = format!("{},127.0.0.1:1", refuser.address());
        let tried = doctor(test, &[], &file, &["--quick", "--json", "--port-25", &hosts]);
        let [verdict, found, _] = &findings(&tried, &[ADVICE])["sockets.port-25"];
        assert_eq!(verdict, "advice");
        assert!(found.contains("it answers 554 no mail here"), "{found}");
        assert!(found.contains("127.0.0.1:1: Connection refused"), "{found}");

        let sink = Aiosmtpd::start(test);
        let address = sink.address().to_string();
        let tried = doctor(test, &[], &file, &["--quick", "--json", "--port-25", &address]);
        let found = &findings(&tried, &[0, ADVICE])["sockets.port-25"];
        assert_eq!(found[..2], ["well".to_owned(), format!("{address}: open")]);
    });
}

/// A user who may not write to the spool learns what to do, and not that the server cannot run.
#[test]
fn what_a_user_may_not_see_cannot_be_told() {
    scenario(USUAL_LIMIT, |test| {
        let spool = test.make_directory("of-somebody-else");
        let config = Config::new(test).spool(&spool);
        let file = Ringpost::write_config(test, &config);
        fs::set_permissions(&spool, std::os::unix::fs::PermissionsExt::from_mode(0o500)).unwrap();
        let powerless = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"];
        let wrapper = if is_root() { &powerless[..] } else { &[] };
        let findings = findings(&doctor(test, wrapper, &file, &["--json"]), &[0, ADVICE]);
        for id in ["disk.directory", "disk.commit-latency"] {
            let [verdict, found, _] = &findings[id];
            assert_eq!(verdict, "cannot tell", "{id}");
            assert!(found.contains("as root it can be told"), "{id}: {found}");
        }
    });
}
