//! The terminal: how large it is, whether it shows colours, and how it is cleared.

use std::io::{IsTerminal, stdout};

use f0_learning_core::plural::count;
use unicode_width::UnicodeWidthStr;

use crate::cli::environment;

/// The narrowest terminal that is fitted.
const MIN_WIDTH: usize = 20;

/// The columns of the terminal; `None` where the output is not one. COLUMNS replaces what the terminal
/// says, also where there is none.
pub fn width() -> Option<usize> {
    let asked = environment::variable("COLUMNS").and_then(|text| text.parse().ok());
    let width = asked.or_else(|| {
        stdout().is_terminal().then(terminal_size::terminal_size).flatten().map(|it| it.0.0.into())
    });
    width.map(|width: usize| width.max(MIN_WIDTH))
}

/// The rows of the terminal.
fn height() -> usize {
    terminal_size::terminal_size().map_or(usize::MAX, |it| it.1.0.into())
}

/// Whether it is a terminal that obeys control sequences.
pub fn is_smart(output: &impl IsTerminal) -> bool {
    output.is_terminal() && environment::variable("TERM").is_none_or(|it| it != "dumb")
}

/// Whether frames may replace each other, instead of being printed once.
pub fn is_live() -> bool {
    is_smart(&stdout())
}

/// What is seen of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Heading,
    Good,
    Warning,
    Bad,
    Faint,
}

impl Style {
    /// The parameter of the control sequence SGR (ECMA-48).
    const fn code(self) -> &'static str {
        match self {
            Self::Heading => "1",
            Self::Good => "32",
            Self::Warning => "33",
            Self::Bad => "31;1",
            Self::Faint => "2",
        }
    }
}

/// Whether an output shows colours: it is a terminal, and NO_COLOR is not set (no-color.org).
pub fn has_colours(output: &impl IsTerminal) -> bool {
    let no_colour = environment::variable("NO_COLOR").is_some_and(|text| !text.is_empty());
    is_smart(output) && !no_colour
}

/// A text that was made safe to show, in a style where there are colours.
pub(super) fn painted(style: Style, text: &str) -> String {
    match has_colours(&stdout()) {
        true => format!("\u{1b}[{}m{text}\u{1b}[0m", style.code()),
        false => text.to_owned(),
    }
}

/// Moves to the upper left corner and clears the screen.
const CLEAR: &str = "\u{1b}[H\u{1b}[2J";

/// A frame that clears the screen and does not scroll: lines that have no room are counted above the footer.
pub(super) fn fitted(text: &str, footer: &str) -> String {
    let columns = width().unwrap_or(usize::MAX);
    CLEAR.to_owned() + &cut_to(text, footer, columns, height())
}

fn cut_to(text: &str, footer: &str, columns: usize, rows: usize) -> String {
    let total = text.lines().count();
    // The footer, the note of what is left out, and the row that the cursor is on.
    let room = rows.saturating_sub(rows_of(footer, columns) + 2);
    let mut used = 0;
    let fits = |line: &&str| {
        used += rows_of(line, columns);
        used <= room
    };
    let mut kept: Vec<&str> = text.lines().take_while(fits).collect();
    let note = format!("no room for {}", count(total - kept.len(), "more line"));
    if kept.len() < total {
        kept.push(&note);
    }
    kept.push(footer);
    kept.join("\n") + "\n"
}

/// The rows that a line takes.
fn rows_of(line: &str, columns: usize) -> usize {
    let parts = line.split("\u{1b}[").enumerate();
    // Each part after the first begins with the end of a control sequence.
    let visible = parts.map(|(index, part)| match index {
        0 => part,
        _ => part.split_once('m').map_or("", |(_, text)| text),
    });
    visible.map(UnicodeWidthStr::width).sum::<usize>().div_ceil(columns).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_cut_to_the_rows_of_the_terminal() {
        let text = "one\ntwo\nthree\nfour\n";
        assert_eq!(cut_to(text, "end", 80, 24), "one\ntwo\nthree\nfour\nend\n");
        assert_eq!(cut_to(text, "end", 80, 5), "one\ntwo\nno room for 2 more lines\nend\n");
        assert_eq!(cut_to(text, "end", 80, 0), "no room for 4 more lines\nend\n");
    }

    #[test]
    fn a_line_takes_the_rows_of_what_is_seen_of_it() {
        let painted = "\u{1b}[1mabcde\u{1b}[0mfg";
        assert_eq!((rows_of(painted, 7), rows_of(painted, 6), rows_of("", 7)), (1, 2, 1));
        assert_eq!(rows_of("漢字", 3), 2);
    }
}
