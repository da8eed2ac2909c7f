//! How a source speaks: connections, extensions, protection.

use clap::{ArgAction, Args};

use crate::tls::TlsMode;

/// Options of `loadgen source` about the dialogue.
#[derive(Debug, Args)]
pub(crate) struct DialogueArgs {
    /// Close a connection after this many messages (0: keep it).
    #[arg(long, default_value_t = 0)]
    pub(crate) messages_per_connection: u64,
    /// Send MAIL, RCPT and DATA together where the server offers PIPELINING, which is the default.
    #[arg(long, overrides_with = "no_pipelining", action = ArgAction::SetTrue)]
    pub(crate) pipelining: bool,
    /// Wait for the reply to each command.
    #[arg(long)]
    pub(crate) no_pipelining: bool,
    /// With pipelining, send the commands of the next message behind each content, before its
    /// reply.
    #[arg(long, conflicts_with = "no_pipelining")]
    pub(crate) run_ahead: bool,
    /// Protect the connections; certificates are not checked.
    #[arg(long, value_enum, default_value_t = TlsMode::None)]
    pub(crate) tls: TlsMode,
    /// Make a full TLS handshake on each connection.
    #[arg(long)]
    pub(crate) no_resumption: bool,
    /// The name to give in EHLO.
    #[arg(long, default_value = "loadgen.example")]
    pub(crate) ehlo: String,
    /// Seconds to wait for a reply.
    #[arg(long, default_value_t = 60.0)]
    pub(crate) timeout: f64,
    /// When a connection fails, try again until the end; send messages without a 250, and those
    /// answered 4xx, again under the same id.
    #[arg(long)]
    pub(crate) reconnect: bool,
}
