//! The time of the system's clock, and dates as headers and pages write them.

use std::time::SystemTime;

const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// `time` in UTC as RFC 5322 §3.3 writes it.
pub(crate) fn rfc5322(time: SystemTime) -> String {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = calendar(days);
    format!(
        "{}, {day:02} {} {year} {:02}:{:02}:{:02} +0000",
        WEEKDAYS[usize::try_from(days % 7).unwrap_or_default()],
        MONTHS[usize::try_from(month - 1).unwrap_or_default()],
        second / 3_600,
        second / 60 % 60,
        second % 60
    )
}

/// Seconds since 1970 as `2026-11-24 12:30 UTC`.
pub(crate) fn to_the_minute(unix_s: u64) -> String {
    let (year, month, day) = calendar(unix_s / 86_400);
    let minute = unix_s / 60 % 1_440;
    format!("{year}-{month:02}-{day:02} {:02}:{:02} UTC", minute / 60, minute % 60)
}

/// The date `days` after the first of January 1970 in the Gregorian calendar: the year, the month
/// and the day, from 1. Eras have 400 years, and years begin in March, so that a leap day ends one.
/// It takes no longer for the absurd times that a file may name.
const fn calendar(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let shifted = (5 * day + 2) / 153;
    let day = day - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year + (month <= 2) as u64, month, day)
}

/// Milliseconds since 1970 UTC by the clock of the system.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn dates_are_right() {
        for (seconds, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 +0000"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 +0000"),
            (1_795_492_893, "Tue, 24 Nov 2026 04:01:33 +0000"),
            (4_107_542_399, "Sun, 28 Feb 2100 23:59:59 +0000"),
        ] {
            assert_eq!(rfc5322(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn dates_are_of_the_calendar() {
        for (unix_s, text) in [
            (0, "1970-01-01 00:00 UTC"),
            (951_782_400, "2000-02-29 00:00 UTC"),
            (1_798_761_599, "2026-12-31 23:59 UTC"),
            (u64::MAX, "584554051223-11-09 07:00 UTC"),
        ] {
            assert_eq!(to_the_minute(unix_s), text);
        }
    }
}
