//! `ringpost doctor` beside `tuning/apply`, in a network and mount namespace of its own: what is
//! wrong it finds, and what was mended it no longer does.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::{Directory, project, run};

const SCRIPT: &str = r#"
set -euo pipefail
cd "$1"
apply="$2/tuning/apply --only net --state $1/state"
set_value() { printf '%s\n' "$2" >"/proc/sys/net/$1"; }
examine() { "$3" doctor --config ringpost.toml --quick --json >"$1" || [[ $? -eq $2 ]]; }
set_value core/somaxconn 128
set_value ipv4/ip_local_port_range '40000 41000'
set_value ipv4/tcp_sack 0
set_value ipv4/tcp_timestamps 0
set_value ipv4/tcp_slow_start_after_idle 1
examine before.json 1 "$3"
$apply apply >applied
examine after.json 1 "$3"
$apply undo >undone
examine undone.json 1 "$3"
"#;

/// Verdict and what was found of each entry.
fn findings(text: &str) -> BTreeMap<String, (String, String)> {
    let findings: Vec<Value> = serde_json::from_str(text).expect("an array");
    let text = |finding: &Value, key: &str| finding[key].as_str().expect(key).to_owned();
    findings
        .iter()
        .map(|one| (text(one, "id"), (text(one, "verdict"), text(one, "found"))))
        .collect()
}

#[test]
fn what_apply_mends_the_doctor_no_longer_finds() {
    let directory = Directory::new("doctor");
    let spool = directory.path().join("spool");
    directory.put("ringpost.toml", &format!("[spool]\npath = {spool:?}\n"));
    let project = project().to_str().unwrap();
    let program = env!("CARGO_BIN_EXE_ringpost");
    let arguments =
        ["--net", "--mount", "bash", "-c", SCRIPT, "doctor", directory.text(), project, program];
    run("unshare", &arguments).exited(0);

    let before = findings(&directory.read("before.json"));
    let after = findings(&directory.read("after.json"));
    for (id, found) in [
        ("net.core.somaxconn", "128"),
        ("net.ipv4.ip_local_port_range", "40000 41000"),
        ("net.ipv4.tcp_sack", "0"),
        ("net.ipv4.tcp_timestamps", "0"),
        ("net.ipv4.tcp_slow_start_after_idle", "1"),
        ("sockets.local-ports", "1001"),
    ] {
        assert_eq!(before[id], ("advice".to_owned(), found.to_owned()), "{id}");
        assert_eq!(after[id].0, "well", "{id}: {:?}", after[id]);
    }
    let of_network = after.iter().filter(|(id, _)| id.starts_with("net."));
    for (id, (verdict, found)) in of_network {
        assert!(verdict != "advice" && verdict != "required", "{id}: {verdict}, {found}");
    }
    assert_eq!(findings(&directory.read("undone.json")), before);
    assert!(!spool.exists(), "the doctor makes no spool");
}
