//! Tables without vertical lines, for terminals and `grep`. A table that is wider than the terminal is
//! fitted: no row ever takes a second line.

use std::fmt;

use comfy_table::{Cell as LaidOut, CellAlignment, Table as Layout, presets};
use f0_learning::observability::{format, printable};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::screen;

/// The narrowest that a column of texts becomes before whole columns are left out, and after.
const MIN_TEXT: usize = 14;
const MIN_ANY: usize = 6;

/// The spaces between two columns.
const GAP: usize = 2;

const ELLIPSIS: char = '…';

/// The most characters of the beginning of a text.
const BEGINNING: usize = 100;

#[derive(Clone, Debug)]
struct Column {
    title: String,
    /// May be left out where the table does not fit.
    is_optional: bool,
}

/// A table that is laid out for the terminal when it is displayed.
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

/// A cell of a table.
#[derive(Clone, Debug)]
pub struct Cell {
    text: String,
    /// What is shown where the table does not fit.
    short: Option<String>,
    is_number: bool,
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: printable::line(text.as_ref()).into_owned(), short: None, is_number: false }
    }
}

impl Cell {
    /// The beginning of a text, which `show` shows as a whole: at most a line, and no long one.
    pub fn beginning(text: &str) -> Self {
        let line = text.lines().next().unwrap_or_default();
        let end = line.char_indices().nth(BEGINNING).map_or(line.len(), |(end, _)| end);
        if end == text.len() {
            text.into()
        } else {
            format!("{}{ELLIPSIS}", line[..end].trim_end()).into()
        }
    }

    /// A time, and how long ago it was; only the latter where there is no room.
    pub fn time(ts: i64, now: i64) -> Self {
        Self { short: Some(format::ago(ts, now)), ..format::time_ago(ts, now).into() }
    }

    /// The same where there is room, and `short` where there is not.
    #[must_use]
    pub fn or(self, short: impl AsRef<str>) -> Self {
        Self { short: Some(printable::line(short.as_ref()).into_owned()), ..self }
    }

    /// Aligned to the right, and never cut.
    #[must_use]
    pub fn whole(self) -> Self {
        Self { is_number: true, ..self }
    }

    fn shorten(&mut self) {
        if let Some(short) = self.short.take() {
            self.text = short;
        }
    }
}

pub fn number(text: impl ToString) -> Cell {
    Cell { is_number: true, ..text.to_string().into() }
}

pub fn table(header: &[&str]) -> Table {
    let column = |title: &&str| Column { title: title.to_uppercase(), is_optional: false };
    Table { columns: header.iter().map(column).collect(), rows: Vec::new() }
}

impl Table {
    pub fn add_row(&mut self, row: impl IntoIterator<Item = impl Into<Cell>>) {
        self.rows.push(row.into_iter().map(Into::into).collect());
    }

    /// The columns that are left out where the table does not fit: first those without any value, then
    /// the last.
    #[must_use]
    pub fn optional(mut self, titles: &[&str]) -> Self {
        let titles: Vec<_> = titles.iter().map(|title| title.to_uppercase()).collect();
        for column in &mut self.columns {
            column.is_optional = titles.contains(&column.title);
        }
        self
    }

    /// The table for a terminal of this width, and the titles of the columns that are left out.
    pub fn fitted(mut self, width: usize) -> (String, Vec<String>) {
        let mut left_out = Vec::new();
        if self.width() > width {
            self.rows.iter_mut().flatten().for_each(Cell::shorten);
        }
        while !self.shrinks_to(width, MIN_TEXT) {
            let Some(column) = self.least_needed() else { break };
            left_out.push(self.columns.remove(column).title.to_lowercase());
            self.rows.iter_mut().for_each(|row| drop(row.remove(column)));
        }
        self.shrink(width, MIN_TEXT, |cell| !cell.is_number);
        self.shrink(width, MIN_ANY, |cell| !cell.is_number);
        left_out.reverse();
        let text = self.laid_out();
        let lines = text.lines().map(|line| cut(line, width));
        (lines.map(|line| line + "\n").collect(), left_out)
    }

    fn least_needed(&self) -> Option<usize> {
        let optional = || self.columns.iter().enumerate().filter(|(_, it)| it.is_optional);
        let is_empty = |column: usize| {
            self.rows
                .iter()
                .filter_map(|row| row.get(column))
                .all(|cell| matches!(cell.text.as_str(), "" | "0" | "-" | format::NONE))
        };
        let empty = optional().map(|(column, _)| column).rfind(|column| is_empty(*column));
        empty.or_else(|| optional().next_back().map(|(column, _)| column))
    }

    /// The width of each column.
    fn widths(&self) -> Vec<usize> {
        let title = |column: &Column| column.title.width();
        let mut widths: Vec<usize> = self.columns.iter().map(title).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.text.width());
            }
        }
        widths
    }

    fn width(&self) -> usize {
        // A space before the first column; none after the last.
        self.widths().iter().map(|width| width + GAP).sum::<usize>().saturating_sub(GAP - 1)
    }

    fn is_text(&self, column: usize) -> bool {
        self.rows.iter().filter_map(|row| row.get(column)).all(|cell| !cell.is_number)
    }

    /// Whether it fits with columns of texts that are no narrower than this.
    fn shrinks_to(&self, width: usize, least: usize) -> bool {
        let widths = self.widths().into_iter().enumerate();
        let narrowest = widths.map(|(column, width)| match self.is_text(column) {
            true => width.min(least.max(self.columns[column].title.width())),
            false => width,
        });
        narrowest.map(|width| width + GAP).sum::<usize>().saturating_sub(GAP - 1) <= width
    }

    /// Cuts the texts of the widest column until the table fits.
    fn shrink(&mut self, width: usize, least: usize, may: impl Fn(&Cell) -> bool) {
        loop {
            let excess = self.width().saturating_sub(width);
            let widths = self.widths();
            let texts = (0..widths.len()).filter(|it| self.is_text(*it) && widths[*it] > least);
            let Some(widest) = texts.max_by_key(|it| (widths[*it], usize::MAX - it)) else {
                return;
            };
            if excess == 0 || self.columns[widest].title.width() >= widths[widest] {
                return;
            }
            let others = (0..widths.len()).filter(|it| *it != widest && self.is_text(*it));
            let second = others.map(|it| widths[it]).max().unwrap_or(0).min(widths[widest] - 1);
            let target = (widths[widest].saturating_sub(excess)).max(second).max(least);
            for row in &mut self.rows {
                if let Some(cell) = row.get_mut(widest).filter(|cell| may(cell)) {
                    cell.text = cut(&cell.text, target);
                }
            }
        }
    }

    fn laid_out(&self) -> String {
        let mut layout = Layout::new();
        layout.load_style(presets::NOTHING);
        layout.set_header(self.columns.iter().map(|column| column.title.as_str()));
        for row in &self.rows {
            layout.add_row(row.iter().map(|cell| {
                let laid_out = LaidOut::new(&cell.text);
                let right = CellAlignment::Right;
                if cell.is_number { laid_out.set_alignment(right) } else { laid_out }
            }));
        }
        layout.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
    }
}

/// The text in at most this many columns of the terminal.
fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let (mut kept, mut used) = (String::new(), 0);
    for symbol in text.chars() {
        used += symbol.width().unwrap_or(0);
        if used >= width {
            break;
        }
        kept.push(symbol);
    }
    kept.truncate(kept.trim_end().len());
    kept.push(ELLIPSIS);
    kept
}

impl fmt::Display for Table {
    /// In full where the output is not a terminal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match screen::width() {
            Some(width) => f.write_str(&self.clone().fitted(width).0),
            None => f.write_str(&self.laid_out()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Table {
        let mut table =
            table(&["id", "time", "n", "none", "by", "notes"]).optional(&["none", "by"]);
        let now = 1_780_000_000_000;
        let long = "a long note ".repeat(20);
        for n in ["7", "1234567"] {
            table.add_row([
                "router-core".into(),
                Cell::time(now - 180_000, now),
                number(n),
                number(0),
                "a person with a name".into(),
                long.as_str().into(),
            ]);
        }
        table
    }

    #[test]
    fn a_table_fits_every_width_and_keeps_a_line_for_each_row() {
        for width in 20..200 {
            let (text, _) = sample().fitted(width);
            assert_eq!(text.lines().count(), 3, "{width}: {text}");
            let widest = text.lines().map(UnicodeWidthStr::width).max().unwrap();
            assert!(widest <= width, "{width}: {widest}\n{text}");
        }
    }

    #[test]
    fn numbers_stay_whole_while_the_longest_text_is_cut() {
        let (text, left_out) = sample().fitted(80);
        assert!(text.contains("1234567") && text.contains('…'), "{text}");
        assert!(text.contains("3 min ago") && !text.contains("2026-"), "{text}");
        assert!(left_out.is_empty(), "{left_out:?}");
    }

    #[test]
    fn columns_without_values_are_left_out_first() {
        let (_, left_out) = sample().fitted(66);
        assert_eq!(left_out, ["none"]);
        let (_, left_out) = sample().fitted(60);
        assert_eq!(left_out, ["by", "none"]);
    }

    #[test]
    fn a_text_of_wide_characters_is_cut_where_it_ends_on_the_screen() {
        assert_eq!(cut("漢字漢字", 5), "漢字…");
        assert_eq!(cut("abcdef", 4), "abc…");
        assert_eq!(cut("abcd", 4), "abcd");
    }
}
