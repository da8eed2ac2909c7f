//! Pieces of HTML: escaped text, tables, and the frame of a plot.

use std::fmt::Write as _;

/// `text` as it may stand between tags and in a quoted attribute.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            // HTML has no other control characters.
            '\n' | '\t' => safe.push(character),
            control if control.is_control() => safe.push('\u{fffd}'),
            other => safe.push(other),
        }
    }
    safe
}

/// How the figures of one server or file look in every plot: a colour and, where colours run out,
/// a pattern of dashes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Style {
    /// The bare ring, which is no server.
    Floor,
    /// One of the series, counted from 0.
    Series(usize),
}

/// Colours that the style sheet defines.
const COLOURS: usize = 6;

/// Patterns of dashes; the first is none.
const DASHES: [&str; 4] = ["", "6 3", "2 3", "8 3 2 3"];

impl Style {
    /// The class that sets the colour.
    pub(super) fn class(self) -> String {
        match self {
            Self::Floor => "floor".to_owned(),
            Self::Series(index) => format!("s{}", index % COLOURS),
        }
    }

    /// The pattern of dashes.
    pub(super) const fn dash(self) -> &'static str {
        match self {
            Self::Floor => DASHES[1],
            Self::Series(index) => DASHES[index / COLOURS % DASHES.len()],
        }
    }
}

/// A table: the first column names the row. What follows the first line of a cell is shown small.
#[derive(Debug)]
pub(super) struct Table {
    caption: String,
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table with these columns.
    pub(super) fn new(caption: &str, head: &[&str]) -> Self {
        let head = head.iter().map(|&name| name.to_owned()).collect();
        Self { caption: caption.to_owned(), head, rows: Vec::new() }
    }

    /// One more row.
    pub(super) fn push(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// Whether it has no row.
    pub(super) const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// As HTML, without the columns in which no row says anything. On a narrow screen it scrolls
    /// by itself.
    pub(super) fn html(&self) -> String {
        let says = |column: usize| {
            column == 0 || self.rows.iter().any(|row| row.get(column).is_some_and(|it| it != NONE))
        };
        let columns: Vec<usize> = (0..self.head.len()).filter(|&column| says(column)).collect();
        let caption = escaped(&self.caption);
        let mut html = format!(
            "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"{caption}\">\n\
             <table>\n<caption><span>{caption}</span></caption>\n<thead><tr>"
        );
        for &column in &columns {
            let _ = write!(html, "<th scope=\"col\">{}</th>", escaped(&self.head[column]));
        }
        html.push_str("</tr></thead>\n<tbody>\n");
        for row in &self.rows {
            html.push_str("<tr>");
            for &column in &columns {
                let cell = row.get(column).map_or(NONE, String::as_str);
                let cell = match cell.split_once('\n') {
                    Some((first, rest)) => {
                        format!("{}<small>{}</small>", escaped(first), escaped(rest))
                    }
                    None => escaped(cell),
                };
                let _ = match column {
                    0 => write!(html, "<th scope=\"row\">{cell}</th>"),
                    _ => write!(html, "<td>{cell}</td>"),
                };
            }
            html.push_str("</tr>\n");
        }
        html.push_str("</tbody>\n</table>\n</div>\n");
        html
    }
}

/// What stands where there is no figure.
pub(super) const NONE: &str = "–";

/// A plot with its heading, the legend, and what it shows in words.
#[derive(Debug)]
pub(super) struct Figure {
    pub(super) title: String,
    /// For who cannot see it.
    pub(super) description: String,
    /// Below the plot.
    pub(super) note: String,
    /// The names of what is drawn; with one name there is no legend.
    pub(super) legend: Vec<(String, Style)>,
    /// What stands inside of the `svg` element.
    pub(super) drawing: String,
    pub(super) height: f64,
}

/// Units of a plot across; its text is as large as the page's when it is drawn this wide in pixels.
pub(super) const WIDTH: f64 = 480.0;

impl Figure {
    /// As HTML. `id` must be unique on the page.
    pub(super) fn html(&self, id: &str) -> String {
        let title = escaped(&self.title);
        let mut html = format!("<figure>\n<h3>{title}</h3>\n");
        if self.legend.len() > 1 {
            html.push_str("<ul class=\"legend\">");
            for (label, style) in &self.legend {
                let (class, dash) = (style.class(), style.dash());
                let _ = write!(
                    html,
                    "<li><svg class=\"key {class}\" viewBox=\"0 0 22 10\" aria-hidden=\"true\">\
                     <line x1=\"1\" y1=\"5\" x2=\"21\" y2=\"5\" stroke-dasharray=\"{dash}\"/></svg>\
                     {}</li>",
                    escaped(label)
                );
            }
            html.push_str("</ul>\n");
        }
        let _ = write!(
            html,
            "<svg class=\"plot\" viewBox=\"0 0 {WIDTH} {}\" role=\"img\" \
             aria-labelledby=\"{id}-t {id}-d\">\n<title id=\"{id}-t\">{title}</title>\n\
             <desc id=\"{id}-d\">{}</desc>\n{}</svg>\n",
            self.height,
            escaped(&self.description),
            self.drawing
        );
        if !self.note.is_empty() {
            let _ = writeln!(html, "<figcaption>{}</figcaption>", escaped(&self.note));
        }
        html.push_str("</figure>\n");
        html
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_become_markup() {
        assert_eq!(
            escaped("<a href='x'>&\"\u{1b}"),
            "&lt;a href=&#39;x&#39;&gt;&amp;&quot;\u{fffd}"
        );
    }

    #[test]
    fn a_table_leaves_out_columns_that_say_nothing() {
        let mut table = Table::new("All <of> it", &["server", "rate", "nothing", "p99"]);
        table.push(vec!["a".into(), "1".into(), NONE.into(), NONE.into()]);
        table.push(vec!["b".into(), "2\n1–<4>".into(), NONE.into(), "3".into()]);
        let html = table.html();
        assert!(html.contains("<span>All &lt;of&gt; it</span>"), "{html}");
        assert!(!html.contains("nothing"), "{html}");
        assert!(html.contains("<th scope=\"row\">a</th><td>1</td><td>–</td>"), "{html}");
        assert!(html.contains("<td>2<small>1–&lt;4&gt;</small></td>"), "{html}");
    }

    #[test]
    fn styles_differ_until_colours_and_dashes_run_out() {
        let looks = (0..24).map(Style::Series).map(|style| (style.class(), style.dash()));
        let mut looks: Vec<_> = looks.collect();
        looks.sort_unstable();
        looks.dedup();
        assert_eq!(looks.len(), 24);
    }
}
