//! `kill -9` under load: what was answered with 250 arrives, and little arrives twice.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use crate::support::{
    Config, LoadgenSink, LoadgenSource, Ringpost, Scenario, Sink, loadgen_program, random_bytes,
    scenario, split_trace,
};

/// Messages of the load.
const MESSAGE_COUNT: usize = 20_000;

/// Bytes of each.
const MESSAGE_BYTES: usize = 2_048;

/// Times that the server is killed.
const KILL_COUNT: usize = 10;

/// Connections of the source. Each waits for the reply to a message before it sends the next.
const SOURCE_CONNECTIONS: usize = 20;

/// Connections of the relay to the sink, over all shards.
const RELAY_CONNECTIONS: usize = 20;

/// Outcomes of one relay connection whose commit may be under way. The sink takes
/// [`SINK_DELAY_MS`] for each message, so that this many fall into four times that, which is long
/// for a commit even on a disk that is shared with a compiler.
const OUTCOMES_UNCOMMITTED_PER_CONNECTION: usize = 4;

/// Time that the sink takes to answer a message it has already written down.
const SINK_DELAY_MS: &str = "10";

/// Messages that one kill can double. On the way in: those that were stored and whose 250 did not
/// get through, at most one a connection, since the source waits for it; it sends them again. On
/// the way out, for each connection: the one that the sink has written down and not answered, and
/// those that it has answered and whose outcome is not yet on disk.
const DUPLICATES_PER_KILL_MAX: usize =
    SOURCE_CONNECTIONS + RELAY_CONNECTIONS * (1 + OUTCOMES_UNCOMMITTED_PER_CONNECTION);

/// After the count that decides on a kill is reached: up to this much more, so that kills fall
/// between the source's looks at its clock as well.
const JITTER_MS_MAX: u64 = 150;

/// Generous: two processes without optimisation share two CPUs with whatever runs beside them.
const CRASH_LIMIT: Duration = Duration::from_secs(600);

/// Repeats a run: the moments of the kills come from it.
const SEED_VARIABLE: &str = "RINGPOST_TEST_SEED";

#[test]
fn nothing_acknowledged_is_lost() {
    loadgen_program();
    let seed = std::env::var(SEED_VARIABLE).map_or_else(
        |_| u64::from_be_bytes(random_bytes()),
        |text| text.parse().expect("a seed is a whole number"),
    );
    eprintln!("{SEED_VARIABLE}={seed}");
    scenario(CRASH_LIMIT, move |test| kill_again_and_again(test, Dice(seed)));
}

fn kill_again_and_again(test: &Scenario, mut dice: Dice) {
    let mut sink = LoadgenSink::start_with(test, &["--delay-end-of-data-ms", SINK_DELAY_MS]);
    let config = Config::relaying_to(test, sink.address()).shards(2).set(
        "delivery",
        "connections_per_site_max",
        RELAY_CONNECTIONS,
    );
    let mut server = Ringpost::start(test, &config);
    let load = (MESSAGE_COUNT, MESSAGE_BYTES, SOURCE_CONNECTIONS);
    let mut source = LoadgenSource::start(test, config.smtp_address(), load);

    for kill in 0..KILL_COUNT {
        // One moment in each tenth of the load, at any place of it but the last bit: then the
        // source would be done before the kill.
        let tenth = MESSAGE_COUNT / KILL_COUNT;
        let count = kill * tenth + dice.below(tenth * 3 / 4);
        test.wait_until(&format!("{count} messages to be acknowledged"), || {
            source.acked_count() >= count || {
                assert!(source.is_running(), "the source has given up");
                false
            }
        });
        thread::sleep(Duration::from_millis(dice.below_u64(JITTER_MS_MAX)));
        server.kill();
        server = Ringpost::start(test, &config);
    }

    let acked = source.finish(test);
    server.wait_queue_empty(test);
    server.stop(test);
    assert_eq!(acked.len(), MESSAGE_COUNT, "the source has a 250 for each");
    assert_whole(&sink);
    assert_arrived_at_least_once(&acked, &sink.stop(test));
}

/// Nothing half written was offered for delivery.
fn assert_whole(sink: &LoadgenSink) {
    for received in sink.received() {
        let (trace, content) = split_trace(&received.content, &["Received"]);
        assert_eq!(trace.len(), 1);
        assert_eq!(content.len(), MESSAGE_BYTES, "{}", received.content.escape_ascii());
        assert!(content.ends_with(b"\r\n"));
    }
}

fn assert_arrived_at_least_once(acked: &[String], arrived: &[String]) {
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for id in arrived {
        *times.entry(id).or_default() += 1;
    }
    assert!(!times.contains_key("-"), "every message kept its header");
    let lost: Vec<&String> = acked.iter().filter(|id| !times.contains_key(id.as_str())).collect();
    assert!(lost.is_empty(), "{} acknowledged messages are lost: {lost:?}", lost.len());
    let duplicates = arrived.len() - times.len();
    let bound = KILL_COUNT * DUPLICATES_PER_KILL_MAX;
    eprintln!("{duplicates} duplicates after {KILL_COUNT} kills; in flight were at most {bound}");
    assert!(duplicates <= bound, "{duplicates} duplicates, more than the {bound} in flight");
}

/// SplitMix64: numbers that follow from a seed.
struct Dice(u64);

impl Dice {
    fn below_u64(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.below_u64(bound as u64)).expect("less than a usize")
    }
}
