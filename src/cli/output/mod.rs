//! Output of commands: tables for people, JSON and YAML for programs. Everything passes
//! [`printable`](f0_learning::observability::printable), because stored texts are written by others.

use std::fmt;
use std::io::{ErrorKind, IsTerminal, Write, stderr, stdout};
use std::sync::{Mutex, PoisonError};

use f0_learning::observability::printable;
use indicatif::{ProgressBar, ProgressStyle};

mod data;
pub mod screen;
mod table;

pub use data::Shown;
pub use screen::Style;
pub use table::{Cell, Table, number, table};

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
    let line = format!("{}\n", printable::line(&text.to_string()));
    if !is_kept(&line) {
        write_error(&line);
    }
}

/// Writes to standard error. A failure is ignored: it cannot be reported anywhere else.
fn write_error(text: &str) {
    let _ = stderr().lock().write_all(text.as_bytes());
}

/// Prints a question, where the person sees it even if the output goes elsewhere.
pub fn ask(question: &str) {
    let question = printable::line(question);
    if stdout().is_terminal() { write(&question) } else { write_error(&question) }
}

/// Ends the line of a question that was not answered.
pub fn ask_no_more() {
    if stdout().is_terminal() { write("\n") } else { write_error("\n") }
}

/// What is printed while a frame is composed.
static FRAME: Mutex<Option<String>> = Mutex::new(None);

/// Whether a frame is composed, which now has the text.
fn is_kept(text: &str) -> bool {
    let mut frame = FRAME.lock().unwrap_or_else(PoisonError::into_inner);
    frame.as_mut().is_some_and(|it| {
        it.push_str(text);
        true
    })
}

/// Replaces what is on the terminal by what `print` prints and a footer, as much as has room, at once.
pub fn frame(footer: &str, print: impl FnOnce()) {
    let start = |text| *FRAME.lock().unwrap_or_else(PoisonError::into_inner) = text;
    start(Some(String::new()));
    print();
    let composed = FRAME.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default();
    write(&screen::fitted(&composed, footer));
}

/// Writes to standard output without buffering. A reader that closed the pipe is a success; any other
/// failure is an error.
fn write(text: &str) {
    if is_kept(text) {
        return;
    }
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

/// Prints a table, fitted to the terminal, and which columns had no room.
pub fn print(table: &Table) {
    let Some(width) = screen::width() else { return say_lines!("{table}") };
    let (text, left_out) = table.clone().fitted(width);
    let text = printable::lines(text.trim_end());
    let (header, rows) = text.split_once('\n').unwrap_or((&text, ""));
    write(&format!("{}\n", screen::painted(Style::Heading, header)));
    if !rows.is_empty() {
        write(&format!("{rows}\n"));
    }
    if !left_out.is_empty() {
        let note = format!("no room for: {}", left_out.join(", "));
        write(&format!("{}\n", screen::painted(Style::Faint, &printable::line(&note))));
    }
}

/// Prints JSON where it is what people read, too.
pub fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    write(&printable::json(&format!("{}\n", serde_json::to_string_pretty(value)?)));
    Ok(())
}

/// Prints a text of the program itself, such as a script, as it is.
pub fn print_own(text: &str) {
    write(text);
}

/// Prints a line that begins with a word in a style.
pub fn print_marked(style: Style, mark: &str, text: &str) {
    let mark = screen::painted(style, &printable::line(mark));
    write(&format!("{mark}{}\n", printable::line(text)));
}

/// Prints a line in a style.
pub fn heading(text: &str) {
    print_marked(Style::Heading, text, "");
}

/// Breaks a text between words, so that no line of it is longer than the terminal. Lines after the first
/// are indented by `indent`, and the first begins there.
pub fn wrapped(text: &str, indent: usize) -> String {
    let Some(width) = screen::width() else { return text.to_owned() };
    wrap(text, indent, width)
}

fn wrap(text: &str, indent: usize, width: usize) -> String {
    let (mut wrapped, mut used) = (String::new(), indent);
    for word in text.split(' ') {
        let length = word.chars().count();
        if wrapped.is_empty() {
            used += length;
        } else if used + 1 + length > width {
            wrapped.push('\n');
            wrapped.extend(std::iter::repeat_n(' ', indent));
            used = indent + length;
        } else {
            wrapped.push(' ');
            used += 1 + length;
        }
        wrapped.push_str(word);
    }
    wrapped
}

/// A progress bar on a terminal; hidden elsewhere, where callers log instead.
pub fn progress(total: u64, what: &'static str) -> ProgressBar {
    if !screen::is_smart(&stderr()) {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(
        "{msg} {wide_bar} {human_pos}/{human_len} {per_sec}, {eta} left",
    )
    .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(total).with_style(style).with_message(what)
}

#[cfg(test)]
mod tests {
    use super::wrap;

    #[test]
    fn a_long_text_is_broken_between_words_and_indented() {
        assert_eq!(wrap("one two three four", 2, 10), "one two\n  three\n  four");
        assert_eq!(wrap("short", 2, 10), "short");
        assert_eq!(wrap("averyverylongword x", 2, 10), "averyverylongword\n  x");
    }
}
