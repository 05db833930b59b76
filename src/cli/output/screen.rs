//! The terminal: how wide it is, whether it shows colours, and how it is cleared.

use std::io::{IsTerminal, stdout};

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

/// Whether frames may replace each other, instead of being printed once.
pub fn is_live() -> bool {
    stdout().is_terminal()
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

/// Whether the output shows colours: it is a terminal, and NO_COLOR is not set (no-color.org).
fn has_colours() -> bool {
    let is_set = |name| environment::variable(name).is_some_and(|text| !text.is_empty());
    let is_dumb = environment::variable("TERM").is_some_and(|it| it == "dumb");
    stdout().is_terminal() && !is_set("NO_COLOR") && !is_dumb
}

/// A text that was made safe to show, in a style where there are colours.
pub(super) fn painted(style: Style, text: &str) -> String {
    match has_colours() {
        true => format!("\u{1b}[{}m{text}\u{1b}[0m", style.code()),
        false => text.to_owned(),
    }
}

/// Moves to the upper left corner and clears the screen.
pub(super) const CLEAR: &str = "\u{1b}[H\u{1b}[2J";
