//! `tuning/apply` on made-up hosts.

use std::fs;

use crate::support::{Directory, Finished, project, run, tuning_file};

const SYSCTL_FILE: &str = "etc/sysctl.d/90-ringpost.conf";
const SLICE_FILE: &str = "etc/systemd/system/ringpost.slice";
const GOVERNOR: &str = "sys/devices/system/cpu/cpu1/cpufreq/scaling_governor";

/// A host with a few of the values, some of them wrong, and a file that is in the way.
fn host(name: &str) -> Directory {
    let host = Directory::new(name);
    let ipv4 = "proc/sys/net/ipv4";
    host.put("proc/sys/kernel/numa_balancing", "1\n");
    host.put("proc/sys/net/core/somaxconn", "128\n");
    host.put(&format!("{ipv4}/ip_local_port_range"), "32768 60999\n");
    host.put(&format!("{ipv4}/tcp_sack"), "1\n");
    host.put(&format!("{ipv4}/tcp_timestamps"), "0\n");
    host.put("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance\n");
    host.put(GOVERNOR, "schedutil\n");
    host.put(SYSCTL_FILE, "# somebody's own\nnet.core.somaxconn = 128\n");
    // Where the state goes, so that it alone tells whether anything is left behind.
    fs::create_dir_all(host.path().join("var/lib")).unwrap();
    host
}

fn apply(host: &Directory, arguments: &[&str]) -> Finished {
    let arguments = [&["--root", host.text()], arguments].concat();
    run(project().join("tuning/apply"), &arguments)
}

#[test]
fn undo_restores_every_value_and_file() {
    let host = host("undo");
    let before = host.snapshot();

    let dry = apply(&host, &[]).exited(0);
    dry.says(&["would set", "/proc/sys/net/core/somaxconn", "from 128 to 4096"]);
    dry.says(&["would replace", SYSCTL_FILE]);
    dry.says(&["would install", SLICE_FILE]);
    assert_eq!(host.snapshot(), before, "a dry run changes nothing");

    apply(&host, &["apply"]).exited(0);
    assert_eq!(host.read("proc/sys/net/core/somaxconn"), "4096\n");
    assert_eq!(host.read("proc/sys/net/ipv4/ip_local_port_range"), "10240 65535\n");
    assert_eq!(host.read(GOVERNOR), "performance\n");
    assert_eq!(host.read(SYSCTL_FILE), tuning_file("sysctl.d/90-ringpost.conf"));
    assert_eq!(host.read(SLICE_FILE), tuning_file("systemd/ringpost.slice"));

    let diff = apply(&host, &["diff"]).exited(0);
    assert_eq!(diff.output, "");
    let applied = host.snapshot();
    apply(&host, &["apply"]).exited(0).says(&["nothing to do"]);
    assert_eq!(host.snapshot(), applied, "the second time there is nothing to do");

    apply(&host, &["undo"]).exited(0);
    assert_eq!(host.snapshot(), before);
    apply(&host, &["undo"]).exited(0).says(&["nothing to undo"]);
}

/// Exactly what it lists: a value that this page does not know and one that is right stay.
#[test]
fn nothing_is_touched_that_is_not_listed() {
    let host = host("listed");
    host.put("proc/sys/vm/swappiness", "60\n");
    let before = host.snapshot();
    let list = apply(&host, &["list"]).exited(0).output;
    apply(&host, &["apply"]).exited(0);
    for (path, (_, text)) in host.snapshot() {
        let path_on_host = path.strip_prefix(host.path()).unwrap().to_str().unwrap().to_owned();
        let is_new = before.get(&path).is_none_or(|(_, old)| *old != text);
        let is_state = path_on_host.starts_with("var/lib/ringpost-tuning");
        if path.is_file() && is_new && !is_state {
            assert!(list.contains(&format!("/{path_on_host}")), "{path_on_host} is not in {list}");
        }
    }
    assert_eq!(host.read("proc/sys/vm/swappiness"), "60\n");
}

#[test]
fn one_group_leaves_the_others_alone() {
    let host = host("groups");
    apply(&host, &["apply", "--only", "kernel,sys"]).exited(0);
    assert_eq!(host.read("proc/sys/kernel/numa_balancing"), "0\n");
    assert_eq!(host.read(GOVERNOR), "performance\n");
    assert_eq!(host.read("proc/sys/net/core/somaxconn"), "128\n");
    assert!(!host.path().join(SLICE_FILE).exists());
}

/// A host that has more of something keeps it, at once and after the next boot.
#[test]
fn more_than_wanted_is_kept() {
    let host = host("more");
    host.put("proc/sys/net/core/somaxconn", "65535\n");
    host.put("proc/sys/net/ipv4/ip_local_port_range", "1024\t65535\n");
    apply(&host, &["apply"]).exited(0);
    assert_eq!(host.read("proc/sys/net/core/somaxconn"), "65535\n");
    assert_eq!(host.read("proc/sys/net/ipv4/ip_local_port_range"), "1024\t65535\n");
    let file = host.read(SYSCTL_FILE);
    assert!(!file.lines().any(|line| line.starts_with("net.core.somaxconn")), "{file}");
    assert!(file.contains("This host has more (65535)"), "{file}");
    assert!(file.lines().any(|line| line.starts_with("net.ipv4.tcp_sack")), "{file}");
    apply(&host, &["diff"]).exited(0);
}

/// What cannot be read could not be restored: nothing at all is changed then.
#[test]
fn a_value_that_cannot_be_read_stops_it() {
    let host = host("unreadable");
    // A directory cannot be read as a value by anybody, root included.
    fs::create_dir_all(host.path().join("proc/sys/net/ipv4/tcp_mtu_probing")).unwrap();
    let before = host.snapshot();
    for command in ["dry-run", "apply", "diff"] {
        apply(&host, &[command]).exited(2).says(&["tcp_mtu_probing", "cannot be read"]);
    }
    assert_eq!(host.snapshot(), before);
}

/// What somebody has changed since belongs to him.
#[test]
fn changes_of_others_are_left_alone() {
    let host = host("others");
    let before = host.snapshot();
    apply(&host, &["apply"]).exited(0);
    host.put("proc/sys/net/core/somaxconn", "8192\n");
    let edited = host.read(SLICE_FILE) + "CPUWeight=200\n";
    host.put(SLICE_FILE, &edited);

    apply(&host, &["apply"]).exited(1).says(&[SLICE_FILE, "left alone"]);
    let undone = apply(&host, &["undo"]).exited(1);
    undone.says(&["somaxconn", "is 8192 now", "left alone"]);
    undone.says(&[SLICE_FILE, "left alone"]);
    assert_eq!(host.read("proc/sys/net/core/somaxconn"), "8192\n");
    assert_eq!(host.read(SLICE_FILE), edited);
    assert_eq!(host.read("proc/sys/net/ipv4/tcp_timestamps"), "0\n", "the rest was undone");

    apply(&host, &["undo", "--force"]).exited(0);
    assert_eq!(host.snapshot(), before);
}

#[test]
fn mistakes_are_explained() {
    let host = host("mistakes");
    apply(&host, &["aply"]).exited(2).says(&["unknown argument aply"]);
    apply(&host, &["--only", "nets"]).exited(2).says(&["unknown group nets", "net, kernel, sys"]);
    apply(&host, &["apply", "undo"]).exited(2).says(&["one command at a time"]);
    apply(&host, &["--state"]).exited(2).says(&["--state wants a value"]);
}
