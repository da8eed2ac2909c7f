//! The commands: from the command line to what is printed.

pub(crate) mod compare;
mod dialogue;
pub(crate) mod report;
pub(crate) mod schema;
pub(crate) mod sink;
pub(crate) mod source;
pub(crate) mod verify;

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::console::{ProgressLine, grouped, naming, rounded};
use crate::ids::IdLog;

/// How often the main thread looks after its threads.
const GLANCE: Duration = Duration::from_millis(20);

/// How often the progress line changes.
const PROGRESS: Duration = Duration::from_millis(500);

/// Shows how fast `count` grows until `ended`.
fn watch(line: &mut ProgressLine, ended: impl Fn() -> bool, count: impl Fn() -> u64) {
    let (mut shown_at, mut shown) = (Instant::now(), 0);
    while !ended() {
        std::thread::sleep(GLANCE);
        let since = shown_at.elapsed();
        if since >= PROGRESS {
            let count = count();
            let rate = (count - shown) as f64 / since.as_secs_f64();
            line.show(&format!("{} messages, {}/s", grouped(count), rounded(rate)));
            (shown_at, shown) = (Instant::now(), count);
        }
    }
}

fn duration(number: f64, unit_s: f64) -> io::Result<Duration> {
    // A longer time would not fit in a clock.
    const SECONDS_MAX: f64 = 1e9;
    Duration::try_from_secs_f64((number * unit_s).min(SECONDS_MAX))
        .map_err(|error| io::Error::other(format!("{number} is not a time: {error}")))
}

fn create_log(path: Option<&Path>) -> io::Result<Option<Arc<File>>> {
    IdLog::create(path).map_err(naming(path.unwrap_or_else(|| Path::new(""))))
}
