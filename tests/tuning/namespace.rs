//! `tuning/apply` on the real kernel, in a network and mount namespace of its own.

use std::fs;

use crate::support::{Directory, project, run};

/// Sets wrong values in the namespace, and lets `apply` look, mend and restore. What it finds it
/// writes into files of the directory that is its argument.
const SCRIPT: &str = r#"
set -euo pipefail
cd "$1"
apply="$2/tuning/apply --only net --state $1/state"
# Some values are only written, which is no failure.
values() { { grep --recursive --text --no-messages '' /proc/sys/net || true; } | LC_ALL=C sort; }
set_value() { printf '%s\n' "$2" >"/proc/sys/net/$1"; }
set_value core/somaxconn 128
set_value ipv4/ip_local_port_range '40000 41000'
set_value ipv4/tcp_sack 0
set_value ipv4/tcp_timestamps 0
set_value ipv4/tcp_slow_start_after_idle 1
values >before
$apply diff >wrong && exit 10
$apply apply >applied
values >after
$apply diff >mended || exit 11
$apply apply >again
$apply undo >undone
values >restored
"#;

/// The host's own values, which must stay as they are.
fn values_of_host() -> Vec<String> {
    let names =
        ["core/somaxconn", "ipv4/ip_local_port_range", "ipv4/tcp_sack", "ipv4/tcp_timestamps"];
    let read = |name| fs::read_to_string(format!("/proc/sys/net/{name}")).expect(name);
    names.into_iter().map(read).collect()
}

#[test]
fn a_kernel_is_set_and_restored_value_by_value() {
    let directory = Directory::new("namespace");
    let host_before = values_of_host();
    let project = project().to_str().unwrap();
    let arguments =
        ["--net", "--mount", "bash", "-c", SCRIPT, "namespace", directory.text(), project];
    run("unshare", &arguments).exited(0);
    assert_eq!(values_of_host(), host_before);

    let wrong = directory.read("wrong");
    for is in [
        "core/somaxconn: is 128, wanted 4096",
        "ip_local_port_range: is 40000 41000, wanted 10240 65535",
        "tcp_sack: is 0, wanted 1",
        "tcp_timestamps: is 0, wanted 1",
        "tcp_slow_start_after_idle: is 1, wanted 0",
    ] {
        assert!(wrong.contains(is), "{is} is not in {wrong}");
    }
    assert_eq!(directory.read("mended"), "");
    assert_eq!(directory.read("again"), "nothing to do\n");

    let (before, after) = (directory.read("before"), directory.read("after"));
    let changed: Vec<&str> = before
        .lines()
        .zip(after.lines())
        .filter_map(|(before, after)| (before != after).then_some(after))
        .collect();
    assert_eq!(changed.len(), wrong.lines().count(), "{changed:?}");
    assert!(changed.contains(&"/proc/sys/net/core/somaxconn:4096"), "{changed:?}");
    assert_eq!(directory.read("restored"), before, "undo restores every value");
    assert!(!directory.path().join("state").exists(), "nothing is left behind");
}
