//! Dates of parameters (RFC 3339 §5.6).

use crate::clock::WallTime;

const DAY_S: i64 = 86_400;

/// The time that `text` names. One before the epoch is the epoch: nobody asks for more than that
/// it has passed.
pub(super) fn date_time(text: &[u8]) -> Option<WallTime> {
    let mut cursor = Cursor { rest: text };
    let year = cursor.number(4)?;
    cursor.expect(b'-')?;
    let month = cursor.number(2).filter(|month| (1..=12).contains(month))?;
    cursor.expect(b'-')?;
    let day = cursor.number(2).filter(|&day| day >= 1 && day <= days_of(year, month))?;
    cursor.expect(b'T')?;
    let hour = cursor.number(2).filter(|&hour| hour < 24)?;
    cursor.expect(b':')?;
    let minute = cursor.number(2).filter(|&minute| minute < 60)?;
    cursor.expect(b':')?;
    // A leap second is the one that follows it.
    let second = cursor.number(2).filter(|&second| second <= 60)?;
    cursor.skip_fraction()?;
    let offset_s = cursor.offset_s()?;
    if !cursor.rest.is_empty() {
        return None;
    }
    let seconds = days_since_epoch(year, month, day) * DAY_S + hour * 3_600 + minute * 60 + second;
    let ms = u64::try_from(seconds - offset_s).unwrap_or(0).saturating_mul(1_000);
    Some(WallTime::from_unix_ms(ms))
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Years are counted from 1 March, so that the leap day is the last of them.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year
        - 719_468
}

struct Cursor<'a> {
    rest: &'a [u8],
}

impl Cursor<'_> {
    fn number(&mut self, digits: usize) -> Option<i64> {
        let (number, rest) = self.rest.split_at_checked(digits)?;
        self.rest = rest;
        if !number.iter().all(u8::is_ascii_digit) {
            return None;
        }
        Some(number.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')))
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        first.eq_ignore_ascii_case(&byte).then_some(())
    }

    /// A fraction of a second says nothing that matters here.
    fn skip_fraction(&mut self) -> Option<()> {
        let Some(digits) = self.rest.strip_prefix(b".") else { return Some(()) };
        let length = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.rest = &digits[length..];
        (length > 0).then_some(())
    }

    fn offset_s(&mut self) -> Option<i64> {
        let (sign, rest) = self.rest.split_first()?;
        self.rest = rest;
        let sign = match sign {
            b'Z' | b'z' => return Some(0),
            b'+' => 1,
            b'-' => -1,
            _ => return None,
        };
        let hours = self.number(2).filter(|&hours| hours < 24)?;
        self.expect(b':')?;
        let minutes = self.number(2).filter(|&minutes| minutes < 60)?;
        Some(sign * (hours * 3_600 + minutes * 60))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seconds(text: &str) -> Option<u64> {
        date_time(text.as_bytes()).map(|time| time.as_unix_ms() / 1_000)
    }

    #[test]
    fn dates() {
        let good = [
            ("1970-01-01T00:00:00Z", 0),
            ("2026-11-24T04:01:33Z", 1_795_492_893),
            ("2026-11-24t04:01:33.25z", 1_795_492_893),
            ("2026-11-24T05:31:33+01:30", 1_795_492_893),
            ("2026-11-23T20:01:33-08:00", 1_795_492_893),
            ("2024-02-29T23:59:60Z", 1_709_251_200),
            ("1969-12-31T23:59:59Z", 0),
            ("0000-01-01T00:00:00Z", 0),
            ("9999-12-31T23:59:59Z", 253_402_300_799),
        ];
        for (text, expected) in good {
            assert_eq!(seconds(text), Some(expected), "{text}");
        }
        let bad = [
            "",
            "2026-11-24",
            "2026-11-24T04:01:33",
            "2026-11-24 04:01:33Z",
            "2026-13-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:60:00Z",
            "2026-01-01T00:00:61Z",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00+24:00",
            "2026-01-01T00:00:00+0100",
            "2026-01-01T00:00:00Zx",
            "+026-01-01T00:00:00Z",
            "26-01-01T00:00:00Z",
        ];
        for text in bad {
            assert_eq!(seconds(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_the_clock_writes_is_read_back(seconds in 0_u64..253_402_300_800) {
            let time = WallTime::from_unix_ms(seconds * 1_000);
            prop_assert_eq!(date_time(time.to_rfc3339().as_bytes()), Some(time));
        }

        #[test]
        fn nothing_makes_it_panic(text in "[0-9TZ:+.\\-]{0,30}") {
            prop_assert!(date_time(text.as_bytes()).is_none() || text.len() >= 20);
        }
    }
}
