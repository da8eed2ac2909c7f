//! The name servers that the server asks.

use super::{Look, Probe, Remedy, Section, Setting, Wanted, Weight, Worth};

pub(super) const SETTINGS: &[Setting] = &[Setting {
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
}];
