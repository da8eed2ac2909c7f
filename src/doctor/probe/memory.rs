//! The memory of the host.

use crate::doctor::found::{Found, Value};
use crate::doctor::host::Host;
use crate::io::memory::MemorySource;

use super::read;

pub(super) fn swap(host: &Host) -> Found {
    read(host, "/proc/meminfo", |text| {
        let line = text.lines().find_map(|line| line.strip_prefix("SwapTotal:"))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(Value::Number(kib.saturating_mul(1_024)))
    })
}

pub(super) fn for_server(host: &Host) -> Found {
    let Some(bytes) = MemorySource::below(&host.root).limit_bytes() else {
        return Found::Unknown("neither the host nor a control group tells its memory".to_owned());
    };
    let share = u128::from(bytes) * 100 / u128::from(host.config.limits.memory_max_bytes.max(1));
    Found::number(u64::try_from(share).unwrap_or(u64::MAX))
}
