//! The clock: what reading it costs, and whether it is right.

use std::hint::black_box;
use std::io;

use crate::doctor::found::Found;
use crate::doctor::host::Host;
use crate::io::time;

use super::NOT_MEASURED;

const READING_COUNT: u64 = 20_000;

pub(super) fn read(host: &Host) -> Found {
    if !host.measures {
        return Found::NotHere(NOT_MEASURED.to_owned());
    }
    // The best of several: whatever else the CPU did meanwhile is no part of it.
    let rounds = (0..5).map(|_| {
        let before = time::monotonic();
        for _ in 0..READING_COUNT {
            black_box(time::monotonic());
        }
        time::monotonic().saturating_since(before).as_nanos()
    });
    let least = rounds.min().unwrap_or_default() / u128::from(READING_COUNT);
    Found::number(u64::try_from(least).unwrap_or(u64::MAX))
}

pub(super) fn synchronised(host: &Host) -> Found {
    match (host.ask)("timedatectl", &["show", "--property=NTPSynchronized", "--value"]) {
        Ok(text) => match text.trim() {
            answer @ ("yes" | "no") => Found::text(answer),
            _ => Found::Unknown("timedatectl does not say it".to_owned()),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Found::Unknown("timedatectl is not installed; chronyc tracking may tell".to_owned())
        }
        Err(error) => Found::Unknown(format!("timedatectl: {error}")),
    }
}
