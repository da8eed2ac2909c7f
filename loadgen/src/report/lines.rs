//! Plots with lines: figures over time, and percentile curves.

use std::fmt::Write as _;

use super::axis::{Axis, Scale};
use super::markup::{Figure, Style, WIDTH, escaped};

/// The paper around the plot.
const LEFT: f64 = 54.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 26.0;
const BOTTOM: f64 = 46.0;
const HEIGHT: f64 = 290.0;

/// Points of a line at most: more would lie within a pixel.
const POINTS_MAX: usize = 600;

/// One line.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) label: String,
    pub(super) style: Style,
    /// One of several runs, which stands behind the one that is told.
    pub(super) faint: bool,
    /// From left to right.
    pub(super) points: Vec<(f64, f64)>,
}

/// A plot of lines.
#[derive(Debug)]
pub(super) struct LinePlot {
    pub(super) title: String,
    pub(super) description: String,
    pub(super) note: String,
    pub(super) x: Axis,
    /// What the vertical axis counts.
    pub(super) y_title: String,
    /// Whether a logarithmic axis is allowed.
    pub(super) may_be_log: bool,
    pub(super) lines: Vec<Line>,
}

impl LinePlot {
    /// The plot, unless no line has a point.
    pub(super) fn figure(mut self) -> Option<Figure> {
        self.lines.retain(|line| !line.points.is_empty());
        for line in &mut self.lines {
            thin(&mut line.points);
        }
        let values = || self.lines.iter().flat_map(|line| &line.points).map(|point| point.1);
        let highest = values().fold(f64::NAN, f64::max);
        if !highest.is_finite() {
            return None;
        }
        let lowest = values().filter(|value| *value > 0.0).fold(f64::NAN, f64::min);
        let y = if self.may_be_log {
            Axis::fitting(&self.y_title, lowest, highest)
        } else {
            Axis::linear(&self.y_title, highest)
        };
        let mut legend: Vec<(String, Style)> = Vec::new();
        for line in &self.lines {
            if !legend.iter().any(|(label, _)| *label == line.label) {
                legend.push((line.label.clone(), line.style));
            }
        }
        let mut drawing = grid(&self.x, &y);
        // What is told lies above the rest.
        for faint in [true, false] {
            for line in self.lines.iter().filter(|line| line.faint == faint) {
                drawing.push_str(&path(line, &self.x, &y));
            }
        }
        Some(Figure {
            title: self.title,
            description: self.description,
            note: self.note,
            legend,
            drawing,
            height: HEIGHT,
        })
    }
}

fn across(axis: &Axis, value: f64) -> f64 {
    LEFT + axis.place(value) * (WIDTH - LEFT - RIGHT)
}

fn down(axis: &Axis, value: f64) -> f64 {
    HEIGHT - BOTTOM - axis.place(value) * (HEIGHT - TOP - BOTTOM)
}

fn grid(x: &Axis, y: &Axis) -> String {
    let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    let mut text = String::new();
    for (value, mark) in &y.marks {
        let place = down(y, *value);
        let class = if *value == y.from && y.scale == Scale::Linear { "base" } else { "grid" };
        let _ = writeln!(
            text,
            "<line class=\"{class}\" x1=\"{LEFT}\" y1=\"{place:.1}\" x2=\"{right}\" \
             y2=\"{place:.1}\"/><text class=\"end\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            LEFT - 6.0,
            place + 4.0,
            escaped(mark)
        );
    }
    for (value, mark) in &x.marks {
        let place = across(x, *value);
        let _ = writeln!(
            text,
            "<line class=\"grid\" x1=\"{place:.1}\" y1=\"{TOP}\" x2=\"{place:.1}\" \
             y2=\"{bottom}\"/><text class=\"middle\" x=\"{place:.1}\" y=\"{:.1}\">{}</text>",
            bottom + 17.0,
            escaped(mark)
        );
    }
    let _ = writeln!(
        text,
        "<text x=\"2\" y=\"14\">{}</text><text class=\"middle\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
        escaped(&y.title),
        f64::midpoint(LEFT, right),
        HEIGHT - 8.0,
        escaped(&x.title)
    );
    text
}

fn path(line: &Line, x: &Axis, y: &Axis) -> String {
    let (class, dash) = (line.style.class(), line.style.dash());
    let faint = if line.faint { " faint" } else { "" };
    let label = escaped(&line.label);
    if let [(only_x, only_y)] = line.points[..] {
        return format!(
            "<circle class=\"dot {class}{faint}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\">\
             <title>{label}</title></circle>\n",
            across(x, only_x),
            down(y, only_y)
        );
    }
    let mut points = String::new();
    for (point_x, point_y) in &line.points {
        let _ = write!(points, "{:.1},{:.1} ", across(x, *point_x), down(y, *point_y));
    }
    format!(
        "<polyline class=\"line {class}{faint}\" stroke-dasharray=\"{dash}\" points=\"{}\">\
         <title>{label}</title></polyline>\n",
        points.trim_end()
    )
}

/// Leaves of each group of neighbours the highest and the lowest, so that no peak gets lost.
fn thin(points: &mut Vec<(f64, f64)>) {
    if points.len() <= POINTS_MAX {
        return;
    }
    let group = points.len().div_ceil(POINTS_MAX / 2);
    let thinned = points.chunks(group).flat_map(|group| {
        let mut ends = [group[0], group[0]];
        for point in group {
            if point.1 < ends[0].1 {
                ends[0] = *point;
            }
            if point.1 > ends[1].1 {
                ends[1] = *point;
            }
        }
        ends.sort_by(|one, other| one.0.total_cmp(&other.0));
        ends
    });
    *points = thinned.collect();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(lines: Vec<Line>) -> Option<Figure> {
        LinePlot {
            title: "T".to_owned(),
            description: "D".to_owned(),
            note: String::new(),
            x: Axis::linear("s", 10.0),
            y_title: "ms".to_owned(),
            may_be_log: true,
            lines,
        }
        .figure()
    }

    fn line(label: &str, faint: bool, points: &[(f64, f64)]) -> Line {
        Line { label: label.to_owned(), style: Style::Series(0), faint, points: points.to_vec() }
    }

    #[test]
    fn without_a_point_there_is_no_plot() {
        assert!(plot(Vec::new()).is_none());
        assert!(plot(vec![line("a", false, &[])]).is_none());
    }

    #[test]
    fn a_label_is_named_once_and_the_told_run_lies_above() {
        let points = [(0.0, 1.0), (10.0, 2.0)];
        let figure = plot(vec![
            line("a", false, &points),
            line("a", true, &points),
            line("<b>", false, &points),
        ])
        .unwrap();
        assert_eq!(figure.legend.len(), 2);
        let [faint, told] = ["s0 faint\"", "s0\""].map(|part| figure.drawing.find(part).unwrap());
        assert!(faint < told);
        assert!(figure.drawing.contains("&lt;b&gt;"));
    }

    #[test]
    fn the_highest_and_the_lowest_survive_thinning() {
        let mut points: Vec<(f64, f64)> = (0..100_000).map(|n| (f64::from(n), 5.0)).collect();
        points[77_777].1 = 9.0;
        points[33_333].1 = 1.0;
        thin(&mut points);
        assert!(points.len() <= POINTS_MAX);
        assert!(points.contains(&(77_777.0, 9.0)) && points.contains(&(33_333.0, 1.0)));
        assert!(points.is_sorted_by(|one, other| one.0 <= other.0));
    }
}
