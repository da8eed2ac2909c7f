//! Axes: from figures to places on the paper, with marks at round figures.

use super::units;

/// How figures become places.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Scale {
    /// Equal differences are equally far apart.
    Linear,
    /// Equal ratios are equally far apart. For figures above 0 only.
    Log,
}

/// One axis.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    /// What it counts, with its unit.
    pub(super) title: String,
    pub(super) scale: Scale,
    /// Where it begins and ends.
    pub(super) from: f64,
    pub(super) to: f64,
    /// Where marks stand, and what they say.
    pub(super) marks: Vec<(f64, String)>,
}

/// Decades in which a logarithmic axis has room for marks at 2 and 5 too.
const DECADES_WITH_STEPS: i32 = 2;

/// Marks that a linear axis has at most, about.
const LINEAR_MARKS: f64 = 5.0;

/// Highest over lowest figure from which on a logarithmic axis shows more.
const LOG_FROM_RATIO: f64 = 40.0;

/// Decades that a logarithmic axis shows at most: figures far below the highest lie on its edge.
const DECADES_MAX: i32 = 9;

impl Axis {
    /// A linear axis from 0 up to at least `highest`, to a round figure.
    pub(super) fn linear(title: &str, highest: f64) -> Self {
        let highest = if highest.is_finite() && highest > 0.0 { highest } else { 1.0 };
        let step = round_step(highest / LINEAR_MARKS);
        let steps = (highest / step).ceil().max(1.0);
        let mut marks = Vec::new();
        let mut number = 0.0;
        while number <= steps {
            marks.push((number * step, units::mark(number * step)));
            number += 1.0;
        }
        Self { title: title.to_owned(), scale: Scale::Linear, from: 0.0, to: steps * step, marks }
    }

    /// The same for whole numbers, which ends at `highest` and has its last mark before.
    pub(super) fn whole_to(title: &str, highest: f64) -> Self {
        let mut axis = Self::linear(title, highest);
        if highest.is_finite() && highest > 0.0 {
            axis.to = highest;
            axis.marks.retain(|(mark, _)| *mark <= highest && mark.fract() == 0.0);
        }
        axis
    }

    /// An axis for figures from `lowest`, above 0, to `highest`: logarithmic if they lie far apart.
    pub(super) fn fitting(title: &str, lowest: f64, highest: f64) -> Self {
        let far = lowest > 0.0 && highest.is_finite() && highest / lowest >= LOG_FROM_RATIO;
        if far { Self::log(title, lowest, highest) } else { Self::linear(title, highest) }
    }

    /// A logarithmic axis.
    fn log(title: &str, lowest: f64, highest: f64) -> Self {
        let last = decade(highest) + i32::from(10_f64.powi(decade(highest)) < highest);
        let first = decade(lowest).max(last - DECADES_MAX);
        let steps: &[f64] =
            if last - first <= DECADES_WITH_STEPS { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let marks = (first..=last)
            .flat_map(|decade| steps.iter().map(move |step| step * 10_f64.powi(decade)));
        let to = 10_f64.powi(last);
        let marks = marks.filter(|mark| *mark <= to * 1.000_1);
        Self {
            title: format!("{title}, logarithmic"),
            scale: Scale::Log,
            from: 10_f64.powi(first),
            to,
            marks: marks.map(|mark| (mark, units::mark(mark))).collect(),
        }
    }

    /// Where `value` lies: 0 where the axis begins, 1 where it ends.
    pub(super) fn place(&self, value: f64) -> f64 {
        let place = match self.scale {
            Scale::Linear => (value - self.from) / (self.to - self.from),
            Scale::Log => (value.max(self.from) / self.from).ln() / (self.to / self.from).ln(),
        };
        if place.is_finite() { place.clamp(0.0, 1.0) } else { 0.0 }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "an f64 has less than 400 decades")]
fn decade(value: f64) -> i32 {
    value.log10().floor() as i32
}

/// The least of 1, 2, 5, 10, 20, … that is no less than `least`.
fn round_step(least: f64) -> f64 {
    let power = 10_f64.powi(decade(least));
    let step = [1.0, 2.0, 5.0].into_iter().find(|step| step * power >= least * 0.999_999);
    step.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(axis: &Axis) -> Vec<&str> {
        axis.marks.iter().map(|(_, text)| text.as_str()).collect()
    }

    #[test]
    fn a_linear_axis_begins_at_zero_and_ends_round() {
        let axis = Axis::linear("messages/s", 9_812.0);
        assert_eq!(texts(&axis), ["0", "2,000", "4,000", "6,000", "8,000", "10k"]);
        assert!((axis.place(2_500.0) - 0.25).abs() < 1e-12);
        assert!((axis.place(20_000.0) - 1.0).abs() < 1e-12);
        assert_eq!(texts(&Axis::linear("", 0.0)).first(), Some(&"0"));
        let exact = Axis::whole_to("s", 11.0);
        assert_eq!(texts(&exact), ["0", "5", "10"]);
        assert!((exact.place(11.0) - 1.0).abs() < 1e-12);
        assert_eq!(texts(&Axis::whole_to("s", 2.0)), ["0", "1", "2"]);
        assert_eq!(texts(&Axis::linear("", 0.25)), ["0", "0.05", "0.1", "0.15", "0.2", "0.25"]);
    }

    #[test]
    fn figures_far_apart_get_a_logarithmic_axis() {
        let axis = Axis::fitting("ms", 0.3, 800.0);
        assert_eq!(axis.scale, Scale::Log);
        assert_eq!(texts(&axis), ["0.1", "1", "10", "100", "1,000"]);
        assert!((axis.place(10.0) - 0.5).abs() < 1e-12);
        assert_eq!(
            texts(&Axis::fitting("ms", 1.0, 45.0)),
            ["1", "2", "5", "10", "20", "50", "100"]
        );
        assert_eq!(Axis::fitting("ms", 1.0, 5.0).scale, Scale::Linear);
        assert_eq!(Axis::fitting("ms", 0.0, 5.0).scale, Scale::Linear);
    }

    #[test]
    fn no_figure_breaks_an_axis() {
        for (lowest, highest) in [(f64::NAN, f64::NAN), (1e-300, 1e300), (0.0, f64::INFINITY)] {
            let axis = Axis::fitting("ms", lowest, highest);
            assert!(axis.marks.len() < 40, "{lowest} {highest}");
            for value in [f64::NAN, f64::INFINITY, -1.0, 0.0, lowest, highest] {
                assert!((0.0..=1.0).contains(&axis.place(value)), "{value} on {axis:?}");
            }
        }
    }
}
