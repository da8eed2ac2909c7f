//! The `ringpost` program.

fn main() {}
