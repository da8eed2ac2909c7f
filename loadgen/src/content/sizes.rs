//! How large messages are.
//!
//! # Guarantees
//! The same throws of the dice give the same size.

use std::path::Path;
use std::str::FromStr;

use super::SIZE_BYTES_MAX;
use crate::dice::Dice;
use crate::shares::{self, Shares};

/// Where a lognormal distribution is cut off unless it is told: some servers take no more.
const LOGNORMAL_BYTES_MAX: usize = 10_000_000;

/// Sizes in bytes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Sizes {
    Fixed(usize),
    /// Each from the first to the last is as likely.
    Uniform(usize, usize),
    /// The logarithm is distributed normally; what is above `max` is taken as that.
    Lognormal {
        median: usize,
        sigma: f64,
        max: usize,
    },
    /// One of these.
    Weighted(Vec<usize>, Shares),
}

impl Sizes {
    /// The largest that may come.
    pub(super) fn max(&self) -> usize {
        match self {
            Self::Fixed(size) | Self::Uniform(_, size) => *size,
            Self::Lognormal { max, .. } => *max,
            Self::Weighted(sizes, _) => sizes.iter().copied().max().unwrap_or_default(),
        }
    }

    /// The next size.
    pub(super) fn draw(&self, dice: &mut Dice) -> usize {
        match self {
            Self::Fixed(size) => *size,
            Self::Uniform(least, most) => {
                let span = (most - least) as u64 + 1;
                // Less than 2^30 of 2^64: no size is likelier than others by more than 2^-34.
                least + usize::try_from(dice.next() % span).unwrap_or_default()
            }
            Self::Lognormal { median, sigma, max } => {
                let size = *median as f64 * (sigma * dice.normal()).exp();
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "the cast saturates"
                )]
                let size = size.round() as usize;
                size.min(*max)
            }
            Self::Weighted(sizes, shares) => sizes[shares.choose(dice.throw())],
        }
    }
}

impl FromStr for Sizes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("file:") {
            let (sizes, shares) = shares::read_weights(Path::new(path), size)?;
            return Ok(Self::Weighted(sizes, shares));
        }
        if let Some(rest) = text.strip_prefix("lognormal:") {
            return lognormal(rest);
        }
        if text.contains(':') {
            return weighted(text);
        }
        let Some((least, most)) = text.split_once('-') else {
            return size(text).map(Self::Fixed);
        };
        let (least, most) = (size(least)?, size(most)?);
        if least <= most {
            Ok(Self::Uniform(least, most))
        } else {
            Err(format!("{least} is more than {most}"))
        }
    }
}

fn lognormal(text: &str) -> Result<Sizes, String> {
    let parts: Vec<&str> = text.split(',').collect();
    let (median, sigma, max) = match parts[..] {
        [median, sigma] => (size(median)?, sigma, LOGNORMAL_BYTES_MAX),
        [median, sigma, max] => (size(median)?, sigma, size(max)?),
        _ => return Err("it must be lognormal:MEDIAN,SIGMA or lognormal:MEDIAN,SIGMA,MAX".into()),
    };
    match sigma.parse() {
        Ok(sigma) if (0.0..=10.0).contains(&sigma) && median <= max => {
            Ok(Sizes::Lognormal { median, sigma, max })
        }
        Ok(_) if median > max => Err(format!("the median {median} is more than {max}")),
        Ok(_) | Err(_) => Err(format!("`{sigma}` must be a number from 0 to 10")),
    }
}

fn weighted(text: &str) -> Result<Sizes, String> {
    let (mut sizes, mut weights) = (Vec::new(), Vec::new());
    for part in text.split(',') {
        let (number, weight) = part
            .split_once(':')
            .ok_or_else(|| format!("`{part}` must be SIZE:WEIGHT like 10k:25"))?;
        sizes.push(size(number)?);
        weights.push(weight.parse().map_err(|_| format!("`{weight}` is not a weight"))?);
    }
    Ok(Sizes::Weighted(sizes, Shares::new(weights)?))
}

/// A number of bytes like `2048`, `10k`, `1M`, `4Ki`.
fn size(text: &str) -> Result<usize, String> {
    let units = [("Ki", 1 << 10), ("Mi", 1 << 20), ("k", 1_000), ("M", 1_000_000)];
    let unit = units.iter().find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, *bytes)));
    let (number, unit_bytes) = unit.unwrap_or((text, 1));
    let number = number.parse::<usize>().map_err(|_| {
        format!("`{text}` is not a size like 2048, 10k, 1M, 4Ki or 1Mi, nor a distribution")
    })?;
    match number.checked_mul(unit_bytes) {
        Some(bytes) if bytes <= SIZE_BYTES_MAX => Ok(bytes),
        Some(_) | None => Err(format!("{text} is more than {SIZE_BYTES_MAX} bytes")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(sizes: &Sizes) -> Vec<usize> {
        let mut dice = Dice::new(11);
        let mut drawn: Vec<usize> = (0..20_000).map(|_| sizes.draw(&mut dice)).collect();
        assert!(drawn.iter().all(|size| *size <= sizes.max()));
        drawn.sort_unstable();
        drawn
    }

    #[track_caller]
    fn assert_near(found: usize, wanted: f64) {
        assert!((found as f64 / wanted - 1.0).abs() < 0.05, "{found} for {wanted}");
    }

    #[test]
    fn sizes_are_read() {
        for (text, size) in
            [("0", 0), ("2048", 2_048), ("3k", 3_000), ("4Ki", 4_096), ("1Mi", 1 << 20)]
        {
            assert_eq!(text.parse(), Ok(Sizes::Fixed(size)));
        }
        assert_eq!("1k-1M".parse(), Ok(Sizes::Uniform(1_000, 1_000_000)));
        let max = LOGNORMAL_BYTES_MAX;
        let lognormal = Sizes::Lognormal { median: 10_000, sigma: 1.5, max };
        assert_eq!("lognormal:10k,1.5".parse(), Ok(lognormal));
        for wrong in [
            "",
            "k",
            "-1",
            "1-",
            "2-1",
            "1kk",
            "1.5k",
            "2000M",
            "1:",
            "1k:70,5",
            "1k:x",
            "1k:0",
            "lognormal:",
            "lognormal:1k",
            "lognormal:1k,-1",
            "lognormal:1k,1,10",
            "file:/none",
            "99999999999999999999",
            "18446744073709551615k",
        ] {
            assert!(wrong.parse::<Sizes>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn uniform_sizes_fill_their_range() {
        let drawn = drawn(&"1k-101k".parse().unwrap());
        assert!(drawn[0] >= 1_000);
        for (place, wanted) in [(5_000, 26_000.0), (10_000, 51_000.0), (15_000, 76_000.0)] {
            assert_near(drawn[place], wanted);
        }
        let few = "7-8".parse::<Sizes>().unwrap();
        assert_eq!((self::drawn(&few)[0], self::drawn(&few)[19_999]), (7, 8));
    }

    #[test]
    fn lognormal_sizes_have_their_median_and_spread() {
        let drawn = drawn(&"lognormal:10k,0.5,30k".parse().unwrap());
        assert_near(drawn[10_000], 10_000.0);
        // One standard deviation below and above: the 15.87th and 84.13th percentile.
        assert_near(drawn[3_173], 10_000.0 * (-0.5_f64).exp());
        assert_near(drawn[16_827], 10_000.0 * 0.5_f64.exp());
        assert_eq!(drawn[19_999], 30_000);
    }

    #[test]
    fn weighted_sizes_have_their_shares() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sizes");
        std::fs::write(&path, "1k 70\n10k 25\n1M 5\n").unwrap();
        for text in ["1k:70,10k:25,1M:5", &format!("file:{}", path.display())] {
            let drawn = drawn(&text.parse().unwrap());
            let count = |size| drawn.iter().filter(|drawn| **drawn == size).count();
            assert_near(count(1_000), 14_000.0);
            assert_near(count(10_000), 5_000.0);
            assert!(count(1_000_000).abs_diff(1_000) < 130, "{}", count(1_000_000));
        }
    }
}
