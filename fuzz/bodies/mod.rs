//! What the fuzz targets do with their input. `tests/fuzz_corpus.rs` does the same with the inputs
//! in `corpus/`, so that each of them is a regression test.
//!
//! Each body asserts what must hold for every input: it compares with a twin that is plainly
//! right, or the same stream of bytes cut in different ways. That it does not panic is the least.

pub mod command;
pub mod data;
pub mod line;
pub mod proxy;
pub mod sasl;
pub mod session;
#[cfg(feature = "runtime")]
pub mod tls;

mod pieces;
