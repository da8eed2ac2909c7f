//! What sessions count: refusals by their kind, recipients by their domain.
//!
//! # Bounds
//! Kinds of refusals are no more than codes at places of a session. [`DOMAINS_MAX`] domains; what
//! is past them is counted under the name [`OTHERS`].

use std::collections::BTreeMap;

use crate::results::{DomainCount, RefusalCount};

const DOMAINS_MAX: usize = 100_000;

/// Domains in the results, those with the most recipients.
const DOMAINS_LISTED_MAX: usize = 1_000;

/// The domains that were not told apart.
const OTHERS: &str = "(others)";

/// Counts of one thread's sessions.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) connections_refused: u64,
    pub(crate) connections_dropped: u64,
    refusals: BTreeMap<(&'static str, u16), (u64, String)>,
    places: BTreeMap<Box<[u8]>, usize>,
    domains: Vec<(u64, u64)>,
    /// The last domain that was asked for: mail for one comes in runs.
    last: Option<(Box<[u8]>, usize)>,
}

impl Tally {
    /// One more refusal; the first text of its kind is kept.
    pub(crate) fn note_refusal(&mut self, stage: &'static str, code: u16, text: &str) {
        self.refusals.entry((stage, code)).or_insert_with(|| (0, text.to_owned())).0 += 1;
    }

    /// The place of `domain`, in whatever case.
    pub(crate) fn domain(&mut self, domain: &[u8]) -> usize {
        if let Some((last, place)) = &self.last
            && last.eq_ignore_ascii_case(domain)
        {
            return *place;
        }
        let mut name: Box<[u8]> = domain.to_ascii_lowercase().into();
        if self.places.len() >= DOMAINS_MAX && !self.places.contains_key(&name) {
            name = OTHERS.as_bytes().into();
        }
        let next = self.domains.len();
        let place = *self.places.entry(name.clone()).or_insert(next);
        if place == next {
            self.domains.push((0, 0));
        }
        self.last = Some((name, place));
        place
    }

    /// A recipient of the domain at `place` was taken, or refused.
    pub(crate) fn note_recipient(&mut self, place: usize, is_taken: bool) {
        if let Some((taken, refused)) = self.domains.get_mut(place) {
            *if is_taken { taken } else { refused } += 1;
        }
    }

    /// Adds what another thread counted.
    pub(crate) fn add(&mut self, other: Self) {
        self.connections_refused += other.connections_refused;
        self.connections_dropped += other.connections_dropped;
        for (key, (count, text)) in other.refusals {
            self.refusals.entry(key).or_insert_with(|| (0, text)).0 += count;
        }
        for (name, place) in other.places {
            let own = self.domain(&name);
            if let (Some(own), Some(others)) = (self.domains.get_mut(own), other.domains.get(place))
            {
                own.0 += others.0;
                own.1 += others.1;
            }
        }
    }

    /// For the results.
    pub(crate) fn refusals(&self) -> Vec<RefusalCount> {
        let refusals = self.refusals.iter();
        refusals
            .map(|((stage, code), (count, example))| RefusalCount {
                code: *code,
                stage: (*stage).to_owned(),
                count: *count,
                example: example.clone(),
            })
            .collect()
    }

    /// For the results, the domain with the most recipients first.
    pub(crate) fn domains(&self) -> Vec<DomainCount> {
        let mut domains: Vec<DomainCount> = self
            .places
            .iter()
            .map(|(name, place)| {
                let (recipients, refused) = self.domains.get(*place).copied().unwrap_or_default();
                let domain = String::from_utf8_lossy(name).into_owned();
                DomainCount { domain, recipients, refused }
            })
            .collect();
        domains.sort_by(|one, other| {
            (other.recipients, &one.domain).cmp(&(one.recipients, &other.domain))
        });
        domains.truncate(DOMAINS_LISTED_MAX);
        domains
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_threads_add_up_by_domain_and_kind() {
        let mut tallies = [Tally::default(), Tally::default()];
        for (tally, domain, is_taken) in [
            (0, &b"a.example"[..], true),
            (1, b"B.example", true),
            (1, b"A.Example", true),
            (1, b"b.example", false),
        ] {
            let place = tallies[tally].domain(domain);
            tallies[tally].note_recipient(place, is_taken);
        }
        let [mut one, mut other] = tallies;
        one.note_refusal("RCPT", 550, "first");
        other.note_refusal("RCPT", 550, "second");
        one.add(other);
        let domains = one.domains();
        let told: Vec<(&str, u64, u64)> =
            domains.iter().map(|it| (&it.domain[..], it.recipients, it.refused)).collect();
        assert_eq!(told, [("a.example", 2, 0), ("b.example", 1, 1)]);
        assert_eq!((one.refusals()[0].count, &one.refusals()[0].example[..]), (2, "first"));
    }
}
