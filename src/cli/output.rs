//! Output of commands: tables for people, JSON for programs.

use std::fmt;
use std::io::{ErrorKind, IsTerminal, Write, stdout};

use comfy_table::{Cell, CellAlignment, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

/// Like `println!`, but if the reader closed the pipe (`stats | head`) the process exits instead of
/// panicking.
macro_rules! say {
    () => {
        $crate::cli::output::write(format_args!("\n"))
    };
    ($($part:tt)*) => {
        $crate::cli::output::write(format_args!("{}\n", format_args!($($part)*)))
    };
}

/// The same without the end of the line.
macro_rules! say_part {
    ($($part:tt)*) => { $crate::cli::output::write(format_args!($($part)*)) };
}

/// Writes to standard output without buffering. A reader that closed the pipe is a success; any other
/// failure is an error.
pub fn write(text: fmt::Arguments<'_>) {
    let mut out = stdout().lock();
    match out.write_fmt(text).and_then(|()| out.flush()) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => {
            eprintln!("error: cannot write to standard output: {error}");
            std::process::exit(1)
        }
    }
}

/// A table without vertical lines, for terminals and `grep`.
pub fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(header.iter().map(|title| title.to_uppercase()));
    table
}

pub fn number(text: impl ToString) -> Cell {
    Cell::new(text.to_string()).set_alignment(CellAlignment::Right)
}

/// Prints a table without trailing spaces.
pub fn print(table: &Table) {
    for line in table.lines() {
        say!("{}", line.trim_end());
    }
}

pub fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    say!("{}", serde_json::to_string_pretty(value)?);
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
