//! What this process may have, and the server that has the spool.

use crate::doctor::found::{Found, Value};
use crate::doctor::host::Host;
use crate::host_check::spool_holder;
use crate::limits::SHARD_MEMLOCK_BYTES;

use super::read;

/// Number of CAP_IPC_LOCK in the masks of `/proc/PID/status` (capabilities(7)).
const IPC_LOCK_BIT: u32 = 14;

pub(super) fn open_files(host: &Host) -> Found {
    limit(host, "self", "Max open files")
}

pub(super) fn locked_memory(host: &Host) -> Found {
    memory(host, "self")
}

pub(super) fn server_open_files(host: &Host) -> Found {
    match server(host) {
        Ok(process) => limit(host, &process, "Max open files"),
        Err(reason) => Found::NotHere(reason),
    }
}

pub(super) fn server_locked_memory(host: &Host) -> Found {
    match server(host) {
        Ok(process) => memory(host, &process),
        Err(reason) => Found::NotHere(reason),
    }
}

/// The number of the process that has the spool.
fn server(host: &Host) -> Result<String, String> {
    let nobody = || "no server runs on this spool".to_owned();
    let process = spool_holder(&host.config.spool.path).ok_or_else(nobody)?;
    Ok(process.to_string())
}

/// The hard limit `name`, to which the server raises the soft one.
fn limit(host: &Host, process: &str, name: &str) -> Found {
    read(host, &format!("/proc/{process}/limits"), |text| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        let hard = line.split_ascii_whitespace().nth(1)?;
        if hard == "unlimited" {
            Some(Value::Unlimited)
        } else {
            Some(Value::Number(hard.parse().ok()?))
        }
    })
}

fn memory(host: &Host, process: &str) -> Found {
    let found = limit(host, process, "Max locked memory");
    // The kernel does not count for whoever may lock freely, but each executor looks at the limit
    // all the same.
    let is_enough_for_one = matches!(&found, Found::Values(items)
    if items.iter().all(|item| match item.value {
        Value::Number(bytes) => bytes >= SHARD_MEMLOCK_BYTES,
        Value::Unlimited => true,
        Value::Text(_) => false,
    }));
    if is_enough_for_one && locks_freely(host, process) {
        Found::one(Value::Unlimited)
    } else {
        found
    }
}

fn locks_freely(host: &Host, process: &str) -> bool {
    let status = host.read(&format!("/proc/{process}/status")).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> IPC_LOCK_BIT & 1 == 1)
}
