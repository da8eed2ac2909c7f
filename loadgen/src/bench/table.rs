//! A table, as text for a terminal and as Markdown for a page.

use std::fmt::Write as _;

/// Rows of as many cells as the head has; the first cell is a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) title: String,
    pub(super) head: Vec<String>,
    pub(super) rows: Vec<Vec<String>>,
    /// Lines below it.
    pub(super) remarks: Vec<String>,
}

impl Table {
    /// A table without rows.
    pub(super) fn new(title: String, head: &[&str]) -> Self {
        let head = head.iter().map(|cell| (*cell).to_owned()).collect();
        Self { title, head, rows: Vec::new(), remarks: Vec::new() }
    }

    /// Names to the left, everything else to the right, as wide as the widest.
    pub(super) fn text(&self) -> String {
        let lines = || [&self.head].into_iter().chain(&self.rows);
        let width = |column: usize| {
            let cells = lines().filter_map(|line| line.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.head.len()).map(width).collect();
        let mut text = self.title.clone();
        for line in lines() {
            let mut out = String::from("\n ");
            for (index, (cell, &width)) in line.iter().zip(&widths).enumerate() {
                // Writing to a String cannot fail.
                let _ = if index == 0 {
                    write!(out, " {cell:<width$}")
                } else {
                    write!(out, "  {cell:>width$}")
                };
            }
            text.push_str(out.trim_end());
        }
        for remark in &self.remarks {
            let _ = write!(text, "\n  {remark}");
        }
        text
    }

    /// As GitHub reads it.
    pub(super) fn markdown(&self) -> String {
        let line = |cells: &[String]| {
            let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
            format!("| {} |\n", cells.join(" | "))
        };
        let mut text = format!("### {}\n\n{}", self.title, line(&self.head));
        text.push_str("| ---");
        text.push_str(&" | ---:".repeat(self.head.len().saturating_sub(1)));
        text.push_str(" |\n");
        for row in &self.rows {
            text.push_str(&line(row));
        }
        for remark in &self.remarks {
            let _ = write!(text, "\n{remark}\n");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new("Title".to_owned(), &["", "messages/s"]);
        table.rows.push(vec!["ringpost".to_owned(), "12,000".to_owned()]);
        table.remarks.push("One fault.".to_owned());
        table
    }

    #[test]
    fn text_is_aligned() {
        let wanted = "Title\n            messages/s\n  ringpost      12,000\n  One fault.";
        assert_eq!(table().text(), wanted);
    }

    #[test]
    fn markdown_is_a_table() {
        let wanted = "### Title\n\n|  | messages/s |\n| --- | ---: |\n| ringpost | 12,000 |\n\n\
                      One fault.\n";
        assert_eq!(table().markdown(), wanted);
    }
}
