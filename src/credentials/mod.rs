//! Users and what proves who they are.

/// The users that may authenticate, by name.
#[derive(Debug, Default)]
pub struct Users {}
