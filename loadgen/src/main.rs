//! Load generator for SMTP servers.

fn main() {}
