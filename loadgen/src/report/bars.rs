//! Plots with bars: one for each server, in one or several parts, with the range of its runs.

use std::fmt::Write as _;

use super::markup::{Figure, Style, WIDTH, escaped};
use super::units;

/// Height of a row: its text, its bar, and what keeps it from the next.
const ROW: f64 = 50.0;
const BAR_TOP: f64 = 23.0;
const BAR: f64 = 14.0;
const WHISKER: f64 = 10.0;

/// Parts of a bar are so far apart.
const GAP: f64 = 1.5;

/// Characters of a label that are drawn; all of it can be read in the tables.
const LABEL_CHARACTERS_MAX: usize = 28;

/// One bar.
#[derive(Clone, Debug)]
pub(super) struct Bar {
    pub(super) label: String,
    pub(super) style: Style,
    /// From the left to the right; what the second and further stand for is named in the note.
    pub(super) parts: Vec<Part>,
    /// The lowest and the highest run, if there are several.
    pub(super) range: Option<(f64, f64)>,
}

/// A part of a bar.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// What it counts, unless the bar has but one.
    pub(super) name: &'static str,
    pub(super) value: f64,
}

/// A plot of bars, whose lengths begin at 0.
#[derive(Debug)]
pub(super) struct BarPlot {
    pub(super) title: String,
    pub(super) note: String,
    /// The unit of the values.
    pub(super) unit: String,
    pub(super) bars: Vec<Bar>,
}

impl BarPlot {
    /// The plot, unless there is nothing to draw.
    pub(super) fn figure(self) -> Option<Figure> {
        let ends = self.bars.iter().map(Bar::end);
        let longest = ends.filter(|end| end.is_finite()).fold(0.0, f64::max);
        if longest <= 0.0 {
            return None;
        }
        let mut drawing = String::new();
        let mut top = 0.0;
        for bar in &self.bars {
            drawing.push_str(&bar.draw(top, longest, &self.unit));
            top += ROW;
        }
        let values: Vec<String> = self.bars.iter().map(|bar| bar.told(&self.unit)).collect();
        Some(Figure {
            title: self.title,
            description: values.join("; "),
            note: self.note,
            legend: Vec::new(),
            drawing,
            height: top,
        })
    }
}

impl Bar {
    fn total(&self) -> f64 {
        self.parts.iter().map(|part| part.value).sum()
    }

    fn end(&self) -> f64 {
        self.range.map_or(0.0, |(_, highest)| highest).max(self.total())
    }

    /// `9,812 (9,500–10,001)`.
    fn figures(&self) -> String {
        let mut text = units::figure(self.total());
        if let Some((lowest, highest)) = self.range {
            let _ = write!(text, " ({}–{})", units::figure(lowest), units::figure(highest));
        }
        text
    }

    /// The same with the label and the parts.
    fn told(&self, unit: &str) -> String {
        let mut text = format!("{}: {} {unit}", self.label, self.figures());
        if let [first, second] = &self.parts[..] {
            let _ = write!(
                text,
                ", {} {} and {} {}",
                units::figure(first.value),
                first.name,
                units::figure(second.value),
                second.name
            );
        }
        text
    }

    fn draw(&self, top: f64, longest: f64, unit: &str) -> String {
        // A whisker's end must not be cut in half.
        let scale = (WIDTH - 2.0) / longest;
        let class = self.style.class();
        let mut text = format!(
            "<g><title>{}</title>\n<text class=\"name\" x=\"0\" y=\"{:.1}\">{}</text>\
             <text class=\"end figure\" x=\"{WIDTH}\" y=\"{:.1}\">{}</text>\n",
            escaped(&self.told(unit)),
            top + 16.0,
            escaped(&shortened(&self.label)),
            top + 16.0,
            escaped(&self.figures())
        );
        let mut left = 0.0;
        for (index, part) in self.parts.iter().enumerate() {
            let width = (part.value * scale).max(0.0);
            let gap = if index + 1 < self.parts.len() { GAP.min(width / 2.0) } else { 0.0 };
            let _ = writeln!(
                text,
                "<rect class=\"bar {class} part{index}\" x=\"{left:.1}\" y=\"{:.1}\" \
                 width=\"{:.1}\" height=\"{BAR}\" rx=\"2\"/>",
                top + BAR_TOP,
                width - gap
            );
            left += width;
        }
        if let Some((lowest, highest)) = self.range {
            let (from, to) = (1.0 + lowest * scale, 1.0 + highest * scale);
            let middle = top + BAR_TOP + BAR / 2.0;
            let (upper, lower) = (middle - WHISKER / 2.0, middle + WHISKER / 2.0);
            let _ = writeln!(
                text,
                "<path class=\"whisker\" d=\"M{from:.1} {upper:.1}V{lower:.1}M{from:.1} \
                 {middle:.1}H{to:.1}M{to:.1} {upper:.1}V{lower:.1}\"/>"
            );
        }
        text.push_str("</g>\n");
        text
    }
}

/// As much of a label as leaves room for the figures beside it.
fn shortened(label: &str) -> String {
    match label.char_indices().nth(LABEL_CHARACTERS_MAX) {
        Some((end, _)) => format!("{}…", &label[..end]),
        None => label.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(label: &str, values: &[f64], range: Option<(f64, f64)>) -> Bar {
        let names = ["user", "system"];
        let parts = values.iter().zip(names).map(|(&value, name)| Part { name, value }).collect();
        Bar { label: label.to_owned(), style: Style::Series(0), parts, range }
    }

    fn figure(bars: Vec<Bar>) -> Option<Figure> {
        let (title, note) = ("T".to_owned(), String::new());
        BarPlot { title, note, unit: "messages/s".to_owned(), bars }.figure()
    }

    #[test]
    fn the_longest_fills_the_width_and_the_rest_is_in_proportion() {
        let figure = figure(vec![
            bar("a", &[500.0], Some((400.0, 1_000.0))),
            bar("b", &[100.0, 150.0], None),
        ])
        .unwrap();
        assert!(figure.drawing.contains("width=\"239.0\""), "{}", figure.drawing);
        assert!(figure.drawing.contains("H479.0"), "{}", figure.drawing);
        assert!(figure.drawing.contains("part1"), "{}", figure.drawing);
        let wanted = "a: 500 (400–1,000) messages/s; b: 250 messages/s, 100 user and 150 system";
        assert_eq!(figure.description, wanted);
    }

    #[test]
    fn a_long_label_is_cut_between_characters() {
        assert_eq!(shortened("short"), "short");
        assert_eq!(shortened(&"ä".repeat(40)), "ä".repeat(LABEL_CHARACTERS_MAX) + "…");
    }

    #[test]
    fn nothing_to_draw_is_no_plot() {
        assert!(figure(Vec::new()).is_none());
        assert!(figure(vec![bar("a", &[0.0], None), bar("b", &[f64::NAN], None)]).is_none());
    }
}
