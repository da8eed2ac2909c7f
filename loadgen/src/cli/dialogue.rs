//! How a source speaks: connections, extensions, protection.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{ArgAction, Args};

use crate::client::Mechanism;
use crate::source::AddressList;
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
    /// Send contents by BDAT (CHUNKING) instead of DATA; a server must offer it.
    #[arg(long)]
    pub(crate) bdat: bool,
    /// Cut contents into pieces of at most this many bytes [default: whole messages].
    #[arg(long, requires = "bdat")]
    pub(crate) bdat_chunk_bytes: Option<NonZeroUsize>,
    /// Send contents with bytes above 127, declared by BODY=8BITMIME; a server must offer it.
    #[arg(long = "8bitmime")]
    pub(crate) eight_bit_mime: bool,
    /// Send header fields beyond ASCII, and allow it in addresses, declared by SMTPUTF8; a server
    /// must offer it.
    #[arg(long)]
    pub(crate) smtputf8: bool,
    /// Do not declare the size of messages where the server offers SIZE.
    #[arg(long)]
    pub(crate) no_size: bool,
    /// Log in on each connection.
    #[arg(long, value_enum, requires = "user")]
    pub(crate) auth: Option<Mechanism>,
    /// The name to log in with.
    #[arg(long, requires = "auth")]
    pub(crate) user: Option<String>,
    /// The password is the first line of this file [default: the environment's LOADGEN_PASSWORD].
    #[arg(long, requires = "auth")]
    pub(crate) password_file: Option<PathBuf>,
    /// Send the password over connections that are not protected, too.
    #[arg(long, requires = "auth")]
    pub(crate) auth_without_tls: bool,
    /// Connect from these addresses in turn, for instance 127.0.0.2-127.0.0.50,10.0.0.0/24.
    #[arg(long)]
    pub(crate) source_addresses: Option<AddressList>,
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
