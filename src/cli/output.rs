//! Output of commands: tables for people, JSON for programs. Everything passes
//! [`printable`](f0_learning::observability::printable), because stored texts are written by others.

use std::fmt;
use std::io::{ErrorKind, IsTerminal, Write, stdout};

use comfy_table::{Cell as TableCell, CellAlignment, Table as Layout, presets};
use f0_learning::observability::printable;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

/// Prints one line; the end of a line in an argument is escaped. Unlike with `println!`, if the reader
/// closed the pipe (`stats | head`) the process exits instead of panicking.
macro_rules! say {
    () => {
        $crate::cli::output::line(format_args!(""))
    };
    ($($part:tt)*) => {
        $crate::cli::output::line(format_args!($($part)*))
    };
}

/// Prints a text of several lines, such as a report, and ends the last one.
macro_rules! say_lines {
    ($($part:tt)*) => { $crate::cli::output::lines(format_args!($($part)*)) };
}

/// Like `say!`, without the end of the line.
macro_rules! say_part {
    ($($part:tt)*) => { $crate::cli::output::part(format_args!($($part)*)) };
}

/// Like `say!`, to standard error.
macro_rules! complain {
    ($($part:tt)*) => { $crate::cli::output::complain(format_args!($($part)*)) };
}

pub fn line(text: fmt::Arguments<'_>) {
    write(&format!("{}\n", printable::line(&text.to_string())));
}

pub fn lines(text: fmt::Arguments<'_>) {
    let text = text.to_string();
    write(&format!("{}\n", printable::lines(text.strip_suffix('\n').unwrap_or(&text))));
}

pub fn part(text: fmt::Arguments<'_>) {
    write(&printable::line(&text.to_string()));
}

pub fn complain(text: fmt::Arguments<'_>) {
    eprintln!("{}", printable::line(&text.to_string()));
}

/// Writes to standard output without buffering. A reader that closed the pipe is a success; any other
/// failure is an error.
fn write(text: &str) {
    let mut out = stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => {
            complain!("error: cannot write to standard output: {error}");
            std::process::exit(1)
        }
    }
}

/// A table without vertical lines, for terminals and `grep`.
#[derive(Debug)]
pub struct Table(Layout);

/// A cell of a table.
#[derive(Debug)]
pub struct Cell(TableCell);

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self(TableCell::new(printable::line(text.as_ref())))
    }
}

impl Cell {
    /// A cell with a line for each of these texts.
    pub fn of_lines<'a>(texts: impl Iterator<Item = &'a str>) -> Self {
        let texts: Vec<_> = texts.map(printable::line).collect();
        Self(TableCell::new(texts.join("\n")))
    }
}

impl Table {
    pub fn add_row(&mut self, row: impl IntoIterator<Item = impl Into<Cell>>) {
        self.0.add_row(row.into_iter().map(|cell| cell.into().0));
    }
}

impl fmt::Display for Table {
    /// Without trailing spaces.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.lines().try_for_each(|line| writeln!(f, "{}", line.trim_end()))
    }
}

pub fn table(header: &[&str]) -> Table {
    let mut table = Layout::new();
    table.load_style(presets::NOTHING);
    table.set_header(header.iter().map(|title| title.to_uppercase()));
    Table(table)
}

pub fn number(text: impl ToString) -> Cell {
    let text = text.to_string();
    Cell(TableCell::new(printable::line(&text)).set_alignment(CellAlignment::Right))
}

pub fn print(table: &Table) {
    say_lines!("{table}");
}

pub fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    write(&format!("{}\n", printable::json(&serde_json::to_string_pretty(value)?)));
    Ok(())
}

/// A progress bar on a terminal; hidden elsewhere, where callers log instead.
pub fn progress(total: u64, what: &'static str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(
        "{msg} {wide_bar} {human_pos}/{human_len} {per_sec}, {eta} left",
    )
    .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(total).with_style(style).with_message(what)
}
