//! Time as a value: the core never reads a clock, it is told what time it is.
//!
//! # Guarantees
//! `Now` is monotonic and has no meaning outside this process; `WallTime` is what people read and
//! what goes to disk. The two are never mixed by type.

use std::fmt;
use std::ops::Add;
use std::time::Duration;

/// A monotonic instant, in microseconds since an origin that the process chose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Now(u64);

impl Now {
    /// The instant `us` microseconds after the origin.
    pub const fn from_us(us: u64) -> Self {
        Self(us)
    }

    /// Microseconds since the origin.
    pub const fn as_us(self) -> u64 {
        self.0
    }

    /// How long ago `earlier` was; zero if it lies ahead.
    pub fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Now {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        let us = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(us))
    }
}

/// Civil time in milliseconds since 1970-01-01T00:00:00Z, leap seconds not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WallTime(u64);

impl WallTime {
    /// The time `ms` milliseconds after the epoch.
    pub const fn from_unix_ms(ms: u64) -> Self {
        Self(ms)
    }

    /// Milliseconds since the epoch.
    pub const fn as_unix_ms(self) -> u64 {
        self.0
    }

    /// How long ago `earlier` was; zero if it lies ahead.
    pub fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// The date and time in UTC as RFC 5322 §3.3 writes it, for instance
    /// `Tue, 24 Nov 2026 04:01:33 +0000`. Every message carries one, so it is written where it is
    /// to stand and no string is made.
    pub const fn rfc5322(self) -> Rfc5322 {
        Rfc5322(self)
    }

    /// The date and time in UTC as RFC 3339 writes it, with milliseconds.
    pub fn to_rfc3339(self) -> String {
        let civil = self.civil();
        format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            civil.year,
            civil.month,
            civil.day,
            civil.hour,
            civil.minute,
            civil.second,
            self.0 % 1000
        )
    }

    fn civil(self) -> Civil {
        let seconds = self.0 / 1000;
        let days = seconds / 86_400;
        let second_of_day = seconds % 86_400;
        // The proleptic Gregorian calendar repeats every 400 years (146,097 days). Counting years
        // from 1 March puts the leap day last, so that months have a closed form.
        let shifted = days + 719_468;
        let era = shifted / 146_097;
        let day_of_era = shifted % 146_097;
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = era * 400 + year_of_era + u64::from(month <= 2);
        Civil {
            year,
            month: index(month),
            day,
            // 1970-01-01 was a Thursday, the fifth day of a week that begins on Sunday.
            weekday: index((days + 4) % 7),
            hour: second_of_day / 3_600,
            minute: second_of_day / 60 % 60,
            second: second_of_day % 60,
        }
    }
}

impl Add<Duration> for WallTime {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        let ms = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(ms))
    }
}

/// A [`WallTime`] that is shown as RFC 5322 §3.3 writes dates.
#[derive(Clone, Copy, Debug)]
pub struct Rfc5322(WallTime);

impl fmt::Display for Rfc5322 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let civil = self.0.civil();
        let weekday = WEEKDAYS[civil.weekday];
        let month = MONTHS[civil.month - 1];
        write!(
            f,
            "{weekday}, {:02} {month} {:04} {:02}:{:02}:{:02} +0000",
            civil.day, civil.year, civil.hour, civil.minute, civil.second
        )
    }
}

const WEEKDAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

struct Civil {
    year: u64,
    month: usize,
    day: u64,
    weekday: usize,
    hour: u64,
    minute: u64,
    second: u64,
}

fn index(small: u64) -> usize {
    usize::try_from(small).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_rfc_5322_wants() {
        let cases = [
            (0, "Thu, 01 Jan 1970 00:00:00 +0000"),
            (951_782_400_000, "Tue, 29 Feb 2000 00:00:00 +0000"),
            (1_795_492_893_000, "Tue, 24 Nov 2026 04:01:33 +0000"),
            (4_107_542_399_000, "Sun, 28 Feb 2100 23:59:59 +0000"),
        ];
        for (ms, text) in cases {
            assert_eq!(WallTime::from_unix_ms(ms).rfc5322().to_string(), text);
        }
        assert_eq!(
            WallTime::from_unix_ms(1_795_492_893_042).to_rfc3339(),
            "2026-11-24T04:01:33.042Z"
        );
    }

    #[test]
    fn time_never_overflows() {
        assert_eq!(Now::from_us(u64::MAX) + Duration::from_secs(1), Now::from_us(u64::MAX));
        assert_eq!(Now::from_us(1).saturating_since(Now::from_us(5)), Duration::ZERO);
    }
}
