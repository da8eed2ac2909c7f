//! The checks that every key goes through, each of which notes what it refuses.

use std::time::Duration;

use toml::Spanned;

use crate::config::problems::{KeyPath, Problems};
use crate::config::settings::Setting;
use crate::invalid::Invalid;

/// The checks of a whole file.
pub(super) struct Check<'p, 'a> {
    pub(super) problems: &'p mut Problems<'a>,
}

/// That a value was refused and the reason noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told;

impl Check<'_, '_> {
    pub(super) fn note<T>(&mut self, key: &KeyPath, at: Option<&Spanned<T>>, invalid: Invalid) {
        self.problems.note(key.clone(), at.map(Spanned::span).as_ref(), invalid);
    }

    /// The meaning of a text, or `default` where there is none.
    pub(super) fn value<T>(
        &mut self,
        raw: Option<&Spanned<String>>,
        key: &KeyPath,
        parse: fn(&str) -> Result<T, Invalid>,
        default: T,
    ) -> T {
        let Some(text) = raw else { return default };
        parse(text.get_ref()).unwrap_or_else(|invalid| {
            self.note(key, raw, invalid);
            default
        })
    }

    /// The meanings of a list of texts, those left out that have none.
    pub(super) fn values<T>(
        &mut self,
        raw: &Spanned<Vec<Spanned<String>>>,
        key: &KeyPath,
        parse: fn(&str) -> Result<T, Invalid>,
    ) -> Vec<T> {
        let mut values = Vec::new();
        for (index, text) in raw.get_ref().iter().enumerate() {
            match parse(text.get_ref()) {
                Ok(value) => values.push(value),
                Err(invalid) => self.note(&key.place(index), Some(text), invalid),
            }
        }
        values
    }

    /// A number within the range of its setting, or its default.
    pub(super) fn number(
        &mut self,
        raw: Option<&Spanned<u64>>,
        key: &KeyPath,
        setting: &Setting,
    ) -> u64 {
        let Some(number) = raw.map(|number| *number.get_ref()) else { return setting.default };
        let Setting { default, least, most, why } = *setting;
        if (least..=most).contains(&number) {
            return number;
        }
        let direction = if number < least { "less than" } else { "more than" };
        let bound = if number < least { least } else { most };
        let what = format!("{number} is {direction} {bound}: {why}");
        let remedy = format!("write {least} to {most}, or leave it out for {default}");
        self.note(key, raw, Invalid::new(what, remedy));
        default
    }

    pub(super) fn count(
        &mut self,
        raw: Option<&Spanned<u64>>,
        key: &KeyPath,
        setting: &Setting,
    ) -> u32 {
        // No count has a range that ends above that of its type; a test looks.
        u32::try_from(self.number(raw, key, setting)).unwrap_or(u32::MAX)
    }

    pub(super) fn duration(
        &mut self,
        raw: Option<&Spanned<u64>>,
        key: &KeyPath,
        setting: &Setting,
    ) -> Duration {
        Duration::from_secs(self.number(raw, key, setting))
    }
}

/// The checks of one table.
pub(super) struct TableCheck<'c, 'p, 'a> {
    pub(super) check: &'c mut Check<'p, 'a>,
    /// Where the table is.
    pub(super) path: KeyPath,
}

type Text = Option<Spanned<String>>;
type Texts = Option<Spanned<Vec<Spanned<String>>>>;

impl TableCheck<'_, '_, '_> {
    pub(super) fn note<T>(&mut self, name: &str, at: &Option<Spanned<T>>, invalid: Invalid) {
        self.check.note(&self.path.key(name), at.as_ref(), invalid);
    }

    /// The meaning of a text; `None` where there is no text.
    pub(super) fn read<T>(
        &mut self,
        raw: &Text,
        name: &str,
        parse: fn(&str) -> Result<T, Invalid>,
    ) -> Result<Option<T>, Told> {
        let Some(text) = raw else { return Ok(None) };
        parse(text.get_ref()).map(Some).map_err(|invalid| {
            self.note(name, raw, invalid);
            Told
        })
    }

    /// The meaning of a text, or `default` where there is none.
    pub(super) fn value<T>(
        &mut self,
        raw: &Text,
        name: &str,
        parse: fn(&str) -> Result<T, Invalid>,
        default: T,
    ) -> T {
        self.read(raw, name, parse).ok().flatten().unwrap_or(default)
    }

    /// The meanings of a list of texts, those left out that have none; `default` where there is
    /// no list.
    pub(super) fn values<T: Clone>(
        &mut self,
        raw: &Texts,
        name: &str,
        parse: fn(&str) -> Result<T, Invalid>,
        default: &[T],
    ) -> Vec<T> {
        match raw {
            Some(list) => self.check.values(list, &self.path.key(name), parse),
            None => default.to_vec(),
        }
    }

    pub(super) fn number(
        &mut self,
        raw: &Option<Spanned<u64>>,
        name: &str,
        setting: &Setting,
    ) -> u64 {
        self.check.number(raw.as_ref(), &self.path.key(name), setting)
    }

    pub(super) fn count(
        &mut self,
        raw: &Option<Spanned<u64>>,
        name: &str,
        setting: &Setting,
    ) -> u32 {
        self.check.count(raw.as_ref(), &self.path.key(name), setting)
    }

    pub(super) fn duration(
        &mut self,
        raw: &Option<Spanned<u64>>,
        name: &str,
        setting: &Setting,
    ) -> Duration {
        self.check.duration(raw.as_ref(), &self.path.key(name), setting)
    }
}

/// What `raw` says, or `default`.
pub(super) fn flag(raw: &Option<Spanned<bool>>, default: bool) -> bool {
    raw.as_ref().map_or(default, |flag| *flag.get_ref())
}
