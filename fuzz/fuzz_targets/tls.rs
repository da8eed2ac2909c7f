//! See the body.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| ringpost_fuzz::tls::run(input));
