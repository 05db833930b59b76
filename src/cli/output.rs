//! What commands print: tables for people, JSON for programs.

use std::fmt;
use std::io::{ErrorKind, IsTerminal, Write, stdout};

use comfy_table::{Cell, CellAlignment, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

/// As `println!`, but where nobody reads on (`stats | head`) the process ends instead of panicking.
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

/// Writes to standard output at once. A reader that has gone away has what it wanted; any other
/// failure is one.
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

/// A table without vertical lines, fit for a terminal and for `grep`.
pub fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(header.iter().map(|title| title.to_uppercase()));
    table
}

pub fn number(text: impl ToString) -> Cell {
    Cell::new(text.to_string()).set_alignment(CellAlignment::Right)
}

/// Prints a table without the blanks that pad its last column.
pub fn print(table: &Table) {
    for line in table.lines() {
        say!("{}", line.trim_end());
    }
}

pub fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    say!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}

/// Epoch milliseconds as a time in UTC.
pub fn time(ms: i64) -> String {
    chrono::DateTime::from_timestamp_millis(ms)
        .map_or_else(|| format!("{ms} ms"), |moment| moment.format("%Y-%m-%d %H:%M:%S").to_string())
}

/// A stretch of time in its largest fitting unit.
pub fn duration(ms: i64) -> String {
    let seconds = ms / 1_000;
    match seconds {
        0 => format!("{ms} ms"),
        1..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// A bar in a terminal; elsewhere the caller's log lines have to do.
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
