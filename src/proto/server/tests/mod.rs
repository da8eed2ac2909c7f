//! The session against transcripts, at every cut, and at the ends of its bounds.

mod authentication;
mod bounds;
mod contents;
mod escapes;
mod identity;
mod parties;
mod patience;
mod random;
mod script;

use self::script::check;

macro_rules! transcripts {
    ($($name:ident,)*) => {
        /// Every transcript, for tests that go through all of them.
        const TRANSCRIPTS: &[&str] = &[
            $(include_str!(concat!("../../../../tests/data/", stringify!($name), ".smtp")),)*
        ];

        $(
            #[test]
            fn $name() {
                check(include_str!(concat!("../../../../tests/data/", stringify!($name), ".smtp")));
            }
        )*
    };
}

transcripts! {
    access_denied,
    access_denied_tls,
    access_not_allowed,
    addresses,
    authentication,
    authentication_blocked,
    authentication_failed,
    authentication_login,
    authentication_needed,
    authentication_scram,
    authentication_tls,
    bad_commands,
    bare_line_ends,
    binary,
    chunk_size,
    chunks,
    chunks_refused,
    certificates,
    certificates_unlisted,
    closing,
    content,
    delivery_times,
    draining,
    dsn,
    eight_bit,
    end_of_input,
    implicit_tls,
    lenient_paths,
    header_bounds,
    limits,
    memory,
    needed_first,
    not_offered,
    order,
    pipelining,
    relay_denied,
    relay_tricks,
    simple,
    smtputf8,
    smuggling,
    starttls,
    starttls_after_message,
    starttls_not_offered,
    storage,
    submission_content,
    strict_paths,
    timeouts,
    tls_forgets_user,
    tls_required,
    xclient,
    xclient_certificate,
    xclient_denied,
    xclient_login,
}
