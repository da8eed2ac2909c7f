//! Plots that results of several kinds share: percentile curves, and figures over time.

use super::axis::{Axis, Scale};
use super::lines::{Line, LinePlot};
use super::markup::{Figure, Style};
use crate::results::{CurvePoint, Distribution, Second};

/// Shares that are marked on the axis of a percentile curve. It ends at the last.
const SHARES: [(f64, &str); 5] =
    [(0.0, "0"), (0.5, "50 %"), (0.9, "90 %"), (0.99, "99 %"), (0.999, "99.9 %")];

/// What one line of a plot is about.
#[derive(Clone, Debug)]
pub(super) struct Series<'a, T: ?Sized> {
    pub(super) label: String,
    pub(super) style: Style,
    pub(super) faint: bool,
    pub(super) of: &'a T,
}

/// Percentile curves. Towards the right the slowest are spread: each step is a tenth of the rest.
pub(super) fn percentiles(
    title: &str,
    note: &str,
    series: &[Series<'_, Distribution>],
) -> Option<Figure> {
    let told: Vec<String> = series
        .iter()
        .filter(|series| !series.faint)
        .map(|Series { label, of, .. }| {
            let [p50, p99, p99_9] = [of.p50_ms, of.p99_ms, of.p99_9_ms].map(super::units::figure);
            format!("{label}: half within {p50} ms, 99 % within {p99} ms, 99.9 % within {p99_9} ms")
        })
        .collect();
    let marks = SHARES.map(|(share, text)| (nines(share), text.to_owned()));
    let to = marks.last().map_or(1.0, |mark| mark.0);
    let lines = series.iter().map(|series| Line {
        label: series.label.clone(),
        style: series.style,
        faint: series.faint,
        points: up_to(&series.of.curve, to),
    });
    LinePlot {
        title: title.to_owned(),
        description: told.join("; "),
        note: note.to_owned(),
        x: Axis {
            title: "share of messages that took no longer".to_owned(),
            scale: Scale::Linear,
            from: 0.0,
            to,
            marks: marks.to_vec(),
        },
        y_title: "ms".to_owned(),
        may_be_log: true,
        lines: lines.collect(),
    }
    .figure()
}

/// The seconds that are drawn: the last, in which a run ends, is seldom a whole one and would look
/// like a fall.
pub(super) fn whole_seconds(timeline: &[Second]) -> &[Second] {
    match timeline.split_last() {
        Some((_, whole)) if whole.len() > 1 => whole,
        Some(_) | None => timeline,
    }
}

/// A figure of each whole second.
pub(super) fn over_time(
    title: &str,
    note: &str,
    y_title: &str,
    series: &[Series<'_, [Second]>],
    figure: impl Fn(&Second) -> f64,
) -> Option<Figure> {
    let lines = series.iter().map(|series| Line {
        label: series.label.clone(),
        style: series.style,
        faint: series.faint,
        points: whole_seconds(series.of)
            .iter()
            .map(|it| (f64::from(it.second), figure(it)))
            .collect(),
    });
    plot_over_time(title, note, y_title, false, lines.collect())
}

/// Any lines over seconds.
pub(super) fn plot_over_time(
    title: &str,
    note: &str,
    y_title: &str,
    may_be_log: bool,
    lines: Vec<Line>,
) -> Option<Figure> {
    let told = lines.iter().filter(|line| !line.faint && !line.points.is_empty()).map(|line| {
        let values = line.points.iter().map(|point| point.1);
        let mean = values.clone().sum::<f64>() / line.points.len() as f64;
        let (lowest, highest) =
            (values.clone().fold(f64::NAN, f64::min), values.fold(0.0, f64::max));
        let [mean, lowest, highest] = [mean, lowest, highest].map(super::units::figure);
        format!("{}: {mean} on average, {lowest} to {highest}", line.label)
    });
    let description = told.collect::<Vec<_>>().join("; ");
    let last = lines.iter().filter_map(|line| line.points.last()).map(|point| point.0);
    LinePlot {
        title: title.to_owned(),
        description,
        note: note.to_owned(),
        x: Axis::whole_to("seconds since the beginning", last.fold(0.0, f64::max)),
        y_title: y_title.to_owned(),
        may_be_log,
        lines,
    }
    .figure()
}

/// How often a tenth of the rest is taken until `share` is reached: 1 at 90 %, 2 at 99 %.
fn nines(share: f64) -> f64 {
    -(1.0 - share).max(f64::MIN_POSITIVE).log10()
}

/// The part of a curve that lies left of `to`, with an end on the edge if the curve goes beyond.
fn up_to(curve: &[CurvePoint], to: f64) -> Vec<(f64, f64)> {
    let mut points: Vec<(f64, f64)> = Vec::with_capacity(curve.len());
    for point in curve {
        let (x, y) = (nines(point.share), point.ms);
        if x <= to {
            points.push((x, y));
            continue;
        }
        if let Some(&(last_x, last_y)) = points.last() {
            let part = if x.is_finite() { (to - last_x) / (x - last_x) } else { 0.0 };
            points.push((to, last_y + part * (y - last_y)));
        }
        break;
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_ends_on_the_edge() {
        let curve = [(0.0, 1.0), (0.9, 2.0), (0.9999, 8.0), (1.0, 100.0)]
            .map(|(share, ms)| CurvePoint { share, ms });
        let points = up_to(&curve, nines(0.999));
        assert_eq!(points.len(), 3);
        let (x, y) = points[2];
        assert!((x - 3.0).abs() < 1e-9 && (y - 6.0).abs() < 1e-6, "{points:?}");
        assert_eq!(up_to(&curve[3..], 3.0), []);
    }

    #[test]
    fn the_last_second_is_left_out_unless_little_would_be_left() {
        let second = |second| Second {
            second,
            accepted: 1,
            failed: 0,
            p50_ms: 1.0,
            p99_ms: 1.0,
            in_flight: 0,
        };
        for (all, drawn) in [(0, 0), (1, 1), (2, 2), (3, 2), (10, 9)] {
            let timeline: Vec<Second> = (0..all).map(second).collect();
            assert_eq!(whole_seconds(&timeline).len(), drawn, "{all} seconds");
        }
    }
}
