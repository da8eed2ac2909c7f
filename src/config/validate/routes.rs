//! `[[route]]`

use std::collections::BTreeMap;
use std::str::FromStr;

use toml::Spanned;

use super::check::Check;
use crate::config::problems::KeyPath;
use crate::config::raw::RawRoute;
use crate::invalid::Invalid;
use crate::route::{Destination, DomainPattern, Route};

impl Check<'_, '_> {
    /// The routes, closed by the one that the contract promises for what no other takes.
    pub(super) fn routes(&mut self, raw: &[Spanned<RawRoute>]) -> Vec<Route> {
        let mut routes = Vec::new();
        // Where each pattern was taken first: a later route with the same one never sees mail.
        let mut taken = BTreeMap::new();
        for (index, one) in raw.iter().enumerate() {
            let key = KeyPath::new("route").place(index);
            let (span, one) = (one.span(), one.get_ref());
            let domains = match &one.domains {
                Some(list) => self.values(list, &key.key("domains"), DomainPattern::from_str),
                None => Vec::new(),
            };
            if one.domains.as_ref().is_none_or(|list| list.get_ref().is_empty()) {
                let remedy = "add domains = [\"*\"] or a list of domains";
                self.problems.note_missing(key.key("domains"), Some(&span), remedy);
            }
            let to_key = key.key("to");
            let to = self.value(one.to.as_ref(), &to_key, str::parse, Destination::Mx);
            if one.to.is_none() {
                let remedy = "add to = \"mx\", \"smtp://HOST:PORT\" or \"discard\"";
                self.problems.note_missing(to_key, Some(&span), remedy);
            }
            for pattern in &domains {
                let winner = taken.get(&DomainPattern::Any).or_else(|| taken.get(pattern));
                if let Some(place) = winner.filter(|place| **place < index) {
                    let what = format!(
                        "\"{pattern}\" is never reached: route {} above takes its mail",
                        place + 1
                    );
                    let invalid = Invalid::new(what, "put this route first or remove it");
                    self.note(&key.key("domains"), one.domains.as_ref(), invalid);
                    break;
                }
            }
            for pattern in &domains {
                taken.entry(pattern.clone()).or_insert(index);
            }
            routes.push(Route { domains, to });
        }
        if !routes.iter().any(Route::takes_all) {
            routes.push(Route::of_all(Destination::Mx));
        }
        routes
    }
}
