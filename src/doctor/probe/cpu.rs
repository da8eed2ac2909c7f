//! The CPUs of the shards.

use std::collections::BTreeSet;

use crate::config::CpuList;
use crate::doctor::found::{Found, Item, Value};
use crate::doctor::host::Host;

use super::read;

pub(super) fn beside_shards(host: &Host) -> Found {
    let shards = &host.config.shards.cpus;
    let beside = host.facts.cpus_allowed.as_slice().iter().filter(|cpu| !shards.contains(**cpu));
    Found::number(beside.count() as u64)
}

pub(super) fn on_shared_cores(host: &Host) -> Found {
    let cpus = &host.config.shards.cpus;
    let mut sharing = 0;
    for cpu in cpus.as_slice() {
        let path = format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list");
        let Some(siblings) = list(host, &path) else {
            return Found::NotHere("the kernel does not tell the cores of the CPUs".to_owned());
        };
        let others = siblings.as_slice().iter().filter(|other| *other != cpu);
        sharing += u64::from(others.into_iter().any(|other| cpus.contains(*other)));
    }
    Found::number(sharing)
}

pub(super) fn memory_nodes(host: &Host) -> Found {
    let mut nodes = BTreeSet::new();
    for cpu in host.config.shards.cpus.as_slice() {
        let names = host.names_in(&format!("/sys/devices/system/cpu/cpu{cpu}"));
        let is_node = |name: &String| {
            name.strip_prefix("node").is_some_and(|number| number.parse::<u32>().is_ok())
        };
        nodes.extend(names.into_iter().filter(is_node));
    }
    if nodes.is_empty() {
        return Found::NotHere("this kernel knows no memory nodes".to_owned());
    }
    Found::number(nodes.len() as u64)
}

pub(super) fn isolated(host: &Host) -> Found {
    read(host, "/sys/devices/system/cpu/isolated", |text| {
        let text = text.trim();
        let isolated =
            if text.is_empty() { CpuList::new(Vec::new()) } else { text.parse().ok()? };
        let shards = host.config.shards.cpus.as_slice().iter();
        Some(Value::Number(shards.filter(|cpu| isolated.contains(**cpu)).count() as u64))
    })
}

/// The longest wake-up from a state that is not switched off, for each CPU.
pub(super) fn sleep_states(host: &Host) -> Found {
    let mut items = Vec::new();
    for cpu in host.config.shards.cpus.as_slice() {
        let directory = format!("/sys/devices/system/cpu/cpu{cpu}/cpuidle");
        let number = |state: &str, file: &str| -> Option<u64> {
            host.read(&format!("{directory}/{state}/{file}")).ok()?.trim().parse().ok()
        };
        let states = host.names_in(&directory);
        let longest = states
            .iter()
            .filter(|state| number(state, "disable") != Some(1))
            .filter_map(|state| number(state, "latency"))
            .max();
        if let Some(longest) = longest {
            items.push(Item::new(cpu.to_string(), Value::Number(longest)));
        }
    }
    Found::each(items, "the kernel does not choose how the CPUs sleep")
}

/// Of all time since boot, in percent, rounded up from one in two hundred.
pub(super) fn stolen(host: &Host) -> Found {
    read(host, "/proc/stat", |text| {
        let line = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
        let ticks: Vec<u64> = line.split_ascii_whitespace().map_while(|n| n.parse().ok()).collect();
        // proc_stat(5): user, nice, system, idle, iowait, irq, softirq, steal; what follows is
        // counted in the first two as well.
        let all: u64 = ticks.iter().take(8).sum();
        let stolen = ticks.get(7)?;
        Some(Value::Number((stolen * 100 + all / 2).checked_div(all)?))
    })
}

/// The list of CPUs in the file at `path`, if it has one.
pub(super) fn list(host: &Host, path: &str) -> Option<CpuList> {
    host.read(path).ok()?.trim().parse().ok()
}
