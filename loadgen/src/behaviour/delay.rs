//! How long a reply is held back: a distribution, written as words.
//!
//! # Bounds
//! [`DELAY_MAX`] for what is drawn.

use std::str::FromStr;
use std::time::Duration;

use crate::dice::Dice;
use crate::shares::Shares;

/// Nothing waits longer.
const DELAY_MAX: Duration = Duration::from_secs(3_600);

/// A distribution of times.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Delay {
    /// `5ms`
    Always(Duration),
    /// `uniform 1ms..10ms`
    Uniform(Duration, Duration),
    /// `exponential 20ms`: of this mean.
    Exponential(Duration),
    /// `lognormal 50ms 0.5`: of this median, and this deviation of the logarithm.
    LogNormal(Duration, f64),
    /// `shares 90% 1ms, 9% 50ms, 1% 2s`
    Weighted(Vec<Duration>, Shares),
}

impl Delay {
    /// One time.
    pub(crate) fn draw(&self, dice: &mut Dice) -> Duration {
        let drawn = match self {
            Self::Always(time) => *time,
            Self::Uniform(from, to) => *from + (*to - *from).mul_f64(dice.throw()),
            Self::Exponential(mean) => scaled(*mean, dice.exponential()),
            Self::LogNormal(median, sigma) => scaled(*median, (sigma * dice.normal()).exp()),
            Self::Weighted(times, shares) => times[shares.choose(dice.throw())],
        };
        drawn.min(DELAY_MAX)
    }
}

/// `time` so many times, which may be more than a duration holds.
fn scaled(time: Duration, factor: f64) -> Duration {
    Duration::try_from_secs_f64(time.as_secs_f64() * factor).unwrap_or(DELAY_MAX)
}

impl FromStr for Delay {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, rest) = text.trim().split_once(' ').unwrap_or_else(|| (text.trim(), ""));
        let rest = rest.trim();
        match kind {
            "uniform" => {
                let (from, to) = rest.split_once("..").ok_or_else(wrong)?;
                let (from, to) = (time(from)?, time(to)?);
                if from <= to { Ok(Self::Uniform(from, to)) } else { Err(wrong()) }
            }
            "exponential" => time(rest).map(Self::Exponential),
            "lognormal" => {
                let (median, sigma) = rest.split_once(' ').ok_or_else(wrong)?;
                let sigma: f64 = sigma.trim().parse().map_err(|_| wrong())?;
                if (0.0..=10.0).contains(&sigma) {
                    Ok(Self::LogNormal(time(median)?, sigma))
                } else {
                    Err(wrong())
                }
            }
            "shares" => weighted(rest),
            _ => time(text).map(Self::Always),
        }
    }
}

fn weighted(text: &str) -> Result<Delay, String> {
    let (mut times, mut percents) = (Vec::new(), Vec::new());
    for part in text.split(',') {
        let (percent, rest) = part.trim().split_once("% ").ok_or_else(wrong)?;
        let percent: f64 = percent.parse().map_err(|_| wrong())?;
        if !(0.0..=100.0).contains(&percent) {
            return Err(wrong());
        }
        percents.push(percent);
        times.push(time(rest)?);
    }
    let sum: f64 = percents.iter().sum();
    if (sum - 100.0).abs() >= 1e-4 {
        return Err(format!("the shares make {sum:.4} %, they must make 100 %"));
    }
    Ok(Delay::Weighted(times, Shares::new(percents)?))
}

/// A number with its unit: `us`, `ms` or `s`.
fn time(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let at = text.find(|letter: char| letter.is_ascii_alphabetic()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(at);
    let unit_s = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        _ => return Err(wrong()),
    };
    let number: f64 = number.trim().parse().map_err(|_| wrong())?;
    let time = Duration::try_from_secs_f64(number * unit_s).map_err(|_| wrong())?;
    if time <= DELAY_MAX { Ok(time) } else { Err("at most 3600s".to_owned()) }
}

fn wrong() -> String {
    "it must be a time such as `5ms`, `uniform 1ms..9ms`, `exponential 20ms`, `lognormal 50ms 0.5` \
     or `shares 90% 1ms, 10% 2s`"
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean_ms(text: &str) -> f64 {
        const COUNT: u32 = 20_000;
        let delay: Delay = text.parse().unwrap();
        let mut dice = Dice::new(3);
        let sum: Duration = (0..COUNT).map(|_| delay.draw(&mut dice)).sum();
        sum.as_secs_f64() * 1e3 / f64::from(COUNT)
    }

    #[test]
    fn what_is_drawn_has_the_mean_that_was_asked_for() {
        for (text, mean) in [
            ("5ms", 5.0),
            ("250us", 0.25),
            ("uniform 1ms..11ms", 6.0),
            ("exponential 20ms", 20.0),
            // The mean is the median times exp(sigma² / 2).
            ("lognormal 50ms 0.5", 56.66),
            ("shares 90% 1ms, 9% 50ms, 1% 2s", 25.4),
        ] {
            let found = mean_ms(text);
            assert!((found / mean - 1.0).abs() < 0.06, "{text}: {found}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "5",
            "5 minutes",
            "-1ms",
            "uniform 5ms",
            "uniform 9ms..1ms",
            "exponential",
            "lognormal 5ms",
            "lognormal 5ms 99",
            "shares 50% 1ms",
            "shares 1ms",
            "7200s",
            "nan s",
        ] {
            assert!(text.parse::<Delay>().is_err(), "{text}");
        }
    }
}
