//! The session against transcripts, at every cut, and at the ends of its bounds.

mod bounds;
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
    bad_commands,
    bare_line_ends,
    closing,
    content,
    draining,
    eight_bit,
    end_of_input,
    limits,
    order,
    pipelining,
    relay_denied,
    simple,
    storage,
    timeouts,
}
