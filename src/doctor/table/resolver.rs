//! The name servers that the server asks.

use super::{Look, Probe, Remedy, Section, Setting, Wanted, Weight, Worth};

pub(super) const SETTINGS: &[Setting] = &[
    Setting {
        id: "resolver.place",
        section: Section::Resolver,
        title: "Place of the first name server",
        probe: Probe::Look(Look::ResolverPlace),
        wanted: Wanted::Is("local"),
        weight: Weight::Advice,
        why: "A message to a domain that was not seen before costs two or more look-ups before the \
              connection; a cache on this host answers most of them in microseconds.",
        worth: &[Worth::Source {
            name: "Unbound documentation",
            place: "https://unbound.docs.nlnetlabs.nl/",
        }],
        apply: Remedy::Configuration("[dns] servers = [\"127.0.0.1:53\"], with a resolver there"),
        undo: "take the line out of the configuration",
    },
    Setting {
        id: "resolver.latency",
        section: Section::Resolver,
        title: "Median answer of a name server, in microseconds",
        probe: Probe::Look(Look::ResolverLatency),
        wanted: Wanted::AtMost(1_000),
        weight: Weight::Note,
        why: "For what it has in its cache. A message to a new domain waits for two answers or \
              more.",
        worth: &[Worth::Source {
            name: "NLnet Labs, Unbound, Howto Optimise",
            place: "https://nlnetlabs.nl/documentation/unbound/howto-optimise",
        }],
        apply: Remedy::Advice("run a resolver on this host (guide, Resolver)"),
        undo: "stop the resolver",
    },
];
