//! Figures as people read them.

use crate::console::{grouped, rounded};

use super::markup::NONE;

/// Three digits or more, the thousands apart.
pub(super) fn figure(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        NONE.to_owned()
    } else if size >= 100.0 {
        if value < 0.0 { format!("-{}", rounded(size)) } else { rounded(value) }
    } else if size >= 10.0 {
        format!("{value:.1}")
    } else if size >= 1.0 || value == 0.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.3}")
    }
}

/// The same, or a dash.
pub(super) fn figure_or_none(value: Option<f64>) -> String {
    value.map_or_else(|| NONE.to_owned(), figure)
}

/// A mark on an axis: short.
pub(super) fn mark(value: f64) -> String {
    let size = value.abs();
    let (scaled, unit) = if size >= 1e9 {
        (value / 1e9, "G")
    } else if size >= 1e6 {
        (value / 1e6, "M")
    } else if size >= 1e4 {
        (value / 1e3, "k")
    } else {
        (value, "")
    };
    let mut digits = format!("{scaled:.3}");
    while digits.contains('.') && digits.ends_with(['0', '.']) {
        let last = digits.pop();
        if last == Some('.') {
            break;
        }
    }
    if unit.is_empty() && scaled.abs() >= 1_000.0 { rounded(scaled) } else { digits + unit }
}

/// Mebibytes.
pub(super) fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Decimal megabytes, as network and disk rates are told.
pub(super) fn megabytes(bytes: f64) -> f64 {
    bytes / 1e6
}

/// A count, the thousands apart.
pub(super) fn count(number: u64) -> String {
    grouped(number)
}

/// A share as a percentage.
pub(super) fn percent(share: f64) -> String {
    format!("{} %", figure(share * 100.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_keep_three_digits() {
        for (value, text) in [
            (12_345.6, "12,346"),
            (99.96, "100.0"),
            (12.34, "12.3"),
            (1.234, "1.23"),
            (0.0, "0.00"),
            (0.1234, "0.123"),
            (-250.0, "-250"),
            (f64::NAN, "–"),
        ] {
            assert_eq!(figure(value), text);
        }
    }

    #[test]
    fn marks_are_short() {
        for (value, text) in [
            (0.0, "0"),
            (0.05, "0.05"),
            (100.0, "100"),
            (2_500.0, "2,500"),
            (20_000.0, "20k"),
            (1_500_000.0, "1.5M"),
        ] {
            assert_eq!(mark(value), text);
        }
    }
}
