//! What happens to a queue and its twin.

use proptest::prelude::*;

#[derive(Clone, Debug)]
pub(super) enum Operation {
    Insert { domains: Vec<u8>, attempts: u16, ahead_s: i64, asks: Asks },
    Advance { seconds: u64 },
    Connect,
    Opened { pick: usize },
    Closed { pick: usize },
    Take { domain: u8 },
    GiveBack { pick: usize },
    Settle { pick: usize, decisions: Vec<u8> },
    DeferSite { domain: u8, count_max: usize },
    Remove { pick: usize },
}

/// What a client asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Asks {
    pub(super) priority: Option<i8>,
    pub(super) hold_s: Option<u64>,
    /// Seconds from now, and whether only to be told.
    pub(super) by: Option<(i64, bool)>,
    pub(super) delay: bool,
}

fn asks() -> impl Strategy<Value = Asks> {
    let parts = (
        prop::option::weighted(0.3, -2_i8..=2),
        prop::option::weighted(0.1, 0_u64..100),
        prop::option::weighted(0.2, (-50_i64..250, any::<bool>())),
        prop::bool::weighted(0.2),
    );
    parts.prop_map(|(priority, hold_s, by, delay)| Asks { priority, hold_s, by, delay })
}

fn insertion() -> impl Strategy<Value = Operation> {
    let parts = (prop::collection::vec(0_u8..5, 1..6), 0_u16..3, -250_i64..100, asks());
    parts.prop_map(|(domains, attempts, ahead_s, asks)| Operation::Insert {
        domains,
        attempts,
        ahead_s,
        asks,
    })
}

pub(super) fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        4 => insertion(),
        3 => (0_u64..40).prop_map(|seconds| Operation::Advance { seconds }),
        3 => Just(Operation::Connect),
        1 => any::<usize>().prop_map(|pick| Operation::Opened { pick }),
        1 => any::<usize>().prop_map(|pick| Operation::Closed { pick }),
        6 => (0_u8..5).prop_map(|domain| Operation::Take { domain }),
        1 => any::<usize>().prop_map(|pick| Operation::GiveBack { pick }),
        5 => (any::<usize>(), prop::collection::vec(0_u8..6, 2))
            .prop_map(|(pick, decisions)| Operation::Settle { pick, decisions }),
        1 => (0_u8..5, 0_usize..4)
            .prop_map(|(domain, count_max)| Operation::DeferSite { domain, count_max }),
        1 => any::<usize>().prop_map(|pick| Operation::Remove { pick }),
    ]
}
