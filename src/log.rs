//! The log: lines on standard error, written by a thread of their own.
//!
//! Levels, from rare to frequent: ERROR: mail or the process is in danger. WARN: worth waking
//! someone. INFO (the default): starts, stops, and what an operator did. DEBUG: sessions and
//! deliveries; addresses of people appear from here on only. TRACE: commands and replies.
//!
//! # Guarantees
//! An event is a line, whatever a peer said that is quoted in it. Whoever logs never waits: a line
//! that finds the queue full is dropped and counted. Lines that were queued are written before
//! [`Log`] is gone.
//!
//! # Bounds
//! [`LOG_LINE_COUNT_MAX`] lines wait at most.

use std::io::{self, IsTerminal, Write};

use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::time::SystemTime;
use tracing_subscriber::util::SubscriberInitExt;

use crate::limits::LOG_LINE_COUNT_MAX;

/// The environment variable with the level, where `--log` is not given.
pub const LEVEL_VARIABLE: &str = "RINGPOST_LOG";

const LEVEL_DEFAULT: &str = "info";

/// Keeps the log running. Whoever drops it waits until the queued lines are written.
#[derive(Debug)]
pub struct Log {
    dropped: DroppedLines,
    _writer: WorkerGuard,
}

impl Log {
    /// The count of lines that were not written, for metrics.
    pub fn dropped_lines(&self) -> DroppedLines {
        self.dropped.clone()
    }
}

/// How many lines of the log were not written because it could not keep up.
#[derive(Clone, Debug)]
pub struct DroppedLines(ErrorCounter);

impl DroppedLines {
    /// Of what goes through `writer`.
    pub(crate) fn of(writer: &NonBlocking) -> Self {
        Self(writer.error_counter())
    }

    /// The count since the start.
    pub fn get(&self) -> u64 {
        u64::try_from(self.0.dropped_lines()).unwrap_or(u64::MAX)
    }
}

/// Starts the log of this process, once. `level` is a level or a list of filters such as
/// `info,ringpost::shard=debug`; without one the environment decides, then it is `info`.
///
/// # Errors
/// A line that says what is wrong with the level, or that a log is running already.
pub fn start(level: Option<&str>) -> Result<Log, String> {
    let from_environment = std::env::var(LEVEL_VARIABLE).ok();
    let filter = filter(level, from_environment.as_deref())?;
    let (writer, guard) = NonBlockingBuilder::default()
        .buffered_lines_limit(LOG_LINE_COUNT_MAX)
        .lossy(true)
        .thread_name("ringpost-log")
        .finish(io::stderr());
    let dropped = DroppedLines::of(&writer);
    subscriber(filter, writer, io::stderr().is_terminal())
        .try_init()
        .map_err(|error| format!("the log cannot be started: {error}"))?;
    Ok(Log { dropped, _writer: guard })
}

fn filter(level: Option<&str>, from_environment: Option<&str>) -> Result<EnvFilter, String> {
    let (text, origin) = match (level, from_environment) {
        (Some(text), _) => (text, "--log"),
        (None, Some(text)) if !text.is_empty() => (text, LEVEL_VARIABLE),
        (None, Some(_) | None) => (LEVEL_DEFAULT, "the default"),
    };
    EnvFilter::try_new(text).map_err(|error| {
        format!(
            "{origin}: {text:?} is not a log level: {error}; write error, warn, info, debug or \
             trace, or filters as in info,ringpost::shard=debug"
        )
    })
}

/// Writes time in UTC (RFC 3339), level, message and fields of each event. The module it comes from
/// is named only where DEBUG or TRACE is asked for: it helps there.
fn subscriber<W>(filter: EnvFilter, writer: W, colours: bool) -> impl SubscriberInitExt
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let is_detailed = filter
        .max_level_hint()
        .is_some_and(|level| level > tracing::level_filters::LevelFilter::INFO);
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(OneLine(writer))
        .with_timer(SystemTime)
        .with_ansi(colours)
        .with_target(is_detailed)
        .finish()
}

/// Keeps each event on its line: the formatter writes it in one piece, and a line break inside it
/// can only be quoted text.
struct OneLine<W>(W);

impl<'w, W: MakeWriter<'w>> MakeWriter<'w> for OneLine<W> {
    type Writer = OneLine<W::Writer>;

    fn make_writer(&'w self) -> Self::Writer {
        OneLine(self.0.make_writer())
    }
}

impl<W: Write> Write for OneLine<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let inside = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        if memchr::memchr2(b'\n', b'\r', inside).is_none() {
            return self.0.write(bytes);
        }
        let mut line = Vec::with_capacity(bytes.len() + 16);
        for byte in inside {
            match byte {
                b'\n' => line.extend_from_slice(b"\\n"),
                b'\r' => line.extend_from_slice(b"\\r"),
                _ => line.push(*byte),
            }
        }
        line.extend_from_slice(bytes.strip_prefix(inside).unwrap_or_default());
        // The writer takes a line whole or drops it whole.
        self.0.write_all(&line).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn the_command_line_wins_over_the_environment() {
        let cases = [
            (None, None, "info"),
            (None, Some(""), "info"),
            (None, Some("debug"), "debug"),
            (Some("trace"), Some("debug"), "trace"),
            (Some("info,ringpost::shard=debug"), None, "ringpost::shard=debug,info"),
        ];
        for (level, environment, expected) in cases {
            let filter = filter(level, environment).expect("a filter");
            assert_eq!(filter.to_string(), expected);
        }
        let error = filter(Some("loud=very"), None).expect_err("no level");
        assert!(error.starts_with("--log: \"loud=very\" is not a log level"), "{error}");
        let error = filter(None, Some("a=b")).expect_err("no level");
        assert!(error.starts_with("RINGPOST_LOG: "), "{error}");
    }

    /// Memory that a log is written to.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("not poisoned").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(level: &str) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let filter = filter(Some(level), None).expect("a filter");
        let guard = subscriber(filter, move || writer.clone(), false).set_default();
        tracing::info!(listener = "127.0.0.1:2525", "listening");
        tracing::debug!("peer said \x1b[31m\r\nthis");
        drop(guard);
        let bytes = lines.0.lock().expect("not poisoned").clone();
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn a_line_has_time_level_and_fields() {
        let text = logged("info");
        let (time, rest) = text.split_once(' ').expect("a time");
        assert!(time.ends_with('Z') && time.len() > 20 && &time[10..11] == "T", "{time}");
        assert_eq!(rest, " INFO listening listener=\"127.0.0.1:2525\"\n");
    }

    #[test]
    fn what_a_peer_said_stays_on_its_line_and_sends_no_control_sequences() {
        let text = logged("debug");
        assert_eq!(text.lines().count(), 2, "{text:?}");
        assert!(text.ends_with("peer said \\x1b[31m\\r\\nthis\n"), "{text:?}");
    }

    #[test]
    fn a_full_queue_drops_lines_and_counts_them() {
        /// Takes nothing until it is let go.
        struct Stuck(std::sync::mpsc::Receiver<()>);
        impl Write for Stuck {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                let _ = self.0.recv();
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (let_go, stuck) = std::sync::mpsc::channel();
        let (mut writer, guard) =
            NonBlockingBuilder::default().buffered_lines_limit(2).lossy(true).finish(Stuck(stuck));
        let dropped = DroppedLines::of(&writer);
        for _ in 0..10 {
            writer.write_all(b"line\n").expect("it never fails");
        }
        assert!(dropped.get() >= 7, "{}", dropped.get());
        drop(let_go);
        drop(guard);
    }
}
