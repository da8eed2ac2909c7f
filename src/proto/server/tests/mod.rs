//! The session against transcripts, at every cut, and at the ends of its bounds.

mod bounds;
mod identity;
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
    addresses,
    authentication_needed,
    bad_commands,
    bare_line_ends,
    closing,
    content,
    delivery_times,
    draining,
    dsn,
    eight_bit,
    end_of_input,
    lenient_paths,
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
    storage,
    strict_paths,
    timeouts,
}
