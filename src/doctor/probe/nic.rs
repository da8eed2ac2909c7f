//! The network interfaces that packets of other hosts come through.

use std::collections::BTreeSet;
use std::io;

use crate::doctor::found::{Found, Item, Value};
use crate::doctor::host::Host;

use super::cpu;

const NONE: &str = "no physical network interface is up";

/// Interfaces with a device behind them that are up, or do not tell.
fn interfaces(host: &Host) -> Vec<String> {
    let mut names = host.names_in("/sys/class/net");
    names.retain(|name| {
        let directory = format!("/sys/class/net/{name}");
        let state = host.read(&format!("{directory}/operstate")).unwrap_or_default();
        host.path(&format!("{directory}/device")).exists()
            && ["up", "unknown"].contains(&state.trim())
    });
    names
}

fn queues(host: &Host, name: &str) -> Vec<String> {
    let mut queues = host.names_in(&format!("/sys/class/net/{name}/queues"));
    queues.retain(|queue| queue.starts_with("rx-"));
    queues
}

pub(super) fn receive_queues(host: &Host) -> Found {
    let items = interfaces(host).into_iter().map(|name| {
        let count = queues(host, &name).len() as u64;
        Item::new(name, Value::Number(count))
    });
    Found::each(items.collect(), NONE)
}

/// Shards' CPUs that neither an interrupt of a receive queue nor RPS brings packets to.
pub(super) fn cpus_without_packets(host: &Host) -> Found {
    let mut items = Vec::new();
    for name in interfaces(host) {
        let mut serving = BTreeSet::new();
        let mut spread_queues = 0;
        let queues = queues(host, &name);
        for queue in &queues {
            let path = format!("/sys/class/net/{name}/queues/{queue}/rps_cpus");
            let spread = host.read(&path).map(|mask| cpus_of_mask(&mask)).unwrap_or_default();
            spread_queues += usize::from(!spread.is_empty());
            serving.extend(spread);
        }
        // What RPS spreads is handled where it says and not where it arrives.
        if spread_queues < queues.len() {
            let Some(interrupted) = interrupted(host, &name) else {
                return Found::Unknown(format!("the interrupts of {name} are not listed"));
            };
            serving.extend(interrupted);
        }
        let shards = host.config.shards.cpus.as_slice();
        let without = shards.iter().filter(|cpu| !serving.contains(cpu)).count();
        items.push(Item::new(name, Value::Number(without as u64)));
    }
    Found::each(items, NONE)
}

/// The CPUs that the interrupts of the receive queues go to; nothing if none is found.
fn interrupted(host: &Host, name: &str) -> Option<BTreeSet<u16>> {
    let device = format!("/sys/class/net/{name}/device");
    // Those of a virtio device belong to the PCI device that it lies on.
    let mut numbers = host.names_in(&format!("{device}/msi_irqs"));
    if numbers.is_empty() {
        numbers = host.names_in(&format!("{device}/../msi_irqs"));
    }
    let all = host.read("/proc/interrupts").ok()?;
    let mut cpus = BTreeSet::new();
    for number in numbers {
        let is_it = |line: &&str| {
            line.trim_start().strip_prefix(&number).is_some_and(|rest| rest.starts_with(':'))
        };
        let line = all.lines().find(is_it).unwrap_or_default();
        if !is_of_receive_queue(line.split_ascii_whitespace().next_back().unwrap_or_default()) {
            continue;
        }
        let directory = format!("/proc/irq/{number}");
        let effective = cpu::list(host, &format!("{directory}/effective_affinity_list"));
        let list = effective.or_else(|| cpu::list(host, &format!("{directory}/smp_affinity_list")));
        cpus.extend(list.iter().flat_map(|list| list.as_slice()).copied());
    }
    (!cpus.is_empty()).then_some(cpus)
}

/// Drivers name their interrupts `eth0-TxRx-3`, `virtio0-input.3`, `mlx5_comp3@pci:…`, `eth0-rx-3`.
fn is_of_receive_queue(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let name = name.split('@').next().unwrap_or_default();
    let kind = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let kind = kind.trim_end_matches(['-', '.', '_']);
    kind.len() < name.len()
        && ["rx", "txrx", "comp", "input", "queue", "q"].iter().any(|end| kind.ends_with(end))
}

/// The CPUs of a mask as the kernel writes it: words of 32 bits in hexadecimal, the highest first.
fn cpus_of_mask(mask: &str) -> Vec<u16> {
    let digits = mask.trim().chars().rev().filter_map(|digit| digit.to_digit(16));
    let cpus = (0u16..).step_by(4).zip(digits).flat_map(|(first, digit)| {
        (0..4).filter(move |bit| digit >> bit & 1 == 1).map(move |bit| first + bit)
    });
    cpus.collect()
}

/// In a million of those received since boot, rounded up.
pub(super) fn packets_missed(host: &Host) -> Found {
    let mut items = Vec::new();
    for name in interfaces(host) {
        let number = |counter: &str| -> Option<u64> {
            let path = format!("/sys/class/net/{name}/statistics/{counter}");
            host.read(&path).ok()?.trim().parse().ok()
        };
        let counters = (number("rx_missed_errors"), number("rx_fifo_errors"), number("rx_packets"));
        let (Some(missed), Some(overrun), Some(received)) = counters else {
            return Found::Unknown(format!("{name} does not tell what it missed"));
        };
        let missed = missed.saturating_add(overrun);
        let share = missed.saturating_mul(1_000_000).div_ceil(received.max(1));
        items.push(Item::new(name, Value::Number(share)));
    }
    Found::each(items, NONE)
}

/// As `ethtool -k` calls them; what it marks `[fixed]` the interface cannot do.
const OFFLOADS: [&str; 5] = [
    "rx-checksumming",
    "tx-checksumming",
    "tcp-segmentation-offload",
    "generic-segmentation-offload",
    "generic-receive-offload",
];

pub(super) fn offloads_off(host: &Host) -> Found {
    let mut items = Vec::new();
    for name in interfaces(host) {
        match (host.ask)("ethtool", &["-k", &name]) {
            Ok(text) => items.push(Item::new(name, Value::Text(off(&text)))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Found::Unknown("ethtool is not installed: apt install ethtool".to_owned());
            }
            Err(error) => return Found::Unknown(format!("ethtool -k {name}: {error}")),
        }
    }
    Found::each(items, NONE)
}

fn off(text: &str) -> String {
    let off: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .filter(|(name, state)| OFFLOADS.contains(name) && state.trim() == "off")
        .map(|(name, _)| name)
        .collect();
    if off.is_empty() { "none".to_owned() } else { off.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_interrupts() {
        for name in ["eth0-TxRx-3", "virtio0-input.0", "mlx5_comp3@pci:0000:01:00.0", "eth0-rx-12"]
        {
            assert!(is_of_receive_queue(name), "{name}");
        }
        for name in ["virtio0-output.0", "virtio0-config", "eth0-tx-1", "mlx5_async0@pci:1", ""] {
            assert!(!is_of_receive_queue(name), "{name}");
        }
    }

    #[test]
    fn masks() {
        assert_eq!(cpus_of_mask("0\n"), Vec::<u16>::new());
        assert_eq!(cpus_of_mask("3"), [0, 1]);
        assert_eq!(cpus_of_mask("00000001,80000000"), [31, 32]);
    }

    #[test]
    fn offloads_that_could_be_on() {
        let text = "Features for eth0:\nrx-checksumming: on\ntx-checksumming: off\n\
                    \ttx-checksum-ipv4: off\ntcp-segmentation-offload: off [fixed]\n\
                    generic-receive-offload: off\nlarge-receive-offload: off\n";
        assert_eq!(off(text), "tx-checksumming generic-receive-offload");
        assert_eq!(off("rx-checksumming: on\n"), "none");
    }
}
