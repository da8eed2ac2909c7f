//! From the options about the dialogue to what a session says.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use crate::cli::DialogueArgs;
use crate::client::{ClientSettings, Login, Transfer};
use crate::console::naming;
use crate::source::Origins;
use crate::tls::TlsMode;

/// Where a password comes from that no file has.
const PASSWORD_VARIABLE: &str = "LOADGEN_PASSWORD";

/// What a session says; `is_8bit` if contents have bytes above 127, `is_ascii` if addresses have
/// none.
///
/// # Errors
/// There is no password, or it cannot be sent; an address needs SMTPUTF8.
pub(super) fn client_settings(
    args: &DialogueArgs,
    is_8bit: bool,
    is_ascii: bool,
) -> io::Result<ClientSettings> {
    if !is_ascii && !args.smtputf8 {
        let text = "an address goes beyond ASCII; use --smtputf8 to send it (RFC 6531)";
        return Err(io::Error::other(text));
    }
    let chunk_bytes = args.bdat_chunk_bytes.map_or(usize::MAX, std::num::NonZeroUsize::get);
    Ok(ClientSettings {
        name: args.ehlo.clone(),
        pipelining: !args.no_pipelining,
        starttls: args.tls == TlsMode::Starttls,
        login: login(args)?,
        transfer: if args.bdat { Transfer::Bdat { chunk_bytes } } else { Transfer::Data },
        declares_size: !args.no_size,
        is_8bit: is_8bit || args.eight_bit_mime,
        is_utf8: args.smtputf8,
    })
}

/// Where connections come from.
///
/// # Errors
/// An address is not ours, or leads nowhere near `target`.
pub(super) fn origins(args: &DialogueArgs, target: SocketAddr) -> io::Result<Origins> {
    match &args.source_addresses {
        Some(list) => Origins::new(list.clone(), target),
        None => Ok(Origins::default()),
    }
}

fn login(args: &DialogueArgs) -> io::Result<Option<Login>> {
    let (Some(mechanism), Some(user)) = (args.auth, &args.user) else {
        return Ok(None);
    };
    if args.tls == TlsMode::None && !args.auth_without_tls {
        let text = "a password is not sent in the clear: use --tls, or --auth-without-tls if \
                    whoever is on the way may read it";
        return Err(io::Error::other(text));
    }
    let password = password(args.password_file.as_deref())?;
    Login::new(mechanism, user, &password, args.auth_without_tls)
        .map(Some)
        .map_err(io::Error::other)
}

fn password(file: Option<&Path>) -> io::Result<String> {
    let Some(path) = file else {
        return std::env::var(PASSWORD_VARIABLE).map_err(|_| {
            let text = format!(
                "there is no password: use --password-file, or put it into the environment as \
                 {PASSWORD_VARIABLE}"
            );
            io::Error::other(text)
        });
    };
    let text = std::fs::read_to_string(path).map_err(naming(path))?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}
