//! `tuning/irq` on a made-up host with an interface of four queues.

use std::os::unix::fs::PermissionsExt;
use std::{env, fs};

use crate::support::{Directory, Finished, project, run_with_path};

/// Says how many queues there are and remembers how many there shall be.
const ETHTOOL: &str = r#"#!/bin/bash
channels=$(dirname "$0")/channels
case $1 in
-l)
    printf 'Channel parameters for %s:\nPre-set maximums:\nRX:\t\tn/a\nCombined:\t4\n' "$2"
    printf 'Current hardware settings:\nRX:\t\tn/a\nCombined:\t%s\n' "$(cat "$channels")"
    ;;
-L) printf '%s\n' "$4" >"$channels" ;;
-g)
    printf 'Ring parameters for %s:\nPre-set maximums:\nRX:\t\t4096\n' "$2"
    printf 'Current hardware settings:\nRX:\t\t512\n'
    ;;
-G) printf '%s\n' "$*" >>"$(dirname "$0")/rings" ;;
esac
"#;

fn host(name: &str) -> Directory {
    let host = Directory::new(name);
    host.put("sys/devices/system/cpu/online", "0-39\n");
    host.put("proc/sys/net/core/rps_sock_flow_entries", "0\n");
    let mut interrupts = "           CPU0       CPU1\n".to_owned();
    for queue in 0..4 {
        let irq = 50 + queue;
        interrupts += &format!(" {irq}:   1   2   PCI-MSI   eth9-TxRx-{queue}\n");
        host.put(&format!("sys/class/net/eth9/device/msi_irqs/{irq}"), "msix\n");
        host.put(&format!("proc/irq/{irq}/smp_affinity_list"), "0-39\n");
        let queues = "sys/class/net/eth9/queues";
        host.put(&format!("{queues}/rx-{queue}/rps_cpus"), "00,00000000\n");
        host.put(&format!("{queues}/rx-{queue}/rps_flow_cnt"), "0\n");
        host.put(&format!("{queues}/tx-{queue}/xps_cpus"), "00,00000000\n");
    }
    // One that is no queue's.
    interrupts += " 54:   1   2   PCI-MSI   eth9\n";
    host.put("sys/class/net/eth9/device/msi_irqs/54", "msix\n");
    host.put("proc/irq/54/smp_affinity_list", "0-39\n");
    host.put("proc/interrupts", &interrupts);
    host.put("bin/channels", "2\n");
    host.put("bin/ethtool", ETHTOOL);
    let program = host.path().join("bin/ethtool");
    fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir_all(host.path().join("var/lib/ringpost-tuning")).unwrap();
    host
}

fn irq(host: &Directory, arguments: &[&str]) -> Finished {
    let arguments = [&["--root", host.text()], arguments].concat();
    let path = format!("{}/bin:{}", host.text(), env::var("PATH").unwrap_or_default());
    run_with_path(project().join("tuning/irq"), &arguments, &path)
}

#[test]
fn each_queue_gets_a_cpu_and_undo_takes_it_back() {
    let host = host("irq");
    let before = host.snapshot();
    // Six shards, of which the fifth and sixth share the queues of the first and second.
    let arguments = ["--interface", "eth9", "--cpus", "34-39", "--rfs"];

    let dry = irq(&host, &[&["dry-run"], &arguments[..]].concat()).exited(0);
    dry.says(&["would set the queues of eth9 from 2 to 4"]);
    assert_eq!(host.snapshot(), before, "a dry run changes nothing");

    irq(&host, &[&["apply"], &arguments[..]].concat()).exited(0);
    assert_eq!(host.read("bin/channels"), "4\n");
    for (irq, cpu) in [(50, "34\n"), (51, "35\n"), (52, "36\n"), (53, "37\n"), (54, "0-39\n")] {
        assert_eq!(host.read(&format!("proc/irq/{irq}/smp_affinity_list")), cpu);
    }
    let queues = "sys/class/net/eth9/queues";
    assert_eq!(host.read(&format!("{queues}/tx-0/xps_cpus")), "00000044,00000000\n");
    assert_eq!(host.read(&format!("{queues}/rx-0/rps_cpus")), "00000044,00000000\n");
    assert_eq!(host.read(&format!("{queues}/tx-3/xps_cpus")), "00000020,00000000\n");
    assert_eq!(host.read(&format!("{queues}/rx-3/rps_cpus")), "00,00000000\n");
    assert_eq!(host.read(&format!("{queues}/rx-3/rps_flow_cnt")), "8192\n");
    assert_eq!(host.read("proc/sys/net/core/rps_sock_flow_entries"), "32768\n");

    let applied = host.snapshot();
    let again = irq(&host, &[&["apply"], &arguments[..]].concat()).exited(0);
    assert_eq!(again.output, "");
    assert_eq!(host.snapshot(), applied);

    irq(&host, &["undo"]).exited(0);
    let empty_state = host.snapshot();
    assert_eq!(empty_state, before);
    irq(&host, &["undo"]).exited(0).says(&["nothing to undo"]);
}

#[test]
fn the_ring_grows_only_when_asked() {
    let host = host("irq-rings");
    let arguments = ["--interface", "eth9", "--cpus", "0-3"];
    irq(&host, &[&["apply"], &arguments[..]].concat()).exited(0);
    assert!(!host.path().join("bin/rings").exists());
    irq(&host, &[&["apply", "--rings"], &arguments[..]].concat()).exited(0);
    assert!(host.read("bin/rings").starts_with("-G eth9 rx 4096\n"));
    irq(&host, &["undo"]).exited(0).says(&["restored eth9 to 512"]);
    assert!(host.read("bin/rings").ends_with("-G eth9 rx 512\n"));
}

#[test]
fn mistakes_are_explained() {
    let host = host("irq-mistakes");
    irq(&host, &["dry-run", "--interface", "eth8"]).exited(2).says(&["no interface eth8"]);
    let odd = irq(&host, &["dry-run", "--interface", "eth9", "--cpus", "all"]);
    odd.exited(2).says(&["all is no list of CPUs"]);
}
