//! The spool against crashes: random work on a simulated disk that tears, reorders, fails and fills
//! up, with recoveries in between, compared with a model that loses nothing.
//!
//! A fixed range of seeds and a random one that is printed. One seed alone:
//! `RINGPOST_CRASH_SEED=7 cargo test --test crash`; more of them: `RINGPOST_CRASH_SEEDS=10000`.

#![allow(clippy::expect_used, reason = "a test fails by a panic")]

mod damage;
mod model;
mod world;

use std::hash::{BuildHasher, RandomState};

use world::World;

const SEED_COUNT: u64 = 150;

#[test]
fn nothing_accepted_is_lost_and_nothing_half_written_is_offered() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = number("RINGPOST_CRASH_SEED") {
        let world = World::run(seed);
        println!("seed {seed}: {:?}", world.tally());
        return;
    }
    let random = RandomState::new().hash_one(0_u8) >> 16;
    println!("random seed {random}");
    let mut tally = world::Tally::default();
    for seed in (0..number("RINGPOST_CRASH_SEEDS").unwrap_or(SEED_COUNT)).chain([random]) {
        let world = std::panic::catch_unwind(|| World::run(seed));
        match world {
            Ok(world) => tally.add(world.tally()),
            Err(panic) => {
                eprintln!("failed with RINGPOST_CRASH_SEED={seed}");
                std::panic::resume_unwind(panic);
            }
        }
    }
    println!("{tally:?}");
    tally.assert_everything_happened();
}

#[test]
fn the_same_seed_gives_the_same_history() {
    for seed in 1_000..1_005 {
        assert_eq!(World::run(seed).trace(), World::run(seed).trace(), "seed {seed}");
    }
}
