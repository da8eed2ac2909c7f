//! Choosing among many by weight.
//!
//! # Guarantees
//! Over all throws each choice has its share, to the precision of an f64. The same throw gives the
//! same choice.
//!
//! # Never
//! Allocates to choose.
//!
//! # Bounds
//! [`LINES_MAX`] lines of a file of weights.

use std::fs;
use std::path::Path;

/// Lines of a file of weights.
pub(crate) const LINES_MAX: usize = 1_000_000;

/// Weights to choose by.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Shares {
    /// Ordering: rising; the last is the sum of all weights.
    up_to: Vec<f64>,
}

impl Shares {
    /// Choices by these weights.
    ///
    /// # Errors
    /// A weight is no number from 0 on, or none is above 0.
    pub(crate) fn new(weights: impl IntoIterator<Item = f64>) -> Result<Self, String> {
        let mut sum = 0.0;
        let mut up_to = Vec::new();
        for weight in weights {
            if !(weight.is_finite() && weight >= 0.0) {
                return Err(format!("{weight} is not a weight: it must be a number from 0 on"));
            }
            sum += weight;
            up_to.push(sum);
        }
        if sum > 0.0 && sum.is_finite() {
            Ok(Self { up_to })
        } else {
            Err("no weight is above 0, or their sum is too large".to_owned())
        }
    }

    /// Zipf's law: of `count` choices, the one at place k has a weight of 1 / k to the power of
    /// `exponent`.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn zipf(count: usize, exponent: f64) -> Result<Self, String> {
        Self::new((1..=count).map(|place| (place as f64).powf(-exponent)))
    }

    /// The choice for `throw`, from 0 up to but not including 1.
    pub(crate) fn choose(&self, throw: f64) -> usize {
        let last = self.up_to.len() - 1;
        let at = throw * self.up_to[last];
        // Rounding could reach the sum itself.
        self.up_to.partition_point(|up_to| *up_to <= at).min(last)
    }
}

/// Reads a file of lines `NAME WEIGHT`; empty ones and those that begin with `#` do not count.
///
/// # Errors
/// It cannot be read, a line has another form or is refused by `read`, or there are too many.
pub(crate) fn read_weights<T>(
    path: &Path,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<(Vec<T>, Shares), String> {
    let at = |what: &str| format!("{}: {what}", path.display());
    let text = fs::read_to_string(path).map_err(|error| at(&error.to_string()))?;
    let (mut names, mut weights) = (Vec::new(), Vec::new());
    for (line, number) in text.lines().zip(1..) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |what: &str| at(&format!("line {number}: {what}"));
        let words: Vec<&str> = line.split_whitespace().collect();
        let [name, weight] = words[..] else {
            return Err(wrong("it must be a name and a weight"));
        };
        names.push(read(name).map_err(|error| wrong(&error))?);
        weights.push(weight.parse().map_err(|_| wrong(&format!("`{weight}` is not a number")))?);
        if names.len() > LINES_MAX {
            return Err(wrong(&format!("there are more than {LINES_MAX}")));
        }
    }
    Ok((names, Shares::new(weights).map_err(|error| at(&error))?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dice::Dice;

    fn counts(shares: &Shares, throws: u32) -> Vec<u32> {
        let mut dice = Dice::new(7);
        let mut counts = vec![0; shares.up_to.len()];
        for _ in 0..throws {
            counts[shares.choose(dice.throw())] += 1;
        }
        counts
    }

    #[test]
    fn each_has_its_share() {
        let shares = Shares::new([70.0, 0.0, 25.0, 5.0]).unwrap();
        let counts = counts(&shares, 100_000);
        for (count, wanted) in counts.iter().zip([70_000_u32, 0, 25_000, 5_000]) {
            // Four standard deviations.
            assert!(count.abs_diff(wanted) <= 600, "{counts:?}");
        }
        assert_eq!((counts[1], shares.choose(0.0)), (0, 0));
        assert_eq!(shares.choose(1.0 - f64::EPSILON / 2.0), 3);
        assert_eq!(shares.choose(1.0), 3);
    }

    #[test]
    fn zipf_falls_as_its_exponent_says() {
        let counts = counts(&Shares::zipf(1_000, 1.0).unwrap(), 1_000_000);
        // The sum of 1/k up to 1,000 is 7.485.
        for (place, wanted) in [(1, 133_592), (2, 66_796), (10, 13_359), (100, 1_336)] {
            let count = f64::from(counts[place - 1]);
            let deviation = f64::from(wanted).sqrt();
            assert!((count - f64::from(wanted)).abs() < 5.0 * deviation, "{place}: {count}");
        }
        assert_eq!(self::counts(&Shares::zipf(2, 0.0).unwrap(), 10).iter().sum::<u32>(), 10);
    }

    #[test]
    fn wrong_weights_are_refused() {
        for wrong in [&[][..], &[0.0], &[-1.0, 2.0], &[f64::NAN], &[f64::INFINITY], &[f64::MAX; 2]]
        {
            assert!(Shares::new(wrong.iter().copied()).is_err(), "{wrong:?}");
        }
        assert!(Shares::zipf(0, 1.0).is_err());
    }

    #[test]
    fn files_of_weights_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("weights");
        let read = |text: &str| {
            fs::write(&path, text).unwrap();
            read_weights(&path, |name| {
                if name == "no" { Err("not this".to_owned()) } else { Ok(name.to_owned()) }
            })
        };
        let (names, shares) = read("# shares\n\n a.example  3\nb.example\t1 \n").unwrap();
        assert_eq!(names, ["a.example", "b.example"]);
        assert_eq!((shares.choose(0.7), shares.choose(0.8)), (0, 1));
        for (wrong, complaint) in [
            ("a 1\nb", "line 2: it must be a name and a weight"),
            ("a x", "`x` is not a number"),
            ("a 1\nno 1", "line 2: not this"),
            ("", "no weight"),
            ("a -1", "-1 is not a weight"),
        ] {
            let error = read(wrong).unwrap_err();
            assert!(error.contains(complaint) && error.contains("weights"), "{error}");
        }
        assert!(read_weights(Path::new("/none"), |_| Ok(())).unwrap_err().contains("/none"));
    }
}
