//! The whole program at work: source into sink, each with Postfix's tools at the other end, and the
//! bench around a server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may fail by panic, its helpers too"
)]

mod accounting;
mod behaving;
mod behaviour;
mod behaviour_clients;
mod behaviour_limits;
mod behaviour_refusals;
mod bench;
mod compare;
mod dialogue;
mod dialogue_server;
mod harness;
mod made_up;
mod pair;
mod peers;
mod postfix_tools;
mod reconnect;
mod report;
mod schema;
mod silent_server;
mod stalling_server;
mod workload;
